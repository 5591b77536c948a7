"""One process of the bazaar, as the launcher sees it: a command, a folder, two pipes, and what it last said."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = "BAZAAR_LAUNCHER"  # in the environment of a process: the pid of who started it
CANNOT_WRITE = 74  # EX_IOERR: its one line may be lost too, on the same full disk
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
PR_SET_PDEATHSIG = 1
CLOSING_S = 2.0  # whoever has closed its output ends within that time, or is ended


class Status(msgspec.Struct, frozen=True):
    """What a process says of itself: a JSON line on its standard output."""

    ready: bool = False
    idle: bool = False
    done: bool = False
    answered: int = 0
    refused: int = 0
    """Connections and deliveries that were turned away: no key, the wrong one, or rubbish."""
    port: int = 0
    """The name server's."""
    finishes: int = 0
    """How often it has heard `finish`: `idle` speaks of the last one."""

    def say(self) -> None:
        """Says it, in one piece: several threads may."""
        with contextlib.suppress(BrokenPipeError):  # the launcher is gone; standard input says so too
            sys.stdout.write(msgspec.json.encode(self).decode() + "\n")
            sys.stdout.flush()


def end_with_launcher() -> None:
    """On Linux: who calls this is killed as soon as who started it is gone, even while it is stopped by hand.

    Everybody sees the end of its input, but not while it is stopped (state T). The system ties this to the *thread* that
    started the process: whoever uses `Bazaar` starts it in a thread that lives as long as the run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.environ.get(LAUNCHER) not in (None, str(os.getppid())):  # it has gone in between
            os._exit(1)


def run(main: Callable[[], int]) -> NoReturn:
    """The frame of each program of a run: it ends with its launcher, and says in one line if it cannot write."""
    end_with_launcher()
    try:
        code = main()
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        code = CANNOT_WRITE
        with contextlib.suppress(OSError):
            print(f"cannot write to {error.filename or Path.cwd()}: {error.strerror}", file=sys.stderr, flush=True)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    os._exit(code)  # its pool may be waiting for somebody who has gone; nobody waits for that answer any more


class Process:
    """One process of the bazaar, and what it last said."""

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        keeps_open: Sequence[int] = (),
    ) -> None:
        """`keeps_open`: descriptors that it inherits, and so holds as long as it lives."""
        folder.mkdir(exist_ok=True)
        self.name = name
        self.folder = folder
        self.said = Status()
        self._heard = b""
        self._finishes = 0
        with (folder / "stderr.txt").open("ab") as stderr:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT), LAUNCHER: str(os.getpid())},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                pass_fds=keeps_open,
            )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self._stdin = self.popen.stdin
        self.stdout = self.popen.stdout

    def tell(self, word: str) -> None:
        """Says `begin`, `resign`, `finish …` or `stop` to it."""
        self._finishes += word.startswith("finish")
        if not self._stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._stdin.fileno(), word.encode() + b"\n")

    def hear(self) -> bool:
        """Reads what it said; False if it has ended."""
        data = os.read(self.stdout.fileno(), 65536)
        *lines, self._heard = (self._heard + data).split(b"\n")
        if lines:
            self.said = msgspec.json.decode(lines[-1], type=Status)
        return bool(data)

    @property
    def idle(self) -> bool:
        """Whether it has nothing left to do since it was last told to finish."""
        return self.said.idle and self.said.finishes == self._finishes

    def status(self) -> int:
        """How it ended, after `hear` has said that it has; as `Popen.returncode`."""
        try:
            return self.popen.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to it, if it is there."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)

    def last_words(self) -> str:
        """The end of its standard error."""
        return (self.folder / "stderr.txt").read_text(errors="replace").strip()[-2000:]

    def end(self, deadline: float) -> None:
        """Lets it stop, and kills it if it has not by then."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.stdout.close()
