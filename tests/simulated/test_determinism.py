"""The same seed is the same run, byte for byte, everywhere; and the seeds together exercise what there is to exercise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bazaar.protocol.entries import Denial, Sale
from tests.simulation import history_bytes, replay_command, simulate

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(40)


def digest(seed: int) -> str:
    return hashlib.sha256(history_bytes(simulate(seed)[0])).hexdigest()


def test_the_same_seed_gives_the_same_history() -> None:
    for seed in SEEDS:
        first, _ = simulate(seed)
        again, _ = simulate(seed)
        assert history_bytes(first) == history_bytes(again), replay_command(seed)
        assert first.entries == again.entries
        assert first.stock == again.stock


def test_other_seeds_give_other_histories() -> None:
    assert len({digest(seed) for seed in SEEDS}) == len(SEEDS)


def test_another_interpreter_gives_the_same_history() -> None:
    """In particular one that hashes strings otherwise, so that its sets have another order."""
    code = "from tests.simulated.test_determinism import digest\nfor seed in range(12): print(digest(seed))"
    here = [digest(seed) for seed in range(12)]
    for hash_seed in ("1", "4711"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert there.stdout.split() == here


def test_a_failing_seed_can_be_replayed_by_its_command() -> None:
    seed = 3
    fixed: dict[str, Any] = {"cache": "weak", "restock_count": 1}
    options = replay_command(seed, **fixed).split()[1:]
    replayed = subprocess.run(
        [sys.executable, *options], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert replayed.stdout.endswith("of 1 seeds 1 held\n")
    evidence, report = simulate(seed, **fixed)
    assert f"{report.exercised['messages_checked']} messages checked\n" in replayed.stdout
    for entry in evidence.entries:
        if isinstance(entry, Sale):
            units = sum(part.units for part in entry.parts)
            goods = entry.item if units == 1 else f"{entry.item} x{units}"
            sellers = dict.fromkeys(part.seller for part in entry.parts)
            assert f": {entry.buyer} purchased {goods} from {' and '.join(sellers)}\n" in replayed.stdout


def test_weak_oversells_and_none_never_does() -> None:
    oversold: Counter[str] = Counter()
    for cache in ("none", "weak"):
        for seed in SEEDS:
            evidence, _ = simulate(seed, cache=cache, window=5, restock_count=2)
            denials = [entry for entry in evidence.entries if isinstance(entry, Denial)]
            oversold[cache] += any(denial.reason == "oversold" for denial in denials)
            if cache == "none":
                assert not any(isinstance(entry, Sale) and entry.cached for entry in evidence.entries)
    assert oversold["none"] == 0
    assert oversold["weak"] > 0


def test_what_the_seeds_exercise() -> None:
    seeds_with: Counter[str] = Counter()
    for seed in range(100):
        evidence, report = simulate(seed)
        assert report.exercised["orders_asked"] == 30
        assert report.exercised["messages_checked"] > 100
        happened = {line.event.kind for history in evidence.histories.values() for line in history}
        refused = {f"denied as {entry.reason}" for entry in evidence.entries if isinstance(entry, Denial)}
        cached = {"sold from a cache" for entry in evidence.entries if isinstance(entry, Sale) and entry.cached}
        seeds_with.update(happened | refused | cached)
        settings = evidence.plan.settings
        nobody_has_as_many = settings.units == "2" and settings.restock_count == 1  # until the second deposit
        assert "purchased" in happened or nobody_has_as_many, f"seed {seed}"
    for what in (
        "denied as oversold", "denied as unavailable", "revoked", "found_unavailable", "pulled", "pushed", "heard_push",
        "sold from a cache", "out_of_stock", "seller_loop", "reelection", "heard_ok",
    ):  # fmt: skip
        assert seeds_with[what], f"no seed has {what}"


def test_what_impatient_seeds_exercise() -> None:
    seeds_with = sum(
        simulate(seed, answer_timeout_s=0.03, window=5)[1].exercised["orders_repeated"] > 0 for seed in range(20)
    )
    assert seeds_with >= 10
