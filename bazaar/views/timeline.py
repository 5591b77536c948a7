"""The picture of a run over time, `timeline.png`.

From top to bottom: the goods shipped a second, with the over-sold orders; the response times of the orders answered at that
time; how many orders had no answer yet; and a lane for each trader. Elections and faults are shaded, so that the cost of a
death and its length are seen at a glance. A pause is shaded for as long as it lasts, any other fault until it is noticed.
Where the number of traders changed by load there is a line through all panels, and the new number above the lanes.

The colours differ in lightness too, and what is drawn in them in shape, so the picture can be printed in grey. They are
those that people with any kind of colour blindness can tell apart (Okabe and Ito, 2008).
"""

from __future__ import annotations

import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

import matplotlib

from bazaar.analysis.aftermath import Fault, faults_of
from bazaar.analysis.waits import waits_in
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.plan import load
from bazaar.runtime.history import Recorded, by_time, histories_of, only
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.course import SELDOM, Change, Course
from bazaar.views.lanes import Lane, lanes

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

MOST_BINS, FEWEST_BINS = 240, 10
SHORTEST_BIN_S = 0.05
GOODS_A_BIN = 4  # a rate computed from fewer goods would be noise

BLUE, SKY, GREEN, VERMILION, YELLOW = "#0072b2", "#8cc8ec", "#7fc8ae", "#d55e00", "#f0e442"
LANE_INCH, MOST_LANES = 0.3, 24
STYLES: dict[str, dict[str, Any]] = {
    "an election": {"color": "#e8e8e8"},
    "a pause, as long as it lasts": {"facecolor": "#fdf8cc", "edgecolor": "#a09a50", "hatch": "///", "linewidth": 0.0},
    "a death or other fault, until it is noticed": {"color": "#f6cdb8"},
    "one that is noticed at once, or by nobody": {"color": VERMILION},
}
ELECTION, PAUSE, FAULT, POINT = STYLES
NUMBER: dict[str, Any] = {"color": "#404040", "linestyle": (0, (1, 1.5)), "linewidth": 1.1}
"""The line where the number of traders changed."""


class Shade(NamedTuple):
    """An interval that is shaded in all panels."""

    begin: float
    end: float
    style: str
    label: str = ""


class Bins(NamedTuple):
    """How the time of a run is cut into pieces of equal length."""

    start: float
    each_s: float
    total: int

    def at(self, time: float) -> int:
        """The number of the bin that contains this time."""
        return min(max(0, int((time - self.start) / self.each_s)), self.total - 1)


def bins_for(start: float, end: float, goods: int) -> Bins:
    """As many bins as can be seen, but fewer if there are few goods: each bin should contain some."""
    most = min(MOST_BINS, int((end - start) / SHORTEST_BIN_S))
    count = max(1, min(most, max(FEWEST_BINS, goods // GOODS_A_BIN)))
    return Bins(start, max(SHORTEST_BIN_S, (end - start) / count), count)


def rates(times: Iterable[float], bins: Bins) -> list[float]:
    """The number of these times a second, by bin."""
    counts = Counter(map(bins.at, times))
    return [counts[number] / bins.each_s for number in range(bins.total)]


class Orders(NamedTuple):
    """The times of all orders of a run, in 24 bytes for each."""

    placed: array[float]
    answered: array[float]
    """Of those with an answer, when they were first answered."""
    took: array[float]
    """Of the same ones, how long that took, in seconds."""


def orders_of(histories: Iterable[Iterable[Recorded[Event]]]) -> Orders:
    """The orders in the buyers' histories."""
    orders = Orders(array("d"), array("d"), array("d"))
    for wait in itertools.chain.from_iterable(map(waits_in, histories)):
        orders.placed.append(wait.placed_at)
        if wait.answered_at is not None:
            orders.answered.append(wait.answered_at)
            orders.took.append(wait.answered_at - wait.placed_at)
    return orders


def waits(orders: Orders, bins: Bins) -> list[array[float]]:
    """The response times of the orders first answered in each bin, in seconds, ascending."""
    found = [array("d") for _ in range(bins.total)]
    for answered_at, took in zip(orders.answered, orders.took, strict=True):
        found[bins.at(answered_at)].append(took)
    return [array("d", sorted(times)) for times in found]


def unanswered(orders: Orders, bins: Bins) -> list[tuple[int, int]]:
    """The least and the greatest number of orders without an answer, in each bin."""
    steps = heapq.merge(((at, 1) for at in sorted(orders.placed)), ((at, -1) for at in sorted(orders.answered)))
    by_bin = itertools.groupby(steps, lambda step: bins.at(step[0]))
    found, level = [], 0
    number, group = next(by_bin, (bins.total, iter(())))
    for each in range(bins.total):
        low = high = level
        if each == number:
            for _, step in group:
                level += step
                low, high = min(low, level), max(high, level)
            number, group = next(by_bin, (bins.total, iter(())))
        found.append((low, high))
    return found


def elections(lines: Sequence[Recorded[Event]]) -> list[Shade]:
    """The intervals from each start of an election to the next victory. `lines` must be in order of time."""
    found = []
    for position, line in enumerate(lines):
        if isinstance(line.event, events.ElectionStarted):
            elected = (later.at for later in lines[position:] if isinstance(later.event, events.Elected))
            found.append(Shade(line.at, next(elected, line.at), ELECTION))
    return found


def fault_shades(faults: Iterable[Fault]) -> list[Shade]:
    """The intervals of the faults. A pause lasts as planned, or until the next fault on the same process.

    Any other fault lasts until it is noticed.
    """
    found = []
    for fault in faults:
        if fault.kind == "pause":
            noticed = "" if fault.noticed_at is None else f", noticed after {fault.noticed_at - fault.at:.1f} s"
            found.append(Shade(fault.at, min(fault.at + fault.for_s, fault.until), PAUSE, fault.what + noticed))
        elif fault.noticed_at is not None and fault.noticed_at > fault.at:
            found.append(Shade(fault.at, fault.noticed_at, FAULT, fault.what))
        else:
            found.append(Shade(fault.at, fault.at, POINT, fault.what))
    return found


def numbers_of(changes: Iterable[Change]) -> list[tuple[float, int]]:
    """When the number of traders was changed by load, in seconds since the launch, and to what."""
    return [(change.t, change.seats) for change in changes if change.seats is not None]


def draw(folder: Path) -> None:
    """Draws the run in `folder`. The histories are read one by one. For rare events most lines are skipped undecoded."""
    plan = load(folder / "bazaar.json")
    histories = histories_of(folder, plan.names)
    shipped = [line.at for line in only(histories[WAREHOUSE], events.Shipped) for _ in range(line.event.units)]
    oversold = [line.at for line in only(histories[WAREHOUSE], events.Oversold)]
    seldom = list(by_time(only(history, *SELDOM) for history in histories.values()))
    firsts = [next(iter(history), None) for history in histories.values()]
    launched_at = min(first.at for first in firsts if first is not None)
    start = next((line.at for line in seldom if isinstance(line.event, events.ElectionStarted)), launched_at)
    end = max([start, *shipped[-1:], *(line.at for line in seldom)])
    shades = [*elections(seldom), *fault_shades(faults_of(histories))]
    opening = next((line.at for line in seldom if isinstance(line.event, events.Opened)), start)
    bins = bins_for(start, max(end, *(shade.end for shade in shades), start), len(shipped))
    orders = orders_of(histories[name] for name in plan.names if not is_seller(name))
    course = Course(launched_at)
    for line in seldom:
        course.add(line)
    traders = lanes(course.changes, bins.start + bins.total * bins.each_s - launched_at)
    shown = traders[:MOST_LANES]
    figure, axes = pyplot.subplots(
        4,
        1,
        sharex=True,
        figsize=(9, 6.4 + LANE_INCH * len(shown)),
        height_ratios=(2.0, 2.0, 1.2, 0.4 + LANE_INCH * len(shown)),
        layout="constrained",
    )
    _draw_goods(axes[0], rates(shipped, bins), rates(oversold, bins), bins, opening)
    _draw_waits(axes[1], waits(orders, bins), bins, opening)
    _draw_unanswered(axes[2], unanswered(orders, bins), bins, opening)
    _draw_lanes(axes[3], shown, len(traders), opening - launched_at)
    _draw_shades(axes, shades, bins, opening)
    numbers = numbers_of(course.changes)
    _draw_numbers(axes, numbers, opening - launched_at)
    settings = plan.settings
    axes[0].set_title(
        f"{len(plan.names)} peers, {settings.traders} trader{'s'[: settings.traders != 1]}, cache {settings.cache}, "
        f"pace {settings.pace}, seed {settings.seed}: {len(shipped)} goods shipped",
        fontsize=10,
    )
    axes[3].set_xlabel(f"seconds since trading began, in steps of {bins.each_s:.2g} s")
    drawn = {shade.style for shade in shades}
    handles: list[Any] = [Patch(label=style, **look) for style, look in STYLES.items() if style in drawn]
    handles += [handle for handle, is_drawn in (
        (Line2D([], [], color="none", marker="x", markeredgecolor=VERMILION, label="over-sold orders a second"), oversold),
        (Line2D([], [], color="none", marker="X", markerfacecolor="black", markeredgecolor="white", markersize=9,
                label="death of a trader"), any(lane.deaths for lane in shown)),
        (Line2D([], [], color="none", marker="^", markerfacecolor="white", markeredgecolor="black",
                label="it has taken over another's queue"), any(lane.took_over for lane in shown)),
        (Line2D([], [], label="so many traders from here on, by load", **NUMBER), numbers),
    ) if is_drawn]  # fmt: skip
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    with in_one_piece(folder / "timeline.png") as draft:
        figure.savefig(draft, format="png", dpi=120)
    pyplot.close(figure)


def _edges(bins: Bins, opening: float) -> list[float]:
    return [bins.start - opening + number * bins.each_s for number in range(bins.total + 1)]


def _draw_goods(axes: Axes, goods: Sequence[float], oversold: Sequence[float], bins: Bins, opening: float) -> None:
    edges = _edges(bins, opening)
    axes.stairs(goods, edges, fill=True, facecolor=SKY, edgecolor=BLUE, linewidth=0.9, zorder=2)
    marks = [(edge + bins.each_s / 2, rate) for edge, rate in zip(edges, oversold, strict=False) if rate]
    axes.plot(*zip(*marks, strict=True), "x", color=VERMILION, markersize=4, zorder=3) if marks else None
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.35 * max(*goods, *oversold) or 1)  # with room for the labels above
    axes.set_ylabel("goods shipped\na second")
    if not any(goods):
        _say(axes, "none was shipped")


def _draw_waits(axes: Axes, times: Sequence[Sequence[float]], bins: Bins, opening: float) -> None:
    """Draws the response times. Bins without an answer stay empty."""
    axes.set_ylabel("time to an answer, ms\n(median; least to most)")
    some = [(edge, each) for edge, each in zip(_edges(bins, opening), times, strict=False) if each]
    if not some:
        _say(axes, "nobody was answered")
        return
    begins = [begin for begin, _ in some]
    low, middle, high = ([1000 * max(pick(each), 1e-6) for _, each in some] for pick in (min, median_low, max))
    heights = [most - least for least, most in zip(low, high, strict=True)]
    axes.bar(begins, heights, bins.each_s, low, align="edge", color=SKY, zorder=2)
    axes.hlines(middle, begins, [begin + bins.each_s for begin in begins], color=BLUE, linewidth=1.6, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(min(low) / 2, max(high) * 2)
    axes.yaxis.set_major_formatter("{x:g}")


def _draw_unanswered(axes: Axes, numbers: Sequence[tuple[int, int]], bins: Bins, opening: float) -> None:
    low, high = zip(*numbers, strict=True)
    edges = _edges(bins, opening)
    axes.stairs(high, edges, baseline=low, fill=True, color=GREEN, zorder=2)
    for values in (low, high):
        axes.stairs(values, edges, baseline=None, color="#00664a", linewidth=0.9, zorder=3)
    axes.set_ylim(0, 1.1 * max(high) or 1)
    axes.set_ylabel("orders without\nan answer\n(least to most)")


def _draw_lanes(axes: Axes, traders: Sequence[Lane], total: int, opening: float) -> None:
    """Draws a bar for each tenure, with what happened to the trader. `opening`: when trading began."""
    labels = []
    for row, lane in enumerate(traders):
        for begin, end, seat in lane.seats:
            axes.barh(row, end - begin, 0.62, begin - opening, color=SKY, edgecolor=BLUE, linewidth=0.9, zorder=2)
            axes.annotate(
                seat, (begin - opening, row), (4, 0), textcoords="offset points", va="center", fontsize=8, zorder=4,
                annotation_clip=True,
            )  # fmt: skip
        for begin, until in lane.pauses:
            axes.barh(row, until - begin, 0.62, begin - opening, zorder=3, **{**STYLES[PAUSE], "facecolor": "none"})
        axes.plot([at - opening for at in lane.deaths], [row] * len(lane.deaths), "X", color="black",
                  markeredgecolor="white", markersize=9, zorder=5)  # fmt: skip
        axes.plot([at - opening for at, _ in lane.took_over], [row] * len(lane.took_over), "^", color="white",
                  markeredgecolor="black", markersize=7, zorder=5)  # fmt: skip
        labels.append(lane.peer)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_ylabel(f"traders\n(the first {len(traders)} of {total})" if total > len(traders) else "traders")
    if not traders:
        _say(axes, "nobody was elected")


def _draw_numbers(panels: Sequence[Axes], numbers: Sequence[tuple[float, int]], opening: float) -> None:
    for at, seats in numbers:
        for axes in panels:
            axes.axvline(at - opening, zorder=4, **NUMBER)
        panels[-1].annotate(
            f"{seats}", (at - opening, 1), (2, -1), xycoords=("data", "axes fraction"), textcoords="offset points",
            va="top", fontsize=8, fontweight="bold", color=NUMBER["color"], zorder=6,
        )  # fmt: skip


def _say(axes: Axes, what: str) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", color="#505050")


def _draw_shades(panels: Sequence[Axes], shades: Sequence[Shade], bins: Bins, opening: float) -> None:
    span = bins.total * bins.each_s
    line = 0
    for shade in shades:
        begin, until = shade.begin - opening, shade.end - opening
        for axes in panels:
            axes.axvspan(begin, max(until, begin + span / 400), zorder=0, **STYLES[shade.style])
        if shade.label:
            right = shade.begin > bins.start + 0.7 * span
            panels[0].annotate(
                shade.label,
                (until if right else begin, 0.97 - 0.08 * (line % 4)),
                xycoords=("data", "axes fraction"),
                ha="right" if right else "left",
                va="top",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
            line += 1
