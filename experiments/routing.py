"""What a market along the edges costs: `neighbours` against `direct`, with the same few buyers among more and more peers.

A random graph of degree three has a diameter of log2 n + log2 log n + O(1) (Bollobas and Fernandez de la Vega, "The diameter
of random regular graphs", Combinatorica 2, 1982), and its mean distance is near log2 n. The plan's graph is a tree with some
ties added, so it has fewer edges. Three figures stand side by side: the theory's; the distances in the plan's graph (pure, up
to 320 peers); and the hops that the relays of real runs have counted.

With 160 peers and `direct` the start alone takes near a minute on two cores (`scale`), so these are measured once, with a
single order a buyer under way. 320 would be 100,000 connections and 9 GB; of them only the graph is told.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from math import log2
from pathlib import Path
from statistics import median
from typing import get_args

from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.protocol.goods import ITEMS, is_seller
from bazaar.protocol.settings import Routing, Settings, with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Failed, Run
from experiments.framework.graphs import Shape, shape
from experiments.framework.plots import Panel, picture
from experiments.framework.rows import (
    Cell,
    Missing,
    Row,
    chosen,
    groups,
    kinds,
    markdown,
    middle,
    number_text,
    spread,
    values,
)

PEERS, QUICK_PEERS, MOST_PEERS = (10, 20, 40, 80), (10,), 160
GRAPHS = (*PEERS, MOST_PEERS, 320)
WINDOWS = (1, 16)  # an order alone, and so many that the processors are the bound
USUAL = "weak"  # the cache that is measured with all numbers of peers
COMPARED_PEERS = (20, 40)  # with these, all caches are measured
TRADERS, BUYERS = 3, 4
PLENTY = 1000
LEAST_S, QUICK_S = 8.0, 1.2
NOTED = 8  # times in `suspect_after_s` a relay notes what it has carried
UNKNOWN = -1.0  # with `direct` nothing is relayed, and nobody counts deliveries

# The text of its page, and the columns of its CSV.
NAME = "routing"
TITLE = "The price of speaking with neighbours only"
QUESTION = (
    "What does a market cost in which peers have connections to at most three others, and relay what is for the rest?"
)
LABELS = ("window", "peers", "routing", "cache")
VALUES = (
    "hops",
    "deliveries",
    "bundles",
    "dropped_percent",
    "busiest_percent",
    "connections",
    "busiest_connections",
    "kilobytes",
    "p50_ms",
    "p95_ms",
    "shipped_per_s",
    "election_messages",
    "election_ms",
)
SEEDS = "0-1"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Both ways of routing: more and more peers, orders alone and many at once; and all caches with some of the peers."""
    grid = []
    for seed in seeds:
        for window in WINDOWS[:1] if quick else WINDOWS:
            most = (MOST_PEERS,) if (seed, window) == (seeds[0], WINDOWS[0]) else ()
            for peers in QUICK_PEERS if quick else (*PEERS, *most):
                every = window == WINDOWS[0] and (quick or peers in COMPARED_PEERS)
                for cached in CACHES if every else (USUAL,):
                    grid += [_cell(window, peers, way, cached, seed, quick) for way in get_args(Routing)]
    return grid


def _cell(window: int, peers: int, way: Routing, cached: str, seed: int, quick: bool) -> Cell:
    patience_s = 2.0 if quick else max(LEAST_S, peers / 4)  # a peer to which many others connect is slow, not dead
    trading_s = QUICK_S if quick else patience_s
    settings = with_pace(
        "fast", peers=peers, traders=TRADERS, buyers=BUYERS, sellers=peers - BUYERS, cache=cached, routing=way, window=window,
        seed=_fitting(peers, seed), duration_s=trading_s, suspect_after_s=patience_s, election_timeout_s=4 * patience_s,
        restock_count=PLENTY,
    )  # fmt: skip
    labels = {"window": str(window), "peers": str(peers), "routing": way, "cache": cached}
    return Cell(labels, seed, settings, START_S + trading_s + peers / 5 + (peers / 40) ** 2)


@cache
def _fitting(peers: int, seed: int) -> int:
    """The first seed made of this one with which all buyers stay buyers, and every item is on sale from the beginning."""
    for attempt in range(100_000):
        plan = draw_plan(Settings(peers=peers, buyers=BUYERS, sellers=peers - BUYERS, seed=seed + 1000 * attempt))
        selling = [name for name in plan.names[:-TRADERS] if is_seller(name)]
        if all(map(is_seller, plan.names[-TRADERS:])) and {plan.goods[name] for name in selling} == set(ITEMS):
            return plan.settings.seed
    raise AssertionError(f"no seed makes sellers the traders of {peers} peers")


# ------------------------------------------------------------------------------------------ the graph alone
@cache
def _shape(peers: int, seed: int) -> Shape:
    """The shape of the graph of this cell."""
    settings = Settings(peers=peers, buyers=BUYERS, sellers=peers - BUYERS, seed=_fitting(peers, seed))
    return shape(draw_plan(settings).neighbours)


def _shapes(rows: Sequence[Row]) -> dict[int, list[Shape]]:
    """For each size of a graph: its shapes with the seeds of the rows."""
    seeds = sorted({row.seed for row in rows})
    return {peers: [_shape(peers, seed) for seed in seeds] for peers in GRAPHS}


# ------------------------------------------------------------------------------------------ the runs
def measure(run: Run) -> Mapping[str, float]:
    """The measurements. Deliveries, bundles and kilobytes are those an order, while the market is open."""
    opened, answers = run.told(events.Opened)[0].at, run.told(*events.ANSWERS)
    placed = {h.event.order_id: h.at for h in run.told(events.Ordered) if h.at >= opened}
    waits = sorted(1000 * (h.at - placed[h.event.order_id]) for h in answers if h.event.order_id in placed)
    if not waits:
        raise Failed("no order was placed and answered in the open market")
    answered_at = [h.at for h in answers]
    ends = Counter(chain.from_iterable(run.connections))
    calls, oks, wons = run.told(events.Called), run.told(events.HeardOk), run.told(events.Recognized)
    return {
        **_carried(run, opened, answered_at),
        "connections": len(run.connections),
        "busiest_connections": max(ends.values(), default=0),
        "kilobytes": _kilobytes(run, opened, answered_at),
        "p50_ms": waits[len(waits) // 2],
        "p95_ms": waits[len(waits) * 95 // 100],
        "shipped_per_s": run.summary.goods_shipped / run.trading_s,
        "election_messages": len(calls) + len(oks) + len(wons),
        "election_ms": 1000 * (run.told(events.Elected)[-1].at - run.told(events.ElectionStarted)[0].at),
    }


def _carried(run: Run, opened: float, answered_at: Sequence[float]) -> dict[str, float]:
    """What the relays noted, without the election: each process's last note, less its last one of soon after the opening."""
    if run.plan.settings.routing == "direct":
        return {"hops": 1.0, **dict.fromkeys(("deliveries", "bundles", "dropped_percent", "busiest_percent"), UNKNOWN)}
    first = opened + run.plan.settings.suspect_after_s / NOTED  # by then all have noted what they carried before
    nothing = events.Carried(0, 0, 0, 0, 0)
    before, after = defaultdict[str, events.Carried](lambda: nothing), dict[str, events.Carried]()
    for h in run.told(events.Carried):
        (before if h.at <= first else after)[h.process] = h.event
    took = {
        name: Counter(
            sent=now.sent - before[name].sent,
            arrived=now.arrived - before[name].arrived,
            hops=now.hops - before[name].hops,
            relayed=now.relayed - before[name].relayed,
            dropped=now.dropped - before[name].dropped,
            bundles=_bundles(now) - _bundles(before[name]),
        )
        for name, now in after.items()
    }
    every = sum(took.values(), Counter[str]())
    orders = sum(at > first for at in answered_at)
    if not (every["arrived"] and every["relayed"] and orders):
        raise Failed("it was over before the relays had noted what they carried")
    return {
        "hops": every["hops"] / every["arrived"],
        "deliveries": every["sent"] / orders,
        "bundles": every["bundles"] / orders,
        "dropped_percent": 100 * every["dropped"] / (every["relayed"] + every["dropped"]),
        "busiest_percent": 100 * max(one["relayed"] for one in took.values()) / every["relayed"],
    }


def _bundles(carried: events.Carried) -> int:
    return sum(count for _, count in carried.bundles)


def _kilobytes(run: Run, opened: float, answered_at: Sequence[float]) -> float:
    """What crossed the loopback interface an order: also the acknowledgments, TCP/IP's headers, and what MongoDB was told."""
    looks = [look for look in run.loopback if opened <= look[0] <= answered_at[-1]]
    if len(looks) < 2:
        raise Failed("it was over before it could be looked at")
    (since, first), (until, last) = looks[0], looks[-1]
    return (last - first) / 1000 / max(1, sum(since <= at <= until for at in answered_at))


# ------------------------------------------------------------------------------------------ telling it
def table(rows: Sequence[Row]) -> str:
    """The runs, one line for each kind of cell; then the graph alone."""
    lines = [
        [window, peers, way, cached, *(_cell_text(some, name) for name in VALUES if name != "dropped_percent")]
        for (window, peers, cached, way), some in groups(rows, "window", "peers", "cache", "routing")
    ]
    header = [
        "orders a buyer has under way", "peers", "routing", "cache", "hops a delivery", "deliveries an order",
        "bundles an order", "the busiest relay, % of all relaying", "connections of all", "of the busiest process",
        "kB an order", "answer p50, ms", "p95, ms", "goods a second", "election, messages", "election, ms",
    ]  # fmt: skip
    graph = [
        [
            f"{peers}", f"{log2(peers):.1f}", spread([one.mean_hops for one in shapes]),
            spread([one.diameter for one in shapes]), f"{log2(peers) + log2(log2(peers)):.1f}",
            spread([one.degree for one in shapes]), spread([one.busiest_percent for one in shapes]),
        ]
        for peers, shapes in _shapes(rows).items()
    ]  # fmt: skip
    graph_header = [
        "peers", "log2 n", "mean distance", "diameter", "log2 n + log2 log2 n", "neighbours a peer",
        "the busiest peer, % of all betweenness",
    ]  # fmt: skip
    return (
        f"**Measured in runs: {BUYERS} buyers, {TRADERS} traders, all others sellers**\n\n{markdown(header, lines)}\n\n"
        f"**Computed from the plans' graphs alone, and from theory**\n\n{markdown(graph_header, graph)}"
    )


def _cell_text(rows: Sequence[Row], name: str) -> str:
    known = [value for value in values(rows, name) if value != UNKNOWN]
    return spread(known) if known else "-"


def _usual(rows: Sequence[Row], window: int) -> list[Row]:
    """The rows with so many orders under way and the cache that is measured with all numbers of peers."""
    return [row for row in rows if row.labels["window"] == str(window) and row.labels["cache"] == USUAL]


def plot(rows: Sequence[Row], path: Path) -> None:
    """What the graph and theory say, and what was measured, against the number of peers."""
    one, many = (_usual(rows, window) for window in WINDOWS)
    shapes = _shapes(rows)
    few, crowd = (f"{window} order{'s' * (window > 1)} a buyer under way" for window in WINDOWS)
    with picture(path, panels=8, rows=4, height=3.0) as made:
        hops, busiest, connections, kilobytes, median_ms, slow_ms, goods, election = made
        hops.theory("theory: log2 n", {float(peers): log2(peers) for peers in GRAPHS})
        hops.theory("the graph's mean", {float(n): median(s.mean_hops for s in of) for n, of in shapes.items()})
        _draw(hops, one, "hops", "edges", "Edges that a delivery crosses")
        busiest.theory("an even load", {float(peers): 100 / peers for peers in GRAPHS})
        betweenness = {float(n): median(s.busiest_percent for s in of) for n, of in shapes.items()}
        busiest.theory("by betweenness", betweenness)
        _draw(busiest, one, "busiest_percent", "% of all relaying", "What the busiest peer relays")
        connections.theory("n (n + 1)", {float(n): n * (n + 1.0) for n in GRAPHS})
        connections.theory(f"3 n + {2 * TRADERS}", {float(n): 3.0 * n + 2 * TRADERS for n in GRAPHS})
        _draw(connections, one, "connections", "connections", "Connections of all processes")
        _draw(kilobytes, one, "kilobytes", "kB an order", f"Bytes on the wire; {few}")
        _draw(median_ms, one, "p50_ms", "ms, median", f"Time to an answer; {few}")
        _draw(slow_ms, one, "p95_ms", "ms, p95", f"Time to a slow answer; {few}")
        _draw(goods, many, "shipped_per_s", "goods a second", f"Goods shipped; {crowd}")
        _draw(election, one, "election_ms", "ms", f"Election of {TRADERS} traders")
        for panel in made:
            sizes = GRAPHS if panel in (hops, busiest, connections) else (*PEERS, MOST_PEERS)
            panel.logarithmic("x", {float(peers): str(peers) for peers in sizes})
        for panel, powers in ((busiest, range(3)), (connections, range(1, 6)), (election, range(1, 6))):
            panel.logarithmic("y", {10.0**power: f"{10**power:,}" for power in powers})
        for panel in (hops, kilobytes, median_ms, slow_ms, goods):
            panel.from_zero()


def _draw(panel: Panel, rows: Sequence[Row], name: str, y: str, title: str) -> None:
    """A line for each routing of which this is known."""
    for style, way in enumerate(get_args(Routing)):
        some = [row for row in rows if row.labels["routing"] == way and row.values[name] != UNKNOWN]
        if some:
            panel.line(way, {float(n): values(part, name) for (n,), part in groups(some, "peers")}, style)
    panel.name("peers", y, title)


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    costs = [_costs(rows, window) for window in kinds(rows, "window")]
    return " ".join((*costs, _graph_against_runs(rows), _caches(rows)))


def _costs(rows: Sequence[Row], window: str) -> str:
    """What `neighbours` takes of what `direct` takes, with the most peers of which there are rows of both."""
    some = chosen(rows, window=window, cache=USUAL)
    most = kinds(chosen(some, routing="neighbours"), "peers")[-1]

    def both(name: str) -> str:
        direct, routed = (middle(some, name, peers=most, routing=way) for way in ("direct", "neighbours"))
        return f"{number_text(routed)} instead of {number_text(direct)} ({number_text(routed / direct)} times)"

    return (
        f"With {most} peers and {window} order(s) a buyer under way, `neighbours` has {both('connections')} connections, "
        f"{both('kilobytes')} kB an order, {both('p50_ms')} ms to an answer at the median and {both('p95_ms')} ms at p95, "
        f"{both('shipped_per_s')} goods a second, and {both('election_ms')} ms of election."
    )


def _graph_against_runs(rows: Sequence[Row]) -> str:
    """Hops and the busiest relay: theory, graph, relays."""
    routed = chosen(rows, routing="neighbours", cache=USUAL, window=kinds(rows, "window")[0])
    few, many = (kinds(routed, "peers")[place] for place in (0, -1))
    shapes = _shapes(rows)
    said = "; ".join(
        f"with {peers} peers a delivery crosses {spread(values(routed, 'hops', peers=peers))} edges, where the graph's "
        f"mean distance is {spread([one.mean_hops for one in shapes[int(peers)]])} and log2 n is "
        f"{number_text(log2(int(peers)))}, and the busiest relay has "
        f"{spread(values(routed, 'busiest_percent', peers=peers), ' %')} of the relaying, where its betweenness would give it "
        f"{spread([one.busiest_percent for one in shapes[int(peers)]], ' %')}"
        for peers in dict.fromkeys((few, many))
    )
    dropped = spread(values(chosen(rows, routing="neighbours"), "dropped_percent"), " %")
    return f"Of the way: {said}. Relays dropped {dropped} of what they were to pass on."


def _caches(rows: Sequence[Row]) -> str:
    """What routing takes with each cache, where all were measured."""
    window = kinds(rows, "window")[0]
    others = [row for row in rows if row.labels["cache"] != USUAL]
    if not others:
        raise Missing("another cache")
    peers = kinds(others, "peers")[-1]
    said = "; ".join(
        f"`{cached}` "
        + " and ".join(
            f"{number_text(middle(rows, 'p50_ms', window=window, peers=peers, routing=way, cache=cached))} ms `{way}`"
            for way in get_args(Routing)
        )
        for cached in CACHES
    )
    return f"By caches, with {peers} peers, an answer takes at the median: {said}."


REASONS = (
    "An order crosses the graph to a trader, often goes on to the warehouse, and the answer comes back; on each edge a Python "
    "process has to wake up. A drawn plan has few edges above a tree, so its distances grow faster than those of the theory's "
    "graph, in which everybody has all three. A buyer writes to traders and not to all alike, so the peers around these "
    "relay what betweenness spreads over all. On one machine relays share the cores with those they relay for; on machines "
    "of their own they would take time, and hardly goods. Bully has everybody call everybody above. With direct connections "
    "each of these calls opens a connection first; along the edges all are there, and calls that wait travel in bundles."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
