"""An embassy: through it a bazaar trades with other bazaars, each of which has its own name server, key, warehouse and ledger.

    buyer0 of north --> embassy@north --> embassy@south --> a trader of south --> the ledger of south
           <----------------- <------------------ <-------------------

A buyer that was refused at home for good sends its order abroad, under the name `buyer0@north-17`. The order belongs to the
ledger whose goods it takes, and to no other. So there is nothing to agree on, and no two-phase commit.

Towards its own market an embassy is a client like a buyer: it asks a trader, and repeats the order under the same name. It
marks each order as a repeat, so only the ledger answers it, never a cache. Another life of the embassy may have asked before,
and a promise that is taken back could not be taken back abroad.

An embassy keeps no books. Who repeats is the buyer, and the ledger answers a repeat as it did before. The only thing that
an embassy must not forget is where it has sent an order: sent elsewhere, the order could be bought twice. It notes that in
its history before it sends anything, and reads it there in a further life.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec

from bazaar.core.clock import LamportClock
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Call, Result
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife
from bazaar.protocol.goods import WAREHOUSE, Item, Seat, buyer_of, embassy_of, home_of, is_embassy
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.messages import (
    BenchIs,
    BoughtAbroad,
    Buy,
    BuyAbroad,
    Heartbeat,
    Purchased,
    Unavailable,
    UnavailableAbroad,
    WhoTrades,
)
from bazaar.protocol.plan import Plan
from bazaar.protocol.wire import Letter


class Served(msgspec.Struct):
    """An order of another bazaar that the own market has yet to answer."""

    item: Item
    units: int
    trader: str = ""
    """Empty: none is asked yet."""
    repeat_at: float = 0.0


class Embassy:
    """The embassy of one bazaar. It is an actor like a peer, but takes no part in elections."""

    answered = 0
    done = True

    def __init__(self, plan: Plan, treaties: Iterable[str] = (), former: FormerLife = FIRST_LIFE) -> None:
        """`treaties`: the bazaars that this one joins. Others may join this one."""
        assert plan.settings.name is not None
        self.bazaar = plan.settings.name
        self.name = embassy_of(self.bazaar)
        self.clock = LamportClock()
        self._settings = plan.settings
        self._rng: random.Random = plan.random_for(self.name)
        self._joins = tuple(treaties)
        self._abroad = list(dict.fromkeys((*self._joins, *former.met)))
        self._sent = dict(former.sent_abroad)
        """By order of the own bazaar, the bazaars that were asked, in this order. All but the last have refused it."""
        self._served: dict[str, Served] = {}
        self._traders: tuple[str, ...] = ()
        self._who_at = NEVER  # when to ask who trades
        self._beat_at = NEVER
        self._finished = False

    @property
    def partners(self) -> tuple[str, ...]:
        """The bazaars that this one knows."""
        return tuple(self._abroad)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest."""
        repeat_at = min((order.repeat_at for order in self._served.values() if order.trader), default=NEVER)
        return min(self._beat_at, self._who_at if self._served else NEVER, repeat_at)

    @property
    def idle(self) -> bool:
        """Whether the own market has answered every order of another bazaar."""
        return not self._served

    def begin(self, turn: Turn) -> None:
        """Everybody is there: asks who trades, and lets the other bazaars know of this one."""
        self._beat_at = turn.now
        self._who_at = turn.now

    def finish(self, turn: Turn) -> None:
        """Takes no further order of another bazaar."""
        self._finished = True

    def cached(self, turn: Turn, call: Call, result: Result) -> None:
        """Nothing: an embassy asks no cache."""

    def tied(self, neighbours: tuple[str, ...]) -> None:
        """Nothing: an embassy is nobody's neighbour."""

    def resign(self, turn: Turn) -> None:
        """Nothing: an embassy has no seat."""

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Nothing: an embassy reads no journals."""

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """Handles a message of the own market, or of another embassy."""
        turn.witness(source, letter)
        if is_embassy(source) and home_of(source) not in self._abroad:
            self._abroad.append(home_of(source))
            turn.note(events.Met(home_of(source)))
        handler = self.handles.get(type(letter.body))
        if handler is None:
            turn.note(events.Unexpected(type(letter.body).__name__))
        else:
            handler(self, turn, source, letter.body)

    def tick(self, turn: Turn) -> None:
        """Does what is due."""
        turn.unprompted()
        if turn.now >= self._beat_at:
            self._beat_at = turn.now + self._settings.suspect_after_s
            for bazaar in self._joins:
                turn.send(embassy_of(bazaar), Heartbeat())
        if not self._served:
            return
        if turn.now >= self._who_at:
            self._who_at = turn.now + self._settings.heartbeat_s
            turn.send(WAREHOUSE, WhoTrades())
        for order_id, order in self._served.items():
            if order.repeat_at <= turn.now:
                self._ask(turn, order_id, order)

    # ---------------------------------------------------------------------- orders of other bazaars
    def _serve(self, turn: Turn, body: BuyAbroad) -> None:
        if self._finished or body.order_id in self._served:
            return
        order = self._served[body.order_id] = Served(body.item, body.units)
        self._ask(turn, body.order_id, order)

    def _ask(self, turn: Turn, order_id: str, order: Served) -> None:
        """Sends the order to a trader. If none is known, it waits for the next word of who trades."""
        order.trader = self._rng.choice(self._traders) if self._traders else ""
        order.repeat_at = turn.now + self._settings.answer_timeout_s if order.trader else NEVER
        if order.trader:
            turn.note(events.OrderedFor(order_id, order.item, order.trader, units=order.units))
            turn.send(order.trader, Buy(order_id, order.item, True, order.units))

    def on_bench(self, turn: Turn, source: str, body: BenchIs) -> None:
        self._traders = body.bench.traders if not body.bench.vacant else ()
        for order_id, order in self._served.items():
            if order.trader not in self._traders:  # a former trader will hardly answer
                self._ask(turn, order_id, order)

    def on_purchased(self, turn: Turn, source: str, body: Purchased) -> None:
        if body.final and self._served.pop(body.order_id, None) is not None:
            seller, *others = (f"{name}@{self.bazaar}" for name in (body.seller, *body.others))
            turn.note(
                events.AnsweredFor(body.order_id, body.item, seller, body.price_cents, tuple(others), units=body.units)
            )
            answer = BoughtAbroad(body.order_id, body.item, seller, body.price_cents, body.units, tuple(others))
            turn.send(embassy_of(_home_of_order(body.order_id)), answer)

    def on_unavailable(self, turn: Turn, source: str, body: Unavailable) -> None:
        if self._served.pop(body.order_id, None) is not None:
            turn.note(events.AnsweredFor(body.order_id, body.item, units=body.units))
            answer = UnavailableAbroad(body.order_id, body.item, body.units)
            turn.send(embassy_of(_home_of_order(body.order_id)), answer)

    # ----------------------------------------------------------------- orders of the own bazaar
    def _send_abroad(self, turn: Turn, body: BuyAbroad | UnavailableAbroad) -> None:
        """Sends the order to the first bazaar that was not asked. If none is left, the buyer is told so."""
        asked = self._sent.get(body.order_id, ())
        bazaar = next((bazaar for bazaar in self._abroad if bazaar not in asked), None)
        if bazaar is None:
            turn.send(_buyer_of(body.order_id), UnavailableAbroad(body.order_id, body.item, body.units))
            return
        self._sent[body.order_id] = (*asked, bazaar)
        turn.note(events.SentAbroad(body.order_id, body.item, bazaar, units=body.units))
        turn.send(embassy_of(bazaar), BuyAbroad(body.order_id, body.item, body.units))

    def on_buy_abroad(self, turn: Turn, source: str, body: BuyAbroad) -> None:
        if is_embassy(source):
            self._serve(turn, body)
        elif body.order_id in self._sent:  # a repeat goes where the order went: nowhere else can it be safe
            turn.send(embassy_of(self._sent[body.order_id][-1]), body)
        else:
            self._send_abroad(turn, body)

    def on_bought_abroad(self, turn: Turn, source: str, body: BoughtAbroad) -> None:
        turn.send(_buyer_of(body.order_id), body)

    def on_unavailable_abroad(self, turn: Turn, source: str, body: UnavailableAbroad) -> None:
        if self._sent.get(body.order_id, ("",))[-1] == home_of(source):
            self._send_abroad(turn, body)

    def on_heartbeat(self, turn: Turn, source: str, body: Heartbeat) -> None:
        """Nothing more: whoever is heard is known."""

    handles: ClassVar[dict[type, Callable[[Any, Turn, str, Any], None]]] = {
        BenchIs: on_bench,
        Purchased: on_purchased,
        Unavailable: on_unavailable,
        BuyAbroad: on_buy_abroad,
        BoughtAbroad: on_bought_abroad,
        UnavailableAbroad: on_unavailable_abroad,
        Heartbeat: on_heartbeat,
    }


def _buyer_of(order_id: str) -> str:
    return buyer_of(order_id).partition("@")[0]


def _home_of_order(order_id: str) -> str:
    return home_of(buyer_of(order_id))
