"""Crashes, pauses, partitions and resignations drawn from the seed, one to four faults in each market: nothing is lost.

`.venv/bin/python -m tests.simulation --faults --seeds 10000` runs as many as one likes.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation import replay_command, simulate_faults

SEEDS = 300
CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_lost_and_nothing_done_twice(first: int) -> None:
    exercised: Counter[str] = Counter()
    stories = []
    for seed in range(first, first + CHUNK):
        _, report = simulate_faults(seed)
        exercised.update(report.exercised)
        if report.violations:
            stories.append(f"{replay_command(seed, faults=True)}\n  {report.violations}")
    assert not stories, "\n".join(stories)
    # What these seeds are for did happen.
    assert exercised["traders_deposed"] > CHUNK / 5
    assert exercised["queues_taken_over"] > CHUNK / 5
    assert exercised["orders_repeated"] > CHUNK / 2
    assert exercised["sales_from_cache"] > CHUNK


@pytest.mark.parametrize("traders", [1, 2, 3, 4])
def test_any_number_of_traders(traders: int) -> None:
    for seed in range(40):
        _, report = simulate_faults(seed, traders=traders, peers=9)
        assert not report.violations, replay_command(seed, faults=True, traders=traders, peers=9)
