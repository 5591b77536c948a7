"""Random faults in real processes: any number of whole runs, each with another seed, and each judged.

    .venv/bin/python -m tests.schedules --runs 50

While the market trades, traders are killed and stopped, and the warehouse and mongod are killed. One line for each run shows
its faults and how many orders they hit. If a run is violated, the command that repeats it is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bazaar.analysis.audit import Report
from bazaar.control.launcher import Bazaar, ProcessDied
from bazaar.control.planning import draw_plan
from bazaar.core.cache import POLICIES
from bazaar.protocol.faults import parse_faults
from bazaar.protocol.settings import Settings, with_pace

FAULTS = 3
DURATION_S = 9.0


def settings_of(seed: int, caches: Sequence[str]) -> Settings:
    """The settings of one run. The seeds take the cache policies in turn."""
    return with_pace("fast", seed=seed, cache=caches[seed % len(caches)], duration_s=DURATION_S)


def suffer(settings: Settings, out: Path) -> tuple[list[str], Report]:
    """Does one run with a MongoDB of its own. Returns its faults and the report."""
    faults = parse_faults([f"random:{FAULTS}"], draw_plan(settings))
    with Bazaar(settings, out, pictures=False) as bazaar:
        bazaar.injector.schedule(faults)
        bazaar.start()
        bazaar.trade()
        bazaar.finish()
        return [str(fault) for fault in faults], bazaar.collect()[1]


def main(arguments: Sequence[str]) -> int:
    """Returns 1 if a run was violated, or died."""
    parser = argparse.ArgumentParser(prog="python -m tests.schedules", description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=50, help="how many runs (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--cache", action="append", choices=POLICIES, help="repeatable; default all of them in turn")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    verdicts: Counter[str] = Counter()
    exercised: Counter[str] = Counter()
    seeds = range(options.seed, options.seed + options.runs)
    folder = Path(tempfile.mkdtemp(prefix="schedules-"))
    for seed in track(seeds, "runs", console=console, disable=not console.is_terminal):
        settings = settings_of(seed, options.cache or tuple(POLICIES))
        out = folder / f"seed{seed}"
        try:
            faults, report = suffer(settings, out)
        except ProcessDied as error:
            console.print(f"seed {seed}: {error}; its files are in {out}", markup=False)
            verdicts["died"] += 1
            continue
        verdicts[report.verdict] += 1
        exercised.update(report.exercised)
        hit = report.exercised["orders_hit_by_faults"]
        console.print(
            f"seed {seed} {settings.cache} {report.verdict} {' '.join(faults)}: {hit} orders hit", markup=False
        )
        for told in (*report.missed, *(story for stories in report.violations.values() for story in stories)):
            console.print(f"  {told}", markup=False)
        if report.verdict == "violated":
            console.print(
                f"  again: bash run.sh localhost {settings.peers} {settings.traders} --pace fast --cache {settings.cache} "
                f"--duration {DURATION_S:g} --seed {seed} --fault random:{FAULTS}; its files are in {out}"
            )
        else:
            shutil.rmtree(out)
    if not any(folder.iterdir()):
        folder.rmdir()
    console.print(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in exercised.items()))
    console.print(f"of {len(seeds)} runs {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    return 1 if verdicts["violated"] or verdicts["died"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
