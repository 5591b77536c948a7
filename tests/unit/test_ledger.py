from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Names
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bazaar.core.ledger import Ledger
from bazaar.records import ITEMS, AnyEntry, Appoint, Denial, Denied, Item, Sale, Shipped
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order

SEATS = 2


def a_ledger(*entries: AnyEntry) -> Ledger:
    ledger = Ledger()
    for entry in entries:
        ledger.apply(entry)
    return ledger


def order_now(ledger: Ledger, order_id: str, item: Item = "salt", deposit_id: str | None = None) -> Shipped | Denied:
    """Decides the order, unless it was, and gives the answer."""
    decision = ledger.decide_order(an_order(order_id, item), deposit_id, "buyer7")
    if decision is not None:
        ledger.apply(decision)
    return ledger.answer(order_id)


def seen(ledger: Ledger) -> dict[str, Any]:
    """All that can be known of a projection."""
    return {
        "shelves": sorted(ledger.shelves(ITEMS).lots, key=lambda lot: lot.deposit_id),
        "stock": ledger.stock(),
        "bench": (ledger.bench, ledger.bench_position),
        "position": ledger.position,
    }


# ------------------------------------------------------------------------------------------ the stock
def test_what_is_deposited_can_be_sold_and_then_no_more() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot(count=2)))
    assert order_now(ledger, "buyer0-0") == Shipped(a_lot(count=1), 1)
    assert order_now(ledger, "buyer0-1") == Shipped(a_lot(count=0, clock=0), 0)
    assert order_now(ledger, "buyer0-2") == Denied("unavailable")
    assert ledger.stock() == {("seller1", "salt"): (0, 800)}


def test_the_deposit_with_the_lowest_clock_is_sold_first() -> None:
    late, early = a_lot("seller1-d0", clock=9), a_lot("seller2-d0", clock=3)
    ledger = a_ledger(a_deposit_entry(0, late), a_deposit_entry(1, early))
    answer = order_now(ledger, "buyer0-0")
    assert isinstance(answer, Shipped)
    assert answer.lot.deposit_id == "seller2-d0"


def test_what_is_left_of_a_product_counts_all_its_lots() -> None:
    ledger = a_ledger(
        a_deposit_entry(0, a_lot("seller1-d0", count=1)), a_deposit_entry(1, a_lot("seller1-d1", count=3, clock=2))
    )
    answer = order_now(ledger, "buyer0-0")
    assert isinstance(answer, Shipped)
    assert answer.left == 3


def test_a_promised_lot_is_sold_from_though_another_is_first() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot()), a_deposit_entry(1, a_lot("seller2-d0", clock=9)))
    decision = ledger.decide_order(an_order(), "seller2-d0", "buyer7")
    assert isinstance(decision, Sale)
    assert (decision.seller, decision.cached) == ("seller2", True)


def test_a_promised_lot_that_is_empty_is_oversold_though_others_are_there() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot(count=1)), a_deposit_entry(1, a_lot("seller2-d0")))
    order_now(ledger, "buyer0-0")
    assert order_now(ledger, "buyer0-1", deposit_id="seller1-d0") == Denied("oversold")


def test_a_good_that_nobody_sells_is_unavailable() -> None:
    assert order_now(a_ledger(a_deposit_entry(0, a_lot())), "buyer0-0", "boar") == Denied("unavailable")


def test_a_deposit_counts_once() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot()))
    assert ledger.decide_deposit(a_lot(), "buyer7") is None
    assert ledger.decide_deposit(a_lot("seller1-d1"), "buyer6") == a_deposit_entry(1, a_lot("seller1-d1"), "buyer6")


def test_the_same_order_gets_the_same_answer_though_the_stock_has_changed() -> None:
    ledger = a_ledger()
    assert order_now(ledger, "buyer0-0") == Denied("unavailable")
    ledger.apply(a_deposit_entry(1, a_lot(count=5)))
    assert order_now(ledger, "buyer0-0") == Denied("unavailable")
    assert order_now(ledger, "buyer0-1") == Shipped(a_lot(count=4), 4)
    assert order_now(ledger, "buyer0-1", deposit_id="seller1-d0") == Shipped(a_lot(count=4), 4)
    assert ledger.position == 3


# ------------------------------------------------------------------------------------------- the seats
def test_seats_are_given_in_their_order_to_whoever_ran_against_the_newest_bench() -> None:
    ledger = a_ledger()
    first = ledger.decide_seat("buyer7", -1, SEATS)
    assert first == Appoint(0, "buyer7", 0)
    ledger.apply(first)
    assert ledger.decide_seat("seller6", -1, SEATS) is None  # an outdated bench
    assert ledger.decide_seat("seller6", 0, SEATS) == Appoint(1, "seller6", 1)
    assert (ledger.bench, ledger.bench_position) == (("buyer7",), 0)


def test_nobody_holds_two_seats() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0))
    assert ledger.decide_seat("buyer7", 0, SEATS) is None


def test_no_more_seats_than_there_are() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1))
    assert ledger.decide_seat("buyer5", 1, SEATS) is None
    assert ledger.is_trader("seller6")
    assert not ledger.is_trader("buyer5")


def test_trade_does_not_make_a_bench_outdated() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot()))
    assert ledger.decide_seat("seller6", 0, SEATS) == Appoint(2, "seller6", 1)


# ------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize("position", [0, 2])
def test_an_entry_that_is_not_the_next_is_refused(position: int) -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot()))
    before = seen(ledger)
    with pytest.raises(ValueError, match=f"goes on at 1, not at {position}"):
        ledger.apply(a_deposit_entry(position, a_lot("seller2-d0")))
    assert seen(ledger) == before


def test_a_sale_of_what_is_not_there_is_refused() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot(count=1)), a_sale(1, an_order("buyer0-0"), a_lot()))
    before = seen(ledger)
    with pytest.raises(ValueError, match="sells from seller1-d0, which is empty"):
        ledger.apply(a_sale(2, an_order("buyer0-1"), a_lot()))
    assert seen(ledger) == before


# ---------------------------------------------------------------------------------- whatever is asked
class AnyTrade(RuleBasedStateMachine):
    """Deposits, orders (first asked and repeated) and claims in any order, against a count kept by hand."""

    orders = Names("orders")
    deposits = Names("deposits")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.entries: list[AnyEntry] = []
        self.in_stock: Counter[str] = Counter()
        self.answers: dict[str, Sale | Denial] = {}

    def _append(self, entry: AnyEntry) -> None:
        self.ledger.apply(entry)
        self.entries.append(entry)

    @rule(
        target=deposits,
        seller=st.integers(1, 3),
        item=st.sampled_from(ITEMS),
        count=st.integers(1, 3),
        clock=st.integers(1, 5),
    )
    def deposit(self, seller: int, item: Item, count: int, clock: int) -> str:
        lot = a_lot(f"seller{seller}-d{len(self.entries)}", item, count, clock, price_cents=500 + seller)
        entry = self.ledger.decide_deposit(lot, "buyer7")
        assert entry is not None
        self._append(entry)
        self.in_stock[lot.deposit_id] += count
        assert self.ledger.decide_deposit(lot, "buyer6") is None
        return lot.deposit_id

    @rule(target=orders, item=st.sampled_from(ITEMS))
    def order(self, item: Item) -> Any:
        return self._order(f"buyer0-{len(self.entries)}", item, None)

    @rule(target=orders, deposit_id=deposits, item=st.sampled_from(ITEMS))
    def order_that_was_promised(self, deposit_id: str, item: Item) -> Any:
        return self._order(f"buyer0-{len(self.entries)}", item, deposit_id)

    def _order(self, order_id: str, item: Item, deposit_id: str | None) -> Any:
        decision = self.ledger.decide_order(an_order(order_id, item), deposit_id, "buyer7")
        assert decision is not None
        self._append(decision)
        self.answers[order_id] = decision
        if isinstance(decision, Sale):
            assert decision.item == item
            self.in_stock[decision.deposit_id] -= 1
        return order_id, item

    @rule(order=orders, deposit_id=st.none() | deposits)
    def ask_again(self, order: tuple[str, Item], deposit_id: str | None) -> None:
        order_id, item = order
        assert self.ledger.decide_order(an_order(order_id, item, clock=99), deposit_id, "buyer6") is None
        answer, decided = self.ledger.answer(order_id), self.answers[order_id]
        if isinstance(decided, Denial):
            assert answer == Denied(decided.reason)
        else:
            assert isinstance(answer, Shipped)
            assert (answer.lot.deposit_id, answer.lot.price_cents) == (decided.deposit_id, decided.price_cents)

    @rule(peer=st.integers(4, 8), outdated=st.booleans())
    def claim(self, peer: int, outdated: bool) -> None:
        position = self.ledger.bench_position - outdated
        appoint = self.ledger.decide_seat(f"buyer{peer}", position, SEATS)
        if appoint is not None:
            assert not outdated
            self._append(appoint)

    @invariant()
    def stock_is_never_negative_and_as_counted(self) -> None:
        shelves = {lot.deposit_id: lot.count for lot in self.ledger.shelves(ITEMS).lots}
        assert shelves == +self.in_stock
        assert all(count >= 0 for count in self.in_stock.values())
        assert all(left >= 0 for left, _ in self.ledger.stock().values())

    @invariant()
    def every_seat_is_taken_once(self) -> None:
        assert len(set(self.ledger.bench)) == len(self.ledger.bench) <= SEATS

    @invariant()
    def rebuilt_from_its_entries_it_is_the_same(self) -> None:
        rebuilt = a_ledger(*self.entries)
        assert seen(rebuilt) == seen(self.ledger)
        assert all(rebuilt.answer(name) == self.ledger.answer(name) for name in self.answers)


AnyTrade.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestAnyTrade = AnyTrade.TestCase
