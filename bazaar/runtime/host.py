"""The process around an actor: its mailbox, its connections, its disk and its clock. The only driver that touches the world.

One thread, the main one, does all the work (a bug ends the process, loudly). It takes everything that is there, runs one
turn, makes what was kept durable and the history written, then sends. A delivery is a one-way call into a connection
whose buffer has room, so sending waits for nobody. What may have to wait, looking a name up and connecting, is done by a
pool of 20 threads (SPEC A6); a hung peer so delays nobody else.

The launcher speaks on standard input (`begin`, `resign`, `finish` with the names of those who will not come back, `stop`;
its end, also by a kill -9 of the launcher, is `stop`) and listens on standard output: one JSON line whenever the status
changes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from bazaar.core.channel import NEVER, Afterwards, Channel
from bazaar.core.turn import Actor, Turn
from bazaar.protocol import events
from bazaar.protocol.admission import admits
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.wire import MalformedMessage, decode, encode
from bazaar.runtime.door import Door
from bazaar.runtime.history import History
from bazaar.runtime.naming import Directory
from bazaar.runtime.process import Status
from bazaar.runtime.runclock import RunClock
from bazaar.runtime.transport import Mailbox, Post, Unreachable, open_door
from bazaar.runtime.visits import Visits

WORKERS = 20  # SPEC A6
REPEAT_AFTER_S = 10.0  # of silence of a process to which there is a connection: make another one
CLOGGED_S = 0.01  # a receiver whose buffers are full is tried again after this time
RETRY_AFTER_S = 0.05  # after a first failure; doubled with each further one
RETRY_AT_LEAST_EVERY_S = 1.0
ABSENT_S = 0.5  # late by so much without having worked: the machine did not let this process run
REPORT_EVERY_S = 0.2
FURTHER_LIFE = 10_000  # how far beyond its history a process starts its clock: it may have sent since its last line


class Store(Protocol):
    """What makes an actor's kept records durable."""

    def write(self, records: Sequence[Any], /) -> None:
        """Returns when they are."""

    def close(self) -> None:
        """Lets go."""


class Way:
    """The way to one other process: the channel, and a connection when there is one."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.post: Post | None = None
        self.connecting = False
        self.try_at = 0.0
        """Not before, it is tried again what has failed."""

    @property
    def deadline(self) -> float:
        """When something is to be done here."""
        return NEVER if self.connecting else max(self.try_at, self.channel.deadline)

    def failed(self, now: float) -> None:
        """There is no connection, or none any more."""
        channel = self.channel
        channel.again()
        self.try_at = now + min(RETRY_AT_LEAST_EVERY_S, RETRY_AFTER_S * 2.0 ** min(channel.repeated - 1, 10))


class Host:
    """Runs one actor until it is told to stop."""

    def __init__(
        self,
        actor: Actor,
        store: Store,
        history: History,
        clock: RunClock,
        host: str,
        directory: Directory,
        key: bytes,
        known: Collection[str],
        journal_of: Callable[[Seat], Recovered] = lambda seat: Recovered(()),
    ) -> None:
        """`known`: who may write to it. `journal_of` reads the journal of a tenure, for actors that take over from another."""
        self._actor = actor
        self._store = store
        self._history = history
        self._clock = clock
        self._directory = directory
        self._key = key
        self._known = frozenset(known)
        self._peers = self._known - {WAREHOUSE}
        self._journal_of = journal_of
        former = history.former_life
        if former.clock:
            actor.clock.witness(former.clock + FURTHER_LIFE)
        self._incarnation = former.lives + 1
        turn = Turn(time.monotonic(), actor.clock)
        turn.note(events.Born(self._incarnation))
        history.write(clock.now(), turn.events)  # before anything leaves: a life that was heard of is counted
        self._ways: dict[str, Way] = {}
        self._due: dict[Way, float] = {}  # when there is something to do for it
        self._touched: set[Way] = set()  # ways of which that may have changed in this turn
        self._afterwards = Afterwards()
        self._to_do: deque[Callable[[Turn], None]] = deque()  # other threads and `_perform` put in; the loop takes out
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="connecting")
        self.visits = Visits(actor.name, self._do)
        """What somebody at the door may ask for."""
        self._door: Door | None = None
        self._host = host
        self._stopping = False
        self._finishes = 0  # how often it was told to finish: again, when somebody else will not come back
        self._gone: frozenset[str] = frozenset()  # nobody waits at the end for what these have not taken
        self._refused = 0
        self._reported = Status()
        self._unreported = False
        self._report_at = 0.0
        self._mailbox = Mailbox(host, actor.name, key, self._count_refused)
        directory.register(actor.name, self._mailbox.uri)

    def open_door(self, face: object) -> None:
        """Lets Pyro4's own clients talk to `face`, which does by `visits` whatever it does with the actor."""
        self._door = open_door(self._host, self._actor.name, face, self._key, self._count_refused)
        self._directory.announce(self._actor.name, self._door.uri)

    def run(self) -> None:
        """Serves until `stop`."""
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()
        self._report(ready=True)
        last, worked_s = time.monotonic(), time.process_time()
        while not self._stopping:
            patience_s = self._patience_s()
            arrived = self._mailbox.wait(patience_s)
            turn = Turn(time.monotonic(), self._actor.clock)
            absent_s = turn.now - last - (patience_s or 0.0) - (time.process_time() - worked_s)
            if patience_s is not None and absent_s > ABSENT_S:
                turn.note(events.Absent(for_s=round(absent_s, 3)))
            last, worked_s = turn.now, time.process_time()
            for data in arrived:
                self._take(turn, data)
            while self._to_do:
                self._to_do.popleft()(turn)
            self._actor.tick(turn)
            self._perform(turn)
            self.visits.tell()
            self._report(ready=True)
        if self._door is not None:
            self._door.close()
        self._mailbox.close()
        self._store.close()
        self._history.close()

    # ----------------------------------------------------------------------------------- what comes in
    def _take(self, turn: Turn, data: bytes) -> None:
        """A delivery has come in."""
        try:
            delivery = decode(data)
            letters = self._way(delivery.source).channel.accept(delivery, turn.now)
        except (MalformedMessage, ValueError):
            self._count_refused()
            return
        for letter in letters:
            if admits(delivery.source, self._actor.name, letter, self._actor.clock.time, self._peers):
                self._actor.receive(turn, delivery.source, letter)
            else:
                self._count_refused()

    def _count_refused(self) -> None:
        """Also called by the mailbox's threads."""
        self._refused += 1
        self._mailbox.wake()

    def _do(self, act: Callable[[Turn], None]) -> None:
        """Has `act` done in the next turn (called by other threads)."""
        self._to_do.append(act)
        self._mailbox.wake()

    def _listen(self) -> None:
        """The launcher's words (a thread of their own)."""
        for line in sys.stdin:
            match line.split():
                case ["begin"]:
                    self._do(self._actor.begin)
                case ["resign"]:
                    self._do(self._actor.resign)
                case ["finish", *gone]:
                    self._do(partial(self._finish, frozenset(gone)))
                case _:
                    break
        self._do(self._stop)

    def _finish(self, gone: frozenset[str], turn: Turn) -> None:
        self._finishes += 1
        self._gone = gone
        self._actor.finish(turn)

    def _stop(self, turn: Turn) -> None:
        self._stopping = True

    def _patience_s(self) -> float | None:
        """For how long there is nothing to do unless something arrives; None: for ever."""
        until = min((self._actor.deadline, *self._due.values()))
        if self._unreported:
            until = min(until, self._report_at)
        if self._to_do:
            return 0.0
        return None if until == NEVER else max(0.0, until - time.monotonic())

    # ----------------------------------------------------------------------------------- what goes out
    def _perform(self, turn: Turn) -> None:
        kept = [*self._afterwards.due(), *turn.kept]
        found = [
            (seat, self._journal_of(seat)) for seat in turn.reads
        ]  # before its own, if it is not there, is begun anew
        if kept:
            self._store.write(kept)
        if turn.events:
            self._history.write(self._clock.now(), turn.events)
        now = time.monotonic()
        channels = set()
        for target, letter in turn.sends_at(now):
            channel = self._way(target).channel
            channel.put(letter)
            channels.add(channel)
        if turn.kept_afterwards:
            self._afterwards.put(channels, turn.kept_afterwards)
        for way in self._touched:
            self._due[way] = way.deadline
        self._touched.clear()
        for way, due in self._due.items():
            if due <= now:
                self._send(way, now)
                self._due[way] = way.deadline
        for seat, lines in found:
            self._to_do.append(partial(self._inherit, seat, lines))

    def _inherit(self, seat: Seat, found: Recovered, turn: Turn) -> None:
        self._actor.inherit(turn, seat, found)

    def _way(self, name: str) -> Way:
        """Raises `ValueError` if there is nobody of this name. Whoever asks has something to do with it."""
        way = self._ways.get(name)
        if way is None:
            if name not in self._known:
                raise ValueError(f"there is no {name}")
            way = self._ways[name] = Way(Channel(self._actor.name, name, self._incarnation, REPEAT_AFTER_S))
        self._touched.add(way)
        return way

    def _send(self, way: Way, now: float) -> None:
        """Sends what the channel has to say, as far as that goes without waiting for anybody."""
        channel = way.channel
        if way.post is None:
            way.connecting = True
            self._pool.submit(self._connect, way)
            return
        if channel.repeat_at <= now:
            self._broken(way)
            return
        while way.post.clear:
            delivery = channel.delivery(now)
            if delivery is None:
                return
            try:
                way.post.deliver(encode(delivery))
            except Unreachable:
                self._broken(way)
                return
        way.try_at = now + CLOGGED_S

    def _connect(self, way: Way) -> None:
        """Connects (a thread of the pool)."""
        try:
            post = Post(self._directory.lookup(way.channel.other), self._key)
        except Unreachable:
            self._do(lambda turn: self._unconnected(way))
        else:
            self._do(lambda turn: self._connected(way, post))

    def _connected(self, way: Way, post: Post) -> None:
        way.connecting = False
        self._touched.add(way)
        way.post = post
        self._mailbox.watch(post, lambda: self._broken(way))

    def _unconnected(self, way: Way) -> None:
        way.connecting = False
        self._touched.add(way)
        way.failed(time.monotonic())

    def _broken(self, way: Way) -> None:
        """The connection has ended, or the other side is silent."""
        assert way.post is not None
        self._mailbox.unwatch(way.post)
        way.post.close()
        way.post = None
        self._touched.add(way)
        way.failed(time.monotonic())

    def _report(self, ready: bool) -> None:
        """Tells the launcher what changed; mere counts not more often than every `REPORT_EVERY_S`."""
        idle = bool(self._finishes) and self._actor.idle and self._delivered()
        status = Status(ready, idle, self._actor.done, self._actor.answered, self._refused, finishes=self._finishes)
        now = time.monotonic()
        self._unreported = status != self._reported
        if not self._unreported:
            return
        urgent = status.ready != self._reported.ready or status.finishes != self._reported.finishes
        urgent = urgent or (status.idle != self._reported.idle and bool(self._finishes))
        urgent = urgent or status.done != self._reported.done
        if urgent or now >= self._report_at:
            self._reported = status
            self._unreported = False
            self._report_at = now + REPORT_EVERY_S
            status.say()

    def _delivered(self) -> bool:
        return not any(way.channel.owes for name, way in self._ways.items() if name not in self._gone)
