"""The graph at a few moments, as `network.png` of a run whose peers spoke with their neighbours only (requirement K2).

The first panel is the graph of the plan. Each further one shows what has become of it after somebody died or returned, or
was cut off: edges that are lost, edges that were made instead, the dead, and who trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import msgspec
import networkx as nx

from bazaar.analysis.edges import EVENTS, Change, Edges
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, index_of, is_seller
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import Recorded, by_time, only
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.places import graph_of, places_of
from bazaar.views.topology import BUYERS, OTHER, SELLERS, TRADER, handle

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

MOST_PANELS = 6
QUIET = 1.75
"""In multiples of the time after which a silent neighbour is missed: what comes after such a quiet time is something new."""
MOST_NUMBERS = 90
"""Of peers; more of them have no room for their numbers."""
# Width and style of the lines differ, too, so the picture can be printed in grey.
KEPT, LOST, MADE = ("#888888", 1.0, "solid"), ("#d55e00", 1.3, "dotted"), ("#009e73", 2.8, "solid")
"""Colour, width and style of an edge of the plan that is there, of one that is not, and of one that was made instead."""

Edge = frozenset[str]
Places = Mapping[str, tuple[float, float]]


class Moment(msgspec.Struct):
    """What the graph has come to, some time after something happened to it."""

    at: float
    """When that happened, in seconds since the epoch."""
    edges: frozenset[Edge]
    """Between peers."""
    joined: frozenset[str]
    """The peers that are connected with each other: the greatest part of the graph."""
    dead: frozenset[str] = frozenset()
    traders: frozenset[str] = frozenset()
    after_s: float = 0.0
    """How long it took until these were connected; 0.0 if they always were."""


def moments(plan: Plan, histories: Mapping[str, Iterable[Recorded[Event]]], opening: float) -> list[Moment]:
    """The graph of the plan, and what has become of it. `opening`: when the market opened, in seconds since the epoch.

    What happens while the survivors of a death cannot yet have noticed it makes no moment of its own.
    """
    patience_s = plan.settings.suspect_after_s / 2  # a silent neighbour is missed
    graph, edges, dead, traders = graph_of(plan), Edges(), set[str](), set[str]()
    found = [Moment(opening, _edges_of(graph), frozenset(plan.names))]
    last = opening
    for line in by_time(only(history, *EVENTS, events.Appointed, events.Deposed) for history in histories.values()):
        match line.event:
            case events.Appointed(peer):
                traders.add(peer)
            case events.Deposed(peer):
                traders.discard(peer)
        for change in edges.add(line):
            if WAREHOUSE in (change.one, change.other):
                continue
            first = len(found) == 1 or change.at - found[-1].at >= patience_s
            fate = change.what in ("died", "returned")
            if (fate and first) or change.at - last >= QUIET * patience_s:
                found.append(Moment(change.at, frozenset(), found[-1].joined))
            _apply(change, graph, dead)
            if len(found) > 1:
                last = change.at
                _judge(found[-1], change.at, graph, dead)
        if len(found) > 1:
            found[-1].edges, found[-1].dead = _edges_of(graph), frozenset(dead)
        found[-1].traders = frozenset(traders)
    return found


def _edges_of(graph: nx.Graph) -> frozenset[Edge]:
    return frozenset(frozenset(edge) for edge in graph.edges)


def _apply(change: Change, graph: nx.Graph, dead: set[str]) -> None:
    match change.what:
        case "up":
            graph.add_edge(change.one, change.other)
        case "down" if graph.has_edge(change.one, change.other):
            graph.remove_edge(change.one, change.other)
        case "died":
            graph.remove_node(change.one)
            dead.add(change.one)
        case "returned":
            graph.add_node(change.one)
            dead.discard(change.one)


def _judge(moment: Moment, now: float, graph: nx.Graph, dead: set[str]) -> None:
    joined = frozenset(max(nx.connected_components(graph), key=len, default=()))
    if joined != moment.joined - dead:
        moment.after_s = now - moment.at
    moment.joined = joined


def draw(plan: Plan, shown: Sequence[Moment], path: Path) -> None:
    """Draws moments side by side; of many the first ones and the last ones. The first is the graph of the plan."""
    chosen = [*zip([None, *shown], shown, strict=False)]
    if len(shown) > MOST_PANELS:
        chosen = [*chosen[: MOST_PANELS // 2], *chosen[-(MOST_PANELS // 2) :]]
    columns = 2 if len(chosen) in (2, 4) else min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    side = min(8.0, max(4.4, len(plan.names) ** 0.5 * 1.3))
    places = places_of(plan)
    figure, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(side * columns, side * 0.84 * rows + 1.1),
        layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15),
        squeeze=False,
    )
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (before, moment) in zip(axes.flat, chosen, strict=False):
        _panel(panel, plan, places, moment)
        panel.set_title(
            words(plan, before, moment, shown[0].at), fontsize=10, loc="left", linespacing=1.4, color="#202020"
        )
    few = f", {len(chosen)} moments of {len(shown)}" if len(chosen) < len(shown) else ""
    figure.suptitle(f"A bazaar of {len(plan.names)} peers along the edges, seed {plan.settings.seed}{few}", fontsize=12)
    legend = [
        handle(BUYERS["shape"], BUYERS["colour"], OTHER, "a buyer, with its number"),
        handle(SELLERS["shape"], SELLERS["colour"], OTHER, "a seller"),
        handle("o", "#ffffff", TRADER, "a trader"),
        handle("X", "#d0d0d0", OTHER, "dead"),
        *(_line(KEPT, "an edge of the plan"), _line(LOST, "lost"), _line(MADE, "made instead")),
    ]  # fmt: skip
    figure.legend(handles=legend, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    with in_one_piece(path) as draft:
        figure.savefig(draft, format="png", dpi=110)
    pyplot.close(figure)


def words(plan: Plan, before: Moment | None, moment: Moment, opening: float) -> str:
    """What happened between two moments, and what came of it, in two lines."""
    if before is None:
        return "at the start\nas it was drawn"
    living = frozenset(plan.names) - moment.dead
    apart = living - moment.joined
    happened = [
        (moment.dead - before.dead, "died"),
        (before.dead & living, "returned"),
        (apart & before.joined, "cut off"),
        ((living - before.dead - before.joined) & moment.joined, "heard again"),
    ]
    told = [f"{_listed(plan, names)} {what}" for names, what in happened if names] or ["edges changed"]
    who = "the others" if apart else "all"
    came = f"connected again after {moment.after_s:.2f} s" if moment.after_s else "stayed connected"
    return f"{moment.at - opening:.2f} s: {'; '.join(told)}\n{who} {came}"


def _listed(plan: Plan, names: frozenset[str]) -> str:
    return ", ".join(name for name in plan.names if name in names) if len(names) <= 3 else f"{len(names)} peers"


def _panel(panel: Axes, plan: Plan, places: Places, moment: Moment) -> None:
    planned = _edges_of(graph_of(plan))
    for style, chosen, bend in (
        (LOST, planned - moment.edges, 0.0),
        (KEPT, planned & moment.edges, 0.0),
        (MADE, moment.edges - planned, 0.22),  # bent, because on the straight way there may be others
    ):
        colour, width, dashes = style
        arrows = (
            {"arrows": True, "arrowstyle": "-", "connectionstyle": f"arc3,rad={bend}", "node_size": 0} if bend else {}
        )
        edges = nx.Graph(map(sorted, sorted(chosen, key=sorted)))
        nx.draw_networkx_edges(edges, places, ax=panel, edge_color=colour, width=width, style=dashes, **arrows)
    size = 300 * min(1.0, 16 / len(plan.names))
    for body, selling in ((BUYERS, False), (SELLERS, True)):
        names = [name for name in plan.names if is_seller(name) == selling]
        outlines = [TRADER if name in moment.traders - moment.dead else OTHER for name in names]
        nx.draw_networkx_nodes(
            nx.Graph(),
            places,
            names,
            ax=panel,
            node_shape=body["shape"],
            node_color=["#d0d0d0" if name in moment.dead else body["colour"] for name in names],
            edgecolors=[colour for colour, _ in outlines],
            linewidths=[width * 0.7 for _, width in outlines],
            node_size=size,
        )
    for name in plan.names:
        if name in moment.dead:
            panel.scatter(*places[name], s=2 * size, marker="x", c="#606060", linewidths=1.1, zorder=3)
        elif len(plan.names) <= MOST_NUMBERS:
            panel.text(*places[name], str(index_of(name)), fontsize=0.52 * size**0.5, ha="center", va="center_baseline")
    panel.margins(0.1)


def _line(style: tuple[str, float, str], meaning: str) -> Line2D:
    colour, width, dashes = style
    return Line2D([], [], color=colour, linewidth=width, linestyle=dashes, label=meaning)
