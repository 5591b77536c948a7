"""How long each order waited for its first answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded, only


class Wait(NamedTuple):
    """The times of one order, in seconds since the epoch."""

    order: str
    placed_at: float
    answered_at: float | None
    """None if the order has no answer."""


def waits_in(history: Iterable[Recorded[Event]]) -> Iterator[Wait]:
    """The waits of one buyer's orders: the answered ones in the order of their answers, then the others."""
    placed: dict[str, float] = {}
    for line in only(history, events.Ordered, *events.ANSWERS):
        order = line.event.order_id
        if isinstance(line.event, events.Ordered):
            placed[order] = line.at
        elif order in placed:
            yield Wait(order, placed.pop(order), line.at)
    for order, at in placed.items():
        yield Wait(order, at, None)
