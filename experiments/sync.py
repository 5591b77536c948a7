"""How often should a trader pull, and should it push? The trade-off of weak consistency, as one picture.

A weak cache rereads all counts after every K served orders (`pull_every`), and tells the other traders the counts after each
sale (`push`). The original pulls after 5 orders, and pushes. What do pull and push gain in staleness, over-selling, messages
an order, and throughput?
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.protocol import events
from bazaar.protocol.goods import ITEMS
from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import ALL_CACHES, START_S, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, chosen, groups, kinds, markdown, middle, number_text, spread, values

TRADERS, BUYERS, SELLERS = 3, 6, 4
GOODS = 10  # as in the original's deposits: goods run out again and again
REQUESTS, QUICK_REQUESTS = 1000, 150
PULL_EVERY = (1, 2, 5, 10, 20, 50)
MOST_ON_THE_WAY = 1000  # a bound for the pushes from one trader to another that are under way
SYNCED = ("weak",)
"""The policies that pull and push. The others are measured for comparison."""
NEVER = "-"  # the label of a cache that neither pulls nor pushes
MEASURED = {
    "stale_sales": "sales unknown to a cached answer",
    "oversold_percent": "over-sold, % of the orders",
    "messages": "pushes and pulls an order",
    "shipped_per_s": "goods shipped a second",
}

# The text of its page, and the columns of its CSV.
NAME = "sync"
TITLE = "Pull and push: the price of weak consistency"
QUESTION = "What do pulling every K orders and pushing after each sale buy, and at what price?"
LABELS = ("cache", "pull_every", "push")
VALUES = (
    "stale_sales",
    "from_cache_percent",
    "oversold_percent",
    "undersold_percent",
    "pushed",
    "pulled",
    "messages",
    "shipped_per_s",
    "p50_ms",
)
SEEDS = "0-2"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every K, with and without pushing; and, for comparison, the caches that neither pull nor push."""
    requests = QUICK_REQUESTS if quick else REQUESTS
    grid = []
    for cache in ALL_CACHES:
        ways = [
            (k, push) for k in (PULL_EVERY[:: len(PULL_EVERY) - 1] if quick else PULL_EVERY) for push in (True, False)
        ]
        for pull_every, push in ways if cache in SYNCED else [(PULL_EVERY[0], False)]:
            for seed in seeds:
                settings = with_pace(
                    "fast", peers=TRADERS + BUYERS + SELLERS, traders=TRADERS, cache=cache, requests=requests,
                    restock_count=GOODS, pull_every=pull_every, push=push, seed=seed,
                )  # fmt: skip
                labels = {"cache": cache, "pull_every": str(pull_every), "push": "on" if push else "off"}
                if cache not in SYNCED:
                    labels |= {"pull_every": NEVER, "push": NEVER}
                settings = peopled(settings, BUYERS, SELLERS, every_item=True)
                grid.append(Cell(labels, seed, settings, START_S + requests / 200))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """The measurements. Messages: those that the cache causes. A pull travels with a question that is asked anyway."""
    requests, stale = run.summary.requests, staleness(run)
    pushed, pulled = len(run.told(events.Pushed)) / requests.asked, len(run.told(events.Pulled)) / requests.asked
    return {
        "stale_sales": sum(stale) / len(stale) if stale else 0.0,
        "from_cache_percent": 100 * len(stale) / requests.asked,
        "oversold_percent": 100 * requests.oversold / requests.asked,
        "undersold_percent": 100 * requests.undersold / requests.asked,
        "pushed": pushed,
        "pulled": pulled,
        "messages": pushed + pulled,
        "shipped_per_s": run.summary.throughput_per_s,
        "p50_ms": run.summary.latency_ms.p50,
    }


def staleness(run: Run) -> list[int]:
    """For each order answered from a cache: the number of other traders' sales of the item that the trader did not know of.

    A trader knows the others' sales before its own last question to the warehouse for the item. Of each other trader it also
    knows the sales before that trader sent the last push that arrived.
    """
    sold: defaultdict[tuple[str, str], list[float]] = defaultdict(list)  # trader, item -> times
    asked: defaultdict[tuple[str, str], float] = defaultdict(float)  # trader, item -> time it last asked the warehouse
    pushes: defaultdict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)  # from, to -> clock, time
    heard: defaultdict[tuple[str, str], float] = defaultdict(float)  # to, from -> sending time of the last push heard
    stale = []
    kinds: tuple[type[events.Event], ...] = (events.Taken, events.Pulled, events.Pushed, events.HeardPush)
    for h in run.told(*kinds):
        me = h.process
        match h.event:
            case events.Pulled():
                asked.update({(me, item): h.at for item in ITEMS})
            case events.Pushed(to=to):
                pushes[me, to].append((h.clock, h.at))
            case events.HeardPush(neighbour):
                clock = h.sent or 0
                known = (at for noted, at in pushes[neighbour, me][-MOST_ON_THE_WAY:] if noted < clock)
                heard[me, neighbour] = max(known, default=0.0)
            case events.Taken(item=item, to=to):
                if to == "warehouse":
                    asked[me, item] = h.at
                else:
                    stale.append(
                        sum(
                            len(times) - bisect_right(times, max(asked[me, item], heard[me, other]))
                            for (other, what), times in sold.items()
                            if other != me and what == item
                        )
                    )
                sold[me, item].append(h.at)
    return stale


def table(rows: Sequence[Row]) -> str:
    """One line for each cache, push and K."""
    names = ("stale_sales", "oversold_percent", "undersold_percent", "pushed", "pulled", "shipped_per_s", "p50_ms")
    lines = [
        [cache, push, pull_every, *(spread(values(some, name)) for name in names)]
        for (cache, push, pull_every), some in groups(rows, "cache", "push", "pull_every")
    ]
    header = [
        "cache", "push", "K", "sales unknown to an answer", "over-sold, %", "under-sold, %", "pushes an order",
        "pulls an order", "goods a second", "answer p50, ms",
    ]  # fmt: skip
    return markdown(header, lines)


def _caching(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.labels["pull_every"] != NEVER]


def _others(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return [(cache, some) for (cache, k), some in groups(rows, "cache", "pull_every") if k == NEVER]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots the effect of K and push on each of the four quantities."""
    caching = _caching(rows)
    with picture(path, panels=len(MEASURED), rows=2, height=3.6) as panels:
        for panel, (name, axis) in zip(panels, MEASURED.items(), strict=True):
            for (cache, push), some in groups(caching, "cache", "push"):
                panel.line(
                    f"{cache}, push {push}", {float(k): values(part, name) for (k,), part in groups(some, "pull_every")}
                )
            for cache, others in _others(rows) if caching and name in ("oversold_percent", "shipped_per_s") else ():
                panel.theory(cache, dict.fromkeys(map(float, kinds(caching, "pull_every")), middle(others, name)))
            panel.name("K: orders served between two pulls", axis)
            panel.logarithmic("x", ticks={float(k): k for k in kinds(caching, "pull_every")})
            panel.from_zero()


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    caching = _caching(rows)
    parts = []
    for cache in kinds(caching, "cache"):
        some = chosen(caching, cache=cache)
        low, high = (kinds(some, "pull_every")[place] for place in (0, -1))
        said = []
        for push in kinds(some, "push"):

            def told(name: str, push: str = push, some: Sequence[Row] = some, low: str = low, high: str = high) -> str:
                ends = [number_text(middle(some, name, push=push, pull_every=k)) for k in (low, high)]
                return f"from {ends[0]} to {ends[1]}"

            said.append(
                f"with push {push}, from K = {low} to K = {high}, the sales that an answer does not know of go "
                f"{told('stale_sales')}, over-selling {told('oversold_percent')} %, pushes and pulls an order "
                f"{told('messages')}, goods a second {told('shipped_per_s')}"
            )
        parts.append(f"`{cache}`: {'; '.join(said)}. {_gain_of_pushing(some)}")
    for cache, others in _others(rows):
        parts.append(
            f"To compare: `{cache}` ships {spread(values(others, 'shipped_per_s'))} goods a second and over-sells "
            f"{spread(values(others, 'oversold_percent'))} %."
        )
    return "\n\n".join(parts)


def _gain_of_pushing(rows: Sequence[Row]) -> str:
    """The gain by pushing, at the same K."""
    less = {
        name: [
            middle(rows, name, push="off", pull_every=k) - middle(rows, name, push="on", pull_every=k)
            for k in kinds(rows, "pull_every")
        ]
        for name in ("oversold_percent", "shipped_per_s")
    }
    return (
        f"At the same K, pushing takes {spread(less['oversold_percent'])} points off over-selling, and "
        f"{spread(less['shipped_per_s'])} goods a second off the throughput (over all K)."
    )


REASONS = (
    "A pull corrects a count in both directions, but only every K orders, and rides on a question that goes to "
    "the warehouse anyway. A push costs a message to each other trader after each sale and is there within "
    "milliseconds; it can only lower a count. So pushing should pay where goods are scarce and traders few; with "
    "more traders every sale is told to more of them. Where goods do not run out, neither is needed. The "
    "histories note pushes, pulls, orders and answers; the questions to the warehouse, in which many orders share "
    "a letter, are not counted."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
