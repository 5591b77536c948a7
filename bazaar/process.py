"""One process of the bazaar, as the launcher sees it: a command, a folder, two pipes, and what it last said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent


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

    def say(self) -> None:
        """Says it, in one piece: several threads may."""
        with contextlib.suppress(BrokenPipeError):  # the launcher is gone; standard input says so too
            sys.stdout.write(msgspec.json.encode(self).decode() + "\n")
            sys.stdout.flush()


class Process:
    """One process of the bazaar, and what it last said."""

    def __init__(self, name: str, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        self.name = name
        self.folder = folder
        self.said = Status()
        self._heard = b""
        with (folder / "stderr.txt").open("ab") as stderr:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self._stdin = self.popen.stdin
        self.stdout = self.popen.stdout

    def tell(self, word: str) -> None:
        """Says `begin`, `resign`, `finish …` or `stop` to it."""
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
