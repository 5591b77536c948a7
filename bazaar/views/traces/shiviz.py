"""A log for ShiViz (Beschastnikh et al. 2016), which draws the processes of a run and who knew of what.

The first line is the regular expression by which ShiViz reads the log. The second one, empty, says that there is one run only.
ShiViz reads both when it loads a file. Each point has two lines: process, vector clock, seconds since the market opened, and
Lamport clock; then what happened. In its own clock, each process begins at 1 and goes on by exactly 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bazaar.analysis.causality import Line, Sends, in_causal_order, vector_clocks
from bazaar.protocol.events import Event
from bazaar.views.traces.choosing import Choice

PARSER = r"(?<host>\S+) (?<clock>{.*}) (?<at>\S+) (?<lamport>\d+)\n(?<event>.*)"
LONGEST_TEXT = 160


def log(choice: Choice, histories: Mapping[str, Iterable[Line]], sends: Sends, opening: float) -> Iterator[str]:
    """The lines of the log. `opening`: when the market opened. Raises `NotOrdered`."""
    yield from (PARSER, "")
    processes = [*histories, *(sends.keys() - histories.keys())]
    left = len(choice.points)
    for point, vector in vector_clocks(processes, in_causal_order(histories, sends), choice.has):
        clock = {process: count for process, count in zip(processes, vector, strict=True) if count}
        line = point.line
        at = f"{line.at - opening:.4f}" if line is not None else "-"
        yield f"{point.process} {msgspec.json.encode(clock).decode()} {at} {point.clock}"
        yield told(line.event) if line is not None else f"sends to {choice.points[point.process, point.clock]}"
        left -= 1
        if not left:  # the rest of a long run is of no interest
            return


def told(event: Event) -> str:
    """An event on one line: its kind, and its fields as a history has them."""
    facts = msgspec.to_builtins(event).items()
    values = ((name, fact if isinstance(fact, str) else msgspec.json.encode(fact).decode()) for name, fact in facts)
    text = " ".join(" ".join([event.kind, *(f"{name}={value}" for name, value in values)]).split())
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 4]} ..."
