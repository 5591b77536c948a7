"""A trader: takes deposits and orders, lowest clock first, and settles them with the warehouse (SPEC C, D).

Two questions (`Ask`) may be under way to the warehouse; what waits meanwhile is the next one, so batches form by
themselves. An order that the cache can answer is answered at once and confirmed with the next question; one that waits
for goods which other traders hold (escrow) waits in the queue.

    Buy --> journal --> queue --+-- hit:  Purchased to the buyer, promise to the warehouse --+--> Sold to the seller
                                |                                                            +--> Oversold to the buyer
                                +-- miss: to the warehouse ----------------------------------+--> Purchased, Sold
                                                                                             +--> Unavailable
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Literal

from bazaar.core.cache import POLICIES
from bazaar.core.orders import TradeQueue
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.admission import fits
from bazaar.protocol.goods import ITEMS, WAREHOUSE, Item, Lot, Order, Seat, is_seller
from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued, Recovered
from bazaar.protocol.messages import (
    Adopt,
    Adopted,
    Answer,
    Ask,
    AskAgain,
    Buy,
    CacheUpdate,
    CallBack,
    Denied,
    Deposit,
    Deposited,
    Draw,
    Freed,
    GiveBack,
    MarketOpen,
    OutOfStock,
    Oversold,
    Purchased,
    Read,
    Registered,
    Reopened,
    Request,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Sold,
    Stock,
    Stocked,
    TakeOver,
    Unavailable,
    WhoTrades,
)
from bazaar.protocol.settings import Settings
from peers.role import FOREVER, Trading

MOST_IN_ASK = 500
MOST_ASKED = 2  # questions under way: while the ledger takes the one, the next is there to go with others' ones
MOST_ASKED_LEASED = 1  # nobody waits for most of what is asked under a lease, and so more of it goes together
MOST_PROMISED = 5_000  # orders promised and not yet confirmed: beyond that buyers wait
SETTLE_AFTER_S = (
    0.05  # what is sold under a lease can wait so long for company on its way to the ledger: nobody waits for it
)
READ_ATTEMPTS, READ_AGAIN_AFTER_S = 10, 0.2  # of a journal that cannot be read
MOST_QUEUED = 50_000  # orders; a buyer whose order is turned away repeats it
SURE = {item: f"sure {item}" for item in ITEMS}
"""The lanes of orders that only the warehouse may answer: retries, those of a former life, and what escrow has missed."""


class Trader(Trading):
    """What a peer does during one tenure."""

    def __init__(
        self, seat: Seat, names: tuple[str, ...], settings: Settings, first_number: int = 0, begun: bool = True
    ) -> None:
        """`first_number`: where to begin numbering questions, beyond those of a former life. `begun`: whether the tenure
        may have begun before. If not, there is no journal to be missed."""
        self.seat = seat
        self._begun = begun
        self._me = seat.peer
        self._names = names
        self._settings = settings
        self._cache = POLICIES[settings.cache].of(settings)
        self._traders: tuple[str, ...] = ()
        self._others: tuple[str, ...] = ()
        self._registered: list[str] = []  # sellers whose deposits came in here
        self._missing: set[str] = set()  # sellers not known to have goods on sale
        self._is_restored = False  # after a restart in the middle of the tenure
        self._is_further = (
            seat.since >= settings.traders
        )  # not one of the first traders of all: the market is open already
        if not self._is_further:
            self._missing.update(name for name in names if is_seller(name))
        self._open_at = self._open_by = FOREVER
        self._awaits_sellers = False
        self._is_open = False
        self._queue = TradeQueue()
        self._undecided: set[str] = set()  # the names of all orders taken in and not yet closed
        self._deposits: list[Stock] = []
        self._promises: dict[str, Ship] = {}  # not yet put to the warehouse, in the order they were made
        self._settle_at = FOREVER
        self._asked_again: set[str] = set()  # orders whose buyer believes the ledger alone
        self._told_before: dict[str, float] = {}
        """Of promises under a lease: the buyer was told if it was before this."""
        self._promised: dict[str, Promised] = {}  # all that the warehouse has not decided
        self._reading: dict[Seat, float] = {}  # journals that have been asked for, and when to ask for them again
        self._attempts: Counter[Seat] = Counter()  # how often one could not be read
        self._adoptions: dict[Seat, Adopt] = {}  # of queues that are in our own journal, not yet in the ledger
        self._scarce: set[Item] = set()  # what others hold and are to give back; orders for it wait
        self._lease_until = 0.0  # until then what the cache offers is ours to promise
        self._asked: dict[int, tuple[Ask, float]] = {}  # what is under way, and since when, in its order
        self._number = first_number
        self._repeat_at = FOREVER

    def start(self, turn: Turn, elected: bool) -> None:
        """The seat is this peer's. It goes on with its own journal, which is empty if it was `elected` in this life."""
        turn.keep(Opened(self.seat.since))
        turn.note(events.Seated(self.seat.since))
        turn.send(WAREHOUSE, WhoTrades())  # it answers with the queues that are to be taken over, too
        if elected:
            turn.note(events.ReadyForRegistration())
        else:
            self._missing.clear()
            self._is_restored = True
        self._read(turn, self.seat)

    def _read(self, turn: Turn, seat: Seat) -> None:
        self._reading[seat] = FOREVER
        turn.read(seat)

    @property
    def cache(self) -> tuple[Lot, ...]:
        """What its cache holds for true now."""
        return self._cache.lots()

    @property
    def queue(self) -> list[Order]:
        """The orders that wait here, the lowest clock first."""
        return self._queue.waiting()

    def step_down(self, turn: Turn) -> None:
        """The seat is lost. The queue is the successor's, who has read it from the journal.

        Of what the cache promised, the successor may have seen nothing: the buyers are to ask again, and be told what
        the ledger says. (Not so under a lease: the successor has waited for its end.)
        """
        turn.note(events.SteppedDown(promised=len(self._promised)))
        for promised in () if self._cache.leased else self._promised.values():
            turn.send(promised.order.buyer, AskAgain(promised.order.order_id, promised.order.item))

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Merges the queue of a former tenure into this one, by clock (SPEC E2); or its own, after a restart.

        A journal that is not there, or cannot be read, is not an empty one: it is tried again for a while. Then the market
        goes on without, and it stands in the history that nobody knows what was in it. Its own, after a restart, is tried
        once: by now a new one has taken its place. A tenure that has just begun has none.
        """
        if seat == self.seat and not (self._is_restored and self._begun):
            found = Recovered(found.lines or ())
        if found.lines is None and seat != self.seat:
            self._attempts[seat] += 1
            if self._attempts[seat] < READ_ATTEMPTS:
                self._reading[seat] = turn.now + READ_AGAIN_AFTER_S
                return
        self._reading.pop(seat, None)
        for reason in found.damage:
            turn.note(events.Unreadable(seat.peer, seat.since, reason))
        orders, promises = still_open(found.lines or ())
        for order_id, order in orders.items():
            if order_id in self._undecided:
                continue
            self._undecided.add(order_id)
            turn.keep(Queued(order))
            if order_id in promises:
                turn.keep(promises[order_id])
                self._cache.promised(promises[order_id].lot)
                self._promise_later(turn, promises[order_id])
            else:
                self._put(turn, events.Inherited, SURE[order.item], order)
        if seat != self.seat or self._is_restored:
            promised = tuple((order_id, promise.lot.deposit_id) for order_id, promise in promises.items())
            closed = sum(isinstance(line, Closed) for line in found.lines or ())
            turn.note(events.TookOver(seat.peer, len(orders), len(promises), promised, closed))
            self._cache.inherited()
        if seat != self.seat:
            self._adoptions[seat] = Adopt(seat)

    def _put(self, turn: Turn, how: type[events.Waiting], lane: str, order: Order) -> None:
        turn.note(how(order.order_id, order.item, order.buyer, order.clock, lane))
        self._queue.put(lane, order)

    @property
    def idle(self) -> bool:
        owed = (self._queue, self._deposits, self._promised, self._reading, self._adoptions, self._asked)
        return not any(owed)

    @property
    def deadline(self) -> float:
        opening = self._open_by if self._awaits_sellers else self._open_at
        settle_at = self._settle_at if self._may_ask else FOREVER
        read_at = min(self._reading.values(), default=FOREVER)
        return min(self._repeat_at, settle_at, read_at, FOREVER if self._is_open else opening)

    @property
    def _may_ask(self) -> bool:
        """Not before its own journal is read: else it might give back what it has promised in a former life."""
        most = MOST_ASKED_LEASED if self._cache.leased else MOST_ASKED
        return self.seat not in self._reading and len(self._asked) < most

    def trade(self, turn: Turn, traders: tuple[str, ...]) -> None:
        """The first traders wait, and then open as soon as every seller has goods on sale; later ones open at once."""
        if not traders:
            return
        self._traders = traders
        self._others = tuple(name for name in traders if name != self._me)
        self._missing.difference_update(traders)
        self._announce(turn, self._registered)
        if self._open_at == FOREVER:
            patience = self._settings.registration_delay_s + self._settings.answer_timeout_s
            self._open_at = turn.now + (
                0.0 if self._is_further or self._is_restored else self._settings.opening_delay_s
            )
            self._open_by = self._open_at + patience

    def tick(self, turn: Turn) -> None:
        if not self._is_open:
            self._open(turn)
        for seat in [seat for seat, at in self._reading.items() if at <= turn.now]:
            self._read(turn, seat)
        if turn.now >= self._repeat_at:
            self._ask_again(turn)
        if self._is_open:
            self._serve(turn)
        elif self._may_ask:
            self._put_question(turn, [], [])  # deposits, queues taken over, promises of a former life
        news = self._cache.news()
        if news and self._others:
            lots = counts_of(news)
            for name in self._others:
                turn.note(events.Pushed(name, lots))
                turn.send(name, CacheUpdate(news))

    def _open(self, turn: Turn) -> None:
        self._awaits_sellers = turn.now >= self._open_at and bool(self._missing)
        if turn.now >= self._open_at and (not self._missing or turn.now >= self._open_by):
            self._is_open = True
            turn.note(events.Opened(self._traders))
            for name in self._names:
                if name != self._me and not is_seller(name):
                    turn.send(name, MarketOpen())

    # ------------------------------------------------------------------------------- serving the queue
    def _serve(self, turn: Turn) -> None:
        """Takes orders lowest clock first: all that wait if another question may be asked, else what is cached."""
        free = self._may_ask
        misses: list[Ship] = []
        missed: list[Item] = []
        while len(self._promised) < MOST_PROMISED and len(misses) < MOST_IN_ASK:
            taken = self._queue.pop(lane for lane in self._open_lanes() if free or self._offer(turn, lane))
            if taken is None:
                break
            lane, order = taken
            lot = self._offer(turn, lane)
            if lot is not None:
                self._promise(turn, order, lot)
            else:
                turn.note(events.Taken(order.order_id, order.item, to="warehouse"))
                misses.append(Ship(order, None))
                missed.append(order.item)
        if free:
            self._put_question(turn, misses, missed)

    def _open_lanes(self) -> Iterable[str]:
        shut = [lane for item in self._scarce for lane in (item, SURE[item])]
        return [lane for lane in self._queue.lanes() if lane not in shut]

    def _offer(self, turn: Turn, lane: str) -> Lot | None:
        """The lot from which an order in this lane may be promised."""
        if lane not in ITEMS or (self._cache.leased and turn.now >= self._lease_until):
            return None
        return self._cache.offer(lane)

    def _promise(self, turn: Turn, order: Order, lot: Lot) -> None:
        turn.note(events.Taken(order.order_id, order.item, "cache", lot.deposit_id, lot.count))
        promised = Promised(order, lot)
        turn.keep(promised)
        # Journal first, lease second, buyer third: whoever takes over reads the journal after the lease, and finds it.
        before = self._lease_until if self._cache.leased else None
        if before is not None:
            self._told_before[order.order_id] = before
        told = Purchased(order.order_id, order.item, lot.seller, lot.price_cents, final=False)
        turn.send(order.buyer, told, before)
        self._promise_later(turn, promised)
        self._cache.promised(lot)
        self._cache.served()

    def _promise_later(self, turn: Turn, promised: Promised) -> None:
        """To be put to the warehouse with the next question."""
        if not self._promises:
            self._settle_at = turn.now + (SETTLE_AFTER_S if self._cache.leased else 0.0)
        self._promised[promised.order.order_id] = promised
        self._promises[promised.order.order_id] = Ship(promised.order, promised.lot.deposit_id)

    # ---------------------------------------------------------------------------- asking the warehouse
    def _put_question(self, turn: Turn, misses: list[Ship], missed: list[Item]) -> None:
        wanted = self._cache.wants(missed, turn.now)
        adoptions = [
            adopt
            for adopt in self._adoptions.values()
            if not any(adopt in asked.requests for asked, _ in self._asked.values())
        ]
        urgent: list[Request] = [*misses, *wanted]
        if not (adoptions or self._deposits or urgent or turn.now >= self._settle_at):
            return
        # All promises go along, so that nothing is given back that was promised.
        requests = (*adoptions, *self._deposits, *self._promises.values(), *urgent)
        self._deposits.clear()
        self._promises.clear()
        self._settle_at = FOREVER
        if Read(ITEMS) in wanted:
            turn.note(events.Pulled())
        turn.note(events.Asked(requests=len(requests)))
        self._number += 1
        ask = Ask(self._number, requests)
        self._asked[ask.number] = ask, turn.now
        self._repeat_at = turn.now + self._settings.answer_timeout_s
        turn.send(WAREHOUSE, ask)

    def _ask_again(self, turn: Turn) -> None:
        """Repeats all that is under way."""
        for ask, _ in self._asked.values():
            turn.send(WAREHOUSE, ask)
        self._repeat_at = turn.now + self._settings.answer_timeout_s if self._asked else FOREVER

    def on_answer(self, turn: Turn, source: str, body: Answer) -> None:
        if body.number not in self._asked:
            return  # the answer to a question that was repeated
        asked, asked_at = self._asked[body.number]
        if not fits(asked.requests, body.replies):
            turn.note(events.Unexpected("Answer"))
            return
        del self._asked[body.number]
        if not self._asked:
            self._repeat_at = FOREVER
        if body.written:
            self._lease_until = asked_at + self._settings.lease_s
        before = counts_of(self._cache.lots())
        for request, reply in zip(asked.requests, body.replies, strict=True):
            match request, reply:
                case Ship(order, None), Shipped(lot, left):
                    self._cache.sold(lot)
                    self._cache.served()
                    turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
                    self._close_sale(turn, order, lot, left, body.position, "warehouse")
                case Ship(order, None), Denied("oversold"):  # the answer to an order that is asked again
                    turn.send(order.buyer, Oversold(order.order_id, order.item))
                    self._close(turn, order)
                case Ship(order, None), Scarce():
                    self._put(turn, events.Requeued, SURE[order.item], order)
                    if order.item not in self._scarce:
                        self._scarce.add(order.item)
                        turn.note(events.Scarce(order.item))
                case Ship(order, None), Denied():
                    self._cache.served()
                    turn.note(events.Unavailable(order.order_id, order.item))
                    turn.send(order.buyer, Unavailable(order.order_id, order.item))
                    self._close(turn, order)
                case Ship(order, _), Shipped(lot, left):
                    self._settle(turn, order, lot)
                    self._close_sale(turn, order, lot, left, body.position, "cache")
                case Ship(order, _), Denied(reason):
                    self._cache.settled(self._promised.pop(order.order_id).lot, shipped=False)
                    refused = (
                        Unavailable if order.order_id in self._asked_again else AskAgain
                    )  # before, to another trader
                    turn.send(order.buyer, (Oversold if reason == "oversold" else refused)(order.order_id, order.item))
                    self._close(turn, order)
                case Stock(lot), Stocked(deposit_id):
                    self._cache.hear(lot)
                    self._missing.discard(lot.seller)
                    turn.send(lot.seller, Deposited(deposit_id))
                    self._registered.append(lot.seller)
                    self._announce(turn, [lot.seller])
                case ((Read() | Draw() | GiveBack()), Shelves(items, lots)):
                    self._cache.learn(items, lots)
                case Adopt(seat), Adopted():
                    self._adoptions.pop(seat, None)
                case _:
                    raise RuntimeError(f"the warehouse answered {request} with {reply}")
        if learned := difference(before, counts_of(self._cache.lots())):
            turn.note(events.Learned(body.position, learned))

    def _settle(self, turn: Turn, order: Order, lot: Lot) -> None:
        """A promise is kept; but if the order had its answer already, from another lot, the buyer is told that one.

        Where the lease has ended meanwhile, the promise may have been too late to leave: then the buyer is told now.
        """
        promised = self._promised.pop(order.order_id).lot
        self._cache.settled(promised, shipped=promised.deposit_id == lot.deposit_id)
        may_be_untold = turn.now >= self._told_before.get(order.order_id, FOREVER)
        if order.order_id in self._asked_again or may_be_untold:
            turn.send(order.buyer, Purchased(order.order_id, order.item, lot.seller, lot.price_cents))
        elif promised.deposit_id != lot.deposit_id:
            turn.send(order.buyer, AskAgain(order.order_id, order.item))

    def _announce(self, turn: Turn, sellers: Iterable[str]) -> None:
        """Tells the other traders whose goods are on sale."""
        for name in self._others:
            for seller in sellers:
                turn.send(name, Registered(seller))

    def _close_sale(
        self, turn: Turn, order: Order, lot: Lot, left: int, position: int, served_from: Literal["warehouse", "cache"]
    ) -> None:
        turn.note(events.Traded(order.order_id, order.item, lot.seller, lot.price_cents, by=served_from))
        turn.send(lot.seller, Sold(order.order_id, order.item, order.buyer, lot.price_cents, left, position))
        if left == 0:
            turn.send(lot.seller, OutOfStock(order.item, position))
        self._close(turn, order)

    def _close(self, turn: Turn, order: Order) -> None:
        self._undecided.discard(order.order_id)
        self._asked_again.discard(order.order_id)
        self._told_before.pop(order.order_id, None)
        turn.keep_afterwards(Closed(order.order_id))

    # ------------------------------------------------------------------------------------ the messages
    def on_buy(self, turn: Turn, source: str, body: Buy) -> None:
        if body.order_id in self._undecided:
            if body.again:
                self._asked_again.add(body.order_id)
            return
        if len(self._queue) >= MOST_QUEUED:
            turn.note(events.TurnedAway(body.order_id, source))
            return
        order = Order(body.order_id, source, body.item, turn.sent)
        turn.keep(Queued(order))
        self._undecided.add(order.order_id)
        self._put(turn, events.Queued, SURE[order.item] if body.again else order.item, order)

    def on_deposit(self, turn: Turn, source: str, body: Deposit) -> None:
        lot = Lot(body.deposit_id, source, body.item, body.price_cents, turn.sent, body.count)
        self._deposits.append(Stock(lot))

    def on_take_over(self, turn: Turn, source: str, body: TakeOver) -> None:
        if body.seat not in self._adoptions and body.seat not in self._reading:
            self._read(turn, body.seat)

    def on_call_back(self, turn: Turn, source: str, body: CallBack) -> None:
        self._cache.called_back(body.item)

    def on_freed(self, turn: Turn, source: str, body: Freed) -> None:
        self._free(turn, body.item)

    def _free(self, turn: Turn, item: Item) -> None:
        turn.note(events.Freed(item))
        self._scarce.discard(item)

    def on_reopened(self, turn: Turn, source: str, body: Reopened) -> None:
        for item in sorted(self._scarce):  # the new warehouse does not know who waits
            self._free(turn, item)
        self._ask_again(turn)

    def on_registered(self, turn: Turn, source: str, body: Registered) -> None:
        self._missing.discard(body.seller)

    def on_cache_update(self, turn: Turn, source: str, body: CacheUpdate) -> None:
        turn.note(events.HeardPush(source, counts_of(body.lots)))
        for lot in body.lots:
            self._cache.hear(lot)

    handles: ClassVar = {
        Answer: on_answer,
        Buy: on_buy,
        Deposit: on_deposit,
        TakeOver: on_take_over,
        CallBack: on_call_back,
        Freed: on_freed,
        Reopened: on_reopened,
        Registered: on_registered,
        CacheUpdate: on_cache_update,
    }


def counts_of(lots: Iterable[Lot]) -> events.Counts:
    """By deposit, as a history holds them."""
    return tuple([(lot.deposit_id, lot.count) for lot in lots])


def difference(before: events.Counts, after: events.Counts) -> events.Counts:
    """What is known otherwise `after`; a lot that is not known any more counts as nothing, as one that was sold out."""
    known, now = dict(before), dict(after)
    new = [(deposit_id, count) for deposit_id, count in after if known.get(deposit_id) != count]
    gone = [(deposit_id, 0) for deposit_id, count in before if count and deposit_id not in now]
    return (*new, *gone)


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
