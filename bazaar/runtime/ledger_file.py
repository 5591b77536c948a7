"""`ledger.jsonl` in a run's folder: the entries of the ledger that are durable in MongoDB, one JSON line per entry.

The file grows during the run, so the ledger can be read without MongoDB, however the run ends. The warehouse writes each batch
in one call, after MongoDB has it and before anybody is told. So every answer that was given is in the file, whichever process
is killed. A warehouse that is started again appends the entries that the file lacks.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bazaar.protocol.entries import AnyEntry

LEDGER_FILE = "ledger.jsonl"
BLOCK = 1 << 20
BATCH = 1_000

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEntry)


class Behind(Exception):
    """MongoDB has fewer entries of the ledger than this file, which was written after it: MongoDB's data are lost."""


class LedgerFile:
    """Appends to a run's `ledger.jsonl`."""

    def __init__(self, run: Path) -> None:
        """Cuts off a last line that a kill has left unfinished."""
        self._file = os.open(run / LEDGER_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.length = 0
        """How many entries the file has."""
        end = position = 0
        while block := os.pread(self._file, BLOCK, position):
            self.length += block.count(b"\n")
            if (last := block.rfind(b"\n")) >= 0:
                end = position + last + 1
            position += len(block)
        os.ftruncate(self._file, end)

    def completed(self, entries: Iterable[AnyEntry]) -> Iterator[AnyEntry]:
        """Yields all these entries, the whole ledger, and writes those that the file lacks.

        Raises `Behind` if there are fewer than in the file.
        """
        passed, remaining = 0, iter(entries)
        while batch := list(itertools.islice(remaining, BATCH)):
            known = max(0, self.length - passed)
            self.write(batch[known:])
            passed += len(batch)
            yield from batch
        if passed < self.length:
            raise Behind(f"MongoDB has {passed} entries of the ledger, {LEDGER_FILE} {self.length}: its data are lost")

    def write(self, entries: Sequence[AnyEntry]) -> None:
        """Appends the entries. Raises `OSError`."""
        data = _encoder.encode_lines(entries)
        self.length += len(entries)
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class KeptLedger:
    """The entries in a run's folder, read anew each time. A line that is no entry is skipped (the audit reports it)."""

    def __init__(self, run: Path) -> None:
        self._path = run / LEDGER_FILE

    def __iter__(self) -> Iterator[AnyEntry]:
        """Leaves out a last line that is cut short."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                            yield _decoder.decode(line)


def entries_of(run: Path, first: int, most: int) -> list[bytes]:
    """The whole lines of a run's `ledger.jsonl` from entry `first` on, at most `most`."""
    with (run / LEDGER_FILE).open("rb") as file:
        lines = itertools.islice(file, first, first + most)
        return [line for line in lines if line.endswith(b"\n")]
