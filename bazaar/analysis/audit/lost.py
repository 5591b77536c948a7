"""Processes that were lost with their machine: what is excused by the end of their histories, and nothing else (J3).

Lines of a history come to the launcher while the process runs, so only the last ones can be missing. What is there is
judged like any other history. What is missing excuses only what nobody else could show: an order that a lost buyer placed
must be in the history of the trader that decided it, as a message that was sent after the buyer's last line, unless that
trader was lost, too. To everybody else a process that was lost is one that stopped at some later moment.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property

from bazaar.analysis.audit.books import Books
from bazaar.analysis.audit.clients import ClientsSide
from bazaar.analysis.audit.evidence import Case, End, Handler
from bazaar.analysis.audit.lines import Credited, Deposit, Line, Waiting
from bazaar.analysis.audit.orders import OVERSOLD, PROMISED

NOWHERE = End(0, 0.0)  # the end of a history without a line


class Lost:
    """Collects what others have of the processes that were lost, and counts what it excuses."""

    def __init__(self, case: Case, books: Books, clients: ClientsSide) -> None:
        """All that were lost are known by now: the launcher's history is read first."""
        self._case = case
        self._books = books
        self._clients = clients
        self._sent: dict[str, tuple[str, int]] = {}  # by order: from whom a trader had it, and when that was sent
        self._inherited: set[str] = set()
        self._credits: dict[str, tuple[str, int]] = {}  # by order: who credited a seller, and when that was sent
        self._excused: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.handlers: dict[str, Handler] = {}
        if case.lost:
            self.handlers = {"queued": self._queued, "inherited": self._inherit, "sold": self._sold}

    # --------------------------------------------------------------------------------------- taking in
    def _queued(self, line: Line, facts: Waiting) -> None:
        _remember(self._sent, facts.order, line)

    def _inherit(self, line: Line, facts: Waiting) -> None:
        self._inherited.add(facts.order)

    def _sold(self, line: Line, facts: Credited) -> None:
        _remember(self._credits, facts.order, line)

    # ----------------------------------------------------------------------------------------- judging
    def asked(self, order: str, row: int) -> bool:
        """Whether the buyer of this order, which the ledger has decided, may have placed it after its last line."""
        orders = self._case.orders
        buyer = orders.text(orders.buyer[row])
        if buyer not in self._case.lost:
            return False
        shown = self._sent_late(self._sent, order) == buyer
        if not shown and not self._is_of_a_lost_queue(order, row):
            return False
        self._excused[buyer]["orders"] += 1
        self._clients.may_have_ordered(order, orders.text(orders.item[row]), orders.units[row], self._end(buyer).clock)
        return True

    def kept(self, order: str, sellers: Iterable[str]) -> bool:
        """Whether a trader may have kept its share of a sale after its last line. It credits the sellers in the same turn."""
        if (trader := self._sent_late(self._credits, order)) is not None:
            self._excused[trader]["shares"] += 1
            return True
        return self._a_trader_is_lost and any(map(self._case.may_lack, sellers))

    def offered(self, deposit: Deposit) -> bool:
        """Whether the seller of this deposit may have offered it after its last line. Nobody else notes an offer."""
        if deposit.seller not in self._case.lost:
            return False
        self._excused[deposit.seller]["deposits"] += 1
        after = self._end(deposit.seller).clock
        self._clients.may_have_offered(deposit.deposit_id, deposit.item, deposit.count, after)
        return True

    def finish(self) -> None:
        """Says of each that was lost where its history ends, and what that excused."""
        for name, at in sorted(self._case.lost.items()):
            end = self._end(name)
            when = time.strftime("%H:%M:%S", time.localtime(at))
            excused = [f"{count} {what if count > 1 else what[:-1]}" for what, count in self._excused[name].items()]
            self._case.findings.notes.tell(
                f"{name} was lost with its machine at {when}: its history ends {max(0.0, at - end.at):.1f} s before, at clock "
                f"{end.clock}; later and known from others: {' and '.join(excused) or 'nothing that had to be excused'}"
            )

    def _sent_late(self, messages: dict[str, tuple[str, int]], order: str) -> str | None:
        """Who was lost and sent the message about this order after its last line, if any."""
        source, sent = messages.get(order, ("", 0))
        return source if source in self._case.lost and sent > self._end(source).clock else None

    def _end(self, name: str) -> End:
        return self._case.ends.get(name, NOWHERE)

    def _is_of_a_lost_queue(self, order: str, row: int) -> bool:
        """Whether the trader of this order was lost, or has it from one that was: as an open order, or as a promise."""
        orders = self._case.orders
        trader = orders.text(orders.trader[row])
        given = order in self._inherited or orders.flags[row] & (PROMISED | OVERSOLD)
        return trader in self._case.lost or (bool(given) and trader in self._heirs)

    @cached_property
    def _heirs(self) -> set[str]:
        """Those who have what was in the queue of a trader that was lost."""
        heirs: set[str] = set()
        for tenure in sorted(self._books.tenures, key=lambda tenure: tenure.until or 0):
            if tenure.heir is not None and (tenure.peer in self._case.lost or tenure.peer in heirs):
                heirs.add(tenure.heir)
        return heirs

    @property
    def _a_trader_is_lost(self) -> bool:
        return any(tenure.peer in self._case.lost for tenure in self._books.tenures)


def _remember(messages: dict[str, tuple[str, int]], order: str, line: Line) -> None:
    """Keeps the latest message about this order."""
    if line.source is not None and line.sent is not None:
        messages[order] = max((line.source, line.sent), messages.get(order, ("", 0)), key=lambda message: message[1])
