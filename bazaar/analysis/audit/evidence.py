"""The evidence that a run left behind, and the judge's notes while it reads the evidence.

Histories and ledger are read as lines, from the files as often as needed. A simulation holds records instead; these are
encoded as the files would hold them. The reading uses none of the market's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from bazaar.analysis.audit.findings import Findings
from bazaar.analysis.audit.lines import KINDS, AnyEntry, Line, Number, decode_entry, decode_facts, decode_line
from bazaar.analysis.audit.orders import Orders

if TYPE_CHECKING:
    from bazaar.protocol.plan import Plan

LAUNCHER, WAREHOUSE = "launcher", "warehouse"
LINES_A_STEP = 5_000
Progress = Callable[[float], None]
Handler = Callable[[Line, Any], None]


class Evidence(msgspec.Struct, frozen=True):
    """What is to be judged. `entries` and each history are iterated over more than once."""

    plan: Plan
    entries: Iterable[Any]
    histories: Mapping[str, Iterable[Any]]
    stock: Mapping[Any, int] | None
    """The rest, by seller and item, that the warehouse reported as it stopped; None if it made no report."""
    dead: frozenset[str] = frozenset()
    """Processes that are dead at the end: messages that they have not received are excused."""
    lost: frozenset[str] = frozenset()
    """Those of the dead whose machine took the last lines of their histories with it."""
    missed: Sequence[str] = ()
    """Planned faults that could not be done, each with the reason."""


class Terms(msgspec.Struct):
    """The settings by which a run is judged."""

    window: Number
    suspect_after_s: float
    routing: str = "direct"
    name: str | None = None
    """The name under which the bazaar trades with others; None: it trades with none."""
    traders: Number = 1
    traders_max: Number | None = None
    scale_down_after_s: float | None = None


class Charter(msgspec.Struct):
    """The part of `bazaar.json` by which a run is judged. `promises`: what its cache policy declares."""

    settings: Terms
    names: tuple[str, ...]
    promises: Literal["strong", "weak"]
    placed: dict[str, str] = {}
    """The machine of each process that is not beside the launcher."""

    @property
    def embassy(self) -> str | None:
        """The process that orders for the buyers of other bazaars; None if there is none."""
        return None if self.settings.name is None else f"embassy@{self.settings.name}"

    @property
    def members(self) -> tuple[str, ...]:
        """The peers and the embassy."""
        return self.names if self.embassy is None else (*self.names, self.embassy)


class FaultDone:
    """A fault, its victims, and the number of unanswered orders that involved them."""

    def __init__(self, at: float, kind: str, names: frozenset[str], for_s: float, hits_everybody: bool) -> None:
        self.at = at
        self.kind = kind
        self.names = names
        self.for_s = for_s
        self.hits_everybody = hits_everybody
        """Whether the victim is one that all orders pass: the warehouse or mongod."""
        self.orders_hit = 0


class End(NamedTuple):
    """The last line of a history."""

    clock: int
    at: float


class Case:
    """One run before the judge, with what is known of it so far."""

    def __init__(self, charter: Charter) -> None:
        self.charter = charter
        self.orders = Orders()
        self.findings = Findings()
        self.faults: list[FaultDone] = []
        self.dead: set[str] = set()
        self.damaged: set[str] = set()
        """Processes whose history is missing, or has lines that cannot be read."""
        self.lost: dict[str, float] = {}
        """Processes that were lost with their machine, and when that was noticed. Of their histories the end is missing."""
        self.ends: dict[str, End] = {}
        """The last line of each history that was read."""
        self.ended_at = 0.0
        """When the last line of all was written that was read so far."""
        self.missed: list[str] = []
        """Planned faults that were not done, each with the reason."""
        self.seated: set[tuple[str, int]] = set()
        """Tenures that began, and so have a journal of their own: the peer, and the ledger position of its appointment."""
        self.unread: dict[tuple[str, int], str] = {}
        """Tenures whose queue could not be read, with the story."""

    def lost_its_queue(self, trader: str) -> bool:
        """Whether nobody could read a queue of this trader, so that nobody knew its promises."""
        return any(peer == trader for peer, _ in self.unread)

    def incomplete(self, name: str) -> bool:
        """Whether events of this process may be missing anywhere in the evidence."""
        return name in self.damaged

    def may_lack(self, name: str) -> bool:
        """Whether this process may have missed a message, or its history may lack an event."""
        return name in self.dead or name in self.damaged or name in self.lost


class Recording:
    """A file of lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[bytes]:
        """The complete lines. A last line may be cut short by a kill, or be half written. Raises `OSError`."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line


def recording(source: Iterable[Any]) -> Iterator[bytes]:
    """The lines of a source: those of a file, or records encoded as the lines of a file would be."""
    path = getattr(source, "path", None)
    return iter(Recording(path)) if isinstance(path, Path) else map(msgspec.json.encode, source)


class Reader:
    """Reads histories and ledger line by line. Reports the lines that cannot be read, and its progress."""

    def __init__(self, case: Case, progress: Progress | None, size: int) -> None:
        """`size`: the number of bytes to read in all."""
        self._case = case
        self._progress = progress
        self._size = max(size, 1)
        self._read = 0

    def ledger(self, source: Iterable[Any]) -> Iterator[AnyEntry | None]:
        """The entries; None in place of one that cannot be read."""
        for number, line in self._lines(source):
            try:
                entry = decode_entry(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._case.findings.unknown.tell(f"ledger.jsonl, line {number}, cannot be read: {error}")
                self._case.findings.ledger_is_whole = False
                yield None
            else:
                yield entry

    def history(self, name: str, source: Iterable[Any], handlers: Mapping[str, Sequence[Handler]]) -> None:
        """Hands each event to the handlers of its kind, and checks the clocks of all events."""
        before, violated, messages, at = 0, self._case.findings.violated, 0, 0.0
        for number, raw in self._lines(source):
            try:
                line = decode_line(raw)
                what, clock, sent = line.what, line.clock, line.sent
                handling = handlers.get(what)
                facts = decode_facts[what](line.facts) if handling and what in decode_facts else None
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._damage(name, number, f"cannot be read: {error}")
                continue
            if what not in KINDS:
                self._damage(name, number, f"tells of {what!r}, and there is no such event")
                continue
            if line.process != name:
                self._damage(name, number, f"is of {line.process}")
                continue
            if clock <= before:
                violated("clocks_increase", f"{name}: the clock went from {before} to {clock} ({what})")
            before = clock
            at = line.at
            if sent is not None:
                messages += 1
                if clock <= sent:
                    violated(
                        "clocks_increase",
                        f"{name} acted at {clock} ({what}) on a message that {line.source} sent at {sent}",
                    )
            if handling:
                for handle in handling:
                    handle(line, facts)
        self._case.findings.exercised["messages_checked"] += messages
        self._case.ends[name] = End(before, at)
        self._case.ended_at = max(self._case.ended_at, at)

    def _damage(self, name: str, number: int, what: str) -> None:
        self._case.damaged.add(name)
        self._case.findings.unknown.tell(f"{name}/history.jsonl, line {number}, {what}")

    def _lines(self, source: Iterable[Any]) -> Iterator[tuple[int, bytes]]:
        for number, line in enumerate(recording(source), 1):
            self._read += len(line)
            if self._progress is not None and not number % LINES_A_STEP:
                self._progress(min(1.0, self._read / self._size))
            yield number, line
