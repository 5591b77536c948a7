"""The process around an actor: its mailbox, its connections, its disk and its clock. The only driver that touches the world.

One thread, the main one, does all the work; a bug ends the process, loudly. The thread takes all that has arrived, runs one
turn, and performs its effects in the order that the endpoint (`core/endpoint.py`) gives. A delivery is a one-way call on a
connection whose buffer has room, so sending never waits. Only two steps may have to wait: looking a name up, and connecting. A
pool of 20 threads does them (requirement A6), so a hung peer delays no other.

The launcher writes commands to standard input: `begin`, `resign`, `finish` with the names of the processes that will not come
back, `cut` with a time and the names of processes to which nothing is sent for so long, and `stop`. The end of standard input
means `stop`, too, even if the launcher was ended by a kill -9. The launcher reads standard output: one JSON line whenever the
status changes.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from bazaar.core.endpoint import Close, Consult, Endpoint, Note, Outlet, Persist, Read, Send, Silent
from bazaar.core.routing.router import Terms
from bazaar.core.turn import NEVER, Actor, Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Seat, is_embassy
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.wire import encode
from bazaar.runtime.address import Place
from bazaar.runtime.cache_client import CacheClient
from bazaar.runtime.door import Door
from bazaar.runtime.history import History
from bazaar.runtime.naming import Directory
from bazaar.runtime.process import Status
from bazaar.runtime.tls import Papers
from bazaar.runtime.transport import Mailbox, Sender, Unreachable, open_door
from bazaar.runtime.visits import Visits

WORKERS = 20  # requirement A6
REPEAT_AFTER_S = 10.0  # of silence on a connection: then a new one is made
REPEAT_RELAYED_AFTER = 2  # times the time after which a neighbour is missed; a relay that dies is noticed earlier
CLOGGED_S = 0.01  # a receiver whose buffers are full is tried again after this time
RETRY_AFTER_S = 0.05  # after a first failure; doubled with each further one
RETRY_AT_LEAST_EVERY_S = 1.0
ABSENT_S = 0.5  # of delay without work: the machine did not let this process run
REPORT_EVERY_S = 0.2


class Store(Protocol):
    """Makes an actor's kept records durable."""

    def write(self, records: Sequence[Any], /) -> None:
        """Returns when the records are durable."""

    def close(self) -> None:
        """Closes the store."""


class Foreign(Protocol):
    """The way to other embassies (`treaty.py`)."""

    def connect(self, embassy: str, /) -> Sender:
        """A connection to this embassy. Raises `Unreachable`."""

    def listen(self, take: Callable[[str, bytes], None], /) -> None:
        """Hands deliveries of other embassies to `take`, each with the embassy that it must be of, in any thread."""


class Clock(Protocol):
    """What dates the events."""

    def now(self) -> float:
        """Seconds since the epoch, by the clock of the run."""


class Host:
    """Runs one actor until it is told to stop."""

    def __init__(
        self,
        actor: Actor,
        store: Store,
        history: History,
        clock: Clock,
        place: Place,
        directory: Directory,
        key: bytes,
        known: Collection[str],
        terms: Terms | None = None,
        journal_of: Callable[[Seat], Recovered] = lambda seat: Recovered(()),
        papers: Papers | None = None,
    ) -> None:
        """`known`: who may write to the actor. `terms`: see `Endpoint`. `journal_of` reads the journal of a tenure, when an
        actor takes over. `papers`: for TLS."""
        self._actor = actor
        self._store = store
        self._history = history
        self._clock = clock
        self._directory = directory
        self._key = key
        self._papers = papers
        self._journal_of = journal_of
        repeat_after_s = REPEAT_AFTER_S if terms is None else REPEAT_RELAYED_AFTER * terms.missed_after_s
        self._endpoint = Endpoint(actor, known, history.former_life, repeat_after_s, terms)
        self._senders: dict[Outlet, Sender] = {}  # of the outlets that are connected
        self._to_do: deque[Callable[[Turn], None]] = deque()  # all threads append; only the loop removes
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="connecting")
        self.visits = Visits(actor.name, self._do)
        """Has the loop do what the clients at the door ask for."""
        self._door: Door | None = None
        self._abroad: Foreign | None = None
        self._cache: CacheClient | None = None
        self._place = place
        self._stopping = False
        self._finishes = 0  # how many `finish` came: one more whenever another process is lost
        self._cut: dict[str, float] = {}  # processes to which no link leads, until when
        self._gone: frozenset[str] = frozenset()  # deliveries that these have not taken do not delay the end
        self._refused = 0
        self._reported = Status()
        self._unreported = False
        self._report_at = 0.0
        turn = Turn(time.monotonic(), actor.clock)
        self._endpoint.born(turn)
        self._perform(turn)
        self._mailbox = Mailbox(place, actor.name, key, self.count_refused, papers)
        directory.register(actor.name, self._mailbox.uri)

    def open_door(self, face: object) -> None:
        """Lets Pyro4's own clients call `face`, which reaches the actor only through `visits`."""
        self._door = open_door(self._place, self._actor.name, face, self._key, self.count_refused, self._papers)
        self._directory.announce(self._actor.name, self._door.uri)

    def share_cache(self, uri: str) -> None:
        """Lets the actor ask the cache server at this URI."""
        self._cache = CacheClient(uri, self._key, self)

    def listen(self, connection: socket.socket, readable: Callable[[], None]) -> None:
        """See `cache_client.Loop`."""
        self._mailbox.listen(connection, readable)

    def forget(self, connection: socket.socket) -> None:
        """See `cache_client.Loop`."""
        self._mailbox.forget(connection)

    def apart(self, act: Callable[[], Callable[[], None]]) -> None:
        """See `cache_client.Loop`."""

        def and_then() -> None:
            done = act()
            self._do(lambda turn: done())

        self._pool.submit(and_then)

    def trade_abroad(self, abroad: Foreign) -> None:
        """Lets the actor, an embassy, write to other embassies, and hear from them."""
        self._abroad = abroad
        abroad.listen(lambda embassy, data: self._do(partial(self._take_from_abroad, embassy, data)))

    def _take_from_abroad(self, embassy: str, data: bytes, turn: Turn) -> None:
        self._refused += self._endpoint.take_from_abroad(turn, data, embassy)

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
            for data, by in arrived:
                self._refused += self._endpoint.take(turn, data, by)
            while self._to_do:
                self._to_do.popleft()(turn)
            if self._cache is not None:
                for call, result in self._cache.results():
                    self._actor.cached(turn, call, result)
            self._perform(turn)
            self.visits.tell()
            self._report(ready=True)
        if self._door is not None:
            self._door.close()
        self._mailbox.close()
        self._store.close()
        self._history.close()

    # ----------------------------------------------------------------------------------- what comes in
    def count_refused(self) -> None:
        """Counts a stranger (called in any thread)."""
        self._refused += 1
        self._mailbox.wake()

    def note(self, event: events.Event) -> None:
        """Writes an event of the process itself into its history. Called in any thread."""
        self._do(lambda turn: turn.note(event))

    def _do(self, act: Callable[[Turn], None]) -> None:
        """Schedules `act` for the next turn (called by other threads)."""
        self._to_do.append(act)
        self._mailbox.wake()

    def _listen(self) -> None:
        """Reads the launcher's commands (in a thread of its own)."""
        for line in sys.stdin:
            match line.split():
                case ["begin"]:
                    self._do(self._endpoint.begin)
                case ["resign"]:
                    self._do(self._actor.resign)
                case ["finish", *gone]:
                    self._do(partial(self._finish, frozenset(gone)))
                case ["cut", for_s, *names]:
                    self._do(partial(self._cut_off, float(for_s), names))
                case _:
                    break
        self._do(self._stop)

    def _finish(self, gone: frozenset[str], turn: Turn) -> None:
        self._finishes += 1
        self._gone = gone
        self._actor.finish(turn)

    def _cut_off(self, for_s: float, names: Sequence[str], turn: Turn) -> None:
        self._cut |= dict.fromkeys(names, turn.now + for_s)

    def _stop(self, turn: Turn) -> None:
        self._stopping = True

    def _patience_s(self) -> float | None:
        """How long the loop can wait unless something arrives; None: for ever."""
        until = self._endpoint.deadline
        if self._cache is not None:
            until = min(until, self._cache.deadline)
        if self._unreported:
            until = min(until, self._report_at)
        if self._to_do:
            return 0.0
        return None if until == NEVER else max(0.0, until - time.monotonic())

    # ----------------------------------------------------------------------------------- what goes out
    def _perform(self, turn: Turn) -> None:
        for effect in self._endpoint.perform(turn, time.monotonic):
            match effect:
                case Send(channel):
                    self._send(channel)
                case Note(noted):
                    self._history.write(self._clock.now(), noted)
                case Persist(records):
                    self._store.write(records)
                case Consult(calls):
                    assert self._cache is not None, "only a policy that is remote asks the cache server"
                    self._cache.call(calls)
                case Read(seat):
                    self._to_do.append(partial(self._inherit, seat, self._journal_of(seat)))
                case Silent(channel):
                    self._broken(channel)
                case Close(link):
                    self._close(link)

    def _inherit(self, seat: Seat, found: Recovered, turn: Turn) -> None:
        self._actor.inherit(turn, seat, found)

    def _send(self, outlet: Outlet) -> None:
        """Sends what the outlet has to deliver, as far as that is possible without waiting."""
        sender = self._senders.get(outlet)
        if time.monotonic() < (until := self._cut.get(outlet.other, 0.0)):  # as TCP does: what waits is sent later
            self._endpoint.hold(outlet, until)
            return
        if sender is None:
            self._endpoint.hold(outlet, NEVER)
            self._pool.submit(self._connect, outlet)
            return
        now = time.monotonic()
        while sender.clear:
            delivery = outlet.delivery(now)
            if delivery is None:
                return
            try:
                sender.deliver(encode(delivery))
            except Unreachable:
                self._broken(outlet)
                return
        self._endpoint.hold(outlet, now + CLOGGED_S)

    def _connect(self, outlet: Outlet) -> None:
        """Connects (in a thread of the pool)."""
        try:
            if self._abroad is not None and is_embassy(outlet.other):
                sender = self._abroad.connect(outlet.other)
            else:
                sender = Sender(self._directory.lookup(outlet.other), self._key, self._papers)
        except Unreachable:
            self._do(lambda turn: self._unconnected(outlet))
        else:
            self._do(lambda turn: self._connected(outlet, sender))

    def _connected(self, outlet: Outlet, sender: Sender) -> None:
        if outlet.closed:
            sender.close()
            return
        self._senders[outlet] = sender
        self._mailbox.watch(sender, lambda: self._broken(outlet))
        self._endpoint.hold(outlet, 0.0)

    def _unconnected(self, outlet: Outlet) -> None:
        """Connecting has failed, or the connection has ended: tries again later."""
        outlet.again()
        wait_s = min(RETRY_AT_LEAST_EVERY_S, RETRY_AFTER_S * 2.0 ** min(outlet.repeated - 1, 10))
        self._endpoint.hold(outlet, time.monotonic() + wait_s)

    def _broken(self, outlet: Outlet) -> None:
        """Closes the connection, which has ended or whose other side is silent."""
        self._close(outlet)
        self._unconnected(outlet)

    def _close(self, outlet: Outlet) -> None:
        sender = self._senders.pop(outlet, None)
        if sender is not None:
            self._mailbox.unwatch(sender)
            sender.close()

    def _report(self, ready: bool) -> None:
        """Tells the launcher what has changed. Changes of mere counts are told at most every `REPORT_EVERY_S`."""
        idle = bool(self._finishes) and self._actor.idle and not self._endpoint.owes(self._gone)
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
