"""How the bazaar scales: start, election, trade, memory and idle processor time with 10 to 160 peers and 1 to 8 traders.

In theory Bully's messages grow with the square of the number of peers. The time of a start and the memory grow linearly, as
each peer is a process and the number of cores is fixed. Goods a second grow only as far as more concurrent orders travel
together, because the cores stay the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.protocol import events
from bazaar.protocol.settings import Settings, with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Failed, Run
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, chosen, groups, kinds, markdown, middle, number_text, spread, values

PEERS, TRADERS = (10, 20, 40, 80), (1, 2, 3, 5, 8)
MOST_PEERS = 160  # takes some 5 GB of memory and a minute, so it is measured once, with one cache
USUAL_TRADERS, USUAL_PEERS = 3, 20
REQUESTS, QUICK_REQUESTS = 6_000, 200
WINDOW = 4
PLENTY = 1000
PATIENCE_S = 30.0  # on a machine that starts eighty processes a peer may be slow without being dead
IDLE_S, QUICK_IDLE_S = 12.0, 3.0
SETTLED_S = 2.0  # the time until a market without buyers is quiet
FOR_EVER_S = 3600.0

# The text of its page, and the columns of its CSV.
NAME = "scale"
TITLE = "How it grows"
QUESTION = "What do more peers and more traders cost: to start, to elect, to trade, in memory, and when nobody buys?"
LABELS = ("series", "peers", "traders", "cache")
VALUES = (
    "startup_s",
    "election_messages",
    "election_ms",
    "shipped_per_s",
    "memory_mb",
    "process_mb",
    "idle_percent",
)
SEEDS = "0-1"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """More and more peers, more and more traders, and a market in which every buyer orders only once."""
    requests = QUICK_REQUESTS if quick else REQUESTS
    grid = []
    for seed in seeds:
        for cache in CACHES:
            most = (MOST_PEERS,) if (cache, seed) == (CACHES[0], seeds[0]) else ()
            for peers in PEERS[:1] if quick else (*PEERS, *most):
                settings = _settings(peers, USUAL_TRADERS, cache, seed, requests=requests, window=WINDOW)
                grid.append(_cell("peers", settings, seed, START_S + peers / 5 + requests / 1500))
            for traders in TRADERS[:1] if quick else TRADERS:
                settings = _settings(USUAL_PEERS, traders, cache, seed, requests=requests, window=WINDOW)
                grid.append(_cell("traders", settings, seed, START_S + 4 + requests / 1500))
            idle_s = QUICK_IDLE_S if quick else IDLE_S
            settings = _settings(PEERS[0], USUAL_TRADERS, cache, seed, duration_s=idle_s, think_s=FOR_EVER_S)
            grid.append(_cell("idle", settings, seed, START_S + idle_s))
    return grid


def _settings(peers: int, traders: int, cache: str, seed: int, **more: float) -> Settings:
    return with_pace(
        "fast", peers=peers, traders=traders, cache=cache, seed=seed, restock_count=PLENTY, suspect_after_s=PATIENCE_S,
        election_timeout_s=PATIENCE_S, **more,
    )  # fmt: skip


def _cell(series: str, settings: Settings, seed: int, expected_s: float) -> Cell:
    labels = {"series": series, "peers": str(settings.peers), "traders": str(settings.traders), "cache": settings.cache}
    return Cell(labels, seed, settings, expected_s)


def measure(run: Run) -> Mapping[str, float]:
    """The measurements. `idle_percent`: percent of one core while nobody buys; -1 in markets where somebody does."""
    if not run.usage:
        raise Failed("it was over before it could be looked at")
    calls, oks, wons = run.told(events.Called), run.told(events.HeardOk), run.told(events.Recognized)
    started = run.told(events.ElectionStarted)[0].at
    memory = {sample.process: sample.memory_bytes for sample in run.usage if sample.process != "mongod"}
    return {
        "startup_s": run.summary.startup_s,
        "election_messages": len(calls) + len(oks) + len(wons),
        "election_ms": 1000 * (run.told(events.Elected)[-1].at - started),
        "shipped_per_s": run.summary.goods_shipped / run.trading_s,
        "memory_mb": sum(memory.values()) / 1e6,
        "process_mb": max(memory.values()) / 1e6,
        "idle_percent": idle_percent(run) if run.plan.settings.think_s == FOR_EVER_S else -1,
    }


def idle_percent(run: Run) -> float:
    """The processor time, in percent of one core, of all processes except MongoDB once the market is quiet."""
    quiet = max(happened.at for happened in run.told(*events.ANSWERS)) + SETTLED_S
    quiet_s, used_s = 0.0, 0.0
    for process in {sample.process for sample in run.usage} - {"mongod"}:
        seen = [sample for sample in run.usage if sample.process == process and sample.at >= quiet]
        if len(seen) < 2:
            raise Failed("it was over before it was quiet")
        quiet_s = seen[-1].at - seen[0].at
        used_s += seen[-1].processor_s - seen[0].processor_s
    return 100 * used_s / quiet_s


def table(rows: Sequence[Row]) -> str:
    """One line for each number of peers and of traders; then the idle markets."""
    names = ("startup_s", "election_messages", "election_ms", "shipped_per_s", "memory_mb", "process_mb")
    lines = [
        [peers, traders, cache, *(spread(values(some, name)) for name in names)]
        for (_, peers, traders, cache), some in groups(
            [row for row in rows if row.labels["series"] != "idle"], "series", "peers", "traders", "cache"
        )
    ]
    header = [
        "peers", "traders", "cache", "start, s", "election, messages", "election, ms", "goods a second",
        "memory of all, MB", "of the largest process, MB",
    ]  # fmt: skip
    idle = [
        [peers, traders, cache, spread(values(some, "idle_percent"))]
        for (peers, traders, cache), some in groups(_series(rows, "idle"), "peers", "traders", "cache")
    ]
    return f"{markdown(header, lines)}\n\n{markdown(['peers', 'traders', 'cache', 'idle, % of one core'], idle)}"


def _series(rows: Sequence[Row], series: str) -> list[Row]:
    return [row for row in rows if row.labels["series"] == series]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots start, election, goods and memory against peers, and goods against traders."""
    by_peers, by_traders = _series(rows, "peers"), _series(rows, "traders")
    panels = (
        (by_peers, "peers", "startup_s", "start, s"),
        (by_peers, "peers", "election_messages", "messages of the election"),
        (by_peers, "peers", "memory_mb", "memory of all processes, MB"),
        (by_peers, "peers", "shipped_per_s", "goods a second"),
        (by_traders, "traders", "shipped_per_s", "goods a second"),
        (by_traders, "traders", "election_ms", "election, ms"),
    )
    with picture(path, panels=len(panels), rows=2, height=3.2) as made:
        for panel, (some, label, name, said) in zip(made, panels, strict=True):
            for (cache,), part in groups(some, "cache"):
                panel.line(cache, {float(x): values(those, name) for (x,), those in groups(part, label)})
            panel.name(label, said)
            panel.from_zero()


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    by_peers, by_traders = chosen(rows, series="peers"), chosen(rows, series="traders")
    crowd = [row for row in by_peers if row.labels["peers"] == str(MOST_PEERS)]
    by_peers = [row for row in by_peers if row not in crowd]
    few, many = (kinds(by_peers, "peers")[place] for place in (0, -1))

    def grows(name: str) -> str:
        start, end = (middle(by_peers, name, peers=peers) for peers in (few, many))
        return f"{number_text(start)} to {number_text(end)} ({number_text(end / start)} times)"

    one, most = (kinds(by_traders, "traders")[place] for place in (0, -1))
    rates = "; ".join(
        f"`{cache}` {number_text(middle(by_traders, 'shipped_per_s', cache=cache, traders=one))} with {one} and "
        f"{number_text(middle(by_traders, 'shipped_per_s', cache=cache, traders=most))} with {most}"
        for cache in kinds(by_traders, "cache")
    )
    return (
        f"From {few} to {many} peers ({number_text(int(many) / int(few))} times as many) the start goes from "
        f"{grows('startup_s')} seconds, the "
        f"election's messages from {grows('election_messages')}, memory from {grows('memory_mb')} MB and goods a second "
        f"from {grows('shipped_per_s')}; every buyer has {WINDOW} orders under way. By traders, goods a second: {rates}. "
        f"Idle, a bazaar of {PEERS[0]} peers uses "
        f"{spread(values(rows, 'idle_percent', series='idle'), ' %')} of one core."
        + "".join(
            f" With {MOST_PEERS} peers (`{row.labels['cache']}`) the start takes {number_text(row.values['startup_s'])} s, "
            f"{number_text(row.values['election_ms'] / 1000)} s of it the election with its "
            f"{number_text(row.values['election_messages'])} messages, and all processes take "
            f"{number_text(row.values['memory_mb'])} MB."
            for row in crowd
        )
    )


REASONS = (
    "Python processes come up one after the other on the cores there are, and a Python with its libraries is most "
    "of the memory of each. Bully's messages grow with the square of the peers. The more orders are under way, "
    "the more of them travel together; every further trader is a further question to the warehouse for the same "
    "orders, so fewer of them travel together, and on one machine it brings no further core. What an idle bazaar "
    "does is send the traders' heartbeats."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
