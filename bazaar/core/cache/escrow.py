"""The escrow cache: as fast as the weak cache, and never wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bazaar.core.cache.policy import Cache
from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol.goods import ITEMS, Item, Lot
from bazaar.protocol.requests import Acquire, GiveBack, Request
from bazaar.protocol.settings import Settings

MOST_HELD = 5_000  # of one item, by one trader


class EscrowCache(Cache):
    """As fast as `weak`, and never wrong: it offers only what the ledger has granted to this trader.

    After O'Neil, "The Escrow Transactional Method" (TODS 11(4), 1986), and Balegas et al., "Extending Eventually
    Consistent Cloud Databases for Enforcing Numeric Invariants" (SRDS 2015). The cache tries to hold as many units as
    it sells in the time of a lease, so that it can go on for about as long without the warehouse. After it has asked for
    units or given them back, it asks again only when there is new demand.
    """

    leased = True

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        return cls(settings.lease_s)

    def __init__(self, lease_s: float) -> None:
        self._shelves = {item: Shelf() for item in ITEMS}  # what may be promised
        self._pledged: Counter[str] = Counter()  # by deposit: promised, and not yet decided by the warehouse
        self._demand = {item: Demand(lease_s) for item in ITEMS}
        self._look: set[Item] = set()  # items of which it may hold more than it knows
        self._called: set[Item] = set()  # items to be given back
        self._wanted: set[Item] = set()  # items ordered since the last request for them, or since their recall

    def offer(self, item: Item, units: int = 1) -> Lot | None:
        return self._shelves[item].one_with(units)

    def promised(self, lot: Lot, units: int = 1) -> None:
        self._pledged[lot.deposit_id] += units
        self._demand[lot.item].units += units
        self._wanted.add(lot.item)
        self._add(lot, -units)

    def settled(self, lot: Lot, shipped: bool, units: int = 1) -> None:
        self._pledged[lot.deposit_id] -= units
        if not self._pledged[lot.deposit_id]:
            del self._pledged[lot.deposit_id]
        if not shipped:  # the order was decided elsewhere
            self._add(lot, units)

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        for item in items:
            self._shelves[item] = Shelf()
        for lot in lots:
            self._shelves[lot.item].put(with_count(lot, max(0, lot.count - self._pledged[lot.deposit_id])))

    def recalled(self, item: Item) -> None:
        self._called.add(item)

    def lots(self) -> tuple[Lot, ...]:
        return tuple(lot for shelf in self._shelves.values() for lot in shelf)

    def inherited(self) -> None:
        self._look.update(ITEMS)

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        requests: list[Request] = []
        for item in missed:
            self._demand[item].units += 1
            self._wanted.add(item)
        for item in ITEMS:
            target = min(MOST_HELD, self._demand[item].in_a_lease(now))
            if item in self._called:
                requests.append(GiveBack(item))
                self._shelves[item] = Shelf()
                self._wanted.discard(item)
            elif item in self._look or (item in self._wanted and self._available(item) < target / 2):
                requests.append(Acquire(item, target))
                self._wanted.discard(item)
        self._called.clear()
        self._look.clear()
        return tuple(requests)

    def _available(self, item: Item) -> int:
        return sum(lot.count for lot in self._shelves[item])

    def _add(self, lot: Lot, count: int) -> None:
        known = self._shelves[lot.item].get(lot.deposit_id)
        self._shelves[lot.item].put(with_count(lot, max(0, (known.count if known is not None else 0) + count)))


class Demand:
    """How many units of an item are sold in the time of a lease, estimated from this period and the one before."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._until = 0.0
        self._before = 0
        self.units = 0
        """The units of this period."""

    def in_a_lease(self, now: float) -> int:
        """At the beginning of a period, when the rest of it is unknown, the estimate is twice the units so far."""
        if now >= self._until:
            self._before = self.units if now < self._until + self._period_s else 0
            self._until = now + self._period_s
            self.units = 0
        return max(2 * self.units, self._before)
