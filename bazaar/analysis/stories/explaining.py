"""The story of an order, from histories and ledger. The functions are pure, so they explain simulated runs, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from bazaar.analysis.stories.abroad import names_of, told, why_abroad, word_of
from bazaar.analysis.stories.knowledge import belief_behind
from bazaar.analysis.stories.oversold import Overselling, under_sold, why_oversold
from bazaar.analysis.stories.reading import Line, Run
from bazaar.analysis.stories.story import Moment, Outcome, Story
from bazaar.analysis.stories.waiting import TOLD, Wait, longest_wait, unanswered
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, Sale
from bazaar.protocol.goods import WAREHOUSE, buyer_of
from bazaar.runtime.history import Recorded

MOST_MOMENTS = 16
"""If an order has more moments, because it was repeated often, only the first and the last are told."""

PLACED = (events.Ordered, events.OrderedFor)
"""The events by which an order is placed in this market: by its buyer, or, of another bazaar, by the embassy."""
OUTCOMES: dict[type[events.Event], Outcome] = {
    events.Purchased: "purchased",
    events.FoundUnavailable: "unavailable",
    events.Revoked: "over-sold",
}


def explain(run: Run, order_id: str) -> Story | None:
    """The story of this order; None if it does not exist. Raises `msgspec.DecodeError` if a history cannot be read."""
    names = names_of(run, order_id)
    order_id = names[0]
    by_process = run.about(*names)
    own = sorted((line for lines in by_process.values() for line in lines), key=_in_time)
    placed = next((line.event for line in own if isinstance(line.event, PLACED)), None)
    decision = next((e for e in run.entries if isinstance(e, Sale | Denial) and e.order_id == order_id), None)
    known = placed or decision
    if known is None:
        return None
    answers = [line.event for line in own if isinstance(line.event, TOLD)]
    outcome: Outcome = _outcome(answers[-1]) if answers else "unanswered"
    found: Overselling | Wait | None = None
    why: list[str] = []
    if isinstance(decision, Denial) and decision.reason == "oversold":
        outcome = "over-sold" if answers else "unanswered"
        found = why_oversold(run, decision, own)
        why.extend(found.why)
    if isinstance(decision, Denial) and (more := under_sold(run, decision)):
        why.append(more)
    if placed is None:
        why.append("No history says that anybody placed it.")
    elif not answers:
        found = unanswered(run, own, buyer_of(order_id))
        why.extend(found.why)
    elif found is None:
        found = longest_wait(run, own)
        why.extend(found.why)
    why.extend(why_abroad(names, own))
    if (word := word_of(own)) is not None and word != "unavailable":
        outcome = "bought abroad" if word == "bought" else "unknown abroad"
    promise = next((cast(Recorded[events.Taken], line) for line in own if _is_promise(line)), None)
    belief = belief_behind(run, promise) if promise is not None else None
    shown = (*own, *(found.lines if found is not None else ()), *([belief] if belief is not None else []))
    telling = _Telling(run, names, known.item, decision, promise.event.deposit_id if promise is not None else "")
    lines = sorted({(line.process, line.clock): line for line in shown}.values(), key=_in_time)
    return Story(
        order_id,
        buyer_of(order_id),
        known.item,
        outcome,
        found.cause if found is not None else None,
        tuple(_abridged(list(telling.moments(lines)))),
        tuple(why),
        placed.units if placed is not None else _units(decision),
    )


def _outcome(answer: events.Event) -> Outcome:
    if isinstance(answer, events.AnsweredFor):
        return "purchased" if answer.seller else "unavailable"
    return OUTCOMES[type(answer)]


def _units(decision: Sale | Denial | None) -> int:
    """How many units the decision is on."""
    return (
        sum(part.units for part in decision.parts) if isinstance(decision, Sale) else decision.units if decision else 1
    )


def names_like(run: Run, order_id: str) -> list[str]:
    """Names to suggest for an order that does not exist: all orders of its buyer, or else one order of each buyer."""
    ordered = (line.event for name, history in run.histories.items() if name in run.plan.names
               for line in run.of(name, events.Ordered) if history is not None)  # fmt: skip
    names = [event.order_id for event in ordered if isinstance(event, events.Ordered)]
    return [name for name in names if buyer_of(name) == buyer_of(order_id)] or list(
        {buyer_of(name): name for name in reversed(names)}.values()
    )


def _is_promise(line: Line) -> bool:
    return isinstance(line.event, events.Taken) and line.event.to == "cache"


def _in_time(line: Line) -> tuple[float, int]:
    return line.at, line.clock


def _abridged(moments: list[Moment]) -> Iterator[Moment]:
    left_out = len(moments) - MOST_MOMENTS
    half = MOST_MOMENTS // 2
    for number, moment in enumerate(moments):
        if left_out <= 0 or number < half or number >= half + left_out:
            yield moment


class _Telling:
    """Turns the events that concern this order into sentences."""

    def __init__(
        self, run: Run, names: Sequence[str], item: str, decision: Sale | Denial | None, deposit_id: str
    ) -> None:
        self._run = run
        self._names = names
        self._item = item
        self._deposit_id = deposit_id
        self._entry = f" (ledger entry {decision.position})" if decision is not None else ""
        self._sale = decision if isinstance(decision, Sale) else None

    def moments(self, lines: list[Line]) -> Iterator[Moment]:
        for line in lines:
            if text := self._text(line):
                yield Moment(round(line.at - self._run.opening, 4), line.clock, line.process, text)

    def _text(self, line: Line) -> str:
        event, me = line.event, self._name(line.process)
        if isinstance(event, events.OfOrder):
            return (self._of_order if event.order_id in self._names else self._of_another)(line, event, me)
        match event:
            case events.TurnedAway():
                return f"{me} turns it away: its queue is full"
            case events.Pushed(to, lots):
                return f"{me} pushes to {self._name(to)}: {self._count(lots)}"
            case events.HeardPush(neighbor, lots):
                return f"{me} hears a push of {self._name(neighbor)}: {self._count(lots)}"
            case events.Learned(position, lots):
                return f"{me} has an answer of the warehouse as of entry {position}: {self._count(lots)}"
            case events.TookOver(peer, promises=promises):
                what = "this promise" if self._names[0] in dict(promises) else f"a promise out of {self._deposit_id}"
                return f"{me} takes over the queue of {self._name(peer)}, and in it {what}"
            case events.Deposed(peer):
                return f"{self._name(peer)} loses its seat"
            case events.Fell(name=name) | events.Fault(fault_kind="kill", name=name):
                return f"{self._name(name)} is killed"
            case events.Absent(for_s):
                return f"{me} has stood still for {for_s:g} s"
            case events.Scarce(item):
                return f"{me} hears that all {item} there is was granted to others"
            case events.Freed(item):
                return f"{me} hears that {item} may be had again"
        return ""

    def _of_order(self, line: Line, event: events.OfOrder, me: str) -> str:
        match event:
            case events.Ordered(trader=trader, by_hand=by_hand):
                goods = self._item if event.units == 1 else f"{event.units} {self._item}"
                return f"{me} orders {goods} from {self._name(trader)}" + ", by hand" * by_hand
            case events.Repeated(trader=trader):
                return f"{me} repeats it to {self._name(trader)}"
            case events.Queued(clock=clock):
                return f"{me} puts it into its queue, at clock {clock}"
            case events.Inherited():
                return f"{me} finds it in the queue of a former tenure"
            case events.Requeued():
                return f"{me} lets it wait: all {self._item} there is was granted to others"
            case events.Taken(to="cache", deposit_id=deposit_id, count=count):
                return f"{me} promises it from {deposit_id}, of which it believes {count} left"
            case events.Taken():
                return f"{me} asks the warehouse"
            case events.Shipped():
                return f"the warehouse sells it{self._lots}{self._entry}"
            case events.Oversold(trader=trader, deposit_id=deposit_id):
                few = "nothing" if event.units == 1 else f"fewer than {event.units}"
                return f"the warehouse, asked by {self._name(trader)}, finds {few} left of {deposit_id}{self._entry}"
            case events.Unavailable() if line.process == WAREHOUSE:
                few = f"no {self._item} is" if event.units == 1 else f"fewer than {event.units} {self._item} are"
                return f"the warehouse refuses it: {few} left{self._entry}"
            case events.Unavailable() | events.Traded():
                return f"{me} has the warehouse's word"
            case events.Purchased(seller=seller, final=final, others=others):
                return f"{me} is told: purchased from {' and '.join((seller, *others))}" + (
                    ", says the ledger" if final else ", says a cache"
                )
            case events.FoundUnavailable():
                return f"{me} is told: unavailable"
            case events.Revoked():
                return f"{me} is told that it does not get it after all"
            case events.Doubted():
                return f"{me} is told to ask again: the answer does not count any more"
            case events.Sold(earned_cents=earned):
                return f"{me} is told that it sold, and earns {earned / 100:g} $"
        return told(self._run, event, me)

    @property
    def _lots(self) -> str:
        """Where the units of the sale are from."""
        if self._sale is None:
            return ""
        if not self._sale.more:
            return f" out of {self._sale.deposit_id}"
        return " out of " + " and ".join(f"{part.deposit_id} ({part.units})" for part in self._sale.parts)

    def _of_another(self, line: Line, event: events.OfOrder, me: str) -> str:
        match event:
            case events.Taken(order, deposit_id=deposit_id, count=count):
                return f"{me} promises {order} from {deposit_id}, of which it believes {count} left"
            case events.Shipped(order):
                return f"the warehouse sells {order} out of {self._deposit_id}"
        return ""

    def _count(self, lots: events.Counts) -> str:
        return f"{dict(lots).get(self._deposit_id, 'nothing new')} of {self._deposit_id}"

    def _name(self, peer: str) -> str:
        return self._run.name(peer)
