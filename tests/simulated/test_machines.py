"""Machines that are cut off, or lost for good with the journals on them: nothing is lost or done twice.

`.venv/bin/python -m tests.simulation --machines --seeds 10000` runs as many worlds as one likes. What an unread journal means
for the verdict is judged in `tests/unit/test_audit_evidence.py`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation import replay_command, run

WORLDS, CHUNK = 100, 50


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_whatever_is_drawn_violates_nothing(first: int) -> None:
    hits: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    stories = []
    for seed in range(first, first + CHUNK):
        world, _, report = run("machines", seed)
        hits.update(world.hits)
        verdicts[report.verdict] += 1
        if report.violations:
            stories.append(f"{replay_command(seed, kind='machines')}\n  {report.violations}")
    assert not stories, "\n".join(stories)
    assert hits["machine lost"] > CHUNK / 10
    assert hits["unreadable"] > 0
    assert hits["part"] + hits["cut"] > CHUNK / 5
    assert verdicts["unknown"] > 0
