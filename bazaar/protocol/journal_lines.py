"""The lines of a trader's journal: what it would owe if it died now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bazaar.protocol.goods import Lot, Order


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="opened"):
    """A tenure begins; its journal is a file of its own, so that a successor finds just what it has to take over."""

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


class Recovered(NamedTuple):
    """What could be read of the journal of a tenure."""

    lines: Sequence[JournalLine] | None
    """The sound ones; None if there is no such journal, or it cannot be read now: that is not an empty one."""
    damage: Sequence[str] = ()
    """What is wrong with it, each with the number of the line."""
