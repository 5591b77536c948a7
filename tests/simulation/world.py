"""A world: one bazaar on virtual time, from its beginning to its end, and all that can be done to it."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable

from bazaar.analysis.audit import Evidence
from bazaar.core.ledger import Ledger
from bazaar.core.turn import Turn
from bazaar.protocol.events import Ended
from bazaar.protocol.settings import Settings
from peers.peer import Peer
from tests.simulation.driver import Driver, Failure, Machine
from tests.simulation.network import TICK_S, Network, Trouble

LONGEST_S = 600.0  # of virtual time: a run that is not over by then never will be
SIMPLE = Machine()


class World(Driver):
    """One bazaar in one thread."""

    def __init__(self, seed: int, settings: Settings, network: Network, machine: Machine = SIMPLE) -> None:
        self.quiet_after_s = 0.0
        """When the last of the scheduled faults is over."""
        self.longest_s = LONGEST_S
        self.ended = False
        """Whether the run came to its end by itself."""
        self._finishing = False
        self._watches: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        super().__init__(seed, settings, network, machine)

    def run(self) -> Evidence:
        """From the beginning to the end of the last order, or of the time to trade."""
        for name in self.actors:
            self._begin_later(name, self._rng.random() * self._machine.begin_within_s)
        duration_s = self.plan.settings.duration_s
        self._at(self.quiet_after_s + TICK_S, self._stir)
        if duration_s is not None:
            self._until(lambda: self._opened_at < float("inf"))
            ends_at = self._opened_at + duration_s
            self._at(min(ends_at, self.longest_s) - self.now + TICK_S, self._stir)
            self._until(lambda: self.now > max(ends_at, self.quiet_after_s))
        else:
            self._until(lambda: self.now > self.quiet_after_s and all(buyer.idle for buyer in self._living("buyer")))
        self._finishing = True
        for name in list(self.actors):
            self._finish(name)
        self.ended = self._until(self._is_over)
        self._tell(Ended())
        ledger = Ledger(self.plan.names, self.plan.settings.traders)
        for entry in self.entries:
            ledger.apply(entry)
        stock = {product: left for product, (left, _) in ledger.stock.products().items()}
        return Evidence(self.plan, self.entries, self.histories, stock, frozenset(self.killed - self.actors.keys()))

    def _finish(self, name: str) -> None:
        if name in self.actors:
            self._turn(name, self.actors[name].finish)

    def _until(self, condition: Callable[[], bool]) -> bool:
        """Goes on until it holds; False if it never does."""
        self._stirred = True
        while not (self._stirred and condition()):
            if not self._agenda or self.now >= self.longest_s:
                return condition()
            self._stirred = False
            self.now, _, act = heapq.heappop(self._agenda)
            act()
            if self._watches and self._stirred:
                self._look()
        return True

    def _look(self) -> None:
        """Does what waits for a condition that holds now."""
        watches, self._watches = self._watches, []
        for condition, act in watches:
            self.once(condition, act)

    def _is_over(self) -> bool:
        gone = self.killed - self.actors.keys()
        return all(actor.idle and not self.endpoints[name].owes(gone) for name, actor in self.actors.items())

    # ---------------------------------------------------------------------------------------------- faults
    def kill(self, name: str) -> None:
        """kill -9 in the middle of what the process does next."""
        if name in self.actors and name not in self._doomed:
            self._doomed.add(name)
            self.suffers("kill", name)

    def restart(self, name: str) -> None:
        """Starts a killed process again, on its own files."""
        if name in self._doomed:  # it has had no turn since it was to die
            self._doomed.discard(name)
            self._die(name)
        if name not in self.actors:
            self.suffers("restart", name)
            self._create(name)
            within_s = self._machine.further_begin_within_s
            self._begin_later(name, self._rng.random() * within_s)
            if self._finishing:
                self._at(within_s + TICK_S, lambda: self._finish(name))

    def stop_at(self, name: str, step: int, for_s: float, when: Callable[[Turn], bool]) -> None:
        """SIGSTOP within a turn, the first for which `when` holds, after so many of its effects: before it is durable (0),
        before its history is written (1), before anything is sent (2), or later. SIGCONT later."""
        self._stops[name] = (step, for_s, when)

    def fail(self, name: str, failure: Failure) -> None:
        """What the process writes next fails so: it ends, loudly."""
        if name in self.actors:
            self._failing[name] = failure

    def mend(self, name: str) -> None:
        """It can write again, and runs, again or still."""
        self._failing.pop(name, None)
        self.restart(name)

    def set_clock(self, by_s: float) -> None:
        """Somebody sets the clock on the wall of the machine."""
        self.hits["clock set"] += 1
        self.wall_ahead_s += by_s

    def part(self, names: frozenset[str], for_s: float) -> None:
        """Nothing passes between these and the others for a while."""
        self.suffers("part", *sorted(names), for_s=for_s)
        others = frozenset(self.histories) - names
        for sources, targets in ((names, others), (others, names)):
            self._links.trouble(Trouble(sources, targets, self.now + for_s, None))

    def cut(self, sources: frozenset[str], targets: frozenset[str], for_s: float) -> None:
        """Nothing gets from these to those for a while; the other way it does."""
        self.suffers("cut", *sorted(sources), for_s=for_s)
        self._links.trouble(Trouble(sources, targets, self.now + for_s, None))

    def slow(self, one: str, other: str, by_s: float, for_s: float) -> None:
        """What passes between these two takes longer for a while."""
        self.suffers("slow", one, other, for_s=for_s + by_s)
        for source, target in ((one, other), (other, one)):
            self._links.trouble(Trouble(frozenset({source}), frozenset({target}), self.now + for_s, by_s))

    def hide_journals(self, name: str, for_s: float) -> None:
        """Nobody can read what this peer has written, for a while from the first attempt on."""
        self.disk.hide(name, for_s)

    def resign(self, name: str) -> None:
        """Asks a peer to give up its seat."""
        if name in self.actors:
            self.suffers("resign", name)
            self._turn(name, self.actors[name].resign)

    def by_hand(self, name: str, act: Callable[[Peer, Turn], object]) -> None:
        """Somebody at the door asks this peer for something. It may refuse."""

        def asked(turn: Turn) -> None:
            peer = self.actors[name]
            assert isinstance(peer, Peer)
            with contextlib.suppress(RuntimeError):
                act(peer, turn)

        self._turn(name, asked)

    def is_seated(self, name: str) -> bool:
        """Whether this peer is there and a trader, or may be one by now."""
        actor = self.actors.get(name)
        return isinstance(actor, Peer) and (actor.membership.seat is not None or actor.membership.unsure)

    def at(self, time_s: float, act: Callable[[], None]) -> None:
        """Schedules a fault."""
        self._at(time_s - self.now, act)

    def once(self, condition: Callable[[], bool], act: Callable[[], None]) -> None:
        """Schedules a fault for as soon as `condition` is seen to hold."""
        if condition():
            act()
        else:
            self._watches.append((condition, act))
