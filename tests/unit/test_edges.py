"""The graph of a run over time: which edges came and went, and who died."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bazaar.analysis.edges import GRAPH_FILE, Change, changes_of, graph_table
from bazaar.analysis.judgement import judged
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded
from tests.builders import a_line, a_plan, leave_behind

Line = Recorded[Event]


def born(at: float, name: str, life: int = 1) -> Line:
    return a_line(at, name, 1, "born", {"life": life})


def has(at: float, name: str, *others: str, trying: str = "") -> Line:
    return a_line(at, name, 2, "neighbours", {"names": others, "trying": trying})


def fell(at: float, name: str) -> Line:
    return a_line(at, "launcher", 9, "fell", {"name": name, "how": "was killed"})


def a_path() -> list[Line]:
    """buyer0 - seller1 - buyer2, and buyer2 - warehouse, from 1.0 s on."""
    lines = [born(0.5, name) for name in ("buyer0", "seller1", "buyer2", "warehouse")]
    lines += [has(0.6, "buyer0", "seller1"), has(0.7, "seller1", "buyer0", "buyer2")]
    return [*lines, has(0.8, "buyer2", "seller1", "warehouse"), has(1.0, "warehouse", "buyer2")]


UP = [
    Change(0.7, "up", "buyer0", "seller1"),
    Change(0.8, "up", "seller1", "buyer2"),
    Change(1.0, "up", "buyer2", "warehouse"),
]


def changes(lines: Iterable[Line]) -> list[Change]:
    return list(changes_of([sorted(lines, key=lambda line: line.at)]))


def test_an_edge_is_there_when_both_of_its_ends_name_each_other() -> None:
    assert changes(a_path()) == UP


@pytest.mark.parametrize("end", ["buyer0", "seller1"])
def test_it_is_gone_as_soon_as_one_end_does_not(end: str) -> None:
    after = has(2.0, end, "buyer2") if end == "seller1" else has(2.0, end)
    assert changes([*a_path(), after]) == [*UP, Change(2.0, "down", "buyer0", "seller1")]


def test_who_dies_takes_its_edges_along_and_who_returns_makes_them_anew() -> None:
    lines = [fell(2.0, "seller1"), has(3.0, "buyer0", "seller1", trying="seller1"), has(3.1, "buyer2", "warehouse")]
    again = [born(4.0, "seller1", 2), has(4.1, "seller1", "buyer0", "buyer2"), has(4.2, "buyer0", "seller1")]
    assert changes([*a_path(), *lines, *again]) == [
        *UP,
        Change(2.0, "died", "seller1"),
        Change(2.0, "down", "buyer0", "seller1"),
        Change(2.0, "down", "seller1", "buyer2"),
        Change(4.0, "returned", "seller1"),
        Change(4.2, "up", "buyer0", "seller1"),
    ]


def test_a_neighbour_that_is_only_tried_is_no_neighbour() -> None:
    tries = [
        has(2.0, "buyer0", "seller1", "buyer2", trying="buyer2"),
        has(2.1, "buyer2", "buyer0", "seller1", "warehouse"),
    ]
    assert changes([*a_path(), *tries]) == UP


def test_processes_outside_of_the_graph_fall_without_a_word() -> None:
    assert changes([*a_path(), fell(2.0, "mongod")]) == UP


def test_a_line_of_the_table_is_a_change_since_the_market_opened() -> None:
    lines = b"".join(graph_table([Change(0.75, "up", "buyer0", "seller1"), Change(3.0, "died", "seller1")], 1.0))
    assert lines == b"at_s,change,one,other\n-0.25,up,buyer0,seller1\n2.0,died,seller1,\n"


@pytest.mark.parametrize("routing", ["direct", "neighbours"])
def test_it_is_written_when_a_run_along_the_edges_is_judged(routing: str, tmp_path: Path) -> None:
    plan = a_plan(peers=4, traders=1, routing=routing)
    histories: dict[str, list[Any]] = {name: [] for name in ("launcher", "warehouse", *plan.names)}
    for name in plan.names:
        histories[name] = [born(0.5, name), has(0.6, name, *plan.neighbours[name])]
    leave_behind(tmp_path, plan, (), histories)
    assert judged(tmp_path).unmade == ()
    if routing == "direct":
        assert not (tmp_path / GRAPH_FILE).exists()
    else:
        edges = sum(map(len, plan.neighbours.values())) // 2
        assert (tmp_path / GRAPH_FILE).read_text().count(",up,") == edges > 0
