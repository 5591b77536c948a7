"""The Pyro4 methods at the door of a process, for people (requirement N). All results are plain dicts, lists, numbers.

Each call is carried out by the process's own loop, between two turns of the market. So a result shows one moment, and an
order or a deposit by hand goes through the same clocks, journals and audit as any other. Prices are whole dollars, times
seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.goods import is_seller
from bazaar.protocol.plan import Plan
from bazaar.runtime.door import exposed
from bazaar.runtime.history import HISTORY_FILE, last_lines
from bazaar.runtime.ledger_file import entries_of
from peers.peer import Peer

MOST_LINES = 1_000  # of a history, or of the ledger, at a time
ANSWERS = 3  # times the timeout of a buyer: how long a call at the door waits for the answer to an order

T = TypeVar("T")


class Visited(Protocol):
    """`Visits.visit`."""

    def __call__(self, act: Callable[[Turn], T], is_there: Callable[[T], bool] = ..., s: float = ..., /) -> T:
        """Runs `act` in the process's loop."""


def _number(what: str, said: Any, least: int, most: int) -> int:
    if type(said) is not int or not least <= said <= most:
        raise ValueError(f"{what} must be a whole number from {least} to {most}, not {said!r}")
    return said


@exposed
class PeerFace:
    """A peer of the bazaar: a buyer or a seller, and perhaps a trader now."""

    def __init__(self, peer: Peer, plan: Plan, folder: Path, visit: Visited) -> None:
        self._peer = peer
        self._plan = plan
        self._folder = folder
        self._visit = visit

    def ping(self) -> str:
        """The peer's name. The answer shows that the peer is there and its loop runs."""
        return self._visit(lambda turn: self._peer.name)

    def status(self) -> dict[str, Any]:
        """`{name, role, answered, done, idle}`. role: "buyer", "seller" or "trader"; answered: how many of its orders have
        their answer; done: whether it has no order left to place and none without an answer; idle: whether it waits for
        nothing and owes nothing."""
        return self._visit(self._status)

    def _status(self, turn: Turn) -> dict[str, Any]:
        peer = self._peer
        role = "trader" if peer.trader is not None else "seller" if is_seller(peer.name) else "buyer"
        return {"name": peer.name, "role": role, "answered": peer.answered, "done": peer.done, "idle": peer.idle}

    def clock(self) -> int:
        """The current value of the peer's Lamport clock."""
        return self._visit(lambda turn: self._peer.clock.time)

    def neighbours(self) -> list[str]:
        """The names of its at most three neighbours in the graph."""
        return list(self._plan.neighbours[self._peer.name])

    def traders(self) -> list[str]:
        """The names of the peers that it believes to be traders, in the order of the seats; [] before the election."""
        return self._visit(lambda turn: list(self._peer.membership.bench.traders))

    def cache(self) -> list[dict[str, Any]]:
        """The contents of a trader's cache: `[{deposit, seller, item, count, price}]`; [] without a cache."""
        return self._visit(self._cache)

    def _cache(self, turn: Turn) -> list[dict[str, Any]]:
        lots = self._peer.trader.cache if self._peer.trader is not None else ()
        return [
            {
                "deposit": lot.deposit_id,
                "seller": lot.seller,
                "item": lot.item,
                "count": lot.count,
                "price": lot.price_cents // 100,
            }
            for lot in lots
        ]

    def queue(self) -> list[dict[str, Any]]:
        """The orders that wait at a trader, the next one first: `[{order, buyer, item, clock, units}]`, clock: the Lamport
        time at which the order was sent. [] for a peer that is no trader."""
        return self._visit(self._queue)

    def _queue(self, turn: Turn) -> list[dict[str, Any]]:
        orders = self._peer.trader.queue if self._peer.trader is not None else []
        return [
            {
                "order": order.order_id,
                "buyer": order.buyer,
                "item": order.item,
                "clock": order.clock,
                "units": order.units,
            }
            for order in orders[:MOST_LINES]
        ]

    def history(self, n: int = 10) -> list[dict[str, Any]]:
        """The last `n` (1 to 1000) lines of its history, the newest last: `[{at, process, clock, what, facts, source, sent}]`,
        at: seconds since the epoch; facts, source and sent only where there are any. Prices in there are cents."""
        return _history(self._folder, n)

    def stock(self) -> dict[str, dict[str, int]]:
        """By item, how many units of this seller were booked, and how many it was credited for, since its process was
        started: `{item: {deposited, sold}}`. {} for a buyer."""
        return self._visit(
            lambda turn: {
                item: {"deposited": booked, "sold": sold} for item, (booked, sold) in self._peer.stock.items()
            }
        )

    def buy(self, item: str, units: int = 1) -> dict[str, Any]:
        """Has a buyer order 1 to 1000 units of "fish", "salt" or "boar", and waits for the answer:
        `{order, item, outcome, seller, price, units}`. Outcome: "purchased"; "unavailable" (nobody sells as many) or
        "oversold" (the warehouse denied what a cache had promised), with seller "" and price 0. Price: of all units
        together. Seller: the first one, if the units are of several.

        The order becomes one of the buyer's orders, waits for a place in its window, and comes on top of its quota. A purchase
        that a weak cache has promised may be revoked later, like any such purchase; the history says so.
        Raises `ValueError` for another item or number, and `RuntimeError` if the peer is a seller or a trader (requirement B5)
        or the run ends. In these cases nothing is ordered. Raises `TimeoutError` if there is no answer within three times the
        run's answer_timeout_s. The order then stays with the buyer, and its history tells what becomes of it."""
        within_s = ANSWERS * self._plan.settings.answer_timeout_s
        hand = self._visit(lambda turn: self._peer.order(turn, item, units), lambda hand: bool(hand.outcome), within_s)
        if not hand.order_id:
            raise RuntimeError(f"nothing was ordered: {self._peer.name} orders nothing any more")
        return {
            "order": hand.order_id,
            "item": hand.item,
            "outcome": hand.outcome,
            "seller": hand.seller,
            "price": hand.price_cents // 100,
            "units": hand.units,
        }

    def deposit(self, item: str, count: int, price: int) -> dict[str, Any]:
        """Has a seller deposit `count` units of "fish", "salt" or "boar" for `price` whole dollars (5 to 10) each:
        `{deposit, item, count, price, trader}`. The deposit is then in the history, and is repeated until it is booked.

        Raises `ValueError` for anything else, and `RuntimeError` if the peer is a buyer or a trader (requirement B5), if there
        are no traders, or when the run ends. In all these cases nothing is deposited."""
        offered = self._visit(lambda turn: self._peer.deposit(turn, item, count, price))
        return {
            "deposit": offered.deposit_id,
            "item": offered.item,
            "count": offered.count,
            "price": offered.price_cents // 100,
            "trader": offered.trader,
        }


@exposed
class WarehouseFace:
    """The warehouse: its stock and its decisions."""

    def __init__(self, warehouse: Warehouse, run: Path, folder: Path, visit: Visited) -> None:
        self._warehouse = warehouse
        self._run = run
        self._folder = folder
        self._visit = visit

    def ping(self) -> str:
        """Its name. The answer shows that the warehouse is there and its loop runs."""
        return self._visit(lambda turn: self._warehouse.name)

    def status(self) -> dict[str, Any]:
        """`{name, role, entries, traders, idle}`. entries: how many entries the ledger has; traders: the names, in the
        order of the seats; idle: whether no queue of a dead trader waits for a successor."""
        return self._visit(self._status)

    def _status(self, turn: Turn) -> dict[str, Any]:
        ledger = self._warehouse.ledger
        return {
            "name": self._warehouse.name,
            "role": "warehouse",
            "entries": ledger.position,
            "traders": list(ledger.seats.bench.traders),
            "idle": self._warehouse.idle,
        }

    def clock(self) -> int:
        """The current value of its Lamport clock."""
        return self._visit(lambda turn: self._warehouse.clock.time)

    def history(self, n: int = 10) -> list[dict[str, Any]]:
        """See `PeerFace.history`."""
        return _history(self._folder, n)

    def stock(self) -> list[dict[str, Any]]:
        """Its stock, as in MongoDB: `[{seller_id, item, count, price}]`. price: that of the newest deposit."""
        return self._visit(self._stock)

    def _stock(self, turn: Turn) -> list[dict[str, Any]]:
        return [
            {"seller_id": seller, "item": item, "count": left, "price": price_cents // 100}
            for (seller, item), (left, price_cents) in self._warehouse.ledger.stock.products().items()
        ]

    def entries(self, first: int = 0) -> list[dict[str, Any]]:
        """The ledger from this position on (the oldest entry is 0), at most 1000, as they stand in `ledger.jsonl`: each
        has a `kind` and its `position`; prices in there are cents."""
        first = _number("from", first, 0, 2**62)
        return [msgspec.json.decode(line) for line in entries_of(self._run, first, MOST_LINES)]


def _history(folder: Path, n: Any) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in last_lines(folder / HISTORY_FILE, _number("n", n, 1, MOST_LINES))]
