"""The outcome of an order: buyer and seller are told what the ledger says, and the order is closed in the journal."""

from __future__ import annotations

from typing import Literal

from bazaar.core.cache import Cache
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Order
from bazaar.protocol.journal_lines import Closed
from bazaar.protocol.messages import AskAgain, OutOfStock, Oversold, Purchased, Sold, Unavailable
from bazaar.protocol.requests import Denied, Part, Scarce, Ship, Shipped
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
            case Ship(order, None), Shipped(parts=parts):
                for part in parts:
                    self._cache.sold(part.lot)
                self._cache.served()
                turn.send(order.buyer, _purchased(order, parts))
                self._close_sale(turn, order, parts, position, "warehouse")
            case Ship(order, None), Denied("oversold"):  # the answer to an order that is asked again
                turn.send(order.buyer, Oversold(order.order_id, order.item, order.units))
                self._close(turn, order)
            case Ship(order, None), Scarce():
                self._waiting.put(turn, events.Requeued, order)
                self._waiting.scarce(turn, order.item)
            case Ship(order, None), Denied():
                self._cache.served()
                turn.note(events.Unavailable(order.order_id, order.item, units=order.units))
                turn.send(order.buyer, Unavailable(order.order_id, order.item, order.units))
                self._close(turn, order)
            case Ship(order, _), Shipped(parts=parts):
                self._settle(turn, order, parts)
                self._close_sale(turn, order, parts, position, "cache")
            case Ship(order, _), Denied(reason):
                self._cache.settled(self._promises.decided(order.order_id), shipped=False, units=order.units)
                # Another trader was refused this order before. The buyer has asked again and is told so, or is to ask again.
                refused = Unavailable if self._promises.was_asked_again(order.order_id) else AskAgain
                letter = Oversold if reason == "oversold" else refused
                turn.send(order.buyer, letter(order.order_id, order.item, order.units))
                self._close(turn, order)
            case _:
                raise RuntimeError(f"the warehouse answered {ship} with {reply}")

    def _settle(self, turn: Turn, order: Order, parts: tuple[Part, ...]) -> None:
        """Keeps a promise: the order is sold. If it had been sold before, from other lots, the buyer is told that answer.

        If the lease has ended meanwhile, the promise may have been too late to be sent. Then the buyer is told now.
        """
        promised = self._promises.decided(order.order_id)
        as_promised = [promised.deposit_id] == [part.lot.deposit_id for part in parts]
        self._cache.settled(promised, shipped=as_promised, units=order.units)
        asked_again = self._promises.was_asked_again(order.order_id)
        if asked_again or self._promises.may_be_unheard(turn.now, order.order_id):
            turn.send(order.buyer, _purchased(order, parts))
        elif not as_promised:
            turn.send(order.buyer, AskAgain(order.order_id, order.item, order.units))

    def _close_sale(
        self,
        turn: Turn,
        order: Order,
        parts: tuple[Part, ...],
        position: int,
        served_from: Literal["warehouse", "cache"],
    ) -> None:
        first, *others = _sellers(parts)
        turn.note(
            events.Traded(
                order.order_id, order.item, first, _worth(parts), served_from, tuple(others), units=order.units
            )
        )
        for seller in (first, *others):
            own = tuple(part for part in parts if part.lot.seller == seller)
            units, left = sum(part.units for part in own), own[-1].left
            turn.send(seller, Sold(order.order_id, order.item, order.buyer, _worth(own), left, position, units))
            if left == 0:
                turn.send(seller, OutOfStock(order.item, position))
        self._close(turn, order)

    def _close(self, turn: Turn, order: Order) -> None:
        self._waiting.close(turn.now, order.order_id)
        self._promises.close(order.order_id)
        turn.keep_afterwards(Closed(order.order_id))


def _sellers(parts: tuple[Part, ...]) -> list[str]:
    """Each seller once, in the order of the lots."""
    return list(dict.fromkeys(part.lot.seller for part in parts))


def _worth(parts: tuple[Part, ...]) -> int:
    """The price of all these units, in cents."""
    return sum(part.units * part.lot.price_cents for part in parts)


def _purchased(order: Order, parts: tuple[Part, ...]) -> Purchased:
    first, *others = _sellers(parts)
    return Purchased(order.order_id, order.item, first, _worth(parts), units=order.units, others=tuple(others))
