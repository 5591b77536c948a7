"""A buyer: picks an item and a trader at random, orders, waits for the answer, thinks, goes on (requirements C3, C5, C6).

An order keeps its name through every retry. The first answer ends the waiting; a later `Oversold` takes a purchase back.
Once an order was repeated, only an answer from the ledger counts: another trader may have been refused the order long ago,
and a cache may still promise it.

An order placed by hand is an order of this buyer, for an item that somebody else picks. It takes the next free place of the
window, without thinking, and comes on top of the quota.

In a bazaar that has a name, an order that is refused at home for good goes abroad, to the own embassy (`peers/embassy`), as
an order of its own. It keeps its place in the window until it is answered, or has waited so long that the buyer goes on
without knowing what became of it. It is never called unavailable then, because it may have been bought.
"""

from __future__ import annotations

import bisect
import random
from collections import deque
from typing import Any, ClassVar

import msgspec

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife
from bazaar.protocol.goods import ITEMS, MOST_ORDERED, Item, embassy_of, name_abroad
from bazaar.protocol.messages import (
    AskAgain,
    BoughtAbroad,
    Buy,
    BuyAbroad,
    MarketOpen,
    Oversold,
    Purchased,
    Unavailable,
    UnavailableAbroad,
)
from bazaar.protocol.settings import Settings
from bazaar.protocol.workload import workload
from peers.role import Trading, one_of_the_items

PATIENCE_ABROAD = 3  # timeouts of an answer, after which a buyer goes on without one from abroad


class Abroad(msgspec.Struct):
    """An order abroad without an answer."""

    item: Item
    units: int
    repeat_at: float
    give_up_at: float
    """When the buyer goes on without an answer; infinity if it has done so."""


class Outstanding(msgspec.Struct):
    """An order without an answer."""

    item: Item
    trader: str
    repeat_at: float
    again: bool
    units: int = 1


class ByHand(msgspec.Struct):
    """An order placed by hand, and its outcome."""

    item: Item
    order_id: str = ""
    """Empty while the order waits for a place in the window."""
    outcome: str = ""
    """At first empty; "purchased", "unavailable" or "oversold"; "not placed" if the buyer orders nothing any more."""
    seller: str = ""
    """The first seller, if the units are of several."""
    price_cents: int = 0
    """The price of all units."""
    units: int = 1


class Buyer(Trading):
    """Keeps `window` orders outstanding until its quota is answered."""

    def __init__(
        self,
        me: str,
        item: Item,
        settings: Settings,
        quota: float,
        rng: random.Random,
        former: FormerLife = FIRST_LIFE,
    ) -> None:
        self._me = me
        self._settings = settings
        self._rng = rng
        self._quota = former.clock + quota - former.placed  # the serial number to stop at; infinity for no end
        self._next_item = item
        self._traders: tuple[str, ...] = ()
        self._serial = former.clock
        # In a further life the orders that the former one waited for come first, as soon as there is a trader.
        self._outstanding = {
            order_id: Outstanding(order.item, "", NEVER, True, order.units)
            for order_id, order in former.unanswered.items()
        }
        self._thinking: list[float] = []  # when each free place of the window is used again, in this order
        self._in_doubt = {order_id for order_id, order in former.unanswered.items() if order.in_doubt}
        """Orders that are asked again although they were answered."""
        self._may_order = former != FIRST_LIFE  # in a first life not until a trader says that the market is open
        self._has_begun = False
        self._load = workload(settings.load) if settings.load is not None else None
        self._began_at: float | None = None  # the time from which the workload counts
        self._waiting: deque[ByHand] = deque()  # orders by hand that wait for a place in the window
        self._placed: dict[str, ByHand] = {}  # placed orders by hand without an answer
        self._finished = False
        self._abroad = {
            order_id: Abroad(order.item, order.units, NEVER, NEVER) for order_id, order in former.abroad.items()
        }
        self.answered = 0
        self.retired = False

    @property
    def done(self) -> bool:
        return self.idle

    @property
    def idle(self) -> bool:
        waits = self._outstanding or any(order.give_up_at < NEVER for order in self._abroad.values())
        return not waits and (self._serial >= self._quota or self.retired)

    @property
    def deadline(self) -> float:
        abroad_at = min((min(order.repeat_at, order.give_up_at) for order in self._abroad.values()), default=NEVER)
        if not self._traders:
            return abroad_at
        # Orders are placed in their turn and all wait equally long, so the first in the dict is the first to repeat.
        repeat_at = next((order.repeat_at for order in self._outstanding.values()), NEVER)
        orders = self._thinking and self._serial < self._quota and not self.retired
        order_at = NEVER if not orders else 0.0 if self._waiting else self._thinking[0]
        return min(repeat_at, order_at, abroad_at)

    def order(self, item: Any, units: Any = 1) -> ByHand:
        """Takes an order by hand. It is placed as soon as there is room in the window.

        Raises `ValueError` for an item that nobody sells or a number of units that nobody may order, and `RuntimeError` if
        this buyer orders nothing any more.
        """
        item = one_of_the_items(item)
        if type(units) is not int or not 1 <= units <= MOST_ORDERED:
            raise ValueError(f"units must be a whole number from 1 to {MOST_ORDERED}, not {units!r}")
        if self._finished:
            raise RuntimeError(f"{self._me} orders nothing any more: the run is coming to its end")
        hand = ByHand(item, units=units)
        self._waiting.append(hand)
        self._quota += 1
        return hand

    def _send_away(self) -> None:
        """Drops the orders by hand that wait for a place, because this buyer orders nothing any more."""
        for hand in self._waiting:
            hand.outcome = "not placed"
        self._quota -= len(self._waiting)
        self._waiting.clear()

    def traders_changed(self, turn: Turn, traders: tuple[str, ...]) -> None:
        self._traders = traders
        if self.retired:
            self._send_away()
        self._begin(turn)
        for order_id, order in list(self._outstanding.items()):
            if traders and order.trader not in traders:  # a former trader will hardly answer
                self._repeat(turn, order_id, order.item, order.units)

    def _begin(self, turn: Turn) -> None:
        """Uses the free places of its window for the first time, as soon as it may order."""
        if self._traders and self._may_order and not self._has_begun:
            self._has_begun = True
            # An answer to an order of a former life may have come before, and have sent that order abroad in this one.
            former = {order_id: order for order_id, order in self._abroad.items() if order.give_up_at == NEVER}
            taken = len(self._outstanding.keys() - self._in_doubt) + len(self._abroad) - len(former)
            self._thinking = [turn.now] * (self._settings.window - taken)
            for order_id, order in former.items():  # those hold no place
                turn.note(events.UnknownAbroad(order_id, order.item, units=order.units))
                order.repeat_at = turn.now

    def finish(self, turn: Turn) -> None:
        self._send_away()
        self._finished = True
        self._quota = self._serial
        for order in self._abroad.values():
            if order.give_up_at == NEVER:
                order.repeat_at = NEVER

    def tick(self, turn: Turn) -> None:
        for order_id, abroad in self._abroad.items():
            self._wait_abroad(turn, order_id, abroad)
        if not self._traders:
            return
        while self._thinking and self._serial < self._quota and not self.retired:
            if not self._waiting and self._thinking[0] > turn.now:
                break
            self._thinking.pop(0)
            self._order(turn)
        for order_id, order in list(self._outstanding.items()):
            if order.repeat_at > turn.now:
                break
            self._repeat(turn, order_id, order.item, order.units)

    def _order(self, turn: Turn) -> None:
        order_id = f"{self._me}-{self._serial}"
        self._serial += 1
        if self._waiting:
            hand = self._placed[order_id] = self._waiting.popleft()
            hand.order_id = order_id
            self._send(turn, order_id, hand.item, hand.units, again=False, by_hand=True)
            return
        item = self._next_item
        self._next_item = self._rng.choice(ITEMS)
        least, most = self._settings.fewest_and_most_units
        units = self._rng.randint(least, most) if most > least else least  # a fixed number draws nothing
        self._send(turn, order_id, item, units, again=False)

    def _repeat(self, turn: Turn, order_id: str, item: Item, units: int) -> None:
        self._outstanding.pop(order_id, None)
        self._send(turn, order_id, item, units, again=True)

    def _send(self, turn: Turn, order_id: str, item: Item, units: int, again: bool, by_hand: bool = False) -> None:
        trader = self._rng.choice(self._traders)
        turn.note((events.Repeated if again else events.Ordered)(order_id, item, trader, by_hand, units=units))
        turn.send(trader, Buy(order_id, item, again, units))
        repeat_at = turn.now + self._settings.answer_timeout_s
        self._outstanding[order_id] = Outstanding(item, trader, repeat_at, again, units)

    # ------------------------------------------------------------------------------------------ abroad
    def _go_abroad(self, turn: Turn, refused: str, item: Item, units: int) -> bool:
        """Sends an order that was refused at home abroad, if there is an embassy. It is known there by a name of its own."""
        home = self._settings.name
        if home is None or self._finished or self.retired or len(self._abroad) >= self._settings.window:
            return False
        order_id = name_abroad(refused, home)
        self._abroad[order_id] = order = Abroad(
            item, units, turn.now, turn.now + PATIENCE_ABROAD * self._settings.answer_timeout_s
        )
        self._wait_abroad(turn, order_id, order)
        return True

    def _wait_abroad(self, turn: Turn, order_id: str, order: Abroad) -> None:
        """Repeats an order abroad when it is time to, and goes on without an answer when it has waited for too long."""
        if order.repeat_at <= turn.now and self._settings.name is not None:
            order.repeat_at = turn.now + self._settings.answer_timeout_s
            turn.note(events.AskedAbroad(order_id, order.item, units=order.units))
            turn.send(embassy_of(self._settings.name), BuyAbroad(order_id, order.item, order.units))
        if order.give_up_at <= turn.now:
            order.give_up_at = NEVER
            order.repeat_at = NEVER if self._finished else order.repeat_at
            turn.note(events.UnknownAbroad(order_id, order.item, units=order.units))
            self._think(turn)

    def _answered_abroad(self, turn: Turn, order_id: str) -> bool:
        """Ends the waiting for this order abroad; False if it was answered already."""
        order = self._abroad.pop(order_id, None)
        if order is not None and order.give_up_at < NEVER:
            self._think(turn)
        return order is not None

    def on_bought_abroad(self, turn: Turn, source: str, body: BoughtAbroad) -> None:
        if self._answered_abroad(turn, body.order_id):
            told = body.order_id, body.item, body.seller, body.price_cents, body.others
            turn.note(events.BoughtAbroad(*told, units=body.units))

    def on_unavailable_abroad(self, turn: Turn, source: str, body: UnavailableAbroad) -> None:
        if self._answered_abroad(turn, body.order_id):
            turn.note(events.UnavailableAbroad(body.order_id, body.item, units=body.units))

    def _answered(self, turn: Turn, order_id: str, final: bool = True) -> bool:
        """Ends the waiting for this order; False if it had ended already, or the answer does not count."""
        order = self._outstanding.get(order_id)
        if order is None or (order.again and not final):
            return False
        del self._outstanding[order_id]
        if order_id in self._in_doubt:
            self._in_doubt.discard(order_id)
        else:
            self.answered += 1
            self._think(turn)
        return True

    def _think(self, turn: Turn) -> None:
        """Frees a place of the window after a pause. Under a workload a later pause may be over sooner."""
        bisect.insort(self._thinking, turn.now + self._think_s(turn.now))

    def _think_s(self, now: float) -> float:
        if self._load is None:
            return self._settings.think_s
        if self._began_at is None:
            self._began_at = now
        # At random, as people do: with equal pauses all orders of a window would come in one burst, again and again.
        return self._rng.expovariate(1.0) * self._settings.think_s / self._load(now - self._began_at)

    def _tell(self, order_id: str, outcome: str, seller: str = "", price_cents: int = 0) -> None:
        """Records the first answer to an order, if it was placed by hand, for whoever placed it."""
        if (hand := self._placed.pop(order_id, None)) is not None:
            hand.outcome, hand.seller, hand.price_cents = outcome, seller, price_cents

    # ------------------------------------------------------------------------------------ the messages
    def on_purchased(self, turn: Turn, source: str, body: Purchased) -> None:
        if self._answered(turn, body.order_id, body.final):
            turn.note(
                events.Purchased(
                    body.order_id, body.item, body.seller, body.price_cents, body.final, body.others, units=body.units
                )
            )
            self._tell(body.order_id, "purchased", body.seller, body.price_cents)

    def on_unavailable(self, turn: Turn, source: str, body: Unavailable) -> None:
        stays_home = body.order_id in self._in_doubt or body.order_id in self._placed
        if self._answered(turn, body.order_id):
            turn.note(events.FoundUnavailable(body.order_id, body.item, units=body.units))
            self._tell(body.order_id, "unavailable")
            if not stays_home and self._go_abroad(turn, body.order_id, body.item, body.units):
                self._thinking.pop()  # a place in the window is not free yet
            if self._next_item == body.item:  # it picks another item
                self._next_item = self._rng.choice([item for item in ITEMS if item != body.item])

    def on_oversold(self, turn: Turn, source: str, body: Oversold) -> None:
        self._answered(turn, body.order_id)
        turn.note(events.Revoked(body.order_id, body.item, source, units=body.units))
        self._tell(body.order_id, "oversold")

    def on_ask_again(self, turn: Turn, source: str, body: AskAgain) -> None:
        if body.order_id in self._outstanding:
            return
        self._in_doubt.add(body.order_id)  # it was answered before; the next answer replaces that one
        turn.note(events.Doubted(body.order_id, body.item, units=body.units))
        if self._traders:
            self._repeat(turn, body.order_id, body.item, body.units)
        else:  # it is sent as soon as there are traders again
            self._outstanding[body.order_id] = Outstanding(body.item, source, turn.now, True, body.units)

    def on_market_open(self, turn: Turn, source: str, body: MarketOpen) -> None:
        self._may_order = True
        self._begin(turn)

    handles: ClassVar = {
        MarketOpen: on_market_open,
        Purchased: on_purchased,
        Unavailable: on_unavailable,
        Oversold: on_oversold,
        AskAgain: on_ask_again,
        BoughtAbroad: on_bought_abroad,
        UnavailableAbroad: on_unavailable_abroad,
    }
