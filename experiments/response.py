"""Response time in the smallest bazaar, and with more and more buyers (the original names both, and gives no figures).

There are one trader, one seller, and 1 to 12 buyers, which place 1000 orders in all. Each buyer waits for an answer before it
orders again. So one buyer makes 1000 sequential requests between two peers (besides the trader, which neither buys nor sells).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.analysis.summary import percentile
from bazaar.protocol import events
from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, kinds, markdown, middle, number_text, spread, values

BUYERS = (1, 2, 4, 8, 12)
REQUESTS, QUICK_REQUESTS = 1000, 100
PLENTY = 1000
RESTOCK_EVERY_S = 0.2  # short, so that a single seller soon has every item on sale
PERCENTILES = (50, 90, 99)

# The text of its page, and the columns of its CSV.
NAME = "response"
TITLE = "Response time of the smallest bazaar, and with more buyers"
QUESTION = "How long does an order take among two peers and a trader, and how does that grow with the number of buyers?"
LABELS = ("buyers", "cache")
VALUES = ("mean_ms", *(f"p{percent}_ms" for percent in PERCENTILES), "answers_per_s", "purchased_percent")
SEEDS = "0-2"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every cache with every number of buyers."""
    requests = QUICK_REQUESTS if quick else REQUESTS
    grid = []
    for buyers in BUYERS[:: len(BUYERS) - 1] if quick else BUYERS:
        for cache in CACHES:
            for seed in seeds:
                settings = with_pace(
                    "fast", peers=buyers + 2, traders=1, cache=cache, requests=requests, restock_count=PLENTY,
                    restock_every_s=RESTOCK_EVERY_S, seed=seed,
                )  # fmt: skip
                labels = {"buyers": str(buyers), "cache": cache}
                grid.append(Cell(labels, seed, peopled(settings, buyers, 1), START_S + requests / 400))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """The response times of purchased orders, without the first orders, which wait for the opening."""
    opened = min(h.at for h in run.told(events.Opened))
    placed = {h.event.order_id: h.at for h in run.told(events.Ordered) if h.at >= opened}
    answers = [h for h in run.told(events.Purchased) if h.event.order_id in placed]
    waits = sorted(1000 * (h.at - placed[h.event.order_id]) for h in answers)
    trading_s = max(h.at for h in run.told(events.Purchased, events.FoundUnavailable)) - opened
    return {
        "mean_ms": sum(waits) / len(waits),
        **{f"p{percent}_ms": percentile(waits, percent) for percent in PERCENTILES},
        "answers_per_s": len(placed) / trading_s,
        "purchased_percent": 100 * len(waits) / len(placed),
    }


def table(rows: Sequence[Row]) -> str:
    """One line for each cache and number of buyers."""
    names = ("mean_ms", *(f"p{percent}_ms" for percent in PERCENTILES), "answers_per_s", "purchased_percent")
    lines = [
        [cache, buyers, *(spread(values(some, name)) for name in names)]
        for (cache, buyers), some in groups(rows, "cache", "buyers")
    ]
    header = ["cache", "buyers", "mean, ms", "p50, ms", "p90, ms", "p99, ms", "answers a second", "purchased, %"]
    return markdown(header, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots the percentiles against the buyers, with a panel for each cache, and the answers a second."""
    caches = kinds(rows, "cache")
    with picture(path, panels=len(caches) + 1) as (*panels, last):
        for panel, cache in zip(panels, caches, strict=True):
            some = [row for row in rows if row.labels["cache"] == cache]
            for percent in PERCENTILES:
                panel.line(f"p{percent}", _points(some, f"p{percent}_ms"))
            panel.name("buyers", "time to an answer, ms", f"cache {cache}")
            last.line(cache, _points(some, "answers_per_s"))
        last.name("buyers", "answers a second", "throughput")
        slowest = 1.05 * max(max(points) for points in _points(rows, f"p{PERCENTILES[-1]}_ms").values())
        for panel in panels:
            panel.from_zero(slowest)
        last.from_zero()
        for panel in (*panels, last):
            panel.whole_numbers()


def _points(rows: Sequence[Row], name: str) -> dict[float, list[float]]:
    return {float(buyers): values(some, name) for (buyers,), some in groups(rows, "buyers")}


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    few, many = (kinds(rows, "buyers")[place] for place in (0, -1))
    said = [
        f"`{cache}`: {number_text(middle(rows, 'p50_ms', cache=cache, buyers=few))} ms at the median with {few} "
        f"buyer(s), {number_text(middle(rows, 'p50_ms', cache=cache, buyers=many))} ms with {many} (p99 "
        f"{number_text(middle(rows, 'p99_ms', cache=cache, buyers=few))} and "
        f"{number_text(middle(rows, 'p99_ms', cache=cache, buyers=many))} ms), while the answers a second go from "
        f"{number_text(middle(rows, 'answers_per_s', cache=cache, buyers=few))} to "
        f"{number_text(middle(rows, 'answers_per_s', cache=cache, buyers=many))}"
        for cache in kinds(rows, "cache")
    ]
    times = [
        f"{number_text(int(many) / middle(rows, 'answers_per_s', cache=cache, buyers=many) * 1000)} ms with `{cache}`"
        for cache in kinds(rows, "cache")
    ]
    return (
        f"{'; '.join(said)}. Every buyer has one order under way, so the mean time to an answer is the number of "
        f"buyers divided by the answers a second (Little's law), which for {many} buyers gives {', '.join(times)}, "
        "refused orders included."
    )


REASONS = (
    "As long as the answers a second grow with the buyers, the time stays; where the machine is full, each "
    "further buyer only makes the others wait. For a cacheless trader that should come late, because orders that "
    "wait together go to the warehouse as one question and cost one write. With a cache a buyer waits for the "
    "database only when its item is not known to be there; the sale is written all the same, after the answer. "
    "More cores should move the bend to the right, a slower disk should lift the cacheless curve."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
