"""The warehouse: the one actor that decides (SPEC D1). Its store is the ledger.

An actor like the peers: letters in, effects out. All that arrives while the last entries are being made durable is
decided in the next turn and appended in one go, so batches of several traders merge by themselves. A decision is
believed here at once, but told to nobody before its entry is durable; if that fails the process ends, and its
successor rebuilds the projection from what the ledger really holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from bazaar.core.clock import LamportClock
from bazaar.core.ledger import Ledger
from bazaar.core.turn import Turn
from bazaar.records import (
    WAREHOUSE,
    Adopt,
    Adopted,
    AnyEntry,
    Ask,
    BenchIs,
    Claim,
    Denied,
    Depose,
    Deposed,
    JournalLine,
    Letter,
    Read,
    Reopened,
    Reply,
    Request,
    Seat,
    Ship,
    Stock,
    Stocked,
    TakeOver,
    WhoTrades,
)
from bazaar.records import Answer as AnswerMessage


class Warehouse:
    """Built from the entries that the ledger holds already."""

    name = WAREHOUSE
    deadline = float("inf")
    answered = 0
    done = True

    def __init__(
        self, names: tuple[str, ...], seats: int, entries: Iterable[AnyEntry] = (), one_round: bool = False
    ) -> None:
        self.clock = LamportClock()
        self.ledger = Ledger(names, seats, one_round)
        for entry in entries:
            self.ledger.apply(entry)

    @property
    def idle(self) -> bool:
        """Whether no queue waits for somebody to take it over."""
        return not self.ledger.orphans

    def begin(self, turn: Turn) -> None:
        """Says that it is there: whoever built it has connected it to its store. In a further life, also to the traders."""
        turn.note("connected", entries=self.ledger.position)
        for trader in self.ledger.bench.traders:
            turn.send(trader, Reopened())
        self._pass_on(turn, None)

    def finish(self, turn: Turn) -> None:
        """Nothing: the warehouse only answers."""

    def resign(self, turn: Turn) -> None:
        """Nothing: the warehouse has no seat."""

    def inherit(self, turn: Turn, seat: Seat, lines: Sequence[JournalLine]) -> None:
        """Nothing: the warehouse reads no journals."""

    def tick(self, turn: Turn) -> None:
        """Nothing: the warehouse only answers."""

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """Decides what a peer asks."""
        turn.witness(source, letter)
        body = letter.body
        handler = self.handles.get(type(body))
        if handler is None:
            turn.note("unexpected", message=type(body).__name__)
        else:
            handler(self, turn, source, body)

    def _who_trades(self, turn: Turn, source: str, body: WhoTrades) -> None:
        turn.send(source, BenchIs(self.ledger.bench))
        self._pass_on(turn, source)

    def _claim(self, turn: Turn, source: str, body: Claim) -> None:
        appoint = self.ledger.decide_seat(source, body.round, body.seat)
        if appoint is not None:
            self._append(turn, appoint)
            turn.note("appointed", peer=source, seat=appoint.seat)
        turn.send(source, BenchIs(self.ledger.bench))

    def _depose(self, turn: Turn, source: str, body: Depose) -> None:
        fall = self.ledger.decide_fall(body.seat, source)
        if fall is None:
            turn.send(source, BenchIs(self.ledger.bench))
            return
        self._append(turn, fall)
        turn.note("deposed", peer=fall.peer, seat=fall.seat)
        turn.send(source, Deposed(body.seat, self.ledger.bench))
        self._pass_on(turn, None)

    def _pass_on(self, turn: Turn, heir: str | None) -> None:
        """Tells `heir` (None: all of them) whose queues are theirs to take over. Told twice, they do it once."""
        for seat, trader in self.ledger.orphans.items():
            if trader is not None and heir in (None, trader):
                turn.send(trader, TakeOver(seat))

    def _ask(self, turn: Turn, source: str, body: Ask) -> None:
        if not self.ledger.is_trader(source):  # it lost its seat and has yet to learn it: nothing of this is done
            turn.note("fenced", peer=source, requests=len(body.requests))
            turn.send(source, BenchIs(self.ledger.bench))
            return
        replies = tuple(self._reply(turn, source, request) for request in body.requests)
        turn.send(source, AnswerMessage(body.number, replies))

    def _reply(self, turn: Turn, trader: str, request: Request) -> Reply:
        match request:
            case Ship():
                return self._ship(turn, trader, request)
            case Stock(lot):
                deposit = self.ledger.decide_deposit(lot, trader)
                if deposit is not None:
                    self._append(turn, deposit)
                    turn.note("stocked", item=lot.item, count=lot.count, seller=lot.seller)
                return Stocked(lot.deposit_id)
            case Adopt(seat):
                adoption = self.ledger.decide_adoption(seat, trader)
                if adoption is not None:
                    self._append(turn, adoption)
                    turn.note("adopted", peer=seat.peer, by=trader)
                return Adopted()
            case Read(items):
                return self.ledger.shelves(items)

    def _ship(self, turn: Turn, trader: str, request: Ship) -> Reply:
        order = request.order
        decision = self.ledger.decide_order(order, request.deposit_id, trader)
        if decision is not None:
            self._append(turn, decision)
        answer = self.ledger.answer(order.order_id)
        if decision is not None:
            if isinstance(answer, Denied):
                turn.note(answer.reason, order=order.order_id, item=order.item, buyer=order.buyer)
            else:
                turn.note("shipped", order=order.order_id, item=order.item)
        return answer

    def _append(self, turn: Turn, entry: AnyEntry) -> None:
        self.ledger.apply(entry)
        turn.keep(entry)

    handles: ClassVar[dict[type, Callable[[Any, Turn, str, Any], None]]] = {
        WhoTrades: _who_trades,
        Claim: _claim,
        Depose: _depose,
        Ask: _ask,
    }
