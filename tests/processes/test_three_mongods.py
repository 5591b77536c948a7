"""A run on a replica set of three servers that a URI names: its primary dies, or all of them, in the worst order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bazaar.control.launcher import Bazaar
from tests.contract.replica_set import ReplicaSet, find_mongod
from tests.needs import need
from tests.processes.market import PATIENCE_S, left_behind, quick

pytestmark = pytest.mark.xdist_group("three mongods")  # one set of three at a time

LOCKED_S = 12.0  # longer than a write waits for its majority (`bazaar/runtime/mongo.py`)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[ReplicaSet]:
    mongod = find_mongod()
    need(mongod is not None, "mongod", "pip install -r requirements.txt")
    assert mongod is not None
    (tmp_path / "three").mkdir()
    three = ReplicaSet(tmp_path / "three", mongod)
    yield three
    three.close()


@pytest.fixture
def bazaar(three: ReplicaSet, tmp_path: Path) -> Iterator[Bazaar]:
    """It trades; at the end of the test it still does, and nothing that was acknowledged was lost."""
    settings = quick(peers=6, traders=2, cache="weak", seed=8, restock_count=1000, think_s=0.01)
    with Bazaar(settings, tmp_path / "run", three.uri, pictures=False) as bazaar:
        bazaar.start()
        trades_on(bazaar)
        yield bazaar
        trades_on(bazaar)
        bazaar.finish()
        left_behind(bazaar.plan, bazaar.out, *bazaar.collect()).assert_held()


def trades_on(bazaar: Bazaar) -> None:
    before = bazaar.progress.answered
    assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 50, 3 * PATIENCE_S)


def test_its_primary_is_killed_under_load(three: ReplicaSet, bazaar: Bazaar) -> None:
    primary = three.primary
    assert primary is not None
    three.kill(primary)
    three.await_primary(*{0, 1, 2} - {primary})


def test_secondaries_lag_and_then_all_are_killed_and_those_come_back_that_know_less(
    three: ReplicaSet, bazaar: Bazaar
) -> None:
    primary, *others = three.await_health()
    three.lock(*others)
    until = time.monotonic() + LOCKED_S
    bazaar.wait_until(lambda: time.monotonic() > until)  # the primary has what nobody acknowledges
    three.kill(primary)
    three.kill(*others)
    for member in others:
        three.start(member)
    three.await_primary(*others)
    trades_on(bazaar)
    three.start(primary)  # it takes back what the others do not know
