"""The counts in a trader's cache, by deposit, as a history records them."""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.protocol import events
from bazaar.protocol.goods import Lot


def counts_of(lots: Iterable[Lot]) -> events.Counts:
    """The counts of these lots, by deposit."""
    return tuple([(lot.deposit_id, lot.count) for lot in lots])


def difference(before: events.Counts, after: events.Counts) -> events.Counts:
    """The counts that are different `after`. A lot that is not known any more has the count 0, like one that is sold out."""
    known, now = dict(before), dict(after)
    new = [(deposit_id, count) for deposit_id, count in after if known.get(deposit_id) != count]
    gone = [(deposit_id, 0) for deposit_id, count in before if count and deposit_id not in now]
    return (*new, *gone)
