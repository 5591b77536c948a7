"""Why orders were over-sold, in worlds with a weak cache, beside what the simulator itself saw.

Its truth is not taken from histories: which promise was kept in a journal and which sale in the ledger when, and which letters
were received when.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from bazaar.analysis.audit import Evidence
from bazaar.analysis.stories import Run, explain, pick
from bazaar.analysis.stories.oversold import Overselling, why_oversold
from bazaar.analysis.stories.reading import Line
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, DepositEntry, Sale
from bazaar.protocol.journal_lines import Promised
from bazaar.protocol.messages import Answer, CacheUpdate
from bazaar.protocol.requests import Shelves
from bazaar.protocol.wire import Letter
from bazaar.runtime.history import mentioning
from peers.peer import Peer
from tests.simulation import replay_command, run

WORLDS = 240
"""Of these some 100 have over-sold orders."""
WAS_THERE = {"sold at once", "take-over"}
WAS_GONE = {"push on its way", "answer on its way", "crossed pushes", "late push", "late deposit", "old journal"}


class Received(NamedTuple):
    at: float
    by: str
    source: str
    letter: Letter


class Truth:
    """What the simulator saw. `gone`: by lot, the orders that units were promised or sold to, in the order of that."""

    def __init__(self) -> None:
        self.gone: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.received: list[Received] = []

    def left(self, deposit: DepositEntry, sold: dict[str, int], order_id: str) -> int:
        """How many units of the lot there were when it was promised to this order, by those who had them in the end."""
        gone = list(self.gone[deposit.deposit_id])
        return deposit.count - sum(sold.get(order, 0) for order in gone[: gone.index(order_id)])


@pytest.fixture
def truth(monkeypatch: pytest.MonkeyPatch) -> Truth:
    seen = Truth()
    keep, receive = Turn.keep, Peer.receive

    def kept(self: Turn, record: Any) -> None:
        if isinstance(record, Promised):
            seen.gone[record.lot.deposit_id].setdefault(record.order.order_id)
        if isinstance(record, Sale):
            for part in record.parts:
                seen.gone[part.deposit_id].setdefault(record.order_id)
        keep(self, record)

    def received(self: Peer, turn: Turn, source: str, letter: Letter) -> None:
        seen.received.append(Received(turn.now, self.name, source, letter))
        receive(self, turn, source, letter)

    monkeypatch.setattr(Turn, "keep", kept)
    monkeypatch.setattr(Peer, "receive", received)
    return seen


def stories(evidence: Evidence) -> Iterator[tuple[Denial, Overselling, Line | None]]:
    """Each over-sold order, why it was, and its promise."""
    told = Run(evidence.plan, evidence.entries, evidence.histories)
    for entry in evidence.entries:
        if isinstance(entry, Denial) and entry.reason == "oversold":
            own = [line for lines in told.about(entry.order_id).values() for line in lines]
            promises = (e for e in own if isinstance(e.event, events.Taken) and e.event.to == "cache")
            yield entry, why_oversold(told, entry, own), next(promises, None)


def contradiction(truth: Truth, evidence: Evidence, denial: Denial, why: Overselling, promise: Line) -> str:
    """What the simulator saw that cannot be, if that is why; empty if it all fits."""
    deposit = next(e for e in evidence.entries if isinstance(e, DepositEntry) and e.deposit_id == why.deposit_id)
    sold = {
        entry.order_id: part.units
        for entry in list(evidence.entries)[: denial.position]
        if isinstance(entry, Sale)
        for part in entry.parts
        if part.deposit_id == why.deposit_id
    }
    left = truth.left(deposit, sold, denial.order_id)
    if why.cause in WAS_THERE and left < denial.units:
        return f"{left} were left when it was promised"
    if why.cause in WAS_GONE and left >= denial.units and why.knower in (None, promise):
        return f"{left} were left when it was promised"
    if why.cause == "push on its way":
        push, knower = why.lines[1], why.knower
        assert knower is not None
        came = [
            each.at
            for each in truth.received
            if (each.by, each.source) == (knower.process, push.process)
            and isinstance(each.letter.body, CacheUpdate)
            and each.letter.clock > push.clock
            and any(lot.deposit_id == why.deposit_id for lot in each.letter.body.lots)
        ]
        if came and min(came) < knower.at:
            return f"the push came at {min(came)}, and the promise was made at {knower.at}"
    if why.cause == "stale pull":
        _, heard, pull = why.lines[-3:]
        assert why.knower is not None
        assert isinstance(pull.event, events.Learned)
        answers = [
            each
            for each in truth.received
            if each.by == why.knower.process and isinstance(each.letter.body, Answer) and each.letter.clock == pull.sent
        ]
        body = answers[0].letter.body if answers else None
        if not isinstance(body, Answer) or not any(isinstance(reply, Shelves) for reply in body.replies):
            return "no such answer of the warehouse came in"
        if not heard.at <= answers[0].at <= why.knower.at or body.position != pull.event.position:
            return "the answer came in at another time, or is of another position"
    return ""


def test_a_cause_is_named_for_every_over_sold_order_and_the_simulator_saw_it(truth: Truth) -> None:
    wrong, causes, worlds = [], Counter[str](), 0
    for seed in range(WORLDS):
        truth.__init__()  # type: ignore[misc]
        evidence = run("brisk", seed, cache="weak")[1]
        before = sum(causes.values())
        for denial, why, promise in stories(evidence):
            causes[why.cause] += 1
            assert promise is not None
            if why.cause in ("policy", "not recorded", "not told") or not why.why:
                wrong.append(f"{replay_command(seed, cache='weak')}: {denial.order_id}, {why.cause}")
            elif problem := contradiction(truth, evidence, denial, why, promise):
                wrong.append(f"{replay_command(seed, cache='weak')}: {denial.order_id}, {why.cause}, but {problem}")
        worlds += sum(causes.values()) > before
    assert not wrong, "\n".join(wrong)
    assert worlds >= 100
    assert {"push on its way", "sold at once", "stale pull", "crossed pushes", "late push"} <= causes.keys()


def test_a_cause_is_named_also_where_traders_die() -> None:
    causes = Counter[str]()
    for seed in range(160):
        causes.update(why.cause for _, why, _ in stories(run("brisk-faults", seed, cache="weak")[1]))
    assert not causes.keys() & {"policy", "not recorded"}, causes
    assert causes["take-over"]


def test_traders_that_do_not_push_are_blamed_for_that() -> None:
    causes = Counter[str]()
    for seed in range(60):
        evidence = run("brisk", seed, cache="weak", push=False, traders=2, restock_count=3)[1]
        causes.update(why.cause for _, why, _ in stories(evidence))
    assert causes["pushes are off"]
    assert not causes.keys() & {"push on its way", "stale pull", "late push", "crossed pushes", "policy", "not told"}


def test_the_story_of_an_order_has_its_own_events_in_the_order_of_time() -> None:
    evidence = run("brisk", 1, cache="weak", units="1")[1]
    told = Run(evidence.plan, evidence.entries, evidence.histories)
    order = pick(told, "oversold")
    assert order is not None
    story = explain(told, order)
    assert story is not None
    assert (story.outcome, story.order) == ("over-sold", order)
    times = [moment.at_s for moment in story.moments]
    assert times == sorted(times)
    assert len(story.moments) <= 16
    noted = sum(len(list(mentioning(history, order))) for history in evidence.histories.values())
    assert noted >= 5
    assert any("orders" in moment.text for moment in story.moments)
    assert any("believes" in moment.text for moment in story.moments)
