"""A run: starts every process of a bazaar, watches over them, ends them, and collects what they left behind.

`Bazaar` is a context manager: however its block is left, no process and no port remains. Every process is its own, in a
folder of its own (SPEC A2), in a session of its own (so that Ctrl-C at the terminal reaches the launcher alone), and
ends by itself when its standard input does: even a launcher that is killed leaves nobody behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bazaar import plan as plans
from bazaar.audit import Evidence, Report, judge
from bazaar.core.turn import Event
from bazaar.history import History, histories_of
from bazaar.injector import Injector
from bazaar.interrupts import whole
from bazaar.mongod import START_PATIENCE_S, Mongod
from bazaar.process import ROOT, Process
from bazaar.records import WAREHOUSE, AnyEntry, Item
from bazaar.rpc import make_key
from bazaar.runclock import start_clock
from bazaar.settings import Settings, UsageError
from bazaar.summary import Summary, summarize

NAME_SERVER = "nameserver"
END_PATIENCE_S = 20.0  # for what is under way when the run is to end
EXIT_PATIENCE_S = 3.0
LAST_REPORTS_S = 1.0  # answers are reported a moment after they are given
DRAWING_PATIENCE_S = 15.0
POLL_S = 0.1


class ProcessDied(Exception):
    """A process of the bazaar ended though nobody had told it to; the text holds its last words."""


class Bazaar:
    """One run. `start`, then any of `wait_until` and `finish`, then `collect`."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        mongo_uri: str | None = None,
        watch: Callable[[Bazaar], None] = lambda bazaar: None,
        pictures: bool = True,
    ) -> None:
        """`mongo_uri`: a MongoDB to use; None: `setup_db.sh` finds or starts one. `watch` is called ten times a second.

        Without `pictures` nothing is drawn: that takes seconds of a processor, while the run is being measured.
        """
        self.settings = settings
        self.plan = plans.draw_plan(settings)
        self.out = out
        self.phase = "starting"
        self.processes: dict[str, Process] = {}
        self._mongo_uri = mongo_uri
        self.mongod = Mongod(out / "mongodb")
        self.injector = Injector(self)
        self._database = (
            "bazaar_" + re.sub(r"[^A-Za-z0-9]", "_", out.name)[-40:] + f"_{os.getpid()}_{time.time_ns() % 10**6}"
        )
        self._watch = watch
        self._pictures = pictures
        self._selector = selectors.DefaultSelector()
        self._artist: subprocess.Popen[bytes] | None = None
        self._ends_expected = False
        self._port = ""
        self._history: History | None = None
        self._clock = 0
        self._lost_answers = 0  # those that killed processes had reported
        self.killed: set[str] = set()

    def __enter__(self) -> Bazaar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------- starting
    def start(self) -> None:
        """Starts everything, and lets trading begin. Raises `ProcessDied`.

        Raises `UsageError` for what cannot be had; then everything was taken down, and the run's folder is gone again.
        """
        made = _make_run_folder(self.out)
        try:
            self._start_all()
        except UsageError:
            self.close()
            for path in self.out.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for folder in made:
                folder.rmdir()
            raise

    def _start_all(self) -> None:
        self._run_clock = start_clock(self.out)
        plans.save(self.plan, self.out / "bazaar.json")
        make_key(self.out / "key")
        self._history = History(self._folder("launcher"), "launcher")
        if self._mongo_uri is None:
            self.mongod.start()  # side by side with the name server
        server = self._start(
            NAME_SERVER,
            [str(ROOT / "nameserver.py"), self.settings.host, str(self.settings.port), str(self.out / "key")],
        )
        self._await_ready([server])
        self._port = str(server.said.port)
        if self._mongo_uri is None:
            self.phase = "starting MongoDB"
            self._mongo_uri = self.mongod.uri()
        self.phase = "opening the warehouse"
        self._await_ready([self._start_warehouse()])
        self.phase = "starting the peers"
        names = self.plan.names
        self._await_ready([self._start_peer(name) for name in names])
        self.note("drawn")
        self.phase = "electing the traders"
        for process in self.processes.values():
            process.tell("begin")
        if self._pictures:
            self._draw()

    def _draw(self) -> None:
        """Draws in a process of its own: the libraries take longer to import than the bazaar to start."""
        command = [sys.executable, "-m", "bazaar.pictures", str(self.out)]
        quiet = subprocess.DEVNULL
        self._artist = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def _start(self, name: str, arguments: Sequence[str]) -> Process:
        environment = {"BAZAAR_MONGO_URI": self._mongo_uri or ""} if name == WAREHOUSE else {}
        process = Process(name, self.out / name, [sys.executable, *arguments], environment)
        self.processes[name] = process
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def _start_warehouse(self) -> Process:
        return self._start(WAREHOUSE, [str(ROOT / "database.py"), str(self.out), self._port, self._database])

    def _start_peer(self, name: str) -> Process:
        return self._start(name, ["-m", "peers", name, str(self.out), self._port])

    def note(self, what: str, **facts: Any) -> None:
        """Writes into the launcher's own history."""
        assert self._history is not None
        self._clock += 1
        self._history.write(self._run_clock.now(), [Event(self._clock, what, None, 0, facts)])

    def _folder(self, name: str) -> Path:
        folder = self.out / name
        folder.mkdir()
        return folder

    def _await_ready(self, processes: Sequence[Process]) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while not all(process.said.ready for process in processes):
            if time.monotonic() > deadline:
                late = [process.name for process in processes if not process.said.ready]
                raise ProcessDied(f"{', '.join(late)} did not get ready within {START_PATIENCE_S:g} s")
            self._pump()

    # ---------------------------------------------------------------------------------------- watching
    def _pump(self) -> None:
        """Hears what the processes say, for a tenth of a second at the most. Raises `ProcessDied`, `UsageError`."""
        ready = self._selector.select(POLL_S)
        with whole():  # Ctrl-C comes while it waits
            for key, _ in ready:
                self._hear(key.data)
            self.injector.act()
            self._watch(self)

    def _hear(self, process: Process) -> None:
        if process.hear():
            return
        self._selector.unregister(process.stdout)
        status = process.popen.wait()
        if self._ends_expected:
            return
        if status < 0:  # killed, by us or by somebody at another terminal
            self._fell(process)
            return
        if status == 2 and process.name not in self.killed:
            raise UsageError(process.last_words())
        raise ProcessDied(f"{process.name} ended with status {status}: {process.last_words()}")

    @property
    def answered(self) -> int:
        """Orders that have their answer, as last reported."""
        return self._lost_answers + sum(process.said.answered for process in self.processes.values())

    @property
    def peers(self) -> list[Process]:
        """The processes of the peers that are there."""
        return [self.processes[name] for name in self.plan.names if name in self.processes]

    # ------------------------------------------------------------------------------------------ faults
    def restart(self, name: str) -> None:
        """Starts a peer again that was killed, in its own folder."""
        process = self._start_peer(name)
        process.tell("begin")

    def _fell(self, process: Process) -> None:
        """A process was killed: the run goes on without it; the warehouse is started again."""
        name = process.name
        self.note("fell", name=name)
        self.killed.add(name)
        self._lost_answers += process.said.answered
        process.end(time.monotonic())
        del self.processes[name]
        if name == NAME_SERVER:
            raise ProcessDied("the name server was killed; nobody can find anybody any more")
        if name == WAREHOUSE:
            self._start_warehouse().tell("begin")

    # ---------------------------------------------------------------------------------------- waiting
    def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Watches over the run until `condition` holds (True) or the time is over (False). Raises `ProcessDied`."""
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._pump()
        return True

    def trade(self) -> None:
        """Runs the market for as long as the settings say: the time counts from the first answer."""
        self.wait_until(lambda: self.answered > 0 or self._all_asked())
        self.phase = "trading"
        self.injector.begin()
        self.wait_until(self._all_asked, self.settings.duration_s)

    def _all_asked(self) -> bool:
        return self.settings.requests is not None and all(peer.said.done for peer in self.peers)

    # ------------------------------------------------------------------------------------------ ending
    def exercised(self) -> bool:
        """Whether any order has its answer: also whoever is stopped, or has not reported it yet, gets to say so."""
        self._wake()
        return self.wait_until(lambda: self.answered > 0, LAST_REPORTS_S)

    def finish(self) -> None:
        """Nothing new begins; what is under way is brought to its end, as far as that happens in time."""
        self.phase = "finishing"
        self.injector.end()
        self._wake()
        market = [process for name, process in self.processes.items() if name != NAME_SERVER]
        for process in market:
            process.tell(" ".join(["finish", *sorted(self.killed - self.processes.keys())]))
        # The last deaths have to be noticed, and the leases of the dead to run out.
        patience_s = END_PATIENCE_S + 4 * self.settings.suspect_after_s + 2 * self.settings.lease_s
        self.wait_until(lambda: all(process.said.idle for process in market), patience_s)

    def close(self) -> None:
        """Ends every process; those that do not listen are killed."""
        self._ends_expected = True
        self._wake()
        self.phase = "ending"
        # The peers go first, then what they need; a traveller's last words should find somebody home.
        for names in (self.plan.names, (WAREHOUSE,), (NAME_SERVER,)):
            group = [self.processes[name] for name in names if name in self.processes]
            for process in group:
                process.tell("stop")
            deadline = time.monotonic() + EXIT_PATIENCE_S
            for process in group:
                process.end(deadline)
        if self._artist is not None:
            with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
                self._artist.communicate(timeout=DRAWING_PATIENCE_S)
            self._artist.kill()
            self._artist.wait()
        self._selector.close()
        self.mongod.stop()

    def _wake(self) -> None:
        """Whoever is stopped goes on, or it would not hear that the run ends: by a fault, or by hand at another terminal."""
        for process in self.processes.values():
            process.signal(signal.SIGCONT)
        if (pid := self.mongod.pid) is not None:
            self.mongod.signal(pid, signal.SIGCONT)

    # -------------------------------------------------------------------------------------- collecting
    def collect(self) -> tuple[Summary, Report]:
        """Stops the peers, reads ledger and histories, judges the run, and writes what came out. MongoDB must still be up."""
        self._ends_expected = True
        self.phase = "judging"
        with whole():
            self._watch(self)
        processes = [process for name, process in self.processes.items() if name != NAME_SERVER]
        for process in processes:
            process.tell("stop")
        deadline = time.monotonic() + EXIT_PATIENCE_S
        for process in processes:
            process.end(deadline)
        entries, _ = self._read_ledger()
        with (self.out / "ledger.jsonl").open("wb") as file:
            for entry in entries:
                file.write(msgspec.json.encode(entry) + b"\n")
        histories = histories_of(self.out, self.plan.names)
        if self._artist is not None and self._artist.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._artist.stdin.fileno(), b"\n")  # all is there for the picture of the run over time
        dead = frozenset(self.killed - self.processes.keys())
        evidence = Evidence(self.plan, entries, histories, None, dead, self.injector.missed)
        report = judge(evidence)
        summary = summarize(evidence, report, self._run_clock.wall)
        _write_json(self.out / "audit.json", report)
        _write_json(self.out / "summary.json", summary)
        return summary, report

    def _read_ledger(self) -> tuple[list[AnyEntry], dict[tuple[str, Item], int]]:
        from bazaar.mongo import MongoLedger  # slow to import, and not needed before the end

        assert self._mongo_uri is not None
        ledger = MongoLedger(self._mongo_uri, self._database, known=True)
        entries, stock = list(ledger.entries()), ledger.mirrored()
        ledger.close()
        return entries, stock


def _make_run_folder(out: Path) -> list[Path]:
    """The folders that were not there before, innermost first. Raises `UsageError` if `out` is taken, or cannot be."""
    try:
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} exists and is not empty; give another folder to --out")
        out.mkdir(parents=True, exist_ok=True)
        return made
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}; give another folder to --out") from None


def _write_json(path: Path, record: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
