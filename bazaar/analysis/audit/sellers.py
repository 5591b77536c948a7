"""A peer as a seller: its offers, their deposits in the ledger, and its credits (requirements C1, C5).

A seller that is alive at the end must have been credited for each sale exactly once. A dead seller may have missed a
credit. But each credit must be right even then, and no sale is ever credited twice.
"""

from __future__ import annotations

from bazaar.analysis.audit.books import Books
from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import Credited, Left, Line, Offered, Registered
from bazaar.analysis.audit.lost import Lost
from bazaar.analysis.audit.orders import NOBODY, SOLD

SELLERS_PERCENT = 80  # requirement C5; a price in whole dollars (requirement C1) divides without a remainder


def sellers_cents(price_cents: int) -> int:
    """The seller's share of a sale, rounded down: a remainder stays with the trader."""
    return price_cents * SELLERS_PERCENT // 100


class Seller:
    """Judges the seller's part of one history."""

    def __init__(self, name: str, case: Case, books: Books, lost: Lost) -> None:
        self._name = name
        self._case = case
        self._books = books
        self._lost = lost
        self._offered: dict[str, Offered] = {}
        self._credit: tuple[int, int | None, str] = (
            NOBODY,
            None,
            "",
        )  # the last credit: position of the sale, clock of the message, item
        self.handlers: dict[str, Handler] = {
            "offered": self._offer,
            "registered": self._registered,
            "sold": self._sold,
            "left": self._left,
        }

    # ---------------------------------------------------------------------------------------- deposits
    def _offer(self, line: Line, facts: Offered) -> None:
        self._offered[facts.deposit] = facts
        booked = self._books.deposits.get(facts.deposit)
        if booked is None:
            return
        offer = (self._name, facts.item, facts.count, facts.price)
        if offer != (booked.seller, booked.item, booked.count, booked.price_cents):
            self._violated(
                "deposits_are_booked_as_offered",
                f"{self._name} offered {facts.count} {facts.item} for {facts.price} cents ({facts.deposit}) at clock "
                f"{line.clock}, but ledger entry {booked.position} books {booked.count} {booked.item} of "
                f"{booked.seller} for {booked.price_cents}",
            )

    def _registered(self, line: Line, facts: Registered) -> None:
        booked = self._books.deposits.get(facts.deposit)
        story = f"{self._name} was told by {line.source} at clock {line.clock} that {facts.deposit} is booked"
        if booked is None:
            self._violated(
                "deposits_are_booked_as_offered", f"{story}, but it is not in the ledger: acknowledged and dropped"
            )
            self._offered.pop(facts.deposit, None)  # one violation is enough
        elif booked.item != facts.item:
            self._violated(
                "deposits_are_booked_as_offered",
                f"{story} as {facts.item}, but ledger entry {booked.position} books {booked.item}",
            )

    # ------------------------------------------------------------------------------------------- money
    def _sold(self, line: Line, facts: Credited) -> None:
        orders = self._case.orders
        row = orders.row(facts.order)
        flags, position = orders.flags[row], orders.position[row]
        self._credit = (position if flags & SOLD else NOBODY, line.sent, facts.item)
        who = f"{self._name} (clock {line.clock}, {facts.order}) was credited"
        if not orders.credit(row, self._name):
            self._violated("money_adds_up", f"{who} {facts.earned} cents once more, after it was before")
        if not flags & SOLD:
            self._violated("money_adds_up", f"{who} {facts.earned} cents for what the ledger has not sold")
            return
        shares = orders.shares(row)
        own = shares.get(self._name)
        sale = (" and ".join(shares), orders.text(orders.item[row]), orders.text(orders.buyer[row]))
        if own is None or sale[1:] != (facts.item, facts.buyer):
            self._violated(
                "money_adds_up",
                f"{who} for {facts.item} to {facts.buyer}, but ledger entry {position} sells "
                f"{sale[1]} of {sale[0]} to {sale[2]}",
            )
        units, price = own if own is not None else (orders.units[row], orders.price[row])
        right = sellers_cents(price)
        if (facts.units, facts.earned) != (units, right):
            self._violated(
                "money_adds_up",
                f"{who} {facts.earned} cents for {facts.units} units instead of {right} for {units}, "
                f"{SELLERS_PERCENT} % of the {price} in ledger entry {position}",
            )

    def _left(self, line: Line, facts: Left) -> None:
        position, sent, item = self._credit
        if position == NOBODY or (line.sent, facts.item) != (sent, item):
            return  # there is no sale to compare it with
        counted = self._books.left_after((self._name, item), position, facts.left)
        if counted is not None and counted != facts.left:
            self._violated(
                "goods_add_up",
                f"{self._name} was told at clock {line.clock} that {facts.left} {item} are left, but after ledger entry "
                f"{position} it should be {counted}, and never was {facts.left} since",
            )

    # ----------------------------------------------------------------------------------------- the end
    def finish(self) -> None:
        """Judges the end, after the whole history was read."""
        lacking = self._case.may_lack(self._name)
        for deposit, offer in self._offered.items():
            if deposit not in self._books.deposits and not lacking:
                self._violated(
                    "deposits_are_booked_as_offered",
                    f"{self._name} offered {offer.count} {offer.item} ({deposit}), and it was never booked",
                )
        if self._case.incomplete(self._name):
            return
        for deposit, booked in self._books.deposits.items():
            if booked.seller == self._name and deposit not in self._offered and not self._lost.offered(booked):
                self._violated(
                    "deposits_are_booked_as_offered",
                    f"ledger entry {booked.position} books {booked.count} {booked.item} ({deposit}), "
                    f"which {self._name} never offered",
                )

    def _violated(self, check: str, story: str) -> None:
        self._case.findings.violated(check, story)
