"""How a trader takes over the queues of former tenures: it reads their journals, then tells the ledger (requirement E2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Order, Seat
from bazaar.protocol.journal_lines import Closed, JournalLine, Promised, Queued, Recovered
from bazaar.protocol.requests import Adopt

READ_ATTEMPTS, READ_AGAIN_AFTER_S = 10, 0.2  # of a journal that cannot be read


class Succession:
    """Which journals are being read, and which queues the ledger has yet to be told of."""

    def __init__(self, own: Seat) -> None:
        """`own`: the tenure of this trader, whose own journal is read first."""
        self._own = own
        self._reading: dict[Seat, float] = {}  # journals that have been asked for, and when to ask for them again
        self._attempts: Counter[Seat] = Counter()  # how often one could not be read
        self.adoptions: dict[Seat, Adopt] = {}
        """Requests for the queues that are in this trader's journal, but whose adoption is not in the ledger yet."""

    def __bool__(self) -> bool:
        return bool(self._reading or self.adoptions)

    @property
    def own_is_read(self) -> bool:
        """Whether this trader knows what it has promised in a former life."""
        return self._own not in self._reading

    @property
    def deadline(self) -> float:
        """When a journal is to be asked for again."""
        return min(self._reading.values(), default=NEVER)

    def read(self, turn: Turn, seat: Seat) -> None:
        """Has this journal read."""
        self._reading[seat] = NEVER
        turn.read(seat)

    def take_over(self, turn: Turn, seat: Seat) -> None:
        """Begins to take over the queue of this tenure, unless that is under way."""
        if seat not in self.adoptions and seat not in self._reading:
            self.read(turn, seat)

    def read_again(self, turn: Turn) -> None:
        """Asks again for the journals that could not be read, when their time has come."""
        for seat in [seat for seat, at in self._reading.items() if at <= turn.now]:
            self.read(turn, seat)

    def found(self, turn: Turn, seat: Seat, found: Recovered, may_be_missing: bool) -> Recovered | None:
        """The part of a journal that is to be believed. None if the journal is to be read again.

        A journal that does not exist, or cannot be read, is not an empty one, so reading is tried again for a while. Then the
        market goes on without the journal, and the history says that its contents are unknown. The trader's own journal is
        tried only once after a restart, because by now a new one has taken its place. A tenure that has just begun has no
        journal (`may_be_missing`).
        """
        if seat == self._own and may_be_missing:
            found = Recovered(found.lines or ())
        if found.lines is None and seat != self._own:
            self._attempts[seat] += 1
            if self._attempts[seat] < READ_ATTEMPTS:
                self._reading[seat] = turn.now + READ_AGAIN_AFTER_S
                return None
        self._reading.pop(seat, None)
        for reason in found.damage:
            turn.note(events.Unreadable(seat.peer, seat.since, reason))
        return found


def still_open(lines: Iterable[JournalLine]) -> tuple[dict[str, Order], dict[str, Promised]]:
    """The orders of a journal that are not closed, and the promises made for some of them."""
    orders: dict[str, Order] = {}
    promises: dict[str, Promised] = {}
    for line in lines:
        match line:
            case Queued(order):
                orders[order.order_id] = order
                promises.pop(order.order_id, None)
            case Promised(order):
                orders[order.order_id] = order
                promises[order.order_id] = line
            case Closed(order_id):
                orders.pop(order_id, None)
                promises.pop(order_id, None)
    return orders, promises
