"""The weak cache: fast, and now and then wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bazaar.core.cache.policy import Cache
from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol.goods import ITEMS, Item, Lot
from bazaar.protocol.requests import Read, Request
from bazaar.protocol.settings import Settings


class WeakCache(Cache):
    """The cache of the original system (requirements D3 to D6): fast, and now and then wrong, in either direction.

    The first lot with a count above zero answers an order, if it has as many units. Else the order is a miss, and a miss
    refreshes the item.
    After every `pull_every` served orders the whole stock is read anew. After each sale the other traders are told the count.
    Of two counts the lower is kept.
    """

    promises = "weak"

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        return cls(settings.pull_every, settings.push)

    def __init__(self, pull_every: int, push: bool) -> None:
        self._pull_every = pull_every
        self._push = push
        self._served = 0
        self._shelves = {item: Shelf() for item in ITEMS}
        self._pledged: Counter[str] = Counter()  # by deposit: promised, and not yet decided by the warehouse
        self._news: dict[str, Lot] = {}

    def offer(self, item: Item, units: int = 1) -> Lot | None:
        lot = self._shelves[item].first()
        return lot if lot is not None and lot.count >= units else None

    def promised(self, lot: Lot, units: int = 1) -> None:
        self._pledged[lot.deposit_id] += units
        self._set(with_count(lot, lot.count - units))

    def settled(self, lot: Lot, shipped: bool, units: int = 1) -> None:
        self._pledged[lot.deposit_id] -= units
        if not self._pledged[lot.deposit_id]:
            del self._pledged[lot.deposit_id]
        if not shipped:
            self._set(with_count(lot, 0))  # there may be fewer than `units`, and a miss will tell

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

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        if self._pull_every and self._served >= self._pull_every:
            self._served = 0
            return (Read(ITEMS),)
        items = tuple(sorted(set(missed)))
        return (Read(items),) if items else ()

    def lots(self) -> tuple[Lot, ...]:
        return tuple(lot for shelf in self._shelves.values() for lot in shelf)

    def news(self) -> tuple[Lot, ...]:
        news = tuple(self._news.values())
        self._news.clear()
        return news

    def _set(self, lot: Lot) -> None:
        self._shelves[lot.item].put(lot)
        if self._push:
            self._news[lot.deposit_id] = lot
