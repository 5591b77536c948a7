"""Which order to tell of: the first that was over-sold, under-sold or lost, or the slowest. The same run, the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from bazaar.analysis.stories.reading import Run
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, DepositEntry, Sale
from bazaar.runtime.history import only


def _oversold(run: Run) -> str | None:
    return next((e.order_id for e in run.entries if isinstance(e, Denial) and e.reason == "oversold"), None)


def _undersold(run: Run) -> str | None:
    left: Counter[str] = Counter()
    for entry in run.entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale():
                left[entry.item] -= 1
            case Denial() if left[entry.item] > 0:
                return entry.order_id
    return None


def _lost(run: Run) -> str | None:
    return min(((at, order) for order, at, wait in _waits(run) if wait is None), default=(0.0, None))[1]


def _slowest(run: Run) -> str | None:
    return max(((wait, order) for order, _, wait in _waits(run) if wait is not None), default=(0.0, None))[1]


def _waits(run: Run) -> Iterator[tuple[str, float, float | None]]:
    """Of each order: when it was placed, and how long its first answer took; None if it has none."""
    for history in run.histories.values():
        placed: dict[str, float] = {}
        for line in only(history, events.Ordered, *events.ANSWERS):
            order = line.event.order_id
            if isinstance(line.event, events.Ordered):
                placed[order] = line.at
            elif order in placed:
                at = placed.pop(order)
                yield order, at, line.at - at
        for order, at in placed.items():
            yield order, at, None


PICKS: dict[str, tuple[Callable[[Run], str | None], str]] = {
    "oversold": (_oversold, "over-sold"),
    "undersold": (_undersold, "under-sold"),
    "lost": (_lost, "left without an answer"),
    "slowest": (_slowest, "answered"),
}
"""By option: how the order is found, and what it was."""


def pick(run: Run, which: str) -> str | None:
    """The name of the order; None if there is none like that."""
    return PICKS[which][0](run)
