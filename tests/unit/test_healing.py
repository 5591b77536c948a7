"""The graph at a few moments: when something happened to it, what became of it, and the picture of that."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bazaar.protocol.plan import Plan
from bazaar.views.healing import MOST_PANELS, Moment, draw, moments, words
from tests.builders import a_line, a_plan
from tests.unit.test_edges import Line, born, fell, has
from tests.unit.test_topology import size_of

NAMES = ("buyer0", "seller1", "buyer2", "seller3")
OPENING = 1.0
MISSED_AFTER_S = 1.0  # at this pace


def a_square() -> Plan:
    """buyer0 - seller1 - buyer2 - seller3, and back to buyer0 only when the graph has to heal."""
    path = {
        "buyer0": ("seller1",),
        "seller1": ("buyer0", "buyer2"),
        "buyer2": ("seller1", "seller3"),
        "seller3": ("buyer2",),
    }
    plan = a_plan(peers=4, traders=1, routing="neighbours")
    return msgspec.structs.replace(plan, names=NAMES, goods=dict.fromkeys(NAMES, "fish"), neighbours=path)


def shown(*lines: Line) -> list[Moment]:
    plan = a_square()
    begun = [line for name in NAMES for line in (born(0.1, name), has(0.2, name, *plan.neighbours[name]))]
    appointed = a_line(0.9, "warehouse", 1, "appointed", {"peer": "seller3", "seat": 0})
    return moments(plan, {"all": sorted([*begun, appointed, *lines], key=lambda line: line.at)}, OPENING)


def told(found: list[Moment]) -> list[str]:
    before = [None, *found]
    return [words(a_square(), *both, OPENING) for both in zip(before, found, strict=False)]


HEALED = (
    *(fell(3.0, "seller1"), has(4.0, "buyer2", "seller3")),
    *(has(4.0, "buyer0", "seller3"), has(4.1, "seller3", "buyer2", "buyer0")),
)


def test_without_faults_there_is_the_graph_of_the_plan() -> None:
    (start,) = shown()
    assert start.edges == {frozenset(edge) for edge in [NAMES[:2], NAMES[1:3], NAMES[2:]]}
    assert start.traders == {"seller3"}


def test_a_death_and_what_came_of_it_are_one_moment() -> None:
    start, after = shown(*HEALED)
    assert after.dead == {"seller1"}
    assert after.edges == {frozenset(("buyer2", "seller3")), frozenset(("buyer0", "seller3"))}
    assert told([start, after])[1] == "2.00 s: seller1 died\nall connected again after 1.10 s"


def test_two_deaths_at_once_are_one_moment_and_two_after_each_other_two() -> None:
    assert len(shown(fell(3.0, "seller1"), fell(3.0 + MISSED_AFTER_S / 2, "buyer0"))) == 2
    found = shown(*HEALED, fell(6.0, "buyer0"))
    assert told(found)[2] == "5.00 s: buyer0 died\nall stayed connected"


def test_who_is_only_silent_is_cut_off_and_heard_again() -> None:
    pause = [has(4.0, "buyer2", "seller1"), has(7.0, "buyer2", "seller1", "seller3")]
    assert told(shown(*pause))[1:] == [
        "3.00 s: seller3 cut off\nthe others stayed connected",
        "6.00 s: seller3 heard again\nall stayed connected",
    ]


def test_who_returns_is_back() -> None:
    back = [born(6.0, "seller1", 2), has(6.0, "seller1", "buyer2"), has(6.2, "buyer2", "seller1", "seller3")]
    assert told(shown(*HEALED, *back))[2] == "5.00 s: seller1 returned\nall connected again after 0.20 s"


@pytest.mark.parametrize("deaths", [1, 3, 12])
def test_the_picture_has_a_panel_for_each_moment_but_not_for_many(deaths: int, tmp_path: Path) -> None:
    plan = a_plan(peers=20, traders=1, routing="neighbours")
    start = Moment(0.0, frozenset(), frozenset(plan.names))
    found = [start, *(Moment(n, frozenset(), frozenset(), frozenset(plan.names[:n])) for n in range(1, deaths + 1))]
    draw(plan, found, tmp_path / "network.png")
    draw(plan, found[:MOST_PANELS], tmp_path / "few.png")
    assert size_of(tmp_path / "network.png") == size_of(tmp_path / "few.png")
