"""A peer as a buyer: its orders and the answers to them, compared with the ledger (requirements C3, C5, C6).

A buyer that is alive at the end must have a right answer to every order, also to those of its former lives. A dead buyer
may have missed an answer, or the correction of a promise. An answer that the ledger gave must be right even for a dead
buyer.
"""

from __future__ import annotations

from typing import NamedTuple

from bazaar.analysis.audit.books import Books
from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import Line, Placed, Told
from bazaar.analysis.audit.orders import ASKED, DECIDED, DENIED, OVERSOLD, SOLD

TAKEN_BACK = "strong_caches_take_nothing_back"


class Outstanding(NamedTuple):
    clock: int
    trader: str


class Accusation(NamedTuple):
    """The accusation against one answer."""

    check: str
    story: str
    promised: bool
    """Whether the answer was a promise, which the ledger could have kept or corrected later."""
    trader: str | None


class Buyer:
    """Judges the buyer's part of one history."""

    def __init__(self, name: str, case: Case, books: Books) -> None:
        self._name = name
        self._case = case
        self._books = books
        self._strong = case.charter.promises == "strong"
        self._orders = case.orders
        self._outstanding: dict[str, Outstanding] = {}
        self._wrong: dict[str, Accusation] = {}  # by order, until the answer is corrected
        self._taken: list[Accusation] = []
        self._faults = list(case.faults)
        self._next_fault_at = self._faults[0].at if self._faults else float("inf")
        self.handlers: dict[str, Handler] = {
            "ordered": self._ordered,
            "repeated": self._repeated,
            "purchased": self._told,
            "found_unavailable": self._told,
            "revoked": self._told,
        }

    # ------------------------------------------------------------------------------------------- asking
    def _ordered(self, line: Line, facts: Placed) -> None:
        self._pass_faults(line.at)
        order, orders, exercised = facts.order, self._orders, self._case.findings.exercised
        exercised["orders_asked"] += 1
        row = orders.row(order)
        flags = orders.flags[row]
        if flags & ASKED:
            self._violated(
                "only_what_was_asked", f"{self._at(line, order)} orders anew under a name that was used before"
            )
        orders.flags[row] = flags | ASKED
        if flags & DECIDED:
            asked = (facts.units, facts.item, self._name)
            decided = (orders.units[row], orders.text(orders.item[row]), orders.text(orders.buyer[row]))
            if asked != decided:
                self._violated(
                    "only_what_was_asked",
                    f"ledger entry {orders.position[row]} decides {order} ({decided[0]} {decided[1]} for {decided[2]}), "
                    f"but what was asked under this name is {asked[0]} {asked[1]} for {asked[2]}",
                )
        self._outstanding[order] = Outstanding(line.clock, facts.trader)
        too_many = len(self._outstanding) > self._case.charter.settings.window
        if too_many and not self._case.incomplete(self._name):
            self._violated(
                "window_kept",
                f"{self._name} had {sorted(self._outstanding)[:10]} outstanding at clock {line.clock}; "
                f"its window is {self._case.charter.settings.window}",
            )

    def _repeated(self, line: Line, facts: Placed) -> None:
        self._pass_faults(line.at)
        self._case.findings.exercised["orders_repeated"] += 1
        if (before := self._outstanding.get(facts.order)) is not None:
            self._outstanding[facts.order] = Outstanding(before.clock, facts.trader)

    # ----------------------------------------------------------------------------------------- answers
    def _told(self, line: Line, facts: Told) -> None:
        self._pass_faults(line.at)
        order, orders = facts.order, self._orders
        self._outstanding.pop(order, None)
        row = orders.row(order)
        flags = orders.flags[row]
        if line.what != "revoked":
            self._case.findings.exercised["orders_answered"] += 1
        if self._case.charter.promises == "strong" and (
            line.what == "revoked" or (line.what == "purchased" and not flags & SOLD)
        ):
            self._taken_back(line, facts, bool(flags & DECIDED))
        price = orders.price[row]
        if not flags & DECIDED or orders.text(orders.buyer[row]) != self._name:
            right = False
        elif flags & SOLD:
            sold = (orders.text(orders.item[row]), orders.units[row], *orders.sellers(row))
            right = line.what == "purchased" and (facts.item, facts.units, facts.seller, *facts.others) == sold
        else:
            right = line.what != "purchased"
        if right and (line.what != "purchased" or facts.price == price):
            self._wrong.pop(order, None)
            return
        if right:
            check, story = (
                "money_adds_up",
                (
                    f"is worth {price} cents in the ledger (entry {orders.position[row]}), but the buyer paid {facts.price}"
                ),
            )
        else:
            check, story = (
                "buyers_were_told_the_truth",
                f"was last told {self._words(line, facts)}; {self._decision(row)}",
            )
        self._wrong[order] = Accusation(
            check, f"{self._at(line, order)} {story}", _is_promise(line, facts), line.source
        )

    def _taken_back(self, line: Line, facts: Told, decided: bool) -> None:
        story = (
            f"{self._at(line, facts.order)} was told {self._words(line, facts)}, and it is not for it to keep: "
            f"{self._what_the_policy_did(facts)}"
        )
        self._taken.append(Accusation(TAKEN_BACK, story, not decided and _is_promise(line, facts), line.source))

    def _what_the_policy_did(self, facts: Told) -> str:
        lots = [lot for lot in self._books.deposits.values() if lot.item == facts.item]
        if facts.seller:
            lots = [lot for lot in lots if lot.seller == facts.seller]
            of = f"{facts.item} of {facts.seller}"
            if not lots:
                return f"the policy sold a lot that does not exist ({of})"
            if not facts.others and all(lot.price_cents * facts.units != facts.price for lot in lots):
                return f"the policy sold a lot that does not exist ({of} for {facts.price} cents)"
        left = sum(self._books.left[seller, facts.item].counts[-1] for seller in {lot.seller for lot in lots})
        if left < facts.units:
            return f"the policy promised one unit twice, or forgot to count: all {facts.item} went to others"
        return f"the policy promised from a lot that was sold out, though in the end {left} {facts.item} were left"

    def _words(self, line: Line, facts: Told) -> str:
        lot = (
            f" {facts.units} {facts.item} of {' and '.join((facts.seller, *facts.others))} for {facts.price} cents"
            if line.what == "purchased"
            else f" {facts.item}"
        )
        return f"{line.what}{lot} by {line.source}"

    def _decision(self, row: int) -> str:
        orders = self._orders
        flags, position = orders.flags[row], orders.position[row]
        if flags & SOLD:
            goods = f"{orders.units[row]} {orders.text(orders.item[row])}"
            lot = f"{goods} of {' and '.join(orders.sellers(row))} for {orders.price[row]} cents"
            return f"ledger entry {position} sells {lot} to {orders.text(orders.buyer[row])}"
        if flags & DENIED:
            return f"ledger entry {position} denied it as {'oversold' if flags & OVERSOLD else 'unavailable'}"
        return "but the ledger does not know the order"

    # ------------------------------------------------------------------------------------------ the end
    def finish(self) -> None:
        """Judges the end, after all histories were read."""
        self._pass_faults(float("inf"))
        gone = self._case.may_lack(self._name)
        for check, story, promised, trader in (*self._taken, *self._wrong.values()):
            # A promise is excused if its trader's queue was lost, or if the buyer is gone and may have missed the correction.
            # A promise that a strong policy took back is excused only if its trader is gone, too.
            lost = trader is not None and self._case.lost_its_queue(trader)
            undecided = gone and (check != TAKEN_BACK or trader in self._case.dead)
            if not (promised and (lost or undecided)):
                self._violated(check, story)
        self._case.findings.exercised["orders_unanswered"] += len(self._outstanding)
        if not gone:
            for order, (clock, trader) in self._outstanding.items():
                self._violated("no_order_lost", f"{order}, sent to {trader}, ordered at clock {clock}, has no answer")

    def _pass_faults(self, at: float) -> None:
        """Counts for each fault before `at` how many unanswered orders of this buyer involved its victim at that moment."""
        while at > self._next_fault_at:
            fault = self._faults.pop(0)
            if fault.hits_everybody or self._name in fault.names:
                fault.orders_hit += len(self._outstanding)
            else:
                fault.orders_hit += sum(trader in fault.names for _, trader in self._outstanding.values())
            self._next_fault_at = self._faults[0].at if self._faults else float("inf")

    def _at(self, line: Line, order: str) -> str:
        return f"{self._name} (clock {line.clock}, {order})"

    def _violated(self, check: str, story: str) -> None:
        self._case.findings.violated(check, story)


def _is_promise(line: Line, facts: Told) -> bool:
    return line.what == "purchased" and not facts.final
