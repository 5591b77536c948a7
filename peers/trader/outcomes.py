"""The outcome of an order: buyer and seller are told what the ledger says, and the order is closed in the journal."""

from __future__ import annotations

from typing import Literal

from bazaar.core.cache import Cache
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Lot, Order
from bazaar.protocol.journal_lines import Closed
from bazaar.protocol.messages import (
    AskAgain,
    Denied,
    OutOfStock,
    Oversold,
    Purchased,
    Scarce,
    Ship,
    Shipped,
    Sold,
    Unavailable,
)
from peers.trader.promises import Promises
from peers.trader.waiting import Waiting


class Outcomes:
    """Carries out the warehouse's decisions on orders, both on missed ones and on those that the cache has promised."""

    def __init__(self, cache: Cache, waiting: Waiting, promises: Promises) -> None:
        self._cache = cache
        self._waiting = waiting
        self._promises = promises

    def decided(self, turn: Turn, ship: Ship, reply: Shipped | Denied | Scarce, position: int) -> None:
        """The warehouse answered `ship` with `reply`. `position`: the ledger's position then."""
        match ship, reply:
            case Ship(order, None), Shipped(lot, left):
                self._cache.sold(lot)
                self._cache.served()
                turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
                self._close_sale(turn, order, lot, left, position, "warehouse")
            case Ship(order, None), Denied("oversold"):  # the answer to an order that is asked again
                turn.send(order.buyer, Oversold(order.order_id, order.item))
                self._close(turn, order)
            case Ship(order, None), Scarce():
                self._waiting.put(turn, events.Requeued, order)
                self._waiting.scarce(turn, order.item)
            case Ship(order, None), Denied():
                self._cache.served()
                turn.note(events.Unavailable(order.order_id, order.item))
                turn.send(order.buyer, Unavailable(order.order_id, order.item))
                self._close(turn, order)
            case Ship(order, _), Shipped(lot, left):
                self._settle(turn, order, lot)
                self._close_sale(turn, order, lot, left, position, "cache")
            case Ship(order, _), Denied(reason):
                self._cache.settled(self._promises.decided(order.order_id), shipped=False)
                # Another trader was refused this order before. The buyer has asked again and is told so, or is to ask again.
                refused = Unavailable if self._promises.was_asked_again(order.order_id) else AskAgain
                turn.send(order.buyer, (Oversold if reason == "oversold" else refused)(order.order_id, order.item))
                self._close(turn, order)
            case _:
                raise RuntimeError(f"the warehouse answered {ship} with {reply}")

    def _settle(self, turn: Turn, order: Order, lot: Lot) -> None:
        """Keeps a promise: the order is sold. If it had been sold before, from another lot, the buyer is told that answer.

        If the lease has ended meanwhile, the promise may have been too late to be sent. Then the buyer is told now.
        """
        promised = self._promises.decided(order.order_id)
        self._cache.settled(promised, shipped=promised.deposit_id == lot.deposit_id)
        asked_again = self._promises.was_asked_again(order.order_id)
        if asked_again or self._promises.may_be_unheard(turn.now, order.order_id):
            turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
        elif promised.deposit_id != lot.deposit_id:
            turn.send(order.buyer, AskAgain(order.order_id, order.item))

    def _close_sale(
        self, turn: Turn, order: Order, lot: Lot, left: int, position: int, served_from: Literal["warehouse", "cache"]
    ) -> None:
        turn.note(events.Traded(order.order_id, order.item, lot.seller, lot.price_cents, by=served_from))
        turn.send(lot.seller, Sold(order.order_id, order.item, order.buyer, lot.price_cents, left, position))
        if left == 0:
            turn.send(lot.seller, OutOfStock(order.item, position))
        self._close(turn, order)

    def _close(self, turn: Turn, order: Order) -> None:
        self._waiting.close(order.order_id)
        self._promises.close(order.order_id)
        turn.keep_afterwards(Closed(order.order_id))
