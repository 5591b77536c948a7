"""Throughput compared with its bounds: purchases a second of a bazaar, beside bare Pyro4 calls, inserts and fsyncs.

The yardsticks are measured anew before every run, so both figures of a ratio are taken within seconds on the same machine.
A purchase takes five messages (order, question, answer, and a message to buyer and seller each), a line on the trader's disk
and an entry in the ledger. A Pyro4 call takes two messages and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.protocol.settings import with_pace
from experiments.framework import yardsticks
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, kinds, markdown, spread, values

TRADERS, BUYERS, SELLERS = 3, 4, 3
REQUESTS = {1: 4_000, 8: 15_000, 64: 40_000}
"""By window, the number of orders that each buyer has outstanding."""
PLENTY = 20_000  # goods in a deposit: more than all buyers order
YARDSTICKS_S = 4.0  # the duration of all yardsticks
NAMES = {
    "calls_per_s": "Pyro4 calls a second, one client",
    "calls_of_six_per_s": f"Pyro4 calls a second, {yardsticks.CLIENTS} clients",
    "inserts_per_s": "MongoDB inserts a second, one by one (majority, journal)",
    "inserts_by_100_per_s": f"MongoDB documents a second, in batches of {yardsticks.BATCH}",
    "syncs_per_s": "lines on the disk a second, one fdatasync each",
}

# The text of its page, and the columns of its CSV.
NAME = "benchmark"
TITLE = "Purchases against bare calls"
QUESTION = "How many purchases a second, in times of what bare Pyro4, MongoDB and the disk can do?"
LABELS = ("window", "cache")
VALUES = ("shipped_per_s", "p50_ms", "p99_ms", *yardsticks.VALUES)
SEEDS = "0-2"
beside = yardsticks.measure


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every window and cache for one seed, then for the next: runs that are compared follow each other."""
    grid = []
    for seed in seeds:
        for window, requests in list(REQUESTS.items())[:: 2 if quick else 1]:
            for cache in CACHES:
                settings = with_pace(
                    "fast", traders=TRADERS, cache=cache, window=window, requests=requests // 20 if quick else requests,
                    restock_count=PLENTY, seed=seed,
                )  # fmt: skip
                settings = peopled(settings, BUYERS, SELLERS, every_item=True)
                expected_s = START_S + YARDSTICKS_S + (0 if quick else 4)
                grid.append(Cell({"window": str(window), "cache": cache}, seed, settings, expected_s))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """The figures of the trading time, from the opening of the market to the last answer."""
    latency = run.summary.latency_ms
    return {
        "shipped_per_s": run.summary.goods_shipped / run.trading_s,
        "p50_ms": latency.p50,
        "p99_ms": latency.p99,
    }


def ratios(rows: Sequence[Row]) -> list[float]:
    """The ratios of goods shipped a second to the bare calls a second of one client."""
    return [row.values["shipped_per_s"] / row.values["calls_per_s"] for row in rows]


def table(rows: Sequence[Row]) -> str:
    """The yardsticks, then the bazaar's figures in relation to them."""
    calls = values(rows, "calls_per_s")
    bare = [
        [
            NAMES[name],
            spread(values(rows, name)),
            spread([v / c for v, c in zip(values(rows, name), calls, strict=True)]),
        ]
        for name in yardsticks.VALUES
    ]
    lines = [
        [
            window, cache, spread(values(some, "shipped_per_s")), spread(ratios(some)), spread(values(some, "p50_ms")),
            spread([row.values["p99_ms"] / row.values["p50_ms"] for row in some]),
        ]
        for (window, cache), some in groups(rows, "window", "cache")
    ]  # fmt: skip
    first = markdown(["bare", "a second", "x one client's calls"], bare)
    header = [
        "window", "cache", "goods a second", "x one client's calls", "answer p50, ms", "p99 / p50",
    ]  # fmt: skip
    return f"{first}\n\n{markdown(header, lines)}"


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots goods a second against the window, as a multiple of one client's bare calls, and the response time."""
    ticks = {float(window): window for window in kinds(rows, "window")}
    with picture(path, panels=2) as (left, right):
        for (cache,), some in groups(rows, "cache"):
            by_window = [(float(window), part) for (window,), part in groups(some, "window")]
            left.line(cache, {window: ratios(part) for window, part in by_window})
            right.line(cache, {window: values(part, "p50_ms") for window, part in by_window})
        left.theory("one client's calls", dict.fromkeys(ticks, 1.0))
        left.name("orders outstanding of each buyer", "goods a second, x bare Pyro4 calls a second")
        right.name("orders outstanding of each buyer", "time to an answer, median, ms")
        for panel in (left, right):
            panel.logarithmic("x", ticks)
            panel.from_zero()


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""

    def told(window: str, cache: str) -> str:
        return spread(ratios([row for row in rows if (row.labels["window"], row.labels["cache"]) == (window, cache)]))

    few, many = (kinds(rows, "window")[place] for place in (0, -1))
    caches = kinds(rows, "cache")
    alone = ", ".join(f"`{cache}` {told(few, cache)}" for cache in caches)
    together = ", ".join(f"`{cache}` {told(many, cache)}" for cache in caches)
    waits = [spread(values(rows, "p50_ms", window=window), " ms") for window in (few, many)]
    cheap = [
        f"`{cache}`"
        for cache in caches
        if min(ratios([row for row in rows if (row.labels["window"], row.labels["cache"]) == (many, cache)])) > 1
    ]
    cheaper = (
        f" With {many} outstanding a purchase takes less time than a bare call with {', '.join(cheap)}."
        if cheap
        else ""
    )
    return (
        f"In times of the calls a second that one client of bare Pyro4 makes: with {few} order outstanding of each of "
        f"the {BUYERS} buyers {alone}; with {many} {together}. An answer takes {waits[0]} and {waits[1]}, over all caches."
        f"{cheaper}"
    )


REASONS = (
    "One order alone goes from its buyer to a trader, to the warehouse, to MongoDB and all the way back, and "
    "waits for two disks; where a cache answers, only to the trader and back, and for one. The time that takes is "
    "what bounds it. Many together share all of that: a turn of a trader, its line on the disk, its question and "
    "the ledger's insert are for whatever has arrived meanwhile, and what bounds it is the processor. A faster "
    "disk should raise the former, more cores the latter."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
