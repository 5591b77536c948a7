"""The `lab` rows of `throughput.py`, at the waiting times of the original lab document, beside its own table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from experiments.framework.rows import Row, groups, kinds, markdown, middle, spread, values

LAB_REQUESTS = 20
LAB_BUYERS = (3, 4)
LAB_SEEDS = 2  # the first of the given seeds: such a run takes a minute or two
SEED = {"weak": {1: 25, 2: 22, 3: 15}, "none": {1: 63, 2: 55, 3: 40}}
"""The original's times for 20 requests in seconds, by cache and traders."""


def asleep_s(requests: int, buyers: int, think_s: float) -> float:
    """The total pause of the buyer with the most orders."""
    return (math.ceil(requests / buyers) - 1) * think_s


def lab_table(rows: Sequence[Row]) -> str:
    """The rows of this series beside the original's times."""
    lines = []
    for (cache, traders, buyers), some in groups(rows, "cache", "traders", "buyers"):
        theirs = SEED.get(cache, {}).get(int(traders))
        asleep = asleep_s(LAB_REQUESTS, int(buyers), some[0].settings.think_s)
        shipped = [row.values["shipped"] for row in some]
        ours = [row.values["trading_s"] for row in some]
        seeds = f"{theirs} s" if theirs is not None else "-"
        lines.append([cache, traders, seeds, buyers, spread(ours, " s"), f"{asleep:g} s", spread(shipped)])
    if not lines:
        return ""
    header = ["cache", "traders", "the original's time", "our buyers", "our time", "of it asleep", "goods shipped"]
    return f"**{LAB_REQUESTS} requests at the original's own waiting times**\n\n{markdown(header, lines)}"


def lab_story(rows: Sequence[Row]) -> str:
    """The result of this series in sentences, and whether it reproduces the original's differences."""
    few, many = min(LAB_BUYERS), max(LAB_BUYERS)
    think_s = rows[0].settings.think_s
    asleep = {n: asleep_s(LAB_REQUESTS, n, think_s) for n in LAB_BUYERS}
    times = {n: values(rows, "trading_s", buyers=str(n)) for n in LAB_BUYERS}
    awake = [time - asleep[n] for n in LAB_BUYERS for time in times[n]]
    return (
        f"{LAB_REQUESTS} requests take {spread(times[few], ' s')} with {few} buyers and {spread(times[many], ' s')} "
        f"with {many}, over all caches and numbers of traders. A buyer pauses {think_s:g} s after each answer, so the "
        f"one with the most orders sleeps {asleep[few]:g} s or {asleep[many]:g} s of that; what is left, the whole "
        f"work of cache, traders and database, is {spread(awake, ' s')}.{_late(rows)} {_beside_the_seed(rows)}"
    )


def _late(rows: Sequence[Row]) -> str:
    """A sentence on the runs in which a buyer had to ask again."""
    late = [row for row in rows if row.values["p99_ms"] >= 1000 * row.settings.answer_timeout_s]
    if not late:
        return ""
    caches = " and ".join(f"`{cache}`" for cache in kinds(late, "cache"))
    return (
        f" In {len(late)} of the {len(rows)} runs, with {caches}, an order was answered only after its buyer had waited "
        f"{late[0].settings.answer_timeout_s:g} s and asked again; these runs count here as they were."
    )


def _beside_the_seed(rows: Sequence[Row]) -> str:
    """The two differences, between caches and between numbers of traders, in the original's runs and in these."""
    cached, none = SEED["weak"], SEED["none"]
    first, last = min(cached), max(cached)
    by_cache = [
        without / middle(rows, "trading_s", buyers=buyers, traders=traders, cache="weak")
        for buyers in kinds(rows, "buyers")
        for traders in kinds(rows, "traders")
        for without in [middle(rows, "trading_s", buyers=buyers, traders=traders, cache="none")]
    ]
    by_traders = [
        middle(rows, "trading_s", buyers=buyers, traders=str(last), cache=cache)
        / middle(rows, "trading_s", buyers=buyers, traders=str(first), cache=cache)
        for buyers in kinds(rows, "buyers")
        for cache in SEED
    ]
    seed_by_cache = [none[traders] / cached[traders] for traders in cached]
    seed_by_traders = [by[last] / by[first] for by in (cached, none)]
    # A difference is reproduced if all of these runs show at least half of it.
    cache_shown = min(by_cache) > (1 + min(seed_by_cache)) / 2
    traders_shown = max(by_traders) < (1 + max(seed_by_traders)) / 2
    told = (
        f"The original's cacheless runs take {spread(seed_by_cache)} times as long as its cached ones with equally many "
        f"traders, ours {spread(by_cache)} times: its gain of a cache is {'' if cache_shown else 'not '}reproduced. Its "
        f"runs with {last} traders take {spread(seed_by_traders)} of the time of those with {first}, ours "
        f"{spread(by_traders)}: its gain of more traders is {'' if traders_shown else 'not '}reproduced."
    )
    if not cache_shown or not traders_shown:
        told += " Its network was one, with the same buyers in every run; so who bought explains no difference between them."
    return told
