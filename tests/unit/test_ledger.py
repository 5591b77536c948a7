from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Names
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bazaar.core.ledger import Ledger
from bazaar.core.ledger import stock as stock_module
from bazaar.protocol.entries import (
    AdoptEntry,
    AnyEntry,
    Appoint,
    Denial,
    DeposeEntry,
    Grant,
    Part,
    Return,
    Sale,
    document_to_entry,
    entry_to_document,
)
from bazaar.protocol.goods import ITEMS, Bench, Item, Seat
from bazaar.protocol.requests import Denied, Shipped
from tests.builders import a_bench, a_deposit_entry, a_lot, a_sale, an_order

SEATS = 2
NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4", "buyer5", "seller6", "buyer7", "buyer8")


def a_ledger(*entries: AnyEntry) -> Ledger:
    ledger = Ledger(NAMES, SEATS)
    for entry in entries:
        ledger.apply(entry)
    return ledger


def order_now(ledger: Ledger, order_id: str, item: Item = "salt", deposit_id: str | None = None) -> Shipped | Denied:
    """Decides the order, unless it was, and gives the answer."""
    decision = ledger.stock.decide_order(an_order(order_id, item), deposit_id, "buyer7")
    if decision is not None:
        ledger.apply(decision)
    return ledger.stock.answer(order_id)


def seen(ledger: Ledger) -> dict[str, Any]:
    """All that can be known of a projection."""
    return {
        "shelves": sorted(ledger.stock.shelves(ITEMS).lots, key=lambda lot: lot.deposit_id),
        "stock": ledger.stock.products(),
        "bench": ledger.seats.bench,
        "orphans": ledger.seats.orphans,
        "position": ledger.position,
    }


# -------------------------------------------------------------------------------------------- grants
def with_grant() -> Ledger:
    """buyer8 and buyer7 are traders; of seller1's three salt, two are granted to buyer7."""
    return a_ledger(
        Appoint(0, "buyer8", 0),
        Appoint(1, "buyer7", 1),
        a_deposit_entry(2, a_lot(count=3)),
        Grant(3, "seller1-d0", "salt", 2, "buyer7"),
    )


def test_what_is_granted_is_not_free_but_not_sold_either() -> None:
    ledger = with_grant()
    assert ledger.stock.free("salt") == 1
    assert ledger.stock.holdings("buyer7", "salt") == (a_lot(count=2),)
    assert ledger.stock.holders("salt") == [Seat("buyer7", 1)]
    assert ledger.stock.products() == {("seller1", "salt"): (3, 800)}


def test_a_promise_is_redeemed_from_the_traders_own_grant_an_order_from_what_is_free() -> None:
    ledger = with_grant()
    order_now(ledger, "buyer0-0", deposit_id="seller1-d0")
    assert (ledger.stock.free("salt"), ledger.stock.holdings("buyer7", "salt")) == (1, (a_lot(count=1),))
    order_now(ledger, "buyer0-1")
    assert (ledger.stock.free("salt"), ledger.stock.holdings("buyer7", "salt")) == (0, (a_lot(count=1),))
    assert ledger.stock.decide_order(an_order("buyer0-2"), None, "buyer8") == Denial(
        6, "buyer0-2", "buyer0", "salt", "unavailable", 1, "buyer8"
    )
    order_now(ledger, "buyer0-2", deposit_id="seller1-d0")
    assert not ledger.stock.holds(Seat("buyer7", 1))


def test_a_grant_is_of_the_lot_that_is_sold_next_and_of_no_more_than_that_has() -> None:
    ledger = a_ledger(
        Appoint(0, "buyer7", 0),
        a_deposit_entry(1, a_lot("seller1-d0", count=5, clock=9)),
        a_deposit_entry(2, a_lot("seller3-d0", count=2, clock=3)),
    )
    assert ledger.stock.decide_grant("salt", 4, "buyer7") == Grant(3, "seller3-d0", "salt", 2, "buyer7")
    assert ledger.stock.decide_grant("fish", 4, "buyer7") is None


def test_what_is_returned_is_free() -> None:
    ledger = with_grant()
    back = ledger.stock.decide_return("salt", "buyer7")
    assert back == Return(4, "seller1-d0", "salt", 2, "buyer7")
    ledger.apply(back)
    assert (ledger.stock.free("salt"), ledger.stock.holders("salt")) == (3, [])
    assert ledger.stock.decide_return("salt", "buyer7") is None


def test_who_takes_over_a_queue_takes_over_the_grants() -> None:
    ledger = with_grant()
    ledger.apply(Grant(4, "seller1-d0", "salt", 1, "buyer8"))
    ledger.apply(DeposeEntry(5, "buyer7", 1, 1, "buyer8"))
    assert ledger.stock.holdings("buyer7", "salt") == ()
    assert ledger.stock.holds(Seat("buyer7", 1))
    ledger.apply(AdoptEntry(6, "buyer7", 1, "buyer8"))
    assert ledger.stock.holdings("buyer8", "salt") == (a_lot(count=3),)
    assert not ledger.stock.holds(Seat("buyer7", 1))


@pytest.mark.parametrize(
    "entry", [Grant(4, "seller1-d0", "salt", 2, "buyer8"), Return(4, "seller1-d0", "salt", 3, "buyer7")]
)
def test_nothing_is_granted_or_returned_that_is_not_there(entry: AnyEntry) -> None:
    with pytest.raises(ValueError, match="of seller1-d0 are to be taken"):
        with_grant().apply(entry)


def test_a_grant_to_somebody_who_has_no_seat_is_an_error() -> None:
    with pytest.raises(ValueError, match="buyer5 is no trader"):
        with_grant().apply(Grant(4, "seller1-d0", "salt", 1, "buyer5"))


# ------------------------------------------------------------------------------------------ the stock
def test_what_is_deposited_can_be_sold_and_then_no_more() -> None:
    ledger = a_ledger(a_deposit_entry(0, a_lot(count=2)))
    assert order_now(ledger, "buyer0-0") == Shipped(a_lot(count=1), 1)
    assert order_now(ledger, "buyer0-1") == Shipped(a_lot(count=0, clock=0), 0)
    assert order_now(ledger, "buyer0-2") == Denied("unavailable")
    assert ledger.stock.products() == {("seller1", "salt"): (0, 800)}


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
    decision = ledger.stock.decide_order(an_order(), "seller2-d0", "buyer7")
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
    assert ledger.stock.decide_deposit(a_lot(), "buyer7") is None
    assert ledger.stock.decide_deposit(a_lot("seller1-d1"), "buyer6") == a_deposit_entry(
        1, a_lot("seller1-d1"), "buyer6"
    )


def test_the_same_order_gets_the_same_answer_though_the_stock_has_changed() -> None:
    ledger = a_ledger()
    assert order_now(ledger, "buyer0-0") == Denied("unavailable")
    ledger.apply(a_deposit_entry(1, a_lot(count=5)))
    assert order_now(ledger, "buyer0-0") == Denied("unavailable")
    assert order_now(ledger, "buyer0-1") == Shipped(a_lot(count=4), 4)
    assert order_now(ledger, "buyer0-1", deposit_id="seller1-d0") == Shipped(a_lot(count=4), 4)
    assert ledger.position == 3


# ------------------------------------------------------------------------------------------- the seats
def test_of_old_answers_it_keeps_the_names_and_looks_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock_module, "MOST_ANSWERS", 1)
    sales = [a_sale(number, an_order(f"buyer0-{number}"), a_lot()) for number in (1, 2)]
    ledger = Ledger(NAMES, SEATS, entry_of={"buyer0-1": sales[0]}.__getitem__)
    ledger.apply(a_deposit_entry(0, a_lot(count=3)))
    for sale in sales:
        ledger.apply(sale)
    assert len(ledger.stock._answers) == 1
    for order_id in ("buyer0-1", "buyer0-2"):
        assert ledger.stock.answered(order_id)
        assert ledger.stock.decide_order(an_order(order_id), None, "buyer7") is None
        assert ledger.stock.answer(order_id) == Shipped(a_lot(count=1), 1)
    assert not ledger.stock.answered("buyer0-3")


def test_seats_are_given_in_their_order_to_whoever_ran_against_the_newest_bench() -> None:
    ledger = a_ledger()
    first = ledger.seats.decide_seat("buyer7", -1, 0)
    assert first == Appoint(0, "buyer7", 0)
    ledger.apply(first)
    assert ledger.seats.decide_seat("seller6", -1, 1) is None  # an outdated bench
    assert ledger.seats.decide_seat("seller6", 0, 1) == Appoint(1, "seller6", 1)
    assert ledger.seats.bench == a_bench("buyer7", vacant=1)


def test_nobody_holds_two_seats() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0))
    assert ledger.seats.decide_seat("buyer7", 0, 1) is None


def test_no_more_seats_than_there_are() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1))
    assert ledger.seats.decide_seat("buyer5", 1, 1) is None
    assert ledger.seats.is_trader("seller6")
    assert not ledger.seats.is_trader("buyer5")


def test_of_two_who_have_won_the_same_seat_in_one_round_the_second_gets_the_free_one() -> None:
    ledger = Ledger(NAMES, SEATS, one_round=True)
    ledger.apply(Appoint(0, "buyer7", 0))
    assert ledger.seats.decide_seat("seller6", ledger.seats.bench.round, 0) == Appoint(1, "seller6", 1)


def test_a_fall_in_the_middle_of_a_round_begins_a_new_one_for_which_the_fallen_stands() -> None:
    ledger = Ledger(NAMES, SEATS, one_round=True)
    before = ledger.seats.bench.round
    ledger.apply(Appoint(0, "buyer7", 0))
    assert ledger.seats.bench.round == before
    fall(ledger, Seat("buyer7", 0), "buyer0")
    assert (ledger.seats.bench.round, ledger.seats.bench.vacant) == (1, 1)
    assert ledger.seats.decide_seat("seller6", before, 1) is None
    assert ledger.seats.decide_seat("buyer7", 1, 0) == Appoint(2, "buyer7", 0)


def test_trade_does_not_make_a_bench_outdated() -> None:
    ledger = a_ledger(Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot()))
    assert ledger.seats.decide_seat("seller6", 0, 1) == Appoint(2, "seller6", 1)


# -------------------------------------------------------------------------------------- deaths and heirs
def a_market(*traders: str, names: tuple[str, ...] = NAMES) -> Ledger:
    """With all of its seats taken, by these, from entry 0 on."""
    ledger = Ledger(names, len(traders))
    for seat, peer in enumerate(traders):
        ledger.apply(Appoint(seat, peer, seat))
    return ledger


def fall(ledger: Ledger, seat: Seat, by: str) -> None:
    entry = ledger.seats.decide_fall(seat, by)
    assert entry is not None
    ledger.apply(entry)


def adopt(ledger: Ledger, seat: Seat, heir: str) -> None:
    entry = ledger.seats.decide_adoption(seat, heir)
    assert entry is not None
    ledger.apply(entry)


FIRST, SECOND, THIRD = Seat("buyer8", 0), Seat("buyer7", 1), Seat("seller6", 2)


def test_of_those_who_depose_a_trader_the_first_is_heard_and_is_its_heir() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    assert ledger.seats.decide_fall(FIRST, "seller6") == DeposeEntry(3, "buyer8", 0, 0, "seller6")
    fall(ledger, FIRST, "seller6")
    assert ledger.seats.decide_fall(FIRST, "buyer7") is None
    assert ledger.seats.bench == Bench((None, SECOND, THIRD), 0, 3, 3)
    assert ledger.seats.orphans == {FIRST: "seller6"}
    assert not ledger.seats.is_trader("buyer8")


def test_a_tenure_that_is_over_cannot_be_ended_again_though_the_peer_was_elected_anew() -> None:
    ledger = a_market("buyer8")
    fall(ledger, FIRST, "buyer0")
    ledger.apply(Appoint(2, "buyer8", 0))
    assert ledger.seats.decide_fall(FIRST, "buyer0") is None
    assert ledger.seats.decide_fall(Seat("buyer8", 2), "buyer0") is not None


def test_who_is_no_trader_may_depose_but_a_trader_inherits() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    fall(ledger, FIRST, "buyer0")
    assert ledger.seats.orphans == {FIRST: "buyer7"}


def test_who_resigns_is_not_its_own_heir() -> None:
    ledger = a_market("buyer8", "buyer7")
    fall(ledger, FIRST, "buyer8")
    assert ledger.seats.orphans == {FIRST: "buyer7"}
    assert ledger.seats.bench.traders == ("buyer7",)


def test_a_queue_is_taken_over_once_and_by_its_heir() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    fall(ledger, FIRST, "buyer7")
    assert ledger.seats.decide_adoption(FIRST, "seller6") is None
    assert ledger.seats.decide_adoption(FIRST, "buyer8") is None
    assert ledger.seats.decide_adoption(SECOND, "buyer7") is None
    assert ledger.seats.decide_adoption(FIRST, "buyer7") == AdoptEntry(4, "buyer8", 0, "buyer7")
    adopt(ledger, FIRST, "buyer7")
    assert ledger.seats.decide_adoption(FIRST, "buyer7") is None
    assert ledger.seats.orphans == {}


def test_an_heir_that_dies_half_way_leaves_both_queues_to_the_next() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    fall(ledger, FIRST, "buyer7")
    fall(ledger, SECOND, "seller6")
    assert ledger.seats.orphans == {FIRST: "seller6", SECOND: "seller6"}
    assert ledger.seats.decide_adoption(FIRST, "buyer7") is None  # it wakes up
    adopt(ledger, SECOND, "seller6")
    adopt(ledger, FIRST, "seller6")


def test_what_an_heir_had_taken_over_before_it_died_is_in_its_own_queue() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    fall(ledger, FIRST, "buyer7")
    adopt(ledger, FIRST, "buyer7")
    fall(ledger, SECOND, "seller6")
    assert ledger.seats.orphans == {SECOND: "seller6"}


def test_queues_that_the_last_trader_leaves_wait_for_the_first_one_elected() -> None:
    ledger = a_market("buyer8", "buyer7")
    fall(ledger, FIRST, "buyer7")
    fall(ledger, SECOND, "buyer0")
    assert ledger.seats.orphans == {FIRST: None, SECOND: None}
    assert ledger.seats.bench == Bench((None, None), 2, 3, 3)
    appoint = ledger.seats.decide_seat("seller6", 3, 0)
    assert appoint == Appoint(4, "seller6", 0)
    ledger.apply(appoint)
    assert ledger.seats.orphans == {FIRST: "seller6", SECOND: "seller6"}
    assert ledger.seats.bench.vacant == 1


def test_as_long_as_a_trader_is_left_no_seat_is_to_be_refilled() -> None:
    ledger = a_market("buyer8", "buyer7", "seller6")
    fall(ledger, SECOND, "buyer8")
    fall(ledger, FIRST, "seller6")
    assert ledger.seats.bench.vacant == 0
    assert ledger.seats.decide_seat("buyer5", ledger.seats.bench.round, 0) is None


SEATS_TO_REFILL: list[tuple[tuple[str, ...], tuple[str, ...], int]] = [
    # The peers, those of them who were the traders and have fallen, how many are elected again.
    (("buyer0", "seller1", "buyer2", "seller3", "buyer4", "seller5"), ("seller5", "buyer4"), 2),
    (("buyer0", "seller1", "buyer2", "seller3", "buyer4"), ("buyer4", "seller3"), 1),
    (("buyer0", "seller1", "buyer2", "seller3"), ("seller3", "buyer2"), 1),
    (("buyer0", "buyer1", "buyer2", "seller3", "buyer4", "buyer5"), ("buyer5", "buyer4"), 1),
    (
        ("seller0", "seller1", "seller2", "buyer3", "seller4", "seller5", "seller6"),
        ("seller6", "seller5", "seller4"),
        1,
    ),
    (("buyer0", "seller1", "buyer2"), ("buyer2",), 1),
]


@pytest.mark.parametrize(("names", "traders", "seats"), SEATS_TO_REFILL)
def test_as_many_are_elected_again_as_leave_a_buyer_and_a_seller(
    names: tuple[str, ...], traders: tuple[str, ...], seats: int
) -> None:
    ledger = a_market(*traders, names=names)
    for since, peer in enumerate(traders):
        fall(ledger, Seat(peer, since), names[0])
    assert ledger.seats.bench.vacant == seats


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
    with pytest.raises(ValueError, match="1 of seller1-d0"):
        ledger.apply(a_sale(2, an_order("buyer0-1"), a_lot()))
    assert seen(ledger) == before


# ---------------------------------------------------------------------------------- whatever is asked
class AnyTrade(RuleBasedStateMachine):
    """Deposits, orders (first asked and repeated) and claims in any order, against a count kept by hand."""

    orders = Names("orders")
    deposits = Names("deposits")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(NAMES, SEATS)
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
        entry = self.ledger.stock.decide_deposit(lot, "buyer7")
        assert entry is not None
        self._append(entry)
        self.in_stock[lot.deposit_id] += count
        assert self.ledger.stock.decide_deposit(lot, "buyer6") is None
        return lot.deposit_id

    @rule(target=orders, item=st.sampled_from(ITEMS))
    def order(self, item: Item) -> Any:
        return self._order(f"buyer0-{len(self.entries)}", item, None)

    @rule(target=orders, deposit_id=deposits, item=st.sampled_from(ITEMS))
    def order_that_was_promised(self, deposit_id: str, item: Item) -> Any:
        return self._order(f"buyer0-{len(self.entries)}", item, deposit_id)

    def _order(self, order_id: str, item: Item, deposit_id: str | None) -> Any:
        decision = self.ledger.stock.decide_order(an_order(order_id, item), deposit_id, "buyer7")
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
        assert self.ledger.stock.decide_order(an_order(order_id, item, clock=99), deposit_id, "buyer6") is None
        answer, decided = self.ledger.stock.answer(order_id), self.answers[order_id]
        if isinstance(decided, Denial):
            assert answer == Denied(decided.reason)
        else:
            assert isinstance(answer, Shipped)
            assert (answer.lot.deposit_id, answer.lot.price_cents) == (decided.deposit_id, decided.price_cents)

    @rule(peer=st.integers(3, 8), outdated=st.booleans(), seat=st.integers(0, SEATS - 1))
    def claim(self, peer: int, outdated: bool, seat: int) -> None:
        appoint = self.ledger.seats.decide_seat(NAMES[peer], self.ledger.seats.bench.round - outdated, seat)
        if appoint is not None:
            assert not outdated
            self._append(appoint)

    @rule(peer=st.integers(3, 8), by=st.integers(3, 8))
    def depose(self, peer: int, by: int) -> None:
        """Whoever asks first is heard; every further one finds it done."""
        seat = self.ledger.seats.bench.seat_of(NAMES[peer])
        if seat is not None:
            fall = self.ledger.seats.decide_fall(seat, NAMES[by])
            assert fall is not None
            self._append(fall)
            assert self.ledger.seats.decide_fall(seat, NAMES[by]) is None

    @rule()
    def adopt(self) -> None:
        """Every heir does its task, and once."""
        for seat, heir in list(self.ledger.seats.orphans.items()):
            if heir is not None:
                adoption = self.ledger.seats.decide_adoption(seat, heir)
                assert adoption is not None
                self._append(adoption)
                assert self.ledger.seats.decide_adoption(seat, heir) is None

    @invariant()
    def stock_is_never_negative_and_as_counted(self) -> None:
        shelves = {lot.deposit_id: lot.count for lot in self.ledger.stock.shelves(ITEMS).lots}
        assert shelves == +self.in_stock
        assert all(count >= 0 for count in self.in_stock.values())
        assert all(left >= 0 for left, _ in self.ledger.stock.products().values())

    @invariant()
    def every_seat_is_taken_once(self) -> None:
        traders = self.ledger.seats.bench.traders
        assert len(set(traders)) == len(traders) <= SEATS
        assert len(self.ledger.seats.bench.seats) <= SEATS

    @invariant()
    def every_orphan_has_an_heir_as_long_as_somebody_trades(self) -> None:
        bench = self.ledger.seats.bench
        for seat, heir in self.ledger.seats.orphans.items():
            assert seat not in bench.seats
            assert (heir in bench.traders) if bench.traders else (heir is None)

    @invariant()
    def where_nobody_trades_somebody_is_to_be_elected(self) -> None:
        assert self.ledger.seats.bench.traders or self.ledger.seats.bench.vacant

    @invariant()
    def rebuilt_from_its_entries_it_is_the_same(self) -> None:
        rebuilt = a_ledger(*self.entries)
        assert seen(rebuilt) == seen(self.ledger)
        assert all(rebuilt.stock.answer(name) == self.ledger.stock.answer(name) for name in self.answers)


AnyTrade.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestAnyTrade = AnyTrade.TestCase


# -------------------------------------------------------------------------------------- several units
def with_two_lots() -> Ledger:
    """seller1 has two salt, and then seller3 two."""
    lots = a_lot(count=2), a_lot("seller3-d0", count=2, clock=2, price_cents=500)
    return a_ledger(Appoint(0, "buyer7", 0), *(a_deposit_entry(1 + n, lot) for n, lot in enumerate(lots)))


def test_an_order_for_several_units_is_one_entry_over_the_lowest_lots() -> None:
    ledger = with_two_lots()
    sale = ledger.stock.decide_order(an_order(units=3), None, "buyer7")
    assert isinstance(sale, Sale)
    assert sale.parts == (Part("seller1-d0", "seller1", 800, 2), Part("seller3-d0", "seller3", 500, 1))
    ledger.apply(sale)
    assert ledger.stock.products() == {("seller1", "salt"): (0, 800), ("seller3", "salt"): (1, 500)}
    answer = ledger.stock.answer("buyer0-0")
    assert isinstance(answer, Shipped)
    assert [(part.lot.count, part.left, part.units) for part in answer.parts] == [(0, 0, 2), (1, 1, 1)]


def test_an_order_that_all_lots_together_cannot_fill_takes_nothing() -> None:
    ledger = with_two_lots()
    denial = ledger.stock.decide_order(an_order(units=5), None, "buyer7")
    assert denial == Denial(3, "buyer0-0", "buyer0", "salt", "unavailable", 1, "buyer7", 5)
    assert ledger.stock.free("salt") == 4


def test_a_promise_is_kept_whole_from_its_own_lot_or_not_at_all() -> None:
    ledger = with_two_lots()
    kept = ledger.stock.decide_order(an_order(units=2), "seller3-d0", "buyer7")
    assert isinstance(kept, Sale)
    assert (kept.deposit_id, kept.units, kept.more) == ("seller3-d0", 2, ())
    refused = ledger.stock.decide_order(an_order(units=3), "seller3-d0", "buyer7")
    assert isinstance(refused, Denial)
    assert refused.reason == "oversold"


def test_an_entry_for_one_unit_says_nothing_of_units_and_one_for_several_comes_back_from_mongodb() -> None:
    one = with_two_lots().stock.decide_order(an_order(), None, "buyer7")
    several = with_two_lots().stock.decide_order(an_order(units=3), None, "buyer7")
    assert one is not None
    assert several is not None
    assert entry_to_document(one).keys().isdisjoint({"units", "more"})
    assert document_to_entry(entry_to_document(several)) == several
