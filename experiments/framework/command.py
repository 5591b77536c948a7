"""The command line of one experiment (`python -m experiments.sync`), and of all (`python -m experiments`).

A cell whose row is in the CSV already is not run again, so a sweep that was stopped goes on where it was. A run that did not
hold is reported and gets no row; the exit status is 1 then.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from rich.console import Console

from bazaar.control import interrupts
from bazaar.control.options import Parser, add_set, take_settings
from bazaar.control.spelling import did_you_mean
from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import ROOT
from experiments.framework.experiment import OUT, Experiment
from experiments.framework.grid import CHANGEABLE, Options, parse_seeds
from experiments.framework.sweep import run

ALL_DONE, SOME_FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130


def parse(experiments: Sequence[Experiment], prog: str, arguments: Sequence[str]) -> Options:
    """Parses the options. Raises `UsageError`."""
    one = len(experiments) == 1
    about = experiments[0].QUESTION if one else "Runs the experiments, and writes RESULTS.md."
    parser = Parser(prog, about)
    parser.set_defaults(names=[])
    if not one:
        names = [experiment.NAME for experiment in experiments]
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default all): {', '.join(names)}")
    defaults = ", ".join(f"{experiment.SEEDS} for {experiment.NAME}" for experiment in experiments)
    parser.add_argument("--seeds", metavar="LIST", help=f"such as 1,2,5 or 0-4 (default {defaults})")
    parser.add_argument(
        "--quick", action="store_true", help="a small grid, one seed, to see that it works; goes to runs/ by default"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="LABEL=VALUE,...",
        help=f"only these cells; repeatable. Labels: {_labels_of(experiments)}",
    )  # fmt: skip
    add_set(parser, f"in all cells; repeatable; goes to runs/ by default. Settings: {', '.join(CHANGEABLE)}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="results go to DIR/results (default experiments/)")
    options = parser.read(arguments)
    known = {experiment.NAME: experiment for experiment in experiments}
    for name in options["names"]:
        if name not in known:
            raise UsageError(
                f"there is no experiment {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}"
            )
    quick, changed = options["quick"], take_settings(options)
    kind = "changed" if changed else "quick"
    away = ROOT / "runs" / time.strftime(f"{kind}-%Y%m%d-%H%M%S")
    return Options(
        [known[name] for name in dict.fromkeys(options["names"]) or known],
        parse_seeds(options["seeds"]) if options["seeds"] is not None else None,
        quick,
        [_part(text) for text in options["only"]],
        changed,
        options["out"] or (away if quick or changed else OUT),
    )


def _labels_of(experiments: Sequence[Experiment]) -> str:
    return "; ".join(f"{', '.join((*experiment.LABELS, 'seed'))} ({experiment.NAME})" for experiment in experiments)


def _part(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(label and equals and value for label, equals, value in pairs):
        raise UsageError(f"--only {text}: give LABEL=VALUE, or several with commas between them")
    return {label: value for label, _, value in pairs}


def main(
    experiments: Sequence[Experiment], arguments: Sequence[str], conclude: Callable[[Path], None] = lambda out: None
) -> int:
    """The command line. Returns 0: all measured; 1: a run failed; 2: wrong usage; 130: stopped.

    At the end `conclude` is called with the folder of the results.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    interrupts.heed()
    prog = f"python -m experiments.{experiments[0].NAME}" if len(experiments) == 1 else "bash experiments/run.sh"
    try:
        options = parse(experiments, prog, arguments)
        failed = run(options, console)
        conclude(options.out)
    except UsageError as error:
        console.print(f"experiments: {error}", markup=False)
        return WRONG_USAGE
    except KeyboardInterrupt:
        console.print("experiments: stopped; the rows so far are kept, and the same command goes on from there")
        return STOPPED
    print(f"the results are in {options.out}")
    if failed:
        console.print(f"experiments: {failed} run(s) failed and have no row; the same command tries them again")
    return SOME_FAILED if failed else ALL_DONE


def alone(file: str) -> int:
    """Runs the command line of the one experiment in this file."""
    experiment = cast(Experiment, importlib.import_module(f"experiments.{Path(file).stem}"))
    return main([experiment], sys.argv[1:])
