"""Draws the plan of a run from its seed: who takes part, what each peer begins with, and the graph.

The graph is connected and gives nobody more than three neighbours (requirement A1). It is a random tree in which every
newcomer is tied to a peer that has a place left. Up to half as many random further ties as there are peers are added.
"""

from __future__ import annotations

import random
import reprlib
from pathlib import Path

from bazaar.control.graph_file import read_graph
from bazaar.control.spelling import did_you_mean
from bazaar.control.trace_file import with_trace
from bazaar.core.cache import POLICIES
from bazaar.protocol.goods import ITEMS, Item
from bazaar.protocol.plan import MOST_NEIGHBOURS, Plan
from bazaar.protocol.settings import Settings, UsageError


def draw_plan(settings: Settings) -> Plan:
    """The plan that belongs to these settings; the same for the same seed.

    Raises `UsageError` for an unknown cache policy, and for a graph or a trace that cannot be used.
    """
    policy = POLICIES.get(settings.cache)
    if policy is None:
        raise UsageError(
            f"--cache can be {', '.join(POLICIES)}; you asked for {reprlib.repr(settings.cache)}"
            f"{did_you_mean(settings.cache, POLICIES)}"
        )
    if policy.remote and settings.hosts is not None:
        raise UsageError(
            f"--cache {settings.cache} does not go with --hosts: its server can be reached on this machine only"
        )
    rng = random.Random(settings.seed)
    names = _draw_names(settings, rng)
    goods: dict[str, Item] = {name: rng.choice(ITEMS) for name in names}
    graph = _draw_graph(names, rng) if settings.graph is None else read_graph(Path(settings.graph), names)
    return Plan(with_trace(settings), names, goods, graph, policy.promises)


def _draw_names(settings: Settings, rng: random.Random) -> tuple[str, ...]:
    """Draws the roles. A buyer and a seller are among the lowest peers, which no election makes traders."""
    peers, remaining = settings.peers, settings.peers - settings.traders
    buyers = settings.buyers
    if buyers is None:
        buyers = rng.randint(1, peers - 1) if settings.sellers is None else peers - settings.sellers
    if settings.buyers is None and settings.sellers is None:
        buyers = min(max(buyers, peers // 3), peers - peers // 3)  # not all queue at a single seller
    lowest = ["buyer", "seller"]
    others = ["buyer"] * (buyers - 1) + ["seller"] * (peers - buyers - 1)
    rng.shuffle(others)
    lowest += others[: remaining - 2]
    rng.shuffle(lowest)
    return tuple(f"{role}{index}" for index, role in enumerate(lowest + others[remaining - 2 :]))


def _draw_graph(names: tuple[str, ...], rng: random.Random) -> dict[str, tuple[str, ...]]:
    order = list(names)
    rng.shuffle(order)
    ties: dict[str, set[str]] = {name: set() for name in names}

    def has_place(name: str) -> bool:
        return len(ties[name]) < MOST_NEIGHBOURS

    def tie(one: str, other: str) -> None:
        ties[one].add(other)
        ties[other].add(one)

    for number, newcomer in enumerate(order[1:], start=1):
        tie(newcomer, rng.choice([name for name in order[:number] if has_place(name)]))
    for _ in range(len(names) // 2):
        one, other = rng.sample(order, 2)
        if has_place(one) and has_place(other):
            tie(one, other)
    return {name: tuple(sorted(ties[name], key=names.index)) for name in names}
