"""The orders of a run that are worth a look, and what became of each, step by step.

A step is an event that names the order. If a message caused the event the step has the message's sender and Lamport clock.
So the steps are also the points and arrows of a space-time diagram (Lamport 1978).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import ITEMS, WAREHOUSE, home_of, is_embassy, name_abroad, name_at_home
from bazaar.runtime.history import HistoryFile, Recorded, by_time
from bazaar.views.narration import Narrator

MOST_OF_A_REASON = 6
MOST_EXPLAINED = 12
MOST_READ_BYTES = 100_000_000
"""What all explanations together may read: each reads all histories, and the end of a run waits for its report."""
MOST_STEPS = 60
"""The limit for one order: some orders are repeated for as long as a trader is dead."""

SILENT: dict[type[Event], str] = {
    events.Ordered: "{me} orders {item} of {trader}",
    events.Repeated: "{me} asks {trader} again for {item}",
    events.FoundUnavailable: "{me} is told that nobody sells {item}",
    events.Doubted: "{me} is to ask again, because the answer does not count any more",
    events.Inherited: "{me} finds the order in the queue that it took over",
    events.Requeued: "{me} puts the order back, because all of the item is granted to others",
    events.TurnedAway: "{me} does not take the order in, because its queue is full",
    events.SentAbroad: "{me} sends the order to {bazaar}",
    events.UnavailableAbroad: "{me} is told that nobody abroad sells {item}, either",
    events.OrderedFor: "{me} orders {item} of {trader}, for another bazaar",
    events.AnsweredFor: "{me} answers the other bazaar",
    events.Taken: "{me} takes the order out of its queue and asks the {to}",
}
"""Sentences for events that have none in the texts of a run."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event of an order. `t` is in seconds since the launch."""

    t: float
    who: str
    kind: str
    clock: int
    text: str
    source: str | None = None
    sent: int | None = None


class Story(msgspec.Struct, frozen=True):
    """The story of one order."""

    order: str
    why: list[str]
    """The reasons why the order was chosen; empty if somebody asked for it."""
    told: list[str]
    """The explanation in sentences, beginning with the cause; empty if no cause is known."""
    steps: list[Step]
    left_out: int = 0
    """The number of steps that are left out in the middle."""


class _Slow(NamedTuple):
    wait: float
    order: str


class Chooser:
    """Looks at every event, and remembers the most interesting orders."""

    def __init__(self) -> None:
        self._chosen: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._slowest: list[_Slow] = []
        self._placed: dict[str, float] = {}
        self._stock: dict[str, int] = dict.fromkeys(ITEMS, 0)

    def look(self, line: Recorded[Event]) -> None:
        """Takes in the next event. The events must come in order of time."""
        match line.event:
            case events.Ordered(order):
                self._placed[order] = line.at
                if line.event.by_hand:
                    self._choose("by hand", order)
            case events.Purchased(order) | events.FoundUnavailable(order) | events.Revoked(order):
                if order in self._placed:
                    self._time(order, line.at - self._placed.pop(order))
                    if isinstance(line.event, events.Purchased) and line.event.final:
                        self._choose("sold from the warehouse", order, 2)
                    elif isinstance(line.event, events.Purchased):
                        self._choose("sold from a cache", order, 2)
            case events.Oversold(order, item, units=units):
                self._choose("over-sold", order)
                if self._stock[item] >= units:
                    self._choose("under-sold", order)
            case events.Unavailable(order, item, units=units) if line.process == WAREHOUSE:
                if self._stock[item] >= units:
                    self._choose("under-sold", order)
                else:
                    self._choose("unavailable", order, 2)
            case events.Stocked(item, count):
                self._stock[item] += count
            case events.Shipped(_, item, units=units):
                self._stock[item] -= units
            case events.Inherited(order):
                self._choose("taken over", order)
            case events.BoughtAbroad(order):
                self._choose("bought abroad", name_at_home(order))
            case events.UnknownAbroad(order):
                self._choose("unknown abroad", name_at_home(order))

    def _time(self, order: str, wait: float) -> None:
        heapq.heappush(self._slowest, _Slow(wait, order))
        if len(self._slowest) > MOST_OF_A_REASON:
            heapq.heappop(self._slowest)

    def _choose(self, why: str, order: str, most: int = MOST_OF_A_REASON) -> None:
        chosen = self._chosen[why]
        if len(chosen) < most:
            chosen[order] = None

    def chosen(self) -> dict[str, list[str]]:
        """The chosen orders, each with the reasons, the most interesting ones first."""
        for order in self._placed:
            self._choose("without an answer", order)
        for slow in sorted(self._slowest, reverse=True):
            self._choose("slowest", slow.order)
        found: defaultdict[str, list[str]] = defaultdict(list)
        for why in (
            *("without an answer", "over-sold", "under-sold", "taken over", "slowest", "by hand"),
            *("unknown abroad", "bought abroad"),
            *("sold from a cache", "sold from the warehouse", "unavailable"),
        ):
            for order in self._chosen[why]:
                found[order].append(why)
        return dict(found)


def stories(
    histories: Mapping[str, HistoryFile],
    orders: Mapping[str, list[str]],
    launched_at: float,
    explain: Callable[[str], list[str]],
) -> list[Story]:
    """The stories of these orders, in the given sequence. An unknown order has no story.

    `explain` returns the explanation of an order in sentences. Only the first orders are explained, and the fewer the
    longer the run is, because each explanation reads all histories.
    """
    lines: defaultdict[str, list[Recorded[Event]]] = defaultdict(list)
    bazaar = next((home_of(name) for name in histories if is_embassy(name)), None)
    abroad = {name_abroad(order, bazaar): order for order in orders if not home_of(order)} if bazaar else {}
    for history in histories.values():
        for line in history.about({*orders, *abroad}):
            order = getattr(line.event, "order_id")  # noqa: B009 # `about` yields only events with an order
            lines[abroad.get(order, order)].append(line)
    size = sum(history.size() for history in histories.values())
    explained = list(orders)[: min(MOST_EXPLAINED, MOST_READ_BYTES // max(size, 1))]
    return [
        _story(order, why, explain(order) if order in explained else [], lines[order], launched_at)
        for order, why in orders.items()
        if order in lines
    ]


def _story(order: str, why: list[str], told: list[str], lines: Iterable[Recorded[Event]], launched_at: float) -> Story:
    narrator = Narrator()
    steps = [_step(line, narrator, launched_at) for line in by_time([sorted(lines, key=_when)])]
    half = MOST_STEPS // 2
    if len(steps) > MOST_STEPS:
        return Story(order, why, told, [*steps[:half], *steps[-half:]], len(steps) - MOST_STEPS)
    return Story(order, why, told, steps)


def _when(line: Recorded[Event]) -> tuple[float, int]:
    return line.at, line.clock


def _step(line: Recorded[Event], narrator: Narrator, launched_at: float) -> Step:
    told = " ".join(sentence.text for sentence in narrator.tell([line])) or _told(line)
    return Step(
        round(line.at - launched_at, 6), line.process, type(line.event).kind, line.clock, told, line.source, line.sent
    )


def _told(line: Recorded[Event]) -> str:
    words = msgspec.structs.asdict(line.event)
    template = SILENT.get(type(line.event))
    if template is not None:
        return template.format(me=line.process, **words)
    return f"{line.process}: {type(line.event).kind.replace('_', ' ')}"
