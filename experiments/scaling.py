"""Traders by load: a step and a wave of load, against fixed numbers of traders. When does a further trader help?

`--traders-max` seats a further trader when orders wait too long, and lets it go when they do not. Here the buyers order five
times as fast, for a while or in waves, at a bazaar with one trader at first and at bazaars with fixed numbers. All have the
same peers: the highest ones, which become traders, are sellers, so no trader that is seated takes load away with it.

The waiting time here is the buyer's, from its order to the first answer, so it has the way of two messages more than the
trader's own, by which the number of traders is decided.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import msgspec

from bazaar.analysis.waits import waits_in
from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.protocol.goods import ITEMS, WAREHOUSE, is_seller
from bazaar.protocol.settings import Settings, with_pace
from bazaar.protocol.workload import workload
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Failed, Run, Sample
from experiments.framework.plots import Panel, picture
from experiments.framework.rows import Cell, Row, chosen, groups, kinds, markdown, spread, trend, values

BY_LOAD = "by-load"
FIXED = (1, 2, 3)
MOST_TRADERS = 3
BUYERS, SELLERS = 6, 3  # besides the sellers that are, or may become, traders
WINDOW, THINK_S = 330, 1.5
FACTOR = 5.0  # how many times as fast the buyers order
HIGH = FACTOR / 2  # the load counts as high from this factor on
TOO_LONG_MS, LOW_FOR_S = 120.0, 1.5
PLENTY = 100_000
PATIENCE_S = 20.0  # a busy peer is not dead
STEP, WAVE = "step", "wave"
BEFORE_S, STEP_S, AFTER_S, WAVES = 4.0, 8.0, 10.0, 2
QUICK_BEFORE_S, QUICK_STEP_S, QUICK_AFTER_S = 1.5, 4.0, 2.0
SLICES = 20
LOOKED_AT_S = 0.5  # the length of time whose mean wait is compared with the threshold
PARTS = 1000  # of the trading time, in each of which the load is either low or high
NOT_BACK = NOBODY = -1.0

# The text of its page, and the columns of its CSV.
NAME = "scaling"
TITLE = "Traders by load"
QUESTION = (
    "When the load grows, what becomes of the waiting time and the goods a second, with traders by load and with fixed "
    "numbers of them: when does a further trader help?"
)
LABELS = ("load", "cache", "traders")
OVER_TIME = {"wait_ms": "time to an answer, ms", "per_s": "goods a second", "traders": "traders"}
VALUES = (
    "low_ms",
    "high_ms",
    "low_per_s",
    "high_per_s",
    "most_traders",
    "changes",
    "back_s",
    "trader_percent",
    "warehouse_percent",
    "mongod_percent",
    "all_percent",
    *(f"{name}_{number}" for name in OVER_TIME for number in range(SLICES)),
)
SEEDS = "0-1"
SHOWN = {
    "low_ms": "answer, ms, low load", "high_ms": "high load", "low_per_s": "goods a second, low load",
    "high_per_s": "high load", "most_traders": "most traders", "changes": "changes",
}  # fmt: skip
BOUNDS = {
    "trader_percent": "the busiest trader", "warehouse_percent": "the warehouse", "mongod_percent": "MongoDB",
    "all_percent": "all processes of the bazaar",
}  # fmt: skip
"""Who is how busy while the load is high."""


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every load with every cache, by load and with each fixed number of traders."""
    before_s, step_s, after_s = _phases(quick)
    duration_s = before_s + step_s + after_s
    loads = {STEP: f"step:{FACTOR:g}@{before_s:g}+{step_s:g}", WAVE: f"wave:{FACTOR:g}/{duration_s / WAVES:g}"}
    grid = []
    for load in (STEP,) if quick else loads:
        for cache in CACHES:
            for traders in (0, *FIXED[: 1 if quick else None]):
                for seed in seeds:
                    settings = with_pace(
                        "fast", peers=BUYERS + SELLERS + MOST_TRADERS, buyers=BUYERS, traders=traders or 1, cache=cache,
                        window=WINDOW, think_s=THINK_S, restock_count=PLENTY, duration_s=duration_s, load=loads[load],
                        suspect_after_s=PATIENCE_S, answer_timeout_s=PATIENCE_S, seed=seed,
                        **({} if traders else {"traders_max": MOST_TRADERS, "scale_up_after_ms": TOO_LONG_MS,
                                               "scale_down_after_s": LOW_FOR_S}),
                    )  # fmt: skip
                    labels = {"load": load, "cache": cache, "traders": str(traders or BY_LOAD)}
                    grid.append(Cell(labels, seed, _peopled(settings), START_S + duration_s))
    return grid


def _phases(quick: bool) -> tuple[float, float, float]:
    return (QUICK_BEFORE_S, QUICK_STEP_S, QUICK_AFTER_S) if quick else (BEFORE_S, STEP_S, AFTER_S)


def _peopled(settings: Settings) -> Settings:
    """These settings with the first seed whose highest peers are sellers, and whose other sellers have every item."""
    for attempt in range(100_000):
        made = msgspec.structs.replace(settings, seed=settings.seed + 1000 * attempt)
        plan = draw_plan(made)
        selling = [name for name in plan.names[:-MOST_TRADERS] if is_seller(name)]
        if len(selling) == SELLERS and {plan.goods[name] for name in selling} == set(ITEMS):
            return made
    raise AssertionError("no seed makes the highest peers sellers")


# ------------------------------------------------------------------------------------------- measuring
def measure(run: Run) -> Mapping[str, float]:
    """The measurements: while the load is low, while it is high, and over time. All times count from the first answer."""
    settings = run.plan.settings
    assert settings.load is not None
    assert settings.duration_s is not None
    duration_s, load = settings.duration_s, workload(settings.load)

    def is_high(after_s: float) -> bool:
        return load(after_s) >= HIGH

    waits = sorted(
        (wait.answered_at, 1000 * (wait.answered_at - wait.placed_at))
        for history in run.histories
        for wait in waits_in(history)
        if wait.answered_at is not None
    )
    start = waits[0][0] if waits else 0.0
    waits = [(at - start, ms) for at, ms in waits if at < start + duration_s]
    high, low = ([ms for at, ms in waits if is_high(at) == now] for now in (True, False))
    if not high or not low:
        raise Failed("nobody was answered at one of the two loads; is the machine busy?")
    shipped = [happened.at - start for happened in run.told(events.Shipped)]
    goods = [is_high(at) for at in shipped if 0 <= at < duration_s]
    high_s = duration_s * fmean(is_high(duration_s * part / PARTS) for part in range(PARTS))
    seated, busy = _seated(run, start), _busy_percent(run, start, is_high)
    return {
        "low_ms": fmean(low),
        "high_ms": fmean(high),
        "low_per_s": goods.count(False) / (duration_s - high_s),
        "high_per_s": goods.count(True) / high_s,
        "most_traders": max(number for _, number in seated),
        "changes": len(run.told(events.Resized)),
        "back_s": back_s([(at, ms) for at, ms in waits if is_high(at)]),
        "trader_percent": max(busy.get(name, 0.0) for name in run.plan.names[-MOST_TRADERS:]),
        "warehouse_percent": busy.get(WAREHOUSE, 0.0),
        "mongod_percent": busy.get("mongod", 0.0),
        "all_percent": sum(busy.values()),
        **_over_time(duration_s, waits, shipped, seated),
    }


def _seated(run: Run, start: float) -> list[tuple[float, int]]:
    """How many traders there were, with the time from which there were so many."""
    number, found = 0, []
    for happened in run.told(events.Elected, events.Deposed):
        number += 1 if isinstance(happened.event, events.Elected) else -1
        found.append((happened.at - start, number))
    return found


def back_s(waits: Sequence[tuple[float, float]]) -> float:
    """How long after the load first grew the mean wait is below the threshold, and stays there until the load is gone.

    `waits`: the times of answers under high load, each with how long it took.
    """
    grown = waits[0][0]
    looks: dict[int, list[float]] = {}
    for (before, _), (at, ms) in pairwise([waits[0], *waits]):
        if at - before > LOOKED_AT_S * 2:
            break  # the load was gone in between
        looks.setdefault(int((at - grown) / LOOKED_AT_S), []).append(ms)
    too_long = max((look for look, some in looks.items() if fmean(some) >= TOO_LONG_MS), default=-1)
    return NOT_BACK if too_long == max(looks) else (too_long + 1) * LOOKED_AT_S


def _busy_percent(run: Run, start: float, is_high: Callable[[float], bool]) -> Mapping[str, float]:
    """By process, the processor time that it used while the load was high, in percent of one core."""
    samples: dict[str, list[Sample]] = {}
    for sample in run.usage:
        if is_high(sample.at - start):
            samples.setdefault(sample.process, []).append(sample)
    return {
        process: 100 * (some[-1].processor_s - some[0].processor_s) / (some[-1].at - some[0].at)
        for process, some in samples.items()
        if len(some) > 1
    }


def _over_time(
    duration_s: float,
    waits: Sequence[tuple[float, float]],
    shipped: Sequence[float],
    seated: Sequence[tuple[float, int]],
) -> Mapping[str, float]:
    """In each slice of the trading time: the mean wait (-1: nobody was answered), goods a second, traders in its middle."""
    slice_s = duration_s / SLICES
    found: dict[str, float] = {}
    for number in range(SLICES):
        begin, end = number * slice_s, (number + 1) * slice_s
        some = [ms for at, ms in waits if begin <= at < end]
        found[f"wait_ms_{number}"] = fmean(some) if some else NOBODY
        found[f"per_s_{number}"] = sum(begin <= at < end for at in shipped) / slice_s
        middle_s = (begin + end) / 2
        found[f"traders_{number}"] = [count for at, count in seated if at <= middle_s][-1]
    return found


# ----------------------------------------------------------------------------------------------- telling
def table(rows: Sequence[Row]) -> str:
    """One line for each load, cache and number of traders."""
    lines = [
        [*labels, *(spread(values(some, name)) for name in (*SHOWN, *BOUNDS)), _back_text(some)]
        for labels, some in groups(rows, *LABELS)
    ]
    bounds = [f"{who}, % of a core" for who in BOUNDS.values()]
    header = [*LABELS, *SHOWN.values(), *bounds, f"below {TOO_LONG_MS:g} ms again after, s"]
    return markdown(header, lines)


def _back_text(rows: Sequence[Row]) -> str:
    """When the wait was back below the threshold, and in how many runs it never was."""
    back = [row.values["back_s"] for row in rows if row.values["back_s"] != NOT_BACK]
    never = len(rows) - len(back)
    return "; ".join([*([spread(back)] if back else []), *([f"never in {never} of {len(rows)}"] if never else [])])


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots waits, goods and traders over time, side by side: a row of panels for each load and cache."""
    markets = list(groups(rows, "load", "cache"))
    shown = [(*market, name) for market in markets for name in OVER_TIME]
    with picture(path, panels=len(shown), rows=len(markets), height=2.6) as made:
        for panel, ((load, cache), some, name) in zip(made, shown, strict=True):
            for look, traders in enumerate(kinds(rows, "traders")):
                part = [row for row in some if row.labels["traders"] == traders]
                if part and (name != "traders" or traders == BY_LOAD):
                    panel.line(traders, _points(part, name), look)
            _mark_load(panel, some)
            panel.name("seconds", OVER_TIME[name], f"{load}, {cache}")
            panel.from_zero()


def _points(rows: Sequence[Row], name: str) -> dict[float, list[float]]:
    """By the middle of each slice, its values; without those of a slice in which nobody was answered."""
    duration_s = rows[0].settings.duration_s
    assert duration_s is not None
    by_slice = {
        (number + 0.5) * duration_s / SLICES: [value for value in values(rows, f"{name}_{number}") if value != NOBODY]
        for number in range(SLICES)
    }
    return {at: some for at, some in by_slice.items() if some}


def _mark_load(panel: Panel, rows: Sequence[Row]) -> None:
    """Marks when the load grows and when it falls."""
    if not rows or rows[0].settings.load is None or rows[0].settings.duration_s is None:
        return
    load, duration_s = workload(rows[0].settings.load), rows[0].settings.duration_s
    times = [duration_s * part / PARTS for part in range(PARTS)]
    for before, after in pairwise(times):
        grows, falls = (load(one) < HIGH <= load(other) for one, other in ((before, after), (after, before)))
        if grows or falls:
            panel.mark("high" if grows else "low", after)


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    return "\n\n".join([*(_fixed_story(rows, load) for load in kinds(rows, "load")), _by_load_story(rows)])


def _fixed_story(rows: Sequence[Row], load: str) -> str:
    fixed = [row for row in chosen(rows, load=load) if row.labels["traders"] != BY_LOAD]
    counts = kinds(fixed, "traders")
    if len(counts) < 2:
        return f"Fixed numbers of traders are to be compared under a {load} once there are rows of several."
    told = []
    for cache in kinds(fixed, "cache"):
        few, many = ([row for row in fixed if row.labels["traders"] == traders and row.labels["cache"] == cache]
                     for traders in (counts[0], counts[-1]))  # fmt: skip
        if few and many:
            waits, goods = (trend(values(few, name), values(many, name)) for name in ("high_ms", "high_per_s"))
            told.append(
                f"with `{cache}` the time to an answer {waits}, from {spread(values(few, 'high_ms'), ' ms')} to "
                f"{spread(values(many, 'high_ms'), ' ms')}, and what is shipped a second {goods}, from "
                f"{spread(values(few, 'high_per_s'))} to {spread(values(many, 'high_per_s'))}"
            )
    return f"Under the high load of a {load}, from {counts[0]} to {counts[-1]} traders: {'; '.join(told)}."


def _by_load_story(rows: Sequence[Row]) -> str:
    parts = []
    for (load, cache), some in groups(chosen(rows, traders=BY_LOAD), "load", "cache"):
        back = [row.values["back_s"] for row in some if row.values["back_s"] != NOT_BACK]
        fate = f"it is back below in {len(back)} of {len(some)} runs"
        if back:
            fate += f", {spread(back, ' s')} after the load grew"
        if len(back) < len(some):
            late = [row for row in some if row.values["back_s"] == NOT_BACK]
            used = ", ".join(f"{who} {spread(values(late, name), ' %')}" for name, who in BOUNDS.items())
            fate += f" (where it is not, of one core are used by {used})"
        parts.append(
            f"{load}, `{cache}`: up to {spread(values(some, 'most_traders'))} traders, "
            f"{spread(values(some, 'changes'))} changes; {fate}"
        )
    return (
        f"With traders by load (a further one when orders wait {TOO_LONG_MS:g} ms at a trader, and up to {MOST_TRADERS}), "
        f"the time to an answer against these {TOO_LONG_MS:g} ms: {'; '.join(parts)}."
    )


REASONS = (
    "All processes share the cores of one machine, and all traders share one warehouse. A further trader brings neither: "
    "it is a further process that wants a core, and a further question to the warehouse for the same orders, of which "
    "fewer then travel together. So it can shorten the wait only where a trader's own work is what orders wait for and a "
    "core is free for the next one: on a machine with more cores, with traders on machines of their own, or with a trader "
    "that is slow. Where no process is busy all the time and orders wait all the same, they wait for cores that others "
    "use. The rule cannot know what is the bound, and goes up to its limit all the same."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
