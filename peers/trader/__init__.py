"""A trader: takes deposits and orders, lowest clock first, and settles them with the warehouse (requirement C, D).

Two questions (`Ask`) may be under way to the warehouse. The requests that wait meanwhile form the next question, so batches
form by themselves. An order that the cache can answer is answered at once, and confirmed with the next question. An order
for goods that other traders hold (escrow) waits in the queue.

    Buy --> journal --> queue --+-- hit:  Purchased to the buyer, promise to the warehouse --+--> Sold to the seller
                                |                                                            +--> Oversold to the buyer
                                +-- miss: to the warehouse ----------------------------------+--> Purchased, Sold
                                                                                             +--> Unavailable

opening.py    when it opens                         questions.py    its questions to the warehouse
promises.py   its cache's promises to buyers        succession.py   the queues of former tenures
waiting.py    the orders that wait                  beliefs.py      the counts in its cache
takes.py      what it takes from the shared cache
others.py     its messages to the other traders     outcomes.py     the outcome of an order
"""

from __future__ import annotations

from typing import ClassVar

from bazaar.core.cache import POLICIES
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Result, Take
from bazaar.protocol.goods import ITEMS, WAREHOUSE, Copy, Item, Lot, Order, Seat, is_seller
from bazaar.protocol.journal_lines import Closed, Opened, Promised, Queued, Recovered
from bazaar.protocol.messages import (
    Answer,
    AskAgain,
    Buy,
    CacheUpdate,
    Deposit,
    Deposited,
    EndEpoch,
    Freed,
    MarketOpen,
    Purchased,
    Recall,
    Registered,
    Reopened,
    TakeOver,
    WhoTrades,
)
from bazaar.protocol.requests import (
    Acquire,
    Adopt,
    Adopted,
    Denied,
    EpochEnded,
    GiveBack,
    Heeded,
    Read,
    Request,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Stock,
    Stocked,
)
from bazaar.protocol.settings import Settings
from peers.role import Trading
from peers.trader.beliefs import counts_of, difference
from peers.trader.opening import Opening
from peers.trader.others import Others
from peers.trader.outcomes import Outcomes
from peers.trader.promises import Promises
from peers.trader.questions import Questions
from peers.trader.succession import Succession, still_open
from peers.trader.takes import Takes
from peers.trader.waiting import Waiting

MOST_IN_ASK = 500
MOST_ASKED = 2  # questions under way: while the ledger writes one, the next can join other traders' questions
MOST_ASKED_LEASED = 1  # under a lease nobody waits for most requests, so larger batches form
MOST_PROMISED = 5_000  # orders promised and not yet confirmed; with more than that, buyers wait


class Trader(Trading):
    """What a peer does during one tenure."""

    def __init__(
        self, seat: Seat, names: tuple[str, ...], settings: Settings, first_number: int = 0, begun: bool = True
    ) -> None:
        """`first_number`: where to begin numbering questions, beyond those of a former life. `begun`: whether the tenure
        may have begun before. If it has not, a missing journal is no loss."""
        self.seat = seat
        self._begun = begun
        self._me = seat.peer
        self._names = names
        self._settings = settings
        self._cache = POLICIES[settings.cache].of(settings)
        self._traders: tuple[str, ...] = ()
        self._others = Others()
        self._is_restored = False  # after a restart in the middle of the tenure
        self._opening = Opening(names, settings, further=seat.since >= settings.traders)
        self._deposits: list[Stock] = []
        self._lease_until = 0.0  # until then the trader may promise what the cache offers
        self._waiting = Waiting()
        self._takes = Takes(self._cache, self._waiting)
        self._promises = Promises(self._cache.leased)
        self._outcomes = Outcomes(self._cache, self._waiting, self._promises)
        self._succession = Succession(seat)
        self._questions = Questions(first_number, settings.answer_timeout_s)
        self.copies: dict[Seat, Copy | None] = {}
        """With `--keeper`: which copy of the journal of a former tenure is to be read."""

    def start(self, turn: Turn, elected: bool) -> None:
        """Begins the tenure. The trader goes on with its own journal, which is empty if it was `elected` in this life."""
        turn.keep(Opened(self.seat.since))
        turn.note(events.Seated(self.seat.since))
        turn.send(WAREHOUSE, WhoTrades())  # the answer also names the queues to take over
        if elected:
            turn.note(events.ReadyForRegistration())
        else:
            self._opening.at_once()
            self._is_restored = True
        self._succession.read(turn, self.seat)

    @property
    def cache(self) -> tuple[Lot, ...]:
        """The current contents of its cache."""
        return self._cache.lots()

    @property
    def queue(self) -> list[Order]:
        """The orders that wait here, the lowest clock first."""
        return self._waiting.orders

    def waits(self, now: float) -> tuple[int, int]:
        """How long orders wait here, in milliseconds, and how many."""
        return self._waiting.waits(now)

    def step_down(self, turn: Turn) -> None:
        """Ends the tenure. The queue belongs to the successor, which has read it from the journal.

        The successor may not have seen the latest promises of the cache. So the buyers are told to ask again, and then get
        the ledger's answer. (This is not needed under a lease: the successor has waited for its end.)
        """
        turn.note(events.SteppedDown(promised=len(self._promises)))
        for promised in () if self._cache.leased else self._promises:
            order = promised.order
            turn.send(order.buyer, AskAgain(order.order_id, order.item, order.units))

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Merges the queue of a former tenure into this one, by clock (requirement E2); or its own, after a restart."""
        believed = self._succession.found(turn, seat, found, may_be_missing=not (self._is_restored and self._begun))
        if believed is None:
            return
        lines = believed.lines or ()
        orders, promises = still_open(lines)
        for order_id, order in orders.items():
            if order_id in self._waiting:
                continue
            self._waiting.take_in(turn.now, order_id)
            turn.keep(Queued(order))
            if order_id in promises:
                turn.keep(promises[order_id])
                self._cache.promised(promises[order_id].lot, order.units)
                self._promises.add(turn.now, promises[order_id])
                self._waiting.told(turn.now, order_id)
            else:
                self._waiting.put(turn, events.Inherited, order)
        if seat != self.seat or self._is_restored:
            promised = tuple((order_id, promise.lot.deposit_id) for order_id, promise in promises.items())
            closed = sum(isinstance(line, Closed) for line in lines)
            turn.note(events.TookOver(seat.peer, len(orders), len(promises), promised, closed))
            self._cache.inherited()
        if seat != self.seat:
            self._succession.adoptions[seat] = Adopt(seat)

    @property
    def idle(self) -> bool:
        busy = (
            self._waiting,
            self._takes,
            self._takes.to_say,
            self._deposits,
            self._promises,
            self._succession,
            self._questions,
        )
        return not any(busy)

    @property
    def deadline(self) -> float:
        settle_at = self._promises.settle_at if self._may_ask else NEVER
        return min(self._questions.repeat_at, settle_at, self._succession.deadline, self._opening.deadline)

    @property
    def _may_ask(self) -> bool:
        """Whether the trader may put a further question to the warehouse.

        It may not before its own journal is read: else it might give back units that it has promised in a former life.
        """
        most = MOST_ASKED_LEASED if self._cache.leased else MOST_ASKED
        return self._succession.own_is_read and len(self._questions) < most

    def traders_changed(self, turn: Turn, traders: tuple[str, ...]) -> None:
        """The first traders wait, and then open as soon as every seller has goods on sale; later ones open at once."""
        if not traders:
            return
        self._traders = traders
        self._others.are(turn, tuple(name for name in traders if name != self._me))
        self._opening.traders_are(turn, traders)

    def tick(self, turn: Turn) -> None:
        if self._opening.due(turn.now):
            self._open(turn)
        self._succession.read_again(turn)
        if turn.now >= self._questions.repeat_at:
            self._questions.repeat(turn)
        if self._opening.done:
            self._serve(turn)
        elif self._may_ask:
            self._put_question(turn, [], [])  # deposits, queues taken over, promises of a former life
        self._others.push(turn, self._cache.news())

    def _open(self, turn: Turn) -> None:
        turn.note(events.Opened(self._traders))
        for name in self._names:
            if name != self._me and not is_seller(name):
                turn.send(name, MarketOpen())

    # ------------------------------------------------------------------------------- serving the queue
    def _serve(self, turn: Turn) -> None:
        """Takes orders, lowest clock first: any order if a further question may be asked, else those in the cache."""
        free = self._may_ask
        misses: list[Ship] = []
        missed: list[Item] = []
        while len(self._promises) + len(self._takes) < MOST_PROMISED and len(misses) < MOST_IN_ASK:
            taken = self._waiting.next(
                lambda lane, order: free or self._may_take(turn, lane) or self._offer(turn, lane, order) is not None
            )
            if taken is None:
                break
            lane, order = taken
            lot = self._offer(turn, lane, order)
            if self._may_take(turn, lane):
                self._takes.take(turn, order)
            elif lot is not None:
                self._promise(turn, order, lot)
            else:
                turn.note(events.Taken(order.order_id, order.item, to="warehouse", units=order.units))
                misses.append(Ship(order, None))
                missed += [order.item] * order.units
        if free:
            self._put_question(turn, misses, missed)

    def _offer(self, turn: Turn, lane: str, order: Order) -> Lot | None:
        """The lot from which this order, in this lane, may be promised."""
        if lane not in ITEMS or not self._may_promise(turn):
            return None
        return self._cache.offer(lane, order.units)

    def _may_promise(self, turn: Turn) -> bool:
        return not self._cache.leased or turn.now < self._lease_until

    def _may_take(self, turn: Turn, lane: str) -> bool:
        """Whether the shared cache may be asked for the units of an order in this lane."""
        return self._takes.possible and lane in ITEMS and self._may_promise(turn)

    def cached(self, turn: Turn, take: Take, result: Result) -> None:
        """This came of asking the shared cache. The buyer is told before the lease ends, or not at all (`_promise`)."""
        given = self._takes.taken(turn, take, result)
        if given is not None:
            self._promise(turn, *given)

    def _promise(self, turn: Turn, order: Order, lot: Lot) -> None:
        turn.note(events.Taken(order.order_id, order.item, "cache", lot.deposit_id, lot.count, units=order.units))
        promised = Promised(order, lot)
        turn.keep(promised)
        # First the journal, then the lease, then the buyer: a successor reads the journal after the lease, and finds it.
        before = self._lease_until if self._cache.leased else None
        price_cents = order.units * lot.price_cents
        told = Purchased(order.order_id, order.item, lot.seller, price_cents, final=False, units=order.units)
        turn.send(order.buyer, told, before)
        self._promises.add(turn.now, promised, before)
        self._waiting.told(turn.now, order.order_id)
        self._cache.promised(lot, order.units)
        self._cache.served()

    # ---------------------------------------------------------------------------- asking the warehouse
    def _put_question(self, turn: Turn, misses: list[Ship], missed: list[Item]) -> None:
        wanted = self._cache.wants(missed, turn.now)
        adoptions = [adopt for adopt in self._succession.adoptions.values() if not self._questions.under_way(adopt)]
        urgent: list[Request] = [*misses, *wanted]
        urgent += self._takes.to_say
        if not (adoptions or self._deposits or urgent or turn.now >= self._promises.settle_at):
            return
        # All promises go into the question, so that no promised unit is given back.
        requests = (*adoptions, *self._deposits, *self._promises.untold, *urgent)
        self._deposits.clear()
        self._promises.told()
        self._takes.said()
        if Read(ITEMS) in wanted:
            turn.note(events.Pulled())
        self._questions.ask(turn, requests)

    def on_answer(self, turn: Turn, source: str, body: Answer) -> None:
        answered = self._questions.answered(turn, body)
        if answered is None:
            return
        requests, asked_at = answered
        if body.written:
            self._lease_until = asked_at + self._settings.lease_s
        self._takes.begin(body.epoch)
        before = counts_of(self._cache.lots())
        for request, reply in zip(requests, body.replies, strict=True):
            match request, reply:
                case Ship(), (Shipped() | Denied() | Scarce()):
                    self._outcomes.decided(turn, request, reply, body.position)
                case Stock(lot), Stocked(deposit_id):
                    self._cache.hear(lot)
                    self._opening.on_sale(lot.seller)
                    turn.send(lot.seller, Deposited(deposit_id))
                    self._others.on_sale(turn, lot.seller)
                case ((Read() | Acquire() | GiveBack()), Shelves(items, lots)):
                    self._cache.learn(items, lots)
                case EpochEnded(), Heeded():
                    pass
                case Adopt(seat), Adopted():
                    self._succession.adoptions.pop(seat, None)
                case _:
                    raise RuntimeError(f"the warehouse answered {request} with {reply}")
        if learned := difference(before, counts_of(self._cache.lots())):
            turn.note(events.Learned(body.position, learned))

    # ------------------------------------------------------------------------------------ the messages
    def on_buy(self, turn: Turn, source: str, body: Buy) -> None:
        if body.order_id in self._waiting:
            if body.again:
                self._promises.ask_again(body.order_id)
            return
        if self._waiting.is_full:
            turn.note(events.TurnedAway(body.order_id, source))
            return
        order = Order(body.order_id, source, body.item, turn.sent, body.units)
        turn.keep(Queued(order))
        self._waiting.take_in(turn.now, order.order_id)
        self._waiting.put(turn, events.Queued, order, sure=body.again)

    def on_deposit(self, turn: Turn, source: str, body: Deposit) -> None:
        lot = Lot(body.deposit_id, source, body.item, body.price_cents, turn.sent, body.count)
        self._deposits.append(Stock(lot))

    def on_take_over(self, turn: Turn, source: str, body: TakeOver) -> None:
        self.copies[body.seat] = body.copy
        self._succession.take_over(turn, body.seat)

    def on_recall(self, turn: Turn, source: str, body: Recall) -> None:
        self._cache.recalled(body.item)

    def on_end_epoch(self, turn: Turn, source: str, body: EndEpoch) -> None:
        self._takes.end(body.before)

    def on_freed(self, turn: Turn, source: str, body: Freed) -> None:
        self._waiting.freed(turn, body.item)

    def on_reopened(self, turn: Turn, source: str, body: Reopened) -> None:
        self._waiting.all_freed(turn)  # the new warehouse does not know who waits
        self._questions.repeat(turn)

    def on_registered(self, turn: Turn, source: str, body: Registered) -> None:
        self._opening.on_sale(body.seller)

    def on_cache_update(self, turn: Turn, source: str, body: CacheUpdate) -> None:
        turn.note(events.HeardPush(source, counts_of(body.lots)))
        for lot in body.lots:
            self._cache.hear(lot)

    handles: ClassVar = {
        Answer: on_answer,
        Buy: on_buy,
        Deposit: on_deposit,
        TakeOver: on_take_over,
        Recall: on_recall,
        EndEpoch: on_end_epoch,
        Freed: on_freed,
        Reopened: on_reopened,
        Registered: on_registered,
        CacheUpdate: on_cache_update,
    }
