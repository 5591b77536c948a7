"""A run as the explanations read it: its histories and ledger, searched for a few names at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping

from bazaar.protocol import events
from bazaar.protocol.entries import AnyEntry, Appoint
from bazaar.protocol.events import Event
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import Recorded, mentioning, only

Line = Recorded[Event]


class Run:
    """The records of a run. `entries` and each history are iterated over more than once."""

    def __init__(self, plan: Plan, entries: Iterable[AnyEntry], histories: Mapping[str, Iterable[Line]]) -> None:
        self.plan = plan
        self.entries = entries
        self.histories = histories

    def about(self, *names: str) -> dict[str, list[Line]]:
        """By process, the events that mention one of these names."""
        return {process: list(mentioning(history, *names)) for process, history in self.histories.items()}

    def of(self, process: str, *kinds: type[Event]) -> list[Line]:
        """The events of these kinds in the history of one process."""
        return list(only(self.histories.get(process, ()), *kinds))

    @functools.cached_property
    def opening(self) -> float:
        """The time when the first trader said that trading can begin; else the time of the first event."""
        opened = [line.at for history in self.histories.values() for line in only(history, events.Opened)]
        firsts = (line.at for history in self.histories.values() for line in itertools.islice(history, 1))
        return min(opened or firsts, default=0.0)

    @functools.cached_property
    def seats(self) -> dict[str, int]:
        """The seat that each peer held last."""
        return {entry.peer: entry.seat for entry in self.entries if isinstance(entry, Appoint)}

    def name(self, peer: str) -> str:
        """The name of a peer for people: `trader1 (seller6)`."""
        return f"trader{self.seats[peer]} ({peer})" if peer in self.seats else peer
