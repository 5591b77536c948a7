"""Throughput with a cache and without (the original's experiment 1): how many goods a second do 1, 2 and 3 traders ship?

The original's table has 10 peers and 20 requests: cached 25 / 22 / 15 s and cacheless 63 / 55 / 40 s for 1 / 2 / 3 traders.
`series=lab` measures the same at the original's own waiting times, for comparison. `series=fast` measures without any
waiting, with thousands of orders. `series=search` searches for what makes the gain of a cache large, small or negative.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import ALL_CACHES, CACHES, START_S, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import (
    Cell,
    Missing,
    Row,
    chosen,
    groups,
    kinds,
    markdown,
    number_text,
    spread,
    trend,
    values,
)
from experiments.lab_times import LAB_BUYERS, LAB_REQUESTS, LAB_SEEDS, SEED, asleep_s, lab_story, lab_table

PEERS = 10
TRADERS = (1, 2, 3)
FAST_BUYERS = 4
PLENTY = 1000  # goods in a deposit, so that none runs out

Change = tuple[str, dict[str, int], dict[str, float], str]
BASE: dict[str, int] = {"traders": 3, "buyers": FAST_BUYERS, "sellers": 3}
SEARCH: tuple[Change, ...] = (
    # the name of the change; the peers; the settings, and the distance to MongoDB; the reason why the change should matter
    ("nothing", {}, {}, "as in the series before, with 3 traders"),
    (
        "1-buyer-1-trader",
        {"traders": 1, "buyers": 1},
        {},
        "nobody to share a batch with, and nobody to tell the counts",
    ),
    ("1-buyer", {"buyers": 1}, {}, "each miss waits alone for the database"),
    ("8-buyers", {"buyers": 8}, {}, "orders that wait together are one question to the database, cached or not"),
    ("6-traders", {"traders": 6}, {}, "each sale is told to five others"),
    ("window-8", {}, {"window": 8}, "eight orders a buyer under way: larger batches, deeper queues"),
    ("think-20-ms", {}, {"think_s": 0.02}, "the buyers sleep between orders"),
    ("think-200-ms", {}, {"think_s": 0.2, "requests": 200}, "the buyers sleep nearly all the time"),
    ("scarce-goods", {}, {"restock_count": 3}, "lots of three: most counts that a cache holds are zero or wrong"),
    ("database-1-ms-away", {}, {"distance_s": 0.001}, "one more millisecond to MongoDB, and one back"),
    ("database-10-ms-away", {}, {"distance_s": 0.01}, "ten each way: a database in another country"),
)


FAR_AWAY = {"database-1-ms-away": "1 ms", "database-10-ms-away": "10 ms"}

# The text of its page, and the columns of its CSV.
NAME = "throughput"
TITLE = "Throughput, cached and cacheless"
QUESTION = (
    "How much do 1, 2 and 3 traders ship a second, with a cache and without, and what decides what a cache gains?"
)
LABELS = ("series", "change", "traders", "buyers", "cache")
VALUES = ("shipped", "trading_s", "shipped_per_s", "oversold", "p50_ms", "p99_ms")
SEEDS = "0-2"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """All series. The quick grid leaves out the series at the lab's pace."""
    fast_requests, search_requests = (200, 100) if quick else (2000, 600)
    grid: list[Cell] = []
    for seed in seeds:
        for traders in TRADERS[:: 2 if quick else 1]:
            for cache in ALL_CACHES:
                settings = with_pace(
                    "fast",
                    peers=PEERS,
                    traders=traders,
                    cache=cache,
                    requests=fast_requests,
                    restock_count=PLENTY,
                    seed=seed,
                )
                settings = peopled(settings, FAST_BUYERS, PEERS - traders - FAST_BUYERS, every_item=True)
                labels = {"series": "fast", "change": "nothing", "traders": str(traders), "buyers": str(FAST_BUYERS)}
                grid.append(Cell({**labels, "cache": cache}, seed, settings, START_S + fast_requests / 700))
    for seed in seeds:
        for change, people, changed, _ in SEARCH[:: 5 if quick else 1]:
            there = {**BASE, **people}
            for cache in CACHES:
                given = {"requests": search_requests, "restock_count": PLENTY, **changed}
                distance_s = given.pop("distance_s", 0.0)
                settings = with_pace("fast", traders=there["traders"], cache=cache, seed=seed, **given)
                settings = peopled(settings, there["buyers"], there["sellers"], every_item=True)
                labels = {"series": "search", "change": change}
                labels |= {"traders": str(there["traders"]), "buyers": str(there["buyers"]), "cache": cache}
                grid.append(Cell(labels, seed, settings, START_S + search_requests / 400, (), distance_s))
    for seed in () if quick else seeds[:LAB_SEEDS]:
        for buyers in LAB_BUYERS:
            for traders in TRADERS:
                for cache in CACHES:
                    settings = with_pace(
                        "lab", traders=traders, peers=PEERS, cache=cache, requests=LAB_REQUESTS, seed=seed
                    )
                    settings = peopled(settings, buyers, PEERS - traders - buyers, every_item=True)
                    labels = {"series": "lab", "change": "nothing", "traders": str(traders), "buyers": str(buyers)}
                    asleep = asleep_s(LAB_REQUESTS, buyers, settings.think_s)
                    expected_s = START_S + 30 + 10 * traders + asleep
                    grid.append(Cell({**labels, "cache": cache}, seed, settings, expected_s))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """The figures of the trading time, from the opening of the market to the last answer."""
    trading_s, summary = run.trading_s, run.summary
    return {
        "shipped": summary.goods_shipped,
        "trading_s": trading_s,
        "shipped_per_s": summary.goods_shipped / trading_s,
        "oversold": summary.requests.oversold,
        "p50_ms": summary.latency_ms.p50,
        "p99_ms": summary.latency_ms.p99,
    }


def gains(rows: Sequence[Row], cache: str) -> list[float]:
    """The gain of this cache over `none` in goods a second, in percent, by seed."""
    without = {row.seed: row.values["shipped_per_s"] for row in rows if row.labels["cache"] == "none"}
    both = [row for row in rows if row.labels["cache"] == cache and row.seed in without]
    return [100 * (row.values["shipped_per_s"] / without[row.seed] - 1) for row in both]


def _series(rows: Sequence[Row], series: str) -> list[Row]:
    return [row for row in rows if row.labels["series"] == series]


def table(rows: Sequence[Row]) -> str:
    """One table for each series."""
    return "\n\n".join(filter(None, (lab_table(_series(rows, "lab")), _fast_table(rows), _search_table(rows))))


def _fast_table(rows: Sequence[Row]) -> str:
    lines = [
        [
            traders,
            cache,
            *(spread([row.values[name] for row in some]) for name in ("shipped_per_s", "p50_ms", "p99_ms")),
        ]
        for (traders, cache), some in groups(_series(rows, "fast"), "traders", "cache")
    ]
    if not lines:
        return ""
    header = ["traders", "cache", "goods a second", "answer p50, ms", "answer p99, ms"]
    return f"**Without waiting: {PEERS} peers, {FAST_BUYERS} of them buying**\n\n{markdown(header, lines)}"


def _search_table(rows: Sequence[Row]) -> str:
    lines = []
    reasons = {change: why for change, _, _, why in SEARCH}
    for (change,), some in groups(_series(rows, "search"), "change"):
        for cache in kinds(some, "cache"):
            gain = gains(some, cache)
            if cache != "none" and gain:
                none, cached = ([row for row in some if row.labels["cache"] == kind] for kind in ("none", cache))
                lines.append([
                    change, cache,
                    *(spread(values(part, name)) for name in ("shipped_per_s", "p50_ms") for part in (none, cached)),
                    spread(gain, " %"), reasons.get(change, ""),
                ])  # fmt: skip
    if not lines:
        return ""
    header = ["changed", "cache", "goods a second: none", "cached", "p50, ms: none", "cached", "gain", "what it does"]
    return f"**What makes the gain of a cache**\n\n{markdown(header, lines)}"


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots seconds at the lab's pace beside the original's, goods a second without waiting, and the gain for each change."""
    lab, fast, search = (_series(rows, series) for series in ("lab", "fast", "search"))
    with picture(path, panels=3, height=4.4) as (left, centre, right):
        for (cache, buyers), some in groups(lab, "cache", "buyers"):
            left.line(f"{cache}, {buyers} buyers", _by_traders(some, "trading_s"))
        for cache, theirs in SEED.items():
            left.theory(f"the original's, {cache}", {float(traders): float(time) for traders, time in theirs.items()})
        left.name("traders", f"seconds for {LAB_REQUESTS} requests", "at the original's pace")
        for (cache,), some in groups(fast, "cache"):
            centre.line(cache, _by_traders(some, "shipped_per_s"))
        centre.name("traders", "goods shipped a second", f"no waiting, {FAST_BUYERS} buyers")
        for panel in (left, centre):
            panel.from_zero()
            panel.whole_numbers()
        changes = kinds(search, "change")
        series = {
            cache: [
                [1 + gain / 100 for gain in gains(chosen(search, change=change), cache)] or [math.nan]
                for change in changes
            ]
            for cache in kinds(search, "cache")
            if cache != "none"
        }
        right.mark("", 1.0)
        right.dots(changes, series)
        right.logarithmic("x", {float(times): f"{times}" for times in (0.5, 1, 2, 5, 10, 20)})
        right.name("goods a second, x those without a cache", "", "what makes the gain")


def _by_traders(rows: Sequence[Row], name: str) -> dict[float, list[float]]:
    return {float(traders): values(some, name) for (traders,), some in groups(rows, "traders")}


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    fast, search = chosen(rows, series="fast"), chosen(rows, series="search")
    parts = [f"**Without waiting**, {_fast_story(fast)}", f"**What makes the gain.** {_search_story(search)}"]
    lab = _series(rows, "lab")
    if lab:
        parts.insert(0, f"**At the original's pace**, {lab_story(lab)}")
    return "\n\n".join(parts)


def _fast_story(rows: Sequence[Row]) -> str:
    traders = kinds(rows, "traders")
    said = []
    for cache in kinds(rows, "cache"):
        if cache != "none":
            by_traders = [f"{spread(gains(chosen(rows, traders=n), cache), ' %')} with {n}" for n in traders]
            said.append(f"what `{cache}` ships beyond `none` is {', '.join(by_traders)} trader(s)")
    one, all_ = traders[0], traders[-1]
    rates, against = [], []
    for cache in kinds(rows, "cache"):
        before, after = (values(rows, "shipped_per_s", cache=cache, traders=n) for n in (one, all_))
        goes = trend(before, after)
        rates.append(f"with `{cache}` it {goes}, from {spread(before)} to {spread(after)}")
        if goes == "falls" and cache in SEED:
            against.append(f"`{cache}`")
    contradicts = (
        f" For {' and '.join(against)} that is the opposite of the original's table, in which more traders are faster."
        if against
        else ""
    )
    return f"{'; '.join(said)}. From {one} to {all_} traders, goods a second: {'; '.join(rates)}.{contradicts}"


def _search_story(rows: Sequence[Row]) -> str:
    medians = {
        (change, cache): median(gains(some, cache))
        for (change,), some in groups(rows, "change")
        for cache in kinds(some, "cache")
        if cache != "none" and gains(some, cache)
    }
    if not medians:
        raise Missing("series=search")
    best, worst = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
    smallest = min(medians, key=lambda key: abs(medians[key]))

    def told(key: tuple[str, str]) -> str:
        return f"{number_text(medians[key])} % (`{key[1]}`, {key[0]})"

    batches, farther, ways = "", "", []
    for cache in kinds(rows, "cache"):
        if ("window-8", cache) in medians and ("nothing", cache) in medians:
            batches += (
                f" With one order of each buyer under way `{cache}` gains {number_text(medians['nothing', cache])} %, "
                f"with eight {number_text(medians['window-8', cache])} %."
            )
        by_way = [number_text(medians[way, cache]) for way in ("nothing", *FAR_AWAY) if (way, cache) in medians]
        if len(by_way) > 1:
            ways.append(f"`{cache}` gains {', '.join(by_way)} %")
    if ways:
        farther = (
            f" With MongoDB where it is, then {' and '.join(FAR_AWAY.values())} farther away each way (a relay passes "
            f"every byte on that much later), {'; '.join(ways)}."
        )
    return (
        f"The gain is largest, {told(best)}, lowest, {told(worst)}, and nearest to nothing at "
        f"{told(smallest)}.{batches}{farther}"
    )


REASONS = (
    "At the original's pauses a market is asleep nearly all the time, so its seconds say how many orders the busiest "
    "buyer has, and little about caches and traders; why the original's runs differ as they do cannot be known from "
    "its tables. Without pauses the traders share one machine's cores, one warehouse and one database, and each "
    "buyer waits for each answer: more traders would be more capacity where a trader is what is busy, on more "
    "cores. A cache saves a buyer the wait for the database, not the database its work: every sale is written "
    "there all the same. And it has work of its own: each sale is told to the other traders or granted "
    "beforehand, and a promise takes a journal line and a message more than a plain sale; where its counts are "
    "mostly zero or wrong that is all it does. Orders that wait together share the cacheless trader's question, "
    "and the caching one's words."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
