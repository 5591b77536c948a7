"""A trader that is killed (SIGKILL) and started again on its own journal carries on soon enough (requirement E2)."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from bazaar.control.launcher import Bazaar
from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, Sale
from bazaar.protocol.faults import Fault
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import HistoryFile, only
from tests.processes.market import PATIENCE_S, left_behind, quick
from tests.waiting import wait_until


def kill(bazaar: Bazaar, name: str) -> None:
    """SIGKILL; returns when the launcher has seen it."""
    bazaar.injector.inflict(Fault("kill", name, 0.0))
    assert bazaar.wait_until(lambda: name not in bazaar.processes, PATIENCE_S)


def _lives(bazaar: Bazaar, name: str) -> int:
    """In how many it has come to trade."""
    return sum(1 for _ in HistoryFile(bazaar.out / name).only(events.Opened))


@pytest.mark.parametrize("cache", POLICIES)
@pytest.mark.parametrize("traders", [1, 2])
def test_a_trader_carries_on_after_kill_9(cache: str, traders: int, tmp_path: Path, mongo_uri: str) -> None:
    settings = quick(
        peers=4 + traders, traders=traders, buyers=3, cache=cache, window=20, restock_count=50, seed=9,
        answer_timeout_s=1.0, suspect_after_s=30.0,
    )  # fmt: skip
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        name = bazaar.plan.names[-1]
        for life in range(2, 5):
            before = bazaar.progress.answered
            assert bazaar.wait_until(lambda before=before: bazaar.progress.answered > before + 100, PATIENCE_S)  # type: ignore[misc]
            kill(bazaar, name)
            bazaar.injector.inflict(Fault("restart", name, 0.0))
            assert bazaar.wait_until(lambda life=life: _lives(bazaar, name) == life, PATIENCE_S)  # type: ignore[misc]
        before = bazaar.progress.answered
        assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 100, PATIENCE_S), "the market stands still"
        bazaar.finish()
        run = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())

    decided = Counter(entry.order_id for entry in run.entries if isinstance(entry, (Sale, Denial)))
    assert set(decided.values()) == {1}
    run.assert_held()
    assert run.summary.requests.asked == len(decided)
    noted = Counter(type(line.event) for line in run.history(name))
    assert (noted[events.Opened], noted[events.TookOver]) == (4, 3)  # in each life; in each but the first
    assert {line.event.peer for line in only(run.history(name), events.TookOver)} == {name}
    assert run.deposed == []
    assert [fault["what"].partition(":")[0] for fault in run.summary.faults] == ["kill", "restart"] * 3
    assert sum(entry.trader == name for entry in run.sales) > 0


def test_what_stood_in_the_journal_is_carried_out_first(tmp_path: Path, mongo_uri: str) -> None:
    """The orders that the killed trader had taken in are decided in its name, though nobody repeats them."""
    settings = quick(
        peers=4, traders=1, buyers=2, cache="none", window=50, restock_count=1000, seed=10, answer_timeout_s=60.0,
        suspect_after_s=30.0,
    )  # fmt: skip
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        name = bazaar.plan.names[-1]
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 50, PATIENCE_S)
        warehouse = bazaar.processes[WAREHOUSE]

        def stopped_with_orders_waiting() -> bool:
            warehouse.signal(signal.SIGSTOP)
            if len(_undecided(bazaar.out, name)) >= 20:
                return True
            warehouse.signal(signal.SIGCONT)
            return False

        wait_until(stopped_with_orders_waiting, PATIENCE_S)
        kill(bazaar, name)
        waiting = _undecided(bazaar.out, name)
        warehouse.signal(signal.SIGCONT)
        bazaar.injector.inflict(Fault("restart", name, 0.0))
        before = bazaar.progress.answered
        assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 100, PATIENCE_S), "the market stands still"
        bazaar.finish()
        run = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())
    run.assert_held()
    decided = Counter(entry.order_id for entry in run.entries if isinstance(entry, (Sale, Denial)))
    assert waiting <= set(decided)
    assert set(decided.values()) == {1}
    histories = [run.history(peer) for peer in run.plan.names]
    repeated = {line.event.order_id for history in histories for line in only(history, events.Repeated)}
    assert not waiting & repeated


def _undecided(out: Path, trader: str) -> set[str]:
    """What the trader has taken in, in its only tenure, and the warehouse has not decided."""
    (journal,) = (out / trader).glob("queue-*.jsonl")
    lines = (json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n"))
    queued = {line["order"][0] for line in lines if line["line"] == "queued"}
    decided = HistoryFile(out / WAREHOUSE).only(events.Shipped, events.Unavailable)
    return queued - {line.event.order_id for line in decided}
