"""A world: one bazaar on virtual time, from its beginning to its end, with all the faults that it can suffer."""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable, Generator, Iterator
from functools import partial

from bazaar.analysis.audit import Evidence
from bazaar.core.ledger import Ledger
from bazaar.core.turn import Turn
from bazaar.protocol.events import Ended
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.settings import Settings
from peers.peer import Peer
from tests.simulation.driver import Driver, Failure, Machine
from tests.simulation.network import TICK_S, Network, Trouble

LONGEST_S = 600.0  # of virtual time: a run that is not over by then counts as one that never ends
SIMPLE = Machine()
UNSEEN_S = (0.0, 0.05, 0.5, 5.0)
"""For so long the launcher may not have heard of a machine before it is lost. A link may have been down."""


class World(Driver):
    """One bazaar in one thread."""

    def __init__(
        self,
        seed: int,
        settings: Settings,
        network: Network,
        machine: Machine = SIMPLE,
        treaties: tuple[str, ...] = (),
    ) -> None:
        self.quiet_after_s = 0.0
        """The time when the last of the scheduled faults is over."""
        self.longest_s = LONGEST_S
        self.lost: set[str] = set()
        """The peers whose machine is lost."""
        self.ended = False
        """Whether the run came to its end by itself."""
        self.may_close: Callable[[], bool] = lambda: True
        """Whether the others, with which it trades, let it come to its end."""
        self._finishing = False
        self._to_tell = 0  # how many deaths the others have yet to be told of at the end, as the launcher does
        self._watches: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        super().__init__(seed, settings, network, machine, treaties)

    def run(self) -> Evidence:
        """Runs the bazaar to its end."""
        for _ in self.course():
            pass
        return self.evidence()

    def course(self) -> Iterator[None]:
        """Runs the bazaar until the last order is answered, or until the trading time is over, and then to its end.

        Stops before each event, so that several worlds can take turns.
        """
        for name in self.actors:
            self._begin_later(name, self._rng.random() * self._machine.begin_within_s)
        duration_s = self.plan.settings.duration_s
        self._at(self.quiet_after_s + TICK_S, self._stir)
        if duration_s is not None:
            yield from self._steps_until(lambda: self._opened_at < float("inf"))
            ends_at = self._opened_at + duration_s
            self._at(min(ends_at, self.longest_s) - self.now + TICK_S, self._stir)
            yield from self._steps_until(lambda: self.now > max(ends_at, self.quiet_after_s) and self.may_close())
        else:
            yield from self._steps_until(lambda: self.answered and self.may_close())
        self._finishing = True
        self._finish_all()
        self.ended = yield from self._steps_until(self._is_over)
        self._tell(Ended())

    @property
    def answered(self) -> bool:
        """Whether no fault is to come, and no buyer waits or has anything more to order."""
        return self.now > self.quiet_after_s and all(buyer.idle for buyer in self._living("buyer"))

    @property
    def opened(self) -> bool:
        """Whether the market is open."""
        return self._opened_at < float("inf")

    @property
    def next_at(self) -> float:
        """The time of the next event."""
        return self._agenda[0][0] if self._agenda else self.now

    def evidence(self) -> Evidence:
        """What the bazaar leaves behind."""
        ledger = Ledger(self.plan.names, self.plan.settings.traders)
        for entry in self.entries:
            ledger.apply(entry)
        stock = {product: left for product, (left, _) in ledger.stock.products().items()}
        dead = frozenset(self.killed - self.actors.keys())
        return Evidence(self.plan, self.entries, self.histories, stock, dead, frozenset(self.lost))

    def _die(self, name: str) -> None:
        super()._die(name)
        if self._finishing:
            self._to_tell += 1
            self._at(TICK_S, self._tell_of_a_death)

    def _tell_of_a_death(self) -> None:
        self._to_tell -= 1
        self._finish_all()

    def _finish_all(self) -> None:
        for name in list(self.actors):
            self._finish(name)

    def _finish(self, name: str) -> None:
        if name in self.actors:
            self._turn(name, self.actors[name].finish)

    def until(self, condition: Callable[[], bool]) -> bool:
        """Runs until the condition holds. Returns False if it never does."""
        held: list[bool] = []

        def steps() -> Iterator[None]:
            held.append((yield from self._steps_until(condition)))

        for _ in steps():
            pass
        return held[0]

    def _steps_until(self, condition: Callable[[], bool]) -> Generator[None, None, bool]:
        """Stops before each event. The result is as that of `until`."""
        self._stirred = True
        while not (self._stirred and condition()):
            if not self._agenda or self.now >= self.longest_s:
                return condition()
            self._stirred = False
            yield
            self.now, _, act = heapq.heappop(self._agenda)
            act()
            if self._watches and self._stirred:
                self._look()
        return True

    def _look(self) -> None:
        """Performs the acts whose conditions hold now."""
        watches, self._watches = self._watches, []
        for condition, act in watches:
            self.once(condition, act)

    def _is_over(self) -> bool:
        gone = self.killed - self.actors.keys()
        return not self._to_tell and all(
            actor.idle and not self.endpoints[name].owes(gone) for name, actor in self.actors.items()
        )

    # ---------------------------------------------------------------------------------------------- faults
    def kill(self, name: str) -> None:
        """Kills a process (kill -9) in the middle of its next turn."""
        if name in self.actors and name not in self._doomed:
            self._doomed.add(name)
            self.suffers("kill", name)

    def perish(self) -> None:
        """Kills all processes at once, and the launcher: nothing of this bazaar is left but its files."""
        for name in list(self.actors):
            self.suffers("kill", name)
            self._die(name)

    def lose(self, machine: str) -> None:
        """A machine is lost for good: its peers are dead, and nobody can read its disk.

        A warehouse that was there is started again elsewhere, on what has come of its history.
        """
        self.hits["lost machine"] += 1
        for name in [name for name, where in self.plan.placed.items() if where == machine]:
            if name == WAREHOUSE:
                self.hits["lost warehouse"] += 1
                self.at(self.now + self._rng.uniform(0.1, 3.0), partial(self.restart, name))
            else:
                self.lost.add(name)
                self.disk.lose(name)
            self._doomed.discard(name)
            if name in self.actors:
                self.suffers("kill", name)
                self._die(name)
            self._lose_last_lines(name)

    def _lose_last_lines(self, name: str) -> None:
        """The last lines of the history had not come to the launcher yet."""
        rng = random.Random(f"last lines/{self.plan.settings.seed}/{name}")
        since, history = self.now - rng.choice(UNSEEN_S), self.histories[name]
        while history and history[-1].at > since:
            history.pop()
            self.hits["lines lost"] += 1

    def restart(self, name: str) -> None:
        """Restarts a killed process on its own files, unless its machine is lost."""
        if name in self.lost:
            return
        if name in self._doomed:  # the process was to die in its next turn, and had none
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
        """Stops a process (SIGSTOP) within the first turn for which `when` holds, and continues it (SIGCONT) after `for_s`.

        `step`: after how many effects. 0: before it is durable. 1: before its history is written. 2: before anything is sent.
        """
        self._stops[name] = (step, for_s, when)

    def fail(self, name: str, failure: Failure) -> None:
        """Makes the next write of the process fail, which ends the process."""
        if name in self.actors:
            self._failing[name] = failure

    def mend(self, name: str) -> None:
        """Makes writes succeed again, and restarts the process if it has ended."""
        self._failing.pop(name, None)
        self.restart(name)

    def set_clock(self, by_s: float) -> None:
        """Sets the wall clock of the machine."""
        self.hits["clock set"] += 1
        self.wall_ahead_s += by_s

    def part(self, names: frozenset[str], for_s: float) -> None:
        """Cuts all links between these processes and the others for a while."""
        self.suffers("part", *sorted(names), for_s=for_s)
        others = frozenset(self.histories) - names
        for sources, targets in ((names, others), (others, names)):
            self._links.trouble(Trouble(sources, targets, self.now + for_s, None))

    def cut(self, sources: frozenset[str], targets: frozenset[str], for_s: float) -> None:
        """Cuts the links from `sources` to `targets` for a while, but not those in the other direction."""
        self.suffers("cut", *sorted(sources), for_s=for_s)
        self._links.trouble(Trouble(sources, targets, self.now + for_s, None))

    def slow(self, one: str, other: str, by_s: float, for_s: float) -> None:
        """Makes the links between these two processes slower for a while, by `by_s`."""
        self.suffers("slow", one, other, for_s=for_s + by_s)
        for source, target in ((one, other), (other, one)):
            self._links.trouble(Trouble(frozenset({source}), frozenset({target}), self.now + for_s, by_s))

    def hide_journals(self, name: str, for_s: float) -> None:
        """Makes this peer's journals unreadable for a while, counted from the first attempt to read."""
        self.disk.hide(name, for_s)

    def kill_cache(self) -> None:
        """Kills the cache server, with all that is in it."""
        self.hits["cache killed"] += 1
        self.cache.kill()

    def restart_cache(self) -> None:
        """Starts the cache server that was killed, empty."""
        self.cache.restart()

    def empty_cache(self) -> None:
        """Makes the cache server forget everything, without a connection ending."""
        self.hits["cache emptied"] += 1
        self.cache.server.forget()

    def hang_cache(self, for_s: float) -> None:
        """Makes the cache server do nothing for a while. Then it does all that was asked meanwhile."""
        self.hits["cache hangs"] += 1
        self.cache.stopped_until = max(self.cache.stopped_until, self.now + for_s)

    def slow_cache(self, by_s: float) -> None:
        """Makes each way to the cache server and back slower by so much."""
        self.hits["cache slow"] += 1
        self.cache.slower_s = by_s

    def resign(self, name: str) -> None:
        """Asks a peer to give up its seat."""
        if name in self.actors:
            self.suffers("resign", name)
            self._turn(name, self.actors[name].resign)

    def by_hand(self, name: str, act: Callable[[Peer, Turn], object]) -> None:
        """Makes a request at this peer's door. The peer may refuse."""

        def asked(turn: Turn) -> None:
            peer = self.actors[name]
            assert isinstance(peer, Peer)
            with contextlib.suppress(RuntimeError):
                act(peer, turn)

        self._turn(name, asked)

    def is_seated(self, name: str) -> bool:
        """Whether this peer is alive, and is a trader or may be one by now."""
        actor = self.actors.get(name)
        return isinstance(actor, Peer) and (actor.membership.seat is not None or actor.membership.unsure)

    def at(self, time_s: float, act: Callable[[], None]) -> None:
        """Schedules a fault."""
        self._at(time_s - self.now, act)

    def once(self, condition: Callable[[], bool], act: Callable[[], None]) -> None:
        """Schedules a fault for the moment when `condition` first holds."""
        if condition():
            act()
        else:
            self._watches.append((condition, act))
