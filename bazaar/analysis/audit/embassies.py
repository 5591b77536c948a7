"""An embassy as a client of its own market: what it ordered for the buyers of other bazaars, and what it told them.

An embassy may ask for an order as often as it likes. A repeat must change nothing. But whatever it passes on must be what the
ledger of its bazaar says. Whether the buyers abroad asked for it, their own histories say (`federation.py`).
"""

from __future__ import annotations

from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import Line, Ordered, Told
from bazaar.analysis.audit.orders import ASKED, DECIDED, SOLD


class Embassy:
    """Judges the embassy's part of one history."""

    def __init__(self, name: str, case: Case) -> None:
        self._name = name
        self._case = case
        self._orders = case.orders
        self.handlers: dict[str, Handler] = {"ordered_for": self._ordered, "answered_for": self._answered}

    def _ordered(self, line: Line, facts: Ordered) -> None:
        row = self._orders.row(facts.order)
        home = facts.order.rpartition("-")[0].partition("@")[2]
        if self._name != self._case.charter.embassy or home in ("", self._case.charter.settings.name):
            self._violated("only_what_was_asked", line, facts.order, "orders what is no order of another bazaar")
        self._orders.flags[row] |= ASKED
        if self._orders.flags[row] & DECIDED:
            asked = facts.units, facts.item, self._name
            decided = self._orders.units[row], self._text(self._orders.item[row]), self._text(self._orders.buyer[row])
            if asked != decided:
                self._violated(
                    "only_what_was_asked", line, facts.order, f"asks for {asked}; the ledger decides {decided}"
                )

    def _answered(self, line: Line, facts: Told) -> None:
        row = self._orders.row(facts.order)
        flags = self._orders.flags[row]
        told = (facts.units, facts.item, facts.price, *filter(None, (facts.seller, *facts.others)))
        decided: tuple[object, ...] = ("no decision",)
        if flags & SOLD:
            home = self._case.charter.settings.name
            sellers = (f"{seller}@{home}" for seller in self._orders.sellers(row))
            decided = (self._orders.units[row], self._text(self._orders.item[row]), self._orders.price[row], *sellers)
        elif flags & DECIDED:
            decided = (self._orders.units[row], self._text(self._orders.item[row]), 0)
        if told != decided:
            self._violated(
                "buyers_were_told_the_truth", line, facts.order, f"told abroad {told}; the ledger says {decided}"
            )

    def _text(self, code: int) -> str:
        return self._orders.text(code)

    def _violated(self, check: str, line: Line, order: str, story: str) -> None:
        self._case.findings.violated(check, f"{self._name} (clock {line.clock}, {order}) {story}")
