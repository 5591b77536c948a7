"""The time of a run, divided into pieces of equal length. Their number is bounded, however long the run is.

When there are too many pieces, each pair of neighbours is merged into one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bazaar.protocol.goods import ITEMS

MOST_PIECES = 400
FINEST_S = 0.05
MOST_STRETCHES, FEWEST_STRETCHES, GOODS_A_STRETCH = 200, 12, 4
STEP = 1.05
"""The ratio of neighbouring buckets of the histogram of waits, so that a million waits take little memory."""
COUNTED = ("shipped", "unavailable", "oversold", "undersold")


class Piece(msgspec.Struct):
    """What happened in one stretch of time."""

    shipped: int = 0
    unavailable: int = 0
    oversold: int = 0
    undersold: int = 0
    """The number of refused orders for whose item there was stock at that time."""
    waits: Counter[int] = msgspec.field(default_factory=Counter)
    """The number of orders that got their first answer, by bucket: the wait in milliseconds is `STEP` to this power."""
    queue: dict[str, int] = msgspec.field(default_factory=dict)
    """The number of waiting orders at the end of the piece, by trader; only for traders for which it changed."""
    stock: dict[str, int] = msgspec.field(default_factory=dict)
    """The stock at the end of the piece, by item; only for items for which it changed."""

    def absorb(self, later: Piece) -> None:
        """Merges the piece after this one into it."""
        self.shipped += later.shipped
        self.unavailable += later.unavailable
        self.oversold += later.oversold
        self.undersold += later.undersold
        self.waits += later.waits
        self.queue |= later.queue
        self.stock |= later.stock


class Pieces:
    """All pieces of a run, from the launch on."""

    def __init__(self) -> None:
        self.each_s = FINEST_S
        self._all: list[Piece] = []

    def __len__(self) -> int:
        return len(self._all)

    def at(self, t: float) -> Piece:
        """The piece that contains the time `t`, in seconds since the launch."""
        number = max(0, int(t / self.each_s))
        while number >= MOST_PIECES:
            self._halve()
            number //= 2
        while number >= len(self._all):
            self._all.append(Piece())
        return self._all[number]

    def _halve(self) -> None:
        self.each_s *= 2
        self._all = list(_joined(self._all, 2))

    def drawn(self) -> tuple[float, dict[str, Any]]:
        """The length of a stretch to draw, and for each drawn quantity a list of its values by stretch.

        If few goods are sold the stretches are longer: a rate computed from one or two goods would be noise.
        """
        shipped = sum(piece.shipped for piece in self._all)
        stretches = max(FEWEST_STRETCHES, min(MOST_STRETCHES, shipped // GOODS_A_STRETCH))
        size = math.ceil(len(self._all) / stretches) or 1
        drawn = list(_joined(self._all, size))
        traders = sorted({name for piece in drawn for name in piece.queue})
        return size * self.each_s, {
            **{name: [getattr(piece, name) for piece in drawn] for name in COUNTED},
            "p50": [quantile(piece.waits, 0.50) for piece in drawn],
            "p99": [quantile(piece.waits, 0.99) for piece in drawn],
            "queue": {name: carried(piece.queue.get(name) for piece in drawn) for name in traders},
            "stock": {item: carried(piece.stock.get(item) for piece in drawn) for item in ITEMS},
        }


def _joined(pieces: list[Piece], size: int) -> Iterator[Piece]:
    """Each `size` neighbours merged into one. The given pieces are not changed."""
    for first in range(0, len(pieces), size):
        whole = Piece()
        for piece in pieces[first : first + size]:
            whole.absorb(piece)
        yield whole


def bucket(seconds: float) -> int:
    """The bucket of a wait: the exponent of the power of `STEP` that is nearest to the wait in milliseconds."""
    return round(math.log(max(seconds * 1000, 1e-3), STEP))


def quantile(waits: Counter[int], share: float) -> float | None:
    """The wait that this share of all waits does not exceed, in milliseconds; None if there are no waits."""
    rank = math.ceil(share * sum(waits.values()))
    for power in sorted(waits):
        rank -= waits[power]
        if rank <= 0:
            return float(f"{STEP**power:.3g}")
    return None


def carried(values: Iterable[int | None]) -> list[int]:
    """The values, with each None replaced by the value before it; 0 at first."""
    found, last = [], 0
    for value in values:
        last = last if value is None else value
        found.append(last)
    return found
