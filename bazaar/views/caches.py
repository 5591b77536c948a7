"""The contents of the traders' caches, as the events tell them, and their print-outs (requirement I1).

The original printed a trader's cache after each order that it had served: `Trader1 cache: [{"seller_id": "seller1", ...}]`.
Here a cache is printed when a promise was made from it, and when an answer of the warehouse has changed it. At full speed this
would be most of the text, so a trader's cache is printed at most `MOST_A_SECOND` times in one second of the run.

An event names a deposit and the number of units that are left. Its item and its price are in the seller's `offered`. No event
says which sold-out lots a trader has forgotten. So a lot is missing here if the trader had forgotten that it is sold out, and
then heard an older count of it from another trader.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded

MOST_A_SECOND = 10
MOST_SHOWN = 40
"""Lots in one print-out."""
MOST_OFFERED = 50_000
"""Deposits whose item and price are remembered, the latest; 250 bytes each."""
MOST_SOLD_OUT = 1_000
"""Deposits that a trader's cache is remembered to hold none of, the latest."""


class _Cache:
    """By deposit, how many units one trader believes to be left."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self._sold_out: dict[str, None] = {}  # in the order in which they were sold out
        self.second, self.printed = -1, 0

    def set(self, deposit_id: str, count: int) -> None:
        if count > 0:
            self.left[deposit_id] = count
            self._sold_out.pop(deposit_id, None)
            return
        self.left.pop(deposit_id, None)
        self._sold_out[deposit_id] = None
        if len(self._sold_out) > MOST_SOLD_OUT:
            del self._sold_out[next(iter(self._sold_out))]

    def hear(self, deposit_id: str, count: int) -> None:
        """Of two counts the lower is kept (requirement D5)."""
        if deposit_id not in self._sold_out and count < self.left.get(deposit_id, count + 1):
            self.set(deposit_id, count)


class Caches:
    """Takes in all events of a run in the order of their time. Its memory is bounded."""

    def __init__(self) -> None:
        self._offered: dict[str, dict[str, Any]] = {}
        self._caches: defaultdict[str, _Cache] = defaultdict(_Cache)

    def take(self, line: Recorded[Event]) -> None:
        """Takes in one event."""
        take = _TAKERS.get(type(line.event))
        if take is not None:
            take(self, line)

    def printed(self, trader: str, at: float) -> str:
        """The print-out of this trader's cache; empty if it was printed often enough in this second."""
        cache = self._caches[trader]
        if cache.second != int(at):
            cache.second, cache.printed = int(at), 0
        if cache.printed == MOST_A_SECOND:
            return ""
        cache.printed += 1
        shown = list(cache.left.items())[:MOST_SHOWN]
        more = len(cache.left) - len(shown)
        text = json.dumps([self._lot(deposit_id, count) for deposit_id, count in shown])
        return f"{text} and {more} more" if more else text

    def _lot(self, deposit_id: str, count: int) -> dict[str, Any]:
        """A lot in the shape of the original. If the seller's history does not tell item and price, they are left out."""
        of_lot = self._offered.get(deposit_id, {})
        return {"seller_id": deposit_id.rpartition("-")[0], "count": count, **of_lot}

    def _on_offer(self, line: Recorded[events.Offered]) -> None:
        price_cents = line.event.price_cents
        price = price_cents / 100 if price_cents % 100 else price_cents // 100
        self._offered[line.event.deposit_id] = {"price": price, "item": line.event.item}
        if len(self._offered) > MOST_OFFERED:
            del self._offered[next(iter(self._offered))]

    def _seated(self, line: Recorded[events.Seated]) -> None:
        self._caches.pop(line.process, None)

    def _taken(self, line: Recorded[events.Taken]) -> None:
        if line.event.deposit_id:
            self._caches[line.process].set(line.event.deposit_id, line.event.count - line.event.units)

    def _told(self, line: Recorded[events.Learned | events.Pushed]) -> None:
        cache = self._caches[line.process]
        for deposit_id, count in line.event.lots:
            cache.set(deposit_id, count)

    def _heard(self, line: Recorded[events.HeardPush]) -> None:
        cache = self._caches[line.process]
        for deposit_id, count in line.event.lots:
            cache.hear(deposit_id, count)


_TAKERS: dict[type[Event], Callable[[Caches, Any], None]] = {
    events.Offered: Caches._on_offer,
    events.Seated: Caches._seated,
    events.Taken: Caches._taken,
    events.Learned: Caches._told,
    events.Pushed: Caches._told,
    events.HeardPush: Caches._heard,
}
