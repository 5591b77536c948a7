"""The entries of the ledger."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bazaar.protocol.goods import Item


class Entry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag=str.lower
):
    """One line of the ledger. A field that has its default is left out."""

    position: int
    """Its index: 0, 1, 2, … without a gap."""


class DepositEntry(Entry, frozen=True, tag="deposit"):
    """The warehouse took in goods."""

    deposit_id: str
    seller: str
    item: Item
    count: int
    price_cents: int
    """The price of one unit."""
    clock: int
    trader: str


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an order took from one lot."""

    deposit_id: str
    seller: str
    price_cents: int
    """The price of one unit."""
    units: int


class Sale(Entry, frozen=True):
    """An order was sold: all its units, in this one entry. So no crash can leave half of an order in the ledger."""

    order_id: str
    buyer: str
    item: Item
    deposit_id: str
    """The first lot that units were taken from; `seller`, `price_cents` (of one unit) and `units` belong to it."""
    seller: str
    price_cents: int
    clock: int
    trader: str
    cached: bool
    """Whether the trader's cache had promised the units before the warehouse was asked."""
    units: int = 1
    more: tuple[Part, ...] = ()
    """The other lots, if the first did not have enough units."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The order, lot by lot."""
        return (Part(self.deposit_id, self.seller, self.price_cents, self.units), *self.more)


class Denial(Entry, frozen=True):
    """An order was refused for good. After the buyer was told so, a retry of the order cannot become a sale."""

    order_id: str
    buyer: str
    item: Item
    reason: Literal["unavailable", "oversold"]
    """`oversold` if a cache had promised the units."""
    clock: int
    trader: str
    units: int = 1
    """How many units the order was for."""


class Appoint(Entry, frozen=True):
    """A peer took a trader's seat."""

    peer: str
    seat: int
    """0 for trader0."""


class DeposeEntry(Entry, frozen=True, tag="depose"):
    """A trader lost its seat."""

    peer: str
    seat: int
    since: int
    """The position of its appointment, which tells two tenures of one peer apart."""
    by: str
    """The peer that asked for the deposal; the trader itself, if it resigned."""


class SeatsEntry(Entry, frozen=True, tag="seats"):
    """The number of traders follows the load: one more, or one fewer, than hold a seat now."""

    seats: int
    """So many traders from now on."""
    by: str
    """The youngest trader, which asked for it."""


class AdoptEntry(Entry, frozen=True, tag="adopt"):
    """A trader has taken over the queue of a former tenure, and the units that were granted to that tenure."""

    peer: str
    """The peer whose tenure it was."""
    since: int
    """The position of that tenure's appointment."""
    trader: str


class KeeperEntry(Entry, frozen=True, tag="keeper"):
    """Whoever takes over the queue of this tenure is to read this copy of its journal (`--keeper`)."""

    peer: str
    """The peer whose tenure it is."""
    since: int
    """The position of that tenure's appointment."""
    keeper: str
    """The peer that has the copy, on another machine."""
    copy: int
    """Which of the copies of this tenure: 1 for the first."""


class Grant(Entry, frozen=True):
    """Units of a deposit that only this trader may sell from now on (escrow)."""

    deposit_id: str
    item: Item
    count: int
    trader: str


class Return(Entry, frozen=True):
    """Granted units that were not sold are free again."""

    deposit_id: str
    item: Item
    count: int
    trader: str


AnyEntry = DepositEntry | Sale | Denial | Appoint | DeposeEntry | SeatsEntry | AdoptEntry | KeeperEntry | Grant | Return


def entry_to_document(entry: AnyEntry) -> dict[str, Any]:
    """An entry as MongoDB keeps it: its position is the `_id`."""
    document: dict[str, Any] = msgspec.to_builtins(entry)
    document["_id"] = document.pop("position")
    return document


def document_to_entry(document: dict[str, Any]) -> AnyEntry:
    """The reverse of `entry_to_document`. Raises `msgspec.ValidationError` for a document of another shape."""
    fields = dict(document)
    fields["position"] = fields.pop("_id")
    entry: AnyEntry = msgspec.convert(fields, AnyEntry)
    return entry
