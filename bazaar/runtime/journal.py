"""The journal: a peer's orders on disk, so that they outlive the process (requirement E2).

Each record is one JSON line, which is appended; `write` returns when the lines are on the disk. It does not wait for `Closed`
lines: if one is lost, the order is only put to the warehouse again, which gives the same answer. When most of the file is
closed orders, a new file is written beside it and renamed over it, so one whole file is there at every moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued, Recovered

COMPACT_ABOVE = 20_000  # lines

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JournalLine)


def journal_file(folder: Path, since: int) -> Path:
    """The journal of the tenure that began at this ledger position."""
    return folder / f"queue-{since}.jsonl"


def read_journal(path: Path) -> Recovered:
    """Reads a journal, which may be another peer's: the lines that can be read, and the damage line by line."""
    name = f"{path.parent.name}/{path.name}"
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        return Recovered(None, [f"{name}: {error.strerror}"])
    lines.pop()  # empty after a whole last line, else the line that a kill cut short
    sound: list[JournalLine] = []
    damage: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            sound.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            damage.append(f"{name}, line {number}: {error}")
    return Recovered(sound, damage)


def to_disk(file: int) -> None:
    """Returns when the data written to this descriptor are on the disk.

    Each system has its own call for that. macOS has no `fdatasync`, and its `fsync` leaves the data in the drive's own cache.
    F_FULLFSYNC empties that cache, where the file system supports it.
    """
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    getattr(os, "fdatasync", os.fsync)(file)


class Journal:
    """The journals of one peer. An `Opened` record begins the journal of that tenure, or continues it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder  # until a tenure begins
        self._file = -1
        self._live: dict[str, list[JournalLine]] = {}  # the lines of every open order
        self._lines = 0

    def write(self, records: Sequence[JournalLine]) -> None:
        """Appends the records; they are on the disk when this returns."""
        for opens, group in groupby(records, key=lambda record: isinstance(record, Opened)):
            for record in (lines := list(group)):
                self._fold(record)
            if not opens:
                self._append(lines)
                if any(not isinstance(record, Closed) for record in lines):
                    to_disk(self._file)
        if self._lines > COMPACT_ABOVE and self._lines > 4 * len(self._live):
            os.close(self._file)
            self._rewrite()

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)

    def _open(self, since: int) -> None:
        self.close()
        self._path = journal_file(self._folder, since)
        self._live.clear()
        found = read_journal(self._path)
        if found.lines is None and self._path.exists():
            raise OSError(found.damage[0])  # to write the file anew would lose its content
        for line in found.lines or ():
            self._fold(line)
        if found.lines is not None and found.damage:  # the damaged lines are kept for the next reader
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND)
            os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)
        else:
            self._rewrite()  # drops the torn tail, if there is one

    def _append(self, records: Iterable[JournalLine]) -> None:
        data = b"".join(_encoder.encode(record) + b"\n" for record in records)
        while data:
            data = data[os.write(self._file, data) :]

    def _fold(self, line: JournalLine) -> None:
        self._lines += 1
        match line:
            case Opened(since):
                self._open(since)
            case Queued(order):
                self._live[order.order_id] = [line]
            case Promised(order):
                self._live.setdefault(order.order_id, []).append(line)
            case Closed(order_id):
                self._live.pop(order_id, None)

    def _rewrite(self) -> None:
        lines = [line for lines in self._live.values() for line in lines]
        beside = self._path.with_suffix(".new")
        self._file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._append(lines)
        to_disk(self._file)
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._lines = len(lines)
