"""What a keeper has on its disk of the journals of others: one file, one JSON line a record (`--keeper`).

`write` returns when the records are on the disk. A `Snapshot` is written beside the file and renamed over it, so one
whole file is there at every moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bazaar.protocol.journal_lines import KeeperRecord, Snapshot
from bazaar.protocol.settings import UsageError
from bazaar.runtime.journal import to_disk

COPIES_FILE = "copies.jsonl"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(KeeperRecord)


class Copies:
    """The file of one keeper."""

    def __init__(self, folder: Path) -> None:
        """Raises `UsageError` if the file is damaged: what is left of it would be taken for the whole."""
        self._path = folder / COPIES_FILE
        self.records: Sequence[KeeperRecord] = ()
        """What was there at the beginning."""
        if self._path.exists():
            *lines, cut_short = self._path.read_bytes().split(b"\n")
            self.records = [self._read(number, line) for number, line in enumerate(lines, start=1)]
            os.truncate(self._path, self._path.stat().st_size - len(cut_short))
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, records: Sequence[KeeperRecord | Snapshot]) -> None:
        """Appends the records; they are on the disk when this returns."""
        for record in records:
            if isinstance(record, Snapshot):
                self._write_anew(record.records)
            else:
                self._append([record])
        to_disk(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _read(self, number: int, line: bytes) -> KeeperRecord:
        try:
            record: KeeperRecord = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{self._path}, line {number}: {error}; it cannot be believed any more") from None
        return record

    def _append(self, records: Iterable[KeeperRecord]) -> None:
        data = b"".join(_encoder.encode(record) + b"\n" for record in records)
        while data:
            data = data[os.write(self._file, data) :]

    def _write_anew(self, records: Iterable[KeeperRecord]) -> None:
        os.close(self._file)
        beside = self._path.with_suffix(".new")
        self._file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._append(records)
        to_disk(self._file)
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
