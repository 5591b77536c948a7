"""The graph of a run whose peers speak with their neighbours only (`routing` is `neighbours`; requirements K1 and K2).

Each process writes down its neighbours whenever they change, and now and then how many bundles it has sent to whom. An edge
is there while both of its ends name each other. A process is part of the graph from its first line to its end.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from bazaar.analysis.audit.evidence import WAREHOUSE, Case, FaultDone, Handler
from bazaar.analysis.audit.lines import Absent, Carried, Line, Named, Neighbours

MOST_NEIGHBOURS = 3
LONGEST_PARTED = 3
"""In multiples of `suspect_after_s`: so long the graph may stay in parts when nothing hinders it, and one more for each death,
because it tries one edge after the other."""


class _Change(NamedTuple):
    """From this time on a process has these neighbours; None: it is gone."""

    at: float
    name: str
    neighbours: frozenset[str] | None


class GraphChecks:
    """Gathers who has which neighbours when, and judges it at the end."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._changes: list[_Change] = []
        self._disturbed: list[tuple[float, float]] = []
        self._deaths = 0
        self._allowed: defaultdict[str, set[str]] = defaultdict(set)  # the neighbours since the last count of bundles
        self._now: dict[str, set[str]] = {}
        self._sent: dict[str, dict[str, int]] = {}
        routed = case.charter.settings.routing == "neighbours"
        self.handlers: dict[str, Handler] = {}
        self.launcher_handlers: dict[str, Handler] = {}
        if routed:
            self.handlers = {
                "born": self._born,
                "neighbours": self._has,
                "carried": self._has_sent,
                "absent": self._absent,
            }
            self.launcher_handlers = {"fell": self._fall, "started": self._start}

    # --------------------------------------------------------------------------------------- taking in
    def fault(self, fault: FaultDone) -> None:
        """Takes in a fault that the launcher did."""
        self._disturb(fault.at, fault.at + fault.for_s)
        if fault.kind == "kill":
            for name in fault.names:
                self._gone(name, fault.at)

    def _fall(self, line: Line, facts: Named) -> None:
        self._gone(facts.name, line.at)

    def _start(self, line: Line, facts: Named) -> None:
        self._disturb(line.at, line.at)

    def _absent(self, line: Line, facts: Absent) -> None:
        self._disturb(line.at - facts.for_s, line.at)

    def _disturb(self, since: float, until: float) -> None:
        self._disturbed.append((since, until))

    def _gone(self, name: str, at: float) -> None:
        self._deaths += 1
        self._disturb(at, at)
        self._changes.append(_Change(at, name, None))

    def _born(self, line: Line, facts: None) -> None:
        self._disturb(line.at, line.at)
        self._now[line.process] = set()
        self._allowed[line.process] = set()
        self._sent[line.process] = {}

    def _has(self, line: Line, facts: Neighbours) -> None:
        me, names = line.process, set(facts.names)
        peers = names - {WAREHOUSE}
        if me != WAREHOUSE and len(peers) > MOST_NEIGHBOURS:
            story = f"{me} has {len(peers)} neighbours from clock {line.clock} on: {', '.join(sorted(peers))}"
            self._case.findings.violated("three_neighbours_at_most", story)
        strangers = names - {*self._case.charter.names, WAREHOUSE} | names & {me}
        if strangers:
            story = (
                f"{me} has a neighbour from clock {line.clock} on that it cannot have: {', '.join(sorted(strangers))}"
            )
            self._case.findings.violated("three_neighbours_at_most", story)
        self._now[me] = names
        self._allowed[me] |= names
        self._changes.append(_Change(line.at, me, frozenset(names)))

    def _has_sent(self, line: Line, facts: Carried) -> None:
        me, sent = line.process, dict(facts.bundles)
        before = self._sent.get(me, {})
        for name, count in sent.items():
            if count > before.get(name, 0) and name not in self._allowed[me]:
                story = f"{me} sent something to {name}, which was not its neighbour, before its clock was {line.clock}"
                self._case.findings.violated("only_along_edges", story)
        self._sent[me] = sent
        self._allowed[me] = set(self._now.get(me, ()))

    # ----------------------------------------------------------------------------------------- judging
    def finish(self) -> None:
        """Looks at the graph from the first change to the last: it must not stay in parts."""
        if not self._changes or self._case.damaged:
            return
        for name, noticed_at in self._case.lost.items():
            if (end := self._case.ends.get(name)) is not None:  # nobody knows its edges from then on
                self._changes.append(_Change(end.at, name, None))
                self._disturb(end.at, noticed_at)
        patience_s = (LONGEST_PARTED + self._deaths) * self._case.charter.settings.suspect_after_s
        alive: dict[str, frozenset[str]] = {}
        parted_since: float | None = None
        changes = sorted(self._changes, key=lambda change: change.at)
        ends = [change.at for change in changes[1:]]
        for change, until in zip(changes, [*ends, self._case.ended_at], strict=True):
            if change.neighbours is None:
                alive.pop(change.name, None)
            else:
                alive[change.name] = change.neighbours
            parts = _parts(alive)
            if len(parts) < 2:
                parted_since = None
                continue
            parted_since = change.at if parted_since is None else parted_since
            if self._undisturbed_s(parted_since, until) > patience_s:
                smallest: set[str] = min(parts, key=len)
                names = ", ".join(sorted(smallest))
                story = (
                    f"the graph was in {len(parts)} parts from {parted_since:.3f} to {until:.3f} s, one of them {names}"
                )
                self._case.findings.violated("the_graph_heals", story)
                return

    def _undisturbed_s(self, since: float, until: float) -> float:
        """The longest time between these two in which nothing hindered the graph."""
        longest, at = 0.0, since
        for begin, end in sorted(self._disturbed):
            if end >= at and begin < until:
                longest = max(longest, begin - at)
                at = max(at, end)
        return max(longest, until - at)


def _parts(alive: dict[str, frozenset[str]]) -> list[set[str]]:
    """The connected parts of the graph of those that name each other. The warehouse passes nothing on."""
    left, parts = set(alive) - {WAREHOUSE}, list[set[str]]()
    while left:
        part: set[str] = set()
        ahead = [min(left)]
        while ahead:
            name = ahead.pop()
            part.add(name)
            ahead += [n for n in alive[name] if n in left - part and name in alive[n]]
        parts.append(part)
        left -= part
    return parts
