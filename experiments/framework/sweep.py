"""The sweep runs a grid cell by cell, through the launcher, and has every run judged. One MongoDB serves all runs."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from bazaar.control.launcher import Bazaar, ProcessDied
from bazaar.control.mongod import Mongod
from bazaar.protocol import events
from bazaar.protocol.faults import parse_faults
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.settings import UsageError
from bazaar.runtime.history import histories_of, only
from bazaar.runtime.mongo import server_version
from experiments.framework.distance import farther
from experiments.framework.experiment import Experiment, Failed, Run, Sample
from experiments.framework.grid import Options, again, grid
from experiments.framework.network import connections_between, loopback_bytes
from experiments.framework.page import publish
from experiments.framework.rows import Cell, Row, Table, name_of

LOOK_EVERY_S = 0.5


class _Meter:
    """Samples the resources that the processes of a run use."""

    def __init__(self, mongod: int | None) -> None:
        self.samples: list[Sample] = []
        self.loopback: list[tuple[float, int]] = []
        self._mongod = mongod
        self._next = 0.0

    def __call__(self, bazaar: Bazaar) -> None:
        """Takes samples when they are due. The launcher calls this about ten times a second."""
        now = time.time()
        if now < self._next:
            return
        self._next = now + LOOK_EVERY_S
        self.loopback.append((now, loopback_bytes()))
        pids = {name: process.pid for name, process in bazaar.processes.items()}
        if self._mongod is not None:  # otherwise MongoDB is not ours, and may be on another machine
            pids["mongod"] = self._mongod
        for name, pid in pids.items():
            with contextlib.suppress(psutil.Error):  # the process has just ended
                process = psutil.Process(pid)
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info()
                self.samples.append(Sample(now, name, times.user + times.system, memory.rss))


def _nothing(uri: str, folder: Path) -> Mapping[str, float]:
    return {}


class Sweep:
    """Runs cells one after the other, with one MongoDB, in a folder that is deleted at the end unless a run has failed."""

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
        """Runs the cell and returns its row. If the run has failed, reports that and returns None. Raises `UsageError`."""
        self._uri = self._uri or self._mongod.uri()
        out = self._folder / f"{experiment.NAME}-{name_of(cell)}"
        try:
            beside = getattr(experiment, "beside", _nothing)(self._uri, self._folder)
            values = {**beside, **experiment.measure(self._run(cell, out))}
        except (Failed, ProcessDied) as error:
            self.failed += 1
            self._console.print(
                f"experiments: {experiment.NAME}, {name_of(cell)}: {error}\n  again: {again(experiment, cell)}\n  its "
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
            market = {WAREHOUSE, *bazaar.plan.names}
            bazaar.injector.schedule(parse_faults(list(cell.faults), bazaar.plan))
            bazaar.start()
            bazaar.trade()
            connections = connections_between({n: p.pid for n, p in bazaar.processes.items() if n in market})
            bazaar.finish()
            summary, report = bazaar.collect()
        if report.verdict != "held":
            stories = [story for told in report.violations.values() for story in told]
            raise Failed(f"its audit says {report.verdict}: " + "; ".join([*stories, *report.missed])[:500])
        histories = histories_of(out, bazaar.plan.names)
        numbers = [cell.settings.traders, *(line.event.seats for line in only(histories[WAREHOUSE], events.Resized))]
        meant = bazaar.plan.names[-max(numbers) :]
        resigned = sum(number < former for former, number in itertools.pairwise(numbers))  # by load
        killed = sum(fault.startswith("kill:trader") for fault in cell.faults)
        if set(summary.traders) != set(meant) or report.exercised["traders_deposed"] != killed + resigned:
            raise Failed(
                f"a peer was taken for dead that was not: {', '.join(summary.traders)} became traders instead of "
                f"{', '.join(meant)}, {report.exercised['traders_deposed']} lost the seat; is the machine busy?"
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Run(
            bazaar.plan, summary, list(histories.values()), processor_s, meter.samples, connections, meter.loopback
        )


def _machine(mongodb: str) -> str:
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB of memory, {platform.system()}, "
        f"Python {platform.python_version()}, MongoDB {mongodb}"
    )


def table_of(experiment: Experiment, out: Path) -> Table:
    """The experiment's CSV below `out`. Raises `UsageError`."""
    return Table(out / "results" / f"{experiment.NAME}.csv", experiment.LABELS, experiment.VALUES)


def _make_folder(out: Path) -> None:
    results = out / "results"
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {results} ({error.strerror}); give another folder to --out") from None


class _Left:
    """The time left: what the cells to come are expected to take, corrected by what the cells so far have taken."""

    def __init__(self, expected_s: float) -> None:
        self._to_come_s = expected_s
        self._expected_s = self._spent_s = 0.0
        self._since = time.monotonic()

    def passed(self, expected_s: float) -> None:
        """Notes that a cell has been run."""
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
    """Measures all cells without a row. Returns the number of failed runs. Raises `UsageError`, `KeyboardInterrupt`."""
    tables = {experiment.NAME: table_of(experiment, options.out) for experiment in options.experiments}
    to_do = [
        (experiment, cell)
        for experiment in options.experiments
        for cell in grid(experiment, options)
        if not tables[experiment.NAME].has(cell)
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
                progress.update(task, description=f"{experiment.NAME}, {name_of(cell)}")
                row = sweep.row_of(experiment, cell)
                if row is not None:
                    tables[experiment.NAME].add(row)
                left.passed(cell.expected_s)
                progress.advance(task)
            failed = sweep.failed
    for experiment in options.experiments:
        publish(experiment, tables[experiment.NAME].rows, options.out)
    return failed
