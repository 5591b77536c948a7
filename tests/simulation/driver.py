"""The simulated driver: the same `Peer` and `Warehouse` objects as in the processes, in one thread, on virtual time."""

from __future__ import annotations

import contextlib
import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from bazaar.control.planning import draw_plan
from bazaar.core.channel import Afterwards, Channel
from bazaar.core.clock import LamportClock
from bazaar.core.turn import Actor, Noted, Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol import events
from bazaar.protocol.entries import AnyEntry, Denial, Sale
from bazaar.protocol.former_life import FormerLife
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings
from bazaar.protocol.wire import Delivery, MalformedMessage, decode, encode
from bazaar.runtime.history import Recorded, recall, recorded
from bazaar.runtime.host import FURTHER_LIFE
from peers.peer import Peer
from tests.simulation.disk import Disk
from tests.simulation.network import TICK_S, Links, Network

LAUNCHER = "launcher"
JOURNAL_READ_S = 0.02  # as on a busy disk: letters come in before it is read


class Machine(msgspec.Struct, frozen=True):
    """What the processes run on. Times in seconds."""

    begin_within_s: float = 0.01
    """A process is told to begin at a random time within so much after its first creation."""
    further_begin_within_s: float = 0.0
    """The same in a further life; letters come in before."""
    clock_offset_s: float = 0.0
    """Each life's steady clock starts anywhere from 0 to this."""
    tears: bool = False
    """A crash takes what was not synced with it, and leaves of what was being written a part."""


class Driver:
    """Runs the actors: their lives, their turns, and what passes between them."""

    def __init__(self, seed: int, settings: Settings, network: Network, machine: Machine) -> None:
        self.now = 0.0
        self.plan: Plan = draw_plan(settings)
        self.entries: list[AnyEntry] = []
        self.histories: dict[str, list[Recorded[events.Event]]]
        self.histories = {name: [] for name in (LAUNCHER, WAREHOUSE, *self.plan.names)}
        self.disk = Disk()
        self.journals = self.disk.journals
        self.killed: set[str] = set()
        self.hits: Counter[str] = Counter()
        """How often each kind of fault has really hit somebody."""
        self.actors: dict[str, Actor] = {}
        self.rates: defaultdict[str, float] = defaultdict(lambda: 1.0)
        """How fast a process's clock goes."""
        self._links = Links(seed, network)
        self._machine = machine
        self._rng = random.Random(f"driver/{seed}")
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._channels: defaultdict[str, dict[str, Channel]] = defaultdict(dict)  # by owner, then by the other side
        self._channel_wakes: defaultdict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
        self._wakes: defaultdict[str, float] = defaultdict(lambda: float("inf"))
        self._lives: Counter[str] = Counter()
        self._incarnations: dict[str, int] = {}
        self._offsets: dict[str, float] = {}
        self._doomed: set[str] = set()  # their next turn is their last, cut off somewhere in the middle
        self._unbegun: set[str] = set()
        self._full: set[str] = set()  # the next that they write finds the disk full
        self._paused_until: dict[str, float] = {}
        self._stops: dict[str, tuple[int, float, Callable[[Turn], bool]]] = {}
        self._afterwards: dict[str, Afterwards] = {}
        self._launcher = LamportClock()
        self._opened_at = float("inf")
        self._stirred = True  # something has happened by which a condition may have come true
        for name in (WAREHOUSE, *self.plan.names):
            self._create(name)

    def pause(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        if name in self.actors:
            self.suffers("pause", name, for_s=for_s)
            self._paused_until[name] = max(self.now + for_s, self._paused_until.get(name, 0.0))

    def suffers(self, kind: str, *names: str, for_s: float = 0.0) -> None:
        """The launcher writes down that it has done this to these."""
        self.hits[kind] += 1
        fault = f"{kind}:{','.join(names)}"
        self._tell(events.Fault(fault, kind, names[0], for_s, names))

    def _create(self, name: str) -> None:
        settings = self.plan.settings
        former = recall(self.histories[name])
        self._lives[name] += 1
        self._incarnations[name] = self._incarnation(name, former)
        self._offsets[name] = self._rng.random() * self._machine.clock_offset_s
        self._wakes.pop(name, None)
        for way in [way for way in self._channel_wakes if way[0] == name]:
            del self._channel_wakes[way]
        self._afterwards[name] = Afterwards()
        if name == WAREHOUSE:
            self.actors[name] = Warehouse(self.plan.names, settings, self.entries, self._entry_of)
        else:
            self.actors[name] = Peer(name, self.plan, former)
        clock = self.actors[name].clock
        if former.clock:
            clock.witness(former.clock + FURTHER_LIFE)
        turn = Turn(self._local(name), clock)
        turn.note(events.Born(former.lives + 1))
        self._write_down(name, turn)
        self._tell(events.Started(name, again=False))

    def _incarnation(self, name: str, former: FormerLife) -> int:
        """As `bazaar/runtime/host.py` counts it."""
        return former.lives + 1

    def _begin_later(self, name: str, delay_s: float) -> None:
        life = self._lives[name]

        self._unbegun.add(name)

        def begin() -> None:
            if self._lives[name] == life and name in self.actors:
                self._unbegun.discard(name)
                self._turn(name, self.actors[name].begin)

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
        self._full.discard(name)
        self._paused_until.pop(name, None)
        self._channels.pop(name, None)
        if self._machine.tears:
            self.hits["torn"] += self.disk.tear(name, self._rng)

    def _tell(self, event: events.Event) -> None:
        """A line of the launcher's own history."""
        self.histories[LAUNCHER].append(recorded(self.now, LAUNCHER, Noted(self._launcher.tick(), event)))

    def _living(self, prefix: str) -> Iterator[Actor]:
        return (actor for name, actor in self.actors.items() if name.startswith(prefix))

    def _stir(self) -> None:
        self._stirred = True

    def _local(self, name: str) -> float:
        """What the steady clock of this process shows now."""
        return self.now * self.rates[name] + self._offsets[name]

    def _after_s(self, name: str, local: float) -> float:
        """How long it is until that clock shows `local`; infinite for never."""
        return max(0.0, (local - self._offsets[name]) / self.rates[name] - self.now) + TICK_S

    def _at(self, delay_s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._number, act))

    # ----------------------------------------------------------------------------------------------- turns
    def _turn(self, name: str, act: Callable[[Turn], None]) -> None:
        life = self._lives[name]
        if self._postponed(name, lambda: self._turn(name, act) if self._lives[name] == life else None):
            return
        if name not in self.actors:
            return
        self._stirred = True
        actor = self.actors[name]
        turn = Turn(self._local(name), actor.clock)
        act(turn)
        actor.tick(turn)
        steps: list[Callable[[], None]] = [
            lambda: self._keep(name, turn),
            lambda: self._write_down(name, turn),
            lambda: self._dispatch(name, turn),
            lambda: self._look_ahead(name, actor, turn),
        ]
        stop, for_s, when = self._stops.get(name, (0, 0.0, lambda turn: False))
        if name in self._doomed:
            self._last_turn(name, turn, steps)
        elif when(turn):
            del self._stops[name]
            self._go_on(name, life, steps[:stop])
            self.pause(name, for_s)
            self._at(for_s, lambda: self._go_on(name, life, steps[stop:]))
        else:
            self._go_on(name, life, steps)

    def _last_turn(self, name: str, turn: Turn, steps: Sequence[Callable[[], None]]) -> None:
        done = self._rng.randint(0, 3)
        self._go_on(name, self._lives[name], steps[:done])
        if not done and self._machine.tears:
            self._store(name, turn.kept[: self._rng.randint(0, len(turn.kept))])
        self._doomed.discard(name)
        if name in self.actors:  # not if it found the disk full
            self._die(name)

    def _go_on(self, name: str, life: int, steps: Sequence[Callable[[], None]]) -> None:
        for step in steps:
            if self._lives[name] == life and name in self.actors:
                step()

    def _look_ahead(self, name: str, actor: Actor, turn: Turn) -> None:
        """What the process has still to do by itself: read a journal, and wake up."""
        life = self._lives[name]
        for seat in turn.reads:
            self._at(JOURNAL_READ_S, partial(self._inherit, name, life, actor, seat))
        deadline = actor.deadline
        if deadline < self._wakes[name]:
            self._wakes[name] = deadline
            self._at(self._after_s(name, deadline), lambda: self._wake(name, life, deadline))

    def _write_down(self, name: str, turn: Turn) -> None:
        self.histories[name] += [recorded(self.now, name, noted) for noted in turn.events]
        if self._opened_at == float("inf") and any(isinstance(noted.event, events.Opened) for noted in turn.events):
            self._opened_at = self.now

    def _keep(self, name: str, turn: Turn) -> None:
        kept = [*self._afterwards[name].due(), *turn.kept]
        if kept and name in self._full:
            self.hits["full"] += 1
            self._store(name, kept[: self._rng.randrange(len(kept))])
            self._tell(events.Fell(name))
            self._die(name)
        else:
            self._store(name, kept)

    def _store(self, name: str, kept: Sequence[Any]) -> None:
        if name == WAREHOUSE:
            self.entries += kept
        else:
            self.disk.append(name, kept)

    def _inherit(self, name: str, life: int, actor: Actor, seat: Seat) -> None:
        """The journal is read now, and acted on when the process runs."""
        if self._lives[name] == life:
            found = self.disk.read(seat, self.now, lambda: self.hits.update(("unreadable",)))
            self._turn(name, lambda turn: actor.inherit(turn, seat, found))

    def _dispatch(self, name: str, turn: Turn) -> None:
        sends = turn.sends_at(self._local(name))
        cut = name in self._doomed
        if cut:
            sends = sends[: self._rng.randint(0, len(sends))]
        for target, letter in sends:
            self._channel(name, target).put(letter)
        if turn.kept_afterwards and not cut:
            channels = [self._channel(name, target) for target in {target for target, _ in sends}]
            self._afterwards[name].put(channels, turn.kept_afterwards)
        for target in dict.fromkeys(target for target, _ in sends):
            self._send(name, target)

    def _wake(self, name: str, life: int, deadline: float) -> None:
        if self._lives[name] == life and self._wakes[name] == deadline:  # else an earlier one took its place
            self._wakes[name] = float("inf")
            self._turn(name, lambda turn: None)

    def _postponed(self, name: str, act: Callable[[], None]) -> bool:
        """Whether the process is stopped: then `act` happens when it goes on."""
        until = self._paused_until.get(name, 0.0)
        if until > self.now:
            self._at(until - self.now, act)
        return until > self.now

    # --------------------------------------------------------------------------------------------- network
    def _channel(self, name: str, other: str) -> Channel:
        channels = self._channels[name]
        if other not in channels:
            repeat_after_s = self._links.network.repeat_after_s
            channels[other] = Channel(name, other, self._incarnations[name], repeat_after_s)
        return channels[other]

    def _send(self, source: str, target: str) -> None:
        """Sends what the channel has to say now, and sees to it that it is asked again in time."""
        channel, local = self._channel(source, target), self._local(source)
        if channel.repeat_at <= local:
            channel.again()
        while (delivery := channel.delivery(local)) is not None:
            with contextlib.suppress(
                MalformedMessage
            ):  # what no honest process says (a control's) is refused at the door
                self._transmit(decode(encode(delivery)))
        way, deadline = (source, target), channel.deadline
        if deadline < self._channel_wakes[way]:
            self._channel_wakes[way] = deadline
            life = self._lives[source]
            self._at(self._after_s(source, deadline), lambda: self._send_later(way, life, deadline))

    def _send_later(self, way: tuple[str, str], life: int, deadline: float) -> None:
        if self._lives[way[0]] != life or way[0] not in self.actors or self._channel_wakes[way] != deadline:
            return
        if not self._postponed(way[0], lambda: self._send_later(way, life, deadline)):
            self._channel_wakes[way] = float("inf")
            self._send(*way)

    def _transmit(self, delivery: Delivery) -> None:
        for at in self._links.arrivals(delivery.source, delivery.target, self.now):
            self._at(at - self.now, lambda: self._arrive(delivery))

    def _arrive(self, delivery: Delivery) -> None:
        name = delivery.target
        if self._postponed(name, lambda: self._arrive(delivery)) or name not in self.actors:
            return
        self._stirred = True
        letters = self._channel(name, delivery.source).accept(delivery, self._local(name))
        actor = self.actors[name]

        def receive(turn: Turn) -> None:
            for letter in letters:
                actor.receive(turn, delivery.source, letter)

        if letters:
            self.hits["before it begins"] += name in self._unbegun
            self._turn(name, receive)
        if name in self.actors:
            self._send(name, delivery.source)
