"""The layout of the graph: the peers have the same places in every picture and page of a run."""

from __future__ import annotations

import networkx as nx

from bazaar.protocol.plan import Plan


def graph_of(plan: Plan) -> nx.Graph:
    """The plan's adjacency list as a graph."""
    return nx.Graph({name: list(neighbours) for name, neighbours in plan.neighbours.items()})


def places_of(plan: Plan) -> dict[str, tuple[float, float]]:
    """The coordinates x and y of each peer, from -1 to 1.

    They come from a spring layout (Fruchterman and Reingold, 1991), which is the same for the same plan.
    """
    places = nx.spring_layout(graph_of(plan), seed=plan.settings.seed % 2**32, iterations=300)
    return {name: (float(x), float(y)) for name, (x, y) in places.items()}
