"""What all experiments share: their grids are run cell by cell, through the launcher, and every run is judged.

`main` is the command line of each (`python -m experiments.sync`) and of all together (`python -m experiments`). A cell whose
row is in the CSV already is not run again, so a sweep that was stopped goes on where it was. A run that did not hold is
reported, kept out of the CSV, and makes the exit status 1. One MongoDB serves a whole sweep.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from bazaar.analysis.summary import Summary
from bazaar.control import interrupts
from bazaar.control.launcher import Bazaar, ProcessDied
from bazaar.control.mongod import Mongod
from bazaar.control.options import DECLARED, Parser, add_set, take_settings, text_of
from bazaar.control.planning import draw_plan
from bazaar.control.spelling import did_you_mean
from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.faults import parse_faults
from bazaar.protocol.goods import ITEMS, is_seller
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings, UsageError, check
from bazaar.runtime.history import Recorded, by_time, histories_of, only
from bazaar.runtime.mongo import server_version
from bazaar.runtime.process import ROOT
from experiments.distance import farther
from experiments.rows import Cell, Missing, Row, Table, name_of

ALL_DONE, SOME_FAILED, WRONG_USAGE, STOPPED = 0, 1, 2, 130
OUT = ROOT / "experiments"
CHANGEABLE = [name for name in DECLARED if name not in ("pace", "peers", "traders", "buyers", "sellers", "seed")]
CACHES = tuple(POLICIES)
LOOK_EVERY_S = 0.5
START_S = 1.6  # a guess: from nothing to the first order, and from the last to the verdict

E = TypeVar("E", bound=Event)


class Sample(NamedTuple):
    """What a process used, as of some time."""

    at: float
    """Seconds since the epoch."""
    process: str
    processor_s: float
    memory_bytes: int
    """Resident."""


class Run(NamedTuple):
    """A run that held, for an experiment to measure."""

    plan: Plan
    summary: Summary
    histories: Sequence[Iterable[Recorded[Event]]]
    """Of all processes; gone through anew for every question."""
    processor_s: float
    """What all of the run's processes but MongoDB have used."""
    usage: Sequence[Sample]
    """Of each process and MongoDB, every half a second."""

    def told(self, *kinds: type[E]) -> list[Recorded[E]]:
        """The events of these kinds, in the order of their time."""
        return list(by_time(only(history, *kinds) for history in self.histories))

    @property
    def trading_s(self) -> float:
        """From the opening of the market to the last answer: the orders that come before only wait for it."""
        opened, ordered = self.told(events.Opened)[0].at, self.told(events.Ordered)[0].at
        return self.told(*events.ANSWERS)[-1].at - max(opened, ordered)


class _Meter:
    """Looks at what the processes of a run use."""

    def __init__(self, mongod: int | None) -> None:
        self.samples: list[Sample] = []
        self._mongod = mongod
        self._next = 0.0

    def __call__(self, bazaar: Bazaar) -> None:
        """Called by the launcher, some ten times a second."""
        now = time.time()
        if now < self._next:
            return
        self._next = now + LOOK_EVERY_S
        pids = {name: process.popen.pid for name, process in bazaar.processes.items()}
        if self._mongod is not None:  # else it is not ours, and may be on another machine
            pids["mongod"] = self._mongod
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):  # it has just ended
                process = psutil.Process(pid)
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                self.samples.append(Sample(now, name, times.user + times.system, memory.rss))


class Failed(Exception):
    """A run that did not hold, or did not show what it was to show; the text says how."""


class Experiment(NamedTuple):
    """One question: its grid, what is measured in each run, and how the answer is told."""

    name: str
    title: str
    question: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    seeds: str
    """Those of a full run, as `--seeds` takes them; a quick one takes the first."""
    cells: Callable[[Sequence[int], bool], list[Cell]]
    """The grid for these seeds; True: the quick one."""
    measure: Callable[[Run], Mapping[str, float]]
    """Raises `Failed`."""
    table: Callable[[Sequence[Row]], str]
    plot: Callable[[Sequence[Row], Path], None]
    story: Callable[[Sequence[Row]], str]
    """What came out: its numbers are computed, and whatever it says of them depends on them. Raises `Missing`."""
    reasons: str
    """Why it may be so, and what might change it, from how the bazaar is made: no row bears it, and it names no figure."""
    beside: Callable[[str, Path], Mapping[str, float]] = lambda uri, folder: {}
    """Further values, measured right before each run: with the MongoDB of this URI, on this folder's disk."""


# ---------------------------------------------------------------------------------------- building cells
def peopled(settings: Settings, buyers: int, sellers: int, every_item: bool = False) -> Settings:
    """These settings with exactly so many peers that buy and that sell, beside the traders.

    Which of the peers become traders, and what a seller first sells, follow from the seed: it is replaced by the first one
    that fits. `every_item`: every item is on sale from the beginning.
    """
    for attempt in range(100_000):
        made = msgspec.structs.replace(
            settings,
            peers=buyers + sellers + settings.traders,
            buyers=buyers + settings.traders,
            sellers=sellers,
            seed=settings.seed + 1000 * attempt,
        )
        plan = draw_plan(made)
        selling = [name for name in plan.names[: buyers + sellers] if is_seller(name)]
        if len(selling) == sellers and (not every_item or {plan.goods[name] for name in selling} == set(ITEMS)):
            return made
    raise AssertionError(f"no seed leaves {buyers} buyers and {sellers} sellers")


def parse_seeds(text: str) -> list[int]:
    """`1,2,5` or `0-4` or both. Raises `UsageError`."""
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--seeds {text}: give numbers and ranges, such as 1,2,5 or 0-4")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(seeds))


# ---------------------------------------------------------------------------------------- the command line
class Options(NamedTuple):
    """What the command line asks for."""

    experiments: list[Experiment]
    seeds: list[int] | None
    """None: each experiment's own."""
    quick: bool
    only: list[dict[str, str]]
    changed: dict[str, Any]
    """Settings that all cells are given instead of their own."""
    out: Path


def parse(experiments: Sequence[Experiment], prog: str, arguments: Sequence[str]) -> Options:
    """The options. Raises `UsageError`."""
    one = len(experiments) == 1
    about = experiments[0].question if one else "Runs the experiments, and writes RESULTS.md."
    parser = Parser(prog, about)
    parser.set_defaults(names=[])
    if not one:
        names = [experiment.name for experiment in experiments]
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default all): {', '.join(names)}")
    defaults = ", ".join(f"{experiment.seeds} for {experiment.name}" for experiment in experiments)
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
    known = {experiment.name: experiment for experiment in experiments}
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
    return "; ".join(f"{', '.join((*experiment.labels, 'seed'))} ({experiment.name})" for experiment in experiments)


def _part(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(label and equals and value for label, equals, value in pairs):
        raise UsageError(f"--only {text}: give LABEL=VALUE, or several with commas between them")
    return {label: value for label, _, value in pairs}


def grid(experiment: Experiment, options: Options) -> list[Cell]:
    """The cells that the options ask for. Raises `UsageError`."""
    seeds = options.seeds or parse_seeds(experiment.seeds)[: 1 if options.quick else None]
    cells = changed(experiment, experiment.cells(seeds, options.quick), options.changed)
    if not options.only:
        return cells
    for part in options.only:
        for label, value in part.items():
            there = list(dict.fromkeys(_labels(cell).get(label, "") for cell in cells))
            if label not in (*experiment.labels, "seed"):
                labels = ", ".join((*experiment.labels, "seed"))
                raise UsageError(f"--only {label}={value}: {experiment.name} has no such label; it has {labels}")
            if value not in there:
                raise UsageError(
                    f"--only {label}={value}: {experiment.name} has no such {label}; it has {', '.join(there)}"
                )
    return [cell for cell in cells if any(part.items() <= _labels(cell).items() for part in options.only)]


def changed(experiment: Experiment, cells: list[Cell], values: Mapping[str, Any]) -> list[Cell]:
    """The cells with these values in their settings. Raises `UsageError` for what the grid needs as it is."""
    for name, value in values.items():
        said = f"--set {name}={text_of(value)}: {experiment.name}"
        if name not in CHANGEABLE:
            raise UsageError(f"{said} decides itself who is there, and at which pace; --help lists what can be set")
        if name in experiment.labels or len({getattr(cell.settings, name) for cell in cells}) > 1:
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
    command = f".venv/bin/python -m experiments.{experiment.name}{option}"
    return f"{command} --only {shlex.quote(name_of(one))} --seeds {one.seed}{sets} --out again"


def _differences(ours: Settings, theirs: Settings) -> dict[str, Any]:
    """What they have otherwise than we."""
    before, after = msgspec.structs.asdict(ours), msgspec.structs.asdict(theirs)
    return {name: value for name, value in after.items() if value != before[name]}


# ---------------------------------------------------------------------------------------------- the sweep
class Sweep:
    """Runs cells one after the other, with one MongoDB, in a folder that is gone in the end unless a run has failed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.failed = 0
        self._folder = Path(tempfile.mkdtemp(prefix="bazaar-experiments-"))
        self._mongod = Mongod(self._folder / "mongodb")
        self._mongod.start()
        self._uri = ""
        self._machine = ""

    def __enter__(self) -> Sweep:
        return self

    def __exit__(self, *_: object) -> None:
        self._mongod.stop()
        if not self.failed:
            shutil.rmtree(self._folder, ignore_errors=True)

    def row_of(self, experiment: Experiment, cell: Cell) -> Row | None:
        """Runs the cell; None, and a report, if the run has failed. Raises `UsageError`."""
        self._uri = self._uri or self._mongod.uri()
        out = self._folder / f"{experiment.name}-{name_of(cell)}"
        try:
            beside = experiment.beside(self._uri, self._folder)
            values = {**beside, **experiment.measure(self._run(cell, out))}
        except (Failed, ProcessDied) as error:
            self.failed += 1
            self._console.print(
                f"experiments: {experiment.name}, {name_of(cell)}: {error}\n  again: {again(experiment, cell)}\n  its "
                f"files are in {out}",
                markup=False,
            )
            return None
        shutil.rmtree(out)
        self._machine = self._machine or _machine(server_version(self._uri))
        day = time.strftime("%Y-%m-%d")
        return Row(cell.labels, cell.seed, values, cell.settings, cell.faults, self._machine, day)

    def _run(self, cell: Cell, out: Path) -> Run:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        meter = _Meter(self._mongod.pid)
        at = farther(self._uri, cell.distance_s) if cell.distance_s else contextlib.nullcontext(self._uri)
        with at as uri, Bazaar(cell.settings, out, uri, meter, pictures=False) as bazaar:
            bazaar.injector.schedule(parse_faults(list(cell.faults), bazaar.plan))
            bazaar.start()
            bazaar.trade()
            bazaar.finish()
            summary, report = bazaar.collect()
        if report.verdict != "held":
            stories = [story for told in report.violations.values() for story in told]
            raise Failed(f"its audit says {report.verdict}: " + "; ".join([*stories, *report.missed])[:500])
        meant = bazaar.plan.names[-cell.settings.traders :]
        killed = sum(fault.startswith("kill:trader") for fault in cell.faults)
        if set(summary.traders) != set(meant) or report.exercised["traders_deposed"] != killed:
            raise Failed(
                f"a peer was taken for dead that was not: {', '.join(summary.traders)} became traders instead of "
                f"{', '.join(meant)}, {report.exercised['traders_deposed']} lost the seat; is the machine busy?"
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        histories = list(histories_of(out, bazaar.plan.names).values())
        processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Run(bazaar.plan, summary, histories, processor_s, meter.samples)


def _machine(mongodb: str) -> str:
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB of memory, {platform.system()}, "
        f"Python {platform.python_version()}, MongoDB {mongodb}"
    )


def table_of(experiment: Experiment, out: Path) -> Table:
    """The experiment's CSV below `out`. Raises `UsageError`."""
    return Table(out / "results" / f"{experiment.name}.csv", experiment.labels, experiment.values)


def _make_folder(out: Path) -> None:
    results = out / "results"
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {results} ({error.strerror}); give another folder to --out") from None


class _Left:
    """How long it will take: what the cells were expected to take, corrected by what those before them took."""

    def __init__(self, expected_s: float) -> None:
        self._to_come_s = expected_s
        self._expected_s = self._spent_s = 0.0
        self._since = time.monotonic()

    def passed(self, expected_s: float) -> None:
        """A cell has been run."""
        now = time.monotonic()
        self._spent_s += now - self._since
        self._since = now
        self._expected_s += expected_s
        self._to_come_s -= expected_s

    def __str__(self) -> str:
        pace = self._spent_s / self._expected_s if self._expected_s else 1.0
        left_s = max(0.0, pace * self._to_come_s - (time.monotonic() - self._since))
        return f"about {left_s / 60:.0f} min left" if left_s > 90 else f"about {left_s:.0f} s left"


def run(options: Options, console: Console) -> int:
    """Measures all cells that have no row yet. Raises `UsageError`, `KeyboardInterrupt`. Returns how many have failed."""
    tables = {experiment.name: table_of(experiment, options.out) for experiment in options.experiments}
    to_do = [
        (experiment, cell)
        for experiment in options.experiments
        for cell in grid(experiment, options)
        if not tables[experiment.name].has(cell)
    ]
    _make_folder(options.out)
    left = _Left(sum(cell.expected_s for _, cell in to_do))
    failed = 0
    if to_do:
        columns = (
            BarColumn(bar_width=20),
            TextColumn("{task.completed} of {task.total}, {task.fields[left]}", table_column=Column(min_width=30)),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        )
        progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        with progress, Sweep(console) as sweep:
            task = progress.add_task("starting MongoDB", total=len(to_do), left=left)
            for experiment, cell in to_do:
                progress.update(task, description=f"{experiment.name}, {name_of(cell)}")
                row = sweep.row_of(experiment, cell)
                if row is not None:
                    tables[experiment.name].add(row)
                left.passed(cell.expected_s)
                progress.advance(task)
            failed = sweep.failed
    for experiment in options.experiments:
        publish(experiment, tables[experiment.name].rows, options.out)
    return failed


def publish(experiment: Experiment, rows: Sequence[Row], out: Path) -> None:
    """Draws the picture and writes the page of one experiment, and its rows for other programs, if there are any."""
    if rows:
        results = out / "results"
        experiment.plot(rows, results / f"{experiment.name}.png")
        (results / f"{experiment.name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
        (results / f"{experiment.name}.md").write_text(f"# {section(experiment, rows, Path())}", encoding="utf-8")


def section(experiment: Experiment, rows: Sequence[Row], pictures: Path) -> str:
    """Title, question, table, picture, and what came out; `pictures`: their folder, as seen from the page."""
    try:
        story = experiment.story(rows)
    except Missing as missing:
        story = f"(What came out can be told when there are rows with {missing}.)"
    seeds = ", ".join(map(str, sorted({row.seed for row in rows})))
    days = " to ".join(dict.fromkeys((min(row.measured for row in rows), max(row.measured for row in rows))))
    machines = " and ".join(sorted({row.machine for row in rows}))
    return f"""{experiment.title}

{experiment.question}

{experiment.table(rows)}

![{experiment.title}]({pictures / experiment.name}.png)

{story}

*Why it may be so; from how the bazaar is made, not from these rows:* {experiment.reasons}

{len(rows)} run(s), all held; seeds {seeds}; measured {days} on {machines}. Any one of them again:
`{again(experiment, rows[-1])}`
"""


def main(
    experiments: Sequence[Experiment], arguments: Sequence[str], conclude: Callable[[Path], None] = lambda out: None
) -> int:
    """The command line; its exit status: 0 all measured, 1 a run failed, 2 wrong usage, 130 stopped.

    `conclude` is given the folder of the results in the end.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    interrupts.heed()
    prog = f"python -m experiments.{experiments[0].name}" if len(experiments) == 1 else "bash experiments/run.sh"
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
