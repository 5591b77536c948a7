"""The shape of a graph: how far its peers are from each other, and how much of the relaying falls on the busiest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import networkx as nx


class Shape(NamedTuple):
    """What follows from a graph if all its peers write to all others alike, on shortest ways."""

    degree: float
    """The mean number of neighbours."""
    diameter: int
    mean_hops: float
    """The mean distance of two peers, in edges."""
    busiest_percent: float
    """The busiest peer's part of all relaying: its betweenness (Freeman 1977), in percent of the sum of all."""


def shape(neighbours: Mapping[str, Sequence[str]]) -> Shape:
    """The shape of a connected graph, in which some peer relays. It is given by each peer's neighbours."""
    graph = nx.Graph(neighbours)
    load = nx.betweenness_centrality(graph)
    return Shape(
        2 * graph.number_of_edges() / graph.number_of_nodes(),
        nx.diameter(graph),
        nx.average_shortest_path_length(graph),
        100 * max(load.values()) / sum(load.values()),
    )
