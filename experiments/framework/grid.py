"""The cells that a command asks for, and the command that measures one of them again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bazaar.control.options import DECLARED, text_of
from bazaar.control.planning import draw_plan
from bazaar.protocol.settings import Settings, UsageError, check
from experiments.framework.experiment import Experiment
from experiments.framework.rows import Cell, Row, name_of

CHANGEABLE = [name for name in DECLARED if name not in ("pace", "peers", "traders", "buyers", "sellers", "seed")]


def parse_seeds(text: str) -> list[int]:
    """The seeds in `1,2,5`, or `0-4`, or a mixture. Raises `UsageError`."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--seeds {text}: give numbers and ranges, such as 1,2,5 or 0-4")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(seeds))


class Options(NamedTuple):
    """The parsed command line."""

    experiments: list[Experiment]
    seeds: list[int] | None
    """None for each experiment's own seeds."""
    quick: bool
    only: list[dict[str, str]]
    changed: dict[str, Any]
    """Settings that replace those of all cells."""
    out: Path


def grid(experiment: Experiment, options: Options) -> list[Cell]:
    """The cells that the options select. Raises `UsageError`."""
    seeds = options.seeds or parse_seeds(experiment.SEEDS)[: 1 if options.quick else None]
    cells = changed(experiment, experiment.cells(seeds, options.quick), options.changed)
    if not options.only:
        return cells
    for part in options.only:
        for label, value in part.items():
            there = list(dict.fromkeys(_labels(cell).get(label, "") for cell in cells))
            if label not in (*experiment.LABELS, "seed"):
                labels = ", ".join((*experiment.LABELS, "seed"))
                raise UsageError(f"--only {label}={value}: {experiment.NAME} has no such label; it has {labels}")
            if value not in there:
                raise UsageError(
                    f"--only {label}={value}: {experiment.NAME} has no such {label}; it has {', '.join(there)}"
                )
    return [cell for cell in cells if any(part.items() <= _labels(cell).items() for part in options.only)]


def changed(experiment: Experiment, cells: list[Cell], values: Mapping[str, Any]) -> list[Cell]:
    """The cells with these values in their settings. Raises `UsageError` for a setting that the grid itself determines."""
    for name, value in values.items():
        said = f"--set {name}={text_of(value)}: {experiment.NAME}"
        if name not in CHANGEABLE:
            raise UsageError(f"{said} decides itself who is there, and at which pace; --help lists what can be set")
        if name in experiment.LABELS or len({getattr(cell.settings, name) for cell in cells}) > 1:
            raise UsageError(f"{said} compares several values of it; choose among its cells with --only")
    cells = [cell._replace(settings=msgspec.structs.replace(cell.settings, **values)) for cell in cells]
    for cell in cells:
        check(cell.settings)
        draw_plan(cell.settings)
    return cells


def _labels(cell: Cell) -> dict[str, str]:
    return {**cell.labels, "seed": str(cell.seed)}


def again(experiment: Experiment, one: Cell | Row) -> str:
    """The command that measures one cell again, in a folder of its own."""
    grids = {option: experiment.cells([one.seed], bool(option)) for option in ("", " --quick")}
    alike = {option: cell for option, cells in grids.items() for cell in cells if name_of(cell) == name_of(one)}
    changes = {option: _differences(cell.settings, one.settings) for option, cell in alike.items()}
    option = min(changes, key=lambda option: len(changes[option]), default=" --quick")
    sets = "".join(f" --set {name}={text_of(value)}" for name, value in changes.get(option, {}).items())
    command = f".venv/bin/python -m experiments.{experiment.NAME}{option}"
    return f"{command} --only {shlex.quote(name_of(one))} --seeds {one.seed}{sets} --out again"


def _differences(ours: Settings, theirs: Settings) -> dict[str, Any]:
    """The values of `theirs` that differ from `ours`."""
    before, after = msgspec.structs.asdict(ours), msgspec.structs.asdict(theirs)
    return {name: value for name, value in after.items() if value != before[name]}
