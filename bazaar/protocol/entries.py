"""The entries of the ledger."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bazaar.protocol.goods import Item


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower):
    """One line of the ledger."""

    position: int
    """Its index: 0, 1, 2, … without a gap."""


class DepositEntry(Entry, frozen=True, tag="deposit"):
    """Goods came in."""

    deposit_id: str
    seller: str
    item: Item
    count: int
    price_cents: int
    """Of one unit."""
    clock: int
    trader: str


class Sale(Entry, frozen=True):
    """One unit went out."""

    order_id: str
    buyer: str
    item: Item
    deposit_id: str
    seller: str
    price_cents: int
    clock: int
    trader: str
    cached: bool
    """Whether the trader's cache had promised it before the warehouse was asked."""


class Denial(Entry, frozen=True):
    """An order was refused for good, so that a retry cannot turn what the buyer was told into a sale."""

    order_id: str
    buyer: str
    item: Item
    reason: Literal["unavailable", "oversold"]
    """`oversold` if a cache had promised it."""
    clock: int
    trader: str


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
    """Who asked for it; itself, if it resigned."""


class AdoptEntry(Entry, frozen=True, tag="adopt"):
    """A trader has taken over the queue of a former tenure, and what that was granted."""

    peer: str
    """Whose tenure it was."""
    since: int
    """The position of that tenure's appointment."""
    trader: str


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


AnyEntry = DepositEntry | Sale | Denial | Appoint | DeposeEntry | AdoptEntry | Grant | Return


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
