"""Over-selling against the ratio of buyers to sellers (the original's experiment 2), and under-selling with it.

The original, for 40 requests: 37.5 % with 5 buyers and 4 sellers, 10 % with 3/6, 30 % with 4/5, 62.5 % with 7/2; "oversell
percentage increases as the buyer to seller ratio increases". Is that so, and for which cache? How do the goods in a deposit
(N_g), the time between deposits (T_g) and the buyers' pauses change the result?
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean

from bazaar.protocol.settings import with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Missing, Row, groups, kinds, markdown, middle, number_text, spread, values

TRADERS = 3
REQUESTS = 40
PEOPLE = ((1, 8), (2, 7), (3, 6), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1))
"""The numbers of buyers and sellers besides the traders; the original's four pairs are among them."""
SEED = {"5/4": 37.5, "3/6": 10.0, "4/5": 30.0, "7/2": 62.5}
GOODS, EVERY_S, THINK_S = 3, 5.0, 0.0
"""The conditions of the curve: lots of three, a new lot as soon as a seller is sold out (a run ends before T_g), no pauses."""
MOVES = ((1, EVERY_S, THINK_S), (10, EVERY_S, THINK_S), (GOODS, 0.1, THINK_S), (GOODS, EVERY_S, 0.1))
MOVED_PEOPLE = ((3, 6), (7, 2))
MOVED_SEEDS = 3  # the first of the given seeds
MEASURED = ("oversold_percent", "unavailable_percent", "refused_percent", "undersold_percent")

# The text of its page, and the columns of its CSV.
NAME = "overselling"
TITLE = "Over-selling against buyers and sellers"
QUESTION = (
    "Do more buyers a seller mean more over-selling, as the original says, for which cache, and what else moves it?"
)
LABELS = ("ratio", "cache", "goods", "every_s", "think_s")
VALUES = MEASURED
SEEDS = "0-4"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """The curve for every cache; then changed conditions, for the caches that can over-sell at all."""
    grid = [
        _cell(people, cache, GOODS, EVERY_S, THINK_S, seed)
        for people in (((3, 6), (7, 2)) if quick else PEOPLE)
        for cache in CACHES
        for seed in seeds
    ]
    return grid + [
        _cell(people, cache, *move, seed)
        for move in (MOVES[:1] if quick else MOVES)
        for people in ([(7, 2)] if quick else MOVED_PEOPLE)
        for cache in CACHES
        for seed in seeds[:MOVED_SEEDS]
        if cache != "none"
    ]


def _cell(people: tuple[int, int], cache: str, goods: int, every_s: float, think_s: float, seed: int) -> Cell:
    buyers, sellers = people
    settings = with_pace(
        "fast", peers=buyers + sellers + TRADERS, traders=TRADERS, cache=cache, requests=REQUESTS, seed=seed,
        restock_count=goods, restock_every_s=every_s, think_s=think_s,
    )  # fmt: skip
    labels = {"ratio": f"{buyers}/{sellers}", "cache": cache, "goods": str(goods)}
    labels |= {"every_s": f"{every_s:g}", "think_s": f"{think_s:g}"}
    return Cell(labels, seed, peopled(settings, buyers, sellers), START_S + REQUESTS * think_s / buyers)


def measure(run: Run) -> Mapping[str, float]:
    """The refusals, in percent of the orders asked."""
    requests = run.summary.requests
    counted = {
        "oversold": requests.oversold,
        "unavailable": requests.unavailable,
        "refused": requests.oversold + requests.unavailable,
        "undersold": requests.undersold,
    }
    return {f"{name}_percent": 100 * count / requests.asked for name, count in counted.items()}


def _curve(rows: Sequence[Row]) -> list[Row]:
    base = {"goods": str(GOODS), "every_s": f"{EVERY_S:g}", "think_s": f"{THINK_S:g}"}
    found = [row for row in rows if base.items() <= row.labels.items()]
    return sorted(found, key=lambda row: _ratio(row.labels["ratio"]))


def _ratio(text: str) -> float:
    buyers, sellers = text.split("/")
    return int(buyers) / int(sellers)


def table(rows: Sequence[Row]) -> str:
    """The curve beside the original's four points; then the changed conditions."""
    curve = _curve(rows)
    lines = []
    for (ratio, cache), some in groups(curve, "ratio", "cache"):
        theirs = f"{SEED[ratio]:g} %" if ratio in SEED and cache == "weak" else "-"
        lines.append([ratio, cache, theirs, *_percents(some)])
    header = [
        "buyers/sellers",
        "cache",
        "over-sold: the original's",
        "ours",
        "unavailable",
        "refused in all",
        "under-sold",
    ]
    told = f"**{REQUESTS} requests, {TRADERS} traders, N_g {GOODS}, no pauses**\n\n{markdown(header, lines)}"
    moved = [row for row in rows if row not in curve]
    if moved:
        lines = [
            [*labels, *_percents(some)]
            for labels, some in groups(moved, "goods", "every_s", "think_s", "ratio", "cache")
        ]
        header = [
            "N_g",
            "T_g, s",
            "pause, s",
            "buyers/sellers",
            "cache",
            "over-sold",
            "unavailable",
            "refused in all",
            "under-sold",
        ]
        told += f"\n\n**What moves it**\n\n{markdown(header, lines)}"
    return told


def _percents(rows: Sequence[Row]) -> list[str]:
    return [spread(values(rows, name), " %") for name in MEASURED]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots over-selling, all refusals, under-selling, and over-selling under changed conditions, against the ratio."""
    curve = _curve(rows)
    theirs = {_ratio(ratio): percent for ratio, percent in SEED.items()}
    titles = {
        "oversold_percent": ("over-sold, % of the orders", f"over-selling, N_g {GOODS}"),
        "refused_percent": ("over-sold or unavailable, % of the orders", "all that was refused"),
        "undersold_percent": ("refused though in stock, % of the orders", "under-selling"),
    }
    with picture(path, panels=4, rows=2) as (*panels, last):
        for panel, (name, (axis, title)) in zip(panels, titles.items(), strict=True):
            for (cache,), some in groups(curve, "cache"):
                panel.line(cache, _points(some, name))
            if name != "undersold_percent":
                panel.theory("the original's over-sold", theirs)
            panel.name("buyers/sellers", axis, title)
        for (goods, every_s, think_s, cache), some in groups(rows, "goods", "every_s", "think_s", "cache"):
            if any(values(rows, "oversold_percent", cache=cache)):
                last.line(
                    f"{cache}, N_g {goods}, T_g {every_s} s, pause {think_s} s", _points(some, "oversold_percent")
                )
        last.name("buyers/sellers", "over-sold, % of the orders", "what moves over-selling")
        for panel in (*panels, last):
            panel.logarithmic("x", ticks={_ratio(ratio): ratio for ratio in kinds(rows, "ratio")})
            panel.from_zero()


def _points(rows: Sequence[Row], name: str) -> dict[float, list[float]]:
    return {_ratio(ratio): values(some, name) for (ratio,), some in groups(rows, "ratio")}


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    curve = _curve(rows)
    return "\n\n".join([*(_claim(curve, cache) for cache in kinds(curve, "cache")), *_moves(rows)])


def _claim(curve: Sequence[Row], cache: str) -> str:
    """A sentence on whether the original's claim holds for this cache."""
    some = [row for row in curve if row.labels["cache"] == cache]
    ratios = sorted(kinds(some, "ratio"), key=_ratio)
    refused = (
        "That more buyers a seller have more orders refused, over-sold or unavailable, "
        f"{_holds(some, 'refused_percent')}: {_ends(some, 'refused_percent')}."
    )
    if not any(values(some, "oversold_percent")):
        return f"With `{cache}` no order was over-sold in {len(some)} runs. {refused}"
    oversold, all_refused = (
        {ratio: middle(some, name, ratio=ratio) for ratio in ratios} for name in ("oversold_percent", "refused_percent")
    )
    shared = [ratio for ratio in ratios if ratio in SEED]
    if not shared:
        raise Missing(f"ratio={next(iter(SEED))}")
    beside = [
        f"{ratio} {number_text(oversold[ratio])} % over-sold and {number_text(all_refused[ratio])} % refused (the original "
        f"{SEED[ratio]:g} %)"
        for ratio in shared
    ]
    off, off_refused = (mean(abs(ours[ratio] - SEED[ratio]) for ratio in shared) for ours in (oversold, all_refused))
    guess = ", so it may well have counted every refusal" if off_refused < off else ""
    return (
        f"With `{cache}`, the original's claim, more buyers a seller, more over-selling, "
        f"{_holds(some, 'oversold_percent')}: {_ends(some, 'oversold_percent')}. {refused} By ratio: "
        f"{', '.join(beside)}. The original's figures are on average {number_text(off)} points off our over-selling and "
        f"{number_text(off_refused)} points off all that we refused{guess}. Under-selling goes "
        f"{_ends(some, 'undersold_percent')}."
    )


def _holds(rows: Sequence[Row], name: str) -> str:
    """Whether the measured value grows with the ratio, over all pairs of ratios."""
    points = {ratio: middle(rows, name, ratio=ratio) for ratio in sorted(kinds(rows, "ratio"), key=_ratio)}
    pairs = list(combinations(points.values(), 2))
    if not pairs:
        raise Missing("a second ratio of buyers to sellers")
    up, down = (sum(sign * (high - low) > 0 for low, high in pairs) for sign in (1, -1))
    verdicts = ((up and not down, "holds"), (up > 3 * down, "holds mostly"), (up > down, "holds in part"))
    verdict = next((said for so, said in verdicts if so), "does not hold")
    return f"{verdict} (of {len(pairs)} pairs of ratios it is more at the higher one in {up}, less in {down})"


def _ends(rows: Sequence[Row], name: str) -> str:
    low, *_, high = sorted(kinds(rows, "ratio"), key=_ratio)
    few, many = (spread(values(rows, name, ratio=ratio), " %") for ratio in (low, high))
    return f"from {few} at {low} to {many} at {high}"


def _moves(rows: Sequence[Row]) -> list[str]:
    base = _curve(rows)
    told = []
    for cache in kinds(base, "cache"):
        said = []
        for (goods, every_s, think_s), some in groups(rows, "goods", "every_s", "think_s"):
            moved = [row for row in some if row.labels["cache"] == cache and row not in base]
            if moved:
                same = [
                    row for row in base if row.labels["cache"] == cache and row.labels["ratio"] in kinds(moved, "ratio")
                ]
                said.append(
                    f"N_g {goods}, T_g {every_s} s, pause {think_s} s: {spread(values(moved, 'oversold_percent'), ' %')} "
                    f"instead of {spread(values(same, 'oversold_percent'), ' %')}"
                )
        if said and any(values(rows, "oversold_percent", cache=cache)):
            told.append(f"Over all ratios where both were measured, `{cache}` over-sells with {'; '.join(said)}.")
    return told


REASONS = (
    "An order is over-sold when a trader promises from a deposit whose last goods another trader has just "
    "promised, and the word of it has not come in yet. So two things should count: how often a deposit runs out "
    "while others are left (lots of few goods, many sellers), and whether the next order for it reaches another "
    "trader before the word does; pauses let the word come first. Where sellers are few there is often nothing at "
    "all on the shelves: the traders know that, and say unavailable instead of promising. What grows with the "
    "buyers a seller is scarcity; how much of it shows as over-selling, and how much as an honest refusal, is a "
    "matter of timing."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
