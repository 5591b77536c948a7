"""A seller: deposits goods with traders, hears what is sold, and brings new goods (requirements C1, C2, C5, C7)."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import msgspec

from bazaar.core.id_set import IdSet
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife
from bazaar.protocol.goods import ITEMS, Item, sellers_share
from bazaar.protocol.messages import Deposit, Deposited, OutOfStock, Sold
from bazaar.protocol.settings import Settings
from peers.role import Trading, one_of_the_items

LOWEST_PRICE, HIGHEST_PRICE = 5, 10  # dollars (requirement C1)
MOST_UNITS = 10**9  # of one deposit


class Handed(msgspec.Struct):
    """A deposit that no trader has confirmed yet."""

    deposit: Deposit
    trader: str
    repeat_at: float


class Seller(Trading):
    """Brings goods of an item other than its last one, every `restock_every_s` and whenever a product is sold out."""

    def __init__(
        self, me: str, item: Item, settings: Settings, rng: random.Random, former: FormerLife = FIRST_LIFE
    ) -> None:
        self._me = me
        self._settings = settings
        self._rng = rng
        self._item = item
        self._traders: tuple[str, ...] = ()
        self._first_serial = self._serial = former.clock
        self._handed: dict[str, Handed] = {}
        for deposit in former.offered:  # it is handed over as soon as there is a trader
            self._handed[deposit.deposit_id] = Handed(deposit, "", NEVER)
        self._counted: dict[Item, int] = {}  # by product, the ledger's position at the newest count that was heard
        self._restock_at = NEVER
        self._finished = False
        self.retired = False
        self.stock: dict[Item, list[int]] = {}
        """By item: how many units were booked in this life, and for how many it was credited."""
        self._credited = IdSet(former.credited)  # orders: after a retry a second trader may tell of the same sale

    @property
    def idle(self) -> bool:
        return not self._handed

    @property
    def deadline(self) -> float:
        if not self._traders:
            return NEVER
        restock_at = NEVER if self.retired else self._restock_at
        return min([restock_at, *(handed.repeat_at for handed in self._handed.values())])

    def traders_changed(self, turn: Turn, traders: tuple[str, ...]) -> None:
        if traders and self._restock_at == NEVER and not self._finished:
            self._restock_at = turn.now + (
                0 if self._serial > self._first_serial else self._settings.registration_delay_s
            )
        self._traders = traders
        for handed in list(self._handed.values()):
            if traders and handed.trader not in traders:
                self._hand_over(turn, handed.deposit)

    def finish(self, turn: Turn) -> None:
        self._restock_at = NEVER
        self._finished = True

    def tick(self, turn: Turn) -> None:
        if not self._traders:
            return
        if turn.now >= self._restock_at and not self.retired:
            self._restock_at = turn.now + self._settings.restock_every_s
            if self._serial > self._first_serial:  # the first goods were drawn before the market opened
                turn.note(events.SellerLoop())
                self._pick_another(turn)
            self._bring(turn)
        for handed in list(self._handed.values()):
            if turn.now >= handed.repeat_at:
                self._hand_over(turn, handed.deposit)

    def _pick_another(self, turn: Turn) -> None:
        self._item = self._rng.choice([item for item in ITEMS if item != self._item])
        turn.note(events.Picked(self._item))

    def _bring(self, turn: Turn) -> None:
        price_cents = 100 * self._rng.randint(LOWEST_PRICE, HIGHEST_PRICE)
        self._deposit(turn, self._item, self._settings.restock_count, price_cents)

    def _deposit(self, turn: Turn, item: Item, count: int, price_cents: int, by_hand: bool = False) -> events.Offered:
        deposit = Deposit(f"{self._me}-d{self._serial}", item, count, price_cents)
        self._serial += 1
        trader = self._hand_over(turn, deposit)
        offered = events.Offered(deposit.deposit_id, item, count, price_cents, trader, by_hand)
        turn.note(offered)
        return offered

    def offer(self, turn: Turn, item: Any, count: Any, price: Any) -> events.Offered:
        """Deposits goods that are offered by hand, for whole dollars. Returns the event that was noted.

        Raises `ValueError` for goods that no seller offers, and `RuntimeError` if nothing is deposited now.
        """
        item = one_of_the_items(item)
        if type(count) is not int or not 1 <= count <= MOST_UNITS:
            raise ValueError(f"count must be a whole number from 1 to {MOST_UNITS}, not {count!r}")
        if type(price) is not int or not LOWEST_PRICE <= price <= HIGHEST_PRICE:
            raise ValueError(f"price must be whole dollars from {LOWEST_PRICE} to {HIGHEST_PRICE}, not {price!r}")
        if self._finished:
            raise RuntimeError(f"{self._me} deposits nothing any more: the run is coming to its end")
        if not self._traders:
            raise RuntimeError("there are no traders yet; try again when they are elected")
        return self._deposit(turn, item, count, 100 * price, by_hand=True)

    def _hand_over(self, turn: Turn, deposit: Deposit) -> str:
        """Sends the deposit to a random trader. Returns the trader's name."""
        trader = self._rng.choice(self._traders)
        self._handed[deposit.deposit_id] = Handed(deposit, trader, turn.now + self._settings.answer_timeout_s)
        turn.send(trader, deposit)
        return trader

    # ------------------------------------------------------------------------------------ the messages
    def on_deposited(self, turn: Turn, source: str, body: Deposited) -> None:
        handed = self._handed.pop(body.deposit_id, None)
        if handed is not None:
            deposit = handed.deposit
            self.stock.setdefault(deposit.item, [0, 0])[0] += deposit.count
            turn.note(events.Registered(deposit.deposit_id, deposit.item, source))

    def on_sold(self, turn: Turn, source: str, body: Sold) -> None:
        if body.order_id in self._credited:
            return
        self._credited.add(body.order_id)
        self.stock.setdefault(body.item, [0, 0])[1] += body.units
        earned_cents = sellers_share(body.price_cents)
        turn.note(events.Sold(body.order_id, body.item, body.buyer, earned_cents, units=body.units))
        if self._is_news(body):  # else another trader's message of a later sale has overtaken this one
            turn.note(events.Left(body.item, body.left))

    def _is_news(self, body: Sold | OutOfStock) -> bool:
        """Whether no newer count of the product is known."""
        is_news = body.position >= self._counted.get(body.item, body.position)
        if is_news:
            self._counted[body.item] = body.position
        return is_news

    def on_out_of_stock(self, turn: Turn, source: str, body: OutOfStock) -> None:
        if not self._is_news(body):
            return
        turn.note(events.OutOfStock(body.item))
        if not self._finished and not self.retired and self._traders:
            self._pick_another(turn)
            self._bring(turn)

    handles: ClassVar = {Deposited: on_deposited, Sold: on_sold, OutOfStock: on_out_of_stock}
