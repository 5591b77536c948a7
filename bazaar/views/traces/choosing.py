"""Chooses the points of a run that are worth a diagram, at most `MOST_POINTS` of them.

ShiViz compares all pairs of points, so it takes no more. What can be chosen: orders, elections, take-overs, a stretch of time.
If more is wanted than fits, the earliest points are kept. An event that a message caused brings the sending of it along.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from bazaar.analysis.causality import Line, Point
from bazaar.analysis.stories import PICKS, Run, pick
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.runtime.history import mentioning, only

MOST_POINTS = 2_000
Kinds = tuple[type[Event], ...]
ELECTION: Kinds = (
    events.ElectionStarted,
    events.Reelection,
    events.Called,
    events.HeardOk,
    events.Echoed,
    events.Chosen,
    events.Appointed,
    events.Elected,
    events.Recognized,
    events.Opened,
)
TAKE_OVER: Kinds = (
    events.Fault,
    events.Fell,
    events.Absent,
    events.Suspected,
    events.Resigned,
    events.Deposed,
    events.SteppedDown,
    events.TraderDied,
    events.HeardDeath,
    events.TookOver,
    events.Unreadable,
    events.Inherited,
    events.Adopted,
    events.Fenced,
)


class Wanted(NamedTuple):
    """What somebody wants to see. Without orders and kinds: all events of that stretch of time."""

    orders: tuple[str, ...] = ()
    kinds: Kinds = ()
    begin_s: float = float("-inf")
    """Seconds since the market opened, as `explain` counts them."""
    until_s: float = float("inf")

    def lines(self, histories: Mapping[str, Iterable[Line]], opening: float) -> Iterator[Line]:
        """The wanted events, process by process. Raises `msgspec.DecodeError`."""
        for history in histories.values():
            parts: Iterable[Line] = history
            if self.orders or self.kinds:
                parts = only(history, *self.kinds) if self.kinds else ()
                named = mentioning(history, *self.orders) if self.orders else ()
                parts = itertools.chain(parts, (line for line in named if type(line.event) not in self.kinds))
            yield from (line for line in parts if self.begin_s <= line.at - opening <= self.until_s)

    def __str__(self) -> str:
        what = [f"order {order}" for order in self.orders]
        what += ["elections"] * (ELECTION[0] in self.kinds) + ["take-overs"] * (TAKE_OVER[0] in self.kinds)
        begin = f" from {self.begin_s:g} s" if self.begin_s > float("-inf") else ""
        until = f" until {self.until_s:g} s" if self.until_s < float("inf") else ""
        return (", ".join(what) or "everything") + begin + until


class Choice(NamedTuple):
    """The points to be drawn."""

    wanted: Wanted
    points: Mapping[tuple[str, int], str]
    """By process and clock: who receives the message that is sent there; empty for an event."""
    events: int
    """How many of the points are events; the others are messages that are sent."""
    left_out: int
    """How many of the wanted events did not fit."""
    until_s: float
    """When the last of the chosen events happened, in seconds since the market opened."""

    def has(self, point: Point) -> bool:
        """Whether the point was chosen."""
        return (point.process, point.clock) in self.points


def choose(histories: Mapping[str, Iterable[Line]], wanted: Wanted, opening: float) -> Choice:
    """The earliest of the wanted points. `opening`: when the market opened. Raises `msgspec.DecodeError`."""
    counter = itertools.count()
    counted = (line for line, _ in zip(wanted.lines(histories, opening), counter, strict=False))
    points: dict[tuple[str, int], str] = {}
    taken, last = 0, opening
    for line in heapq.nsmallest(MOST_POINTS, counted, key=lambda line: (line.at, line.clock, line.process)):
        more = {(line.process, line.clock): ""}
        if line.source is not None and line.sent is not None and (line.source, line.sent) not in points:
            more[line.source, line.sent] = line.process
        if len(points) + len(more) > MOST_POINTS:
            break
        points |= more
        taken, last = taken + 1, line.at
    return Choice(wanted, points, taken, next(counter) - taken, last - opening)


def by_default(run: Run) -> Choice:
    """What is drawn if nobody says what they want: everything, if that fits.

    Otherwise the elections, the take-overs, and the orders that `explain` would pick.
    """
    if sum(1 for _ in itertools.islice(itertools.chain(*run.histories.values()), MOST_POINTS + 1)) <= MOST_POINTS:
        everything = choose(run.histories, Wanted(), run.opening)
        if not everything.left_out:
            return everything
    picked = {order: None for which in PICKS if (order := pick(run, which)) is not None}
    return choose(run.histories, Wanted(tuple(picked), ELECTION + TAKE_OVER), run.opening)
