"""The graph of a run over time, and its file `graph.csv` (requirement K2): which edges came and went, and who died.

With `--routing neighbours` each process notes its neighbours whenever they change. An edge is there while both of its ends
are alive and name each other. A neighbour that an end only tries to reach does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, index_of
from bazaar.runtime.history import Recorded, by_time, only

GRAPH_FILE = "graph.csv"
EVENTS: tuple[type[Event], ...] = (events.Born, events.Neighbours, events.Fell)
"""The events that the graph follows from."""


class Change(msgspec.Struct, frozen=True):
    """One change of the graph."""

    at: float
    """Seconds since the epoch."""
    what: Literal["up", "down", "died", "returned"]
    """Of an edge: it came up or went down. Of a process: it died, or began a further life."""
    one: str
    other: str = ""
    """The other end of an edge: the one with the higher number, or the warehouse. Empty for a process."""


class Edges:
    """The graph so far. `add` takes the lines of all histories, in order of time."""

    def __init__(self) -> None:
        self._named: dict[str, frozenset[str]] = {}  # by living process: who it says its neighbours are
        self._dead: set[str] = set()

    def add(self, line: Recorded[Event]) -> Iterator[Change]:
        """Takes in one event. Returns what it changes."""
        match line.event:
            case events.Born():
                if line.process in self._dead:
                    self._dead.remove(line.process)
                    yield Change(line.at, "returned", line.process)
                yield from self._name(line.at, line.process, frozenset())
            case events.Neighbours(names, trying) if line.process in self._named:
                yield from self._name(line.at, line.process, frozenset(names) - {trying})
            case events.Fell(name) if name in self._named:
                yield Change(line.at, "died", name)
                yield from self._name(line.at, name, frozenset())
                self._dead.add(name)
                del self._named[name]

    def _name(self, at: float, me: str, names: frozenset[str]) -> Iterator[Change]:
        before, self._named[me] = self._named.get(me, frozenset()), names
        for other in sorted(before ^ names, key=_rank):
            if me in self._named.get(other, ()):
                one, two = sorted((me, other), key=_rank)
                yield Change(at, "up" if other in names else "down", one, two)


def changes_of(histories: Iterable[Iterable[Recorded[Event]]]) -> Iterator[Change]:
    """All changes of the graph in a run, in order of time. Raises `msgspec.DecodeError` if a history cannot be read."""
    edges = Edges()
    for line in by_time(only(history, *EVENTS) for history in histories):
        yield from edges.add(line)


def graph_table(changes: Iterable[Change], opening: float) -> Iterator[bytes]:
    """The lines of `graph.csv`, with its head. `opening`: when the market opened, in seconds since the epoch."""
    yield b"at_s,change,one,other\n"
    for change in changes:
        yield f"{round(change.at - opening, 6)},{change.what},{change.one},{change.other}\n".encode()


def _rank(name: str) -> tuple[bool, int]:
    return (True, 0) if name == WAREHOUSE else (False, index_of(name))
