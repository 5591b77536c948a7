"""The shared cache: one cache server that all traders use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bazaar.core.cache.escrow import MOST_HELD, Demand
from bazaar.core.cache.policy import Cache
from bazaar.protocol.goods import ITEMS, Item, Lot
from bazaar.protocol.requests import Acquire, Request
from bazaar.protocol.settings import Settings


class SharedCache(Cache):
    """Escrow with one holder: the ledger grants units to the cache server, and whoever takes them there may promise them.

    This object has no units. It estimates how many its trader sells in the time of a lease, and asks the warehouse to fill
    the server up when less than half of that is left. The traders' wishes add up, because each sees its own buyers only.
    """

    leased = True
    remote = True

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        return cls(settings.lease_s)

    def __init__(self, lease_s: float) -> None:
        self._demand = {item: Demand(lease_s) for item in ITEMS}
        self._left: defaultdict[Item, int] = defaultdict(int)  # in the server, as it said last
        self._wanted: set[Item] = set()  # items ordered since the last request for them

    def promised(self, lot: Lot, units: int = 1) -> None:
        self._demand[lot.item].units += units
        self._wanted.add(lot.item)

    def left(self, item: Item, units: int) -> None:
        self._left[item] = units

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        requests: list[Request] = []
        for item in missed:
            self._demand[item].units += 1
            self._wanted.add(item)
        for item in ITEMS:
            target = min(MOST_HELD, self._demand[item].in_a_lease(now))
            if item in self._wanted and self._left[item] < target / 2:
                requests.append(Acquire(item, target))
                self._wanted.discard(item)
        return tuple(requests)
