"""The warehouse: the one actor that decides (requirement D1). Its store is the ledger.

The warehouse is an actor like the peers: letters in, effects out. All requests that arrive while the last entries are
being made durable are decided in the next turn and appended in one write, so batches of several traders merge by
themselves. The projection contains a decision at once, but nobody is told of it before its entry is durable. If the write
fails, the process ends, and its successor rebuilds the projection from what the ledger really holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from bazaar.core.cache import POLICIES
from bazaar.core.clock import LamportClock
from bazaar.core.epochs import Epochs
from bazaar.core.ledger import Ledger
from bazaar.core.ledger.stock import POOL, nowhere
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Call, Fill, Result
from bazaar.protocol.entries import AnyEntry, Denial, DeposeEntry, Sale
from bazaar.protocol.goods import CACHE, ITEMS, WAREHOUSE, Item, Seat
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.messages import Answer as AnswerMessage
from bazaar.protocol.messages import (
    Ask,
    BenchIs,
    Claim,
    Depose,
    Deposed,
    EpochLost,
    Freed,
    KeeperIs,
    NameKeeper,
    Recall,
    Reopened,
    Resize,
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
    Reply,
    Request,
    Scarce,
    Shelves,
    Ship,
    Stock,
    Stocked,
)
from bazaar.protocol.settings import Settings
from bazaar.protocol.wire import Letter

LEAST_SHARE = 4  # units; recalling a smaller grant costs more than it saves in questions
LEASE_MARGIN = 1.25  # the clocks of two processes may differ in speed by a fifth


class Warehouse:
    """Built from the entries that the ledger holds already."""

    name = WAREHOUSE
    answered = 0
    done = True

    def __init__(
        self,
        names: tuple[str, ...],
        settings: Settings,
        entries: Iterable[AnyEntry] = (),
        entry_of: Callable[[str], Sale | Denial] = nowhere,
    ) -> None:
        """`entry_of` finds, in the store, the entry by which an order was answered long ago."""
        self.clock = LamportClock()
        self.ledger = Ledger(
            names, settings.traders, settings.election == "simultaneous", entry_of, settings.traders_max
        )
        for entry in entries:
            self.ledger.apply(entry)
        self._remote = POLICIES[settings.cache].remote
        self._epochs = Epochs(self.ledger, self._append)
        self._keeper = settings.keeper
        self._lease_s = settings.lease_s * LEASE_MARGIN
        self._leases: dict[Seat, float] = {}  # until when a tenure may sell what it was granted
        self._held_up: set[Seat] = set()  # queues that wait for the end of a lease
        self._read_again: dict[Seat, str] = {}  # queues to be read once more at the end, each with who took it over
        self._began_at = NEVER  # letters may come before `begin`; until then no lease counts as over
        self._waiting: dict[Item, dict[str, int]] = {item: {} for item in ITEMS}
        """The traders that were told `Scarce` and have not asked again, each with how many units must be free before it can
        sell one of its orders; 0 once it was told `Freed`."""

    @property
    def idle(self) -> bool:
        """Whether no queue waits for somebody to take it over."""
        return not (self.ledger.seats.orphans or self._read_again)

    @property
    def deadline(self) -> float:
        """When the next queue can be handed on."""
        return min((self._over_at(seat) for seat in self._held_up), default=NEVER)

    def begin(self, turn: Turn) -> None:
        """Notes that the warehouse is connected to its store, by its builder. In a further life, also tells the traders."""
        self._began_at = turn.now
        turn.note(events.Connected(self.ledger.position))
        for trader in self.ledger.seats.bench.traders:
            turn.send(trader, Reopened())
        self._epochs.begin(turn)
        self._pass_on(turn, None)

    def finish(self, turn: Turn) -> None:
        """Has the queues that were taken over read once more.

        A trader that is cut off promises from its cache until it hears that it was deposed. Then it tells its buyers to ask
        again. But if it is killed before that, its last promises are in its journal alone. (With `--keeper` none are: no
        promise leaves once an heir has read.)
        """
        self._read_again = {} if self._keeper else dict(self.ledger.seats.adopted)
        self._pass_on(turn, None)

    def tied(self, neighbours: tuple[str, ...]) -> None:
        """Nothing: the warehouse takes no part in elections."""

    def resign(self, turn: Turn) -> None:
        """Nothing: the warehouse has no seat."""

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Nothing: the warehouse reads no journals."""

    def tick(self, turn: Turn) -> None:
        """Hands on the queues of those whose lease has run out by now."""
        for seat in [seat for seat in self._held_up if self._over_at(seat) <= turn.now]:
            self._held_up.discard(seat)
            self._pass_on(turn, None)

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """Decides what a peer asks."""
        turn.witness(source, letter)
        body = letter.body
        handler = self.handles.get(type(body))
        if handler is None:
            turn.note(events.Unexpected(type(body).__name__))
        else:
            handler(self, turn, source, body)

    def _who_trades(self, turn: Turn, source: str, body: WhoTrades) -> None:
        turn.send(source, BenchIs(self.ledger.seats.bench))
        self._pass_on(turn, source)
        self._epochs.remind(turn, source)

    def _claim(self, turn: Turn, source: str, body: Claim) -> None:
        appoint = self.ledger.seats.decide_seat(source, body.round, body.seat)
        if appoint is not None:
            self._append(turn, appoint)
            turn.note(events.Appointed(source, appoint.seat))
        turn.send(source, BenchIs(self.ledger.seats.bench))

    def _depose(self, turn: Turn, source: str, body: Depose) -> None:
        fall = self.ledger.seats.decide_fall(body.seat, source)
        if fall is None:
            turn.send(source, BenchIs(self.ledger.seats.bench))
            return
        self._fell(turn, source, fall)

    def _resize(self, turn: Turn, source: str, body: Resize) -> None:
        size = self.ledger.seats.decide_size(body.seats, body.position, source)
        if size is None:
            turn.send(source, BenchIs(self.ledger.seats.bench))
            return
        fewer = size.seats < len(self.ledger.seats.bench.traders)
        seat = self.ledger.seats.bench.youngest
        self._append(turn, size)
        turn.note(events.Resized(size.seats, source, body.wait_ms))
        fall = self.ledger.seats.decide_fall(seat, seat.peer) if fewer and seat is not None else None
        if fall is None:
            turn.send(source, BenchIs(self.ledger.seats.bench))
        else:
            self._fell(turn, source, fall)

    def _fell(self, turn: Turn, source: str, fall: DeposeEntry) -> None:
        self._append(turn, fall)
        turn.note(events.Deposed(fall.peer, fall.seat))
        for waiting in self._waiting.values():
            waiting.pop(fall.peer, None)
        turn.send(source, Deposed(Seat(fall.peer, fall.since), self.ledger.seats.bench))
        self._pass_on(turn, None)

    def _pass_on(self, turn: Turn, heir: str | None) -> None:
        """Tells `heir` (None: all heirs) which queues to take over. An heir that is told twice takes a queue over once.

        An heir is told only when the deposed trader can no longer be selling what it was granted. Only then may the heir read
        its journal.
        """
        for seat, trader in self._to_hand_on().items():
            if trader is None or heir not in (None, trader):
                continue
            if self._over_at(seat) <= turn.now:
                turn.send(trader, TakeOver(seat, self.ledger.seats.copies.get(seat)))
            else:
                self._held_up.add(seat)

    def _to_hand_on(self) -> dict[Seat, str | None]:
        """The queues to take over, or to read once more, each with the trader that has to (None: nobody yet)."""
        traders = self.ledger.seats.bench.traders
        somebody = next(iter(traders), None)
        again = {seat: heir if heir in traders else somebody for seat, heir in self._read_again.items()}
        return {**again, **self.ledger.seats.orphans}

    def _over_at(self, seat: Seat) -> float:
        """When a tenure's lease has run out. A lease from a former life of the warehouse counts from this one's beginning.

        A tenure that holds nothing can promise nothing, unless all take from a cache server.
        """
        if not (self._remote or self.ledger.stock.holds(seat)):
            return 0.0
        return self._leases.get(seat, self._began_at + self._lease_s)

    def _name_keeper(self, turn: Turn, source: str, body: NameKeeper) -> None:
        entry = self.ledger.seats.decide_keeper(body.copy)
        if entry is not None:
            self._append(turn, entry)
            turn.note(events.KeeperNamed(entry.peer, entry.keeper))
        named = self.ledger.seats.copies.get(body.copy.seat) == body.copy
        turn.send(source, KeeperIs(body.copy) if named else BenchIs(self.ledger.seats.bench))

    def _ask(self, turn: Turn, source: str, body: Ask) -> None:
        if not self.ledger.seats.is_trader(source):  # it lost its seat, and does not know that yet
            turn.note(events.Fenced(source, requests=len(body.requests)))
            turn.send(source, BenchIs(self.ledger.seats.bench))
            return
        before = self.ledger.position
        for request in body.requests:
            if isinstance(request, Ship) and request.deposit_id is None:
                self._waiting[request.order.item].pop(source, None)
        replies = tuple(self._reply(turn, source, request) for request in body.requests)
        written = self.ledger.position > before
        seat = self.ledger.seats.bench.seat_of(source)
        if written and seat is not None and (self._remote or self.ledger.stock.holds(seat)):
            self._leases[seat] = turn.now + self._lease_s
        self._epochs.settle(turn)
        epoch = -1 if self._epochs.open is None else self._epochs.open
        turn.send(source, AnswerMessage(body.number, replies, written, self.ledger.position, epoch))
        self._relieve(turn)

    def _reply(self, turn: Turn, trader: str, request: Request) -> Reply:
        match request:
            case Ship():
                return self._ship(turn, trader, request)
            case Stock(lot):
                deposit = self.ledger.stock.decide_deposit(lot, trader)
                if deposit is not None:
                    self._append(turn, deposit)
                    turn.note(events.Stocked(lot.item, lot.count, lot.seller))
                return Stocked(lot.deposit_id)
            case Adopt(seat):
                self._read_again.pop(seat, None)
                adoption = self.ledger.seats.decide_adoption(seat, trader)
                if adoption is not None:
                    self._append(turn, adoption)
                    turn.note(events.Adopted(seat.peer, by=trader))
                return Adopted()
            case Read(items):
                return self.ledger.stock.shelves(items)
            case EpochEnded(before):
                self._epochs.ended(trader, before)
                return Heeded()
            case Acquire(item, count) if self._remote:
                self._fill(turn, trader, item, count)
                return Shelves((item,), ())
            case Acquire(item, count):
                return self._grant(turn, trader, item, count)
            case GiveBack(item):
                while (back := self.ledger.stock.decide_return(item, trader)) is not None:
                    self._append(turn, back)
                    turn.note(events.Returned(item, back.count, trader))
                return Shelves((item,), ())

    def _grant(self, turn: Turn, trader: str, item: Item, count: int) -> Shelves:
        """Grants what the trader lacks to `count` units, up to its share of the free ones. The last goods stay free."""
        holds = sum(lot.count for lot in self.ledger.stock.holdings(trader, item))
        share = self.ledger.stock.free(item) // (2 * len(self.ledger.seats.bench.traders))
        spared = share >= LEAST_SHARE and self._waiting[item].keys() <= {trader}
        wanted = min(count - holds, share) if spared else 0
        while wanted > 0 and (grant := self.ledger.stock.decide_grant(item, wanted, trader)) is not None:
            self._append(turn, grant)
            turn.note(events.Granted(item, grant.count, trader))
            wanted -= grant.count
        return Shelves((item,), self.ledger.stock.holdings(trader, item))

    def _fill(self, turn: Turn, trader: str, item: Item, count: int) -> None:
        """Fills the shared cache up to `count` for each trader, with half of the free units at most, and never the last."""
        holds = sum(lot.count for lot in self.ledger.stock.holdings(CACHE, item))
        share = self.ledger.stock.free(item) // 2
        if share >= LEAST_SHARE and self._waiting[item].keys() <= {trader}:
            self._epochs.fill(turn, item, min(count * len(self.ledger.seats.bench.traders) - holds, share))

    def cached(self, turn: Turn, call: Call, result: Result) -> None:
        """This came of filling the cache server."""
        turn.unprompted()
        if isinstance(call, Fill):
            self._epochs.filled(turn, call, result)
            self._relieve(turn)

    def _lost(self, turn: Turn, source: str, body: EpochLost) -> None:
        self._epochs.lost(turn, body.epoch)

    def _relieve(self, turn: Turn) -> None:
        """Tells the traders that wait for an item to ask again, if enough units are free or none are granted. Else recalls."""
        for item, waiting in self._waiting.items():
            needed = [units for units in waiting.values() if units]
            if not needed:
                continue
            holders = self.ledger.stock.holders(item)
            if self.ledger.stock.free(item) >= min(needed) or not holders:
                for trader in waiting:
                    turn.send(trader, Freed(item))
                self._waiting[item] = dict.fromkeys(waiting, 0)
            else:
                for seat in holders:
                    if seat == POOL:
                        self._epochs.end(turn, "scarce")
                    elif seat in self.ledger.seats.bench.seats:
                        turn.send(seat.peer, Recall(item))

    def _ship(self, turn: Turn, trader: str, request: Ship) -> Reply:
        order = request.order
        undecided = request.deposit_id is None and not self.ledger.stock.answered(order.order_id)
        if undecided and self.ledger.stock.holders(order.item) and self.ledger.stock.free(order.item) < order.units:
            waiting = self._waiting[order.item]
            waiting[trader] = min(order.units, waiting.get(trader, order.units))
            return Scarce()
        decision = self.ledger.stock.decide_order(order, request.deposit_id, trader)
        if decision is not None:
            self._append(turn, decision)
        answer = self.ledger.stock.answer(order.order_id)
        if decision is not None:
            match answer:
                case Denied("oversold"):
                    deposit_id = request.deposit_id or ""
                    turn.note(
                        events.Oversold(order.order_id, order.item, order.buyer, trader, deposit_id, units=order.units)
                    )
                case Denied("unavailable"):
                    turn.note(events.Unavailable(order.order_id, order.item, order.buyer, units=order.units))
                case _:
                    turn.note(events.Shipped(order.order_id, order.item, units=order.units))
        return answer

    def _append(self, turn: Turn, entry: AnyEntry) -> None:
        self.ledger.apply(entry)
        turn.keep(entry)

    handles: ClassVar[dict[type, Callable[[Any, Turn, str, Any], None]]] = {
        WhoTrades: _who_trades,
        Claim: _claim,
        Depose: _depose,
        Resize: _resize,
        NameKeeper: _name_keeper,
        Ask: _ask,
        EpochLost: _lost,
    }
