"""A process on another machine, as the launcher sees it: what it writes comes over its leash, into its folder here."""

from __future__ import annotations

import contextlib
import re
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.leash import Alive, Die, Ended, Hold, Leash, Over, Piece, Said, Signal, Slow, Word
from bazaar.runtime.ledger_file import LEDGER_FILE
from bazaar.runtime.process import CLOSING_S, STDERR_FILE, Process

LONGEST_END_S = 30.0  # for what is left of the files of a process that has ended


class RemoteProcess(Process):
    """At the other end of the leash is its agent (`runtime/agent.py`)."""

    stdout: ssl.SSLSocket

    def __init__(self, name: str, folder: Path, leash: Leash) -> None:
        super().__init__(name, folder)
        (folder / STDERR_FILE).touch()
        self.stdout = leash.sock
        self._leash = leash
        self._status: int | None = None

    def write(self, data: bytes) -> None:
        self._send(Word(data))

    def suffer(self, fault: Hold | Slow | Die) -> None:
        """Has its agent do a fault there."""
        self._send(fault)

    def _send(self, frame: Word | Signal | Over | Hold | Slow | Die) -> None:
        with contextlib.suppress(OSError):  # what `hear` finds out
            self._leash.send(frame)

    def hear(self) -> bool:
        """Also writes what came for its files. False, too, if that machine is gone. Raises `OSError` if it cannot write."""
        if self._status is not None:
            return False
        try:
            frames = self._leash.receive()
        except OSError:
            return False
        for frame in frames:
            match frame:
                case Said(data):
                    self._take_in(data)
                case Piece():
                    self._keep(frame)
                case Ended(status):
                    self._status = status
                case Alive():
                    pass
                case _:
                    return False  # no agent says that
        return self._status is None and not self.overdue

    def _keep(self, piece: Piece) -> None:
        if re.fullmatch(r"\w[\w.-]*", piece.file):  # a name in this folder, whatever is at the other end
            folder = self.folder.parent if piece.file == LEDGER_FILE and self.name == WAREHOUSE else self.folder
            with (folder / piece.file).open("wb" if piece.begins else "ab") as file:
                file.write(piece.data)

    @property
    def lost(self) -> bool:
        return self._status is None

    @property
    def overdue(self) -> bool:
        """By then the agent has ended the process, if it still could."""
        return self._leash.silent_s > self._leash.length_s + CLOSING_S

    def status(self) -> int:
        return -signal.SIGKILL if self._status is None else self._status

    def signal(self, number: int) -> None:
        if self._status is None:
            self._send(Signal(number))

    def _ended_by(self, late: Callable[[], bool]) -> bool:
        """Hears it until it has ended (True) or is gone, or it is late (False)."""
        while self.hear() and not late():
            self._leash.wait(0.05)
        return self._status is not None

    def end(self, deadline: float) -> None:
        self._send(Over())
        if not self._ended_by(lambda: time.monotonic() > deadline):
            self._send(Signal(signal.SIGKILL))
            latest = time.monotonic() + LONGEST_END_S
            self._ended_by(lambda: time.monotonic() > latest)
        self._leash.close()
