"""A trader: takes deposits and orders, lowest clock first, and settles them with the warehouse (SPEC C, D).

One question (`Ask`) is under way to the warehouse at a time; what waits meanwhile is the next one, so batches form by
themselves. An order that the cache can answer is answered at once and confirmed with the next question.

    Buy --> journal --> queue --+-- hit:  Purchased to the buyer, promise to the warehouse --+--> Sold to the seller
                                |                                                            +--> Oversold to the buyer
                                +-- miss: to the warehouse ----------------------------------+--> Purchased, Sold
                                                                                             +--> Unavailable
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from bazaar.core.cache import POLICIES
from bazaar.core.orders import TradeQueue
from bazaar.core.turn import Turn
from bazaar.records import (
    ITEMS,
    WAREHOUSE,
    Answer,
    Ask,
    Buy,
    CacheUpdate,
    Closed,
    Denied,
    Deposit,
    Deposited,
    Item,
    JournalLine,
    Lot,
    NotATrader,
    Order,
    OutOfStock,
    Oversold,
    Promised,
    Purchased,
    Queued,
    Read,
    Registered,
    Request,
    Shelves,
    Ship,
    Shipped,
    Sold,
    Stock,
    Stocked,
    Unavailable,
    is_seller,
)
from bazaar.settings import Settings
from peers.role import FOREVER, Trading

MOST_IN_ASK = 500
MOST_PROMISED = 1_000  # orders promised and not yet confirmed: beyond that buyers wait
MOST_QUEUED = 50_000  # orders; a buyer whose order is turned away repeats it
SURE = "sure"  # the lane of orders that only the warehouse may answer: retries, and those of a former life


class Trader(Trading):
    """What a peer does while it holds a seat. Built on the lines of its own journal, if it was started again."""

    def __init__(self, me: str, names: tuple[str, ...], settings: Settings, journal: Iterable[JournalLine]) -> None:
        self._me = me
        self._settings = settings
        self._cache = POLICIES[settings.cache](settings)
        self._traders: tuple[str, ...] = ()
        self._others: tuple[str, ...] = ()
        self._missing = {name for name in names if is_seller(name)}  # sellers not known to have goods on sale
        self._registered: list[str] = []  # sellers whose deposits came in here
        self._elected = False
        self._open_at = self._open_by = FOREVER
        self._awaits_sellers = False
        self._is_open = False
        self._queue = TradeQueue()
        self._undecided: set[str] = set()  # the names of all orders taken in and not yet closed
        self._deposits: list[Stock] = []
        self._promises: dict[str, Ship] = {}  # not yet put to the warehouse, in the order they were made
        self._promised: dict[str, Lot] = {}  # all that the warehouse has not decided
        self._asked: Ask | None = None
        self._number = 0
        self._repeat_at = FOREVER
        self._restore(journal)

    def _restore(self, journal: Iterable[JournalLine]) -> None:
        orders: dict[str, Order] = {}
        for line in journal:
            match line:
                case Queued(order):
                    orders[order.order_id] = order
                case Promised(order_id, lot):
                    self._promised[order_id] = lot
                    self._promises[order_id] = Ship(orders[order_id], lot.deposit_id)
                case Closed(order_id):
                    orders.pop(order_id, None)
                    self._promised.pop(order_id, None)
                    self._promises.pop(order_id, None)
        self._undecided.update(orders)
        for order in orders.values():
            if order.order_id not in self._promised:
                self._queue.put(SURE, order)

    @property
    def idle(self) -> bool:
        return not (self._queue or self._deposits or self._promised or self._asked)

    @property
    def deadline(self) -> float:
        opening = self._open_by if self._awaits_sellers else self._open_at
        return min(self._repeat_at, FOREVER if self._is_open else opening)

    def elected(self, turn: Turn, seat: int) -> None:
        """The seat is this peer's; deposits may come."""
        if self._elected:
            return
        self._elected = True
        turn.note("ready_for_registration", seat=seat)

    def trade(self, turn: Turn, traders: tuple[str, ...]) -> None:
        """The bench is full: open as soon as every seller has goods on sale (at once, if this is a second life)."""
        self._traders = traders
        self._others = tuple(name for name in traders if name != self._me)
        self._missing.difference_update(traders)
        if not self._elected:
            self._missing.clear()
        self._announce(turn, self._registered)
        if self._open_at == FOREVER:
            patience = self._settings.registration_delay_s + self._settings.answer_timeout_s
            self._open_at = turn.now + self._settings.opening_delay_s
            self._open_by = self._open_at + patience

    def tick(self, turn: Turn) -> None:
        if not self._is_open:
            self._open(turn)
        if turn.now >= self._repeat_at and self._asked is not None:
            self._ask(turn, self._asked)
        if self._is_open:
            self._serve(turn)
        elif self._asked is None and self._deposits:
            self._put_question(turn, [], [])
        news = self._cache.news()
        if news and self._others:
            for name in self._others:
                turn.note("pushed", to=name)
                turn.send(name, CacheUpdate(news))

    def _open(self, turn: Turn) -> None:
        self._awaits_sellers = turn.now >= self._open_at and bool(self._missing)
        if turn.now >= self._open_at and (not self._missing or turn.now >= self._open_by):
            self._is_open = True
            turn.note("opened", traders=list(self._traders))

    # ------------------------------------------------------------------------------- serving the queue
    def _serve(self, turn: Turn) -> None:
        """Takes orders lowest clock first: all that wait if the warehouse is free to be asked, else what is cached."""
        free = self._asked is None
        misses: list[Ship] = []
        missed: list[Item] = []
        while len(self._promised) < MOST_PROMISED and len(misses) < MOST_IN_ASK:
            taken = self._queue.pop(lane for lane in self._queue.lanes() if free or self._offer(lane))
            if taken is None:
                break
            lane, order = taken
            lot = self._offer(lane)
            if lot is not None:
                self._promise(turn, order, lot)
            else:
                turn.note("taken", order=order.order_id, item=order.item, to="warehouse")
                misses.append(Ship(order, None))
                missed.append(order.item)
        if free:
            self._put_question(turn, misses, missed)

    def _offer(self, lane: str) -> Lot | None:
        return None if lane == SURE else self._cache.offer(lane)  # type: ignore[arg-type] # the lane is an item

    def _promise(self, turn: Turn, order: Order, lot: Lot) -> None:
        turn.note("taken", order=order.order_id, item=order.item, to="cache")
        turn.keep(Promised(order.order_id, lot))
        turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
        self._promises[order.order_id] = Ship(order, lot.deposit_id)
        self._promised[order.order_id] = lot
        self._cache.promised(lot)
        self._cache.served()

    # ---------------------------------------------------------------------------- asking the warehouse
    def _put_question(self, turn: Turn, misses: list[Ship], missed: list[Item]) -> None:
        promises = list(self._promises.values())[:MOST_IN_ASK]
        for ship in promises:
            del self._promises[ship.order.order_id]
        requests: list[Request] = [*self._deposits, *promises, *misses]
        self._deposits.clear()
        items = self._cache.wants(missed)
        if items:
            requests.append(Read(items))
            if items == ITEMS:
                turn.note("pulled")
        if requests:
            self._number += 1
            self._ask(turn, Ask(self._number, tuple(requests)))

    def _ask(self, turn: Turn, ask: Ask) -> None:
        self._asked = ask
        self._repeat_at = turn.now + self._settings.answer_timeout_s
        turn.send(WAREHOUSE, ask)

    def on_answer(self, turn: Turn, source: str, body: Answer) -> None:
        asked = self._asked
        if asked is None or body.number != asked.number:
            return  # the answer to a question that was repeated
        self._asked = None
        self._repeat_at = FOREVER
        for request, reply in zip(asked.requests, body.replies, strict=True):
            match request, reply:
                case Ship(order, None), Shipped(lot, left):
                    self._cache.sold(lot)
                    self._cache.served()
                    turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
                    self._close_sale(turn, order, lot, left, "warehouse")
                case Ship(order, None), Denied():
                    self._cache.served()
                    turn.note("unavailable", order=order.order_id, item=order.item)
                    turn.send(order.buyer, Unavailable(order.order_id, order.item))
                    self._close(turn, order)
                case Ship(order, _), Shipped(lot, left):
                    self._cache.settled(self._promised.pop(order.order_id), shipped=True)
                    self._close_sale(turn, order, lot, left, "cache")
                case Ship(order, _), Denied():
                    self._cache.settled(self._promised.pop(order.order_id), shipped=False)
                    turn.send(order.buyer, Oversold(order.order_id, order.item))
                    self._close(turn, order)
                case Stock(lot), Stocked(deposit_id):
                    self._cache.hear(lot)
                    self._missing.discard(lot.seller)
                    turn.send(lot.seller, Deposited(deposit_id))
                    self._registered.append(lot.seller)
                    self._announce(turn, [lot.seller])
                case Read(), Shelves(items, lots):
                    self._cache.learn(items, lots)
                case _, NotATrader():
                    raise RuntimeError("a trader acted without a seat")
                case _:
                    raise RuntimeError(f"the warehouse answered {request} with {reply}")

    def _announce(self, turn: Turn, sellers: Iterable[str]) -> None:
        """Tells the other traders whose goods are on sale."""
        for name in self._others:
            for seller in sellers:
                turn.send(name, Registered(seller))

    def _close_sale(self, turn: Turn, order: Order, lot: Lot, left: int, served_from: str) -> None:
        turn.note(
            "traded",
            order=order.order_id,
            item=order.item,
            seller=lot.seller,
            price=lot.price_cents,
            by=served_from,
        )
        turn.send(lot.seller, Sold(order.order_id, order.item, order.buyer, lot.price_cents, left))
        if left == 0:
            turn.send(lot.seller, OutOfStock(order.item))
        self._close(turn, order)

    def _close(self, turn: Turn, order: Order) -> None:
        self._undecided.discard(order.order_id)
        turn.keep(Closed(order.order_id))

    # ------------------------------------------------------------------------------------ the messages
    def on_buy(self, turn: Turn, source: str, body: Buy) -> None:
        if body.order_id in self._undecided:
            return
        if len(self._queue) >= MOST_QUEUED:
            turn.note("turned_away", order=body.order_id, buyer=source)
            return
        order = Order(body.order_id, source, body.item, turn.sent)
        lane = SURE if body.again else order.item
        turn.note("queued", order=order.order_id, item=order.item, buyer=source, clock=order.clock, lane=lane)
        turn.keep(Queued(order))
        self._undecided.add(order.order_id)
        self._queue.put(lane, order)

    def on_deposit(self, turn: Turn, source: str, body: Deposit) -> None:
        lot = Lot(body.deposit_id, source, body.item, body.price_cents, turn.sent, body.count)
        self._deposits.append(Stock(lot))

    def on_registered(self, turn: Turn, source: str, body: Registered) -> None:
        self._missing.discard(body.seller)

    def on_cache_update(self, turn: Turn, source: str, body: CacheUpdate) -> None:
        turn.note("heard_push", neighbor=source)
        for lot in body.lots:
            self._cache.hear(lot)

    handles: ClassVar = {
        Answer: on_answer,
        Buy: on_buy,
        Deposit: on_deposit,
        Registered: on_registered,
        CacheUpdate: on_cache_update,
    }
