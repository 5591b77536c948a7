"""One turn of an actor: the time now, and the effects decided so far.

An actor (a peer, the warehouse) performs no input or output. It is given a `Turn`, and records in it what is to be done.
`endpoint.py` says in which order the effects are performed: **kept records are durable and noted events are written before
any message is sent.** Messages to one destination are sent in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from bazaar.core.clock import LamportClock
from bazaar.protocol.cache_server import Call, Result
from bazaar.protocol.events import Event
from bazaar.protocol.goods import Seat
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.messages import AnyMessage
from bazaar.protocol.wire import Letter

NEVER = float("inf")
"""A time that never comes: the deadline of something that nobody waits for."""


class Noted(NamedTuple):
    """An event and its Lamport time. `source`, `sent`: the sender and the Lamport time of the message that caused it."""

    clock: int
    event: Event
    source: str | None = None
    sent: int = 0


class Withheld(NamedTuple):
    """A message that was taken out of its turn, to be sent in a later one. `before`: as in `Turn.send`."""

    to: str
    body: AnyMessage
    before: float | None


class Turn:
    """Collects the effects of one batch of letters and the passing of time."""

    __slots__ = (
        "_clock",
        "_leave_before",
        "_source",
        "calls",
        "events",
        "kept",
        "kept_afterwards",
        "now",
        "reads",
        "sends",
        "sent",
    )

    def __init__(self, now: float, clock: LamportClock) -> None:
        self.now = now
        self.sends: list[tuple[str, Letter]] = []
        self.kept: list[Any] = []
        self.kept_afterwards: list[Any] = []
        self.reads: list[Seat] = []
        self.calls: list[Call] = []
        self.events: list[Noted] = []
        self._leave_before: dict[int, float] = {}
        self._clock = clock
        self._source: str | None = None
        self.sent = 0
        """The Lamport time at which the current letter was sent."""

    def witness(self, source: str, letter: Letter) -> None:
        """From here on the turn acts on this letter."""
        self._clock.witness(letter.clock)
        self._source = source
        self.sent = letter.clock

    def unprompted(self) -> None:
        """From here on the turn acts on the passing of time, not on a letter."""
        self._source = None

    def send(self, to: str, body: AnyMessage, before: float | None = None) -> None:
        """Sends `body`, stamped with the next time of the Lamport clock. `before`: it is not sent at this time or later."""
        if before is not None:
            self._leave_before[len(self.sends)] = before
        self.sends.append((to, Letter(self._clock.tick(), body)))

    def sends_at(self, now: float) -> list[tuple[str, Letter]]:
        """The messages that may still be sent at `now`, which is read after all kept records are durable."""
        if all(now < before for before in self._leave_before.values()):
            return self.sends
        return [send for number, send in enumerate(self.sends) if now < self._leave_before.get(number, NEVER)]

    def withhold(self, chosen: Callable[[AnyMessage], bool]) -> list[Withheld]:
        """Takes the messages that are `chosen` out of this turn."""
        sends, leave_before, self.sends, self._leave_before = self.sends, self._leave_before, [], {}
        withheld = []
        for number, (to, letter) in enumerate(sends):
            before = leave_before.get(number)
            if chosen(letter.body):
                withheld.append(Withheld(to, letter.body, before))
                continue
            if before is not None:
                self._leave_before[len(self.sends)] = before
            self.sends.append((to, letter))
        return withheld

    def keep(self, record: Any) -> None:
        """Makes `record` durable in the actor's store: a peer's journal, the warehouse's ledger."""
        self.kept.append(record)

    def keep_afterwards(self, record: Any) -> None:
        """Keeps `record` once all that this turn sends has been delivered. If the process ends before that, it is not kept."""
        self.kept_afterwards.append(record)

    def read(self, seat: Seat) -> None:
        """Asks for the journal of a tenure. The readable part of it comes back through `Actor.inherit`."""
        self.reads.append(seat)

    def call(self, call: Call) -> None:
        """Asks the cache server. The result comes back through `Actor.cached`, each one once."""
        self.calls.append(call)

    def note(self, event: Event) -> None:
        """Writes an event into the history of this process."""
        self.events.append(Noted(self._clock.tick(), event, self._source, self.sent))


class Actor(Protocol):
    """What an endpoint connects to the others and a driver runs. All times are seconds of one monotonic clock."""

    name: str
    clock: LamportClock

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest; infinity for never."""

    @property
    def answered(self) -> int:
        """How many orders of this actor have their answer."""

    @property
    def done(self) -> bool:
        """Whether the actor has no further order to place, and all of its own are answered."""

    @property
    def idle(self) -> bool:
        """Whether the actor waits for nothing and owes nothing."""

    def begin(self, turn: Turn) -> None:
        """Everybody is there: start."""

    def finish(self, turn: Turn) -> None:
        """Begin nothing new."""

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """A letter came in."""

    def tied(self, neighbours: tuple[str, ...]) -> None:
        """These peers are its neighbours in the graph now. Called in each turn, unless everybody writes to everybody."""

    def resign(self, turn: Turn) -> None:
        """Give up the trader's seat, if there is one to give up."""

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Here is the readable part of a journal that was asked for, of the tenure `seat`."""

    def cached(self, turn: Turn, call: Call, result: Result) -> None:
        """This came of a call to the cache server."""

    def tick(self, turn: Turn) -> None:
        """Do what is due. Called after all letters that are here were received, or when the deadline has passed."""
