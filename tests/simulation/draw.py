"""Draws worlds from seeds: settings, network, machine.

`draw_world` draws a brisk market at the pace `fast`, in which much happens in little time. `draw_any_world` draws from all
paces, and from all waiting times that `check` allows.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from bazaar.core.cache import POLICIES
from bazaar.protocol.faults import SHARED
from bazaar.protocol.settings import PACES, Settings, with_pace
from tests.simulation.driver import Machine
from tests.simulation.network import Network
from tests.simulation.world import LONGEST_S, World

ORDERS, MANY_ORDERS = (20, 60), (100, 200)
LEAST_THINK_S = 0.1
"""The shortest pause of buyers that trade for a fixed time: with a shorter one they place thousands of orders a second."""
TIMES = {
    "heartbeat_s": (0.05, 0.5),
    "election_timeout_s": (0.3, 3.0),
    "answer_timeout_s": (0.2, 12.0),
    "lease_s": (0.3, 5.0),
    "restock_every_s": (0.3, 10.0),
    "election_delay_s": (0.1, 3.0),
    "reelection_delay_s": (0.1, 3.0),
    "registration_delay_s": (0.1, 6.0),
    "opening_delay_s": (0.1, 8.0),
    "think_s": (0.02, 1.0),
}
"""The least and the most, in multiples of `suspect_after_s`."""
MAY_BE_NOTHING = ("election_delay_s", "reelection_delay_s", "registration_delay_s", "opening_delay_s", "think_s")


def draw_world(seed: int, **fixed: Any) -> World:
    """A brisk bazaar and a network drawn from the seed. `fixed` settings override drawn ones."""
    rng = random.Random(f"world/{seed}")
    peers = rng.randint(4, 9)
    drawn: dict[str, Any] = {
        "pace": "fast",
        "peers": peers,
        "traders": rng.randint(1, min(4, peers - 2)),
        "cache": _draw_cache(rng, seed),
        "election": rng.choice(["rounds", "rounds", "simultaneous", *_along_edges(fixed)]),
        "window": rng.choice([1, 1, 2, 5]),
        "requests": 30,
        "restock_count": rng.choice([1, 2, 3, 10]),
        "restock_every_s": 0.5,
        "seed": seed,
        **fixed,
    }
    network = Network(
        loss=rng.choice([0, 0.05, 0.2]), duplication=rng.choice([0, 0.1]), delay_s=rng.choice([0.001, 0.01])
    )
    return World(seed, with_pace(**{"units": _draw_units(seed)} | drawn), network)


def _draw_cache(rng: random.Random, seed: int) -> str:
    """The shared cache came after the others, and has a source of its own, so that most worlds stay as they were."""
    drawn = rng.choice([name for name in POLICIES if name != SHARED])
    return SHARED if random.Random(f"shared cache/{seed}").random() < 0.2 else drawn


def _draw_units(seed: int) -> str:
    """One unit an order in half of the worlds. It has a source of its own, so that all else in the worlds stays."""
    return random.Random(f"units/{seed}").choice(["1", "1", "1", "2", "1-3", "1-5"])


def draw_any_world(seed: int, most_peers: int = 9, **fixed: Any) -> World:
    """A bazaar with any settings that `check` allows, on a network and machines that suit its waiting times."""
    rng = random.Random(f"any world/{seed}")
    settings = draw_settings(rng, seed, most_peers, fixed)
    # The failure detector and the elections assume bounded delays, and repetition of lost deliveries in time (Chandra and
    # Toueg).
    patience_s = min(settings.suspect_after_s, settings.election_timeout_s, settings.answer_timeout_s)
    delay_s = min(rng.choice([0.0005, 0.002, 0.01]), patience_s / 50)
    network = Network(
        loss=rng.choice([0, 0, 0.05, 0.2]),
        duplication=rng.choice([0, 0, 0.1]),
        delay_s=delay_s,
        duplicate_after=rng.choice([20, 2 / delay_s, 10 / delay_s]),
        repeat_after_s=min(0.15, patience_s / 13),
    )
    machine = Machine(
        begin_within_s=rng.choice([0.01, min(1.0, patience_s / 2)]),
        further_begin_within_s=rng.choice([0.0, min(1.0, patience_s / 4)]),
        clock_offset_s=rng.choice([0.0, 1e5]),
        tears=rng.random() < 0.5,
    )
    world = World(seed, settings, network, machine)
    world.quiet_after_s = machine.begin_within_s
    world.longest_s = max(LONGEST_S, 30 * sum(getattr(settings, name) for name in PATIENT))
    return world


PATIENT = (
    "suspect_after_s",
    "election_timeout_s",
    "answer_timeout_s",
    "lease_s",
    "opening_delay_s",
    "election_delay_s",
)
"""The settings that determine how long a market may rightly stand still."""


def draw_settings(rng: random.Random, seed: int, most_peers: int, fixed: Mapping[str, Any]) -> Settings:
    """Any settings that `check` allows and that are cheap enough to run."""
    peers = int(fixed.get("peers") or rng.choice([3, rng.randint(3, most_peers), rng.randint(3, most_peers)]))
    pace: Any = fixed.get("pace") or rng.choice(list(PACES))
    drawn: dict[str, Any] = {
        "peers": peers,
        "traders": rng.randint(1, min(5, peers - 2)),
        "cache": _draw_cache(rng, seed),
        "election": rng.choice(["rounds", "simultaneous", *_along_edges(fixed)]),
        "window": rng.choice([1, 1, 2, 5, 20]),
        "requests": rng.randint(*ORDERS),
        "restock_count": rng.choice([1, 2, 3, 10, 100]),
        "pull_every": rng.choice([0, 1, 5]),
        "push": rng.random() < 0.8,
        "seed": seed,
        "units": _draw_units(seed),
        **_draw_times(rng, pace),
    }
    if rng.random() < 0.3:
        drawn["buyers"] = rng.randint(1, peers - 1)
    think_s = drawn.get("think_s", with_pace(pace).think_s)
    if think_s >= LEAST_THINK_S and drawn["window"] <= 5 and rng.random() < 0.4:
        drawn |= {"requests": None, "duration_s": min(30.0, think_s * rng.uniform(1, 15))}
    elif rng.random() < 0.25:  # at full speed
        drawn |= {"requests": rng.randint(*MANY_ORDERS), "think_s": 0.0, "window": rng.choice([5, 20])}
    drawn |= {name: value for name, value in fixed.items() if name != "pace"}
    return with_pace(pace, **drawn)


def _along_edges(fixed: Mapping[str, Any]) -> list[str]:
    """The elections that need a graph to go along."""
    return ["tree", "tree"] if fixed.get("routing") == "neighbours" else []


def _draw_times(rng: random.Random, pace: Any) -> dict[str, float]:
    """Draws no waiting times, so that the pace's hold, or a few, or all of them."""
    kind = rng.choice(["the pace's", "a few", "all"])
    if kind == "the pace's":
        return {}
    suspect_after_s = with_pace(pace).suspect_after_s if kind == "a few" else 10 ** rng.uniform(-0.7, 0.8)
    names = rng.sample(list(TIMES), rng.randint(1, 4)) if kind == "a few" else list(TIMES)
    times = {"suspect_after_s": suspect_after_s}
    for name in names:
        least, most = TIMES[name]
        times[name] = suspect_after_s * least * (most / least) ** rng.random()
        if name in MAY_BE_NOTHING and rng.random() < 0.3:
            times[name] = 0.0
    return times
