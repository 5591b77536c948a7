"""Does memory grow? Five minutes of full load: the memory of every process in the last minute against the second.

Any state that a process kept for every order would show: answered orders, credited sales, sequence numbers. A process may
keep a bounded number of these, and one bit for each further number.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.settings import with_pace
from bazaar.runtime.history import only
from experiments.framework.command import alone
from experiments.framework.experiment import CACHES, START_S, Failed, Run, peopled
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, kinds, markdown, spread, values

TRADERS, BUYERS, SELLERS = 3, 4, 3
WINDOW = 64
PLENTY = 1000
FIFTH_S, QUICK_FIFTH_S = 60.0, 1.0
ROLES = ("trader", "buyer", "seller", WAREHOUSE, "mongod")

# The text of its page, and the columns of its CSV.
NAME = "endurance"
TITLE = "Five minutes of full load"
QUESTION = "Does the memory of any process grow with the orders, or the goods a second fall?"
LABELS = ("cache",)
VALUES = (*ROLES, "shipped", "second_per_s", "last_per_s")
SEEDS = "0"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every cache, at full speed."""
    duration_s = 5 * (QUICK_FIFTH_S if quick else FIFTH_S)
    grid = []
    for cache in CACHES:
        for seed in seeds:
            settings = with_pace(
                "fast", traders=TRADERS, cache=cache, window=WINDOW, restock_count=PLENTY, duration_s=duration_s,
                suspect_after_s=10.0, seed=seed,
            )  # fmt: skip
            settings = peopled(settings, BUYERS, SELLERS, every_item=True)
            grid.append(Cell({"cache": cache}, seed, settings, START_S + 1.4 * duration_s))
    return grid


def measure(run: Run) -> Mapping[str, float]:
    """By role, the growth of memory from the second fifth of the run to the last. Of several processes: the largest."""
    assert run.plan.settings.duration_s is not None
    fifth_s = run.plan.settings.duration_s / 5
    began = min(happened.at for happened in run.told(events.Opened))
    growth: dict[str, float] = dict.fromkeys(ROLES, 0.0)
    for process in {sample.process for sample in run.usage}:
        role = _role(run, process)
        if role is None:
            continue
        of_it = [sample for sample in run.usage if sample.process == process]
        second, last = (
            [s.memory_bytes for s in of_it if number <= (s.at - began) / fifth_s < number + 1] for number in (1, 4)
        )
        if not second or not last:
            raise Failed(f"nobody has looked at {process} in time")
        growth[role] = max(growth[role], median(last) / median(second))
    shipped = Counter(int((h.at - began) / fifth_s) for history in run.histories for h in only(history, events.Shipped))
    early, late = shipped[1] / fifth_s, shipped[4] / fifth_s
    return {**growth, "shipped": run.summary.goods_shipped, "second_per_s": early, "last_per_s": late}


def _role(run: Run, process: str) -> str | None:
    """The role of a process. None for the name server, which has nothing to do once all processes have found each other."""
    if process in ROLES:
        return process
    if process not in run.plan.names:
        return None
    return "trader" if process in run.plan.names[-TRADERS:] else "seller" if is_seller(process) else "buyer"


def table(rows: Sequence[Row]) -> str:
    """One line for each cache."""
    names = (*ROLES, "shipped", "second_per_s", "last_per_s")
    lines = [[cache, *(spread(values(some, name)) for name in names)] for (cache,), some in groups(rows, "cache")]
    header = ["cache", *(f"{role}, x" for role in ROLES), "goods shipped", "a second, second fifth", "last fifth"]
    return markdown(header, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots the growth by role."""
    with picture(path, height=1.8 + 0.5 * len(ROLES)) as (panel,):
        panel.dots(ROLES, {cache: [values(some, role) for role in ROLES] for (cache,), some in groups(rows, "cache")})
        panel.mark("no growth", 1.0)
        panel.mark("", 1.1)
        panel.name("memory in the last fifth of the run, x that in the second", "")


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    worst = max((row.values[role], role) for row in rows for role in ROLES if role != "mongod")
    shipped, mongod = (
        ", ".join(f"`{cache}` {spread(values(rows, name, cache=cache))}" for cache in kinds(rows, "cache"))
        for name in ("shipped", "mongod")
    )
    return (
        f"Goods shipped in a run: {shipped}. The process of ours that grew most is a {worst[1]}, {worst[0]:.2f} times "
        f"from the second fifth of the run to the last. MongoDB's server, one for all runs, grew {mongod} times."
    )


REASONS = (
    "What is known of every order is in the histories and in MongoDB; the warehouse keeps the newest answers at "
    "hand, and of the rest a bit for each number; a seller keeps such bits of the orders it was paid for. "
    "MongoDB's server keeps what it has written in a cache of its own, up to a bound that it is given when it is "
    "started; the first of the runs fills it."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
