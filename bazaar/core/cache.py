"""Cache policies: *may I answer this order from what I know?* and *whom do I tell?*

A policy is an object with the methods of `Cache`. It is asked by the trader alone, and knows no peer and no clock of
its own: units in, units out. Its class says how it is built and what it promises, and `POLICIES` names the classes: the
command line, the settings, the simulator, the experiments and the audit (through `bazaar.json`) know no other list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol.goods import ITEMS, Item, Lot
from bazaar.protocol.messages import Draw, GiveBack, Read, Request

if TYPE_CHECKING:  # which ask the table below whether there is such a policy
    from bazaar.protocol.settings import Settings

Promise = Literal["strong", "weak"]


class Cache:
    """`none`: knows nothing, so the warehouse answers every order (SPEC D2). The base of all other policies."""

    promises: ClassVar[Promise] = "strong"
    """`strong`: what a buyer is told is never taken back, and nothing is refused that is in stock. `weak`: now and then."""
    leased: ClassVar[bool] = False
    """Whether what it offers is this trader's own, for as long as its lease lasts, so that no promise is taken back."""

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        """As a trader has it in a run with these settings."""
        return cls()

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

    def called_back(self, item: Item) -> None:
        """The warehouse wants back what was granted of the item and not promised."""

    def inherited(self) -> None:
        """What was granted to a dead trader is this one's now."""

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        """What to ask the warehouse along with the next question, given the items that were missed."""
        return ()

    def lots(self) -> tuple[Lot, ...]:
        """What it holds for true now, to be looked at."""
        return ()

    def news(self) -> tuple[Lot, ...]:
        """What the other traders are to be told since this was last asked."""
        return ()


class WeakCache(Cache):
    """The seed's (SPEC D3 to D6): fast, and now and then wrong, in either direction.

    A count above zero answers; a zero or an unknown lot is a miss, and a miss refreshes the item. Every `pull_every`
    served orders all is read anew; after each sale the others are told the count, and of two counts the lower is kept.
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


class EscrowCache(Cache):
    """As fast as `weak`, and never wrong: it offers only what the ledger has granted to this trader.

    After O'Neil, "The Escrow Transactional Method" (TODS 11(4), 1986), and Balegas et al., "Extending Eventually
    Consistent Cloud Databases for Enforcing Numeric Invariants" (SRDS 2015). It wants to hold what it has sold in the
    time of a lease, so that it can go on for about as long without the warehouse. Having asked, or given back, it
    asks again only when there is new demand.
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
        self._called: set[Item] = set()  # to be given back
        self._wanted: set[Item] = set()  # items that somebody ordered since they were asked for, or called back

    def offer(self, item: Item) -> Lot | None:
        return self._shelves[item].first()

    def promised(self, lot: Lot) -> None:
        self._pledged[lot.deposit_id] += 1
        self._demand[lot.item].units += 1
        self._wanted.add(lot.item)
        self._add(lot, -1)

    def settled(self, lot: Lot, shipped: bool) -> None:
        self._pledged[lot.deposit_id] -= 1
        if not self._pledged[lot.deposit_id]:
            del self._pledged[lot.deposit_id]
        if not shipped:  # the order was decided elsewhere
            self._add(lot, 1)

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        for item in items:
            self._shelves[item] = Shelf()
        for lot in lots:
            self._shelves[lot.item].put(with_count(lot, max(0, lot.count - self._pledged[lot.deposit_id])))

    def called_back(self, item: Item) -> None:
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
                requests.append(Draw(item, target))
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
    """How many units of an item are sold in the time of a lease, going by this period of time and the one before."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._until = 0.0
        self._before = 0
        self.units = 0
        """Those of this period."""

    def in_a_lease(self, now: float) -> int:
        """At the beginning, when the future is unknown, twice what it was so far."""
        if now >= self._until:
            self._before = self.units if now < self._until + self._period_s else 0
            self._until = now + self._period_s
            self.units = 0
        return max(2 * self.units, self._before)


MOST_HELD = 5_000  # of one item, by one trader

POLICIES: dict[str, type[Cache]] = {"none": Cache, "weak": WeakCache, "escrow": EscrowCache}
