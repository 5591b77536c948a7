"""What a trader asks of the warehouse, and what the warehouse replies: the contents of `Ask` and `Answer`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from bazaar.protocol.goods import ITEMS, MANY, Count, Item, Lot, Name, Number, Order, Record, Seat, Units


# -------------------------------------------------------------------------------------------- requests
class Ship(Record, frozen=True, tag="ship"):
    """Sell the order: from the lot that a cache promised (`deposit_id`), or without it from the item's first lots."""

    order: Order
    deposit_id: Name | None


class Stock(Record, frozen=True, tag="stock"):
    """Book this deposit."""

    lot: Lot


class Adopt(Record, frozen=True, tag="adopt"):
    """The queue of this former tenure is in my own journal now."""

    seat: Seat


class Read(Record, frozen=True, tag="read"):
    """What is on the shelves of these items?"""

    items: Annotated[tuple[Item, ...], Meta(max_length=len(ITEMS))]


class Acquire(Record, frozen=True, tag="acquire"):
    """Grant me units of the item until I hold `count`, or as many as can be granted (escrow)."""

    item: Item
    count: Count


class GiveBack(Record, frozen=True, tag="give_back"):
    """All units of this item that I was granted are free again (escrow)."""

    item: Item


class EpochEnded(Record, frozen=True, tag="epoch_ended"):
    """All that I have promised from the shared cache is with you now, and I promise nothing more of an epoch before this."""

    before: Number


Request = Ship | Stock | Adopt | Read | Acquire | GiveBack | EpochEnded


# --------------------------------------------------------------------------------------------- replies
class Part(Record, frozen=True):
    """So many units of an order were sold from one lot. `lot`, `left`: see `Shipped`."""

    lot: Lot
    left: Count
    units: Units


class Shipped(Record, frozen=True, tag="shipped"):
    """The order was carried out. `lot`: the lot after the sale. `left`: what remains of the product over all its lots.

    `units` are of this lot. `more`: the other lots that the order needed.
    """

    lot: Lot
    left: Count
    units: Units = 1
    more: Annotated[tuple[Part, ...], MANY] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The order, lot by lot."""
        return (Part(self.lot, self.left, self.units), *self.more)


class Denied(Record, frozen=True, tag="denied"):
    """The order is refused for good: `oversold` if a cache had promised it, else `unavailable`."""

    reason: Literal["unavailable", "oversold"]


class Stocked(Record, frozen=True, tag="stocked"):
    """The deposit is in the ledger."""

    deposit_id: Name


class Scarce(Record, frozen=True, tag="scarce"):
    """Not enough units of the item are free, but traders hold granted ones. Ask for the order again after `Freed`."""


class Shelves(Record, frozen=True, tag="shelves"):
    """The lots of the requested items that are not sold out. After `Acquire` or `GiveBack`: the lots that the trader holds."""

    items: Annotated[tuple[Item, ...], Meta(max_length=len(ITEMS))]
    lots: Annotated[tuple[Lot, ...], MANY]


class Adopted(Record, frozen=True, tag="adopted"):
    """The succession is in the ledger."""


class Heeded(Record, frozen=True, tag="heeded"):
    """The warehouse knows (`EpochEnded`)."""


Reply = Shipped | Denied | Stocked | Adopted | Scarce | Shelves | Heeded
