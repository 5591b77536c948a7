"""The orders that wait at a trader, in lanes. Orders for goods that other traders hold (escrow) wait longer."""

from __future__ import annotations

from collections.abc import Callable

from bazaar.core.orders import TradeQueue
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.goods import ITEMS, Item, Order

MOST_QUEUED = 50_000  # orders; a buyer whose order is turned away repeats it
SURE = {item: f"sure {item}" for item in ITEMS}
"""The lanes of orders that only the warehouse may answer: retries, inherited orders, and orders that escrow has missed."""


class Waiting:
    """The queue, and the names of all orders that were taken in and are not closed yet."""

    def __init__(self) -> None:
        self._queue = TradeQueue()
        self._undecided: set[str] = set()
        self._since: dict[str, float] = {}  # orders whose buyer was told nothing, each with when it was taken in
        self._waited: list[float] = []  # the waiting times of those told since `waits`
        self._scarce: set[Item] = set()  # items that other traders hold and are to give back

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._undecided

    @property
    def is_full(self) -> bool:
        """Whether no further order is taken in."""
        return len(self._queue) >= MOST_QUEUED

    @property
    def orders(self) -> list[Order]:
        """The orders that wait, the lowest clock first."""
        return self._queue.waiting()

    def take_in(self, now: float, order_id: str) -> None:
        """This trader has to answer the order, until `close`."""
        self._undecided.add(order_id)
        self._since[order_id] = now

    def told(self, now: float, order_id: str) -> None:
        """The buyer has an answer, if only a promise."""
        if (since := self._since.pop(order_id, None)) is not None:
            self._waited.append(now - since)

    def close(self, now: float, order_id: str) -> None:
        """The order has its answer."""
        self._undecided.discard(order_id)
        self.told(now, order_id)

    def waits(self, now: float) -> tuple[int, int]:
        """How long orders wait, in milliseconds, and how many. The mean of those answered since the last call, or, if it is
        longer, the mean of those that wait."""
        told, self._waited = self._waited, []
        waiting = [now - since for since in self._since.values()]
        longest_s = max(sum(waits) / len(waits) if waits else 0.0 for waits in (told, waiting))
        return round(1000 * longest_s), len(waiting)

    def put(self, turn: Turn, how: type[events.Waiting], order: Order, sure: bool = True) -> None:
        """Queues the order. `sure`: only the warehouse may answer it."""
        lane = SURE[order.item] if sure else order.item
        turn.note(how(order.order_id, order.item, order.buyer, order.clock, lane, units=order.units))
        self._queue.put(lane, order)

    def next(self, may_be_served: Callable[[str, Order], bool]) -> tuple[str, Order] | None:
        """Takes out, with its lane, the order with the lowest clock in the lanes whose first order may be served now.

        Scarce lanes are shut.
        """
        shut = {lane for item in self._scarce for lane in (item, SURE[item])}
        first = self._queue.first().items()
        return self._queue.pop(lane for lane, order in first if lane not in shut and may_be_served(lane, order))

    def scarce(self, turn: Turn, item: Item) -> None:
        """Orders for this item wait until it is freed."""
        if item not in self._scarce:
            self._scarce.add(item)
            turn.note(events.Scarce(item))

    def freed(self, turn: Turn, item: Item) -> None:
        """Orders for this item may be served again."""
        turn.note(events.Freed(item))
        self._scarce.discard(item)

    def all_freed(self, turn: Turn) -> None:
        """Orders for all items may be served again. The warehouse does not know any more who waits for what."""
        for item in sorted(self._scarce):
            self.freed(turn, item)
