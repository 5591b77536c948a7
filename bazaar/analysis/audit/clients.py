"""The second judge, who knows no ledger: can what buyers and sellers were told have come from one stock of each item?

Of a policy that promises to be strong it can. Of another it is told what cannot be; that is no violation.
"""

from __future__ import annotations

from typing import Any

from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import Line
from bazaar.analysis.linearizability import Clients

MOST_WINDOW = 5  # with more orders under way nearly everything can be explained


class ClientsSide:
    """Of all histories what their clients saw."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._clients = Clients()
        self._judged = case.charter.settings.window <= MOST_WINDOW
        self.handlers: dict[str, Handler] = {}
        if self._judged:
            self.handlers = {
                "ordered": self._ordered,
                "offered": self._offered,
                "registered": self._registered,
                "purchased": self._purchased,
                "found_unavailable": self._found_unavailable,
            }

    def _ordered(self, line: Line, facts: Any) -> None:
        self._clients.ordered(facts.order, facts.item, line.clock)

    def _offered(self, line: Line, facts: Any) -> None:
        self._clients.offered(facts.deposit, facts.item, facts.count, line.clock)

    def _registered(self, line: Line, facts: Any) -> None:
        self._clients.registered(facts.deposit, line.clock)

    def _purchased(self, line: Line, facts: Any) -> None:
        self._clients.purchased(facts.order, facts.seller, line.clock)

    def _found_unavailable(self, line: Line, facts: Any) -> None:
        self._clients.found_unavailable(facts.order, line.clock)

    def finish(self) -> None:
        """All histories were read. What a lost one, or a lost queue, does not say explains anything: nobody is accused."""
        findings = self._case.findings
        if not self._judged:
            findings.notes.tell(
                f"of windows above {MOST_WINDOW} it is not judged whether one stock explains all answers"
            )
        if not self._judged or self._case.damaged or self._case.unread:
            return
        for item, (explained, story) in self._clients.find().items():
            if explained is None:
                findings.notes.tell(f"it is not known whether one stock of {item} explains all answers: {story}")
            elif not explained and self._case.charter.promises == "strong":
                findings.violated("one_stock_explains_all_answers", story)
            elif not explained:
                findings.counter_examples.tell(story)
