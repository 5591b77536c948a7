"""What a cache policy is, and the simplest one.

A policy is an object with the methods of `Cache`. It is asked by the trader alone, and knows no peer and no clock of
its own: units in, units out. Its class says how it is built and what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from bazaar.protocol.goods import Item, Lot
from bazaar.protocol.messages import Request
from bazaar.protocol.plan import Promise
from bazaar.protocol.settings import Settings


class Cache:
    """`none`: knows nothing, so the warehouse answers every order (requirement D2). The base of all other policies."""

    promises: ClassVar[Promise] = "strong"
    """`strong`: what a buyer is told is never taken back, and nothing is refused that is in stock. `weak`: now and then."""
    leased: ClassVar[bool] = False
    """Whether what it offers is this trader's own, for as long as its lease lasts, so that no promise is taken back."""

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        """As a trader has it in a run with these settings."""
        return cls()

    def offer(self, item: Item) -> Lot | None:
        """The lot from which an order for `item` may be answered without asking the warehouse; None is a miss."""
        return None

    def promised(self, lot: Lot) -> None:
        """One unit of `lot`, as `offer` gave it, was promised to a buyer."""

    def settled(self, lot: Lot, shipped: bool) -> None:
        """The warehouse has decided a promise made from `lot`."""

    def sold(self, lot: Lot) -> None:
        """The warehouse sold a unit without a promise; `lot` is as it is since."""

    def served(self) -> None:
        """One more order has its answer."""

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        """The warehouse's shelves of `items` hold exactly these lots."""

    def hear(self, lot: Lot) -> None:
        """Another trader says that this much of `lot` is left."""

    def recalled(self, item: Item) -> None:
        """The warehouse wants back what was granted of the item and not promised."""

    def inherited(self) -> None:
        """What was granted to a dead trader is this one's now."""

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        """What to ask the warehouse along with the next question, given the items that were missed."""
        return ()

    def lots(self) -> tuple[Lot, ...]:
        """What it holds for true now, to be looked at."""
        return ()

    def news(self) -> tuple[Lot, ...]:
        """What the other traders are to be told since this was last asked."""
        return ()
