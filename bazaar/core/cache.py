"""Cache policies: *may I answer this order from what I know?* and *whom do I tell?*

A policy is an object with the methods of `Cache`. It is asked by the trader alone, and knows no peer, no message and
no time: units in, units out. `POLICIES` is the list that `--cache` chooses from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from bazaar.core.shelf import Shelf, with_count
from bazaar.records import ITEMS, Item, Lot
from bazaar.settings import Settings


class Cache:
    """`none`: knows nothing, so the warehouse answers every order (SPEC D2). The base of all other policies."""

    def offer(self, item: Item) -> Lot | None:
        """The lot from which an order for `item` may be answered without asking the warehouse; None is a miss."""
        return None

    def promised(self, lot: Lot) -> None:
        """One unit of `lot`, as `offer` gave it, was promised to a buyer."""

    def settled(self, lot: Lot, shipped: bool) -> None:
        """The warehouse has decided a promise made from `lot`."""

    def sold(self, lot: Lot) -> None:
        """The warehouse sold a unit without a promise; `lot` is as it is since."""

    def served(self) -> None:
        """One more order has its answer."""

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        """The warehouse's shelves of `items` hold exactly these lots."""

    def hear(self, lot: Lot) -> None:
        """Another trader says that this much of `lot` is left."""

    def wants(self, missed: Iterable[Item]) -> tuple[Item, ...]:
        """The items to read along with the next question to the warehouse, given those that were missed."""
        return ()

    def news(self) -> tuple[Lot, ...]:
        """What the other traders are to be told since this was last asked."""
        return ()


class WeakCache(Cache):
    """The seed's (SPEC D3 to D6): fast, and now and then wrong, in either direction.

    A count above zero answers; a zero or an unknown lot is a miss, and a miss refreshes the item. Every `pull_every`
    served orders all is read anew; after each sale the others are told the count, and of two counts the lower is kept.
    """

    def __init__(self, pull_every: int, push: bool) -> None:
        self._pull_every = pull_every
        self._push = push
        self._served = 0
        self._shelves = {item: Shelf() for item in ITEMS}
        self._pledged: Counter[str] = Counter()  # by deposit: promised, and not yet decided by the warehouse
        self._news: dict[str, Lot] = {}

    def offer(self, item: Item) -> Lot | None:
        return self._shelves[item].first()

    def promised(self, lot: Lot) -> None:
        self._pledged[lot.deposit_id] += 1
        self._set(with_count(lot, lot.count - 1))

    def settled(self, lot: Lot, shipped: bool) -> None:
        self._pledged[lot.deposit_id] -= 1
        if not self._pledged[lot.deposit_id]:
            del self._pledged[lot.deposit_id]
        if not shipped:
            self._set(with_count(lot, 0))

    def sold(self, lot: Lot) -> None:
        self._set(with_count(lot, max(0, lot.count - self._pledged[lot.deposit_id])))

    def served(self) -> None:
        self._served += 1

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        for item in items:
            self._shelves[item] = Shelf()
        for lot in lots:
            self._shelves[lot.item].put(with_count(lot, max(0, lot.count - self._pledged[lot.deposit_id])))

    def hear(self, lot: Lot) -> None:
        known = self._shelves[lot.item].get(lot.deposit_id)
        if known is None or lot.count < known.count:
            self._shelves[lot.item].put(lot)

    def wants(self, missed: Iterable[Item]) -> tuple[Item, ...]:
        if self._pull_every and self._served >= self._pull_every:
            self._served = 0
            return ITEMS
        return tuple(sorted(set(missed)))

    def news(self) -> tuple[Lot, ...]:
        news = tuple(self._news.values())
        self._news.clear()
        return news

    def _set(self, lot: Lot) -> None:
        self._shelves[lot.item].put(lot)
        if self._push:
            self._news[lot.deposit_id] = lot


POLICIES: dict[str, Callable[[Settings], Cache]] = {
    "none": lambda settings: Cache(),
    "weak": lambda settings: WeakCache(settings.pull_every, settings.push),
}
