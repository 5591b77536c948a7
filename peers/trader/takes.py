"""The orders for whose units a trader has asked the shared cache."""

from __future__ import annotations

from bazaar.core.cache import Cache
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Empty, Given, OtherEpoch, Result, Take
from bazaar.protocol.goods import WAREHOUSE, Lot, Order
from bazaar.protocol.messages import EpochLost
from bazaar.protocol.requests import EpochEnded, Request
from peers.trader.waiting import Waiting


class Takes:
    """What is under way to the cache server, and the epoch from which units may be promised.

    A take is never repeated. Whatever does not end with units to be promised is a miss, and the warehouse answers the order.
    If the server gave units after all, they stay with it in the ledger until the epoch ends.
    """

    def __init__(self, cache: Cache, waiting: Waiting) -> None:
        self._cache = cache
        self._waiting = waiting
        self._epoch = -1  # none
        self._under_way: dict[str, Order] = {}
        self._to_say: EpochEnded | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def possible(self) -> bool:
        """Whether there is an epoch from which units may be promised."""
        return self._epoch >= 0

    @property
    def to_say(self) -> tuple[Request, ...]:
        """What the warehouse is to be told in a question that has all promises made so far."""
        return () if self._to_say is None else (self._to_say,)

    def said(self) -> None:
        """The warehouse has been told."""
        self._to_say = None

    def begin(self, epoch: int) -> None:
        """From now on units of this epoch may be promised; -1: of none."""
        self._epoch = epoch

    def end(self, before: int) -> None:
        """No unit of an epoch before this position may be promised any more. What is under way becomes a miss."""
        self._epoch = -1
        self._to_say = EpochEnded(before)

    def take(self, turn: Turn, order: Order) -> None:
        """Asks the cache server for the units of this order."""
        turn.note(events.Sought(order.order_id, order.item, units=order.units))
        self._under_way[order.order_id] = order
        turn.call(Take(self._epoch, order.order_id, order.item, order.units))

    def taken(self, turn: Turn, take: Take, result: Result) -> tuple[Order, Lot] | None:
        """This came of a take: an order, and the lot that it may be promised from, unless it is a miss."""
        order = self._under_way.pop(take.order_id, None)
        if order is None:
            return None  # of a former tenure
        match result:
            case Given(lot, left):
                self._cache.left(take.item, left)
                if take.epoch == self._epoch:
                    return order, lot
            case Empty():
                self._cache.left(take.item, 0)
            case OtherEpoch() if take.epoch == self._epoch:
                turn.send(WAREHOUSE, EpochLost(self._epoch))
                self._epoch = -1
        self._waiting.put(turn, events.SoughtInVain, order)
        return None
