"""The picture of a run over time, `timeline.png`.

The upper panel shows the goods shipped a second. The lower panel shows the response times of the orders answered at that
time: the median, and a band from the least to the most. Elections and faults are shaded, so that the cost of a death and
its length are seen at a glance. A pause is shaded for as long as it lasts, any other fault until it is noticed.
"""

from __future__ import annotations

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
from bazaar.runtime.history import LAUNCHER, Recorded, by_time, histories_of, only
from bazaar.runtime.run_folder import in_one_piece

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Patch

MOST_BINS, FEWEST_BINS = 240, 10
SHORTEST_BIN_S = 0.05
GOODS_A_BIN = 4  # a rate computed from fewer goods would be noise

STYLES: dict[str, dict[str, Any]] = {
    "an election": {"color": "#e8e8e8"},
    "a pause, as long as it lasts": {"facecolor": "#f0f0f0", "edgecolor": "#909090", "hatch": "///", "linewidth": 0.0},
    "another fault, until it is noticed": {"color": "#b0b0b0"},
    "another fault, noticed at once or by nobody": {"color": "#505050"},
}
ELECTION, PAUSE, FAULT, POINT = STYLES


class Shade(NamedTuple):
    """An interval that is shaded in both panels."""

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


def waits(histories: Iterable[Iterable[Recorded[Event]]], bins: Bins) -> list[array[float]]:
    """The response times of the orders first answered in each bin, in seconds, ascending."""
    found = [array("d") for _ in range(bins.total)]
    for history in histories:
        for wait in waits_in(history):
            if wait.answered_at is not None:
                found[bins.at(wait.answered_at)].append(wait.answered_at - wait.placed_at)
    return [array("d", sorted(times)) for times in found]


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


def draw(folder: Path) -> None:
    """Draws the run in `folder`. The histories are read one by one. For rare events most lines are skipped undecoded."""
    plan = load(folder / "bazaar.json")
    histories = histories_of(folder, plan.names)
    shipped = [line.at for line in only(histories[WAREHOUSE], events.Shipped)]
    launcher = list(histories[LAUNCHER])
    kinds: tuple[type[Event], ...] = (events.Opened, events.ElectionStarted, events.Elected)
    seldom = list(by_time(only(history, *kinds) for history in histories.values()))
    firsts = [next(iter(history), None) for history in histories.values()]
    start = min(first.at for first in firsts if first is not None)
    end = max([start, *shipped[-1:], *(line.at for line in (*launcher, *seldom))])
    shades = [*elections(seldom), *fault_shades(faults_of(histories))]
    opening = next((line.at for line in seldom if isinstance(line.event, events.Opened)), start)
    bins = bins_for(start, max(end, *(shade.end for shade in shades), start), len(shipped))
    buyers = [histories[name] for name in plan.names if not is_seller(name)]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5.4), layout="constrained")
    _draw_goods(above, rates(shipped, bins), bins, opening)
    _draw_waits(below, waits(buyers, bins), bins, opening)
    _draw_shades(above, below, shades, bins, opening)
    settings = plan.settings
    above.set_title(
        f"{len(plan.names)} peers, {settings.traders} traders, cache {settings.cache}, seed {settings.seed}", fontsize=9
    )
    below.set_xlabel(f"seconds since trading began, in steps of {bins.each_s:.2g} s")
    drawn = {shade.style for shade in shades}
    handles = [Patch(label=style, **look) for style, look in STYLES.items() if style in drawn]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    with in_one_piece(folder / "timeline.png") as draft:
        figure.savefig(draft, format="png", dpi=120)
    pyplot.close(figure)


def _draw_goods(axes: Axes, goods: Sequence[float], bins: Bins, opening: float) -> None:
    edges = [bins.start - opening + number * bins.each_s for number in range(bins.total + 1)]
    axes.stairs(goods, edges, color="black", linewidth=0.9)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.4 * max(goods) or 1)  # with room for the labels above
    axes.set_ylabel("goods shipped a second")
    if not any(goods):
        _say(axes, "none was shipped")


def _draw_waits(axes: Axes, times: Sequence[Sequence[float]], bins: Bins, opening: float) -> None:
    """Draws the response times. Bins without an answer stay empty."""
    axes.set_ylabel("time to an answer, ms\n(median; least to most)")
    some = [(bins.start - opening + number * bins.each_s, each) for number, each in enumerate(times) if each]
    if not some:
        _say(axes, "nobody was answered")
        return
    begins = [begin for begin, _ in some]
    low, middle, high = ([1000 * max(pick(each), 1e-6) for _, each in some] for pick in (min, median_low, max))
    heights = [most - least for least, most in zip(low, high, strict=True)]
    axes.bar(begins, heights, bins.each_s, low, align="edge", color="#909090", zorder=2)
    axes.hlines(middle, begins, [begin + bins.each_s for begin in begins], color="black", linewidth=1.4, zorder=3)
    axes.set_yscale("log")
    axes.set_ylim(min(low) / 2, max(high) * 2)
    axes.yaxis.set_major_formatter("{x:g}")


def _say(axes: Axes, what: str) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", color="#505050")


def _draw_shades(above: Axes, below: Axes, shades: Sequence[Shade], bins: Bins, opening: float) -> None:
    span = bins.total * bins.each_s
    line = 0
    for shade in shades:
        begin, until = shade.begin - opening, shade.end - opening
        for axes in (above, below):
            axes.axvspan(begin, max(until, begin + span / 400), zorder=0, **STYLES[shade.style])
        if shade.label:
            right = shade.begin > bins.start + 0.7 * span
            above.annotate(
                shade.label,
                (until if right else begin, 0.97 - 0.08 * (line % 4)),
                xycoords=("data", "axes fraction"),
                ha="right" if right else "left",
                va="top",
                fontsize=8,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
            )
            line += 1
