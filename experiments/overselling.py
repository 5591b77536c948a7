"""Over-selling against the ratio of buyers to sellers (the seed's experiment 2), and under-selling with it.

The seed, for 40 requests: 37.5 % with 5 buyers and 4 sellers, 10 % with 3/6, 30 % with 4/5, 62.5 % with 7/2; "oversell
percentage increases as the buyer to seller ratio increases". Is that so, for which cache, and how do the goods in a deposit
(N_g), the time between deposits (T_g) and the buyers' pauses move it?
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.settings import with_pace
from experiments.plots import picture
from experiments.rows import Cell, Missing, Row, groups, kinds, markdown, middle, number_text, spread, values
from experiments.sweep import CACHES, START_S, Experiment, Run, main, peopled

TRADERS = 3
REQUESTS = 40
PEOPLE = ((1, 8), (2, 7), (3, 6), (4, 5), (5, 4), (6, 3), (7, 2), (8, 1))
"""Buyers and sellers, beside the traders; the seed's four among them."""
SEED = {"5/4": 37.5, "3/6": 10.0, "4/5": 30.0, "7/2": 62.5}
GOODS, EVERY_S, THINK_S = 3, 5.0, 0.0
"""The curve's: lots of three, new ones as soon as a seller has sold out (a run is over before T_g), and no pauses."""
MOVES = ((1, EVERY_S, THINK_S), (10, EVERY_S, THINK_S), (GOODS, 0.1, THINK_S), (GOODS, EVERY_S, 0.1))
MOVED_PEOPLE = ((3, 6), (5, 4), (7, 2))
MOVED_SEEDS = 4  # of those given


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """The curve for every cache; then what moves it, for the caches that can over-sell at all."""
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
    """In percent of the orders asked."""
    requests = run.summary.requests
    return {
        f"{name}_percent": 100 * number / requests.asked
        for name, number in (
            ("oversold", requests.oversold),
            ("undersold", requests.undersold),
            ("unavailable", requests.unavailable),
        )
    }


def _curve(rows: Sequence[Row]) -> list[Row]:
    base = {"goods": str(GOODS), "every_s": f"{EVERY_S:g}", "think_s": f"{THINK_S:g}"}
    found = [row for row in rows if base.items() <= row.labels.items()]
    return sorted(found, key=lambda row: _ratio(row.labels["ratio"]))


def _ratio(text: str) -> float:
    buyers, sellers = text.split("/")
    return int(buyers) / int(sellers)


def table(rows: Sequence[Row]) -> str:
    """The curve beside the seed's four points; then what moves it."""
    curve = _curve(rows)
    lines = []
    for (ratio, cache), some in groups(curve, "ratio", "cache"):
        theirs = f"{SEED[ratio]:g} %" if ratio in SEED and cache != "none" else "-"
        lines.append([ratio, cache, theirs, *_percents(some)])
    header = ["buyers/sellers", "cache", "over-sold: the seed's", "ours", "under-sold", "unavailable"]
    told = f"**{REQUESTS} requests, {TRADERS} traders, N_g {GOODS}, no pauses**\n\n{markdown(header, lines)}"
    moved = [row for row in rows if row not in curve]
    if moved:
        lines = [
            [*labels, *_percents(some)]
            for labels, some in groups(moved, "goods", "every_s", "think_s", "ratio", "cache")
        ]
        header = ["N_g", "T_g, s", "pause, s", "buyers/sellers", "cache", "over-sold", "under-sold", "unavailable"]
        told += f"\n\n**What moves it**\n\n{markdown(header, lines)}"
    return told


def _percents(rows: Sequence[Row]) -> list[str]:
    names = ("oversold_percent", "undersold_percent", "unavailable_percent")
    return [spread(values(rows, name), " %") for name in names]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Over-selling, under-selling, and over-selling when something is changed, against buyers a seller."""
    curve = _curve(rows)
    with picture(path, panels=3, height=4.2) as (left, middle_panel, right):
        for panel, name in ((left, "oversold_percent"), (middle_panel, "undersold_percent")):
            for cache in kinds(curve, "cache"):
                panel.line(cache, _points([row for row in curve if row.labels["cache"] == cache], name))
        left.theory("the seed", {_ratio(ratio): percent for ratio, percent in SEED.items()})
        for (goods, every_s, think_s, cache), some in groups(rows, "goods", "every_s", "think_s", "cache"):
            if cache != "none":
                right.line(
                    f"{cache}, N_g {goods}, T_g {every_s} s, pause {think_s} s", _points(some, "oversold_percent")
                )
        left.name("buyers/sellers", "over-sold, % of the orders", f"over-selling, N_g {GOODS}")
        middle_panel.name("buyers/sellers", "refused though in stock, % of the orders", "under-selling")
        right.name("buyers/sellers", "over-sold, % of the orders", "what moves it")
        for panel in (left, middle_panel, right):
            panel.logarithmic("x", ticks={_ratio(ratio): ratio for ratio in kinds(rows, "ratio")})


def _points(rows: Sequence[Row], name: str) -> dict[float, list[float]]:
    return {_ratio(ratio): values(some, name) for (ratio,), some in groups(rows, "ratio")}


def story(rows: Sequence[Row]) -> str:
    """What was asked, what came out, why, what would change it."""
    curve = _curve(rows)
    return "\n\n".join([*(_claim(curve, cache) for cache in kinds(curve, "cache")), *_moves(rows), _why()])


def _claim(curve: Sequence[Row], cache: str) -> str:
    """Whether the seed's claim is true of this cache."""
    some = [row for row in curve if row.labels["cache"] == cache]
    if not any(values(some, "oversold_percent")):
        return f"With `{cache}` no order was over-sold in {len(some)} runs."
    points = {ratio: middle(some, "oversold_percent", ratio=ratio) for ratio in kinds(some, "ratio")}
    ratios = sorted(points, key=_ratio)
    pairs = [(low, high) for place, low in enumerate(ratios) for high in ratios[place + 1 :]]
    if not pairs:
        raise Missing("a second ratio of buyers to sellers")
    up = sum(points[high] > points[low] for low, high in pairs)
    down = sum(points[high] < points[low] for low, high in pairs)
    verdict = "is true here" if not down else "is not true here" if not up else "is true here in part"
    theirs = [
        f"{ratio} {number_text(points[ratio])} % (the seed {SEED[ratio]:g} %)" for ratio in ratios if ratio in SEED
    ]
    return (
        f"The seed's claim, more buyers a seller, more over-selling, {verdict} with `{cache}`: of {len(pairs)} pairs "
        f"of ratios the one with more buyers a seller over-sells more in {up} and less in {down}. By ratio: "
        f"{', '.join(theirs)}; the median goes from {number_text(points[ratios[0]])} % at {ratios[0]} to "
        f"{number_text(points[ratios[-1]])} % at {ratios[-1]}, and under-selling from "
        f"{spread(values(some, 'undersold_percent', ratio=ratios[0]), ' %')} to "
        f"{spread(values(some, 'undersold_percent', ratio=ratios[-1]), ' %')}."
    )


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
        if said:
            told.append(f"Over all ratios where both were measured, `{cache}` over-sells with {'; '.join(said)}.")
    return told


def _why() -> str:
    return (
        "An order is over-sold when two traders promise the last goods of one deposit before either has heard of the "
        "other's sale. So two things count: how often a deposit comes to its end (small N_g, few sellers), and how "
        "many orders are under way at that moment (many buyers, short pauses; a single buyer competes with nobody). "
        "The ratio stands for both, which is why it seems to be the cause. Two peers more or a pause between orders "
        "change the figure at the same ratio: the seed's percentages are one run each, of 40 orders, at a ratio; the "
        "spread here shows how little that says."
    )


EXPERIMENT = Experiment(
    name="overselling",
    title="Over-selling against buyers and sellers",
    question="Do more buyers a seller mean more over-selling, as the seed says, for which cache, and what else moves it?",
    labels=("ratio", "cache", "goods", "every_s", "think_s"),
    values=("oversold_percent", "undersold_percent", "unavailable_percent"),
    seeds="0-5",
    cells=cells,
    measure=measure,
    table=table,
    plot=plot,
    story=story,
)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT], sys.argv[1:]))
