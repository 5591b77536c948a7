"""Traders that were deposed without a cause: the failure detector may be mistaken only with a cause (requirement E1).

A cause is a fault that the launcher did to the deposed trader or to its accuser, another end of one of the two processes,
or an absence that one of them noticed itself. The cause must overlap the silence: the time before the suspicion in which
the accuser heard no sign of life.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from bazaar.analysis.audit.books import Tenure
from bazaar.analysis.audit.evidence import Case, FaultDone, Handler
from bazaar.analysis.audit.lines import Absent, Line, Named, OfPeer

FOREVER = float("inf")
LONGEST_SILENCE = 5
"""In multiples of `suspect_after_s`: non-traders wait longer than traders, and there is time between two heartbeats."""


class Hindrance(NamedTuple):
    """An interval in which a process could not give, or could not hear, signs of life."""

    since: float
    until: float
    proven: bool
    """Whether the process itself noted that the machine did not let it run. Else a fault or an accident hindered it."""

    def cut(self, at: float) -> Hindrance:
        """The hindrance, if what had been done to the process was undone at this time."""
        return self if self.proven else self._replace(until=min(self.until, at))


class Deposals:
    """Gathers suspicions, falls and absences, and then judges each deposal by another peer."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._hindrances: defaultdict[str, list[Hindrance]] = defaultdict(list)
        self._suspected: defaultdict[tuple[str, str], list[float]] = defaultdict(list)  # by accuser and accused
        self._deposed: defaultdict[str, list[float]] = defaultdict(list)  # by accused
        self._fell: dict[str, float] = {}
        self._restarts: list[tuple[str, float, float]] = []  # name, time of the fall, time of the restart
        self._informed: defaultdict[str, list[float]] = defaultdict(
            list
        )  # times at which the process was told the bench, and so its seat
        self.handlers: dict[str, Handler] = {
            "suspected": self._suspect,
            "deposed": self._depose,
            "absent": self._absent,
            "informed": self._inform,
        }
        self.launcher_handlers: dict[str, Handler] = {"fell": self._fall, "started": self._started}

    # --------------------------------------------------------------------------------------- taking in
    def fault(self, fault: FaultDone) -> None:
        """Takes in a fault that the launcher did."""
        for name in fault.names:
            if fault.kind == "kill":
                self._fell.setdefault(name, fault.at)
            elif fault.kind == "resume":
                self._hindrances[name] = [hindrance.cut(fault.at) for hindrance in self._hindrances[name]]
            elif fault.kind not in ("restart", "resign"):
                self._hindrances[name].append(Hindrance(fault.at, fault.at + fault.for_s, False))

    def _fall(self, line: Line, facts: Named) -> None:
        self._fell.setdefault(facts.name, line.at)
        self._case.dead.add(facts.name)

    def _started(self, line: Line, facts: Named) -> None:
        self._case.dead.discard(facts.name)
        fell_at = self._fell.pop(facts.name, None)
        if fell_at is not None:
            self._restarts.append((facts.name, fell_at, line.at))

    def _inform(self, line: Line, facts: None) -> None:
        self._informed[line.process].append(line.at)

    def _absent(self, line: Line, facts: Absent) -> None:
        self._hindrances[line.process].append(Hindrance(line.at - facts.for_s, line.at, True))

    def _suspect(self, line: Line, facts: OfPeer) -> None:
        self._suspected[line.process, facts.peer].append(line.at)

    def _depose(self, line: Line, facts: OfPeer) -> None:
        self._deposed[facts.peer].append(line.at)

    # ----------------------------------------------------------------------------------------- judging
    def finish(self, tenures: list[Tenure]) -> None:
        """Reports and counts the deposals without a cause."""
        for name, at in self._fell.items():
            gone_at = min(at, self._case.ends[name].at) if name in self._case.lost and name in self._case.ends else at
            self._hindrances[name].append(Hindrance(gone_at, FOREVER, False))
        for name, fell_at, started_at in self._restarts:  # no heartbeats before the process is told its seat
            until = next((at for at in self._informed[name] if at >= started_at), FOREVER)
            self._hindrances[name].append(Hindrance(fell_at, until, False))
        falls: Counter[str] = Counter()
        of_each = Counter(tenure.peer for tenure in tenures if tenure.until is not None)
        for tenure in sorted((t for t in tenures if t.until is not None), key=lambda t: t.until or 0):
            times = self._deposed[tenure.peer]
            # If the warehouse was killed before it noted a deposal, times and deposals cannot be matched.
            deposed_at = times[falls[tenure.peer]] if len(times) == of_each[tenure.peer] else FOREVER
            falls[tenure.peer] += 1
            if tenure.by != tenure.peer:
                self._look_at(tenure, deposed_at)

    def _apart(self, *names: str) -> bool:
        """Whether these are on different machines: no process can tell a cut link from one that is silent."""
        return len({self._case.charter.placed.get(name) for name in names}) > 1

    def _look_at(self, tenure: Tenure, deposed_at: float) -> None:
        findings, accuser = self._case.findings, tenure.by
        who = f"{tenure.peer} (trader{tenure.seat} since {tenure.since}) was deposed by {accuser}, ledger entry {tenure.until}"
        suspected = [at for at in self._suspected[accuser, tenure.peer] if at <= deposed_at]
        if self._case.incomplete(accuser) or self._case.incomplete(tenure.peer):
            return
        if not suspected and accuser in self._case.lost:
            findings.notes.tell(f"{who}, which was lost: a line on its suspicion can have been among its last ones")
            return
        if not suspected:
            findings.exercised["deposed_alive"] += 1
            findings.violated("the_living_keep_their_seats", f"{who}, which had not suspected it")
            return
        until = suspected[-1]
        since = until - LONGEST_SILENCE * self._case.charter.settings.suspect_after_s
        routed = self._case.charter.settings.routing == "neighbours"  # then anybody can be a relay between the two
        causes = [
            hindrance
            for name in (list(self._hindrances) if routed else (tenure.peer, accuser))
            for hindrance in self._hindrances[name]
            if hindrance.since <= until and hindrance.until >= since
        ]
        if not causes and self._apart(*(self._case.charter.names if routed else (tenure.peer, accuser))):
            findings.exercised["deposed_alive"] += 1
            findings.unknown.tell(f"{who}, and nobody saw whether the link between their machines was up")
        elif not causes:
            findings.exercised["deposed_alive"] += 1
            findings.violated(
                "the_living_keep_their_seats",
                f"{who}, though neither of them was killed, stopped, cut off or absent in the {until - since:g} s before",
            )
        elif all(cause.proven for cause in causes):
            findings.exercised["deposed_absent"] += 1
            findings.notes.tell(f"{who}: the machine did not let one of them run")
