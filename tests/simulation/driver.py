"""The simulated driver: it runs the same actors and endpoints as the processes, in one thread, on virtual time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from bazaar.control.planning import draw_plan
from bazaar.core.clock import LamportClock
from bazaar.core.endpoint import Close, Consult, Effect, Endpoint, Note, Outlet, Persist, Read, Send, Silent
from bazaar.core.routing.router import Terms
from bazaar.core.turn import Actor, Noted, Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol import events
from bazaar.protocol.cache_server import Call, Result
from bazaar.protocol.entries import AnyEntry, Denial, Sale
from bazaar.protocol.goods import WAREHOUSE, Seat, embassy_of
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings
from bazaar.protocol.wire import encode
from bazaar.runtime.history import Recorded, recall, recorded
from peers.embassy import Embassy
from peers.peer import Peer
from tests.simulation.cache_server import CacheLinks
from tests.simulation.disk import Disk
from tests.simulation.network import TICK_S, Links, Network

LAUNCHER = "launcher"
Failure = Literal["full", "reply lost"]
"""How a write ends the process. "full": the disk has room for a part only. "reply lost": all is durable, but unconfirmed."""
JOURNAL_READ_S = 0.02  # as on a busy disk: letters arrive before the journal is read


class Machine(msgspec.Struct, frozen=True):
    """The machine that the processes run on. Times are in seconds."""

    begin_within_s: float = 0.01
    """The longest random delay between the first creation of a process and the command to begin."""
    further_begin_within_s: float = 0.0
    """The same delay in a further life. Letters may arrive before the process begins."""
    clock_offset_s: float = 0.0
    """Each life's steady clock starts anywhere from 0 to this."""
    tears: bool = False
    """Whether a crash loses unsynced lines, and leaves a part of the lines being written."""


def placed(plan: Plan, seed: int) -> Plan:
    """The plan on three or more machines, if journals are to be kept on another machine."""
    if not plan.settings.keeper:
        return plan
    rng = random.Random(f"placed/{seed}")
    machines = rng.randint(3, len(plan.names))
    where = {name: f"machine{number % machines}" for number, name in enumerate(plan.names)}
    if rng.random() < 0.5:
        where[WAREHOUSE] = f"machine{rng.randrange(machines)}"
    return msgspec.structs.replace(plan, placed=where)


class Driver:
    """Runs the actors: their lives, their turns, and the deliveries between them."""

    def __init__(
        self, seed: int, settings: Settings, network: Network, machine: Machine, treaties: tuple[str, ...] = ()
    ) -> None:
        """`treaties`: the bazaars that this one joins."""
        self.now = 0.0
        self.plan: Plan = placed(draw_plan(settings), seed)
        self.entries: list[AnyEntry] = []
        self.histories: dict[str, list[Recorded[events.Event]]]
        self.histories = {name: [] for name in (LAUNCHER, WAREHOUSE, *self.plan.members)}
        self.abroad: dict[str, Driver] = {}
        """The other bazaars, by embassy."""
        self.disk = Disk()
        self.journals = self.disk.journals
        self.killed: set[str] = set()
        self.hits: Counter[str] = Counter()
        """The number of times that each kind of fault has really hit a process."""
        self.actors: dict[str, Actor] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.rates: defaultdict[str, float] = defaultdict(lambda: 1.0)
        """The rate of each process's steady clock."""
        self.wall_ahead_s = 0.0
        """How far the machine's wall clock was set ahead. Nothing may depend on the wall clock."""
        self._treaties = treaties
        self._links = Links(seed, network)
        self.cache = CacheLinks(seed, network, self._at, lambda: self.now)
        """The shared cache server, which runs whether anybody uses it or not."""
        self._machine = machine
        self._rng = random.Random(f"driver/{seed}")
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._wakes: defaultdict[str, float] = defaultdict(lambda: float("inf"))
        self._lives: Counter[str] = Counter()
        self._offsets: dict[str, float] = {}
        self._doomed: set[str] = set()  # processes whose next turn is their last, cut off in the middle
        self._unbegun: set[str] = set()
        self._failing: dict[str, Failure] = {}  # by process: the failure of its next write
        self._paused_until: dict[str, float] = {}
        self._stops: dict[str, tuple[int, float, Callable[[Turn], bool]]] = {}
        self._launcher = LamportClock()
        self._opened_at = float("inf")
        self._stirred = True  # whether something happened that may have made a condition true
        for name in (WAREHOUSE, *self.plan.members):
            self._create(name)

    def pause(self, name: str, for_s: float) -> None:
        """Stops a process with SIGSTOP, and continues it with SIGCONT later."""
        if name in self.actors:
            self.suffers("pause", name, for_s=for_s)
            self._paused_until[name] = max(self.now + for_s, self._paused_until.get(name, 0.0))

    def suffers(self, kind: str, *names: str, for_s: float = 0.0) -> None:
        """Writes into the launcher's history that it did this fault to these processes."""
        self.hits[kind] += 1
        fault = f"{kind}:{','.join(names)}"
        self._tell(events.Fault(fault, kind, names[0], for_s, names))

    def _create(self, name: str) -> None:
        settings = self.plan.settings
        former = recall(self.histories[name])
        former = msgspec.structs.replace(former, lives=max(former.lives, self._lives[name]))  # as the launcher counts
        self._lives[name] += 1
        self._offsets[name] = self._rng.random() * self._machine.clock_offset_s
        self._wakes.pop(name, None)
        if name == WAREHOUSE:
            self.actors[name] = Warehouse(self.plan.names, settings, self.entries, self._entry_of)
        elif name == self.plan.embassy:
            self.actors[name] = Embassy(self.plan, self._treaties, former)
        else:
            self.actors[name] = Peer(name, self.plan, former, self.disk.copies[name])
        known = (WAREHOUSE, *self.plan.members, *map(embassy_of, self._treaties), *map(embassy_of, former.met))
        self.endpoints[name] = Endpoint(
            self.actors[name], known, former, self._links.network.repeat_after_s, Terms.of(self.plan)
        )
        self._turn(name, self.endpoints[name].born)
        self._tell(events.Started(name, again=former.lives > 0))

    def _begin_later(self, name: str, delay_s: float) -> None:
        life = self._lives[name]

        self._unbegun.add(name)

        def begin() -> None:
            if self._lives[name] == life and name in self.actors:
                self._unbegun.discard(name)
                self._turn(name, self.endpoints[name].begin)

        if delay_s:
            self._at(delay_s, begin)
        else:
            begin()

    def _entry_of(self, order_id: str) -> Sale | Denial:
        answers = (entry for entry in self.entries if isinstance(entry, (Sale, Denial)))
        return next(entry for entry in answers if entry.order_id == order_id)

    def _die(self, name: str) -> None:
        self.killed.add(name)
        del self.actors[name]
        self._stirred = True
        self._failing.pop(name, None)
        self._paused_until.pop(name, None)
        if self._machine.tears:
            self.hits["torn"] += self.disk.tear(name, self._rng)

    def _tell(self, event: events.Event) -> None:
        """Adds a line to the launcher's own history."""
        self.histories[LAUNCHER].append(recorded(self.now, LAUNCHER, Noted(self._launcher.tick(), event)))

    def _living(self, prefix: str) -> Iterator[Actor]:
        return (actor for name, actor in self.actors.items() if name.startswith(prefix))

    def _stir(self) -> None:
        self._stirred = True

    def _local(self, name: str) -> float:
        """The reading of this process's steady clock now."""
        return self.now * self.rates[name] + self._offsets[name]

    def _after_s(self, name: str, local: float) -> float:
        """The time until this process's steady clock shows `local`; infinite for never."""
        return max(0.0, (local - self._offsets[name]) / self.rates[name] - self.now) + TICK_S

    def _at(self, delay_s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._number, act))

    # ----------------------------------------------------------------------------------------------- turns
    def _turn(self, name: str, act: Callable[[Turn], object]) -> None:
        life = self._lives[name]
        if self._postponed(name, lambda: self._turn(name, act) if self._lives[name] == life else None):
            return
        if name not in self.actors:
            return
        self._stirred = True
        turn = Turn(self._local(name), self.actors[name].clock)
        act(turn)
        effects = self.endpoints[name].perform(turn, partial(self._local, name))
        most, for_s, when = self._stops.get(name, (0, 0.0, lambda turn: False))
        if name in self._doomed:
            self._last_turn(name, turn, effects)
        elif when(turn):
            del self._stops[name]
            self._perform(name, life, itertools.islice(effects, most))
            self.pause(name, for_s)
            self._at(for_s, lambda: self._perform(name, life, effects))
        else:
            self._perform(name, life, effects)

    def _last_turn(self, name: str, turn: Turn, effects: Iterator[Effect]) -> None:
        """Performs a killed process's last turn: only some of its effects. The first one or two of them write to the disk."""
        sends = len({target for target, _ in turn.sends})
        done = self._rng.choice([0, 1, 2, 2 + self._rng.randint(0, sends)])
        self._perform(name, self._lives[name], itertools.islice(effects, done))
        if self._machine.tears and name in self.actors:
            match next(effects, None):
                case Persist(records):
                    written = self._rng.randint(0, len(records))
                    self._store(name, records[:written])
                    self.hits["cut short"] += written < len(records)
        self._doomed.discard(name)
        if name in self.actors:  # else a failed write has already ended it
            self._die(name)

    def _perform(self, name: str, life: int, effects: Iterable[Effect]) -> None:
        """Performs effects: those of a turn, or the rest of a turn when a stopped process goes on."""
        if self._lives[name] != life or name not in self.actors:
            return
        for effect in effects:
            match effect:
                case Send(outlet):
                    self._send(name, outlet)
                case Note(noted):
                    self._write_down(name, noted)
                case Persist(records):
                    self._keep(name, records)
                case Read(seat):
                    self._read(name, seat)
                case Consult(calls):
                    self._consult(name, calls)
                case Silent(channel):
                    channel.again()
                case Close():
                    pass
            if name not in self.actors:  # a failed write has ended it
                return
        self._look_ahead(name)

    def _look_ahead(self, name: str) -> None:
        """Schedules a wake-up for the process's next deadline."""
        life, deadline = self._lives[name], self.endpoints[name].deadline
        if deadline < self._wakes[name]:
            self._wakes[name] = deadline
            self._at(self._after_s(name, deadline), lambda: self._wake(name, life, deadline))

    def _wake(self, name: str, life: int, deadline: float) -> None:
        if self._lives[name] == life and self._wakes[name] == deadline:  # else an earlier wake-up has replaced this one
            self._wakes[name] = float("inf")
            self._turn(name, lambda turn: None)

    def _write_down(self, name: str, noted: Sequence[Noted]) -> None:
        self.histories[name] += [recorded(self.now, name, each) for each in noted]
        if self._opened_at == float("inf") and any(isinstance(each.event, events.Opened) for each in noted):
            self._opened_at = self.now

    def _keep(self, name: str, records: Sequence[Any]) -> None:
        failure = self._failing.get(name)
        if failure == "full":
            records = records[: self._rng.randrange(len(records))]
        self._store(name, records)
        if failure is not None:
            self.hits[failure] += 1
            self._tell(events.Fell(name))
            self._die(name)

    def _store(self, name: str, records: Sequence[Any]) -> None:
        if name == WAREHOUSE:
            self.entries += records
        else:
            self.disk.append(name, records)

    def _read(self, name: str, seat: Seat) -> None:
        """Reads the journal now. The actor gets it later."""
        if self.plan.settings.keeper:
            raise RuntimeError(f"{name} reads a journal of {seat.peer} as if both were on one machine")
        life, actor = self._lives[name], self.actors[name]
        found = self.disk.read(seat, self.now, lambda: self.hits.update(("unreadable",)))

        def inherit() -> None:
            if self._lives[name] == life:
                self._turn(name, lambda turn: actor.inherit(turn, seat, found))

        self._at(JOURNAL_READ_S, inherit)

    def _consult(self, name: str, calls: Sequence[Call]) -> None:
        """Asks the cache server. A process that has died by then learns nothing."""
        life, actor = self._lives[name], self.actors[name]

        def tell(call: Call, result: Result) -> None:
            if self._lives[name] == life:
                self.hits[f"cache: {type(result).__name__}"] += 1
                self._turn(name, lambda turn: actor.cached(turn, call, result))

        for call in calls:
            self.cache.call(name, call, partial(tell, call))

    def _postponed(self, name: str, act: Callable[[], None]) -> bool:
        """Whether the process is stopped. If so, `act` is postponed until it goes on."""
        until = self._paused_until.get(name, 0.0)
        if until > self.now:
            self._at(until - self.now, act)
        return until > self.now

    # --------------------------------------------------------------------------------------------- network
    def _send(self, source: str, outlet: Outlet) -> None:
        late_s = self.plan.settings.suspect_after_s
        while (delivery := outlet.delivery(self._local(source))) is not None:
            data = encode(delivery)
            for copy, at in enumerate(self._links.arrivals(source, outlet.other, self.now)):
                is_late = copy > 0 and at - self.now > late_s
                there = self.abroad.get(outlet.other)
                if there is None:
                    self._at(at - self.now, partial(self._arrive, outlet.other, data, is_late))
                else:
                    there._at(at - there.now, partial(there._arrive_from_abroad, outlet.other, source, data))

    def _arrive_from_abroad(self, name: str, embassy: str, data: bytes) -> None:
        """Hands a delivery of another embassy to the own one."""

        def take(turn: Turn) -> None:
            self.hits["refused"] += self.endpoints[name].take_from_abroad(turn, data, embassy)

        if name in self.actors:
            self._turn(name, take)

    def _arrive(self, name: str, data: bytes, is_late: bool) -> None:
        """Hands a delivery to its target. `is_late`: a duplicate so late that its sender may be dead by now."""

        def take(turn: Turn) -> None:
            self.hits["refused"] += self.endpoints[name].take(turn, data)

        if name in self.actors:
            self.hits["late duplicate"] += is_late
            self.hits["before it begins"] += name in self._unbegun
            self._turn(name, take)
