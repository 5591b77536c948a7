"""Traders by load in simulated bazaars, on machines where each order takes a trader some time; and controls."""

from __future__ import annotations

from typing import Any

import pytest

from bazaar.analysis.audit import Report
from bazaar.core.load import Load
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import SeatsEntry
from bazaar.protocol.goods import Bench
from bazaar.protocol.messages import BenchIs, Resize
from peers.trader.waiting import Waiting
from tests.simulation.trial import KINDS, judged, run

Patch = pytest.MonkeyPatch
BY_LOAD: dict[str, Any] = {
    "peers": 9,
    "buyers": 6,
    "traders": 1,
    "traders_max": 3,
    "window": 5,
    "think_s": 4.0,
    "requests": None,
    "duration_s": 30.0,
    "scale_up_after_ms": 100.0,
    "scale_down_after_s": 1.5,
    "load": "step:20@5+10",
}
CHECK = "seats_follow_the_load"


@pytest.fixture(autouse=True)
def busy(monkeypatch: Patch) -> None:
    """In the simulator a turn takes no time. So how long orders wait is modelled: the square of how many are answered."""

    def waits(self: Waiting, now: float) -> tuple[int, int]:
        told, self._waited = len(self._waited), []
        return told**2, len(self._since)

    monkeypatch.setattr(Waiting, "waits", waits)


def changes(kind: str, seed: int, **fixed: Any) -> tuple[list[int], Report]:
    """The numbers of traders that a world changed to, one after the other, and its report."""
    _, evidence, report = run(kind, seed, **{**BY_LOAD, **fixed})
    return [entry.seats for entry in evidence.entries if isinstance(entry, SeatsEntry)], report


@pytest.mark.parametrize("cache", ["none", "weak", "escrow"])
def test_a_step_of_load_seats_further_traders_and_when_it_is_gone_they_go(cache: str) -> None:
    numbers, report = changes("brisk", 1, cache=cache)
    assert (report.verdict, numbers[0], numbers[-1]) == ("held", 2, 1)


@pytest.mark.parametrize("fixed", [{}, {"routing": "neighbours", "election": "tree"}, {"election": "simultaneous"}])
def test_whatever_befalls_the_market_the_number_of_traders_is_agreed_on(fixed: dict[str, Any]) -> None:
    reports = [changes("brisk-faults", seed, **fixed)[1] for seed in range(6)]
    assert [report.violations for report in reports] == [{}] * 6
    assert sum(report.exercised["seats_changed"] for report in reports) > 6


def test_traders_that_fall_while_a_further_one_is_elected_stand_for_its_seat() -> None:
    """All three fell in one round. None of them stood in it again, but each told the peers below that somebody higher does."""
    assert run("by-load", 5288)[2].verdict == "held"


def test_the_judge_sees_traders_come_and_go_without_a_pause(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Load, "changed", lambda self, now: setattr(self, "_changed_at", now - 1000))
    assert CHECK in changes("brisk", 1)[1].violations


def test_the_judge_sees_that_the_eldest_resigns_by_load(monkeypatch: Patch) -> None:
    def fell(self: Warehouse, turn: Any, source: str, fall: Any) -> None:
        eldest = min((seat for seat in self.ledger.seats.bench.seats if seat is not None), key=lambda seat: seat.since)
        right(self, turn, source, self.ledger.seats.decide_fall(eldest, eldest.peer))  # type: ignore[arg-type] # it is seated

    right = Warehouse._fell
    monkeypatch.setattr(Warehouse, "_fell", fell)
    assert CHECK in changes("brisk", 1)[1].violations


def test_the_judge_sees_that_a_trader_is_seated_without_the_ledger(monkeypatch: Patch) -> None:
    """Everybody decides for himself: the entry is not written, but the seat is opened."""
    resize = Warehouse.handles[Resize]

    def unwritten(self: Warehouse, turn: Any, source: str, body: Resize) -> None:
        bench = self.ledger.seats.bench
        if body.seats > len(bench.traders) and not bench.vacant:
            position = self.ledger.seats.position - 1
            self.ledger.seats.bench = Bench(bench.seats, 1, position, position, True)
            turn.send(source, BenchIs(self.ledger.seats.bench))
        else:
            resize(self, turn, source, body)

    monkeypatch.setitem(Warehouse.handles, Resize, unwritten)
    assert CHECK in changes("brisk", 1)[1].violations


def test_ten_minutes_of_a_wave_do_not_make_the_number_flap() -> None:
    """Each wave seats two further traders and lets them go again, one at a time. The market may end before the last go."""
    waves = 10
    slow = {"peers": 7, "buyers": 4, "think_s": 8.0, "scale_up_after_ms": 25.0, "scale_down_after_s": 5.0}
    world = KINDS["brisk"](1, **{**BY_LOAD, **slow, "load": "wave:20/60", "duration_s": 60.0 * waves})
    world.longest_s = 2 * 60.0 * waves
    evidence, report = judged(world)
    numbers = [entry.seats for entry in evidence.entries if isinstance(entry, SeatsEntry)]
    assert report.verdict == "held"
    assert len(numbers) >= 4 * waves - 2
    assert numbers == (waves * [2, 3, 2, 1])[: len(numbers)]
