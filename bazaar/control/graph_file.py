"""Reads a graph from a file (`--graph FILE`) in place of the drawn one.

A line has a peer and then its neighbours: `0 1 2`, or `0: 1 2`. A peer is given by its number, or by its name. So each edge
stands in two lines, one for each end. Empty lines, and what follows a `#`, do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.control.lines import lines_of
from bazaar.protocol.goods import index_of
from bazaar.protocol.plan import MOST_NEIGHBOURS
from bazaar.protocol.settings import UsageError


def read_graph(path: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The neighbours of each of these peers. Raises `UsageError` if the file cannot be read or has no such graph.

    The graph must be connected, and give nobody more than three neighbours (requirement A1).
    """
    graph: dict[str, tuple[str, ...]] = {}
    for number, line in lines_of(path, f"the graph in {path}"):
        where = f"line {number} of {path}"
        one, *near = (_peer(word, names, where) for word in re.split(r"[\s,:]+", line.strip(" \t,:")))
        if one in graph:
            raise UsageError(f"{where} has the neighbours of {one} a second time; give each peer one line")
        if len(set(near)) < len(near) or one in near:
            raise UsageError(f"{where} names a neighbour of {one} twice, or {one} itself")
        graph[one] = tuple(sorted(near, key=index_of))
    _check(graph, names, path)
    return {name: graph[name] for name in names}


def _peer(word: str, names: Sequence[str], where: str) -> str:
    """The peer that is meant by its name or its number."""
    if word in names:
        return word
    if word.isdecimal() and int(word) < len(names):
        return names[int(word)]
    raise UsageError(
        f"{where} names {word!r}, and there is no such peer: they are 0 to {len(names) - 1}, "
        f"or with names {names[0]} to {names[-1]}"
    )


def _check(graph: Mapping[str, Sequence[str]], names: Sequence[str], path: Path) -> None:
    for name in names:
        near = graph.get(name, ())
        if not near:
            raise UsageError(f"{path} has no neighbours for {name}, peer {index_of(name)}; give it a line")
        if len(near) > MOST_NEIGHBOURS:
            raise UsageError(f"{path} gives {name} {len(near)} neighbours; {MOST_NEIGHBOURS} are the most")
        for other in near:
            if name not in graph.get(other, ()):
                raise UsageError(
                    f"{path} has {other} as a neighbour of {name}, but not {name} as one of {other}; add it there"
                )
    reached, ahead = {names[0]}, [names[0]]
    while ahead:
        new = set(graph[ahead.pop()]) - reached
        reached |= new
        ahead += new
    if len(reached) < len(names):
        left = next(name for name in names if name not in reached)
        raise UsageError(
            f"{path} has a graph in parts: no way leads from {names[0]} to {left}; add an edge between them"
        )
