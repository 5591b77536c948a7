from __future__ import annotations

import struct
from pathlib import Path

import networkx as nx
import pytest

from bazaar.views.places import graph_of
from bazaar.views.topology import draw, standing
from tests.builders import a_line, a_plan, leave_behind


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height in pixels, from the head of a PNG."""
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_the_graph_is_the_adjacency_list() -> None:
    plan = a_plan(seed=3)
    graph: nx.Graph = graph_of(plan)
    assert {name: set(graph[name]) for name in graph} == {n: set(near) for n, near in plan.neighbours.items()}


@pytest.mark.parametrize("peers", [3, 30])
def test_the_picture_is_a_png_that_a_person_can_read(peers: int, tmp_path: Path) -> None:
    draw(a_plan(peers=peers, traders=1), tmp_path / "network.png")
    width, height = size_of(tmp_path / "network.png")
    assert (width, height) >= (700, 500)
    assert (tmp_path / "network.png").stat().st_size > 10_000


def test_a_bigger_bazaar_has_a_bigger_picture(tmp_path: Path) -> None:
    for peers in (8, 60):
        draw(a_plan(peers=peers), tmp_path / f"{peers}.png")
    assert size_of(tmp_path / "60.png") > size_of(tmp_path / "8.png")


def test_the_traders_at_the_end_the_former_ones_and_the_dead_are_marked(tmp_path: Path) -> None:
    plan = a_plan(peers=5, traders=2, seed=3)
    low, *_, fallen, resigned, top = plan.names
    warehouse = [
        a_line(1.0, "warehouse", 1, "appointed", {"peer": resigned, "seat": 0}),
        a_line(2.0, "warehouse", 2, "appointed", {"peer": fallen, "seat": 1}),
        a_line(4.0, "warehouse", 3, "deposed", {"peer": resigned, "seat": 0}),
        a_line(5.0, "warehouse", 4, "appointed", {"peer": top, "seat": 0}),
    ]
    launcher = [
        a_line(0.0, "launcher", 1, "started", {"name": top}),
        a_line(3.0, "launcher", 2, "fell", {"name": fallen}),
        a_line(3.1, "launcher", 3, "fell", {"name": top}),
        a_line(3.2, "launcher", 4, "started", {"name": top, "again": True}),
        a_line(3.3, "launcher", 5, "fell", {"name": low}),
    ]
    leave_behind(tmp_path, plan, (), {"warehouse": warehouse, "launcher": launcher})
    marks = standing(tmp_path, plan)
    assert marks == {top: "trader0", fallen: "trader1\ndied", resigned: "was trader0", low: "died"}
    draw(plan, tmp_path / "plain.png")
    draw(plan, tmp_path / "marked.png", marks)
    assert size_of(tmp_path / "marked.png") == size_of(tmp_path / "plain.png")
    assert (tmp_path / "marked.png").read_bytes() != (tmp_path / "plain.png").read_bytes()


@pytest.mark.parametrize("seed", [0, 2**40])
def test_any_seed_lays_it_out(seed: int, tmp_path: Path) -> None:
    draw(a_plan(seed=seed), tmp_path / "network.png")
    assert size_of(tmp_path / "network.png") > (0, 0)
