"""What is done to a bazaar while it trades (requirements E, F2: the original's test case 3), and how it is said."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bazaar.control.launcher import Bazaar
from bazaar.control.planning import draw_plan
from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.entries import AdoptEntry, Appoint, Denial, DepositEntry, Sale
from bazaar.protocol.events import Event
from bazaar.protocol.faults import MONGOD, Fault
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.settings import Settings, with_pace
from bazaar.runtime.history import HistoryFile
from tests.processes.command import processes_of, run
from tests.processes.market import PATIENCE_S, Traded, in_order, left_behind, quick

Story = Callable[[Bazaar], object]


def wary(**values: Any) -> Settings:
    """A trader that is silent for two seconds is dead."""
    return quick(
        **{
            "peers": 6, "traders": 2, "buyers": 4, "window": 5, "restock_count": 50, "seed": 21, "answer_timeout_s": 2.0,
            "suspect_after_s": 2.0, "heartbeat_s": 0.4, "election_timeout_s": 3.0, **values,
        }
    )  # fmt: skip


def suffered(settings: Settings, out: Path, mongo_uri: str | None, story: Story) -> Traded:
    """A run in which this happens while it trades, and which trades afterwards, and is judged."""
    with Bazaar(settings, out, mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        goes_on(bazaar)
        story(bazaar)
        goes_on(bazaar)
        bazaar.finish()
        assert bazaar.injector.missed == []
        return left_behind(bazaar.plan, out, *bazaar.collect())


def goes_on(bazaar: Bazaar) -> None:
    """Asserts that the market trades."""
    before = bazaar.progress.answered
    assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 50, PATIENCE_S), "the market stands still"


E = TypeVar("E", bound=Event)


def noted(bazaar: Bazaar, kind: type[E], *names: str) -> list[E]:
    """All events of this kind, in the histories of these processes (of all peers, if there are none)."""
    histories = [HistoryFile(bazaar.out / name) for name in names or bazaar.plan.names]
    return [line.event for history in histories for line in history.only(kind)]


def comes_to(bazaar: Bazaar, condition: Callable[[], object]) -> None:
    """Watches over the run until `condition` holds; fails if it does not in time."""
    assert bazaar.wait_until(lambda: bool(condition()), PATIENCE_S), "the market did not come so far"


def kill(bazaar: Bazaar, name: str) -> None:
    """SIGKILL; returns when the launcher has seen it."""
    process = bazaar.processes[name]
    bazaar.injector.inflict(Fault("kill", name, 0.0))
    comes_to(bazaar, lambda: bazaar.processes.get(name) is not process)


def assert_decided_once(traded: Traded) -> None:
    """No order twice, whoever repeated it and whoever carried it out."""
    decided = Counter(entry.order_id for entry in traded.entries if isinstance(entry, (Sale, Denial)))
    assert set(decided.values()) == {1}


def assert_silent_after_deposal(traded: Traded, name: str) -> None:
    """Nothing in the ledger is by `name`, from its (only) deposal on."""
    (deposed,) = (entry for entry in traded.deposed if entry.peer == name)
    after = traded.entries[deposed.position + 1 :]
    by = [
        entry for entry in after if isinstance(entry, (Sale, Denial, DepositEntry, AdoptEntry)) and entry.trader == name
    ]
    assert by == []


# ------------------------------------------------------------------------------------------ test case 3
@pytest.mark.parametrize("cache", POLICIES)
def test_one_of_two_traders_is_killed_under_load(cache: str, tmp_path: Path, mongo_uri: str) -> None:
    settings = wary(cache=cache, window=20)

    def story(bazaar: Bazaar) -> None:
        kill(bazaar, bazaar.plan.names[-1])
        comes_to(bazaar, lambda: noted(bazaar, events.TookOver))

    traded = suffered(settings, tmp_path / "run", mongo_uri, story)
    dead, heir = traded.plan.names[-1], traded.plan.names[-2]
    others = [name for name in traded.plan.names if name not in (dead, heir)]

    # The first to be elected was Trader0.
    assert traded.told(rf"Trader0 aka {dead} is dead!!! Now Trader1 aka {heir} is only trader of the bazaar!!!")
    for name in others:
        assert traded.told(rf"{name} received death message of {dead} from {heir}!!! resetting trader_queue")
    in_order(
        traded.sentences,
        rf"Fault: kill:{dead}@0",
        rf"{dead} was killed",
        r"Trader0 aka .* is dead!!! .*",
        rf"Trader1 aka {heir} takes over the queue of {dead}: \d+ order\(s\) that its journal does not call closed, .*",
        r".* is served from (cache|database) by Trader1",
    )
    (deposed,) = traded.deposed
    assert (deposed.peer, deposed.by) == (dead, heir)
    (adopted,) = traded.adopted
    assert (adopted.peer, adopted.since, adopted.trader) == (dead, deposed.since, heir)
    assert adopted.position > deposed.position
    assert_silent_after_deposal(traded, dead)
    assert any(entry.trader == heir for entry in traded.sales if entry.position > deposed.position)
    assert_decided_once(traded)
    traded.assert_held()

    (fault,) = traded.summary.faults
    assert fault["what"] == f"kill:{dead}@0"
    assert settings.suspect_after_s - settings.heartbeat_s - 0.3 <= fault["detected_s"] <= 30
    assert fault["detected_s"] <= fault["recovered_s"] <= 30


def test_a_trader_that_is_paused_past_the_timeout_does_no_harm_when_it_wakes_up(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with Bazaar(wary(duration_s=14.0), out, mongo_uri, pictures=False) as bazaar:
        name, heir = bazaar.plan.names[-1], bazaar.plan.names[-2]
        bazaar.injector.schedule([Fault("pause", name, 1.0, 7.0)])
        bazaar.start()
        bazaar.trade()
        comes_to(bazaar, lambda: noted(bazaar, events.SteppedDown, name))
        goes_on(bazaar)
        bazaar.finish()
        traded = left_behind(bazaar.plan, out, *bazaar.collect())
    (deposed,) = traded.deposed
    assert (deposed.peer, deposed.by) == (name, heir)
    assert [(entry.peer, entry.trader) for entry in traded.adopted] == [(name, heir)]
    in_order(
        traded.sentences,
        rf"Fault: pause:{name}@1\+7",
        rf"Trader0 aka {name} is dead!!! Now Trader1 aka {heir} is only trader of the bazaar!!!",
        rf"{name} is no trader any more",
        r".* is served from (cache|database) by Trader1",
    )
    assert_silent_after_deposal(traded, name)
    assert_decided_once(traded)
    traded.assert_held()
    (fault,) = traded.summary.faults
    assert 0 < fault["detected_s"] < 7


def test_a_pause_within_the_timeout_deposes_nobody(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with Bazaar(wary(duration_s=6.0, suspect_after_s=20.0), out, mongo_uri, pictures=False) as bazaar:
        bazaar.injector.schedule([Fault("pause", "trader0", 1.0, 2.0)])
        bazaar.start()
        bazaar.trade()
        goes_on(bazaar)
        bazaar.finish()
        traded = left_behind(bazaar.plan, out, *bazaar.collect())
    assert (traded.deposed, traded.adopted) == ([], [])
    assert [fault["what"] for fault in traded.summary.faults] == ["pause:trader0@1+2"]
    assert_decided_once(traded)
    traded.assert_held()


@pytest.mark.parametrize(
    ("election", "routing"), [("rounds", "direct"), ("simultaneous", "direct"), ("tree", "neighbours")]
)
def test_when_all_traders_are_killed_others_are_elected(
    election: str, routing: str, tmp_path: Path, mongo_uri: str
) -> None:
    def story(bazaar: Bazaar) -> None:
        for name in bazaar.plan.names[-2:]:
            kill(bazaar, name)
        comes_to(bazaar, lambda: len(noted(bazaar, events.Elected)) >= 4)
        comes_to(bazaar, lambda: len(noted(bazaar, events.TookOver)) >= 2)

    settings = next(
        settings
        for settings in (wary(election=election, routing=routing, peers=8, seed=seed) for seed in range(100))
        if {is_seller(name) for name in draw_plan(settings).names[:-4]} == {True, False}  # enough for two new traders
    )
    traded = suffered(settings, tmp_path / "run", mongo_uri, story)
    dead = set(traded.plan.names[-2:])
    assert {entry.peer for entry in traded.deposed} == dead
    last = max(entry.position for entry in traded.deposed)
    elected = {entry.peer for entry in traded.entries if isinstance(entry, Appoint) and entry.position > last}
    assert elected == set(traded.plan.names[-4:-2])
    assert {entry.peer for entry in traded.adopted} == dead
    for name in dead:
        assert_silent_after_deposal(traded, name)
    assert {entry.trader for entry in traded.sales if entry.position > last} <= elected
    assert any(entry.position > last for entry in traded.sales)
    assert_decided_once(traded)
    traded.assert_held()


# ------------------------------------------------------------------------------- the warehouse, and MongoDB
@pytest.mark.parametrize("cache", POLICIES)
def test_the_warehouse_is_killed_again_and_again(cache: str, tmp_path: Path, mongo_uri: str) -> None:
    def story(bazaar: Bazaar) -> None:
        for _ in range(3):
            kill(bazaar, WAREHOUSE)
            comes_to(bazaar, lambda: bazaar.processes[WAREHOUSE].said.ready)
            goes_on(bazaar)

    traded = suffered(wary(cache=cache, window=20), tmp_path / "run", mongo_uri, story)
    assert len(traded.told("warehouse was killed")) == 3
    assert len(traded.told("Connected successfully to the database")) == 4
    assert_decided_once(traded)
    traded.assert_held()


@pytest.mark.parametrize("times", [1, 2])
def test_mongod_is_killed(times: int, tmp_path: Path) -> None:
    """The run's own: it is started again on its data, and no entry is lost."""

    def story(bazaar: Bazaar) -> None:
        for _ in range(times):
            before = bazaar.mongod.pid
            bazaar.injector.inflict(Fault("kill", MONGOD, 0.0))
            comes_to(bazaar, lambda before=before: bazaar.mongod.pid not in (before, None))  # type: ignore[misc]
            goes_on(bazaar)

    traded = suffered(wary(window=20), tmp_path / "run", None, story)
    assert len(traded.told("Fault: kill:mongod@0")) == times
    assert_decided_once(traded)
    traded.assert_held()
    assert not (traded.out / "mongodb").exists()
    assert processes_of(tmp_path) == {}


def test_mongod_is_paused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Bazaar(wary(duration_s=8.0), out, pictures=False) as bazaar:
        bazaar.injector.schedule([Fault("pause", MONGOD, 1.0, 4.0)])
        bazaar.start()
        bazaar.trade()
        goes_on(bazaar)
        bazaar.finish()
        traded = left_behind(bazaar.plan, out, *bazaar.collect())
    assert [fault["what"] for fault in traded.summary.faults] == ["pause:mongod@1+4"]
    assert_decided_once(traded)
    traded.assert_held()


# ------------------------------------------------------------------------------------ resigning, restarting
def test_a_trader_resigns(tmp_path: Path, mongo_uri: str) -> None:
    def story(bazaar: Bazaar) -> None:
        bazaar.injector.inflict(Fault("resign", "trader1", 0.0))
        comes_to(bazaar, lambda: noted(bazaar, events.SteppedDown) and noted(bazaar, events.TookOver))

    traded = suffered(wary(), tmp_path / "run", mongo_uri, story)
    name, heir = traded.plan.names[-2], traded.plan.names[-1]
    (deposed,) = traded.deposed
    assert (deposed.peer, deposed.seat, deposed.by) == (name, 1, name)
    assert [(entry.peer, entry.trader) for entry in traded.adopted] == [(name, heir)]
    in_order(traded.sentences, rf"Trader1 aka {name} resigns", rf"{name} is no trader any more")
    assert_silent_after_deposal(traded, name)
    assert_decided_once(traded)
    traded.assert_held()


def test_a_killed_trader_that_is_restarted_takes_part_again(tmp_path: Path, mongo_uri: str) -> None:
    """Not as a trader, its seat is gone; but as what it is besides, and it stands when the next trader falls."""

    def story(bazaar: Bazaar) -> None:
        first, second = bazaar.plan.names[-1], bazaar.plan.names[-2]
        kill(bazaar, first)
        comes_to(bazaar, lambda: noted(bazaar, events.TookOver, second))
        bazaar.injector.inflict(Fault("restart", first, 0.0))
        comes_to(bazaar, lambda: len(noted(bazaar, events.Joined, first)) == 2)
        goes_on(bazaar)
        kill(bazaar, second)
        comes_to(bazaar, lambda: len(noted(bazaar, events.Elected, first)) == 2)
        comes_to(bazaar, lambda: noted(bazaar, events.TookOver, first))

    traded = suffered(wary(), tmp_path / "run", mongo_uri, story)
    first, second = traded.plan.names[-1], traded.plan.names[-2]
    assert [entry.peer for entry in traded.deposed][:2] == [first, second]
    last = traded.deposed[-1].position
    assert any(entry.trader == first for entry in traded.sales if entry.position > last)
    assert_decided_once(traded)
    traded.assert_held()


@pytest.mark.parametrize("role", ["buyer", "seller"])
def test_a_killed_buyer_or_seller_that_is_restarted_goes_on(role: str, tmp_path: Path, mongo_uri: str) -> None:
    done: type[events.OfOrder] = events.Purchased if role == "buyer" else events.Sold

    def story(bazaar: Bazaar) -> None:
        name = next(name for name in bazaar.plan.names[:-2] if name.startswith(role))
        kill(bazaar, name)
        goes_on(bazaar)
        before = len(noted(bazaar, done, name))
        bazaar.injector.inflict(Fault("restart", name, 0.0))
        comes_to(bazaar, lambda: len(noted(bazaar, done, name)) >= before + 5)

    settings = wary(peers=7, restock_count=10, restock_every_s=0.5, think_s=0.005)
    traded = suffered(settings, tmp_path / "run", mongo_uri, story)
    assert traded.deposed == []
    assert_decided_once(traded)
    assert (traded.report.violations, traded.summary.verdict) == ({}, "held")
    # A buyer that was killed does not know any more what it had asked for then.
    assert traded.summary.requests.unanswered <= (settings.window if role == "buyer" else 0)


# ------------------------------------------------------------------------------------------ from the command line
FAST = ("--pace", "fast", "--seed", "2", "--buyers", "4")
NAMES = draw_plan(with_pace("fast", peers=7, traders=2, buyers=4, seed=2)).names  # in a run of seven and two with FAST


def test_faults_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    faults = ("kill:trader1@1", "resign:trader0@6", "kill:warehouse@2", "kill:mongod@4", "pause:buyer0@1+2")
    options = [word for fault in faults for word in ("--fault", fault)]
    options = [word.replace("buyer0", NAMES[0]) for word in options]
    status, said, complained = run(
        tmp_path, None, "localhost", 7, 2, *FAST, "--duration", 14, *options, "--out", out
    )  # fmt: skip
    assert (status, complained) == (0, ""), said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "held"
    assert Counter(fault["what"] for fault in summary["faults"]) == Counter(
        fault.replace("buyer0", NAMES[0]) for fault in faults
    )
    assert processes_of(tmp_path) == {}
    assert not (out / "mongodb").exists()


def test_random_faults(tmp_path: Path) -> None:
    out = tmp_path / "run"
    status, said, complained = run(
        tmp_path, None, "localhost", 8, 3, "--pace", "fast", "--seed", 6, "--duration", 12,
        "--fault", "random:3", "--out", out,
    )  # fmt: skip
    assert (status, complained) in ((0, ""), (3, "")), said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == {0: "held", 3: "unknown"}[status]
    assert all(summary["audit"].values())
    assert len(summary["faults"]) + said.count("not done: ") == 3
    assert processes_of(tmp_path) == {}


def test_a_fault_that_hits_nothing_leaves_the_verdict_open(tmp_path: Path, mongo_uri: str) -> None:
    """The mongod is not ours; and the run is over before the other one."""
    out = tmp_path / "run"
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 5, 1, "--pace", "fast", "--seed", 2, "--requests", 500,
        "--fault", "kill:mongod@0", "--fault", "kill:warehouse@500", "--out", out,
    )  # fmt: skip
    assert (status, complained) == (3, ""), said
    assert said.count("not done: ") == 2
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["verdict"], summary["faults"]) == ("unknown", [])
    assert all(summary["audit"].values())


BAD = {
    "nothing": ("", "kill:NAME@AT"),
    "no kind": ("buyer0@5", "kill:NAME@AT"),
    "an unknown kind": ("bomb:trader0@5", "bomb"),
    "no time": ("kill:trader0", "kill:trader0"),
    "a time that is no number": ("kill:trader0@soon", "soon"),
    "a negative time": ("kill:trader0@-1", "@-1"),
    "an endless time": ("kill:trader0@inf", "inf"),
    "an unknown peer": ("kill:buyer99@5", "buyer99"),
    "the launcher": ("kill:launcher@5", "launcher"),
    "a seat too many": ("kill:trader2@5", "trader0 to trader1"),
    "a pause without a length": ("pause:trader0@5", "pause:trader0@5+SECONDS"),
    "a pause of nothing": ("pause:trader0@5+0", "SECONDS"),
    "a kill with a length": ("kill:trader0@5+3", "SECONDS"),
    "a resignation with a length": ("resign:trader0@5+3", "SECONDS"),
    "restarting who was not killed": ("restart:{0}@5", "not killed"),
    "restarting a seat": ("restart:trader0@5", "trader0"),
    "restarting the warehouse": ("restart:warehouse@5", "warehouse"),
    "a resigning warehouse": ("resign:warehouse@5", "warehouse"),
    "a resigning mongod": ("resign:mongod@5", "mongod"),
    "after the end": ("kill:trader0@30", "30 s"),
    "random without a number": ("random:", "random"),
    "random and negative": ("random:-1", "random:-1"),
    "something behind it": ("kill:trader0@5 ", "kill:trader0@5"),
}


def _refused(tmp_path: Path, mongo_uri: str, *faults: str) -> str:
    options = [f"--fault={fault}" for fault in faults]
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 7, 2, *FAST, "--duration", 30, *options, "--out", tmp_path / "run"
    )
    assert (status, said, complained.count("\n")) == (2, "", 1), complained
    assert "Traceback" not in complained
    assert list(tmp_path.iterdir()) == []
    return complained


@pytest.mark.parametrize(("fault", "named"), BAD.values(), ids=BAD)
def test_a_fault_that_cannot_be(fault: str, named: str, tmp_path: Path, mongo_uri: str) -> None:
    assert named in _refused(tmp_path, mongo_uri, fault.format(*NAMES))


def test_killing_twice(tmp_path: Path, mongo_uri: str) -> None:
    name = NAMES[0]
    assert "dead already" in _refused(tmp_path, mongo_uri, f"kill:{name}@1", f"kill:{name}@2")
