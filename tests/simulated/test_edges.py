"""Peers that speak with their neighbours only: nothing is lost or twice, whoever relays and dies; and controls.

`.venv/bin/python -m tests.simulation --edges --seeds 10000` runs as many worlds as one likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import pytest

from bazaar.core.routing import overlay as overlays
from bazaar.core.routing import router as routers
from bazaar.core.routing.link import Link
from bazaar.core.routing.linkstate import LinkState
from bazaar.core.routing.overlay import Overlay
from bazaar.core.routing.router import Router
from bazaar.protocol import events
from bazaar.protocol.frames import Bundle, Busy, Relay
from bazaar.protocol.plan import MOST_NEIGHBOURS
from bazaar.protocol.wire import decode, encode
from bazaar.runtime.history import only
from tests.simulation import draw_world, replay_command, run
from tests.simulation.trial import judged
from tests.simulation.world import World

Patch = pytest.MonkeyPatch
WORLDS, CHUNK = 400, 50
SEEDS = range(12)
SPARSE = {"peers": 9, "requests": 40, "buyers": 5, "traders": 2}


def brisk(seed: int, **fixed: Any) -> World:
    return draw_world(seed, **{"routing": "neighbours", **SPARSE, **fixed})


@pytest.mark.parametrize("first", range(0, WORLDS, CHUNK))
def test_whatever_is_drawn_holds(first: int) -> None:
    stories = []
    for seed in range(first, first + CHUNK):
        report = run("edges", seed)[2]
        if report.violations:
            stories.append(f"{replay_command(seed, kind='edges')}\n  {report.violations}")
    assert not stories, "\n".join(stories)


def test_the_worlds_have_relays_healing_and_calls() -> None:
    """The worlds above would show nothing if nobody relayed, or nobody was missed."""
    relayed = lost = calls = 0
    for seed in range(30):
        evidence = run("edges", seed)[1]
        for history in evidence.histories.values():
            relayed += sum(line.event.relayed for line in only(history, events.Carried))
            lost += len(list(only(history, events.LostNeighbour)))
            calls += sum(bool(line.event.trying) for line in only(history, events.Neighbours))
    assert relayed > 1_000
    assert lost > 30
    assert calls > 30


# ----------------------------------------------------------------- what relays may do: it becomes delay, and no more
def a_relay_that_duplicates(patch: Patch) -> None:
    honest = Router._pass_on

    def twice(router: Router, frame: Relay | Busy) -> None:
        honest(router, frame)
        honest(router, frame)

    patch.setattr(Router, "_pass_on", twice)


def a_relay_that_drops(patch: Patch) -> None:
    honest, rng = Router._pass_on, random.Random("a relay that drops")

    def at_times(router: Router, frame: Relay | Busy) -> None:
        if rng.random() < 0.8:
            honest(router, frame)

    patch.setattr(Router, "_pass_on", at_times)


def a_relay_that_reorders(patch: Patch) -> None:
    honest = Link.delivery

    def backwards(link: Link, now: float) -> Bundle | None:
        bundle = honest(link, now)
        return None if bundle is None else Bundle(bundle.source, bundle.frames[::-1])

    patch.setattr(Link, "delivery", backwards)


def a_relay_whose_queue_is_often_full(patch: Patch) -> None:
    honest, rng = Link.relay, random.Random("a relay whose queue is often full")

    def at_times(link: Link, frame: Relay | Busy) -> bool:
        full = isinstance(frame, Relay) and frame.source != link._me and rng.random() < 0.2
        return not full and honest(link, frame)

    patch.setattr(Link, "relay", at_times)


def counts_of(history: Any) -> list[int]:
    """How many frames the process had dropped, each time that it wrote it down."""
    return [0, *(line.event.dropped for line in only(history, events.Carried))]


@pytest.mark.parametrize(
    "spoil", [a_relay_that_duplicates, a_relay_that_drops, a_relay_that_reorders, a_relay_whose_queue_is_often_full]
)
def test_what_a_relay_does_to_letters_becomes_delay(spoil: Callable[[Patch], None], monkeypatch: Patch) -> None:
    spoil(monkeypatch)
    dropped = 0
    for seed in SEEDS:
        evidence, report = judged(brisk(seed))
        assert report.verdict == "held", (seed, report.violations)
        dropped += sum(max(counts_of(history)) for history in evidence.histories.values())
    assert dropped > 100 or spoil is not a_relay_whose_queue_is_often_full


# ---------------------------------------------------------------------------------- broken on purpose: it must be seen
def a_healing_that_gives_a_fourth_neighbour(patch: Patch) -> None:
    honest = overlays.overlay

    def generous(plan: Mapping[str, Collection[str]], state: LinkState, me: str, doors: int) -> Overlay:
        graph = honest(plan, state, me, doors)
        full = [name for name in plan if len(plan[name]) == MOST_NEIGHBOURS]
        ties = {name: set(near) for name, near in graph.ties.items()}
        for one in full[:1]:
            other = next(name for name in plan if name != one and name not in ties[one])
            ties[one].add(other)
            ties[other].add(one)
        return Overlay(ties, graph.call)

    patch.setattr(routers, "overlay", generous)


def a_graph_that_does_not_heal(patch: Patch) -> None:
    patch.setattr(overlays, "_join", lambda *of: None)
    patch.setattr(overlays, "_call", lambda *of: frozenset())


def a_router_that_also_speaks_to_a_stranger(patch: Patch) -> None:
    honest = Router._follow

    def secretly(router: Router, turn: Any) -> None:
        honest(router, turn)
        stranger = next(name for name in sorted(router._known) if name not in router.links)
        router.links[stranger] = Link(router._me, stranger, router._bundles)

    patch.setattr(Router, "_follow", secretly)


def a_relay_that_forges_a_sender(patch: Patch) -> None:
    honest = Router._pass_on

    def forging(router: Router, frame: Relay | Busy) -> None:
        if isinstance(frame, Relay):
            delivery = decode(frame.data)
            others = sorted(router._known - {delivery.source, delivery.target})
            forged = msgspec.structs.replace(delivery, source=others[delivery.number % len(others)])
            frame = msgspec.structs.replace(frame, data=encode(forged))
        honest(router, frame)

    patch.setattr(Router, "_pass_on", forging)


def a_way_that_goes_in_circles(patch: Patch) -> None:
    """Everybody sends everything to its lowest neighbour; the hop limit ends it."""

    def astray(graph: Overlay, start: str) -> dict[str, str]:
        near = sorted(graph.ties.get(start, ()))
        return {name: name if name in near else near[0] for name in graph.ties} if near else {}

    patch.setattr(Overlay, "next_hops", astray)


@pytest.mark.parametrize(
    ("spoil", "check", "kill"),
    [
        (a_healing_that_gives_a_fourth_neighbour, "three_neighbours_at_most", False),
        (a_graph_that_does_not_heal, "the_graph_heals", True),
        (a_router_that_also_speaks_to_a_stranger, "only_along_edges", False),
        (a_relay_that_forges_a_sender, "runs_end", False),
        (a_way_that_goes_in_circles, "runs_end", False),
    ],
)
def test_the_judge_sees_it(spoil: Callable[[Patch], None], check: str, kill: bool, monkeypatch: Patch) -> None:
    spoil(monkeypatch)
    seen = 0
    for seed in SEEDS:
        world = brisk(seed, duration_s=12.0, requests=None, think_s=0.2)
        world.longest_s = 60.0
        if kill:  # the peer in the middle of the graph
            victim = max(world.plan.neighbours, key=lambda name: len(world.plan.neighbours[name]))
            world.at(2.0, lambda world=world, victim=victim: world.kill(victim))  # type: ignore[misc]
        report = judged(world)[1]
        seen += check in report.violations
    assert seen > len(SEEDS) // 2, seen
