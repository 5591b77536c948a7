"""`python -m experiments.report [DIR]` rewrites RESULTS.md from the CSVs in DIR/results alone."""

from __future__ import annotations

import sys
from pathlib import Path

from bazaar.protocol.settings import UsageError
from experiments import (
    benchmark,
    election,
    endurance,
    failover,
    overselling,
    policies,
    response,
    routing,
    scale,
    scaling,
    sync,
    throughput,
)
from experiments.framework.command import WRONG_USAGE
from experiments.framework.experiment import OUT, Experiment
from experiments.framework.page import publish, section
from experiments.framework.sweep import table_of

EXPERIMENTS: tuple[Experiment, ...] = (
    throughput,
    overselling,
    failover,
    response,
    sync,
    election,
    policies,
    benchmark,
    scale,
    scaling,
    routing,
    endurance,
)
INTRODUCTION = """# What the experiments show

Every number here was measured on a bazaar of real processes, in a run that its audit found to hold (the benchmark's
yardsticks: right before such a run), and is in a CSV in `results/` with the seed and the settings that repeat it. What is
computed from a graph or a theory alone says so. Figures
are medians over the seeds, with the lowest and the highest in brackets; the bars in the pictures reach as far. This page is
written from those files alone, by `python -m experiments.report`; what it says of the rows
is computed from them, the numbers and the comparisons. What people think about the reasons stands apart, and says so.
"The original" is the lab document that the project came from, and the program that it describes.
"""


def rebuild(out: Path) -> None:
    """Draws all pictures and writes all pages. Raises `UsageError`."""
    parts = [INTRODUCTION]
    for number, experiment in enumerate(EXPERIMENTS, start=1):
        rows = table_of(experiment, out).rows
        publish(experiment, rows, out)
        if rows:
            parts.append(f"## {number}. {section(experiment, rows, Path('results'))}")
        else:
            parts.append(
                f"## {number}. {experiment.TITLE}\n\nNot measured yet: `python -m experiments.{experiment.NAME}`\n"
            )
    (out / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """The command line."""
    out = Path(arguments[0]) if arguments else OUT
    try:
        if len(arguments) > 1 or not (out / "results").is_dir():
            raise UsageError(f"give a folder with results/ in it, as --out of an experiment made it; {out} has none")
        rebuild(out)
    except UsageError as error:
        print(f"experiments: {error}", file=sys.stderr)
        return WRONG_USAGE
    print(f"wrote {out / 'RESULTS.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
