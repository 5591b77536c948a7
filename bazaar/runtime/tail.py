"""Follows a file of lines that grows, such as a history: each call returns what has come since the one before."""

from __future__ import annotations

from pathlib import Path


class Tail:
    """The lines of a file, in the order in which they come. The file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self, most_bytes: int) -> list[bytes]:
        """The next whole lines: at most so many bytes, but at least one line if there is one. Later calls have the rest.

        A line whose end is not written yet is left for a later call. Raises `OSError` if the file cannot be read, or is gone.
        """
        if not self._read and not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read(most_bytes)
            while b"\n" not in data and (more := file.read(most_bytes)):
                data += more
        *lines, unfinished = data.split(b"\n")
        self._read += len(data) - len(unfinished)
        return lines
