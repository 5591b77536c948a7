"""A trader that dies and is started again before anybody misses it: it goes on with its own journal."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from typing import Any

import pytest

from bazaar.analysis.audit import Report, judge
from bazaar.protocol import events
from bazaar.protocol.entries import Denial, DeposeEntry, Sale
from bazaar.protocol.journal_lines import Queued
from bazaar.runtime.history import only
from tests.simulation import World, draw_world

SEEDS = 100
CHUNK = 50
DEATHS_AT = (0.3, 1.0, 1.7)
BACK_WITHIN_S = 0.5
PROMISING: dict[str, Any] = {"cache": "weak", "window": 5, "restock_count": 10}
"""The cache promises much that the warehouse has yet to confirm."""


def lived(seed: int, with_journal: bool = True, **fixed: Any) -> tuple[World, Report]:
    """The world of this seed, in which the highest peer, which is trader0, dies three times."""
    world = draw_world(
        seed, **{"think_s": 0.05, "requests": 100, "answer_timeout_s": 0.3, "restock_every_s": 0.2, **fixed}
    )
    rng = random.Random(f"deaths/{seed}")
    mortal = world.plan.names[-1]

    def restart() -> None:
        if not with_journal:
            for seat in [seat for seat in world.journals if seat.peer == mortal]:
                world.journals[seat].clear()
        world.restart(mortal)

    for death_at in DEATHS_AT:
        start_s = death_at + rng.uniform(0.0, 0.2)
        back_s = start_s + rng.uniform(0.0, BACK_WITHIN_S)
        world.at(start_s, partial(world.kill, mortal))
        world.at(back_s, restart)
        world.quiet_after_s = back_s
    evidence = world.run()
    return world, judge(evidence)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
@pytest.mark.parametrize("fixed", [{}, PROMISING], ids=["drawn", "promising"])
def test_a_trader_that_is_started_again_carries_on(fixed: dict[str, Any], first: int) -> None:
    stories = []
    happened: Counter[str] = Counter()
    for seed in range(first, first + CHUNK):
        world, report = lived(seed, **fixed)
        mortal = world.plan.names[-1]
        for line in only(world.histories[mortal], events.TookOver):
            if line.event.peer == mortal:
                happened["restarts"] += 1
                happened["orders"] += line.event.orders
                happened["promises"] += line.event.promised
        happened["deposed"] += any(isinstance(entry, DeposeEntry) for entry in world.entries)
        decided = Counter(entry.order_id for entry in world.entries if isinstance(entry, (Sale, Denial)))
        assert set(decided.values()) <= {1}, f"seed {seed}: {decided.most_common(3)}"
        journaled = {line.order.order_id for lines in world.journals.values() for line in lines if type(line) is Queued}
        assert journaled <= set(decided), f"seed {seed}: {journaled - set(decided)} stood in a journal"
        stories += [f"seed {seed}: {check}: {told[0]}" for check, told in report.violations.items()]
    assert not stories, f"{len(stories)}\n" + "\n".join(stories)
    print(dict(happened))
    assert happened["restarts"] > 2 * CHUNK
    assert happened["orders"] > CHUNK
    assert happened["promises"] > (CHUNK if fixed else 0)
    assert not happened["deposed"], "it was away for too long"


def test_without_its_journal_it_would_be_seen() -> None:
    """The negative control: promises of the former life come to nothing, and the audit tells of it."""
    violated = Counter(
        check for seed in range(50) for check in lived(seed, with_journal=False, **PROMISING)[1].violations
    )
    print(dict(violated))
    assert violated["buyers_were_told_the_truth"] >= 5
