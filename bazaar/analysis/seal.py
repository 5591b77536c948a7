"""The seal of a run: sizes and checksums of the files by which it was first judged. A later judgement detects changes.

The seal is no protection against malice: a person who edits a history can edit the seal. It protects a verdict against
accidents: an edit by mistake, a bad copy, or a file of another run in the folder.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bazaar.runtime.run_folder import in_one_piece

SEAL_FILE = "seal.json"
SEALED = ("bazaar.json", "launched.json", "ledger.jsonl", "*/history.jsonl", "*/queue-*.jsonl", "*/copies.jsonl")
AT_ONCE = 1 << 20

Seal = dict[str, tuple[int, int]]
"""By file: its size in bytes, and its CRC-32."""


def seal(run: Path) -> None:
    """Seals the files of a run, unless it is sealed already. A folder that cannot be written to stays unsealed."""
    if not (run / SEAL_FILE).exists():
        with contextlib.suppress(OSError), in_one_piece(run / SEAL_FILE) as draft:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(_marks(run)), indent=2) + b"\n")


def broken(run: Path) -> str | None:
    """The first difference from the sealed files, in words; None if there is no difference, or no seal."""
    try:
        sealed = msgspec.json.decode((run / SEAL_FILE).read_bytes(), type=Seal)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return f"{SEAL_FILE} cannot be read"
    found = _marks(run)
    for name in sorted({*sealed, *found}):
        if name not in found:
            return f"{name} is not there any more"
        if name not in sealed:
            return f"{name} was not there"
        if found[name] != sealed[name]:
            return f"{name} was changed"
    return None


def _marks(run: Path) -> Seal:
    return {str(path.relative_to(run)): _mark(path) for path in _sealed_files(run)}


def _sealed_files(run: Path) -> Iterator[Path]:
    for pattern in SEALED:
        yield from sorted(path for path in run.glob(pattern) if path.is_file())


def _mark(path: Path) -> tuple[int, int]:
    size = mark = 0
    with path.open("rb") as file:
        while data := file.read(AT_ONCE):
            size += len(data)
            mark = zlib.crc32(data, mark)
    return size, mark
