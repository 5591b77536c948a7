"""Judges a run that is over, narrates it, draws it and reports on it, by four processes side by side.

The narrator writes its texts already while the run goes on. Each process reads nothing but the run's folder, so anybody who
has the folder can do the same (`bash run.sh judge`). A process that somebody kills is started again, once. Only the judge is
needed; what the others could not make is reported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bazaar.analysis.judgement import NOT_JUDGED, Judgement
from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import LAUNCHER, ROOT

DRAWING_PATIENCE_S = 60.0  # for pictures and report, once all else is done; a busy machine takes 20 s
POLL_S = 0.05
AT_ONCE = 65536  # bytes: what a pipe holds
LIVES = 2


class Task:
    """One of the four: a program that is given the run's folder. Its output stays in memory: the disk may be full."""

    def __init__(self, run: Path, module: str, makes: str) -> None:
        """`makes`: what is missing without the task, in words."""
        self._run = run
        self._module = module
        self.makes = makes
        self.lives = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._said, self._complained = bytearray(), bytearray()

    def start(self) -> None:
        """Starts the program. It draws into files (`Agg`), whatever backend the caller, such as a notebook, has set."""
        self.close()
        self.lives += 1
        self._said, self._complained = bytearray(), bytearray()
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
        self._popen = subprocess.Popen(
            [sys.executable, "-m", self._module, str(self._run)],
            cwd=self._run,
            env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path, LAUNCHER: str(os.getpid())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for pipe in (self._popen.stdout, self._popen.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def begin(self) -> None:
        """All histories are complete, so the task can do its work. Starts the program unless it runs."""
        if self._popen is None or self._popen.poll() is not None:
            self.start()
        assert self._popen is not None
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            os.write(self._popen.stdin.fileno(), b"\n")

    def tell_judged(self) -> None:
        """Tells the program that the verdict, for which it waits, is there. Further calls do nothing."""
        assert self._popen is not None
        assert self._popen.stdin is not None
        if not self._popen.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._popen.stdin.fileno(), b"\n")
            self._popen.stdin.close()

    def give_up(self) -> None:
        """Tells the program that the verdict will not come."""
        assert self._popen is not None
        assert self._popen.stdin is not None
        self._popen.stdin.close()

    def over(self) -> bool:
        """Whether the program has done its work, or has failed. If it was stopped, it is continued."""
        assert self._popen is not None
        status = self._popen.poll()
        self._hear()
        if status is None:
            self._popen.send_signal(signal.SIGCONT)
        elif status < 0 and self.lives < LIVES:
            self.begin()
            return False
        return status is not None

    @property
    def status(self) -> int | None:
        """As `Popen.returncode`."""
        return None if self._popen is None else self._popen.returncode

    def last_line(self) -> bytes:
        """The last whole line that the program has printed; empty if there is none."""
        return bytes(self._said.rpartition(b"\n")[0].rpartition(b"\n")[2])

    def reason(self) -> str:
        """Why the program could not do its work."""
        words = self._complained.decode(errors="replace").strip()
        if words:
            return words.rpartition("\n")[2]
        if self.status is None:
            return f"it was not ready {DRAWING_PATIENCE_S:g} s after all else"
        return "it was killed" if self.status < 0 else f"status {self.status}"

    def _hear(self) -> None:
        """Reads what the program has printed since the last call."""
        assert self._popen is not None
        for pipe, heard in ((self._popen.stdout, self._said), (self._popen.stderr, self._complained)):
            assert pipe is not None
            with contextlib.suppress(BlockingIOError):
                while data := os.read(pipe.fileno(), AT_ONCE):
                    heard += data

    def close(self) -> None:
        """Kills the program if it runs."""
        if self._popen is not None:
            with self._popen:
                self._popen.kill()


class Judging:
    """Call `prepare` while the run goes on, `run` when it is over, and `close` in any case."""

    def __init__(self, run: Path, tells: bool = True, draws: bool = True, reports: bool = True) -> None:
        """Without `tells` there are no texts, without `draws` no pictures, without `reports` no `report.html`."""
        self._judge = Task(run, "bazaar.analysis.judgement", "the judgement")
        self._artist = Task(run, "bazaar.views.pictures", "a picture")
        self._reporter = Task(run, "bazaar.views.report", "the report")
        self._others = [Task(run, "bazaar.views.texts", "a text")] * tells
        self._others += [self._artist] * draws + [self._reporter] * reports
        self._for_people = [self._artist, self._reporter]

    def prepare(self) -> None:
        """Starts all but the judge early.

        The narrator follows the run. The artist's libraries take longer to import than the whole bazaar takes to start, and
        the reporter takes a while, too.
        """
        for task in self._others:
            task.start()

    def run(self, look: Callable[[float], None]) -> Judgement:
        """Has all tasks done. Raises `UsageError` if there can be no judgement.

        `look` is called now and then, with the share of the run that the judge has read.
        """
        tasks = [self._judge, *self._others]
        for task in tasks:
            task.begin()
        deadline = float("inf")
        while open_ := [task for task in tasks if not task.over()]:
            if self._reporter in open_ and self._judge not in open_:
                self._reporter.tell_judged() if self._judge.status == 0 else self._reporter.give_up()
            if not set(open_) <= set(self._for_people):
                deadline = time.monotonic() + DRAWING_PATIENCE_S
            if time.monotonic() > deadline:
                break
            look(self._share())
            time.sleep(POLL_S)
        if self._judge.status == NOT_JUDGED:
            raise UsageError(self._judge.reason())
        if self._judge.status != 0:
            raise UsageError(f"the run was not judged: {self._judge.reason()}; `bash run.sh judge` tries again")
        judgement = msgspec.json.decode(self._judge.last_line(), type=Judgement)
        unmade = [f"{task.makes} could not be made: {task.reason()}" for task in self._others if task.status != 0]
        return msgspec.structs.replace(judgement, unmade=(*judgement.unmade, *unmade))

    def _share(self) -> float:
        """The share of the run that the judge has read; 1 when it has judged."""
        if self._judge.status is not None:
            return 1.0
        with contextlib.suppress(ValueError):
            return float(self._judge.last_line() or 0)
        return 1.0

    def close(self) -> None:
        """Kills all programs that still run."""
        for task in (self._judge, *self._others):
            task.close()
