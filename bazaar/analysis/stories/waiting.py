"""Where an order's time went: the longest wait between two of its events, and the reason for the wait."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from bazaar.analysis.stories.reading import Line, Run
from bazaar.analysis.stories.story import Cause
from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import LAUNCHER

TOLD = (*events.ANSWERS, events.AnsweredFor)
"""The events that answer an order: to its buyer, or, of another bazaar, through the embassy."""


class Wait(NamedTuple):
    """The explanation of one wait."""

    cause: Cause
    lines: tuple[Line, ...]
    why: tuple[str, ...]


def longest_wait(run: Run, own: list[Line]) -> Wait:
    """Explains an answered order's longest wait. `own`: its events by time, from its placing on."""
    first_answer = next(number for number, line in enumerate(own) if isinstance(line.event, TOLD))
    path = own[: first_answer + 1]
    if len(path) < 2:
        return Wait("not recorded", (), ("Nothing is noted of it but its answer.",))
    before, after = max(itertools.pairwise(path), key=lambda pair: pair[1].at - pair[0].at)
    waited = f"It waited longest, {_ms(after.at - before.at)} of {_ms(path[-1].at - path[0].at)}, "
    return _held_up(run, before, after, waited)


def unanswered(run: Run, own: list[Line], buyer: str) -> Wait:
    """Explains why an order has no answer. `own`: its events, by time."""
    gone = _gone(run, buyer)
    if gone is not None:
        return Wait(
            "buyer is gone", (gone,), (f"{buyer} was killed, and not started again: nobody waits for the answer.",)
        )
    if not run.of(LAUNCHER, events.Ended):
        return Wait("run was cut short", (), ("The launcher was killed before the run was at its end.",))
    last = own[-1]
    where = (
        f"When the run ended nothing more had happened to it since {run.name(last.process)} noted `{last.event.kind}`."
    )
    after = _end_of_run(run, last)
    held = _held_up(run, last, after, "") if after is not None else None
    if held is not None and held.cause in ("fail-over", "stood still"):
        return Wait(held.cause, held.lines, (where, *held.why))
    return Wait("nothing happened", (), (where,))


def _end_of_run(run: Run, last: Line) -> Line | None:
    """The end of the run, as the event that an order without an answer waited for."""
    return next((line for line in reversed(run.of(LAUNCHER, events.Ended)) if line.at >= last.at), None)


def _held_up(run: Run, before: Line, after: Line, waited: str) -> Wait:
    holder = before.event.trader if isinstance(before.event, events.Placed | events.OrderedFor) else before.process
    fallen = _fallen(run, holder, before, after)
    if fallen is not None:
        return Wait(
            "fail-over", (fallen,), (f"{waited}while {run.name(holder)}, which had it, lost its seat: it was repeated, or "
                                     f"found in the journal by the heir.".strip(),)
        )  # fmt: skip
    for process in dict.fromkeys((holder, after.process, WAREHOUSE)):
        for line in run.of(process, events.Absent):
            if isinstance(line.event, events.Absent) and line.at > before.at and line.at - line.event.for_s < after.at:
                return Wait(
                    "stood still",
                    (line,),
                    (f"{waited}while {run.name(process)} stood still for {line.event.for_s:g} s.",),
                )
    return Wait(*_plain(run, before, after, waited))


def _plain(run: Run, before: Line, after: Line, waited: str) -> tuple[Cause, tuple[Line, ...], tuple[str, ...]]:
    holder, item = run.name(before.process), getattr(before.event, "item", "")
    match before.event, after.event:
        case events.Requeued(), _:
            return (
                "scarce",
                (),
                (f"{waited}at {holder}, until others gave back {item} that was granted to them, or sold it.",),
            )
        case events.Waiting(), events.Taken():
            scarce = [
                e
                for e in run.of(before.process, events.Scarce)
                if e.at <= after.at and getattr(e.event, "item", "") == item
            ]
            freed = [
                e
                for e in run.of(before.process, events.Freed)
                if e.at > before.at and getattr(e.event, "item", "") == item
            ]
            if scarce and freed and freed[0].at <= after.at and scarce[-1].at < freed[0].at:
                return (
                    "scarce",
                    (scarce[-1], freed[0]),
                    (f"{waited}in {holder}'s queue: all {item} was granted to others.",),
                )
            return (
                "queue",
                (),
                (f"{waited}in {holder}'s queue, behind orders with lower clocks, or for a question to end.",),
            )
        case events.Taken(to="warehouse"), _:
            return (
                "warehouse",
                (),
                (f"{waited}for the warehouse to be asked by {holder}, and to have written down its decision.",),
            )
        case _, events.Repeated():
            return "repeated", (), (f"{waited}until {after.process} had no patience any more, and asked again.",)
    return "on its way", (), (f"{waited}between {holder} and {run.name(after.process)}.",)


def _fallen(run: Run, holder: str, before: Line, after: Line) -> Line | None:
    """The event by which the trader that held the order lost its seat between `before` and `after`, if any."""
    for line in run.of(WAREHOUSE, events.Deposed):
        if isinstance(line.event, events.Deposed) and line.event.peer == holder and before.at <= line.at <= after.at:
            return line
    return None


def _gone(run: Run, buyer: str) -> Line | None:
    """The event of the buyer's death, if the buyer was not alive at the end."""
    ends: list[Line] = []
    for line in run.of(LAUNCHER, events.Fell, events.Fault):
        match line.event:
            case events.Fell(name=name) if name == buyer:
                ends.append(line)
            case events.Fault(fault_kind="kill", name=name) if name == buyer:
                ends.append(line)
    births = run.of(buyer, events.Born)
    return ends[-1] if ends and (not births or births[-1].at < ends[-1].at) else None


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
