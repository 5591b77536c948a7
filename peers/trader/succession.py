"""The queues of former tenures that a trader takes over: their journals are read, then the ledger is told (requirement E2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Order, Seat
from bazaar.protocol.journal_lines import Closed, JournalLine, Promised, Queued, Recovered
from bazaar.protocol.messages import Adopt

READ_ATTEMPTS, READ_AGAIN_AFTER_S = 10, 0.2  # of a journal that cannot be read


class Succession:
    """Which journals are being read, and which queues the ledger has yet to be told of."""

    def __init__(self, own: Seat) -> None:
        """`own`: the tenure of this trader, whose own journal is read first."""
        self._own = own
        self._reading: dict[Seat, float] = {}  # journals that have been asked for, and when to ask for them again
        self._attempts: Counter[Seat] = Counter()  # how often one could not be read
        self.adoptions: dict[Seat, Adopt] = {}
        """Of queues that are in our own journal, and not yet in the ledger."""

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
        """The queue of this tenure is ours to carry out."""
        if seat not in self.adoptions and seat not in self._reading:
            self.read(turn, seat)

    def read_again(self, turn: Turn) -> None:
        """Has those read that could not be, and whose time has come."""
        for seat in [seat for seat, at in self._reading.items() if at <= turn.now]:
            self.read(turn, seat)

    def found(self, turn: Turn, seat: Seat, found: Recovered, may_be_missing: bool) -> Recovered | None:
        """What is to be believed of a journal that was read; None: it is tried again.

        A journal that is not there, or cannot be read, is not an empty one: it is tried again for a while. Then the market
        goes on without, and it stands in the history that nobody knows what was in it. Its own, after a restart, is tried
        once: by now a new one has taken its place. A tenure that has just begun has none (`may_be_missing`).
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
    """Of a journal: the orders that are not closed, and the promises made for some of them."""
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
