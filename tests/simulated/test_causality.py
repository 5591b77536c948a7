"""Vector clocks from histories, beside "happened before" (Lamport 1978), which is computed by brute force."""

from __future__ import annotations

import graphlib
import itertools
import random
from collections.abc import Iterator

import pytest

from bazaar.analysis.causality import Line, NotOrdered, Point, Vector, in_causal_order, sends_of, vector_clocks
from tests.builders import a_line
from tests.simulation import run

Key = tuple[str, int]
Histories = dict[str, list[Line]]

# One message of buyer0 causes two events of seller1; its second message is sent at the clock of an event.
TWO = {
    "buyer0": [a_line(0.0, "buyer0", 1, "born"), a_line(0.2, "buyer0", 5, "informed")],
    "seller1": [
        a_line(0.0, "seller1", 1, "born"),
        a_line(0.1, "seller1", 4, "informed", source="buyer0", sent=3),
        a_line(0.1, "seller1", 5, "informed", source="buyer0", sent=3),
        a_line(0.3, "seller1", 7, "informed", source="buyer0", sent=5),
    ],
}


def clocks_of(histories: Histories) -> list[tuple[Point, Vector]]:
    return list(vector_clocks(list(histories), in_causal_order(histories, sends_of(histories.values()))))


def key(point: Point) -> Key:
    return point.process, point.clock


def pasts(histories: Histories) -> dict[Key, set[Key]]:
    """By point, all points that happened before it: along its process, along a message, or along a chain of both."""
    before: dict[Key, set[Key]] = {(line.process, line.clock): set() for lines in histories.values() for line in lines}
    for lines in histories.values():
        for line in lines:
            if line.source is not None and line.sent is not None:
                before[line.process, line.clock].add((line.source, line.sent))
                before.setdefault((line.source, line.sent), set())
    for process in histories:
        own = sorted(point for point in before if point[0] == process)
        for earlier, later in itertools.pairwise(own):
            before[later].add(earlier)
    past: dict[Key, set[Key]] = {}
    for point in graphlib.TopologicalSorter(before).static_order():
        past[point] = set().union(before[point], *(past[each] for each in before[point]))
    return past


def a_world(seed: int) -> Histories:
    _, evidence, _ = run("any", seed, peers=5, traders=2, requests=30, duration_s=None)
    return {name: list(history) for name, history in evidence.histories.items()}


def dominates(one: Vector, other: Vector) -> bool:
    return all(mine >= its for mine, its in zip(one, other, strict=True))


def test_a_message_is_a_point_of_its_own_unless_an_event_is_there() -> None:
    assert [(key(point), vector) for point, vector in clocks_of(TWO)] == [
        (("buyer0", 1), (1, 0)),
        (("seller1", 1), (0, 1)),
        (("buyer0", 3), (2, 0)),  # where the sender noted nothing
        (("seller1", 4), (2, 2)),
        (("buyer0", 5), (3, 0)),
        (("seller1", 5), (2, 3)),
        (("seller1", 7), (3, 4)),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_one_event_is_before_another_exactly_if_it_happened_before(seed: int) -> None:
    histories = a_world(seed)
    clocks = {key(point): vector for point, vector in clocks_of(histories)}
    past = pasts(histories)
    assert clocks.keys() == past.keys()
    points = random.Random(seed).sample(sorted(clocks), min(300, len(clocks)))
    pairs = [(one, other) for one in points for other in points if one != other]
    assert sum(one in past[other] for one, other in pairs) > 100
    for one, other in pairs:
        assert dominates(clocks[other], clocks[one]) == (one in past[other]), (one, other)


@pytest.mark.parametrize("seed", range(6))
def test_clocks_rise_and_a_receiver_knows_all_that_the_sender_knew(seed: int) -> None:
    histories = a_world(seed)
    names = list(histories)
    known: dict[Key, Vector] = {}
    last: dict[str, Vector] = {}
    received = 0
    for point, vector in clocks_of(histories):
        own = names.index(point.process)
        before = last.get(point.process, (0,) * len(names))
        assert vector[own] == before[own] + 1
        assert dominates(vector, before)
        if point.line is not None and point.line.source is not None and point.line.sent is not None:
            received += 1
            assert dominates(vector, known[point.line.source, point.line.sent])
        known[key(point)] = last[point.process] = vector
    assert received > 100


@pytest.mark.parametrize("seed", range(3))
def test_the_clocks_of_chosen_points_are_as_if_no_other_existed(seed: int) -> None:
    histories = a_world(seed)
    past = pasts(histories)
    chosen = set(random.Random(seed).sample(sorted(past), 80))
    points = in_causal_order(histories, sends_of(histories.values()))

    def expected() -> Iterator[tuple[Key, Vector]]:
        for point in sorted(chosen):
            by_then = [other for other in (past[point] | {point}) if other in chosen]
            yield point, tuple(sum(other[0] == process for other in by_then) for process in histories)

    found = vector_clocks(list(histories), points, lambda point: key(point) in chosen)
    assert {key(point): vector for point, vector in found} == dict(expected())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (a_line(1.0, "buyer0", 5, "informed"), "the clock of buyer0 goes from 5 to 5"),
        (
            a_line(1.0, "buyer0", 9, "informed", source="seller1", sent=9),
            "buyer0 receives at clock 9 what seller1 sends at 9",
        ),
    ],
)
def test_clocks_that_lie_are_told(line: Line, told: str) -> None:
    with pytest.raises(NotOrdered, match=told):
        clocks_of({**TWO, "buyer0": [*TWO["buyer0"], line]})
