from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol.goods import Lot, index_of
from tests.builders import a_lot


def a_shelf(*lots: Lot) -> Shelf:
    shelf = Shelf()
    for lot in lots:
        shelf.put(lot)
    return shelf


def test_the_lot_with_the_lowest_deposit_clock_is_first_not_the_first_that_came() -> None:
    early = a_lot("seller2-d0", clock=3)
    assert a_shelf(a_lot("seller1-d0", clock=9), early).first() == early


def test_of_two_with_the_same_clock_the_lower_index_is_first_as_a_number() -> None:
    nine = a_lot("seller9-d0", clock=3)
    assert a_shelf(a_lot("seller10-d0", clock=3), nine).first() == nine


def test_a_lot_with_nothing_left_is_passed_over() -> None:
    first, second = a_lot("seller1-d0", clock=1), a_lot("seller2-d0", clock=2)
    shelf = a_shelf(first, second)
    shelf.put(with_count(first, 0))
    assert shelf.first() == second


def test_a_lot_that_is_filled_again_takes_its_old_place() -> None:
    first, second = a_lot("seller1-d0", clock=1), a_lot("seller2-d0", clock=2)
    shelf = a_shelf(with_count(first, 0), second)
    assert shelf.first() == second
    shelf.put(first)
    assert shelf.first() == first


def test_what_was_dropped_is_unknown() -> None:
    lot = a_lot()
    shelf = a_shelf(lot)
    shelf.drop(lot.deposit_id)
    shelf.drop("seller9-d9")
    assert (shelf.get(lot.deposit_id), shelf.first(), list(shelf)) == (None, None, [])


def test_another_count_is_all_that_changes() -> None:
    assert with_count(a_lot(count=3), 2) == a_lot(count=2)


STEPS = st.tuples(st.integers(0, 4), st.none() | st.integers(0, 3))


@given(st.lists(STEPS, max_size=60))
def test_it_behaves_like_a_sorted_dict(steps: list[tuple[int, int | None]]) -> None:
    """Each step puts a lot with a count, or drops it; some lots share a clock."""
    shelf, model = Shelf(), dict[str, Lot]()
    for number, count in steps:
        lot = a_lot(f"seller{8 + number}-d0", clock=number // 2, count=count or 0)
        if count is None:
            shelf.drop(lot.deposit_id)
            model.pop(lot.deposit_id, None)
        else:
            shelf.put(lot)
            model[lot.deposit_id] = lot
        waiting = [lot for lot in model.values() if lot.count]
        assert shelf.first() == min(waiting, key=lambda lot: (lot.clock, index_of(lot.seller)), default=None)
        assert set(shelf) == set(model.values())


def test_for_several_units_the_lots_with_the_lowest_clocks_are_taken_until_it_is_enough() -> None:
    first, second, third = (a_lot(f"seller{n}-d0", count=2, clock=n) for n in (1, 2, 3))
    shelf = a_shelf(third, first, second)
    assert shelf.lowest(2) == (first,)
    assert shelf.lowest(3) == (first, with_count(second, 1))
    assert shelf.lowest(6) == (first, second, third)
    assert shelf.lowest(7) == ()


def test_one_lot_with_enough_units_may_stand_behind_a_smaller_one() -> None:
    small, large = a_lot("seller1-d0", count=2, clock=1), a_lot("seller2-d0", count=5, clock=2)
    shelf = a_shelf(small, large)
    assert [shelf.one_with(units) for units in (1, 2, 3, 6)] == [small, small, large, None]
