"""The agent of a process on another machine: starts it in a folder there, and stands in for the launcher.

The agent holds the standard input of its process. It closes it when the launcher says so, and also when the launcher's
connection ends or is silent for longer than the leash: then nobody knows of the process any more. A process that does not end
by that is killed. While the process runs, the agent sends its history on, in whole lines; at its end, all its other files.
The warehouse's agent sends the ledger on, too.

An agent is a thread of whatever runs on that machine (`control/machines.py` starts it). The system kills the process with the
thread that started it (`end_with_launcher`). So nothing outlives that thread's own process either.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER
from bazaar.runtime.leash import (
    BEATS,
    PIECE_BYTES,
    Alive,
    AnyFrame,
    Die,
    Ended,
    Hold,
    Leash,
    Over,
    Piece,
    Said,
    Signal,
    Slow,
    Word,
)
from bazaar.runtime.ledger_file import LEDGER_FILE
from bazaar.runtime.process import CLOSING_S, STDERR_FILE, LocalProcess
from bazaar.runtime.tls import Papers, papers_in

TICK_S = 0.05  # between two looks at the files that grow
SLOWER = 10  # a slow process has one tick of so many
HANDSHAKE_S = 5.0
CALLED_WITHIN_S = 30.0  # from the agent's start to the launcher's connection


class Job(msgspec.Struct, frozen=True):
    """One process to start. `run`: the run's folder on this machine. `host`: the address of this machine to listen on."""

    name: str
    run: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    host: str
    leash_s: float


def prepare(run: str, files: Mapping[str, bytes]) -> None:
    """Makes the run's folder on this machine, with these files. Raises `OSError`."""
    for name, data in files.items():
        path = Path(run) / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def remove(run: str) -> None:
    """Removes the run's folder on this machine."""
    shutil.rmtree(run, ignore_errors=True)


def start(data: bytes) -> int:
    """Starts the agent for a `Job`; returns the port on which it waits for the launcher. Raises `OSError`, `UsageError`."""
    job = msgspec.msgpack.decode(data, type=Job)
    papers = papers_in(Path(job.run), job.name)
    family = socket.AF_INET6 if ":" in job.host else socket.AF_INET
    listening = socket.create_server((job.host, 0), family=family)
    port = int(listening.getsockname()[1])
    threading.Thread(target=_serve, args=(job, listening, papers), name=f"agent of {job.name}", daemon=True).start()
    return port


def _serve(job: Job, listening: socket.socket, papers: Papers) -> None:
    with listening:
        sock = _launcher_at(listening, papers, time.monotonic() + CALLED_WITHIN_S)
    if sock is not None:
        with sock:
            Agent(job, Leash(sock, job.leash_s)).serve()


def _launcher_at(listening: socket.socket, papers: Papers, until: float) -> ssl.SSLSocket | None:
    """The launcher's connection; None if it does not come. Whoever else comes is sent away."""
    while (patience_s := until - time.monotonic()) > 0:
        listening.settimeout(patience_s)
        try:
            connected, _ = listening.accept()
            connected.settimeout(HANDSHAKE_S)
            return papers.admit(connected, LAUNCHER)
        except OSError:
            continue
    return None


class Tail:
    """What is appended to a file from now on."""

    def __init__(self, path: Path, whole_lines: bool) -> None:
        self._path = path
        self._whole_lines = whole_lines
        self._at = 0
        if path.exists():
            data = path.read_bytes()
            self._at = data.rfind(b"\n") + 1 if whole_lines else len(data)

    def pieces(self) -> list[Piece]:
        """What was appended since the last time, not more than fits into one frame: empty if there is nothing."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(PIECE_BYTES)
        if self._whole_lines:
            data = data[: data.rfind(b"\n") + 1]
        self._at += len(data)
        return [Piece(self._path.name, data)] if data else []


class Agent:
    """Serves one process, from its start to its end."""

    def __init__(self, job: Job, leash: Leash) -> None:
        self._leash = leash
        self._folder = Path(job.run) / job.name
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._tails = [Tail(self._folder / HISTORY_FILE, True), Tail(self._folder / STDERR_FILE, False)]
        if job.name == WAREHOUSE:
            self._tails.append(Tail(Path(job.run) / LEDGER_FILE, True))
        self._deaf_until = self._mute_until = 0.0  # the leash is cut
        self._slow_until: float | None = None
        self._process = LocalProcess(job.name, self._folder, [sys.executable, *job.arguments], job.environment)

    def serve(self) -> None:
        """Returns when the process has ended."""
        try:
            while self._look():
                if time.monotonic() >= self._mute_until:
                    self._send_what_grew()
                    self._leash.beat()
            self._last()
        except OSError:  # the launcher is gone, or the leash over
            self._process.end(time.monotonic() + CLOSING_S)

    def _look(self) -> bool:
        """Waits a moment for either side, and passes on what it says. False: the process has ended."""
        now = time.monotonic()
        deaf, mute = now < self._deaf_until, now < self._mute_until
        both: list[ssl.SSLSocket | BinaryIO] = [] if deaf else [self._leash.sock]
        ready, _, _ = select.select(both if mute else [*both, self._process.stdout], [], [], TICK_S)
        for frame in [] if deaf else self._leash.receive():
            self._obey(frame)
        if self._leash.silent_s > self._leash.length_s:
            raise TimeoutError("the launcher is silent")
        self._dawdle()
        if self._process.stdout in ready:
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                return False
            self._leash.send(Said(data))
        return True

    def _obey(self, frame: AnyFrame) -> None:
        match frame:
            case Word(data):
                self._process.write(data)
            case Signal(number):
                self._slow_until = None
                self._process.signal(number)
            case Over():
                self._process.close_input()
            case Hold(inwards, for_s) if inwards:
                self._deaf_until = time.monotonic() + for_s
            case Hold(_, for_s):
                self._mute_until = time.monotonic() + for_s
            case Slow(for_s):
                self._slow_until = time.monotonic() + for_s
            case Die():
                os.kill(
                    os.getpid(), signal.SIGKILL
                )  # the system kills the processes with the threads that started them
            case Alive():
                pass
            case _:
                raise ConnectionAbortedError("no launcher says that")

    def _dawdle(self) -> None:
        """Lets a process that is to be slow run in one tick of ten."""
        if self._slow_until is not None:
            now = time.monotonic()
            over = now >= self._slow_until
            self._process.signal(signal.SIGCONT if over or int(now / TICK_S) % SLOWER == 0 else signal.SIGSTOP)
            self._slow_until = None if over else self._slow_until

    def _send_what_grew(self) -> int:
        pieces = [piece for tail in self._tails for piece in tail.pieces()]
        for piece in pieces:
            self._leash.send(piece)
        return len(pieces)

    def _last(self) -> None:
        """Sends what is left of the files, and how the process ended; and waits until the launcher has read it."""
        status = self._process.status()
        self._process.end(time.monotonic())
        while self._send_what_grew():
            pass
        for path in sorted(self._folder.iterdir()):
            if path.is_file() and path.name not in (HISTORY_FILE, STDERR_FILE):
                self._send_whole(path)
        self._leash.send(Ended(status))
        while (
            self._leash.silent_s <= self._leash.length_s
        ):  # the launcher closes the connection, which raises `OSError`
            self._leash.wait(self._leash.length_s / BEATS)
            self._leash.receive()

    def _send_whole(self, path: Path) -> None:
        with path.open("rb") as file:
            begins = True
            while (data := file.read(PIECE_BYTES)) or begins:
                self._leash.send(Piece(path.name, data, begins))
                begins = False
