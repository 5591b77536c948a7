"""The history of a process: one JSON line per event, in the order of the process's own clock.

The lines of a turn are written, and handed to the operating system, before any message of that turn is sent. So every event
that another process has heard of is in the history, even after a kill -9. The audit and the narration read nothing else. They
read it from the disk, as often as they need it: the histories of a long run do not fit into memory.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import operator
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, Union, cast

import msgspec

from bazaar.core.id_set import IdSet
from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.events import KINDS, Event
from bazaar.protocol.former_life import FormerLife, Unanswered
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.messages import Deposit

HISTORY_FILE = "history.jsonl"
LAUNCHER = "launcher"
BLOCK_BYTES = 16_384  # of each history that are held in memory at a time
FEW_WORDS = 16  # up to so many, a search for one after the other is faster than one for all


E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(
    msgspec.Struct,
    Generic[E_co],
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="what",
):
    """One line of a history: an event, and when and where it happened.

    `source` and `sent`: who sent the message that caused the event, and at which clock. For each kind of event there is a
    class of such lines, made by `_lines_of`; `recorded` chooses the right one.
    """

    at: float
    """Seconds since the epoch (in the simulator: since the start)."""
    process: str
    clock: int
    event: E_co = msgspec.field(name="facts")
    source: str | None = None
    sent: int | None = None


class _Kind(msgspec.Struct):
    """The part of a line that names the kind of the event, which says whether the rest needs to be read."""

    what: str


_WITHOUT_FIELDS = {kind: kind() for kind in KINDS.values() if not kind.__struct_fields__}


@cache
def _lines_of(kind: type[Event]) -> type[Recorded[Any]]:
    """The class of the lines of one kind of event. If the event has no fields, its lines have no `facts`.

    It is made when the first such line is: most processes write few kinds, and all classes take some 40 ms of each start.
    """
    default = {"default": _WITHOUT_FIELDS[kind]} if kind in _WITHOUT_FIELDS else {}
    fields = [("event", kind, msgspec.field(name="facts", **default))]
    lines = msgspec.defstruct(kind.__name__, fields, bases=(Recorded,), tag=kind.kind, frozen=True)
    return cast(type[Recorded[Any]], lines)


@cache
def _decoder() -> msgspec.json.Decoder[Recorded[Event]]:
    """Reads lines of every kind."""
    return msgspec.json.Decoder(Union[tuple(map(_lines_of, KINDS.values()))])  # noqa: UP007


_encoder = msgspec.json.Encoder()
_kinds = msgspec.json.Decoder(_Kind)
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"')  # also of one that contains escaped quotes
_ORDER = re.compile(rb'"order":"([^"]+)"')


def recorded(at: float, process: str, noted: Noted) -> Recorded[Event]:
    """The event as a line of the history of `process`."""
    kind = type(noted.event)
    event = _WITHOUT_FIELDS.get(kind, noted.event)  # the default object itself, which msgspec leaves out
    sent = noted.sent if noted.source is not None else None
    return _lines_of(kind)(at, process, noted.clock, event, noted.source, sent)


class History:
    """Appends to the history of one process."""

    def __init__(self, folder: Path, process: str, lives: int = 0) -> None:
        """`lives`: how often it was started before, if others know better: its last lines may have been lost."""
        self._process = process
        found = recall(HistoryFile(folder).sound())
        self.former_life = msgspec.structs.replace(found, lives=max(found.lives, lives))
        _end_line(folder / HISTORY_FILE)
        self._file = os.open(folder / HISTORY_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, at: float, noted: Iterable[Noted]) -> None:
        """Writes these events down in one go."""
        data = _encoder.encode_lines([recorded(at, self._process, each) for each in noted])
        while data:
            data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def _end_line(path: Path) -> None:
    """Cuts off a last line that a kill left unfinished, so that the next line is not appended to it."""
    if path.exists():
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)


def encode_line(line: Recorded[Event]) -> bytes:
    """One line of a history."""
    return _encoder.encode(line) + b"\n"


def decode_line(line: bytes) -> Recorded[Event]:
    """The reverse of `encode_line`. Raises `msgspec.DecodeError`, also for an unknown kind of event or other fields."""
    return _decoder().decode(line)


def kind_of(line: bytes) -> str:
    """The kind of a line's event, in a seventh of the time of decoding the line. Raises `msgspec.DecodeError`."""
    return _kinds.decode(line).what


class HistoryFile:
    """The history in a process's folder, read anew each time. A last line that is cut short or unfinished is left out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HISTORY_FILE

    def __iter__(self) -> Iterator[Recorded[Event]]:
        """Raises `msgspec.DecodeError`."""
        for block in self._blocks():
            yield from _at_once(block) or map(_decoder().decode, block.split(b"\n"))

    def only(self, *kinds: type[E]) -> Iterator[Recorded[E]]:
        """The events of these kinds. This takes less time than to decode all lines, and almost none if the kinds are rare."""
        names = [kind.kind for kind in kinds]
        lines = itertools.chain.from_iterable(block.split(b"\n") for block in self._blocks(names))
        decode = _decoder().decode
        wanted = (decode(line) for line in lines if _kinds.decode(line).what in names)
        return cast(Iterator[Recorded[E]], wanted)

    def mentioning(self, words: Sequence[str]) -> Iterator[Recorded[Event]]:
        """The events that contain one of these names. Most of a long history is not even decoded."""
        mentioned, decode = _finder(words), _decoder().decode
        for block in self._blocks(words):
            yield from (decode(line) for line in block.split(b"\n") if mentioned(line))

    def about(self, orders: Collection[str]) -> Iterator[Recorded[Event]]:
        """The events that name one of these orders. Other lines, and lines that cannot be read, are skipped."""
        wanted = {order.encode() for order in orders}
        for block in self._blocks():
            if not wanted.isdisjoint(_ORDER.findall(block)):
                for line in block.split(b"\n"):
                    if (named := _ORDER.search(line)) and named[1] in wanted:
                        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                            yield decode_line(line)

    def size(self) -> int:
        """The number of bytes; 0 if there is no file."""
        return self._path.stat().st_size if self._path.exists() else 0

    def length(self) -> int:
        """The number of lines, counted in a small part of the time that it takes to read them."""
        return sum(1 + block.count(b"\n") for block in self._blocks())

    def sound(self) -> Iterator[Recorded[Event]]:
        """The events that can be read; damaged lines between them are skipped."""
        for line in self._lines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield decode_line(line)

    def damage(self) -> Iterator[tuple[int, str]]:
        """The lines that cannot be read: the number of each, from 1 on, and the reason."""
        before = 0
        for block in self._blocks():
            for number, line in enumerate(() if _at_once(block) else block.split(b"\n"), before + 1):
                try:
                    decode_line(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    yield number, str(error)
            before += 1 + block.count(b"\n")

    def _lines(self) -> Iterator[bytes]:
        return itertools.chain.from_iterable(block.split(b"\n") for block in self._blocks())

    def _blocks(self, words: Collection[str] = ()) -> Iterator[bytes]:
        """The file in blocks of whole lines; with `words`, only the blocks that contain one of them."""
        wanted = _finder(words)
        rest = b""
        if self._path.exists():
            with self._path.open("rb") as file:
                # The file may grow while it is read: the next data then complete an unfinished line.
                while data := file.read(BLOCK_BYTES):
                    block, newline, rest = (rest + data).rpartition(b"\n")
                    if newline and (not words or wanted(block)):
                        yield block


def _finder(words: Collection[str]) -> Callable[[bytes], bool]:
    """Whether some lines contain one of these words as a JSON string. Many words are searched for all at once."""
    if len(words) > FEW_WORDS:
        wanted = {word.encode() for word in words}
        return lambda lines: not wanted.isdisjoint(_STRING.findall(lines))
    quoted = [f'"{word}"'.encode() for word in words]
    return lambda lines: any(word in lines for word in quoted)


def _at_once(block: bytes) -> Sequence[Recorded[Event]]:
    """All lines of a block, decoded in one call; none, if one of them cannot be read."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        lines = _decoder().decode_lines(block)
        if len(lines) == 1 + block.count(b"\n"):
            return lines
    return ()


def recall(history: Iterable[Recorded[Event]]) -> FormerLife:
    """What a process can know of its former life."""
    lives, clock, placed, credited, seated = 0, 0, 0, set(), set()
    unanswered: dict[str, Unanswered] = {}
    offered: dict[str, Deposit] = {}
    answered = IdSet()
    abroad: dict[str, Unanswered] = {}
    sent_abroad: defaultdict[str, list[str]] = defaultdict(list)
    met: list[str] = []
    for line in history:
        clock = max(clock, line.clock)
        match line.event:
            case events.Born():
                lives += 1
            case events.Ordered(order_id, item, units=units) | events.Doubted(order_id, item, units=units):
                # An order that was put in by hand does not count towards the quota.
                placed += isinstance(line.event, events.Ordered) and not line.event.by_hand
                unanswered[order_id] = Unanswered(item, order_id in answered, units)
            case events.Purchased(order_id) | events.FoundUnavailable(order_id):
                unanswered.pop(order_id, None)
                answered.add(order_id)
            case events.Revoked(order_id):
                unanswered.pop(order_id, None)
            case events.Offered(deposit_id, item, count, price_cents):
                offered[deposit_id] = Deposit(deposit_id, item, count, price_cents)
            case events.Registered(deposit_id):
                offered.pop(deposit_id, None)
            case events.Sold(order_id):
                credited.add(order_id)
            case events.AskedAbroad(order_id, item, units=units):
                abroad[order_id] = Unanswered(item, False, units)
            case events.BoughtAbroad(order_id) | events.UnavailableAbroad(order_id):
                abroad.pop(order_id, None)
            case events.SentAbroad(order_id, bazaar=bazaar):
                sent_abroad[order_id].append(bazaar)
            case events.Met(bazaar):
                met.append(bazaar)
            case events.Seated(since):
                seated.add(since)
    return FormerLife(
        lives,
        clock,
        placed,
        unanswered,
        tuple(offered.values()),
        frozenset(credited),
        abroad,
        {order_id: tuple(bazaars) for order_id, bazaars in sent_abroad.items()},
        tuple(met),
        frozenset(seated),
    )


def last_lines(path: Path, most: int) -> list[bytes]:
    """The last whole lines of a history, at most `most`."""
    data = b""
    with path.open("rb") as file:
        begin = file.seek(0, os.SEEK_END)
        while begin > 0 and data.count(b"\n") <= most:
            size = min(BLOCK_BYTES, begin)
            begin -= size
            file.seek(begin)
            data = file.read(size) + data
    return data.split(b"\n")[:-1][-most:]


def histories_of(run: Path, peers: Iterable[str]) -> dict[str, HistoryFile]:
    """The histories in a run's folder: those of the launcher, the warehouse and these peers (and an embassy)."""
    return {name: HistoryFile(run / name) for name in (LAUNCHER, WAREHOUSE, *peers)}


def only(history: Iterable[Recorded[Event]], *kinds: type[E]) -> Iterator[Recorded[E]]:
    """The events of these kinds."""
    if isinstance(history, HistoryFile):
        return history.only(*kinds)
    return cast(Iterator[Recorded[E]], (line for line in history if type(line.event) in kinds))


def mentioning(history: Iterable[Recorded[Event]], *words: str) -> Iterator[Recorded[Event]]:
    """The events that contain one of these names."""
    if isinstance(history, HistoryFile):
        return history.mentioning(words)
    mentioned = _finder(words)
    return (line for line in history if mentioned(encode_line(line)))


class Timed(Protocol):
    """What has its place in the order of time."""

    @property
    def at(self) -> float:
        """Seconds since the epoch."""

    @property
    def clock(self) -> int:
        """The Lamport clock, which orders what has the same time."""


T = TypeVar("T", bound=Timed)


def by_time(histories: Iterable[Iterable[T]]) -> Iterator[T]:
    """All histories merged in order of time. Each is sorted already, so only one event of each is held in memory."""
    return heapq.merge(*histories, key=operator.attrgetter("at", "clock"))
