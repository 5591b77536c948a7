"""Broken on purpose: the audit must see each of these, or its silence about the real thing means nothing.

Every control breaks one rule of the product, in the tests alone, and runs the seeds; it names the check that has to tell
of it, and on what share of the seeds. The same seeds must hold when nothing is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import msgspec
import pytest

from bazaar.analysis.audit import CHECKS, judge
from bazaar.core.cache import EscrowCache
from bazaar.core.clock import LamportClock
from bazaar.core.id_set import IdSet
from bazaar.core.ledger.seats import Seats
from bazaar.core.ledger.stock import Stock
from bazaar.core.orders import TradeQueue
from bazaar.core.shelf import Shelf, with_count
from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import AnyEntry, Appoint, Denial, DepositEntry, Sale
from bazaar.protocol.goods import ITEMS, Item, Lot, Order, Seat, is_seller
from bazaar.protocol.messages import Buy, OutOfStock, Oversold, Purchased, Sold, Unavailable
from peers import seller, trader
from peers.buyer import Buyer
from peers.peer import Peer
from peers.seller import Seller
from peers.trader import Trader, outcomes
from tests.simulation import draw_world, replay_command

SEEDS = range(25)
Patch = pytest.MonkeyPatch

BUSY = {"window": 5, "restock_count": 2}
"""Queues form, and goods run out."""
IMPATIENT = {"cache": "none", "window": 2, "answer_timeout_s": 0.02}
"""Nearly every order is repeated with another trader, so that the protection against doing things twice is needed."""


class Control(NamedTuple):
    """`spoil` breaks the product; `check` must tell of it in `at_least` percent of the seeds."""

    spoil: Callable[[Patch], None]
    check: str
    at_least: int
    fixed: dict[str, Any]


CONTROLS: list[Control] = []


def control(check: str, at_least: int, **fixed: Any) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    def enlist(spoil: Callable[[Patch], None]) -> Callable[[Patch], None]:
        CONTROLS.append(Control(spoil, check, at_least, fixed))
        return spoil

    return enlist


# ----------------------------------------------------------------------------------------------- goods
@control("no_product_below_zero", 90, **BUSY)
def the_warehouse_sells_what_it_does_not_have(patch: Patch) -> None:
    """The stock's guard is gone: both from the decision and from the projection."""
    honest_decision, honest_apply = Stock.decide_order, Stock.apply

    def decide_order(stock: Stock, order: Order, deposit_id: str | None, by: str) -> Sale | Denial | None:
        decision = honest_decision(stock, order, deposit_id, by)
        sold_out: dict[Item, Lot] = stock.__dict__.get("sold_out", {})
        if not isinstance(decision, Denial) or order.item not in sold_out:
            return decision
        lot = sold_out[order.item]
        return Sale(
            stock.position, order.order_id, order.buyer, order.item, lot.deposit_id, lot.seller, lot.price_cents,
            order.clock, by, False,
        )  # fmt: skip

    def apply(stock: Stock, entry: AnyEntry) -> None:
        if isinstance(entry, Sale):
            shelf = stock._shelves[entry.item]
            lot = shelf.get(entry.deposit_id) or stock.__dict__["sold_out"][entry.item]
            stock.__dict__.setdefault("sold_out", {})[entry.item] = lot
            shelf.put(with_count(lot, max(1, lot.count)))
        honest_apply(stock, entry)

    patch.setattr(Stock, "decide_order", decide_order)
    patch.setattr(Stock, "apply", apply)


@control("no_product_below_zero", 90, **BUSY)
def the_last_unit_stays_on_the_shelf(patch: Patch) -> None:
    patch.setattr(Shelf, "drop", lambda shelf, deposit_id: None)


@control("goods_add_up", 100)
def a_unit_of_each_deposit_vanishes(patch: Patch) -> None:
    honest = Stock.apply

    def apply(stock: Stock, entry: AnyEntry) -> None:
        honest(stock, entry)
        if isinstance(entry, DepositEntry):
            stock._left[entry.seller, entry.item] -= 1

    patch.setattr(Stock, "apply", apply)


@control("lowest_deposit_first", 60, window=2, restock_count=4, restock_every_s=0.02)
def the_newest_deposit_is_sold_first(patch: Patch) -> None:
    def first(shelf: Shelf) -> Lot | None:
        lots = [lot for lot in shelf if lot.count > 0]
        return max(lots, key=lambda lot: lot.clock) if lots else None

    patch.setattr(Shelf, "first", first)


# ----------------------------------------------------------------------------------------------- money
@control("money_adds_up", 100)
def the_seller_is_credited_twice(patch: Patch) -> None:
    def on_sold(self: Seller, turn: Turn, source: str, body: Sold) -> None:
        for _ in range(2):
            self._credited = IdSet()
            honest(self, turn, source, body)

    honest = Seller.on_sold
    patch.setitem(Seller.handles, Sold, on_sold)


@control("money_adds_up", 70, **IMPATIENT)
def the_seller_is_credited_by_each_trader_that_was_asked(patch: Patch) -> None:
    """Only what the seller remembers of its orders is lost; it shows when a retry is told by a second trader."""

    def on_sold(self: Seller, turn: Turn, source: str, body: Sold) -> None:
        self._credited = IdSet()
        honest(self, turn, source, body)

    honest = Seller.on_sold
    patch.setitem(Seller.handles, Sold, on_sold)


@control("money_adds_up", 100)
def the_seller_gets_less_than_its_share(patch: Patch) -> None:
    patch.setattr(seller, "sellers_share", lambda price_cents: price_cents * 79 // 100)


def told(patch: Patch, purchased: Callable[..., object]) -> None:
    """What a trader says to a buyer instead of `Purchased`."""
    patch.setattr(trader, "Purchased", purchased)
    patch.setattr(outcomes, "Purchased", purchased)


@control("money_adds_up", 100)
def the_buyer_is_charged_another_price(patch: Patch) -> None:
    told(patch, lambda order, item, by, price, final=True, **more: Purchased(order, item, by, price + 1, final, **more))


# ---------------------------------------------------------------------------------------------- orders
@control("each_order_decided_once", 70, **IMPATIENT)
def an_order_is_decided_again(patch: Patch) -> None:
    """The warehouse forgets its answers, so a retry is a second sale."""
    honest = Stock.decide_order

    def decide_order(stock: Stock, order: Order, deposit_id: str | None, by: str) -> Sale | Denial | None:
        stock._answered = IdSet()
        return honest(stock, order, deposit_id, by)

    patch.setattr(Stock, "decide_order", decide_order)


@control("buyers_were_told_the_truth", 100, peers=8, buyers=5, sellers=3)
def the_buyer_is_told_of_another_seller(patch: Patch) -> None:
    """Of one that there is: nobody takes in a message that names another."""
    sellers: list[str] = []
    honest = Trader.start

    def start(self: Trader, turn: Turn, elected: bool) -> None:
        sellers[:] = [name for name in self._names if is_seller(name)]
        honest(self, turn, elected)

    def purchased(order: str, item: Item, by: str, price: int, final: bool = True, **more: Any) -> Purchased:
        return Purchased(order, item, next(name for name in sellers if name != by), price, final, **more)

    patch.setattr(Trader, "start", start)
    told(patch, purchased)


@control("buyers_were_told_the_truth", 60, cache="weak", **BUSY)
def the_buyer_is_not_told_that_its_purchase_is_off(patch: Patch) -> None:
    patch.delitem(Buyer.handles, Oversold)


@control("buyers_were_told_the_truth", 70, **BUSY)
def the_buyer_is_told_that_there_is_nothing_though_it_was_sold_to_it(patch: Patch) -> None:
    """Every tenth order that the warehouse carried out."""
    tellings = count()

    def purchased(
        order: str, item: Item, by: str, price: int, final: bool = True, **more: Any
    ) -> Purchased | Unavailable:
        if next(tellings) % 10:
            return Purchased(order, item, by, price, final, **more)
        return Unavailable(order, item, more["units"])

    told(patch, purchased)


@control("only_what_was_asked", 100)
def a_trader_orders_something_else(patch: Patch) -> None:
    def on_buy(self: Trader, turn: Turn, source: str, body: Buy) -> None:
        other = ITEMS[(ITEMS.index(body.item) + 1) % len(ITEMS)]
        honest(self, turn, source, Buy(body.order_id, other, body.again, body.units))

    honest = Trader.on_buy
    patch.setitem(Trader.handles, Buy, on_buy)


@control("no_order_lost", 100, restock_every_s=1000, answer_timeout_s=200)
def a_trader_drops_an_order(patch: Patch) -> None:
    """It has taken it in, so it does not listen to a retry either."""
    honest = TradeQueue.put

    def put(queue: TradeQueue, lane: str, order: Order) -> None:
        if not order.order_id.endswith("-1"):
            honest(queue, lane, order)

    patch.setattr(TradeQueue, "put", put)


@control("window_kept", 60, cache="none", answer_timeout_s=0.02)
def a_retry_has_a_new_name(patch: Patch) -> None:
    honest = Buyer._send

    def send(buyer: Buyer, turn: Turn, order_id: str, item: Item, units: int, again: bool) -> None:
        renamed = again and not order_id.endswith("-again")
        honest(buyer, turn, f"{order_id}-again" if renamed else order_id, item, units, again and not renamed)

    patch.setattr(Buyer, "_send", send)


# ------------------------------------------------------------------------------------- traders, clocks
@control("only_traders_trade", 100, cache="weak")
def a_trader_takes_its_seat_without_the_ledger(patch: Patch) -> None:
    """The warehouse lets it trade, but the appointment is written nowhere."""
    honest = Warehouse._append

    def append(warehouse: Warehouse, turn: Turn, entry: AnyEntry) -> None:
        if isinstance(entry, Appoint):
            seats = warehouse.ledger.seats
            position, seats.position = seats.position, seats.bench.position + 1
            seats._seat(entry.seat, Seat(entry.peer, entry.position), seats.bench.vacant - 1, round_goes_on=False)
            seats.position = position
        else:
            honest(warehouse, turn, entry)

    patch.setattr(Warehouse, "_append", append)


@control("only_traders_trade", 60)
def one_seat_is_given_to_two(patch: Patch) -> None:
    honest = Seats.decide_seat

    def decide_seat(seats: Seats, peer: str, election: int, seat: int) -> Appoint | None:
        appoint = honest(seats, peer, election, seat)
        return appoint and Appoint(appoint.position, peer, 0)

    patch.setattr(Seats, "decide_seat", decide_seat)


@control("traders_neither_buy_nor_sell", 60)
def a_trader_goes_on_with_its_old_trade(patch: Patch) -> None:
    def follow(peer: Peer, turn: Turn) -> None:
        honest(peer, turn)
        peer._civil.retired = False

    honest = Peer._follow
    patch.setattr(Peer, "_follow", follow)


@control("clocks_increase", 100)
def the_clock_does_not_heed_what_it_hears(patch: Patch) -> None:
    patch.setattr(LamportClock, "witness", lambda clock, sent: clock.tick())


@control("lowest_clock_served_first", 60, window=20, traders=1, cache="none", peers=9, requests=400)
def the_queue_is_served_by_arrival(patch: Patch) -> None:
    arrivals = count()
    honest = TradeQueue.put

    def put(queue: TradeQueue, lane: str, order: Order) -> None:
        known = order.order_id in queue
        honest(queue, lane, order)
        if not known:
            waiting = queue._lanes[lane]
            place = next(i for i, (*_, held) in enumerate(waiting) if held is order)
            waiting[place] = (next(arrivals), 0, order.order_id, order)
            waiting.sort()  # a sorted list is a heap

    patch.setattr(TradeQueue, "put", put)


@control("lowest_clock_served_first", 60, window=5, cache="none")
def the_queue_is_served_the_newest_first(patch: Patch) -> None:
    honest = TradeQueue.put

    def put(queue: TradeQueue, lane: str, order: Order) -> None:
        honest(queue, lane, order)
        waiting = queue._lanes[lane]
        waiting[:] = [(-held.clock, 0, held.order_id, held) for *_, held in waiting]
        waiting.sort()

    patch.setattr(TradeQueue, "put", put)


# --------------------------------------------------------------------------------------- several units
@control("only_what_was_asked", 100, units="2-5")
def a_trader_orders_half_of_it(patch: Patch) -> None:
    def on_buy(self: Trader, turn: Turn, source: str, body: Buy) -> None:
        honest(self, turn, source, Buy(body.order_id, body.item, body.again, body.units // 2))

    honest = Trader.on_buy
    patch.setitem(Trader.handles, Buy, on_buy)


@control("only_what_was_asked", 60, units="3", restock_count=2, think_s=0.1)
def the_warehouse_sells_what_the_first_lot_has(patch: Patch) -> None:
    """Not all or nothing."""
    honest = Shelf.lowest
    patch.setattr(Shelf, "lowest", lambda shelf, units: honest(shelf, units)[:1])


@control("each_order_decided_once", 60, units="3", restock_count=2, think_s=0.1, cache="none")
def a_sale_is_split_over_two_decisions(patch: Patch) -> None:
    honest = Warehouse._append

    def append(warehouse: Warehouse, turn: Turn, entry: AnyEntry) -> None:
        if not isinstance(entry, Sale) or not entry.more:
            honest(warehouse, turn, entry)
            return
        honest(warehouse, turn, msgspec.structs.replace(entry, more=()))
        rest = entry.more[0]
        half = msgspec.structs.replace(
            entry, position=entry.position + 1, deposit_id=rest.deposit_id, seller=rest.seller,
            price_cents=rest.price_cents, units=rest.units, more=entry.more[1:],
        )  # fmt: skip
        honest(warehouse, turn, half)

    patch.setattr(Warehouse, "_append", append)


@control("money_adds_up", 100, units="5", restock_count=10)
def of_five_units_one_is_charged(patch: Patch) -> None:
    told(
        patch, lambda order, item, by, price, final=True, **more: Purchased(order, item, by, price // 5, final, **more)
    )


@control("money_adds_up", 100, units="5", restock_count=10)
def of_five_units_the_seller_is_paid_one(patch: Patch) -> None:
    patch.setattr(seller, "sellers_share", lambda price_cents: price_cents * 80 // 100 // 5)


@control("money_adds_up", 50, units="3", restock_count=2, think_s=0.1, cache="none")
def of_several_sellers_one_is_forgotten(patch: Patch) -> None:
    """It has part in the order, and only the first is told."""
    told_of: set[str] = set()

    def on_sold(self: Seller, turn: Turn, source: str, body: Sold) -> None:
        if body.order_id not in told_of:
            told_of.add(body.order_id)
            honest(self, turn, source, body)

    honest = Seller.on_sold
    patch.setitem(Seller.handles, Sold, on_sold)


@control(
    "strong_caches_take_nothing_back",
    60,
    units="2-5",
    cache="escrow",
    restock_count=100,
    restock_every_s=5,
    requests=300,
)
def a_cache_counts_one_unit_for_five(patch: Patch) -> None:
    honest = EscrowCache.promised
    patch.setattr(EscrowCache, "promised", lambda cache, lot, units: honest(cache, lot, 1))


@control("no_product_below_zero", 60, units="2-5", window=5, restock_count=3)
def a_lot_sells_more_than_it_has(patch: Patch) -> None:
    """An order takes all from the first lot, and the projection lets it."""
    honest = Stock._take

    def take(shelf: Shelf, deposit_id: str, units: int) -> Lot:
        lot = shelf.get(deposit_id)
        return honest(shelf, deposit_id, min(units, lot.count) if lot is not None else units)

    def lowest(shelf: Shelf, units: int) -> tuple[Lot, ...]:
        first = shelf.first()
        return (with_count(first, units),) if first is not None else ()

    patch.setattr(Stock, "_take", staticmethod(take))
    patch.setattr(Shelf, "lowest", lowest)


# ----------------------------------------------------------------------------------------------- tests
def caught(fixed: dict[str, Any]) -> Counter[str]:
    """By check, the number of seeds of which it tells something."""
    tellings: Counter[str] = Counter()
    for seed in SEEDS:
        tellings.update(judge(draw_world(seed, **fixed).run()).violations.keys())
    return tellings


@pytest.mark.parametrize("broken", CONTROLS, ids=lambda broken: broken.spoil.__name__)
def test_what_is_broken_is_seen(broken: Control, monkeypatch: Patch) -> None:
    monkeypatch.setattr("tests.simulation.world.LONGEST_S", 60.0)  # an order that is lost is waited for in vain
    broken.spoil(monkeypatch)
    tellings = caught(broken.fixed)
    print(f"{broken.spoil.__name__}: {broken.check} tells of {tellings[broken.check]} seeds of {len(SEEDS)}")
    assert 100 * tellings[broken.check] >= broken.at_least * len(SEEDS), (
        f"of {len(SEEDS)} seeds, by check: {dict(tellings)}"
    )


@pytest.mark.parametrize(
    "fixed", [BUSY, {**BUSY, "cache": "weak"}, IMPATIENT, {"window": 5}, {**BUSY, "units": "1-5"}], ids=str
)
def test_what_is_not_broken_holds(fixed: dict[str, Any]) -> None:
    for seed in SEEDS:
        report = judge(draw_world(seed, **fixed).run())
        assert report.verdict == "held", f"{report.violations}\n  {replay_command(seed, **fixed)}"


def test_every_check_has_seen_something_broken() -> None:
    elsewhere = {"queues_were_taken_over"}  # test_fault_controls.py
    elsewhere |= {"strong_caches_take_nothing_back", "strong_caches_refuse_nothing_in_stock"}  # test_escrow.py
    elsewhere |= {
        "deposits_are_booked_as_offered",
        "entries_make_sense",
        "the_living_keep_their_seats",
    }  # test_blind_spots.py
    elsewhere |= {"one_stock_explains_all_answers"}  # test_linearizability.py
    elsewhere |= {"ledger_unbroken"}  # tests/unit/test_audit.py: the ledger of a simulation cannot have a gap
    elsewhere |= {"three_neighbours_at_most", "only_along_edges", "the_graph_heals"}  # test_edges.py
    elsewhere |= {"seats_follow_the_load"}  # test_scaling.py
    assert {broken.check for broken in CONTROLS} | elsewhere == set(CHECKS)


def test_a_seller_that_is_told_nothing_of_its_empty_shelf_is_no_violation(monkeypatch: Patch) -> None:
    """The audit is no tell-tale: what breaks no promise is not reported."""
    monkeypatch.delitem(Seller.handles, OutOfStock)
    for seed in range(20):
        assert judge(draw_world(seed).run()).verdict == "held"
