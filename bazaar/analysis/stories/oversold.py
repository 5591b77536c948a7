"""Why an order was over-sold: where a trader's belief about a lot first differed from the truth.

A cache promised a unit of a lot, but the warehouse, which decides, found none left. There are two cases. Either the last
unit was gone at the time of the promise, and something kept the trader from knowing it. Or a unit was left at that time, but
another trader's sale reached the ledger first.
"""

from __future__ import annotations

from typing import NamedTuple

from bazaar.analysis.stories.knowledge import Gone, Knowledge
from bazaar.analysis.stories.reading import Line, Run
from bazaar.analysis.stories.story import Cause
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, DepositEntry, Sale
from bazaar.runtime.history import Recorded


class Overselling(NamedTuple):
    """The explanation of one over-sold order."""

    cause: Cause
    lines: tuple[Line, ...]
    """The events that show the cause, besides the order's own events."""
    why: tuple[str, ...]
    deposit_id: str = ""
    knower: Line | None = None
    """The promise by the trader that did not know: that of the order itself, or of the order that took its unit."""


def why_oversold(run: Run, denial: Denial, own: list[Line]) -> Overselling:
    """Explains an over-sold order. `own`: the events of the order."""
    deposit_id = _promised_from(own)
    deposit = next((e for e in run.entries if isinstance(e, DepositEntry) and e.deposit_id == deposit_id), None)
    if deposit is None:
        return Overselling("not recorded", (), ("The histories do not say from which lot it was promised.",))
    sales = [e for e in run.entries if isinstance(e, Sale) and any(part.deposit_id == deposit_id for part in e.parts)]
    sales = [sale for sale in sales if sale.position < denial.position]
    asked = [sale.order_id for sale in sales]
    lines = run.about(deposit_id, denial.order_id, *asked, events.Born.kind)
    knowledge = Knowledge(deposit_id, sales, lines, run.plan.settings.push)
    return _Case(run, denial, deposit, knowledge).judged()


def _promised_from(own: list[Line]) -> str:
    for line in own:
        match line.event:
            case events.Taken(to="cache", deposit_id=deposit_id) | events.Oversold(deposit_id=deposit_id) if deposit_id:
                return deposit_id
            case events.TookOver(promises=promises):
                order = next((e.event.order_id for e in own if isinstance(e.event, events.OfOrder)), "")
                return dict(promises).get(order, "")
    return ""


class _Case:
    def __init__(self, run: Run, denial: Denial, deposit: DepositEntry, knowledge: Knowledge) -> None:
        self._run = run
        self._denial = denial
        self._deposit = deposit
        self._knowledge = knowledge

    def judged(self) -> Overselling:
        promise = self._knowledge.promise_of(self._denial.order_id)
        if promise is None:
            taken = self._taken_over()
            if taken is None:
                return self._found("not recorded", [], f"No history holds the promise from {self._lot}.")
            return self._found(
                "take-over",
                [taken],
                f"Its trader was killed as it promised it from {self._lot}: {self._name(taken.process)} found the promise in "
                f"the journal, and put it to the warehouse when nothing was left.",
            )
        ours = (promise.at, promise.clock)
        before = [gone for gone in self._knowledge.gone if gone.at < ours]
        rest = self._rest(ours)
        if rest >= self._denial.units:
            return self._lost_the_race(promise, rest)
        unknown = [(gone, why) for gone in before if (why := self._knowledge.why_unknown(promise, gone)) is not None]
        truth = (
            f"When {self._name(promise.process)} promised it, {_count(promise.event.count)} of {self._lot} "
            f"{_were(promise.event.count)} left as it believed, and none in truth."
        )
        if (journal := self._knowledge.journal(promise)) is not None:
            return self._found(
                "old journal",
                [journal],
                truth,
                f"{self._name(promise.process)} had found a promise from the lot in the journal of a former tenure (clock "
                f"{journal.clock}), and took the count there for true, though some were sold since.",
            )
        if unknown:
            gone, (cause, lines) = max(unknown, key=lambda each: each[0].at)
            because = self._because(promise, gone, cause, lines)
            return self._found(cause, [*self._shown(gone), *lines], truth, because, knower=promise)
        return self._misbelieved(promise, truth)

    # ----------------------------------------------------------- a unit was left at the time of the promise
    def _lost_the_race(self, promise: Recorded[events.Taken], rest: int) -> Overselling:
        me, denial = promise.process, self._denial
        # Of the units that were promised or sold after this one, the last to reach the ledger.
        last = max(self._knowledge.gone, key=lambda gone: (gone.at >= (promise.at, promise.clock), gone.position))
        there = f"When {self._name(me)} promised it, {_count(rest)} of {self._lot} {_were(rest)} there."
        taken = self._taken_over()
        if taken is not None or denial.trader != me:
            heir = self._name(denial.trader)
            meanwhile = (
                f"{heir} found the promise in its journal, and put it to the warehouse (entry {denial.position}) "
                f"after the last unit had gone to {last.order_id} (entry {last.position}, by {self._name(last.trader)})."
            )
            lost = f"Then {self._name(me)} lost its seat or its life."
            return self._found("take-over", [*([taken] if taken else []), *self._shown(last)], there, lost, meanwhile)
        ours = Gone(denial.order_id, me, promise, denial.position, True, denial.units)
        if last.promised and last.line is not None and last.trader != me:
            why = self._knowledge.why_unknown(last.line, ours)
            if why is not None and why[0] != "push on its way":
                return self._found(
                    why[0],
                    [*self._shown(last), *why[1]],
                    there,
                    self._because(last.line, ours, *why),
                    self._order(last),
                    knower=last.line,
                )
        how = (
            f"{self._name(last.trader)} promised it to {last.order_id} too, without having heard of that promise."
            if last.promised
            else f"{self._name(last.trader)} had the warehouse asked for {last.order_id}, and that knew of no promise yet."
        )
        return self._found("sold at once", self._shown(last), there, how, self._order(last))

    def _order(self, last: Gone) -> str:
        return (
            f"{last.order_id} came to the warehouse first (entry {last.position}), this order "
            f"when {'nothing' if self._denial.units == 1 else f'fewer than {self._denial.units}'} was left "
            f"(entry {self._denial.position})."
        )

    # ------------------------------------------------- the trader had heard of all sales, but its count was wrong
    def _misbelieved(self, promise: Recorded[events.Taken], truth: str) -> Overselling:
        knowledge, me = self._knowledge, self._name(promise.process)
        beliefs = knowledge.beliefs(promise)
        if not beliefs:
            return self._found("policy", [], truth, f"Nobody had told {me} anything of {self._lot} in this life.")
        newest = beliefs[-1]
        said = knowledge.said(newest) or 0
        if isinstance(newest.event, events.Learned):
            position = newest.event.position
            left = self._deposit.count - sum(gone.units for gone in knowledge.gone if gone.position < position)
            if said > left:
                return self._found(
                    "late deposit",
                    [newest],
                    truth,
                    f"{me} was told by the warehouse that the deposit is in, and believed all {said}, though "
                    f"{_count(left)} {_were(left)} left by entry {position}: the deposit was repeated.",
                )
            return self._found("policy", [newest], truth, f"{me} had been told better, and its cache promised more.")
        earlier = [each for each in knowledge.before(newest) if knowledge.said(each) is not None]
        own = sum(newest.clock < each.clock for each in knowledge.promises(promise))
        revived = promise.event.count + own == said
        if revived and earlier and (knew := knowledge.said(earlier[-1]) or 0) < said:
            return self._found(
                "late push",
                [earlier[-1], newest],
                truth,
                f"{me} knew already that {_count(knew)} {_were(knew)} left. Then an older push of "
                f"{self._name(newest.source or '')} came in, which said {said}, and the lot was on its shelf again.",
            )
        return self._crossed(promise, newest, truth)

    def _crossed(self, promise: Recorded[events.Taken], newest: Line, truth: str) -> Overselling:
        """Explains a wrong count although every sale was known: a trader adopted a count that lacked a sale."""
        knowledge, me = self._knowledge, self._name(promise.process)
        for line in reversed(knowledge.before(promise)):
            origin, said = knowledge.origin(line), knowledge.said(line)
            if origin is None or said is None or said <= self._rest((origin.at, origin.clock)):
                continue
            if line is origin:
                how = (
                    f"when it sold one itself, and by its own count had {said} left (clock {line.clock}), that count lacked "
                    f"another's sale, and the other's push did not lower it"
                )
            else:
                how = (
                    f"{self._name(line.source or '')}'s push of clock {origin.clock} said that {_count(said)} {_were(said)} "
                    f"left, without counting what others had sold meanwhile"
                )
            kept = "Of two counts the lower is kept, and that is not what both have sold."
            shown = [line, *([newest] if newest.clock > line.clock else [])]
            return self._found("crossed pushes", shown, truth, f"{me} had heard of every sale. But {how}.", kept)
        return self._found("policy", [newest], truth, f"{me} had been told better, and its cache promised more.")

    def _rest(self, at: tuple[float, int]) -> int:
        """The number of units that were neither promised nor sold by this time."""
        return self._deposit.count - sum(gone.units for gone in self._knowledge.gone if gone.at <= at)

    # ------------------------------------------------------------------------------------------ words
    def _because(self, knower: Line, gone: Gone, cause: Cause, lines: list[Line]) -> str:
        me, other = self._name(knower.process), self._name(gone.trader)
        sold = f"{me} did not count {gone.order_id}, which {other} {'promised' if gone.promised else 'sold'} before"
        match cause:
            case "stale pull":
                _, heard, pull = lines
                assert isinstance(pull.event, events.Learned)
                return (
                    f"{sold}. It had heard {other}'s push at clock {heard.clock}. Then, at clock {pull.clock}, an answer of "
                    f"the warehouse came in that is older than that sale (as of entry {pull.event.position}; the sale is "
                    f"entry {gone.position}), and {me} believed {self._knowledge.said(pull)} again."
                )
            case "push on its way" if len(lines) > 1:
                return f"{sold}: {other}'s push of clock {lines[0].clock} came in at clock {lines[1].clock}, too late."
            case "push on its way":
                return f"{sold}: {other}'s push of clock {lines[0].clock} never came in."
            case "answer on its way" if gone.trader == knower.process:
                return (
                    f"{me} had the warehouse asked for {gone.order_id} itself, and that had sold it; the answer was still on "
                    f"its way as {me} promised another unit of the lot."
                )
            case "answer on its way":
                return f"{sold}: the warehouse had sold it, and {other} had no answer yet, so nobody was told."
            case "pushes are off":
                return f"{sold}: the traders do not push (--set push=false), and it had not read the shelves since."
        return f"{sold}: {other} never told it."

    def _taken_over(self) -> Line | None:
        """The event by which an heir found the promise in a journal."""
        for lines in self._knowledge.lines.values():
            for line in lines:
                if isinstance(line.event, events.TookOver) and self._denial.order_id in dict(line.event.promises):
                    return line
        return None

    def _shown(self, gone: Gone) -> list[Line]:
        return [gone.line] if gone.line is not None else []

    def _found(self, cause: Cause, lines: list[Line], *why: str, knower: Line | None = None) -> Overselling:
        return Overselling(cause, tuple(lines), why, self._deposit.deposit_id, knower)

    @property
    def _lot(self) -> str:
        return f"{self._deposit.deposit_id} ({self._deposit.count} {self._deposit.item})"

    def _name(self, peer: str) -> str:
        return self._run.name(peer)


def _count(count: int) -> str:
    return "none" if count <= 0 else str(count)


def _were(count: int) -> str:
    return "was" if count <= 1 else "were"


def under_sold(run: Run, denial: Denial) -> str:
    """A sentence on the units of the item in other lots when the order was refused; empty if there were none."""
    left: dict[str, int] = {}
    for entry in run.entries:
        if entry.position >= denial.position:
            break
        match entry:
            case DepositEntry(item=item, deposit_id=deposit_id, count=count) if item == denial.item:
                left[deposit_id] = count
            case Sale(item=item, parts=parts) if item == denial.item:
                for part in parts:
                    left[part.deposit_id] -= part.units
    there = {deposit_id: count for deposit_id, count in left.items() if count > 0}
    if sum(there.values()) < denial.units:
        return ""
    lots = ", ".join(f"{count} of {deposit_id}" for deposit_id, count in list(there.items())[:3])
    more = f" and {len(there) - 3} more lots" if len(there) > 3 else ""
    return (
        f"It was under-sold, too: the warehouse had {sum(there.values())} {denial.item} in other lots ({lots}{more}). "
        f"The belief that refused it is the promise itself: a promise is kept from its own lot, or not at all."
    )
