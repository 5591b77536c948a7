"""Draws the pictures of the experiments. No other file of theirs uses matplotlib.

The pictures are readable in black and white: lines differ by marker and dash, and each has its name at its end. A point is the
median over the seeds; its bar reaches from the lowest value to the highest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Literal

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

STYLES = ("o-", "s--", "^:", "D-.", "v-", "P--", "X:", "*-.")
THEORIES = ("x--", "+:")
GREYS = ("0", "0.35", "0.2", "0.45", "0.1", "0.4", "0.3", "0.5")
LABEL_SIZE = 8
LABEL_HEIGHT = 1.25  # of a label, in multiples of its font size


class Panel:
    """One pair of axes."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._lines = self._theories = 0
        self._ends: list[tuple[float, float, str]] = []
        axes.spines[["top", "right"]].set_visible(False)

    def name(self, x: str, y: str, title: str = "") -> None:
        """Names the axes, with their units."""
        self._axes.set_xlabel(x)
        self._axes.set_ylabel(y)
        self._axes.set_title(title, fontsize=10)

    def logarithmic(self, axis: Literal["x", "y"], ticks: Mapping[float, str]) -> None:
        """Makes this axis logarithmic, with these ticks and no other."""
        self._axes.set(**{f"{axis}scale": "log"})
        scale = self._axes.xaxis if axis == "x" else self._axes.yaxis
        scale.set_ticks(list(ticks), list(ticks.values()))
        scale.set_ticks([], minor=True)

    def whole_numbers(self) -> None:
        """Allows ticks of the x axis at whole numbers only."""
        self._axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    def line(self, label: str, points: Mapping[float, Sequence[float]], look: int | None = None) -> None:
        """Draws the median at each x, with a bar from the lowest value to the highest, and names the line at its end.

        `look`: the number of its style, so that a series looks alike in panels that do not have all; by default the next one.
        """
        number = self._lines if look is None else look
        style, grey = STYLES[number % len(STYLES)], GREYS[number % len(GREYS)]
        self._lines += 1
        xs = sorted(points)
        mids = [median(points[x]) for x in xs]
        below = [mid - min(points[x]) for x, mid in zip(xs, mids, strict=True)]
        above = [max(points[x]) - mid for x, mid in zip(xs, mids, strict=True)]
        self._axes.errorbar(
            xs, mids, [below, above], fmt=style, color=grey, markersize=5, linewidth=1.2, capsize=2, elinewidth=0.7
        )
        self._ends.append((xs[-1], mids[-1], label))

    def theory(self, label: str, points: Mapping[float, float]) -> None:
        """Draws a thin dashed line without spread, for values that were expected, or that somebody else has measured."""
        xs = sorted(points)
        style = THEORIES[self._theories % len(THEORIES)]
        self._theories += 1
        self._axes.plot(xs, [points[x] for x in xs], style, color="0.6", linewidth=0.8, markersize=6, zorder=1)
        self._ends.append((xs[-1], points[xs[-1]], label))

    def dots(self, names: Sequence[str], series: Mapping[str, Sequence[Sequence[float]]]) -> None:
        """Draws a row for each name, with a marker and its spread for each series.

        The names of the series stand above the first row.
        """
        for number, (label, rows) in enumerate(series.items()):
            places = [row + 0.22 * (number - (len(series) - 1) / 2) for row in range(len(names))]
            mids = [median(row) for row in rows]
            below = [mid - min(row) for mid, row in zip(mids, rows, strict=True)]
            above = [max(row) - mid for mid, row in zip(mids, rows, strict=True)]
            marker, grey = STYLES[number % len(STYLES)][0], GREYS[number % len(GREYS)]
            self._axes.errorbar(
                mids, places, xerr=[below, above], fmt=marker, color=grey, markersize=6, capsize=2, elinewidth=0.7
            )
            for mid, place in zip(mids[:1], places[:1], strict=True):
                self._axes.annotate(
                    label, (mid, place), (0, 7 + 10 * (len(series) - 1 - number)), textcoords="offset points",
                    fontsize=LABEL_SIZE, ha="center", va="bottom",
                    arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5"},
                )  # fmt: skip
        self._axes.set_yticks(range(len(names)), names)
        self._axes.set_ylim(len(names) - 0.5, -1.0)
        self._axes.grid(axis="y", color="0.9")

    def mark(self, label: str, x: float) -> None:
        """Draws a thin vertical line."""
        self._axes.axvline(x, color="0.6", linewidth=0.8, zorder=0)
        self._axes.annotate(
            label, (x, 0), (3, 3), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=LABEL_SIZE
        )

    def from_zero(self, top: float | None = None) -> None:
        """Has the y axis begin at zero, and end at `top` if panels are to be compared."""
        self._axes.set_ylim(bottom=0, top=top)

    def label_ends(self) -> None:
        """Writes the lines' names at their ends, from the lowest up, so that none covers another."""
        scale = self._axes.figure.dpi / 72
        lowest = float("-inf")
        for x, y, label in sorted(self._ends, key=lambda end: end[1]):
            at = self._axes.transData.transform((x, y))[1] / scale
            place = max(at, lowest + LABEL_SIZE * LABEL_HEIGHT)
            lowest = place
            self._axes.annotate(
                label,
                (x, y),
                (9, place - at),
                textcoords="offset points",
                fontsize=LABEL_SIZE,
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
            )


@contextmanager
def picture(path: Path, panels: int = 1, rows: int = 1, height: float = 4.0) -> Iterator[list[Panel]]:
    """So many panels, in so many rows of this height; written to `path` at the end of the block."""
    columns = panels // rows
    size = (5.2 * columns + 0.6, height * rows)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    made = [Panel(axes) for axes in grid.flat]
    try:
        yield made
        figure.canvas.draw()  # only this fixes where the lines end
        for panel in made:
            panel.label_ends()
        figure.savefig(path, dpi=120)
    finally:
        pyplot.close(figure)
