"""One process of the bazaar, as the launcher sees it: a folder, words one way, and its last status the other.

A `LocalProcess` is a child with two pipes. One on another machine is a `RemoteProcess` (`control/remote.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import ssl
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = "BAZAAR_LAUNCHER"  # an environment variable: the pid of the process that started this one
CANNOT_WRITE = 74  # EX_IOERR: the line on standard error may be lost too, on the same full disk
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
PR_SET_PDEATHSIG = 1
STDERR_FILE = "stderr.txt"
CLOSING_S = 2.0  # for a process to end after it has closed its output; then it is killed


class Status(msgspec.Struct, frozen=True):
    """The status of a process, which it writes as a JSON line on its standard output."""

    ready: bool = False
    idle: bool = False
    done: bool = False
    answered: int = 0
    refused: int = 0
    """Connections and deliveries that were turned away: no key, the wrong one, or rubbish."""
    port: int = 0
    """The name server's port."""
    finishes: int = 0
    """How many `finish` commands it has received; `idle` refers to the last one."""

    def say(self) -> None:
        """Writes the status in one piece: several threads may write."""
        with contextlib.suppress(BrokenPipeError):  # the launcher is gone, which also ends standard input
            sys.stdout.write(msgspec.json.encode(self).decode() + "\n")
            sys.stdout.flush()


def end_with_launcher() -> None:
    """On Linux: the calling process is killed when the process that started it ends, even while the caller is stopped.

    Every process notices the end of its input, but not while it is stopped (state T). The system ties the kill to the *thread*
    that started the process: so `Bazaar` must be started in a thread that lives as long as the run.
    """
    if sys.platform == "linux":
        end_with_parent()
        if os.environ.get(LAUNCHER) not in (None, str(os.getppid())):  # the launcher ended before the call
            os._exit(1)


def end_with_parent() -> None:
    """On Linux: the calling process is killed when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run(main: Callable[[], int]) -> NoReturn:
    """Runs a program of a run: it ends with its launcher, and says in one line if it cannot write."""
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
    os._exit(code)  # its pool may wait for a process that is gone, whose answer is not needed any more


class Process(ABC):
    """One process of the bazaar, wherever it is, and its last status."""

    stdout: BinaryIO | ssl.SSLSocket
    """Readable when there is something to `hear`."""
    pid = 0
    """Its number, if it is on this machine."""

    def __init__(self, name: str, folder: Path) -> None:
        """`folder`: where its files are, or come to."""
        folder.mkdir(exist_ok=True)
        self.name = name
        self.folder = folder
        self.said = Status()
        self._heard = b""
        self._finishes = 0

    def tell(self, word: str) -> None:
        """Sends it a command: `begin`, `resign`, `finish …` or `stop`."""
        self._finishes += word.startswith("finish")
        self.write(word.encode() + b"\n")

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Writes this to its standard input, if that is still open."""

    @abstractmethod
    def hear(self) -> bool:
        """Reads its status lines; False if it has ended."""

    def _take_in(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        if lines:
            self.said = msgspec.json.decode(lines[-1], type=Status)

    @property
    def idle(self) -> bool:
        """Whether it has nothing left to do since it was last told to finish."""
        return self.said.idle and self.said.finishes == self._finishes

    @property
    def lost(self) -> bool:
        """Whether it went with its machine, so that the end of its history may be missing here; asked when it has ended."""
        return False

    @property
    def overdue(self) -> bool:
        """Whether it has been silent for so long that it counts as gone: `hear` says so then."""
        return False

    @abstractmethod
    def status(self) -> int:
        """How it ended, as `Popen.returncode`; called after `hear` has returned False."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Sends it a signal, if it still runs."""

    def last_words(self) -> str:
        """The end of its standard error."""
        return (self.folder / STDERR_FILE).read_text(errors="replace").strip()[-2000:]

    @abstractmethod
    def end(self, deadline: float) -> None:
        """Lets it stop, and kills it if it has not ended by the deadline."""


class LocalProcess(Process):
    """A child of this process."""

    stdout: BinaryIO

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        keeps_open: Sequence[int] = (),
    ) -> None:
        """`keeps_open`: descriptors that the process inherits, and so holds as long as it lives."""
        super().__init__(name, folder)
        with (folder / STDERR_FILE).open("ab") as stderr:
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
        self.pid = self.popen.pid
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self._stdin = self.popen.stdin
        self.stdout = self.popen.stdout  # type: ignore[assignment] # IO[bytes] is what BinaryIO is

    def write(self, data: bytes) -> None:
        if not self._stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._stdin.fileno(), data)

    def hear(self) -> bool:
        data = os.read(self.stdout.fileno(), 65536)
        self._take_in(data)
        return bool(data)

    def status(self) -> int:
        try:
            return self.popen.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()

    def signal(self, number: int) -> None:
        if self.popen.poll() is None:
            os.killpg(self.pid, number)  # and to what it has started, such as a cache server

    def close_input(self) -> None:
        """Ends its standard input, and so lets it stop."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def end(self, deadline: float) -> None:
        self.close_input()
        try:
            self.popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.stdout.close()
