"""RESP 2, the protocol of Redis and Valkey: commands to bytes, bytes to replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Said = Any
"""A reply: `int`, `bytes`, `str` (a status), `None`, a list of replies, or a `Refused`, which is returned, not raised."""
DEEPEST = 4


class Malformed(Exception):
    """The bytes are no reply."""


class Refused(Exception):
    """The server refuses a command, and says why."""


class _Incomplete(Exception):
    """More bytes are needed."""


def command(*words: object) -> bytes:
    """A command of these words."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Replies:
    """The replies that come in over one connection, in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Said]:
        """The replies that are complete with these bytes. Raises `Malformed`."""
        rest = self._rest + data
        at = 0
        try:
            while at < len(rest):
                said, at = _read(rest, at, DEEPEST)
                self._rest = rest[at:]
                yield said
        except _Incomplete:
            pass
        self._rest = rest[at:]


def _read(data: bytes, at: int, deepest: int) -> tuple[Said, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b"+":
        return line.decode(errors="replace"), after
    if kind == b"-":
        return Refused(line.decode(errors="replace")), after
    try:
        number = int(line)
    except ValueError:
        raise Malformed(repr(data[at : at + 40])) from None
    if kind == b":":
        return number, after
    if kind in b"$*" and number == -1:
        return None, after
    if kind == b"$" and number >= 0:
        if len(data) < after + number + 2:
            raise _Incomplete
        return data[after : after + number], after + number + 2
    if kind == b"*" and number >= 0 and deepest:
        found = []
        for _ in range(number):
            said, after = _read(data, after, deepest - 1)
            found.append(said)
        return found, after
    raise Malformed(repr(data[at : at + 40]))
