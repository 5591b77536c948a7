"""The history of a process: one JSON line an event, in the order of its own clock.

A line is written, and handed to the operating system, before anything that was sent in the same turn leaves; so what
the world has heard of is in the history, also after a kill -9. The audit and the narration read nothing else. They read
it from the disk, as often as they need it: the histories of a long run do not fit into memory.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bazaar.core.names import Names
from bazaar.core.turn import Event
from bazaar.protocol.former_life import FormerLife, Unanswered
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.messages import Deposit

HISTORY_FILE = "history.jsonl"
LAUNCHER = "launcher"
BLOCK_BYTES = 16_384  # as many are held of each history at a time


class Happening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event, when and to whom it happened. `source`, `sent`: who sent the message behind it, at which clock."""

    at: float
    """Seconds since the epoch (in the simulator: since the start)."""
    process: str
    clock: int
    what: str
    facts: dict[str, Any] = {}
    source: str | None = None
    sent: int | None = None


class _Kind(msgspec.Struct):
    """As much of an event as says whether one wants to read the rest."""

    what: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Happening)
_kinds = msgspec.json.Decoder(_Kind)


def happening(at: float, process: str, event: Event) -> Happening:
    """The event as it stands in the history of `process`."""
    sent = event.sent if event.source is not None else None
    return Happening(at, process, event.clock, event.what, event.facts, event.source, sent)


class History:
    """Appends to the history of one process."""

    def __init__(self, folder: Path, process: str) -> None:
        self._process = process
        self.former_life = recall(Recorded(folder).sound())
        _end_line(folder / HISTORY_FILE)
        self._file = os.open(folder / HISTORY_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, at: float, events: Iterable[Event]) -> None:
        """Writes these events down in one go."""
        data = _encoder.encode_lines([happening(at, self._process, event) for event in events])
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def _end_line(path: Path) -> None:
    """Cuts off a last line that a kill left unfinished, so that the next one does not grow out of it."""
    if path.exists():
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)


def encode_line(happened: Happening) -> bytes:
    """One line of a history."""
    return _encoder.encode(happened) + b"\n"


def decode_line(line: bytes) -> Happening:
    """The reverse. Raises `msgspec.DecodeError`."""
    return _decoder.decode(line)


class Recorded:
    """The history in a process's folder, read anew each time: up to a last line that is cut short, or still being written."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HISTORY_FILE

    def __iter__(self) -> Iterator[Happening]:
        """Raises `msgspec.DecodeError`."""
        for block in self._blocks():
            happenings: Sequence[Happening] = ()
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                happenings = _decoder.decode_lines(block)
            if len(happenings) == 1 + block.count(b"\n"):
                yield from happenings
            else:
                yield from map(_decoder.decode, block.split(b"\n"))

    def only(self, *whats: str) -> Iterator[Happening]:
        """The events of these kinds: some of the time is saved that all of them take, almost all if they are rare."""
        lines = itertools.chain.from_iterable(block.split(b"\n") for block in self._blocks(whats))
        return (_decoder.decode(line) for line in lines if _kinds.decode(line).what in whats)

    def sound(self) -> Iterator[Happening]:
        """The events that can be read, whatever somebody has done to the lines between them."""
        for line in self._lines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield _decoder.decode(line)

    def _lines(self) -> Iterator[bytes]:
        return itertools.chain.from_iterable(block.split(b"\n") for block in self._blocks())

    def _blocks(self, words: Iterable[str] = ()) -> Iterator[bytes]:
        """The file in pieces of whole lines; with `words`, only those in which one of them stands."""
        wanted = [f'"{word}"'.encode() for word in words]
        rest = b""
        if self._path.exists():
            with self._path.open("rb") as file:
                # It may grow while it is read: what follows the beginning of a line is the line's end.
                while data := file.read(BLOCK_BYTES):
                    block, newline, rest = (rest + data).rpartition(b"\n")
                    if newline and (not wanted or any(word in block for word in wanted)):
                        yield block


def recall(history: Iterable[Happening]) -> FormerLife:
    """What a process can know of its former life."""
    lives, clock, placed, credited = 0, 0, 0, set()
    unanswered: dict[str, Unanswered] = {}
    offered: dict[str, Deposit] = {}
    answered = Names()
    for happened in history:
        clock = max(clock, happened.clock)
        facts = happened.facts
        match happened.what:
            case "born":
                lives += 1
            case "ordered" | "doubted":
                # What was put in by hand comes on top of the quota.
                placed += happened.what == "ordered" and not facts.get("by_hand", False)
                unanswered[facts["order"]] = Unanswered(facts["item"], facts["order"] in answered)
            case "purchased" | "found_unavailable":
                unanswered.pop(facts["order"], None)
                answered.add(facts["order"])
            case "revoked":
                unanswered.pop(facts["order"], None)
            case "offered":
                offered[facts["deposit"]] = Deposit(facts["deposit"], facts["item"], facts["count"], facts["price"])
            case "registered":
                offered.pop(facts["deposit"], None)
            case "sold":
                credited.add(facts["order"])
    return FormerLife(lives, clock, placed, unanswered, tuple(offered.values()), frozenset(credited))


def last_lines(path: Path, most: int) -> list[bytes]:
    """The last lines of a history, whole ones, at most so many."""
    data = b""
    with path.open("rb") as file:
        begin = file.seek(0, os.SEEK_END)
        while begin > 0 and data.count(b"\n") <= most:
            size = min(BLOCK_BYTES, begin)
            begin -= size
            file.seek(begin)
            data = file.read(size) + data
    return data.split(b"\n")[:-1][-most:]


def histories_of(run: Path, peers: Iterable[str]) -> dict[str, Recorded]:
    """In a run's folder: of the launcher, the warehouse and these peers."""
    return {name: Recorded(run / name) for name in (LAUNCHER, WAREHOUSE, *peers)}


def only(history: Iterable[Happening], *whats: str) -> Iterator[Happening]:
    """The events of these kinds."""
    if isinstance(history, Recorded):
        return history.only(*whats)
    return (happened for happened in history if happened.what in whats)


def by_time(histories: Iterable[Iterable[Happening]]) -> Iterator[Happening]:
    """All histories as one, in the order of their time; each is, and only one event of each is held in memory."""
    return heapq.merge(*histories, key=operator.attrgetter("at", "clock"))
