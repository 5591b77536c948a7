"""Worlds over all settings, paces and policies, with and without faults; and kills and restarts of any at any moment.

`.venv/bin/python -m tests.simulation --seeds 20000`, and `--lives --seeds 5000`, run as many as one likes.
"""

from __future__ import annotations

from collections import Counter

import pytest

from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.settings import PACES
from bazaar.runtime.history import only
from tests.simulation import draw_any_world, history_bytes, replay_command, run
from tests.simulation.draw import TIMES

WORLDS, LIVES, BY_LOAD, CHUNK = 1_000, 300, 50, 50
HITS = {
    "kill", "restart", "pause", "part", "cut", "slow", "resign", "full", "torn", "unreadable", "in its election", "owing",
    "before it begins", "reply lost", "cut short", "late duplicate", "clock set",
}  # fmt: skip
"""What can have befallen somebody."""


def wrong(kind: str, first: int) -> list[str]:
    """What is wrong with these worlds."""
    stories = []
    for seed in range(first, first + CHUNK):
        report = run(kind, seed)[2]
        if report.violations or report.exercised["deposed_alive"]:
            stories.append(f"{replay_command(seed, kind=kind)}\n  {report.violations}")
    return stories


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_whatever_is_drawn_holds(first: int) -> None:
    stories = wrong("any", first)
    assert not stories, "\n".join(stories)


@pytest.mark.parametrize("first", range(0, LIVES, CHUNK))
def test_whoever_dies_and_is_started_again_whenever(first: int) -> None:
    stories = wrong("lives", first)
    assert not stories, "\n".join(stories)


@pytest.mark.parametrize("first", range(0, BY_LOAD, CHUNK))
def test_however_the_load_changes_and_whatever_befalls_the_market(first: int) -> None:
    stories = wrong("by-load", first)
    assert not stories, "\n".join(stories)


def test_all_that_can_be_drawn_is_drawn() -> None:
    """Settings alone: cheap, so many of them."""
    drawn: Counter[object] = Counter()
    for seed in range(500):
        settings = draw_any_world(seed).plan.settings
        for name in ("pace", "cache", "election", "peers", "traders", "window", "restock_count", "push"):
            drawn[name, getattr(settings, name)] += 1
        drawn["for a time" if settings.duration_s else "for some orders"] += 1
        for name in (*TIMES, "suspect_after_s"):
            own = PACES[settings.pace].get(name, PACES["fast"].get(name))
            drawn[name, "the pace's" if getattr(settings, name) == own else "another"] += 1
        longer_than_suspicion = settings.reelection_delay_s > settings.suspect_after_s
        drawn["elections further apart than patience lasts"] += longer_than_suspicion
    for pace in PACES:
        assert drawn["pace", pace] > 100
    for cache in POLICIES:
        assert drawn["cache", cache] > 500 / len(POLICIES) / 2
    for peers in range(3, 10):
        assert drawn["peers", peers] > 20
    for traders in range(1, 6):
        assert drawn["traders", traders] > 10
    for mode in ("rounds", "simultaneous"):
        assert drawn["election", mode] > 150
    for name in (*TIMES, "suspect_after_s"):
        assert drawn[name, "another"] > 100
    assert drawn["for a time"] > 50
    assert drawn["for some orders"] > 200
    assert drawn["elections further apart than patience lasts"] > 50


def test_all_that_can_befall_a_world_does() -> None:
    """And it hits somebody who is there, in the first election too."""
    hits: Counter[str] = Counter()
    worlds = Counter[str]()
    for seed in range(150):
        world, evidence, report = run("faults", seed)
        hits += world.hits
        assert not world.hits["refused"], replay_command(seed, kind="faults")
        launcher = evidence.histories["launcher"]
        openings = (line.at for name in world.plan.names for line in only(evidence.histories[name], events.Opened))
        opened = min(openings, default=float("inf"))
        worlds["before the opening"] += any(line.at < opened for line in only(launcher, events.Fault))
        worlds["after the opening"] += any(line.at > opened for line in only(launcher, events.Fault))
        lives = Counter(line.event.name for line in only(launcher, events.Started))
        worlds["three lives"] += max(lives.values()) > 2
        worlds["two of two"] += sum(count > 1 for count in lives.values()) > 1
        worlds["letters before it begins"] += world.hits["before it begins"] > 0
        worlds["deposed"] += report.exercised["traders_deposed"] > 0
        worlds["taken over"] += report.exercised["queues_taken_over"] > 0
    print(hits, worlds)
    assert {kind for kind in HITS if not hits[kind]} == set()
    for what in ("before the opening", "after the opening", "deposed", "taken over"):
        assert worlds[what] > 15, what
    for what in ("three lives", "two of two", "letters before it begins"):
        assert worlds[what] > 3, what


def test_the_same_seed_gives_the_same_history() -> None:
    for seed in range(20):
        once, again = (history_bytes(run("any", seed)[1]) for _ in range(2))
        assert once == again, replay_command(seed, kind="any")
