"""A trace for Perfetto (https://ui.perfetto.dev), in the Trace Event Format of Chrome: a whole run on a time axis.

Each process has a track. An event is a slice (`X`) that lasts until the process's next event, at most `LONGEST_US`. An order
is a span (`b`, `e`) from its placing to its first answer. A message is an arrow (`s`, `f`) between two slices. It begins at
the last event that its sender had noted; the sender may have sent it later.

Events of one turn have the same time. Perfetto cannot tell which of two slices with the same time is the inner one, so each
begins at least `STEP_US` after the one before. All times are whole microseconds, or half ones, which survive their way through
JSON: Perfetto drops slices that overlap by a rounding. The trace is written while the histories are read, one after the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import msgspec

from bazaar.analysis.causality import Line, Sends
from bazaar.protocol import events

STEP_US = 1
LONGEST_US = 1_000
EVENTS, ORDERS = "event", "order"


def write(
    file: BinaryIO,
    histories: Mapping[str, Iterable[Line]],
    sends: Sends,
    started_at: float,
    name: Callable[[str], str] = str,
) -> None:
    """Writes the trace. `started_at`: the launch, in seconds since the epoch. `name`: a process's name for people."""
    encode = msgspec.json.Encoder().encode
    file.write(b'{"displayTimeUnit":"ms","traceEvents":[')
    comma = b"\n"
    for record in _records(histories, sends, started_at, name):
        file.write(comma + encode(record))
        comma = b",\n"
    file.write(b"\n]}\n")


def _records(
    histories: Mapping[str, Iterable[Line]], sends: Sends, started_at: float, name: Callable[[str], str]
) -> Iterator[dict[str, Any]]:
    numbers: dict[str, int] = {}  # by sender, the id of its first message
    total = 1
    for sender, clocks in sends.items():
        if any(True for _ in histories.get(sender, ())):  # else the arrow would have no slice to begin in
            numbers[sender] = total
            total += len(clocks)
    for pid, (process, history) in enumerate(histories.items(), 1):
        place = {"pid": pid, "tid": pid}
        yield {"ph": "M", "name": "process_name", **place, "args": {"name": name(process)}}
        yield {"ph": "M", "name": "process_sort_index", **place, "args": {"sort_index": pid}}
        yield {"ph": "M", "name": "thread_name", **place, "args": {"name": "events"}}
        track = _Track(place, sends.get(process, ()) if process in numbers else (), numbers.get(process, 0))
        for line in history:
            yield from track.next(line, round((line.at - started_at) * 1e6))
            if line.source in numbers and line.sent is not None and track.is_new(line.source, line.sent):
                track.receive(numbers[line.source] + bisect_left(sends[line.source], line.sent))
        yield from track.end()


class _Track:
    """One process's events. The last one is held back until its end is known, and with it what begins or ends in it."""

    def __init__(self, place: Mapping[str, int], sent: Iterable[int], first_id: int) -> None:
        self._place = place
        self._sent = enumerate(sent, first_id)
        self._leaving = next(self._sent, None)
        self._held: Line | None = None
        self._at = 0  # of the held event
        self._received: int | None = None
        self._newest: dict[str, int] = {}
        self._open: set[str] = set()  # the buyer's orders without an answer

    def is_new(self, source: str, sent: int) -> bool:
        """Whether this message has caused no event before: it may cause several."""
        new = self._newest.get(source) != sent
        self._newest[source] = sent
        return new

    def receive(self, message: int) -> None:
        """The held event was caused by this message."""
        self._received = message

    def next(self, line: Line, at_us: int) -> Iterator[dict[str, Any]]:
        """Holds the next event, and yields the one before."""
        at_us = max(at_us, self._at + STEP_US)
        yield from self._finish(line.clock, at_us)
        self._held, self._at = line, at_us

    def end(self) -> Iterator[dict[str, Any]]:
        """Yields the last event."""
        yield from self._finish(None, self._at + LONGEST_US)

    def _finish(self, next_clock: int | None, next_at: int) -> Iterator[dict[str, Any]]:
        line = self._held
        if line is None:
            return
        event, length = line.event, min(next_at - self._at, LONGEST_US)
        facts = {"lamport": line.clock, **msgspec.to_builtins(event)}
        yield {**self._slice("X", event.kind, EVENTS, self._at), "dur": length, "args": facts}
        yield from self._span(event)
        inside = self._at + STEP_US / 2  # early in the slice: an arrow that seems to go back in time is not drawn
        if self._received is not None:
            yield {**self._slice("f", "message", "message", inside), "id": self._received, "bp": "e"}
            self._received = None
        while self._leaving is not None and (next_clock is None or self._leaving[1] < next_clock):
            yield {**self._slice("s", "message", "message", inside), "id": self._leaving[0]}
            self._leaving = next(self._sent, None)

    def _span(self, event: events.Event) -> Iterator[dict[str, Any]]:
        if isinstance(event, events.Ordered):
            self._open.add(event.order_id)
            yield {**self._slice("b", event.order_id, ORDERS, self._at), "id": event.order_id}
        elif isinstance(event, events.ANSWERS) and event.order_id in self._open:
            self._open.discard(event.order_id)
            yield {**self._slice("e", event.order_id, ORDERS, self._at), "id": event.order_id}

    def _slice(self, phase: str, name: str, category: str, at_us: float) -> dict[str, Any]:
        return {"ph": phase, "name": name, "cat": category, **self._place, "ts": at_us}
