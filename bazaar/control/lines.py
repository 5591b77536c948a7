"""Reads the short files that a user writes, line by line: a graph, the machines, a workload."""

from __future__ import annotations

from pathlib import Path

from bazaar.protocol.settings import UsageError

MOST_BYTES = 100_000


def lines_of(path: Path, what: str) -> list[tuple[int, str]]:
    """The lines that have something, with their numbers from 1, and without what follows a `#`.

    `what` the file is begins the complaint. Raises `UsageError` if it cannot be read, is no text, or is too long.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}") from None
    if len(text) > MOST_BYTES:
        raise UsageError(f"{what} cannot be read: it is longer than {MOST_BYTES:,} bytes")
    try:
        lines = text.decode("utf-8-sig").splitlines()  # some editors begin a file with a mark
    except UnicodeDecodeError:
        raise UsageError(f"{what} cannot be read: it is no text") from None
    said = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    return [(number, line) for number, line in said if line]
