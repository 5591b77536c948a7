"""The picture of the bazaar's graph, `network.png` (requirement A1): the peers, with edges between neighbours.

It is drawn when the run starts, and once more at the end, with the traders marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import networkx as nx

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import LAUNCHER, by_time, histories_of, only
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.places import graph_of, places_of

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.lines import Line2D

# The colours differ in lightness too, and the shapes differ, so the picture can be printed in grey.
BUYERS: dict[str, Any] = {"shape": "o", "colour": "#ffffff", "meaning": "a buyer, and what it first looks for"}
SELLERS: dict[str, Any] = {"shape": "s", "colour": "#f3cf8f", "meaning": "a seller, and what it first sells"}
TRADER, FORMER, OTHER = ("#0072b2", 4.0), ("#0072b2", 1.6), ("#202020", 1.0)
"""Colour and width of the outline of a trader, of one that is none any more, and of everybody else."""


def standing(folder: Path, plan: Plan) -> dict[str, str]:
    """What has become of the traders of a run, and of the dead, in words: `trader0`, `was trader1`, `died`."""
    histories = histories_of(folder, plan.names)
    words: dict[str, str] = {}
    dead: set[str] = set()
    kinds: tuple[type[Event], ...] = (events.Appointed, events.Deposed, events.Started, events.Fell)
    for line in by_time(only(histories[name], *kinds) for name in (WAREHOUSE, LAUNCHER)):
        match line.event:
            case events.Appointed(peer, seat):
                words[peer] = f"trader{seat}"
            case events.Deposed(peer, seat):
                words[peer] = f"was trader{seat}"
            case events.Started(name):
                dead.discard(name)
            case events.Fell(name):
                dead.add(name)
    for name in plan.names:
        if name in dead:
            words[name] = "\n".join(filter(None, (words.get(name), "died")))
    return words


def draw(plan: Plan, path: Path, marked: Mapping[str, str] | None = None) -> None:
    """Draws the graph. The labels are the names of the peers. `marked`: what else to say of some of them."""
    marked = marked or {}
    graph = graph_of(plan)
    places = places_of(plan)
    side = max(8.0, len(plan.names) ** 0.5 * 2.4)
    figure, axes = pyplot.subplots(figsize=(side, side * 0.7), layout="constrained")
    nx.draw_networkx_edges(graph, places, ax=axes, edge_color="#888888")
    for style, selling in ((BUYERS, False), (SELLERS, True)):
        names = [name for name in plan.names if is_seller(name) == selling]
        outlines = [_outline(marked.get(name, "")) for name in names]
        nx.draw_networkx_nodes(
            graph,
            places,
            names,
            ax=axes,
            node_shape=style["shape"],
            node_color=["#d0d0d0" if "died" in marked.get(name, "") else style["colour"] for name in names],
            edgecolors=[colour for colour, _ in outlines],
            linewidths=[width for _, width in outlines],
            node_size=1800,
        )
    labels = {name: "\n".join(filter(None, (name, plan.goods[name], marked.get(name)))) for name in plan.names}
    nx.draw_networkx_labels(graph, places, labels, ax=axes, font_size=7)
    axes.set_title(f"A bazaar of {len(plan.names)} peers, seed {plan.settings.seed}", fontsize=10)
    axes.margins(0.08)
    axes.set_axis_off()
    handles = [handle(style["shape"], style["colour"], OTHER, style["meaning"]) for style in (BUYERS, SELLERS)]
    if marked:
        handles.append(handle("o", "#ffffff", TRADER, "a trader at the end of the run"))
    if any(words.startswith("was ") for words in marked.values()):
        handles.append(handle("o", "#ffffff", FORMER, "was a trader"))
    if any("died" in words for words in marked.values()):
        handles.append(handle("o", "#d0d0d0", OTHER, "not alive any more"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with in_one_piece(path) as draft:
        figure.savefig(draft, format="png", dpi=120)
    pyplot.close(figure)


def _outline(words: str) -> tuple[str, float]:
    return TRADER if words.startswith("trader") and "died" not in words else FORMER if "trader" in words else OTHER


def handle(shape: str, colour: str, outline: tuple[str, float], meaning: str) -> Line2D:
    edge, width = outline
    return Line2D([], [], color="none", marker=shape, markersize=11, markerfacecolor=colour, markeredgecolor=edge,
                  markeredgewidth=min(width, 3.0), label=meaning)  # fmt: skip
