"""The process around an actor: its mailbox, its senders, its disk and its clock. The only driver that touches the world.

Pyro4's thread only puts letters into the inbox. The loop is the main thread (a bug ends the process, loudly): it takes
everything that is there, runs one turn, makes what was kept durable and the history written, then hands the sends to the
senders. A sender holds what waits for one destination; a destination with something waiting and no call under way is
one task of the pool, so a hung peer delays nobody else and a hundred destinations need no hundred threads (SPEC A6).

The launcher speaks on standard input (`begin`, `resign`, `finish` with the names of those who will not come back, `stop`;
its end, also by a kill -9 of the launcher, is `stop`) and listens on standard output: one JSON line whenever the status
changes.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import msgspec

from bazaar.core.channel import Afterwards, Inbox, Outbox
from bazaar.core.turn import Actor, Turn
from bazaar.history import History
from bazaar.records import Delivery, JournalLine, Letter, MalformedMessage, Seat, decode, encode
from bazaar.rpc import Busy, Directory, Mailbox, NoReply, Post, Refused, Unreachable

WORKERS = 20  # SPEC A6
MOST_IN_INBOX = 2_000  # deliveries; beyond, senders are told to come back
RETRY_AFTER_S = 0.05  # after a first failure; doubled with each further one
RETRY_AT_LEAST_EVERY_S = 1.0
GIVEN_UP_AFTER = 15  # failures in a row: ten seconds or more
REPORT_EVERY_S = 0.2
FURTHER_LIFE = 10_000  # how far beyond its history a process starts its clock: it may have sent since its last line


class Store(Protocol):
    """What makes an actor's kept records durable."""

    def write(self, records: Sequence[Any], /) -> None:
        """Returns when they are."""

    def close(self) -> None:
        """Lets go."""


class Status(msgspec.Struct, frozen=True):
    """What a process tells the launcher."""

    ready: bool = False
    idle: bool = False
    done: bool = False
    answered: int = 0
    refused: int = 0
    """Connections and deliveries that were turned away: no key, the wrong one, or rubbish."""


class Sender:
    """The way to one destination. `put` is called by the loop, `_run` by the pool, one call at a time."""

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], Post],
        submit: Callable[[Callable[[], None]], None],
        retry_later: Callable[[Sender], None],
        emptied: Callable[[], None],
    ) -> None:
        self.outbox = outbox
        self._connect = connect
        self._submit = submit
        self._retry_later = retry_later
        self._emptied = emptied
        self._lock = threading.Lock()
        self._under_way = False
        self._post: Post | None = None
        self._failures = 0

    @property
    def patience_s(self) -> float:
        """How long to wait before a failed call is repeated."""
        return min(RETRY_AT_LEAST_EVERY_S, RETRY_AFTER_S * 2.0 ** min(self._failures - 1, 10))

    @property
    def empty(self) -> bool:
        """Whether everything was delivered."""
        return not self.outbox

    def put(self, letters: Sequence[Letter]) -> None:
        """Queues letters, and starts a call unless one is under way or waits to be repeated."""
        with self._lock:
            for letter in letters:
                self.outbox.put(letter)
            start = not self._under_way
            self._under_way = True
        if start:
            self._submit(self._run)

    def retry(self) -> None:
        """The time to repeat a failed call has come."""
        self._submit(self._run)

    def _run(self) -> None:
        with self._lock:
            delivery = self.outbox.delivery()
        if not self._deliver(delivery):
            self._failures += 1
            self.outbox.given_up = self._failures > GIVEN_UP_AFTER
            self._retry_later(self)
            return
        self._failures = 0
        self.outbox.given_up = False
        with self._lock:
            self.outbox.acknowledged(delivery)
            self._under_way = bool(self.outbox)
            more = self._under_way
        if more:
            self._submit(self._run)
        else:
            self._emptied()

    def _deliver(self, delivery: Delivery) -> bool:
        try:
            if self._post is None:
                self._post = self._connect()
            self._post.deliver(encode(delivery))
        except Busy:
            return False
        except (Unreachable, NoReply, Refused):
            if self._post is not None:
                self._post.close()
            self._post = None  # it may have been started again elsewhere: look it up anew
            return False
        return True


class Host:
    """Runs one actor until it is told to stop."""

    def __init__(
        self,
        actor: Actor,
        store: Store,
        history: History,
        host: str,
        directory: Directory,
        key: bytes,
        known: Collection[str],
        journal_of: Callable[[Seat], Sequence[JournalLine]] = lambda seat: (),
    ) -> None:
        """`known`: who may write to it. `journal_of` reads the journal of a tenure, for actors that take over from another."""
        self._actor = actor
        self._store = store
        self._history = history
        self._directory = directory
        self._key = key
        self._known = frozenset(known)
        self._journal_of = journal_of
        if history.former_life.clock:
            actor.clock.witness(history.former_life.clock + FURTHER_LIFE)
        self._inbox: queue.SimpleQueue[Callable[[Turn], None]] = queue.SimpleQueue()
        self._accepted = Inbox(actor.name)
        self._incarnation = time.time_ns()
        self._senders: dict[str, Sender] = {}
        self._afterwards = Afterwards()
        self._retries: list[tuple[float, int, Sender]] = []
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="sender")
        self._finishing = self._stopping = False
        self._gone: frozenset[str] = frozenset()  # nobody waits at the end for what these have not taken
        self._refused = 0
        self._reported = Status()
        self._unreported = False
        self._report_at = 0.0
        self._mailbox = Mailbox(host, actor.name, key, self._take, self._count_refused)
        directory.register(actor.name, self._mailbox.uri)

    def run(self) -> None:
        """Serves until `stop`."""
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()
        self._report(ready=True)
        while not self._stopping:
            turn_of = self._wait()
            turn = Turn(time.monotonic(), self._actor.clock)
            for act in turn_of:
                act(turn)
            self._actor.tick(turn)
            self._perform(turn)
            self._report(ready=True)
        self._mailbox.close()
        self._store.close()
        self._history.close()

    # ----------------------------------------------------------------------------------- what comes in
    def _take(self, data: bytes) -> None:
        """A delivery came in (Pyro4's thread)."""
        if self._inbox.qsize() > MOST_IN_INBOX:
            raise Busy
        try:
            delivery = decode(data)
            if delivery.source not in self._known:
                raise MalformedMessage(f"there is no {delivery.source}")
            letters = self._accepted.accept(delivery)
        except (MalformedMessage, ValueError) as error:
            self._count_refused()
            raise MalformedMessage(str(error)) from None
        if letters:
            self._inbox.put(lambda turn: self._receive(turn, delivery.source, letters))

    def _receive(self, turn: Turn, source: str, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._actor.receive(turn, source, letter)

    def _count_refused(self) -> None:
        self._refused += 1
        self._inbox.put(_wake)

    def _listen(self) -> None:
        """The launcher's words (a thread of their own)."""
        for line in sys.stdin:
            match line.split():
                case ["begin"]:
                    self._inbox.put(self._actor.begin)
                case ["resign"]:
                    self._inbox.put(self._actor.resign)
                case ["finish", *gone]:
                    self._inbox.put(partial(self._finish, frozenset(gone)))
                case _:
                    break
        self._inbox.put(self._stop)

    def _finish(self, gone: frozenset[str], turn: Turn) -> None:
        self._finishing = True
        self._gone = gone
        self._actor.finish(turn)

    def _stop(self, turn: Turn) -> None:
        self._stopping = True

    def _wait(self) -> list[Callable[[Turn], None]]:
        """All that is here; if there is nothing, waits for something, or for the actor's deadline."""
        first: list[Callable[[Turn], None]] = []
        until = min(self._actor.deadline, self._retries[0][0] if self._retries else float("inf"))
        if self._unreported:
            until = min(until, self._report_at)
        wait_s = None if until == float("inf") else max(0.0, until - time.monotonic())
        with contextlib.suppress(queue.Empty):
            first.append(self._inbox.get(timeout=wait_s) if wait_s != 0 else self._inbox.get_nowait())
            for _ in range(self._inbox.qsize()):
                first.append(self._inbox.get_nowait())
        now = time.monotonic()
        while self._retries and self._retries[0][0] <= now:
            heapq.heappop(self._retries)[2].retry()
        return first

    # ----------------------------------------------------------------------------------- what goes out
    def _perform(self, turn: Turn) -> None:
        kept = [*self._afterwards.due(), *turn.kept]
        if kept:
            self._store.write(kept)
        if turn.events:
            self._history.write(time.time(), turn.events)
        by_target: defaultdict[str, list[Letter]] = defaultdict(list)
        for target, letter in turn.sends_at(time.monotonic()):
            by_target[target].append(letter)
        for target, letters in by_target.items():
            self._sender(target).put(letters)
        if turn.kept_afterwards:
            self._afterwards.put([self._senders[target].outbox for target in by_target], turn.kept_afterwards)
        for seat in turn.reads:
            self._inbox.put(partial(self._inherit, seat, self._journal_of(seat)))

    def _inherit(self, seat: Seat, lines: Sequence[JournalLine], turn: Turn) -> None:
        self._actor.inherit(turn, seat, lines)

    def _sender(self, target: str) -> Sender:
        sender = self._senders.get(target)
        if sender is None:
            outbox = Outbox(self._actor.name, target, self._incarnation)
            sender = Sender(
                outbox,
                lambda: Post(self._directory.lookup(target), self._key),
                self._submit,
                self._retry_later,
                self._emptied,
            )
            self._senders[target] = sender
        return sender

    def _submit(self, task: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the pool is shut: the process ends
            self._pool.submit(task)

    def _retry_later(self, sender: Sender) -> None:
        """A call failed (a thread of the pool)."""
        at = time.monotonic() + sender.patience_s
        self._inbox.put(lambda turn: heapq.heappush(self._retries, (at, id(sender), sender)))

    def _emptied(self) -> None:
        """A sender has delivered all it had (a thread of the pool); of interest only at the end."""
        if self._finishing:
            self._inbox.put(_wake)

    def _report(self, ready: bool) -> None:
        """Tells the launcher what changed; mere counts not more often than every `REPORT_EVERY_S`."""
        idle = self._finishing and self._actor.idle and self._delivered()
        status = Status(ready, idle, self._actor.done, self._actor.answered, self._refused)
        now = time.monotonic()
        self._unreported = status != self._reported
        if not self._unreported:
            return
        urgent = status.ready != self._reported.ready or (status.idle != self._reported.idle and self._finishing)
        urgent = urgent or status.done != self._reported.done
        if urgent or now >= self._report_at:
            self._reported = status
            self._unreported = False
            self._report_at = now + REPORT_EVERY_S
            with contextlib.suppress(BrokenPipeError):  # the launcher is gone; standard input says so too
                print(msgspec.json.encode(status).decode(), flush=True)

    def _delivered(self) -> bool:
        return all(sender.empty for name, sender in self._senders.items() if name not in self._gone)


def _wake(turn: Turn) -> None:
    """Nothing to do but look at the state of things."""
