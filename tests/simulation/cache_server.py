"""The simulated cache server: what the scripts in `bazaar/runtime/cache_scripts.py` do, and the ways to it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

from bazaar.core.shelf import Shelf, with_count
from bazaar.protocol.cache_server import (
    PATIENCE_S,
    Call,
    Empty,
    Fill,
    Filled,
    Given,
    OtherEpoch,
    Result,
    Take,
    Unreached,
)
from bazaar.protocol.goods import ITEMS, Item
from tests.simulation.network import TICK_S, Network


class CacheServer:
    """The contents of the server."""

    def __init__(self) -> None:
        self.epoch = -1
        self._shelves: dict[Item, Shelf] = {}

    def forget(self) -> None:
        """Loses everything, as a server does that is restarted."""
        self.epoch = -1
        self._shelves = {}

    def do(self, call: Call) -> Result:
        """Does what is asked, at once and as a whole."""
        match call:
            case Fill(epoch, fresh, lots):
                if epoch <= self.epoch if fresh else epoch != self.epoch:
                    return OtherEpoch()
                if fresh:
                    self.epoch, self._shelves = epoch, {item: Shelf() for item in ITEMS}
                for lot in lots:
                    there = self._shelves[lot.item].get(lot.deposit_id)
                    self._shelves[lot.item].put(with_count(lot, lot.count + (there.count if there is not None else 0)))
                return Filled()
            case Take(epoch, _, item, units):
                if epoch != self.epoch:
                    return OtherEpoch()
                found = self._shelves[item].one_with(units)
                if found is None:
                    return Empty()
                self._shelves[item].put(with_count(found, found.count - units))
                return Given(found, sum(each.count for each in self._shelves[item]))


class CacheLinks:
    """The connections of all processes to the server. Each keeps the order of its calls, and of their results."""

    def __init__(
        self, seed: int, network: Network, after: Callable[[float, Callable[[], None]], None], now: Callable[[], float]
    ) -> None:
        """`after` schedules an act on virtual time."""
        self.server = CacheServer()
        self.lives = 0  # an even number while it runs
        self.slower_s = 0.0
        self.stopped_until = 0.0
        self._rng = random.Random(f"cache/{seed}")
        self._network = network
        self._after = after
        self._now = now
        self._calls: defaultdict[str, float] = defaultdict(float)  # by process: when its newest call arrives
        self._results: defaultdict[str, float] = defaultdict(float)

    def kill(self) -> None:
        """Ends the server, and all connections."""
        if self.lives % 2 == 0:
            self.lives += 1
            self.server.forget()

    def restart(self) -> None:
        """Starts a server that was killed. It is empty."""
        if self.lives % 2 == 1:
            self.lives += 1

    def call(self, source: str, call: Call, tell: Callable[[Result], None]) -> None:
        """Makes a call. `tell` gets its result once: after `PATIENCE_S`, or when the server dies, it is `Unreached`."""
        life, told = self.lives, False

        def once(result: Result) -> None:
            nonlocal told
            if not told:
                told = True
                tell(result)

        def arrive() -> None:
            if self.stopped_until > self._now():
                self._after(self.stopped_until - self._now(), arrive)
            elif self.lives == life:
                result = self.server.do(call)
                if not self._lost():
                    self._after(self._delay_s(self._results, source), lambda: once(result))
            else:
                once(Unreached())

        if life % 2 == 1:
            self._after(TICK_S, lambda: once(Unreached()))
            return
        self._after(PATIENCE_S, lambda: once(Unreached()))
        if not self._lost():
            self._after(self._delay_s(self._calls, source), arrive)

    def _lost(self) -> bool:
        """A connection breaks much more rarely than a delivery is lost."""
        return self._rng.random() < self._network.loss / 5

    def _delay_s(self, ways: dict[str, float], source: str) -> float:
        wanted = self._now() + self._rng.expovariate(1 / self._network.delay_s) + self.slower_s
        ways[source] = max(ways[source] + TICK_S, wanted)
        return ways[source] - self._now()
