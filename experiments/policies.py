"""Which cache policy is best? All policies on the same markets: with plenty of goods, with few, and while nobody sells.

`none` asks the warehouse for every order, `weak` guesses from what it last heard, `escrow` sells what the ledger has
granted to it, and with `shared` all traders sell what the ledger has granted to one cache server. What does each policy
cost, and what does it get wrong? How much does each sell while the warehouse is stopped?
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.analysis.summary import percentile
from bazaar.protocol import events
from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import ALL_CACHES, START_S, Failed, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, kinds, markdown, middle, number_text, spread, values

TRADERS = 3
PLENTY, SCARCE, AWAY = "plenty", "scarce", "warehouse-away"
WORKLOADS = {PLENTY: (4, 3, 10_000), SCARCE: (7, 2, 3), AWAY: (4, 3, 10_000)}
"""The numbers of buyers and sellers, and the goods in a deposit."""
SCARCE_EVERY_S = 1.0  # seconds between two deposits of a seller
BEFORE_S, AWAY_S, AFTER_S = 5.0, 5.0, 1.0
QUICK_BEFORE_S, QUICK_AWAY_S, QUICK_AFTER_S = 2.0, 0.8, 0.5
SETTLED_S = 1.0  # the time for trading to get going, and for orders under way to be answered
SHOWN = {
    "shipped_per_s": "goods shipped a second",
    "p50_ms": "time to an answer, median, ms",
    "oversold_percent": "over-sold, % of the orders",
    "undersold_percent": "under-sold, % of the orders",
}

# The text of its page, and the columns of its CSV.
NAME = "policies"
TITLE = "The cache policies side by side"
QUESTION = "What does each cache policy cost, what does it get wrong, and which goes on without the warehouse?"
LABELS = ("workload", "cache")
VALUES = (
    "shipped_per_s",
    "p50_ms",
    "p99_ms",
    "oversold_percent",
    "undersold_percent",
    "questions",
    "away_percent",
)
SEEDS = "0-2"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every workload with every policy."""
    before_s, away_s, after_s = _phases(quick)
    grid = []
    for workload, (buyers, sellers, goods) in WORKLOADS.items():
        for cache in ALL_CACHES:
            for seed in seeds:
                settings = with_pace(
                    "fast", peers=TRADERS + buyers + sellers, traders=TRADERS, cache=cache, restock_count=goods,
                    restock_every_s=SCARCE_EVERY_S if workload == SCARCE else None, seed=seed,
                    duration_s=before_s + away_s + after_s,
                )  # fmt: skip
                settings = peopled(settings, buyers, sellers, every_item=workload != SCARCE)
                faults = (f"pause:warehouse@{before_s:g}+{away_s:g}",) if workload == AWAY else ()
                expected_s = START_S + before_s + away_s + after_s
                grid.append(Cell({"workload": workload, "cache": cache}, seed, settings, expected_s, faults))
    return grid


def _phases(quick: bool) -> tuple[float, float, float]:
    return (QUICK_BEFORE_S, QUICK_AWAY_S, QUICK_AFTER_S) if quick else (BEFORE_S, AWAY_S, AFTER_S)


def measure(run: Run) -> Mapping[str, float]:
    """The measurements. In every workload, goods and times are those before the time when the warehouse is stopped."""
    before_s, away_s, _ = _phases(run.plan.settings.duration_s != BEFORE_S + AWAY_S + AFTER_S)
    placed = {h.event.order_id: h.at for h in run.told(events.Ordered)}
    answers = run.told(events.Purchased, events.FoundUnavailable)
    if not answers:
        raise Failed("nobody was answered")
    stops = [h.at for h in run.told(events.Fault)]
    stop = stops[0] if stops else answers[0].at + before_s
    start = answers[0].at + SETTLED_S
    early = [h for h in answers if start <= h.at < stop]
    waits = sorted(1000 * (h.at - placed[h.event.order_id]) for h in early)
    shipped = sum(start <= h.at < stop for h in run.told(events.Shipped)) / (stop - start)
    away = sum(stop + SETTLED_S / 4 <= h.at < stop + away_s for h in answers) / (away_s - SETTLED_S / 4)
    requests = run.summary.requests
    return {
        "shipped_per_s": shipped,
        "p50_ms": percentile(waits, 50),
        "p99_ms": percentile(waits, 99),
        "oversold_percent": 100 * requests.oversold / requests.asked,
        "undersold_percent": 100 * requests.undersold / requests.asked,
        "questions": len(run.told(events.Asked)) / requests.asked,
        "away_percent": 100 * away * (stop - start) / len(early) if early else 0.0,
    }


def table(rows: Sequence[Row]) -> str:
    """One line for each workload and policy."""
    names = (*SHOWN, "p99_ms", "questions", "away_percent")
    lines = [
        [workload, cache, *(spread(values(some, name)) for name in names)]
        for (workload, cache), some in groups(rows, "workload", "cache")
    ]
    header = [
        "workload", "cache", "goods a second", "answer p50, ms", "over-sold, %", "under-sold, %", "answer p99, ms",
        "questions to the warehouse an order", "answers in 5 s (of the warehouse's absence, if it is away), % of before",
    ]  # fmt: skip
    return markdown(header, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots speed with plenty of goods, mistakes with scarce goods, and the rate left while the warehouse is stopped."""
    panels = [(PLENTY, "shipped_per_s"), (PLENTY, "p50_ms"), (SCARCE, "oversold_percent"), (AWAY, "away_percent")]
    names = {**SHOWN, "away_percent": "answers a second while it is away, % of before"}
    with picture(path, panels=len(panels), rows=2, height=2.6) as made:
        for panel, (workload, name) in zip(made, panels, strict=True):
            measured = {
                cache: values(some, name)
                for (work, cache), some in groups(rows, "workload", "cache")
                if work == workload
            }
            if measured:
                panel.dots(list(measured), {"": list(measured.values())})
            panel.mark("", 0.0)
            panel.name(names[name], "", workload)


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""

    def told(name: str, workload: str, unit: str = "") -> str:
        return ", ".join(
            f"`{cache}` {spread(values(rows, name, workload=workload, cache=cache), unit)}"
            for cache in kinds(rows, "cache")
        )

    def times(name: str, other: str) -> str:
        ours, theirs = (middle(rows, name, workload=PLENTY, cache=cache) for cache in ("escrow", other))
        return number_text(ours / theirs)

    buyers, sellers, goods = WORKLOADS[SCARCE]
    parts = [
        f"With goods in plenty and each buyer waiting for each answer, `escrow` ships {times('shipped_per_s', 'none')} "
        f"times the goods of `none` and {times('shipped_per_s', 'weak')} times those of `weak`; an answer takes "
        f"{times('p50_ms', 'none')} of the time of `none`. Questions to the warehouse an order: "
        f"{told('questions', PLENTY)}.",
        f"With {buyers} buyers, {sellers} sellers and deposits of {goods}, of the orders are over-sold: "
        f"{told('oversold_percent', SCARCE, ' %')}; refused though there is stock: "
        f"{told('undersold_percent', SCARCE, ' %')}. What that costs in time to an answer: "
        f"{told('p50_ms', SCARCE, ' ms')}.",
        f"Answers a second while the warehouse is stopped, in percent of those before: {told('away_percent', AWAY, ' %')}.",
    ]
    return "\n\n".join(parts)


REASONS = (
    "A sale for which nobody waits goes to the ledger in company. Where goods are scarce the last ones are "
    "granted to nobody, and an escrow asks for each order as a cacheless trader does. While the warehouse is "
    "stopped, an escrow sells what it holds until its lease runs out, and settles afterwards; `shared` sells what the "
    "cache server holds; the other caches go on only as long as no order misses: one that does holds up its buyer. "
    "A longer distance to the database "
    "should widen the gap to the cacheless traders; goods that are always scarce should close it."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
