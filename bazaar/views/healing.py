"""The graph at a few moments, as `network.png` of a run whose peers spoke with their neighbours only (requirement K2).

The first panel is the graph of the plan. Each further one shows what has become of it after somebody died or returned, or
was cut off: edges that are lost, edges that were made instead, the dead, and who trades.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
import msgspec
import networkx as nx

from bazaar.analysis.edges import EVENTS, Change, Edges
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import Recorded, by_time, only
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.places import graph_of, places_of
from bazaar.views.topology import BUYERS, OTHER, SELLERS, TRADER, handle

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

MOST_PANELS = 6
MOST_NAMES = 60
"""Of peers; of more, only those that died are named."""
# Width and style of the lines differ, too, so the picture can be printed in grey.
KEPT, LOST, MADE = ("#888888", 1.0, "solid"), ("#d55e00", 1.3, "dotted"), ("#009e73", 2.8, "solid")
"""Colour, width and style of an edge of the plan that is there, of one that is not, and of one that was made instead."""

Edge = frozenset[str]


class Moment(msgspec.Struct):
    """What the graph has come to, some time after something happened to it."""

    at: float
    """When that happened, in seconds since the epoch."""
    edges: frozenset[Edge]
    """Between peers."""
    dead: frozenset[str] = frozenset()
    traders: frozenset[str] = frozenset()
    whole_after_s: float | None = 0.0
    """How long it took until the living were connected again; 0.0 if they always were, None if they are not."""


def moments(plan: Plan, histories: Mapping[str, Iterable[Recorded[Event]]], opening: float) -> list[Moment]:
    """The graph of the plan, and what has become of it. `opening`: when the market opened, in seconds since the epoch.

    What happens while the survivors of a death cannot yet have noticed it makes no moment of its own.
    """
    settings = plan.settings
    patience_s = settings.suspect_after_s / 2  # a silent neighbour is missed
    found = [Moment(opening, frozenset(frozenset(edge) for edge in graph_of(plan).edges))]
    graph, edges, dead, traders = nx.Graph(), Edges(), set[str](), set[str]()
    graph.add_nodes_from(plan.names)
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
            fate = change.what in ("died", "returned")
            begun = found[-1].at if len(found) > 1 else -patience_s
            quiet = change.at - last >= settings.suspect_after_s
            if (fate and change.at - begun >= patience_s) or (change.at > opening and (quiet or len(found) == 1)):
                found.append(Moment(change.at, frozenset(), whole_after_s=0.0 if nx.is_connected(graph) else None))
            _apply(change, graph, dead)
            last = change.at
            if len(found) > 1:
                _judge(found[-1], change.at, graph)
        if len(found) > 1:
            found[-1].edges = frozenset(frozenset(edge) for edge in graph.edges)
            found[-1].dead, found[-1].traders = frozenset(dead), frozenset(traders)
        else:
            found[0].traders = frozenset(traders)
    return found


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


def _judge(moment: Moment, now: float, graph: nx.Graph) -> None:
    if not nx.is_connected(graph):
        moment.whole_after_s = None
    elif moment.whole_after_s is None:
        moment.whole_after_s = now - moment.at


def draw(plan: Plan, shown: list[Moment], path: Path) -> None:
    """Draws moments side by side. The first one is the graph of the plan."""
    chosen = [*zip([None, *shown], shown, strict=False)]
    if len(shown) > MOST_PANELS:
        chosen = [*chosen[: MOST_PANELS // 2], *chosen[-(MOST_PANELS // 2) :]]
    columns = 2 if len(chosen) in (2, 4) else min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    side = min(8.0, max(4.4, len(plan.names) ** 0.5 * 1.3))
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(side * columns, side * 0.84 * rows + 0.9), layout="constrained", squeeze=False
    )
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (before, moment) in zip(axes.flat, chosen, strict=False):
        _panel(panel, plan, moment)
        panel.set_title(
            words(plan, before, moment, shown[0].at), fontsize=10, loc="left", linespacing=1.4, color="#202020"
        )
    few = f", {len(chosen)} moments of {len(shown)}" if len(chosen) < len(shown) else ""
    figure.suptitle(
        f"A bazaar of {len(plan.names)} peers along the edges, seed {plan.settings.seed}{few}", fontsize=12
    )
    legend = [
        *(handle(style["shape"], style["colour"], OTHER, style["meaning"].partition(",")[0]) for style in (BUYERS, SELLERS)),
        handle("o", "#ffffff", TRADER, "a trader"),
        handle("o", "#d0d0d0", OTHER, "dead"),
        *(_line(KEPT, "an edge of the plan"), _line(LOST, "lost"), _line(MADE, "made instead")),
    ]  # fmt: skip
    figure.legend(handles=legend, loc="outside lower center", ncols=7, fontsize=9, frameon=False)
    with in_one_piece(path) as draft:
        figure.savefig(draft, format="png", dpi=110)
    pyplot.close(figure)


def words(plan: Plan, before: Moment | None, moment: Moment, opening: float) -> str:
    """What happened between two moments, and what came of it, in two lines."""
    if before is None:
        return "at the start\nas it was drawn"
    happened = [
        *(f"{name} died" for name in plan.names if name in moment.dead - before.dead),
        *(f"{name} returned" for name in plan.names if name in before.dead - moment.dead),
    ]
    if not happened:
        alone = {name for name in plan.names if not any(name in edge for edge in moment.edges)} - moment.dead
        happened = [f"{name} is silent" for name in plan.names if name in alone] or ["edges changed"]
    match moment.whole_after_s:
        case None:
            came = "in parts"
        case 0.0:
            came = "all the others stayed connected"
        case after_s:
            came = f"all connected again after {after_s:.2f} s"
    return f"{moment.at - opening:.2f} s: {', '.join(happened)}\n{came}"


def _panel(panel: Axes, plan: Plan, moment: Moment) -> None:
    places, planned = places_of(plan), {frozenset(edge) for edge in graph_of(plan).edges}
    room = min(1.0, (14 / len(plan.names)) ** 0.5)
    for style, chosen in (
        (LOST, planned - moment.edges),
        (KEPT, planned & moment.edges),
        (MADE, moment.edges - planned),
    ):
        for edge in sorted(map(sorted, chosen)):
            colour, width, dashes = style
            panel.plot(*zip(*(places[name] for name in edge), strict=True), c=colour, lw=width, ls=dashes, zorder=1)
    for name, (x, y) in places.items():
        dead = name in moment.dead
        style = SELLERS if is_seller(name) else BUYERS
        colour, width = TRADER if name in moment.traders and not dead else OTHER
        face = "#d0d0d0" if dead else style["colour"]
        panel.scatter(
            x, y, s=720 * room**2, marker=style["shape"], c=face, edgecolors=colour, linewidths=width * 0.7, zorder=2
        )
        if dead:
            panel.scatter(x, y, s=560 * room**2, marker="x", c="#909090", linewidths=1.0, zorder=2)
        if dead or len(plan.names) <= MOST_NAMES:
            panel.text(x, y, name, fontsize=7 * max(0.7, room), ha="center", va="center", zorder=3)
    panel.margins(0.12)


def _line(style: tuple[str, float, str], meaning: str) -> Line2D:
    colour, width, dashes = style
    return Line2D([], [], color=colour, linewidth=width, linestyle=dashes, label=meaning)
