"""Picks an order to explain: the first over-sold, under-sold or lost one, or the slowest. The pick is deterministic."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator

from bazaar.analysis.stories.reading import Run
from bazaar.analysis.waits import Wait, waits_in
from bazaar.protocol.entries import Denial, DepositEntry, Sale


def _oversold(run: Run) -> str | None:
    return next((e.order_id for e in run.entries if isinstance(e, Denial) and e.reason == "oversold"), None)


def _undersold(run: Run) -> str | None:
    left: Counter[str] = Counter()
    for entry in run.entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale():
                left[entry.item] -= sum(part.units for part in entry.parts)
            case Denial() if left[entry.item] >= entry.units:
                return entry.order_id
    return None


def _lost(run: Run) -> str | None:
    return min(((wait.placed_at, wait.order) for wait in _waits(run) if wait.answered_at is None), default=(0.0, None))[
        1
    ]


def _slowest(run: Run) -> str | None:
    answered = ((wait.answered_at - wait.placed_at, wait.order) for wait in _waits(run) if wait.answered_at is not None)
    return max(answered, default=(0.0, None))[1]


def _waits(run: Run) -> Iterator[Wait]:
    return itertools.chain.from_iterable(waits_in(history) for history in run.histories.values())


PICKS: dict[str, tuple[Callable[[Run], str | None], str]] = {
    "oversold": (_oversold, "over-sold"),
    "undersold": (_undersold, "under-sold"),
    "lost": (_lost, "left without an answer"),
    "slowest": (_slowest, "answered"),
}
"""By option: the function that finds the order, and the words for its outcome."""


def pick(run: Run, which: str) -> str | None:
    """The name of the picked order; None if there is no such order."""
    return PICKS[which][0](run)
