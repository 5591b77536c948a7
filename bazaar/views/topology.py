"""The picture of the bazaar's graph, `network.png` (requirement A1): the peers, with edges between neighbours."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import networkx as nx

from bazaar.protocol.goods import is_seller
from bazaar.protocol.plan import Plan
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.places import graph_of, places_of

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(plan: Plan, path: Path) -> None:
    """Draws the graph. Sellers are squares, buyers circles, to be distinct in black and white. The labels are names."""
    graph = graph_of(plan)
    places = places_of(plan)
    side = max(6.0, len(plan.names) ** 0.5 * 2)
    figure, axes = pyplot.subplots(figsize=(side, side * 0.75), layout="constrained")
    nx.draw_networkx_edges(graph, places, ax=axes, edge_color="#888888")
    for selling, shape, colour in ((False, "o", "#ffffff"), (True, "s", "#d9d9d9")):
        names = [name for name in plan.names if is_seller(name) == selling]
        nx.draw_networkx_nodes(
            graph,
            places,
            names,
            ax=axes,
            node_shape=shape,
            node_color=colour,
            edgecolors="black",
            node_size=1500,
        )
    labels = {name: f"{name}\n{plan.goods[name]}" for name in plan.names}
    nx.draw_networkx_labels(graph, places, labels, ax=axes, font_size=8)
    axes.set_title(
        f"A bazaar of {len(plan.names)} peers, seed {plan.settings.seed}: buyers (circles) and what they first "
        "look for, sellers (squares) and what they first sell",
        fontsize=9,
        wrap=True,
    )
    axes.set_axis_off()
    with in_one_piece(path) as draft:
        figure.savefig(draft, format="png", dpi=120)
    pyplot.close(figure)
