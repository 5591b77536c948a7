"""Runs and judges worlds by kind, for the command and the tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from bazaar.analysis.audit import Evidence, Report, judge
from bazaar.control.options import text_of
from bazaar.runtime.history import encode_line
from tests.simulation.draw import draw_any_world, draw_world
from tests.simulation.faults import (
    FAULTS,
    LIVES,
    OF_KEEPERS,
    OF_MACHINES,
    OF_THE_CACHE,
    OF_THE_GRAPH,
    cut_off_a_trader,
    draw_any_faults,
    draw_faults,
    lose_a_trader,
)
from tests.simulation.world import World

MOST_PEERS_OF_LIVES = 8
MOST_PEERS_OF_EDGES = 14
MOST_PEERS_BY_LOAD = 10
MOST_PEERS_KEPT = 12


def _brisk(seed: int, **fixed: Any) -> World:
    return draw_world(seed, **fixed)


def _brisk_faults(seed: int, **fixed: Any) -> World:
    world = draw_world(seed, **{"think_s": 0.1, "requests": 60, **fixed})
    draw_faults(world, seed)
    return world


def _plain(seed: int, **fixed: Any) -> World:
    return draw_any_world(seed, **fixed)


def _faults(seed: int, **fixed: Any) -> World:
    world = draw_any_world(seed, **fixed)
    draw_any_faults(world, seed)
    return world


def _lives(seed: int, **fixed: Any) -> World:
    world = draw_any_world(seed, MOST_PEERS_OF_LIVES, **fixed)
    draw_any_faults(world, seed, LIVES)
    return world


def _edges(seed: int, **fixed: Any) -> World:
    world = draw_any_world(seed, MOST_PEERS_OF_EDGES, **{"routing": "neighbours", **fixed})
    draw_any_faults(world, seed, (*FAULTS, *2 * tuple(OF_THE_GRAPH)))
    return world


def _machines(seed: int, **fixed: Any) -> World:
    world = draw_any_world(seed, MOST_PEERS_OF_LIVES, **fixed)
    draw_any_faults(world, seed, tuple(OF_MACHINES))
    return world


def _by_load(seed: int, **fixed: Any) -> World:
    rng = random.Random(f"by load/{seed}")
    fixed = {"peers": rng.randint(5, MOST_PEERS_BY_LOAD), **fixed}
    settings = draw_any_world(seed, **fixed).plan.settings
    down_s = settings.heartbeat_s * rng.uniform(2.0, 6.0)
    duration_s = 12 * down_s
    begin_s, for_s = duration_s * rng.uniform(0.1, 0.4), duration_s * rng.uniform(0.1, 0.4)
    by_load = {
        "traders_max": rng.randint(settings.traders, settings.peers - 2),
        "scale_up_after_ms": 2000 * settings.suspect_after_s * rng.choice([0.0001, 0.001, 0.01]),
        "scale_down_after_s": down_s,
        "requests": None,
        "duration_s": duration_s,
        "window": rng.choice([1, 2, 5]),
        "think_s": duration_s / rng.randint(5, 20),
        "load": rng.choice([f"step:8@{begin_s:.3f}+{for_s:.3f}", f"wave:8/{for_s:.3f}"]),
    }
    world = draw_any_world(seed, **{**by_load, **fixed})
    draw_any_faults(world, seed)
    return world


def _shared(seed: int, **fixed: Any) -> World:
    rng = random.Random(f"shared/{seed}")
    drawn: dict[str, Any] = {"cache": "shared", "restock_count": rng.choice([10, 20, 50])}
    if rng.random() < 0.7:  # at a speed at which much is in the cache
        drawn |= {"think_s": rng.choice([0.01, 0.1]), "requests": rng.choice([100, 200]), "duration_s": None}
    world = draw_any_world(seed, **{**drawn, **fixed})
    if rng.random() < 0.8:
        draw_any_faults(world, seed, (*FAULTS, *len(FAULTS) * tuple(OF_THE_CACHE)))
    return world


def _kept(seed: int, **fixed: Any) -> World:
    world = draw_any_world(seed, MOST_PEERS_KEPT, **{"keeper": True, **fixed})
    draw_any_faults(world, seed, (*FAULTS, *10 * tuple(OF_KEEPERS)))
    return world


def _brisk_kept(seed: int, **fixed: Any) -> World:
    rng = random.Random(f"brisk kept/{seed}")
    brisk = {
        "keeper": True,
        "peers": rng.randint(6, 9),
        "traders": rng.randint(1, 2),
        "cache": rng.choice(["weak", "escrow"]),
    }
    brisk |= {"think_s": 0.3, "requests": 200, "restock_count": 10, "window": 3}
    world = draw_world(seed, **{**brisk, **fixed})
    lose_a_trader(world, seed)
    return world


def _kept_behind(seed: int, **fixed: Any) -> World:
    brisk = {"keeper": True, "peers": 9, "traders": 2, "cache": "weak", "pull_every": 0, "window": 3}
    brisk |= {"think_s": 0.4, "requests": 150, "restock_count": 50, "units": "1", "election": "simultaneous"}
    world = draw_world(seed, **{**brisk, **fixed})
    cut_off_a_trader(world, seed)
    return world


def _any(seed: int, **fixed: Any) -> World:
    return (_faults if seed % 2 else _plain)(seed, **fixed)


KINDS: dict[str, Callable[..., World]] = {
    "any": _any,
    "plain": _plain,
    "faults": _faults,
    "lives": _lives,
    "edges": _edges,
    "machines": _machines,
    "by-load": _by_load,
    "shared": _shared,
    "kept": _kept,
    "brisk-kept": _brisk_kept,
    "kept-behind": _kept_behind,
    "brisk": _brisk,
    "brisk-faults": _brisk_faults,
}
"""`any`: all settings, every second world with faults. `plain`: without faults. `faults`: all with faults. `lives`: with
kills and restarts only. `edges`: with faults, and peers that speak with their neighbours only. `machines`: with machines that
are cut off, or lost for good with their journals. `by-load`: with faults, and traders by load. `shared`: with a shared cache,
and faults of its server, too. `kept`: with faults, several machines, and keepers of the journals. `brisk`: from
`draw_world`."""


def run(kind: str, seed: int, **fixed: Any) -> tuple[World, Evidence, Report]:
    """Runs the world of this kind and seed, and judges it."""
    world = KINDS[kind](seed, **fixed)
    return world, *judged(world)


def judged(world: World) -> tuple[Evidence, Report]:
    """Runs and judges the world. A world that never ends is a violation, too."""
    evidence = world.run()
    report = judge(evidence)
    if not world.ended:
        violations = {**report.violations, "runs_end": [f"at {world.now:.0f} s somebody still waits or owes something"]}
        report = msgspec.structs.replace(report, verdict="violated", violations=violations)
    return evidence, report


def simulate(seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """Runs the brisk world of this seed and judges it."""
    return run("brisk", seed, **fixed)[1:]


def simulate_faults(seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """Like `simulate`, but with faults, and with a slower world."""
    return run("brisk-faults", seed, **fixed)[1:]


def replay_command(seed: int, faults: bool = False, kind: str = "", **fixed: Any) -> str:
    """The command that replays this seed."""
    kind = kind or ("brisk-faults" if faults else "brisk")
    options = f" --{kind}" * (kind != "any") + "".join(
        f" --set {name}={text_of(value)}" for name, value in fixed.items()
    )
    return f".venv/bin/python -m tests.simulation --seed {seed} --tell{options}"


def history_bytes(evidence: Evidence) -> bytes:
    """All histories, line by line. They are equal if and only if the runs are equal."""
    return b"".join(encode_line(line) for history in evidence.histories.values() for line in history)
