from __future__ import annotations

import random
import sys

from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.id_set import PAGE, IdSet

NUMBERS = st.integers(0, 12) | st.integers(PAGE - 9, PAGE + 9) | st.integers(0, 10**18 - 1)
NAMES = st.builds("{}{}".format, st.sampled_from(["buyer0-", "buyer1-", "seller1-d"]), NUMBERS) | st.text(
    "ab0-1", max_size=4
)


@given(st.lists(NAMES), st.lists(NAMES), st.lists(NAMES))
def test_it_is_a_set(added: list[str], taken_out: list[str], asked: list[str]) -> None:
    names = IdSet(added)
    for name in taken_out:
        names.discard(name)
    for name in (*added, *taken_out, *asked):
        assert (name in names) == (name in set(added) - set(taken_out))


def test_a_number_takes_a_bit_even_of_a_random_third_in_any_order() -> None:
    numbers = random.Random(7).sample(range(300_000), 100_000)
    names = IdSet(f"buyer0-{number}" for number in numbers)
    assert all(f"buyer0-{number}" in names for number in numbers)
    size = sum(sys.getsizeof(page) for page in names._pages.values())
    assert size < 1.2 * 300_000 / 8
    assert not names._others


def test_a_number_far_from_all_others_costs_one_page() -> None:
    names = IdSet(["buyer0-0", f"buyer0-{10**17}"])
    assert f"buyer0-{10**17 - 1}" not in names
    assert [len(page) for page in names._pages.values()] == [PAGE // 8, PAGE // 8]


def test_names_whose_numbers_look_alike_are_told_apart() -> None:
    names = IdSet(["buyer0-7"])
    for other in ("buyer0-07", "buyer1-7", "buyer0-", "buyer0-77", "7", ""):
        assert other not in names
        names.add(other)
        assert other in names


def test_numbers_beyond_measure_are_names_like_any_other() -> None:
    huge = "buyer0-" + 5000 * "9"
    assert huge not in IdSet()
    assert huge in IdSet([huge])
