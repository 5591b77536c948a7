"""Real peers that speak with their neighbours only (requirements K1 and K2), seen from outside: by their connections."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import networkx
import pytest

from bazaar.control.launcher import Bazaar
from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.protocol.faults import Fault
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.plan import MOST_NEIGHBOURS
from bazaar.protocol.settings import with_pace
from tests.processes.command import run, sockets_of
from tests.processes.market import left_behind
from tests.processes.test_faults import assert_decided_once, comes_to, goes_on, noted, wary

Pair = tuple[str, str]
LOOK_EVERY_S = 0.2
SEEDS = range(int(os.environ.get("EDGE_SEEDS", "2")))


def connections(bazaar: Bazaar) -> Counter[Pair]:
    """How many established connections there are between each two of the bazaar's actors, whose names are in order."""
    ends = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *rest = line.split()
        if state == "01":
            ends[rest[5]] = local, remote
    owners = {
        ends[inode]: name
        for name in (WAREHOUSE, *bazaar.plan.names)
        if name in bazaar.processes
        for inode in sockets_of(bazaar.processes[name].pid)
        if inode in ends
    }
    both = [(owners.get(end[::-1], ""), name) for end, name in owners.items()]
    return Counter(pair for pair in both if "" < pair[0] < pair[1])


@contextmanager
def watched(bazaar: Bazaar) -> Iterator[set[Pair]]:
    """Gathers, until the end of the block, who is connected with whom."""
    seen: set[Pair] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            seen.update(connections(bazaar))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def may_have_been_connected(bazaar: Bazaar) -> set[Pair]:
    """All pairs of which one has ever called the other its neighbour."""
    return {
        (min(name, other), max(name, other))
        for name in (WAREHOUSE, *bazaar.plan.names)
        for event in noted(bazaar, events.Neighbours, name)
        for other in event.names
    }


def kill_at_once(bazaar: Bazaar, *names: str) -> None:
    """SIGKILL; returns when the launcher and a neighbour of each have seen it."""
    processes = {bazaar.processes[name] for name in names}
    for name in names:
        bazaar.injector.inflict(Fault("kill", name, 0.0))
    comes_to(bazaar, lambda: not processes & {*bazaar.processes.values()})
    comes_to(bazaar, lambda: {event.name for event in noted(bazaar, events.LostNeighbour)} >= {*names})


def degrees(pairs: Iterable[Pair]) -> Counter[str]:
    """How many peers each peer is connected to."""
    return Counter(name for pair in pairs if WAREHOUSE not in pair for name in pair)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_vertex_is_killed_under_load_and_then_two_at_once(seed: int, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    settings = wary(routing="neighbours", peers=12, traders=2, buyers=6, cache="weak", seed=seed)
    rng = random.Random(seed)
    with Bazaar(settings, out, mongo_uri, pictures=False) as bazaar, watched(bazaar) as seen:
        first = rng.choice(sorted(networkx.articulation_points(networkx.Graph(bazaar.plan.neighbours))))
        rest = [name for name in bazaar.plan.names if name != first]
        deaths = [[first], rng.sample(rest, 2)]
        bazaar.start()
        goes_on(bazaar)
        for victims in deaths:
            kill_at_once(bazaar, *victims)
            goes_on(bazaar)
        now = connections(bazaar)
        bazaar.finish()
        assert bazaar.injector.missed == []
        traded = left_behind(bazaar.plan, out, *bazaar.collect())
        assert seen <= may_have_been_connected(bazaar)
    assert_decided_once(traded)
    dead = {name for victims in deaths for name in victims}
    assert traded.report.violations == {}
    assert traded.summary.verdict == "held"
    dead_buyers = [name for name in dead if not is_seller(name)]
    assert traded.summary.requests.unanswered <= settings.window * len(dead_buyers)
    between_peers = networkx.Graph([pair for pair in now if WAREHOUSE not in pair])
    assert set(between_peers) == set(traded.plan.names) - dead
    assert networkx.is_connected(between_peers)
    assert max(degrees(now).values()) <= MOST_NEIGHBOURS
    # The control: when everybody writes to everybody, more pairs are connected than this graph has edges.
    assert len(seen) < len(traded.plan.names) ** 2 / 4


def test_directly_connected_peers_are_seen(tmp_path: Path, mongo_uri: str) -> None:
    """The test above could show nothing if `connections` saw too little."""
    out = tmp_path / "run"
    with Bazaar(wary(), out, mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        goes_on(bazaar)
        now = connections(bazaar)
        bazaar.finish()
    peers = bazaar.plan.names
    assert {pair for pair in now if WAREHOUSE not in pair} == {tuple(sorted(pair)) for pair in combinations(peers, 2)}


def test_a_run_by_hand(tmp_path: Path, mongo_uri: str) -> None:
    """With a graph of one's own, and a peer that comes back."""
    graph = tmp_path / "ring.txt"
    graph.write_text("".join(f"{n} {(n - 1) % 6} {(n + 1) % 6}\n" for n in range(6)))
    arguments = "localhost 6 2 --pace fast --routing neighbours --graph ring.txt --duration 6 --seed 3 --out run"
    trader = draw_plan(with_pace("fast", peers=6, traders=2, seed=3)).names[-1]
    faults = ("--fault", f"kill:{trader}@1", "--fault", f"restart:{trader}@3")
    status, said, complained = run(tmp_path, mongo_uri, *arguments.split(), *faults)
    assert (status, complained) == (0, ""), said + complained
    assert "held" in said
    changes = [line.split(",")[1:] for line in (tmp_path / "run" / "graph.csv").read_text().splitlines()]
    assert [change for change in changes if change[0] in ("died", "returned")] == [
        ["died", trader, ""],
        ["returned", trader, ""],
    ]
    assert [change[0] for change in changes if trader in change] == [
        *("up", "up", "up"),  # to its two neighbours, and to the warehouse
        *("died", "down", "down", "down", "returned", "up", "up", "up"),
    ]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("0 1\n1 0 2\n2 1\n3 4\n4 3\n5 4", "5"),
        ("0 1\n1 0", "2"),
        ("0 1\n1 0 2\n2 1 3\n3 2 4\n4 3 5\n5 4 6", "6"),
    ],
)
def test_a_graph_that_cannot_be_used_is_one_line_and_status_2(
    lines: str, why: str, tmp_path: Path, mongo_uri: str
) -> None:
    (tmp_path / "graph.txt").write_text(lines)
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 6, 2, "--routing", "neighbours", "--graph", "graph.txt"
    )
    assert (status, said) == (2, "")
    assert len(complained.splitlines()) == 1
    assert why in complained
    assert [path.name for path in tmp_path.iterdir()] == ["graph.txt"]
