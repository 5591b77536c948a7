"""The course of a run: counts, the role of each process and the graph over time, and the single events worth reading.

Only a limited number of single events of each kind is kept, and some more after each fault and each election. The events
that are left out are counted by kind. So the memory is bounded, except for the orders without an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bazaar.analysis.edges import Edges
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import Recorded, decode_line, kind_of
from bazaar.views.narration import SENTENCES, Narrator
from bazaar.views.pieces import Piece, Pieces, bucket

MOST_OF_A_KIND, MORE_AFTER_A_TURN, MOST_EVENTS = 40, 12, 2_000
EVERY_TENTH = b'0","item"'
"""Part of the line of an order whose number ends in 0. Where lines are only counted, only these orders are timed."""

TURNS: tuple[type[Event], ...] = (events.Fault, events.Fell, events.ElectionStarted)
"""Events after which more single events are kept."""
SELDOM: tuple[type[Event], ...] = (
    *TURNS,
    *(events.Reelection, events.Elected, events.Opened, events.TraderDied, events.Deposed, events.Resigned),
    *(events.SteppedDown, events.NothingToResign, events.TookOver, events.Inherited, events.Unreadable, events.Absent),
    *(events.Resized, events.Met),
    *(events.Missed, events.Started, events.Closing, events.Ended, events.Born, events.Neighbours),
)
"""Events that are decoded even where all others are only counted."""
TOLD = frozenset((told[0] if isinstance(told, tuple) else told).kind for told in SENTENCES)
"""The kinds of events that have sentences."""
_SELDOM = frozenset(kind.kind for kind in SELDOM)
_TIMED = frozenset(kind.kind for kind in (events.Ordered, *events.ANSWERS))


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of a process's role or state. `t` is in seconds since the launch, here and below."""

    t: float
    who: str
    now: str
    """`traderI`, `peer` (no trader any more), `dead`, `up`, `paused`; or `took over`: it took over a queue; or `resized`: it
    had the number of traders changed, by load."""
    until: float | None = None
    """The time when a pause ends by itself."""
    of: str | None = None
    """The peer whose queue was taken over."""
    seats: int | None = None
    """How many traders there are to be from now on."""


class Happening(msgspec.Struct, frozen=True, omit_defaults=True):
    """A single event, with its sentence."""

    t: float
    who: str
    kind: str
    text: str
    order: str | None = None


class Course:
    """The course so far. `add` takes every event, in order of time. `count` takes many lines: faster, but less detailed."""

    def __init__(self, launched_at: float) -> None:
        self.launched_at = launched_at
        self.end = 0.0
        """The time of the last event, in seconds since the launch."""
        self.pieces = Pieces()
        self.changes: list[Change] = []
        self.edges: list[tuple[float, str, str, bool]] = []
        """With `--routing neighbours`, when an edge between two peers came up (True) or went down, and its ends."""
        self.happenings: list[Happening] = []
        self.opening: float | None = None
        """The time when trading began, in seconds since the launch."""
        self.ended = False
        """Whether the launcher has said that the run is over."""
        self.sampled = False
        """Whether only every tenth order was timed, at least for a while."""
        self.seen: Counter[str] = Counter()
        """The number of events of each kind."""
        self.kept: Counter[str] = Counter()
        self.open: dict[str, float] = {}
        """The orders without an answer, with the times when they were placed."""
        self._room = dict.fromkeys(TOLD, MOST_OF_A_KIND)
        self._queue: Counter[str] = Counter()
        self._stock: Counter[str] = Counter()
        self._seats: dict[str, int] = {}
        self._graph = Edges()
        self._narrator = Narrator()

    # ------------------------------------------------------------------------------------------- by now
    @property
    def seats(self) -> Mapping[str, int]:
        """The seat of each trader, by its name as a peer."""
        return self._seats

    @property
    def queue(self) -> Mapping[str, int]:
        """The number of orders that wait, by peer."""
        return self._queue

    @property
    def stock(self) -> Mapping[str, int]:
        """The number of units in the warehouse, by item."""
        return self._stock

    # --------------------------------------------------------------------------------------- taking in
    def add(self, line: Recorded[Event]) -> None:
        """Takes in one event."""
        kind = type(line.event)
        self.seen[kind.kind] += 1
        self.end = max(self.end, line.at - self.launched_at)
        take = _TAKERS.get(kind)
        if take is not None:
            take(self, line)
        if kind in TURNS:
            for name in self._room:
                self._room[name] = max(self._room[name], MORE_AFTER_A_TURN)
        if self._room.get(kind.kind, 0) > 0 and len(self.happenings) < MOST_EVENTS:
            self._keep(line)

    def count(self, process: str, at: float, lines: Sequence[bytes]) -> None:
        """Counts the lines of one process when they are too many to be decoded. `at`: the time when they were read."""
        self.end = max(self.end, at - self.launched_at)
        kinds = [kind_of(line) for line in lines]
        counts = Counter(kinds)
        seldom = counts.keys() & _SELDOM
        timed = counts.keys() & _TIMED
        self.sampled = self.sampled or bool(timed)
        for name, line in zip(kinds, lines, strict=True) if seldom or timed else ():
            if name in seldom:
                self.add(decode_line(line))
            elif name in timed and EVERY_TENTH in line:
                event = decode_line(line)
                _TAKERS[type(event.event)](self, event)
        for name, number in counts.items():
            if name not in seldom:
                self.seen[name] += number
        queued = counts["queued"] + counts["requeued"] - counts["taken"]
        if queued:
            self._wait(process, at, queued)

    def _keep(self, line: Recorded[Event]) -> None:
        name = type(line.event).kind
        told = " ".join(sentence.text for sentence in self._narrator.tell([line]))
        if told:
            self._room[name] -= 1
            self.kept[name] += 1
            order = getattr(line.event, "order_id", None)
            self.happenings.append(Happening(self._since(line.at), line.process, name, told, order))

    def _since(self, at: float) -> float:
        return round(at - self.launched_at, 4)

    def _piece(self, at: float) -> Piece:
        return self.pieces.at(at - self.launched_at)

    def _wait(self, process: str, at: float, more: int) -> None:
        """Changes the number of orders that wait at this process by `more`, which may be negative."""
        self._queue[process] = max(0, self._queue[process] + more)
        self._piece(at).queue[process] = self._queue[process]

    def _change(self, at: float, who: str, now: str, until: float | None = None) -> None:
        self.changes.append(Change(self._since(at), who, now, until and self._since(until)))

    def _unseat(self, at: float, peer: str) -> None:
        if self._seats.pop(peer, None) is not None:
            self._change(at, peer, "peer")
        self._leave(at, peer)

    def _leave(self, at: float, peer: str) -> None:
        if self._queue.pop(peer, 0):
            self._piece(at).queue[peer] = 0

    # ----------------------------------------------------------------------------- by kind of the event
    def _queued(self, line: Recorded[Event]) -> None:
        self._wait(line.process, line.at, 1)

    def _taken(self, line: Recorded[events.Taken]) -> None:
        self._wait(line.process, line.at, -1)

    def _ordered(self, line: Recorded[events.Ordered]) -> None:
        self.open[line.event.order_id] = line.at

    def _answered(self, line: Recorded[events.OfOrder]) -> None:
        placed = self.open.pop(line.event.order_id, None)
        if placed is not None:
            self._piece(line.at).waits[bucket(line.at - placed)] += 1

    def _stocked(self, line: Recorded[events.Stocked]) -> None:
        self._stock[line.event.item] += line.event.count
        self._piece(line.at).stock[line.event.item] = self._stock[line.event.item]

    def _shipped(self, line: Recorded[events.Shipped]) -> None:
        piece, item = self._piece(line.at), line.event.item
        piece.shipped += line.event.units
        self._stock[item] -= line.event.units
        piece.stock[item] = self._stock[item]

    def _oversold(self, line: Recorded[events.Oversold]) -> None:
        piece = self._piece(line.at)
        piece.oversold += 1
        piece.undersold += self._stock[line.event.item] >= line.event.units

    def _unavailable(self, line: Recorded[events.Unavailable]) -> None:
        if line.process == WAREHOUSE:
            piece = self._piece(line.at)
            piece.unavailable += 1
            piece.undersold += self._stock[line.event.item] >= line.event.units

    def _elected(self, line: Recorded[events.Elected]) -> None:
        self._seats[line.process] = line.event.seat
        self._change(line.at, line.process, f"trader{line.event.seat}")

    def _opened(self, line: Recorded[events.Opened]) -> None:
        self.opening = self._since(line.at) if self.opening is None else self.opening

    def _stepped_down(self, line: Recorded[events.SteppedDown]) -> None:
        self._unseat(line.at, line.process)

    def _deposed(self, line: Recorded[events.Deposed | events.TraderDied]) -> None:
        self._unseat(line.at, line.event.peer)

    def _connected(self, line: Recorded[Event]) -> None:
        for change in self._graph.add(line):
            if change.what in ("up", "down") and change.other != WAREHOUSE:
                self.edges.append((self._since(change.at), change.one, change.other, change.what == "up"))

    def _fell(self, line: Recorded[events.Fell]) -> None:
        self._connected(line)
        self._leave(line.at, line.event.name)
        self._change(line.at, line.event.name, "dead")

    def _started(self, line: Recorded[events.Started]) -> None:
        if line.event.again:
            self._change(line.at, line.event.name, "up")

    def _fault(self, line: Recorded[events.Fault]) -> None:
        fault = line.event
        if fault.fault_kind == "pause":
            self._change(line.at, fault.name, "paused", line.at + fault.for_s)
        elif fault.fault_kind == "resume":
            self._change(line.at, fault.name, "up")

    def _took_over(self, line: Recorded[events.TookOver]) -> None:
        if line.event.peer != line.process:
            self.changes.append(Change(self._since(line.at), line.process, "took over", of=line.event.peer))

    def _resized(self, line: Recorded[events.Resized]) -> None:
        self.changes.append(Change(self._since(line.at), line.event.by, "resized", seats=line.event.seats))

    def _ended(self, line: Recorded[events.Ended]) -> None:
        self.ended = True

    def left_out(self) -> dict[str, int]:
        """By kind with sentences, the number of events that were not kept as single events."""
        told = self.kept.keys()
        return {kind: self.seen[kind] - self.kept[kind] for kind in sorted(told) if self.seen[kind] > self.kept[kind]}


_TAKERS: dict[type[Event], Callable[[Course, Any], None]] = {
    events.Queued: Course._queued,
    events.Inherited: Course._queued,
    events.Requeued: Course._queued,
    events.Taken: Course._taken,
    events.Ordered: Course._ordered,
    **dict.fromkeys(events.ANSWERS, Course._answered),
    events.Stocked: Course._stocked,
    events.Shipped: Course._shipped,
    events.Oversold: Course._oversold,
    events.Unavailable: Course._unavailable,
    events.Elected: Course._elected,
    events.Opened: Course._opened,
    events.SteppedDown: Course._stepped_down,
    events.Deposed: Course._deposed,
    events.TraderDied: Course._deposed,
    events.Born: Course._connected,
    events.Neighbours: Course._connected,
    events.Fell: Course._fell,
    events.Started: Course._started,
    events.Fault: Course._fault,
    events.TookOver: Course._took_over,
    events.Resized: Course._resized,
    events.Ended: Course._ended,
}
