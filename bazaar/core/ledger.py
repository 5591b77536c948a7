"""The rules of the stock: the ledger is the truth, and everything here is a projection of it.

`decide_*` looks at the projection and says what is to be appended; `apply` folds an appended entry in. A projection
that is thrown away and rebuilt from the same entries is the same projection. The decision is final: nothing is
shipped that is not there, and the same order asked again gets the same answer (SPEC D1).
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from bazaar.core.shelf import Shelf, with_count
from bazaar.records import (
    ITEMS,
    AnyEntry,
    Appoint,
    Bench,
    Denial,
    Denied,
    DepositEntry,
    Item,
    Lot,
    Order,
    Sale,
    Shelves,
    Shipped,
)


class Ledger:
    """The projection: stock by lot, answered orders, and who is a trader."""

    def __init__(self) -> None:
        self.position = 0
        """Where the next entry goes."""
        self.bench: Bench = ()
        self.bench_position = -1
        self._shelves = {item: Shelf() for item in ITEMS}
        self._left: Counter[tuple[str, Item]] = Counter()
        self._prices: dict[tuple[str, Item], int] = {}
        self._deposits: set[str] = set()
        self._answers: dict[str, Sale | Denial] = {}

    # ----------------------------------------------------------------------------------- what is known
    def is_trader(self, peer: str) -> bool:
        """Whether `peer` holds a seat now."""
        return peer in self.bench

    def shelves(self, items: tuple[Item, ...]) -> Shelves:
        """What is left of these items."""
        return Shelves(items, tuple(lot for item in items for lot in self._shelves[item]))

    def stock(self) -> dict[tuple[str, Item], tuple[int, int]]:
        """By product (seller, item): how many are left, and the price in cents of the newest lot."""
        return {product: (self._left[product], price) for product, price in self._prices.items()}

    # --------------------------------------------------------------------------------------- decisions
    def decide_seat(self, peer: str, position: int, seats: int) -> Appoint | None:
        """A seat for the winner of an election against the bench as of `position`; None if that bench is outdated."""
        seat = (*self.bench, None).index(None)
        if position != self.bench_position or peer in self.bench or seat >= seats:
            return None
        return Appoint(self.position, peer, seat)

    def decide_deposit(self, lot: Lot, trader: str) -> DepositEntry | None:
        """None if this deposit is in already."""
        if lot.deposit_id in self._deposits:
            return None
        return DepositEntry(
            self.position, lot.deposit_id, lot.seller, lot.item, lot.count, lot.price_cents, lot.clock, trader
        )

    def decide_order(self, order: Order, deposit_id: str | None, trader: str) -> Sale | Denial | None:
        """Sells from the lot that a cache promised, or else from the item's first; None if the order has its answer."""
        if order.order_id in self._answers:
            return None
        shelf = self._shelves[order.item]
        lot = shelf.first() if deposit_id is None else shelf.get(deposit_id)
        if lot is None:
            reason: Literal["unavailable", "oversold"] = "unavailable" if deposit_id is None else "oversold"
            return Denial(self.position, order.order_id, order.buyer, order.item, reason, order.clock, trader)
        return Sale(
            self.position, order.order_id, order.buyer, order.item, lot.deposit_id, lot.seller, lot.price_cents,
            order.clock, trader, deposit_id is not None,
        )  # fmt: skip

    def answer(self, order_id: str) -> Shipped | Denied:
        """The final answer to an order that was decided, with the lot as it is now."""
        entry = self._answers[order_id]
        if isinstance(entry, Denial):
            return Denied(entry.reason)
        lot = self._shelves[entry.item].get(entry.deposit_id)
        left = lot.count if lot is not None else 0
        sold_from = Lot(entry.deposit_id, entry.seller, entry.item, entry.price_cents, 0, left)
        return Shipped(lot or sold_from, self._left[entry.seller, entry.item])

    # -------------------------------------------------------------------------------------- projection
    def apply(self, entry: AnyEntry) -> None:
        """Folds in the next entry. Raises `ValueError` if it is not the next one, or sells what is not there."""
        if entry.position != self.position:
            raise ValueError(f"the ledger goes on at {self.position}, not at {entry.position}")
        match entry:
            case DepositEntry():
                lot = Lot(entry.deposit_id, entry.seller, entry.item, entry.price_cents, entry.clock, entry.count)
                self._deposits.add(entry.deposit_id)
                self._shelves[entry.item].put(lot)
                self._left[entry.seller, entry.item] += entry.count
                self._prices[entry.seller, entry.item] = entry.price_cents
            case Sale():
                shelf = self._shelves[entry.item]
                stocked = shelf.get(entry.deposit_id)
                if stocked is None:
                    raise ValueError(f"entry {entry.position} sells from {entry.deposit_id}, which is empty")
                if stocked.count > 1:
                    shelf.put(with_count(stocked, stocked.count - 1))
                else:
                    shelf.drop(entry.deposit_id)
                self._left[entry.seller, entry.item] -= 1
                self._answers[entry.order_id] = entry
            case Denial():
                self._answers[entry.order_id] = entry
            case Appoint():
                bench = [*self.bench, None] if entry.seat == len(self.bench) else [*self.bench]
                bench[entry.seat] = entry.peer
                self.bench = tuple(bench)
                self.bench_position = entry.position
        self.position += 1
