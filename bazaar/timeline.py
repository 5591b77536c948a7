"""The picture of a run over time: `python -m bazaar.timeline RUN_FOLDER` draws `timeline.png`.

Above, the goods shipped a second; below, the orders that wait in the traders' queues. Elections and faults are shaded, so
that one sees at a glance what a death costs and how long. A program of its own, for the reason given in `topology.py`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib

from bazaar.history import Happening, read_history
from bazaar.plan import load
from bazaar.records import WAREHOUSE

matplotlib.use("Agg")
from matplotlib import pyplot

MOST_BINS = 120


def shipped_a_second(happenings: Sequence[Happening], start: float, bin_s: float) -> dict[int, float]:
    """By bin since `start`: sales of the warehouse a second."""
    sales = Counter(int((h.at - start) / bin_s) for h in happenings if h.what == "shipped")
    return {number: count / bin_s for number, count in sales.items()}


def waiting(happenings: Sequence[Happening]) -> list[tuple[float, int]]:
    """After each event: how many orders wait in all queues together. `happenings` in the order of their time."""
    queued: dict[str, set[str]] = {}
    points: list[tuple[float, int]] = []
    for h in happenings:
        orders = queued.setdefault(h.process, set())
        if h.what in ("queued", "inherited"):
            orders.add(h.facts["order"])
        elif h.what == "taken":
            orders.discard(h.facts["order"])
        elif h.what == "fell":
            queued[h.facts["name"]] = set()
        elif h.what == "stepped_down":
            orders.clear()
        else:
            continue
        points.append((h.at, sum(map(len, queued.values()))))
    return points


def shades(happenings: Sequence[Happening]) -> list[tuple[float, float, str, str]]:
    """Elections and faults, as (from, to, label, shade). `happenings` in the order of their time."""
    found: list[tuple[float, float, str, str]] = []
    for position, h in enumerate(happenings):
        after = happenings[position:]
        if h.what == "election_started":
            end = next((later.at for later in after if later.what == "elected"), after[-1].at)
            found.append((h.at, end, "", "#e8e8e8"))
        elif h.what == "fault":
            name, for_s = h.facts["name"], h.facts["for_s"]
            noticed = (
                x.at
                for x in after
                if x.what in ("trader_died", "connected") and name in (x.facts.get("peer"), x.process)
            )
            found.append((h.at, h.at + for_s if for_s else next(noticed, h.at), h.facts["fault"], "#b0b0b0"))
    return found


def draw(folder: Path) -> None:
    """Draws the run in `folder`."""
    plan = load(folder / "bazaar.json")
    happenings = [h for name in ("launcher", WAREHOUSE, *plan.names) for h in read_history(folder / name)]
    happenings.sort(key=lambda h: (h.at, h.clock))
    start, end = happenings[0].at, happenings[-1].at
    bin_s = max(0.1, (end - start) / MOST_BINS)
    rate = shipped_a_second(happenings, start, bin_s)
    bins = range(int((end - start) / bin_s) + 1)
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5), layout="constrained")
    above.step(
        [number * bin_s for number in bins], [rate.get(number, 0.0) for number in bins], where="post", color="black"
    )
    above.set_ylabel("goods shipped a second")
    points = waiting(happenings)
    below.step(
        [at - start for at, _ in points], [count for _, count in points], where="post", color="black", linewidth=0.7
    )
    below.set_ylabel("orders waiting in queues")
    below.set_xlabel("seconds since the start of the run")
    for number, (begin, until, label, shade) in enumerate(shades(happenings)):
        for axes in (above, below):
            axes.axvspan(begin - start, max(until, begin + bin_s / 4) - start, color=shade, zorder=0)
        if label:
            above.annotate(
                label, (begin - start, 0.97 - 0.07 * (number % 4)), xycoords=("data", "axes fraction"), fontsize=8
            )
    above.set_title(
        f"{len(plan.names)} peers, {plan.settings.traders} traders, cache {plan.settings.cache}, seed {plan.settings.seed} "
        "(light: elections; dark: faults until noticed)",
        fontsize=9,
    )
    figure.savefig(folder / "timeline.png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
