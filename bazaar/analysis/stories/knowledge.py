"""What the traders of a run knew of one lot: which trader sold a unit when, and which traders had heard of the sale by then.

Within a process the Lamport clock orders the events. Between processes a push is identified by its sender and the clock at
which it was sent, and an answer of the warehouse by its ledger position. So the times of two processes are compared in two
cases only: to say which of two promises came first, and whether a promise came before another trader had its answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from bazaar.analysis.stories.reading import Line, Run
from bazaar.analysis.stories.story import Cause
from bazaar.protocol import events
from bazaar.protocol.entries import Sale
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import Recorded, mentioning


class Gone(NamedTuple):
    """What of the lot somebody promised or sold for one order."""

    order_id: str
    trader: str
    """The trader whose cache promised it, or that asked the warehouse for it."""
    line: Line | None
    """The event of the promise, or else of the shipping; None if the process was killed before it noted the event."""
    position: int
    """The ledger position of the decision on its order."""
    promised: bool
    units: int = 1

    @property
    def at(self) -> tuple[float, int]:
        """The time from which no other order could get the unit."""
        return (self.line.at, self.line.clock) if self.line is not None else (float("inf"), 0)


def belief_behind(run: Run, promise: Recorded[events.Taken]) -> Line | None:
    """The last message about the lot that reached the trader before it promised this unit."""
    lot = promise.event.deposit_id
    lines = mentioning(run.histories.get(promise.process, ()), lot, events.Born.kind) if lot else ()
    beliefs = Knowledge(lot, (), {promise.process: list(lines)}, pushes=True).beliefs(promise)
    return beliefs[-1] if beliefs else None


class Knowledge:
    """What each process knew of one lot, from the events that mention it."""

    def __init__(
        self, deposit_id: str, sales: Sequence[Sale], lines: Mapping[str, Sequence[Line]], pushes: bool
    ) -> None:
        """`lines`: by process, the events that mention the lot or the order of one of its sales, and the births.

        `pushes`: whether traders push their counts to each other.
        """
        self.deposit_id = deposit_id
        self.lines = lines
        self._pushes = pushes
        self._promises: dict[str, Recorded[events.Taken]] = {}
        for line in itertools.chain.from_iterable(lines.values()):
            match line.event:
                case events.Taken(order_id=order, to="cache", deposit_id=lot) if lot == deposit_id:
                    self._promises.setdefault(order, cast(Recorded[events.Taken], line))
        self.gone = [self._gone(sale) for sale in sales]

    def _gone(self, sale: Sale) -> Gone:
        units = sum(part.units for part in sale.parts if part.deposit_id == self.deposit_id)
        line = self.promise_of(sale.order_id) if sale.cached else None
        if line is not None:
            return Gone(sale.order_id, line.process, line, sale.position, True, units)
        shipped = (
            line
            for line in self.lines.get(WAREHOUSE, ())
            if isinstance(line.event, events.Shipped) and line.event.order_id == sale.order_id
        )
        return Gone(sale.order_id, sale.trader, next(shipped, None), sale.position, False, units)

    def promise_of(self, order_id: str) -> Recorded[events.Taken] | None:
        """The event by which a cache promised this order from the lot."""
        return self._promises.get(order_id)

    def before(self, line: Line) -> list[Line]:
        """The events of the lot that the process noted before `line` in the same life."""
        earlier = [each for each in self.lines[line.process] if each.clock < line.clock]
        births = [number for number, each in enumerate(earlier) if isinstance(each.event, events.Born)]
        return earlier[births[-1] + 1 :] if births else earlier

    def said(self, line: Line) -> int | None:
        """The count that an event gives for the lot; None if it gives none."""
        match line.event:
            case events.Learned(lots=lots) | events.HeardPush(lots=lots) | events.Pushed(lots=lots):
                return dict(lots).get(self.deposit_id)
            case events.Taken(deposit_id=deposit_id, count=count, units=units) if deposit_id == self.deposit_id:
                return count - units
        return None

    def beliefs(self, line: Line) -> list[Line]:
        """The messages about the lot that reached the process before `line`, the newest last."""
        kinds = (events.Learned, events.HeardPush)
        return [each for each in self.before(line) if isinstance(each.event, kinds) and self.said(each) is not None]

    def journal(self, line: Line) -> Line | None:
        """The take-over from which the process had its count of the lot at `line`; None if it learned a count since.

        An heir takes over the promises from the lot, and with them the count that the former tenure believed.
        """
        told = self.beliefs(line)
        for each in reversed(self.before(line)):
            if isinstance(each.event, events.TookOver) and self.deposit_id in dict(each.event.promises).values():
                return each if not told or told[-1].clock < each.clock else None
        return None

    def promises(self, line: Line) -> list[Line]:
        """The promises that the process made from the lot before `line`."""
        return [
            each for each in self.before(line) if isinstance(each.event, events.Taken) and self.said(each) is not None
        ]

    def origin(self, line: Line) -> Line | None:
        """The event from which a count stems: the process's own, or the sender's event behind a push.

        None for an answer of the warehouse.
        """
        if isinstance(line.event, events.Taken | events.Pushed):
            return line
        if isinstance(line.event, events.HeardPush) and line.source is not None:
            pushes = self._pushed(line.source, line.process)
            return max(
                (push for push in pushes if push.clock < (line.sent or 0)), key=lambda push: push.clock, default=None
            )
        return None

    def why_unknown(self, knower: Line, gone: Gone) -> tuple[Cause, list[Line]] | None:
        """Why a trader did not know that a unit was gone, with the events that show it; None if it knew."""
        before = self.before(knower)
        if any(isinstance(each.event, events.Learned) and each.event.position > gone.position for each in before):
            return None
        if any(
            gone.order_id in dict(each.event.promises) for each in before if isinstance(each.event, events.TookOver)
        ):
            return None
        told = self._told(gone)
        if gone.trader == knower.process:
            known = told is not None and told.clock < knower.clock
            return None if known else ("answer on its way", [])
        if told is None or (not gone.promised and told.at > knower.at):
            return "answer on its way", []
        push = next((each for each in self._pushed(gone.trader, knower.process) if each.clock > told.clock), None)
        if push is None:
            return ("not told" if self._pushes else "pushes are off"), []
        heard = next(self._heard(knower.process, gone.trader, push), None)
        if heard is None or heard.clock > knower.clock:
            return "push on its way", [push, *([heard] if heard is not None else [])]
        since = [each for each in before if each.clock > heard.clock and isinstance(each.event, events.Learned)]
        overwriting = [each for each in since if self.said(each) is not None]
        return ("stale pull", [push, heard, overwriting[-1]]) if overwriting else None

    def _told(self, gone: Gone) -> Line | None:
        """The event by which the unit's own trader knew: its promise, or the warehouse's answer."""
        if gone.promised:
            return gone.line
        traded = (
            line
            for line in self.lines.get(gone.trader, ())
            if isinstance(line.event, events.Traded) and line.event.order_id == gone.order_id
        )
        return next(traded, None)

    def _pushed(self, source: str, to: str) -> Iterator[Line]:
        for line in self.lines[source]:
            if isinstance(line.event, events.Pushed) and line.event.to == to:
                yield line

    def _heard(self, me: str, source: str, push: Line) -> Iterator[Line]:
        """The events of the push's arrival. A channel is FIFO: the first push sent after `push` was noted is `push` itself."""
        for line in self.lines[me]:
            if isinstance(line.event, events.HeardPush) and line.source == source and (line.sent or 0) > push.clock:
                yield line
