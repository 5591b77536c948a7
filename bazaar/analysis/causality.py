"""Which event of a run happened before which other: vector clocks (Fidge 1988, Mattern 1989), derived from the histories.

The processes keep Lamport clocks only. A history says of each event which message caused it (`source`, `sent`), so the vector
clocks can be computed afterwards. A message leaves its sender between two events. Such a moment is a point of its own, because
the sender may note more, or hear more, before its next event. What cannot be known is missing: a message whose receiver noted
no event. So two events that are concurrent by these clocks may have been in contact, but an event that is before another by
these clocks did happen before it.

By the clock condition (Lamport 1978) all points in the order of their clocks are in an order that contains "happened before".
So one pass over the merged histories is enough. It holds one vector for each process and each message that is under way.
"""

from __future__ import annotations

import heapq
import operator
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded

Line = Recorded[Event]
Vector = tuple[int, ...]
"""By process, how many of its points have happened by then."""
Sends = Mapping[str, Sequence[int]]
"""By sender, the clocks at which it sent the messages that caused events, ascending."""


class NotOrdered(Exception):
    """The clocks of the run break Lamport's clock condition. The text says where."""


class Point(NamedTuple):
    """An event, or the sending of a message."""

    process: str
    clock: int
    line: Line | None
    """The event; None if the process sent a message, and noted nothing at that clock."""
    sends: bool
    """Whether a message that caused an event was sent at this point."""


def sends_of(histories: Iterable[Iterable[Line]]) -> Sends:
    """The messages of a run that caused events. The memory is bounded: eight bytes for each message."""
    found: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    for history in histories:
        newest: dict[str, int] = {}  # by sender, the message received last: it may have caused several events
        for line in history:
            if line.source is not None and line.sent is not None and newest.get(line.source) != line.sent:
                newest[line.source] = line.sent
                found[line.source].append(line.sent)
    return {sender: array("q", sorted(set(clocks))) for sender, clocks in found.items()}


def in_causal_order(histories: Mapping[str, Iterable[Line]], sends: Sends) -> Iterator[Point]:
    """All points of a run, each after those that happened before it. Raises `NotOrdered`."""
    processes = {**dict.fromkeys(histories), **dict.fromkeys(sends)}
    tracks = [_points_of(process, histories.get(process, ()), sends.get(process, ())) for process in processes]
    return heapq.merge(*tracks, key=operator.attrgetter("clock"))


def _points_of(process: str, history: Iterable[Line], sent: Sequence[int]) -> Iterator[Point]:
    number, before = 0, None
    for line in history:
        clock = line.clock
        if before is not None and clock <= before:
            raise NotOrdered(f"the clock of {process} goes from {before} to {clock}")
        if line.sent is not None and line.sent >= clock:
            raise NotOrdered(f"{process} receives at clock {clock} what {line.source} sends at {line.sent}")
        while number < len(sent) and sent[number] < clock:
            yield Point(process, sent[number], None, True)
            number += 1
        sends = number < len(sent) and sent[number] == clock
        number += sends
        yield Point(process, clock, line, sends)
        before = clock
    for clock in sent[number:]:
        yield Point(process, clock, None, True)


def vector_clocks(
    processes: Sequence[str], points: Iterable[Point], counts: Callable[[Point], bool] = lambda point: True
) -> Iterator[tuple[Point, Vector]]:
    """The points that count, each with its vector clock. Other points pass on what they know, but are not counted.

    So the clocks of a few chosen points are as if no other point existed: a process's own component rises by 1 from each of
    its chosen points to the next. `points` are in causal order. `processes`: whose components the vectors have, in order.
    """
    index = {process: number for number, process in enumerate(processes)}
    now = {process: [0] * len(processes) for process in processes}
    under_way: dict[tuple[str, int], Vector] = {}
    for point in points:
        vector, line = now[point.process], point.line
        if line is not None and line.source is not None and line.sent is not None:
            came = under_way.pop((line.source, line.sent), None)
            if came is not None:  # else another event has received it already: it is one message
                vector[:] = map(max, vector, came)
        counted = counts(point)
        vector[index[point.process]] += counted
        if counted or point.sends:
            known = tuple(vector)
            if point.sends:
                under_way[point.process, point.clock] = known
            if counted:
                yield point, known
