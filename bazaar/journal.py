"""The journal: a peer's orders on disk, so that they outlive the process (SPEC E2).

One JSON line a record, appended; `write` returns when the lines are on the disk. A `Closed` line needs no wait of its
own: if it is lost, the order is only put to the warehouse again, which gives the same answer. When most of the file is
closed orders it is written anew beside itself and renamed, so that at every moment one whole file is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bazaar.records import Closed, JournalLine, Promised, Queued

JOURNAL_FILE = "queue.jsonl"
COMPACT_ABOVE = 20_000  # lines

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(JournalLine)


class DamagedJournal(Exception):
    """A line that is neither whole nor the last one."""


class Journal:
    """The journal of one peer."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_FILE
        self._live: dict[str, list[JournalLine]] = {}  # of every open order, its lines
        self._lines = 0
        if self._path.exists():
            for line in _read(self._path):
                self._fold(line)
            self._rewrite()  # drops the torn tail, if there is one
        else:
            self._open()

    @property
    def lines(self) -> tuple[JournalLine, ...]:
        """What is still open, in its order."""
        return tuple(line for lines in self._live.values() for line in lines)

    def write(self, records: Sequence[JournalLine]) -> None:
        """Appends the records; they are on the disk when this returns."""
        for record in records:
            self._fold(record)
        self._append(records)
        if any(not isinstance(record, Closed) for record in records):
            os.fdatasync(self._file)
        if self._lines > COMPACT_ABOVE and self._lines > 4 * len(self._live):
            os.close(self._file)
            self._rewrite()

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def _append(self, records: Iterable[JournalLine]) -> None:
        data = b"".join(_encoder.encode(record) + b"\n" for record in records)
        while data:
            data = data[os.write(self._file, data) :]

    def _fold(self, line: JournalLine) -> None:
        self._lines += 1
        match line:
            case Queued(order):
                self._live[order.order_id] = [line]
            case Promised(order_id):
                self._live[order_id].append(line)
            case Closed(order_id):
                self._live.pop(order_id, None)

    def _rewrite(self) -> None:
        lines = self.lines
        beside = self._path.with_suffix(".new")
        self._file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._append(lines)
        os.fsync(self._file)
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._lines = len(lines)


def _read(path: Path) -> Iterable[JournalLine]:
    lines = path.read_bytes().split(b"\n")
    lines.pop()  # empty after a whole last line, else the line that a kill cut short
    for number, line in enumerate(lines, start=1):
        try:
            yield _decoder.decode(line)
        except msgspec.DecodeError as error:
            raise DamagedJournal(f"{path}, line {number}: {error}") from error
