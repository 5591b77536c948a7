"""The graph that the peers speak along: the plan's graph without what is missed, healed.

It is a pure function of the plan's graph and of the reports about who misses whom, so all who know the same reports have the
same graph, without a vote. Its rules:

1. An edge of the plan's graph stays unless one of its ends misses the other.
2. A peer is *doubted* if somebody misses it, and it has not contradicted. What is left of the graph falls into parts. A part
   that has only doubted peers is taken for lost.
3. All other parts are joined, each by one new edge between two peers that have a place left. A part in which nobody has a
   place left has a cycle: as many edges as it has places were given, so one edge of a cycle makes place.
4. One further edge is a *call*: it leads to a lost peer, or it is an edge of the plan whose ends miss each other. If they
   hear each other now, they report that, and the edge is back. If not, they report that too, and the next call is for another
   edge: the one that was tried least. Nothing is sent along a call but hellos and reports.
5. The warehouse is tied to as many of the highest peers as there are traders, which are those that win elections. It relays
   nothing.

So each peer has at most three neighbours and the warehouse at any time, and whoever can be reached is connected. Hayes, Saia
and Trehan, "The Forgiving Graph" (PODC 2009), heal with a degree of up to three times that of before, and keep distances
short. Here the degree is bound to three, so parts are joined by single edges instead of their reconstruction trees.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import product
from typing import NamedTuple

from bazaar.core.routing.linkstate import LinkState
from bazaar.protocol.goods import WAREHOUSE, index_of
from bazaar.protocol.plan import MOST_NEIGHBOURS

Graph = dict[str, set[str]]


class Overlay(NamedTuple):
    """Who speaks with whom."""

    ties: Mapping[str, Collection[str]]
    """Each process's neighbours, without calls; the warehouse and its neighbours are among them."""
    call: frozenset[str]
    """The two ends of the call; empty if there is nobody and nothing to try."""

    def neighbours(self, name: str) -> frozenset[str]:
        """All to whom this process sends something."""
        return frozenset(self.ties.get(name, ())) | (self.call - {name} if name in self.call else frozenset())

    def next_hops(self, start: str) -> dict[str, str]:
        """For each process that can be reached from `start`: the neighbour of `start` on a shortest way to it."""
        hops = {name: name for name in sorted(self.ties.get(start, ()), key=_index)}
        ahead = deque(name for name in hops if name != WAREHOUSE)
        while ahead:
            here = ahead.popleft()
            for name in sorted(self.ties[here], key=_index):
                if name != start and name not in hops:
                    hops[name] = hops[here]
                    if name != WAREHOUSE:
                        ahead.append(name)
        return hops


def overlay(plan: Mapping[str, Collection[str]], state: LinkState, me: str, doors: int) -> Overlay:
    """The graph as `me` sees it, who does not doubt itself. `doors`: how many peers are tied to the warehouse."""
    graph: Graph = {name: {n for n in near if not _parted(state, name, n)} for name, near in plan.items()}
    doubted = state.doubted() - {me}
    parts = _parts(graph)
    joined, lost = set[str](), set[str]()
    for part in parts:
        if part <= doubted:
            lost |= part
        elif not joined:
            joined |= part
        else:
            _join(graph, joined, part, state, doubted)
            joined |= part
    call = _call(graph, plan, joined, lost, state, doubted)
    graph[WAREHOUSE] = set()
    for name in _doors(joined, state, doors):
        graph[name].add(WAREHOUSE)
        graph[WAREHOUSE].add(name)
    return Overlay(graph, call)


def _index(name: str) -> int:
    return -1 if name == WAREHOUSE else index_of(name)


def _parted(state: LinkState, one: str, other: str) -> bool:
    return state.misses(one, other) or state.misses(other, one)


def _parts(graph: Graph) -> list[set[str]]:
    """The connected parts, the one with the lowest peer first."""
    left, parts = sorted(graph, key=_index), list[set[str]]()
    seen = set[str]()
    for name in left:
        if name not in seen:
            parts.append(_reach(graph, name))
            seen |= parts[-1]
    return parts


def _reach(graph: Graph, start: str) -> set[str]:
    reached, ahead = {start}, [start]
    while ahead:
        new = graph[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _join(graph: Graph, one: set[str], other: set[str], state: LinkState, doubted: set[str]) -> None:
    """Adds an edge between two parts: between two peers that have not missed each other yet, if there are such."""
    a, b = _best(_with_place(graph, one, doubted), _with_place(graph, other, doubted), state.failures)
    _tie(graph, a, b, doubted)


def _call(
    graph: Graph,
    plan: Mapping[str, Collection[str]],
    joined: set[str],
    lost: set[str],
    state: LinkState,
    doubted: set[str],
) -> frozenset[str]:
    """See rule 4."""
    tried: defaultdict[str, int] = defaultdict(int)
    for report in state.sayings():
        tried[report.of] += (report.count + 1) // 2
    edges = [
        (state.failures(one, other), _index(one), _index(other), one, other)
        for one in joined
        if len(graph[one]) < MOST_NEIGHBOURS
        for other in plan[one]
        if _index(one) < _index(other) and other in joined and len(graph[other]) < MOST_NEIGHBOURS
        if other not in graph[one]
    ]
    least = min(edges, default=None)
    target = min(lost, key=lambda name: (tried[name], _index(name)), default="")
    if target and joined and (least is None or tried[target] <= least[0]):
        caller, _ = _best(_with_place(graph, joined, doubted), [target], state.failures)
        _free_place(graph, caller, doubted)
        return frozenset((caller, target))
    return frozenset() if least is None else frozenset(least[3:])


def _best(ones: Iterable[str], others: Collection[str], failures: Callable[[str, str], int]) -> tuple[str, str]:
    """The first pair without failures, or else the first of those with the fewest."""
    least: tuple[int, tuple[str, str]] | None = None
    for pair in product(ones, others):
        failed = failures(*pair)
        if not failed:
            return pair
        if least is None or failed < least[0]:
            least = failed, pair
    assert least is not None
    return least[1]


def _with_place(graph: Graph, part: set[str], doubted: set[str]) -> list[str]:
    """The peers of a part that can have one more neighbour, the best first: those that nobody doubts, and the loneliest.

    A peer that nobody doubts can give up an edge to one that is doubted. Else a part would not be found to be lost if only
    such peers miss each other in it that nobody tries to reach.
    """

    def rank(name: str) -> tuple[bool, bool, int, int]:
        return name in doubted, not _has_place(graph, name), len(graph[name]), _index(name)

    able = [name for name in part if _has_place(graph, name) or (name not in doubted and graph[name] & doubted)]
    if not able:
        _make_place(graph, part)
        able = [name for name in part if _has_place(graph, name)]
    return sorted(able, key=rank)


def _has_place(graph: Graph, name: str) -> bool:
    return len(graph[name]) < MOST_NEIGHBOURS


def _tie(graph: Graph, one: str, other: str, doubted: set[str]) -> None:
    _free_place(graph, one, doubted)
    _free_place(graph, other, doubted)
    graph[one].add(other)
    graph[other].add(one)


def _free_place(graph: Graph, name: str, doubted: set[str]) -> None:
    """If a peer has no place left it gives up its edge to a peer that is doubted."""
    if not _has_place(graph, name):
        given_up = min(graph[name] & doubted, key=_index)
        graph[name].remove(given_up)
        graph[given_up].remove(name)


def _make_place(graph: Graph, part: set[str]) -> None:
    """Takes away an edge without which the part is still connected."""
    for one in sorted(part, key=_index):
        for other in sorted(graph[one], key=_index):
            graph[one].remove(other)
            graph[other].remove(one)
            if other in _reach(graph, one):
                return
            graph[one].add(other)
            graph[other].add(one)
    raise AssertionError("a graph in which all have three neighbours has a cycle")


def _doors(joined: set[str], state: LinkState, count: int) -> list[str]:
    """See rule 5. Peers that cannot hear the warehouse, or are not heard by it, come last."""

    def rank(name: str) -> tuple[int, int]:
        missed = _parted(state, name, WAREHOUSE)
        return (state.failures(name, WAREHOUSE) if missed else 0, -_index(name))

    return sorted(joined, key=rank)[:count]
