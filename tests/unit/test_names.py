from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.names import Names

NAMES = st.builds("{}{}".format, st.sampled_from(["buyer0-", "buyer1-", "seller1-d"]), st.integers(0, 12)) | st.text(
    "ab0-1", max_size=4
)


@given(st.lists(NAMES), st.lists(NAMES))
def test_it_is_a_set(added: list[str], asked: list[str]) -> None:
    names = Names(added)
    for name in (*added, *asked):
        assert (name in names) == (name in set(added))


@given(st.permutations(range(12)))
def test_of_consecutive_numbers_it_keeps_one_range_in_whatever_order_they_come(numbers: list[int]) -> None:
    names = Names(f"buyer0-{number}" for number in numbers)
    assert names._ranges == {"buyer0-": ([0], [12])}


def test_a_gap_is_a_range_more() -> None:
    names = Names(["buyer0-0", "buyer0-1", "buyer0-10001"])
    assert names._ranges == {"buyer0-": ([0, 10001], [2, 10002])}
    assert "buyer0-2" not in names


def test_names_whose_numbers_look_alike_are_told_apart() -> None:
    names = Names(["buyer0-7"])
    for other in ("buyer0-07", "buyer1-7", "buyer0-", "buyer0-77", "7", ""):
        assert other not in names
        names.add(other)
        assert other in names


def test_numbers_beyond_measure_are_names_like_any_other() -> None:
    huge = "buyer0-" + 5000 * "9"
    assert huge not in Names()
    assert huge in Names([huge])
