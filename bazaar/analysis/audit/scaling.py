"""The number of traders by load: within its limits, one at a time, with pauses, and the youngest is the one that goes (L1)."""

from __future__ import annotations

from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import AnyEntry, Appoint, Depose, Line, Resized, Seats

LEAST_PAUSE = 0.75
"""Of `scale_down_after_s`: the clocks of two processes differ in speed."""


class Scaling:
    """Recounts who is seated from the ledger, and the pauses from the warehouse's history."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._terms = case.charter.settings
        self._since: dict[str, int] = {}  # by trader: when it was seated
        self._allowed = self._terms.traders
        self._opened = False  # a further seat that nobody has yet
        self._last: Seats | None = None
        self._youngest = ""  # as the last change was made
        self._changed_at: float | None = None
        self.handlers: dict[str, Handler] = {"resized": self._resized}

    def read(self, entry: AnyEntry) -> None:
        """Takes in the next entry of the ledger."""
        match entry:
            case Seats():
                self._seats(entry)
            case Appoint():
                self._appoint(entry)
            case Depose():
                self._depose(entry)

    def _seats(self, entry: Seats) -> None:
        self._case.findings.exercised["seats_changed"] += 1
        now = len(self._since)
        most = self._terms.traders_max or self._terms.traders
        if abs(entry.seats - now) != 1:
            self._tell(entry, f"makes {entry.seats} traders of {now}, not one more or fewer")
        if entry.seats > most or (entry.seats < now and entry.seats < self._terms.traders):
            self._tell(entry, f"makes {entry.seats} traders, but there can be {self._terms.traders} to {most}")
        if self._opened:
            self._tell(entry, f"makes {entry.seats} traders while a further one is still to be elected")
        self._youngest = max(self._since, key=lambda peer: self._since[peer], default="")
        if entry.by != self._youngest:
            self._tell(entry, f"is by {entry.by}, but the youngest trader is {self._youngest or 'nobody'}")
        self._last, self._allowed, self._opened = entry, entry.seats, entry.seats > now

    def _appoint(self, entry: Appoint) -> None:
        if not self._since:  # the first ones, or all have died: as many as at first are elected
            self._allowed = max(self._allowed, self._terms.traders)
        self._since[entry.peer] = entry.position
        self._opened = False
        if self._terms.traders_max is not None and len(self._since) > self._allowed:
            self._tell(entry, f"seats {entry.peer} as one of {len(self._since)}, but {self._allowed} are allowed")

    def _depose(self, entry: Depose) -> None:
        self._since.pop(entry.peer, None)
        last = self._last
        by_load = last is not None and not self._opened and entry.position == last.position + 1
        if by_load and (entry.peer, entry.by) != (self._youngest, self._youngest):
            self._tell(entry, f"takes the seat from {entry.peer} by load, but the youngest was {self._youngest}")

    def _resized(self, line: Line, facts: Resized) -> None:
        pause_s = self._terms.scale_down_after_s or 0.0
        if self._changed_at is not None and line.at - self._changed_at < LEAST_PAUSE * pause_s:
            self._case.findings.violated(
                "seats_follow_the_load",
                f"{facts.by} had the number of traders changed to {facts.seats} at clock {line.clock}, "
                f"{line.at - self._changed_at:.2f} s after the last change; the least pause is {pause_s:g} s",
            )
        self._changed_at = line.at

    def _tell(self, entry: AnyEntry, story: str) -> None:
        self._case.findings.violated("seats_follow_the_load", f"ledger entry {entry.position} {story}")
