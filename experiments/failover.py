"""Throughput before and after a trader dies (the original's experiment 3), and the dip in between.

The original: 40 requests in 60 s with two traders, "0.66" a second; 25 in the 60 s after one was killed, "0.37" (25 in 60 s
are 0.42). Does the throughput halve, and if not, why not? This experiment kills one trader of two, and one of four, with a
real kill -9. On one machine the survivors inherit the dead trader's processor time, which would flatter them. So the load
stays below the machine's capacity: buyers pause between orders, and `busy_cores` says how much of the machine was used. The
case without pauses is measured, too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bazaar.protocol import events
from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Failed, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, markdown, middle, number_text, spread, values

BUYERS, SELLERS = 7, 3
WINDOW_S, QUICK_WINDOW_S = 60.0, 2.0  # the length of the windows before and after the kill
DIP_ALLOWED_S = 8.0
PLENTY = 1000
LIGHT_S, LAB_S, NONE_S = 0.25, 10.0, 0.0
"""The buyers' pauses: for a load of half a core; as in the original; and none."""
SEED = {"before": (40, 60.0), "after": (25, 60.0)}
"""The goods and seconds of the original's table."""
PRINTED = {"before": 0.66, "after": 0.37}
"""The throughput that the original's table states for them."""
HALVED_PERCENT = 75.0  # a lower value is nearer to half than to the whole

# The text of its page, and the columns of its CSV.
NAME = "failover"
TITLE = "Throughput before and after a trader's death"
QUESTION = (
    "Does throughput halve when one of two traders is killed, as the original nearly finds, and what does a death cost?"
)
LABELS = ("traders", "think_s", "cache")
VALUES = ("before_per_s", "dip_per_s", "after_per_s", "noticed_s", "dip_s", "p99_ms", "busy_cores")
SEEDS = "0-1"


class Case(NamedTuple):
    """The type of a line of the grid."""

    traders: int
    think_s: float
    caches: Sequence[str]


CASES = (
    Case(2, LIGHT_S, CACHES),
    Case(4, LIGHT_S, CACHES),
    Case(2, LAB_S, ("weak",)),
    Case(2, NONE_S, ("none",)),
)


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """The grid. In each cell the trader that was elected last is killed after one window of trading."""
    window_s = QUICK_WINDOW_S if quick else WINDOW_S
    grid = []
    for traders, think_s, caches in CASES[:1] if quick else CASES:
        kill_s = window_s + think_s / 2  # buyers order in step, so the kill falls between two bursts of orders
        duration_s = kill_s + DIP_ALLOWED_S + window_s
        for cache in caches:
            for seed in seeds:
                settings = with_pace(
                    "fast", peers=BUYERS + SELLERS + traders, traders=traders, cache=cache, duration_s=duration_s,
                    think_s=think_s, restock_count=PLENTY, seed=seed,
                )  # fmt: skip
                settings = peopled(settings, BUYERS, SELLERS, every_item=True)
                labels = {"traders": str(traders), "think_s": f"{think_s:g}", "cache": cache}
                fault = f"kill:trader{traders - 1}@{kill_s:g}"
                grid.append(Cell(labels, seed, settings, START_S + duration_s, (fault,)))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """Goods shipped a second: before the kill, in the dip until a survivor sold again, and after the dip."""
    settings = run.plan.settings
    assert settings.duration_s is not None
    window_s = (settings.duration_s - settings.think_s / 2 - DIP_ALLOWED_S) / 2
    killed = run.told(events.Fault)[0].at
    fault = run.summary.faults[0]
    if fault["recovered_s"] is None or fault["recovered_s"] >= DIP_ALLOWED_S:
        raise Failed(f"nobody had taken over {DIP_ALLOWED_S:g} s after the kill")
    recovered = killed + fault["recovered_s"]
    shipped = [happened.at for happened in run.told(events.Shipped)]

    def a_second(start: float, end: float) -> float:
        return sum(start <= at < end for at in shipped) / (end - start)

    times = [happened.at for history in run.histories for happened in history]
    return {
        "before_per_s": a_second(killed - window_s, killed),
        "dip_per_s": a_second(killed, recovered),
        "after_per_s": a_second(recovered, recovered + window_s),
        "noticed_s": fault["detected_s"],
        "dip_s": fault["recovered_s"],
        "p99_ms": run.summary.latency_ms.p99,
        "busy_cores": run.processor_s / (max(times) - min(times)),
    }


def _after_percent(rows: Sequence[Row]) -> list[float]:
    return [100 * row.values["after_per_s"] / row.values["before_per_s"] for row in rows]


def _case(traders: str, think_s: str, cache: str) -> str:
    return f"{traders} to {int(traders) - 1} traders, {cache}, pause {think_s} s"


def table(rows: Sequence[Row]) -> str:
    """The original's line, then one line for each case."""
    before, after = (goods / seconds for goods, seconds in SEED.values())
    lines = [
        [
            "the original's, 2 to 1 traders",
            number_text(before),
            "-",
            number_text(after),
            number_text(100 * after / before),
            "-",
            "-",
        ]
    ]
    for labels, some in groups(rows, "traders", "think_s", "cache"):
        measured = {
            name: values(some, name) for name in ("before_per_s", "dip_per_s", "after_per_s", "dip_s", "busy_cores")
        }
        lines.append([
            _case(*labels), spread(measured["before_per_s"]), spread(measured["dip_per_s"]), spread(measured["after_per_s"]),
            spread(_after_percent(some)), spread(measured["dip_s"]), spread(measured["busy_cores"]),
        ])  # fmt: skip
    header = ["", "goods a second before", "in the dip", "after", "after, % of before", "dip, s", "cores busy"]
    return markdown(header, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots the dip and the time after it, in percent of the rate before the kill, for each case."""
    cases = [(_case(*labels), some) for labels, some in groups(rows, "traders", "think_s", "cache")]
    series = {
        label: [[100 * row.values[name] / row.values["before_per_s"] for row in some] for _, some in cases]
        for label, name in (("dip", "dip_per_s"), ("after", "after_per_s"))
    }
    with picture(path, height=1.6 + 0.6 * len(cases)) as (panel,):
        panel.dots([case for case, _ in cases], series)
        panel.mark("half", 50.0)
        panel.mark("before", 100.0)
        panel.mark("", 0.0)
        panel.name("goods a second, % of those before", "", "one trader is killed")


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    parts = [_light_story([row for row in rows if row.labels["think_s"] == f"{LIGHT_S:g}"])]
    lab = [row for row in rows if row.labels["think_s"] == f"{LAB_S:g}"]
    if lab:
        parts.append(_lab_story(lab))
    full = [row for row in rows if row.labels["think_s"] == f"{NONE_S:g}"]
    if full:
        parts.append(
            f"Without pauses ({spread(values(full, 'busy_cores'))} cores busy) {spread(_after_percent(full), ' %')} "
            "of the throughput are left."
        )
    return "\n\n".join(parts)


def _light_story(light: Sequence[Row]) -> str:
    kept = "; ".join(
        f"with {traders} traders {spread(_after_percent(some), ' %')} of the throughput is there again after a death"
        for (traders,), some in groups(light, "traders")
    )
    dips = "; ".join(
        f"in the {spread(values(some, 'dip_s'), ' s')} of the dip {spread(values(some, 'dip_per_s'))} goods a second "
        f"are shipped instead of {spread(values(some, 'before_per_s'))} with {traders} traders"
        for (traders,), some in groups(light, "traders")
    )
    left = _after_percent([row for row in light if row.labels["traders"] == str(CASES[0].traders)])
    verdict = "It halves" if max(left, default=0) < HALVED_PERCENT else "It falls"
    if min(left, default=0) > HALVED_PERCENT:
        verdict = "It does not halve"
    return (
        f"With the buyers pausing {LIGHT_S:g} s, so that {spread(values(light, 'busy_cores'))} cores are busy in all "
        f"(MongoDB's not counted), {kept}. {verdict} when one of {CASES[0].traders} traders dies. What the death costs "
        f"until somebody has taken over: {dips}. The median death is noticed after "
        f"{number_text(middle(light, 'noticed_s'))} s (`suspect_after_s` is {light[0].settings.suspect_after_s:g} s)."
    )


def _lab_story(lab: Sequence[Row]) -> str:
    seed_before, seed_after = (goods / seconds for goods, seconds in SEED.values())
    beside = " and ".join(
        f"{number_text(middle(lab, f'{when}_per_s'))} {when}, "
        f"{number_text(100 * middle(lab, f'{when}_per_s') / theirs)} % of the original's {number_text(theirs)}"
        for when, theirs in (("before", seed_before), ("after", seed_after))
    )
    left, theirs = _after_percent(lab), 100 * seed_after / seed_before
    shown = "" if max(left) < (100 + theirs) / 2 else "not "
    (goods, seconds), printed = SEED["after"], PRINTED["after"]
    return (
        f"At the original's pauses of {LAB_S:g} s, {BUYERS} buyers are shipped {beside}. So {spread(left, ' %')} are left "
        f"here, and {number_text(theirs)} % there: its loss is {shown}reproduced. (Its table prints {printed:g} a second for "
        f"after the death; the {goods} goods in {seconds:g} s beside it are {number_text(seed_after)}, which is taken here.)"
    )


REASONS = (
    "Below saturation a trader is not what limits the market, its buyers' pauses are, and a survivor has time for "
    "their orders as well; the dead trader's processor time is of no use to it. Until a death is noticed every "
    "buyer comes upon the dead trader sooner or later and waits; of more traders fewer orders go to the dead one. "
    "Here buyers ask again as soon as they hear of the death. A trader that serves an order in milliseconds is "
    "not what limits a market of long pauses, and what made the original's loss cannot be known from its table. "
    "Without pauses the survivor has the processor of the dead trader, and the batches of both; with a machine "
    "for each trader, and traders that are busy all the time, the loss should come near to half."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
