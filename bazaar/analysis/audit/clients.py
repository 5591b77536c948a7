"""The second judge, which does not read the ledger: could one stock of each item have given all answers to the clients?

A policy that promises to be strong must pass this check. For a weak policy the judge reports what one stock could not
have answered, but that is no violation.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import Line
from bazaar.analysis.linearizability import Clients

MOST_WINDOW = 5  # with more concurrent orders nearly every set of answers can be explained


class ClientsSide:
    """Collects from all histories what the clients, buyers and sellers, saw."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._clients = Clients()
        self._judged = case.charter.settings.window <= MOST_WINDOW
        self._single = True  # every order is for one unit: the search knows no others
        self._ordered_abroad: set[str] = set()
        self._answered_abroad: set[str] = set()
        self.handlers: dict[str, Handler] = {}
        if self._judged:
            self.handlers = {
                "ordered": self._ordered,
                "offered": self._offered,
                "registered": self._registered,
                "purchased": self._purchased,
                "found_unavailable": self._found_unavailable,
                "ordered_for": self._ordered_for,
                "answered_for": self._answered_for,
            }

    def _ordered(self, line: Line, facts: Any) -> None:
        self._single &= facts.units == 1
        self._clients.ordered(facts.order, facts.item, line.clock)

    def may_have_ordered(self, order: str, item: str, units: int, after: int) -> None:
        """A buyer that was lost may have placed this order after this clock, and the goods may be its."""
        self._single &= units == 1
        self._clients.ordered(order, item, after + 1)

    def may_have_offered(self, deposit: str, item: str, count: int, after: int) -> None:
        """A seller that was lost may have offered this deposit after this clock."""
        self._clients.offered(deposit, item, count, after + 1)

    def _offered(self, line: Line, facts: Any) -> None:
        self._clients.offered(facts.deposit, facts.item, facts.count, line.clock)

    def _registered(self, line: Line, facts: Any) -> None:
        self._clients.registered(facts.deposit, line.clock)

    def _purchased(self, line: Line, facts: Any) -> None:
        self._clients.purchased(facts.order, facts.seller, line.clock)

    def _found_unavailable(self, line: Line, facts: Any) -> None:
        self._clients.found_unavailable(facts.order, line.clock)

    def _ordered_for(self, line: Line, facts: Any) -> None:
        """An embassy asks for an order. Another life of it may have asked for it, and even have had the answer."""
        if facts.order not in self._ordered_abroad:
            self._ordered_abroad.add(facts.order)
            self._ordered(line, facts)

    def _answered_for(self, line: Line, facts: Any) -> None:
        if facts.order not in self._answered_abroad:
            self._answered_abroad.add(facts.order)
            (self._purchased if facts.seller else self._found_unavailable)(
                line, msgspec.structs.replace(facts, seller=facts.seller.partition("@")[0])
            )

    def finish(self) -> None:
        """Judges, after all histories were read.

        If a history or a queue is lost nobody is accused: the missing part could explain any answer.
        """
        findings = self._case.findings
        if not self._judged:
            findings.notes.tell(
                f"of windows above {MOST_WINDOW} it is not judged whether one stock explains all answers"
            )
        if self._judged and not self._single:
            findings.notes.tell("of orders for several units it is not judged whether one stock explains all answers")
        if not self._judged or not self._single or self._case.damaged or self._case.unread:
            return
        for item, (explained, story) in self._clients.find().items():
            if explained is None:
                findings.notes.tell(f"it is not known whether one stock of {item} explains all answers: {story}")
            elif not explained and self._case.charter.promises == "strong":
                findings.violated("one_stock_explains_all_answers", story)
            elif not explained:
                findings.counter_examples.tell(story)
