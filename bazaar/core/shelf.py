"""The lots of one item, the one with the lowest deposit clock first (requirement C4; ties by the seller's index)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from bazaar.protocol.goods import Lot, index_of


class Shelf:
    """Used by the ledger, where it is the truth, and by a cache, where it is an opinion."""

    def __init__(self) -> None:
        self._lots: dict[str, Lot] = {}
        self._order: list[tuple[int, int, str]] = []  # a heap; it may contain lots with nothing left
        self._standing: set[str] = set()

    def __iter__(self) -> Iterator[Lot]:
        return iter(self._lots.values())

    def get(self, deposit_id: str) -> Lot | None:
        """This lot, if it is known here."""
        return self._lots.get(deposit_id)

    def put(self, lot: Lot) -> None:
        """Adds the lot, or replaces what was known of it."""
        self._lots[lot.deposit_id] = lot
        if lot.count > 0 and lot.deposit_id not in self._standing:
            self._standing.add(lot.deposit_id)
            heapq.heappush(self._order, _key(lot))

    def drop(self, deposit_id: str) -> None:
        """Forgets the lot."""
        self._lots.pop(deposit_id, None)

    def first(self) -> Lot | None:
        """The lot to sell from next: of those with something left, the one with the lowest clock."""
        while self._order:
            deposit_id = self._order[0][2]
            lot = self._lots.get(deposit_id)
            if lot is not None and lot.count > 0:
                return lot
            self._standing.discard(deposit_id)
            heapq.heappop(self._order)
        return None

    def lowest(self, units: int) -> tuple[Lot, ...]:
        """The lots with the lowest clocks that have `units` together, each with how many to take; () if all have too few."""
        first = self.first()
        if first is None or first.count >= units:
            return (with_count(first, units),) if first is not None else ()
        taken: list[Lot] = []
        for lot in sorted(self._lots.values(), key=_key):
            if units and lot.count:
                taken.append(with_count(lot, min(units, lot.count)))
                units -= taken[-1].count
        return tuple(taken) if not units else ()

    def one_with(self, units: int) -> Lot | None:
        """Of the lots that have `units` each, the one with the lowest clock."""
        first = self.first()
        if first is None or first.count >= units:
            return first
        return min((lot for lot in self._lots.values() if lot.count >= units), key=_key, default=None)


def _key(lot: Lot) -> tuple[int, int, str]:
    return lot.clock, index_of(lot.seller), lot.deposit_id


def with_count(lot: Lot, count: int) -> Lot:
    """The same lot with another count."""
    return Lot(lot.deposit_id, lot.seller, lot.item, lot.price_cents, lot.clock, count)
