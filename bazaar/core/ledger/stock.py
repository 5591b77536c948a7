"""The stock and the answered orders, according to the ledger.

Each decision is final. Nothing is shipped that is not in stock. An order that is asked again gets the same answer
(requirement D1).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Literal

from bazaar.core.id_set import IdSet
from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol import requests
from bazaar.protocol.entries import (
    AdoptEntry,
    AnyEntry,
    Appoint,
    Denial,
    DeposeEntry,
    DepositEntry,
    Grant,
    Part,
    Return,
    Sale,
)
from bazaar.protocol.goods import CACHE, ITEMS, Item, Lot, Order, Seat
from bazaar.protocol.requests import Denied, Shelves, Shipped

POOL = Seat(CACHE, -1)
"""Who holds the units in the shared cache: no tenure, and nobody takes it over."""
MOST_ANSWERS = 50_000  # those of some seconds at full load; a buyer asks again sooner


def nowhere(order_id: str) -> Sale | Denial:
    """The `entry_of` of a ledger without a store, which is asked for no old answer."""
    raise LookupError(f"the answer to {order_id} was forgotten, and there is no store to look it up in")


class Stock:
    """The projection of deposits, grants, sales and refusals.

    It remembers the names of all answered orders, but only the newest answers. An older answer, should anybody ask for it, is
    looked up in the store.
    """

    def __init__(self, entry_of: Callable[[str], Sale | Denial]) -> None:
        """See `Ledger`."""
        self.position = 0
        """The position of the next entry."""
        self._tenures: dict[str, Seat] = {CACHE: POOL}  # of the current traders, and the shared cache
        self._shelves = {item: Shelf() for item in ITEMS}  # what is free
        self._granted: dict[Seat, dict[Item, Shelf]] = {}  # by tenure
        self._left: Counter[tuple[str, Item]] = Counter()
        self._prices: dict[tuple[str, Item], int] = {}
        self._deposits = IdSet()
        self._answered = IdSet()
        self._answers: OrderedDict[str, Sale | Denial] = OrderedDict()  # the newest
        self._entry_of = entry_of

    def shelves(self, items: tuple[Item, ...]) -> Shelves:
        """The free lots of these items."""
        return Shelves(items, tuple(lot for item in items for lot in self._shelves[item]))

    def holdings(self, trader: str, item: Item) -> tuple[Lot, ...]:
        """The units of the item that were granted to this trader and are not sold yet."""
        seat = self._tenures.get(trader)
        return tuple(self._granted.get(seat, {}).get(item, ())) if seat is not None else ()

    def holders(self, item: Item) -> list[Seat]:
        """The tenures, current and former, that hold granted units of the item."""
        return [seat for seat, shelves in self._granted.items() if item in shelves]

    def holds(self, seat: Seat) -> bool:
        """Whether anything is granted to this tenure."""
        return seat in self._granted

    def free(self, item: Item) -> int:
        """How many units of the item are granted to nobody."""
        return sum(lot.count for lot in self._shelves[item])

    def products(self) -> dict[tuple[str, Item], tuple[int, int]]:
        """By product (seller, item): how many are left, and the price in cents of the newest lot."""
        return {product: (self._left[product], price) for product, price in self._prices.items()}

    def decide_deposit(self, lot: Lot, trader: str) -> DepositEntry | None:
        """The entry that books this deposit. None if it is booked already."""
        if lot.deposit_id in self._deposits:
            return None
        return DepositEntry(
            self.position, lot.deposit_id, lot.seller, lot.item, lot.count, lot.price_cents, lot.clock, trader
        )

    def decide_order(self, order: Order, deposit_id: str | None, trader: str) -> Sale | Denial | None:
        """Sells from the lot that a cache promised, or else from the item's first lots: all units or none.

        None if the order is answered already.
        """
        if order.order_id in self._answered:
            return None
        if deposit_id is None:
            taken = self._shelves[order.item].lowest(order.units)
        else:
            lot = self._pool(trader, order.item, deposit_id).get(deposit_id)
            taken = (with_count(lot, order.units),) if lot is not None and lot.count >= order.units else ()
        if not taken:
            reason: Literal["unavailable", "oversold"] = "unavailable" if deposit_id is None else "oversold"
            return Denial(
                self.position, order.order_id, order.buyer, order.item, reason, order.clock, trader, order.units
            )
        first, *others = (Part(lot.deposit_id, lot.seller, lot.price_cents, lot.count) for lot in taken)
        return Sale(
            self.position, order.order_id, order.buyer, order.item, first.deposit_id, first.seller, first.price_cents,
            order.clock, trader, deposit_id is not None, first.units, tuple(others),
        )  # fmt: skip

    def decide_grant(self, item: Item, count: int, trader: str) -> Grant | None:
        """Grants up to `count` units of the lot to be sold next. None if nothing is free."""
        lot = self._shelves[item].first()
        return Grant(self.position, lot.deposit_id, item, min(count, lot.count), trader) if lot is not None else None

    def decide_return(self, item: Item, trader: str) -> Return | None:
        """Returns all units that the trader holds of one lot of the item. None if it holds none."""
        for lot in self.holdings(trader, item):
            return Return(self.position, lot.deposit_id, item, lot.count, trader)
        return None

    def answered(self, order_id: str) -> bool:
        """Whether the order was decided."""
        return order_id in self._answered

    def answer(self, order_id: str) -> Shipped | Denied:
        """The final answer to an order that was decided, with the lots as they are now."""
        entry = self._answers.get(order_id) or self._entry_of(order_id)
        if isinstance(entry, Denial):
            return Denied(entry.reason)
        first, *others = (self._now(entry.item, part) for part in entry.parts)
        return Shipped(first.lot, first.left, first.units, tuple(others))

    def _now(self, item: Item, part: Part) -> requests.Part:
        lot = self._shelves[item].get(part.deposit_id)
        sold_out = Lot(part.deposit_id, part.seller, item, part.price_cents, 0, 0)
        return requests.Part(lot or sold_out, self._left[part.seller, item], part.units)

    def apply(self, entry: AnyEntry) -> None:
        """Folds in the next entry. Raises `ValueError` if it sells what is not there."""
        match entry:
            case DepositEntry():
                lot = Lot(entry.deposit_id, entry.seller, entry.item, entry.price_cents, entry.clock, entry.count)
                self._deposits.add(entry.deposit_id)
                self._shelves[entry.item].put(lot)
                self._left[entry.seller, entry.item] += entry.count
                self._prices[entry.seller, entry.item] = entry.price_cents
            case Sale():
                shelf = self._shelves[entry.item]
                pool = self._pool(entry.trader, entry.item, entry.deposit_id) if entry.cached else shelf
                for part in entry.parts:
                    self._take(pool, part.deposit_id, part.units)
                    self._left[part.seller, entry.item] -= part.units
                if pool is not shelf:
                    self._tidy()
                self._remember(entry)
            case Denial():
                self._remember(entry)
            case Appoint():
                self._tenures[entry.peer] = Seat(entry.peer, entry.position)
            case DeposeEntry():
                self._tenures.pop(entry.peer, None)
            case AdoptEntry():
                for item, shelf in self._granted.pop(Seat(entry.peer, entry.since), {}).items():
                    for lot in shelf:
                        self._give(self._held(entry.trader, item), lot)
            case Grant():
                lot = self._take(self._shelves[entry.item], entry.deposit_id, entry.count)
                self._give(self._held(entry.trader, entry.item), lot)
            case Return():
                lot = self._take(self._held(entry.trader, entry.item), entry.deposit_id, entry.count)
                self._give(self._shelves[entry.item], lot)
                self._tidy()
        self.position += 1

    def _remember(self, entry: Sale | Denial) -> None:
        self._answered.add(entry.order_id)
        self._answers[entry.order_id] = entry
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def _pool(self, trader: str, item: Item, deposit_id: str) -> Shelf:
        """The shelf for a promise: the trader's granted units of the lot, or those in the shared cache.

        With a weak cache, which holds nothing, the free units.
        """
        for holder in (trader, CACHE):
            seat = self._tenures.get(holder)
            held = self._granted.get(seat, {}).get(item) if seat is not None else None
            if held is not None and held.get(deposit_id) is not None:
                return held
        return self._shelves[item]

    def _held(self, trader: str, item: Item) -> Shelf:
        seat = self._tenures.get(trader)
        if seat is None:
            raise ValueError(f"{trader} is no trader")
        return self._granted.setdefault(seat, {}).setdefault(item, Shelf())

    def _tidy(self) -> None:
        """Forgets the tenures that hold nothing."""
        for seat, shelves in list(self._granted.items()):
            for item, shelf in list(shelves.items()):
                if not any(shelf):
                    del shelves[item]
            if not shelves:
                del self._granted[seat]

    @staticmethod
    def _take(shelf: Shelf, deposit_id: str, count: int) -> Lot:
        """Takes so many units out of the lot. Raises `ValueError` if they are not there."""
        lot = shelf.get(deposit_id)
        if lot is None or lot.count < count:
            raise ValueError(f"{count} of {deposit_id} are to be taken, of {lot.count if lot else 0}")
        if lot.count > count:
            shelf.put(with_count(lot, lot.count - count))
        else:
            shelf.drop(deposit_id)
        return with_count(lot, count)

    @staticmethod
    def _give(shelf: Shelf, units: Lot) -> None:
        there = shelf.get(units.deposit_id)
        shelf.put(units if there is None else with_count(units, units.count + there.count))
