"""The picture of a run over time, `timeline.png`.

Above, the goods shipped a second; below, the orders that wait in the traders' queues. Elections and faults are shaded, so
that one sees at a glance what a death costs and how long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib

from bazaar.history import Happening, by_time, histories_of, only
from bazaar.plan import load
from bazaar.records import WAREHOUSE

matplotlib.use("Agg")
from matplotlib import pyplot

BINS = 240
QUEUEING = ("queued", "inherited", "taken", "stepped_down")
SHADED = ("election_started", "elected", "fault", "trader_died", "connected")


def shipped(history: Iterable[Happening], start: float, bin_s: float) -> list[float]:
    """The warehouse's sales a second, by bin since `start`."""
    sales = Counter(int((h.at - start) / bin_s) for h in only(history, "shipped"))
    return [sales[number] / bin_s for number in range(max(sales, default=-1) + 1)]


def waiting(history: Iterable[Happening], start: float, bin_s: float) -> list[int]:
    """How many orders wait in one peer's queue at the end of each bin. `fell` among its events: it was killed."""
    orders: set[str] = set()
    counts: list[int] = []
    for h in history:
        while len(counts) < int((h.at - start) / bin_s):
            counts.append(len(orders))
        if h.what in ("queued", "inherited"):
            orders.add(h.facts["order"])
        elif h.what == "taken":
            orders.discard(h.facts["order"])
        elif h.what in ("fell", "stepped_down"):
            orders.clear()
    return [*counts, len(orders)]


def shades(happenings: Sequence[Happening]) -> list[tuple[float, float, str, str]]:
    """Elections and faults, as (from, to, label, shade). `happenings`: those `SHADED`, in the order of their time."""
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
    by_name = histories_of(folder, plan.names)
    histories = by_name.values()
    # Every history is gone through for itself: those of a long run do not fit into memory, and to merge them takes long.
    start = min(next(iter(history)).at for history in histories if any(True for _ in history))
    end = max(h.at for history in histories for h in history)
    bin_s = max(0.05, (end - start) / BINS)
    rates = shipped(by_name[WAREHOUSE], start, bin_s)
    queues = [0] * (int((end - start) / bin_s) + 1)
    for name in plan.names:
        falls = [h for h in by_name["launcher"] if h.what == "fell" and h.facts["name"] == name]
        for number, count in enumerate(waiting(by_time((only(by_name[name], *QUEUEING), falls)), start, bin_s)):
            queues[number] += count
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5), layout="constrained")
    for axes, values, label in ((above, rates, "goods shipped a second"), (below, queues, "orders waiting in queues")):
        values = [*values, *[0] * (len(queues) - len(values))]
        axes.step([number * bin_s for number in range(len(values))], values, where="post", color="black", linewidth=0.9)
        axes.set_ylabel(label)
    below.set_xlabel("seconds since the start of the run")
    shaded = list(by_time(only(history, *SHADED) for history in histories))
    for number, (begin, until, label, shade) in enumerate(shades(shaded)):
        for axes in (above, below):
            axes.axvspan(begin - start, max(until, begin + bin_s / 2) - start, color=shade, zorder=0)
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
