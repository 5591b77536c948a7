"""The time of a run on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bazaar.protocol.events import Compared
from bazaar.runtime.far_clock import QUESTIONS, FarClock, compared
from bazaar.runtime.runclock import RunClock, this_clock
from bazaar.runtime.transport import Unreachable
from tests.waiting import wait_until

AHEAD_S = 3_600.0


def questions(waits: list[tuple[float, float]]) -> tuple[Callable[[], float], Callable[[], float]]:
    """A clock elsewhere and one here. Each question takes so many seconds to get there, and so many to come back."""
    here = [100.0]
    each = iter(waits)

    def read() -> float:
        there, back = next(each)
        here[0] += there
        reading = here[0] + AHEAD_S
        here[0] += back
        return reading

    return read, lambda: here[0]


def test_the_fastest_question_counts_and_its_error_is_bounded() -> None:
    slow, fast = (0.9, 0.1), (0.003, 0.001)
    ahead_s, error_s = compared(*questions([slow] * 3 + [fast] + [slow] * (QUESTIONS - 4)))
    assert error_s == pytest.approx(0.002)
    assert ahead_s == pytest.approx(AHEAD_S + 0.001)


@pytest.mark.parametrize("waits", [(0.0, 0.5), (0.5, 0.0), (0.25, 0.25)])
def test_the_truth_is_within_the_stated_error_whichever_way_takes_longer(waits: tuple[float, float]) -> None:
    ahead_s, error_s = compared(*questions([waits] * QUESTIONS))
    assert abs(ahead_s - AHEAD_S) <= error_s + 1e-9


def test_a_far_clock_shows_the_time_of_the_run() -> None:
    launched = RunClock(1_000.0, time.monotonic() + AHEAD_S)
    clock = FarClock(launched, lambda: time.monotonic() + AHEAD_S)
    assert clock.now() == pytest.approx(1_000.0, abs=0.5)


def test_it_is_corrected_while_it_runs_and_never_goes_back() -> None:
    ahead = [AHEAD_S]
    clock = FarClock(RunClock(1_000.0, time.monotonic() + AHEAD_S), lambda: time.monotonic() + ahead[0])
    before = clock.now()
    ahead[0] -= 60.0
    moved = clock.correct()
    assert moved.drifted_s == pytest.approx(-60.0, abs=0.5)
    assert clock.now() == pytest.approx(before, abs=1e-9)
    ahead[0] += 120.0
    assert clock.correct().drifted_s == pytest.approx(120.0, abs=0.5)
    assert clock.now() == pytest.approx(before + 60.0, abs=0.5)


def test_it_notes_each_comparison_and_outlives_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bazaar.runtime.far_clock.COMPARE_EVERY_S", 0.01)
    asked: list[float] = []

    def read() -> float:
        asked.append(0.0)
        if QUESTIONS < len(asked) < QUESTIONS + 4:
            raise Unreachable("cut off")
        return time.monotonic() + AHEAD_S

    noted: list[Compared] = []
    FarClock(RunClock(0.0, 0.0), read).keep(noted.append)
    wait_until(lambda: len(noted) > 2, 20.0)
    assert all(line.ahead_s == pytest.approx(AHEAD_S, abs=0.5) for line in noted)
    monkeypatch.setattr("bazaar.runtime.far_clock.COMPARE_EVERY_S", 1e6)


def test_processes_of_one_machine_have_the_same_clock() -> None:
    assert this_clock() == this_clock() != ""
