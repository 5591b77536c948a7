"""The stories of orders: a history made for each cause, and the command.

Two traders, buyer4 (trader0) and buyer3 (trader1), and one lot, seller1-d0, of one or two salt. buyer3 has the last unit sold
to buyer0-0; buyer4's cache promises it to buyer0-1, which is over-sold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from bazaar.analysis.stories import PICKS, WORDS, Cause, Run, Story, explain, pick
from bazaar.protocol.entries import AnyEntry, Appoint, Denial
from bazaar.protocol.events import Event
from bazaar.protocol.plan import Plan
from bazaar.runtime import run_folder
from bazaar.runtime.history import Recorded
from create_bazaar import HELD, WRONG_USAGE, main
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order, leave_behind, some_settings
from tests.trial import NAMES, Script

ME, OTHER, WAREHOUSE, LAUNCHER, LOT = "buyer4", "buyer3", "warehouse", "launcher", "seller1-d0"
Histories = dict[str, list[Recorded[Event]]]
HAVE_ONE: tuple[Any, ...] = ((LOT, 1),)
HAVE_NONE: tuple[Any, ...] = ((LOT, 0),)


class Market:
    """Writes the histories. Clocks are hundredths of a second."""

    def __init__(
        self, count: int = 1, sold_by: str = OTHER, cached: bool = True, denied: str = ME, **settings: Any
    ) -> None:
        self._scripts = {name: Script(name) for name in (LAUNCHER, WAREHOUSE, *NAMES)}
        for script in self._scripts.values():
            script.note(1, "born")
        lot = a_lot(LOT, count=count)
        units = [a_sale(3 + n, an_order(f"buyer0-{7 + n}"), lot, sold_by, cached) for n in range(count - 1)]
        self.entries: tuple[AnyEntry, ...] = (
            Appoint(0, ME, 0),
            Appoint(1, OTHER, 1),
            a_deposit_entry(2, lot, ME),
            *units,
            a_sale(2 + count, an_order("buyer0-0"), lot, sold_by, cached),
            Denial(3 + count, "buyer0-1", "buyer0", "salt", "oversold", 50, denied),
        )
        goods: Any = dict.fromkeys(NAMES, "salt")
        self.plan = Plan(some_settings(peers=5, traders=2, **settings), NAMES, goods, dict.fromkeys(NAMES, ()), "weak")
        self.note("buyer0", 48, "ordered", order="buyer0-1", item="salt", trader=ME)
        self.note("buyer0", 90, "revoked", order="buyer0-1", item="salt")

    def note(self, process: str, clock: int, what: str, by: tuple[str, int] | None = None, /, **facts: Any) -> None:
        self._scripts[process].note(clock, what, by, **facts)

    def promises(self, process: str, clock: int, order: str, count: int) -> None:
        self.note(process, clock, "taken", order=order, item="salt", to="cache", deposit=LOT, count=count)

    def pushes(self, source: str, sent: int, to: str, heard: int | None, lots: tuple[Any, ...]) -> None:
        self.note(source, sent, "pushed", to=to, lots=lots)
        if heard is not None:
            self.note(to, heard, "heard_push", (source, sent + 1), neighbor=source, lots=lots)

    def learns(self, process: str, clock: int, position: int, lots: tuple[Any, ...]) -> None:
        self.note(process, clock, "learned", (WAREHOUSE, clock - 5), position=position, lots=lots)

    @property
    def histories(self) -> Histories:
        return {name: sorted(each.history, key=lambda line: line.clock) for name, each in self._scripts.items()}

    @property
    def run(self) -> Run:
        return Run(self.plan, self.entries, self.histories)

    def story(self, order: str = "buyer0-1") -> Story:
        story = explain(self.run, order)
        assert story is not None
        return story


def a_push_on_its_way(market: Market) -> None:
    market.learns(ME, 30, 3, HAVE_ONE)
    market.promises(OTHER, 40, "buyer0-0", 1)
    market.pushes(OTHER, 41, ME, 60, HAVE_NONE)
    market.promises(ME, 50, "buyer0-1", 1)


def a_stale_pull(market: Market) -> None:
    market.promises(OTHER, 40, "buyer0-0", 1)
    market.pushes(OTHER, 41, ME, 43, HAVE_NONE)
    market.learns(ME, 46, 3, HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)


def sold_at_once(market: Market) -> None:
    market.learns(ME, 30, 3, HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)
    market.pushes(ME, 51, OTHER, 60, HAVE_NONE)
    market.promises(OTHER, 55, "buyer0-0", 1)


def a_late_push(market: Market) -> None:
    market.pushes(ME, 20, OTHER, 22, HAVE_ONE)
    market.promises(OTHER, 25, "buyer0-0", 1)
    market.note(OTHER, 26, "pushed", to=ME, lots=HAVE_NONE)
    market.note(ME, 28, "heard_push", (OTHER, 27), neighbor=OTHER, lots=HAVE_NONE)
    market.learns(ME, 35, 4, HAVE_NONE)
    market.note(ME, 45, "heard_push", (OTHER, 24), neighbor=OTHER, lots=HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)


def a_repeated_deposit(market: Market) -> None:
    market.promises(OTHER, 25, "buyer0-0", 1)
    market.learns(ME, 45, 4, HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)


def an_old_journal(market: Market) -> None:
    market.promises(OTHER, 25, "buyer0-0", 1)
    market.learns(ME, 30, 4, HAVE_NONE)
    market.note(ME, 45, "took_over", peer=OTHER, orders=1, promised=1, promises=(("buyer0-0", LOT),))
    market.promises(ME, 50, "buyer0-1", 1)


def nobody_told(market: Market) -> None:
    market.learns(ME, 30, 3, HAVE_ONE)
    market.promises(OTHER, 40, "buyer0-0", 1)
    market.promises(ME, 50, "buyer0-1", 1)


def an_own_policy(market: Market) -> None:
    market.promises(OTHER, 25, "buyer0-0", 1)
    market.learns(ME, 30, 4, HAVE_NONE)
    market.promises(ME, 50, "buyer0-1", 1)


def nothing_noted(market: Market) -> None:
    market.promises(OTHER, 25, "buyer0-0", 1)


CAUSES: list[tuple[str, Callable[[Market], None], dict[str, Any]]] = [
    ("push on its way", a_push_on_its_way, {}),
    ("stale pull", a_stale_pull, {}),
    ("sold at once", sold_at_once, {}),
    ("late push", a_late_push, {}),
    ("late deposit", a_repeated_deposit, {}),
    ("old journal", an_old_journal, {}),
    ("not told", nobody_told, {}),
    ("pushes are off", nobody_told, {"push": False}),
    ("policy", an_own_policy, {}),
    ("not recorded", nothing_noted, {}),
]


@pytest.mark.parametrize(("cause", "happens", "settings"), CAUSES, ids=[cause for cause, _, _ in CAUSES])
def test_each_cause_is_told_as_what_it_is(
    cause: str, happens: Callable[[Market], None], settings: dict[str, Any]
) -> None:
    market = Market(**settings)
    happens(market)
    story = market.story()
    assert (story.outcome, story.cause) == ("over-sold", cause)
    assert story.why


def test_pushes_that_cross_are_no_sum() -> None:
    """Of two, each sold one and pushed that one is left; that is kept, since it is not lower than one's own count."""
    market = Market(count=2)
    market.promises(ME, 20, "buyer0-7", 2)
    market.note(ME, 21, "pushed", to=OTHER, lots=HAVE_ONE)
    market.promises(OTHER, 20, "buyer0-0", 2)
    market.pushes(OTHER, 23, ME, 30, HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)
    assert market.story().cause == "crossed pushes"


@pytest.mark.parametrize("heir_says_so", [True, False])
def test_a_take_over_between_promise_and_sale(heir_says_so: bool) -> None:
    market = Market(denied=OTHER if heir_says_so else ME)
    market.learns(ME, 30, 3, HAVE_ONE)
    market.promises(ME, 50, "buyer0-1", 1)
    market.promises(OTHER, 60, "buyer0-0", 1)
    heir = OTHER if heir_says_so else ME
    market.note(heir, 70, "took_over", peer=ME, orders=1, promised=1, promises=(("buyer0-1", LOT),))
    story = market.story()
    assert story.cause == "take-over"
    assert any("takes over the queue" in moment.text for moment in story.moments)


def test_an_answer_of_the_warehouse_that_nobody_has_yet() -> None:
    market = Market(cached=False)
    market.learns(ME, 30, 3, HAVE_ONE)
    market.note(WAREHOUSE, 40, "shipped", order="buyer0-0", item="salt")
    market.note(OTHER, 60, "traded", order="buyer0-0", item="salt", seller="seller1", price=800, by="warehouse")
    market.promises(ME, 50, "buyer0-1", 1)
    assert market.story().cause == "answer on its way"


def test_what_was_believed_before_a_restart_is_forgotten() -> None:
    market = Market()
    market.learns(ME, 20, 3, HAVE_ONE)
    market.promises(OTHER, 25, "buyer0-0", 1)
    market.pushes(OTHER, 26, ME, 60, HAVE_NONE)
    market.note(ME, 40, "born", life=2)
    market.promises(ME, 50, "buyer0-1", 1)
    story = market.story()
    assert not any("has an answer of the warehouse" in moment.text for moment in story.moments)


def test_the_story_says_who_believed_what_from_where_and_what_the_warehouse_decided() -> None:
    market = Market()
    a_stale_pull(market)
    market.note(WAREHOUSE, 70, "oversold", order="buyer0-1", item="salt", buyer="buyer0", trader=ME, deposit=LOT)
    story = market.story()
    assert [moment.text for moment in story.moments] == [
        "trader1 (buyer3) promises buyer0-0 from seller1-d0, of which it believes 1 left",
        "trader1 (buyer3) pushes to trader0 (buyer4): 0 of seller1-d0",
        "trader0 (buyer4) hears a push of trader1 (buyer3): 0 of seller1-d0",
        "trader0 (buyer4) has an answer of the warehouse as of entry 3: 1 of seller1-d0",
        "buyer0 orders salt from trader0 (buyer4)",
        "trader0 (buyer4) promises it from seller1-d0, of which it believes 1 left",
        "the warehouse, asked by trader0 (buyer4), finds nothing left of seller1-d0 (ledger entry 4)",
        "buyer0 is told that it does not get it after all",
    ]
    assert [moment.clock for moment in story.moments] == [40, 41, 43, 46, 48, 50, 70, 90]
    assert "older than that sale" in story.why[1]


def test_under_sold_is_said_of_the_promise_whose_lot_was_empty_while_another_was_not() -> None:
    market = Market()
    nobody_told(market)
    more = a_deposit_entry(5, a_lot("seller2-d0", count=3), ME)
    market.entries = (*market.entries[:4], msgspec.structs.replace(more, position=4),
                      msgspec.structs.replace(market.entries[4], position=5))  # fmt: skip
    assert "3 of seller2-d0" in market.story().why[-1]
    assert pick(market.run, "undersold") == "buyer0-1"


# -------------------------------------------------------------------------------- without an answer, or slow
class Waiting(Market):
    """buyer0-5 was ordered of buyer4 at 100 and has no answer; `answered` gives it one at 300."""

    def __init__(self) -> None:
        super().__init__()
        self.note("buyer0", 100, "ordered", order="buyer0-5", item="salt", trader=ME)

    def answered(self) -> Story:
        self.note("buyer0", 300, "found_unavailable", order="buyer0-5", item="salt")
        return self.story("buyer0-5")

    def queued(self, what: str = "queued", clock: int = 110) -> None:
        self.note(ME, clock, what, order="buyer0-5", item="salt", buyer="buyer0", clock=101, lane="salt")

    def taken(self, clock: int) -> None:
        self.note(ME, clock, "taken", order="buyer0-5", item="salt", to="warehouse")


def test_an_order_is_lost_because_its_buyer_is_gone() -> None:
    market = Waiting()
    market.note(LAUNCHER, 120, "fell", name="buyer0")
    market.note(LAUNCHER, 400, "ended")
    assert (market.story("buyer0-5").outcome, market.story("buyer0-5").cause) == ("unanswered", "buyer is gone")
    market.note("buyer0", 130, "born", life=2)
    assert market.story("buyer0-5").cause == "nothing happened"


def test_an_order_is_lost_because_the_run_was_cut_short() -> None:
    assert Waiting().story("buyer0-5").cause == "run was cut short"


def test_slow_because_of_a_fail_over() -> None:
    market = Waiting()
    market.queued()
    market.note(WAREHOUSE, 200, "deposed", peer=ME, seat=0)
    assert market.answered().cause == "fail-over"


def test_slow_because_a_process_stood_still() -> None:
    market = Waiting()
    market.queued()
    market.note(ME, 280, "absent", for_s=1.5)
    assert market.answered().cause == "stood still"


def test_slow_in_the_queue_or_at_the_warehouse() -> None:
    market = Waiting()
    market.queued()
    market.taken(290)
    assert market.answered().cause == "queue"
    market = Waiting()
    market.queued()
    market.taken(120)
    assert market.answered().cause == "warehouse"


def test_slow_because_others_hold_the_goods() -> None:
    market = Waiting()
    market.queued()
    market.taken(115)
    market.queued("requeued", 120)
    market.taken(290)
    assert market.answered().cause == "scarce"


def test_slow_because_nobody_answered() -> None:
    market = Waiting()
    market.note("buyer0", 290, "repeated", order="buyer0-5", item="salt", trader=OTHER)
    assert market.answered().cause == "repeated"


# ------------------------------------------------------------------------------------------- the picks, the command
def test_the_same_order_is_picked_each_time() -> None:
    market = Waiting()
    a_stale_pull(market)
    assert {which: pick(market.run, which) for which in PICKS} == {
        "oversold": "buyer0-1",
        "undersold": None,
        "lost": "buyer0-5",
        "slowest": "buyer0-1",
    }


def test_an_order_that_only_the_ledger_knows_is_told() -> None:
    market = Market()
    a_stale_pull(market)
    market.note(WAREHOUSE, 60, "shipped", order="buyer0-0", item="salt")
    story = market.story("buyer0-0")
    assert (story.item, story.outcome, story.cause) == ("salt", "unanswered", None)
    assert story.why == ("No history says that anybody placed it.",)
    assert any(moment.text.startswith("the warehouse sells it") for moment in story.moments)


def test_each_cause_has_words() -> None:
    assert set(WORDS) == set(get_args(Cause))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The run's folder."""
    market = Waiting()
    a_stale_pull(market)
    return leave_behind(tmp_path, market.plan, market.entries, market.histories)


def test_the_command_tells_the_story(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--oversold", str(out)]) == HELD
    said = capsys.readouterr().out
    assert said.startswith(
        "buyer0-1, one salt for buyer0: over-sold: a stale pull overwrote what a newer push had said\n"
    )
    assert "clock 46 " in said
    assert main(["explain", "buyer0-1", str(out)]) == HELD
    assert capsys.readouterr().out == said


def test_the_command_speaks_json(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "buyer0-1", str(out), "--json"]) == HELD
    assert json.loads(capsys.readouterr().out)["cause"] == "stale pull"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "usage: bash run.sh explain ORDER [RUN]"),
        (["buyer0-1", "{out}", "more"], "usage: bash run.sh explain ORDER [RUN]"),
        (["buyer0-11", "{out}"], "no order 'buyer0-11' (did you mean buyer0-1?)"),
        (["--undersold", "{out}"], "no order of {out} was under-sold"),
        (["--oversould", "{out}"], "--oversold"),
        (["buyer0-1", "{out}/buyer0"], "is no run's folder"),
    ],
)
def test_wrong_usage_is_a_line_and_status_2(
    arguments: list[str], complaint: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *(each.replace("{out}", str(out)) for each in arguments)]) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert complaint.replace("{out}", str(out)) in complained


def test_a_run_that_goes_on_is_not_explained(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = run_folder.lock(out)
    assert lock is not None
    assert main(["explain", "--oversold", str(out)]) == WRONG_USAGE
    assert "still going on" in capsys.readouterr().err
