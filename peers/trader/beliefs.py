"""What a trader's cache holds for true, as a history holds it: counts by deposit."""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.protocol import events
from bazaar.protocol.goods import Lot


def counts_of(lots: Iterable[Lot]) -> events.Counts:
    """By deposit."""
    return tuple([(lot.deposit_id, lot.count) for lot in lots])


def difference(before: events.Counts, after: events.Counts) -> events.Counts:
    """What is known otherwise `after`; a lot that is not known any more counts as nothing, as one that was sold out."""
    known, now = dict(before), dict(after)
    new = [(deposit_id, count) for deposit_id, count in after if known.get(deposit_id) != count]
    gone = [(deposit_id, 0) for deposit_id, count in before if count and deposit_id not in now]
    return (*new, *gone)
