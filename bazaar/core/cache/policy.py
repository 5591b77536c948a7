"""The interface of cache policies, and the simplest policy.

A policy is an object with the methods of `Cache`. Only the trader calls it. It knows no peer and has no clock of its own:
units in, units out. Its class says how it is built and what it promises.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from bazaar.protocol.goods import Item, Lot
from bazaar.protocol.plan import Promise
from bazaar.protocol.requests import Request
from bazaar.protocol.settings import Settings


class Cache:
    """`none`: knows nothing, so the warehouse answers every order (requirement D2). The base of all other policies."""

    promises: ClassVar[Promise] = "strong"
    """`strong`: no answer to a buyer is taken back, and no item in stock is refused. `weak`: both happen now and then."""
    leased: ClassVar[bool] = False
    """Whether the offered units are this trader's own, for as long as its lease lasts, so that no promise is taken back."""

    remote: ClassVar[bool] = False
    """Whether the units are in the cache server that all traders share, so that the trader has to ask there."""

    @classmethod
    def of(cls, settings: Settings) -> Cache:
        """The cache of a trader in a run with these settings."""
        return cls()

    def offer(self, item: Item, units: int = 1) -> Lot | None:
        """The lot from which an order for so many units may be answered without asking the warehouse; None is a miss.

        A promise is kept from its own lot. An order that needs several lots is a miss.
        """
        return None

    def promised(self, lot: Lot, units: int = 1) -> None:
        """So many units of `lot`, as `offer` gave it, were promised to a buyer."""

    def settled(self, lot: Lot, shipped: bool, units: int = 1) -> None:
        """The warehouse has decided a promise of so many units, made from `lot`."""

    def sold(self, lot: Lot) -> None:
        """The warehouse sold units that were not promised. `lot`: the lot after the sale."""

    def served(self) -> None:
        """One more order has its answer."""

    def learn(self, items: Iterable[Item], lots: Iterable[Lot]) -> None:
        """The warehouse's shelves of `items` hold exactly these lots."""

    def hear(self, lot: Lot) -> None:
        """Another trader says that this much of `lot` is left."""

    def recalled(self, item: Item) -> None:
        """The warehouse recalls the granted units of the item that are not promised."""

    def left(self, item: Item, units: int) -> None:
        """So many units of the item are left in the cache server."""

    def inherited(self) -> None:
        """The units granted to a dead trader belong to this trader now."""

    def wants(self, missed: Iterable[Item], now: float) -> tuple[Request, ...]:
        """The requests to add to the next question to the warehouse.

        `missed`: the items of the orders that were missed, once for each unit.
        """
        return ()

    def lots(self) -> tuple[Lot, ...]:
        """The current contents of the cache, for inspection."""
        return ()

    def news(self) -> tuple[Lot, ...]:
        """The changes since the last call that the other traders are to be told."""
        return ()
