"""A thousand bazaars, each with a network of its own: whatever is lost, doubled or overtaken, every one is right."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from bazaar.analysis.audit import judge
from bazaar.core.cache import POLICIES
from bazaar.core.ledger import stock
from bazaar.protocol.entries import Denial, Sale
from tests.simulation import World, draw_world, replay_command

SEEDS = 1_000
CHUNK = 50
IMPATIENT = {"answer_timeout_s": 0.03, "window": 5}
"""Buyers and sellers repeat nearly everything, mostly with another trader, while the first is still at it."""


def told(seed: int, **fixed: Any) -> list[str]:
    """What is wrong with the run of this seed."""
    world = draw_world(seed, **fixed)
    report = judge(world.run())
    wrong = [f"{check}: {stories[0]}" for check, stories in report.violations.items()]
    if report.verdict == "unknown":
        wrong.append("no order was answered")
    highest = world.plan.names[: -world.plan.settings.traders - 1 : -1]
    for name in world.plan.names:
        traders = world.actors[name].membership.bench.traders  # type: ignore[attr-defined] # an actor that is a Peer
        if traders != highest:
            wrong.append(f"{name} takes {traders} for the traders, not {highest}")
    return [f"seed {seed}: {'; '.join(wrong)}\n  replay with {replay_command(seed, **fixed)}"] if wrong else []


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_the_highest_peers_are_elected_and_trade_rightly(first: int) -> None:
    stories = [story for seed in range(first, first + CHUNK) for story in told(seed)]
    assert not stories, "\n".join(stories)


def test_answers_that_were_forgotten_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "MOST_ANSWERS", 20)  # more than are decided in one turn
    looked_up = Counter[str]()
    entry_of = World._entry_of

    def counting(world: World, order_id: str) -> Sale | Denial:
        looked_up[order_id] += 1
        return entry_of(world, order_id)

    monkeypatch.setattr(World, "_entry_of", counting)
    stories = [story for seed in range(CHUNK) for story in told(seed, requests=60, **IMPATIENT)]
    assert not stories, "\n".join(stories)
    print(looked_up.total())
    assert looked_up.total() > CHUNK


@pytest.mark.parametrize("first", range(0, 200, CHUNK))
@pytest.mark.parametrize("cache", POLICIES)
def test_orders_that_are_repeated_with_another_trader(cache: str, first: int) -> None:
    stories = [story for seed in range(first, first + CHUNK) for story in told(seed, cache=cache, **IMPATIENT)]
    assert not stories, "\n".join(stories)
