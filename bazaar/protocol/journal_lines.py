"""The lines of a trader's journal, which tell a successor what the trader still owes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bazaar.protocol.goods import Copy, Lot, Order, Seat


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="opened"):
    """A tenure begins. Each tenure has a journal file of its own, so that a successor finds only what it has to take over."""

    since: int


class Queued(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="queued"):
    """The trader took this order in."""

    order: Order


class Promised(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="promised"):
    """The trader's cache answered the order from this lot; the warehouse has yet to confirm it."""

    order: Order
    lot: Lot


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="closed"):
    """The warehouse decided the order; nothing more is to be done for it."""

    order_id: str


JournalLine = Opened | Queued | Promised | Closed


class Copied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="copied"):
    """At a keeper: these lines of another peer's journal were copied, in message `number` of the copy."""

    copy: Copy
    number: int
    lines: tuple[JournalLine, ...]


class Fenced(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="fenced"):
    """At a keeper: an heir has read this tenure's journal, so no further line of it is taken."""

    seat: Seat


KeeperRecord = Copied | Fenced


class Snapshot(msgspec.Struct, frozen=True):
    """At a keeper: these records are as good as all that it has kept so far, and take their place."""

    records: tuple[KeeperRecord, ...]


class Recovered(NamedTuple):
    """What could be read of the journal of a tenure."""

    lines: Sequence[JournalLine] | None
    """The undamaged lines. None if the journal does not exist or cannot be read now; that is not an empty journal."""
    damage: Sequence[str] = ()
    """What is wrong with the journal, each damage with the number of its line."""
