"""The graph that the peers speak along: it heals, whoever dies, and nobody gets a fourth neighbour."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping

import pytest

from bazaar.control.planning import draw_plan
from bazaar.core.routing.linkstate import LinkState
from bazaar.core.routing.overlay import Overlay, overlay
from bazaar.protocol.frames import Report
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import MOST_NEIGHBOURS
from bazaar.protocol.settings import with_pace

DOORS = 2
Plan = Mapping[str, Iterable[str]]
#        buyer0 - seller1 - buyer2 - seller3 - buyer4
LINE = {
    "buyer0": ("seller1",),
    "seller1": ("buyer0", "buyer2"),
    "buyer2": ("seller1", "seller3"),
    "seller3": ("buyer2", "buyer4"),
    "buyer4": ("seller3",),
}


def drawn(peers: int, seed: int) -> dict[str, tuple[str, ...]]:
    return draw_plan(with_pace(peers=peers, traders=2, seed=seed)).neighbours


def cubic() -> dict[str, tuple[str, ...]]:
    """A cut vertex (buyer0) with three branches of five peers, in which nobody else has a place left."""
    edges = []
    for first in (1, 6, 11):
        a, b, c, d, e = (f"buyer{first + n}" for n in range(5))
        edges += [("buyer0", a), (a, b), (a, c), (b, d), (b, e), (c, d), (c, e), (d, e)]
    plan: dict[str, set[str]] = {}
    for one, other in edges:
        plan.setdefault(one, set()).add(other)
        plan.setdefault(other, set()).add(one)
    return {name: tuple(sorted(near)) for name, near in plan.items()}


def missed(state: LinkState, graph: Overlay, name: str) -> None:
    """All neighbours of `name` report that it is silent."""
    for neighbour in graph.neighbours(name):
        state.merge(state.next(neighbour, 1, name, misses=True))


def die(plan: Mapping[str, tuple[str, ...]], dead: set[str], viewer: str) -> tuple[LinkState, Overlay]:
    """These die at once, and are reported until nobody has an edge to any of them but by a call."""
    state = LinkState()
    for _ in range(10 * len(plan) + 10):
        graph = overlay(plan, state, viewer, DOORS)
        reports = [
            state.next(neighbour, 1, name, misses=True)
            for name in sorted(dead)
            for neighbour in graph.neighbours(name)
            if neighbour not in dead and name in graph.neighbours(neighbour)
        ]
        if not [report for report in reports if {report.by, report.of} != graph.call]:
            return state, graph
        for report in reports:
            state.merge(report)
    raise AssertionError(f"the graph still hopes for {dead}")


@pytest.mark.parametrize("misses", [True, False])
def test_who_knows_other_reports_has_another_digest(misses: bool) -> None:
    """Also if two reports differ in the same way: neighbours with equal digests tell each other nothing."""
    pairs = [
        ("seller0", "seller0"),
        ("buyer1", "seller0"),
        ("buyer2", "buyer1"),
        ("buyer1", "buyer2"),
        ("buyer2", "seller0"),
    ]
    digests = set()
    for counts in itertools.product((1, 2, 3, 4), repeat=len(pairs)):
        state = LinkState()
        for (by, of), count in zip(pairs, counts, strict=True):
            state.merge(Report(by, 1, of, 1, count, int(misses)))
        digests.add(state.digest)
    assert len(digests) == 4 ** len(pairs)


def reach(graph: Overlay, start: str) -> set[str]:
    return {start, *graph.next_hops(start)} - {WAREHOUSE}


def degree(graph: Overlay, name: str) -> int:
    return len(graph.neighbours(name) - {WAREHOUSE})


# ------------------------------------------------------------------------------------------------ the graph
def test_without_reports_the_graph_is_the_plans_with_the_warehouse_at_the_highest_peers() -> None:
    graph = overlay(LINE, LinkState(), "buyer0", DOORS)
    peers = {name: set(near) - {WAREHOUSE} for name, near in graph.ties.items() if name != WAREHOUSE}
    assert peers == {name: set(near) for name, near in LINE.items()}
    assert set(graph.ties[WAREHOUSE]) == {"seller3", "buyer4"}
    assert graph.call == frozenset()


def test_letters_take_a_shortest_way_and_none_through_the_warehouse() -> None:
    plan = {**LINE, "seller5": ("buyer0",), "buyer0": ("seller1", "seller5")}
    graph = overlay(plan, LinkState(), "buyer0", DOORS)
    assert set(graph.ties[WAREHOUSE]) == {"buyer4", "seller5"}
    assert graph.next_hops("seller5") == {WAREHOUSE: WAREHOUSE, **dict.fromkeys(LINE, "buyer0")}
    assert graph.next_hops("buyer0")[WAREHOUSE] == "seller5"
    assert graph.next_hops("buyer2")[WAREHOUSE] == "seller3"


@pytest.mark.parametrize("seed", range(40))
def test_whoever_dies_the_survivors_are_connected_and_nobody_has_a_fourth_neighbour(seed: int) -> None:
    rng = random.Random(seed)
    plan = drawn(rng.randint(4, 30), seed)
    dead = set(rng.sample(sorted(plan), rng.randint(1, len(plan) - 1)))
    alive = set(plan) - dead
    state, graph = die(plan, dead, min(alive))
    assert reach(graph, min(alive)) == alive
    assert max(degree(graph, name) for name in alive) <= MOST_NEIGHBOURS
    assert set(graph.ties[WAREHOUSE]) <= alive
    assert len(graph.ties[WAREHOUSE]) == min(DOORS, len(alive))
    assert graph.call & dead, "the dead are called on, as they may return"
    assert {overlay(plan, state, name, DOORS) == graph for name in alive} == {True}, "all see the same graph"


def test_a_cut_vertex_whose_branches_have_no_place_left_is_healed_by_an_edge_of_a_cycle() -> None:
    plan = cubic()
    assert sorted({len(near) for near in plan.values()}) == [3]
    _, graph = die(plan, {"buyer0"}, "buyer1")
    assert reach(graph, "buyer1") == set(plan) - {"buyer0"}
    assert max(degree(graph, name) for name in plan if name != "buyer0") <= MOST_NEIGHBOURS


def test_a_whole_neighbourhood_dies_whose_inner_peers_nobody_can_miss() -> None:
    """Only seller1 and seller3 have a living neighbour, and buyer2, between them, has none."""
    _, graph = die(LINE, {"seller1", "buyer2", "seller3"}, "buyer0")
    assert reach(graph, "buyer0") == {"buyer0", "buyer4"}


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_the_reports_does_not_matter(seed: int) -> None:
    rng = random.Random(seed)
    plan = drawn(12, seed)
    dead = set(rng.sample(sorted(plan), 3))
    viewer = min(set(plan) - dead)
    state, graph = die(plan, dead, viewer)
    reports = list(state.reports)
    for _ in range(5):
        rng.shuffle(reports)
        other = LinkState()
        for report in [*reports, *reports[::-1]]:
            other.merge(report)
        assert overlay(plan, other, viewer, DOORS) == graph
        assert other.digest == state.digest


# ---------------------------------------------------------------------------------------------- who returns
def test_a_peer_that_is_born_again_has_its_edges_back() -> None:
    state, graph = die(LINE, {"buyer2"}, "buyer0")
    assert "buyer2" not in reach(graph, "buyer0")
    state.merge(Report("seller1", 1, "buyer2", 2, 2))  # the neighbour hears of its second life
    assert overlay(LINE, state, "buyer0", DOORS) == overlay(LINE, LinkState(), "buyer0", DOORS)


def test_a_peer_that_contradicts_is_not_doubted_any_more_and_is_joined() -> None:
    state, graph = die(LINE, {"buyer4"}, "buyer0")
    assert "buyer4" not in reach(graph, "buyer0")
    contradiction = state.contradiction("buyer4", 1)
    assert contradiction is not None
    state.merge(contradiction)
    assert state.contradiction("buyer4", 1) is None
    assert reach(overlay(LINE, state, "buyer0", DOORS), "buyer0") == set(LINE)
    state.merge(state.next("seller3", 1, "buyer4", misses=True))
    assert "buyer4" in state.doubted(), "it is missed again, since it contradicted"


def test_two_halves_that_were_parted_find_each_other() -> None:
    """Each half has missed the other. When one call gets through, the reports of both sides are put together."""
    halves = {"buyer0", "seller1"}, {"buyer2", "seller3", "buyer4"}
    sides = []
    for half, other in (halves, halves[::-1]):
        state, graph = die(LINE, other, min(half))
        assert reach(graph, min(half)) == half
        sides.append(state)
    for report in sides[1].reports:
        sides[0].merge(report)
    for name in LINE:
        contradiction = sides[0].contradiction(name, 1)
        if contradiction is not None:
            sides[0].merge(contradiction)
    graph = overlay(LINE, sides[0], "buyer0", DOORS)
    assert reach(graph, "buyer0") == set(LINE)
    assert graph == overlay(LINE, sides[0], "buyer4", DOORS)


def test_an_edge_whose_ends_missed_each_other_is_tried_again_if_both_have_a_place() -> None:
    plan = {"buyer0": ("seller1", "buyer2"), "seller1": ("buyer0", "buyer2"), "buyer2": ("buyer0", "seller1")}
    state = LinkState()
    state.merge(state.next("buyer0", 1, "buyer2", misses=True))
    state.merge(Report("buyer2", 1, "buyer2", 1, 1))
    graph = overlay(plan, state, "seller1", DOORS)
    assert graph.call == {"buyer0", "buyer2"}
    assert graph.next_hops("buyer0")["buyer2"] == "seller1", "nothing is sent along a call"
    state.merge(state.next("buyer0", 1, "buyer2", misses=False))
    assert overlay(plan, state, "seller1", DOORS).next_hops("buyer0")["buyer2"] == "buyer2"


# -------------------------------------------------------------------------------------------- the reports
def test_a_report_of_a_former_life_or_about_one_does_not_count() -> None:
    state = LinkState()
    state.merge(Report("buyer0", 1, "seller1", 1, 1))
    assert state.misses("buyer0", "seller1")
    state.alive("seller1", 2)
    assert not state.misses("buyer0", "seller1")
    state.merge(Report("buyer0", 1, "seller1", 2, 1))
    assert state.misses("buyer0", "seller1")
    state.alive("buyer0", 2)
    assert not state.misses("buyer0", "seller1")


def test_an_older_report_is_no_news() -> None:
    state = LinkState()
    assert state.merge(Report("buyer0", 1, "seller1", 1, 2))
    assert not state.merge(Report("buyer0", 1, "seller1", 1, 1))
    assert not state.merge(Report("buyer0", 1, "seller1", 1, 2))
    assert state.merge(Report("buyer0", 2, "seller1", 1, 1))
    assert state.misses("buyer0", "seller1")
