"""A trader's queue: of the orders that can be served now, the one with the lowest Lamport clock comes first.

Orders wait in lanes. A trader that can serve any order opens all lanes, and takes the lowest clock of all. While the
warehouse is busy with the trader's last question, the trader opens only the lanes of the items that its cache holds, and
takes the lowest clock among them (requirement C4).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from bazaar.protocol.goods import Order, index_of, is_embassy


class TradeQueue:
    """Holds each order once, by its name."""

    def __init__(self) -> None:
        self._lanes: dict[str, list[tuple[int, int, str, Order]]] = {}
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, order_id: object) -> bool:
        return order_id in self._names

    def waiting(self) -> list[Order]:
        """All orders in the queue, the lowest clock first."""
        return [order for _, _, _, order in sorted(entry for lane in self._lanes.values() for entry in lane)]

    def put(self, lane: str, order: Order) -> None:
        """Queues the order, unless it is queued already."""
        if order.order_id not in self._names:
            self._names.add(order.order_id)
            key = (order.clock, _rank(order.buyer), order.order_id, order)
            heapq.heappush(self._lanes.setdefault(lane, []), key)

    def first(self) -> dict[str, Order]:
        """By lane in which somebody waits, its order with the lowest clock."""
        return {name: lane[0][3] for name, lane in self._lanes.items() if lane}

    def pop(self, open_lanes: Iterable[str]) -> tuple[str, Order] | None:
        """Takes out the order with the lowest clock (ties by the buyer's index) of these lanes, with its lane."""
        heads = [(self._lanes[name][0], name) for name in open_lanes if self._lanes.get(name)]
        if not heads:
            return None
        (_, _, order_id, order), lane = min(heads)
        heapq.heappop(self._lanes[lane])
        self._names.discard(order_id)
        return lane, order


def _rank(buyer: str) -> int:
    """Of two orders with the same clock, the one with the lower rank comes first: that of another bazaar before all."""
    return -1 if is_embassy(buyer) else index_of(buyer)
