"""A keeper: it has copies of the journals of traders on other machines, for their heirs (`--keeper`).

The endpoint makes kept records durable before it sends anything. So what a keeper confirms is on its disk, and so is the fence
before an heir learns a line: *once an heir has read a tenure's journal, no further line of it is taken*. A message of a copy
that does not join on to the one before is not answered. Then the trader takes another keeper, and nobody sends anything twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.open_lines import OpenLines
from bazaar.core.turn import Turn
from bazaar.protocol.goods import Copy, Seat
from bazaar.protocol.journal_lines import Copied, Fenced, KeeperRecord, Snapshot
from bazaar.protocol.messages import Fetch, Fetched, Keep, Kept

MOST_FETCHED = 1_000  # lines in one answer
COMPACT_ABOVE = 20_000  # lines


class Keeper:
    """All copies at one peer."""

    def __init__(self, records: Iterable[KeeperRecord] = ()) -> None:
        """`records`: those of its former lives."""
        self._open: dict[Copy, OpenLines] = {}
        self._messages: dict[Copy, int] = {}
        self._fenced: set[Seat] = set()
        self._lines = 0  # in its records
        for record in records:
            self._apply(record)

    def keep(self, turn: Turn, source: str, body: Keep) -> None:
        """Keeps lines, or says again that it has them."""
        here = self._messages.get(body.copy, 0)
        if body.copy.seat in self._fenced or body.number > here:
            return
        if body.number == here and (body.lines or not here):
            self._record(turn, Copied(body.copy, here, body.lines))
            here += 1
        turn.send(source, Kept(body.copy, here))

    def fetch(self, turn: Turn, source: str, body: Fetch) -> None:
        """Answers an heir."""
        seat = body.copy.seat
        if seat not in self._fenced:
            self._record(turn, Fenced(seat))
        if body.copy not in self._open:
            turn.send(source, Fetched(body.copy, body.first, (), None))
            return
        lines = self._open[body.copy].lines
        part = tuple(lines[body.first : body.first + MOST_FETCHED])
        turn.send(source, Fetched(body.copy, body.first, part, len(lines)))

    def _record(self, turn: Turn, record: KeeperRecord) -> None:
        turn.keep(record)
        self._apply(record)
        if self._lines > COMPACT_ABOVE:
            records = self._records()
            lines = sum(len(record.lines) for record in records if isinstance(record, Copied))
            if self._lines > 4 * lines:
                turn.keep(Snapshot(records))
                self._lines = lines

    def _records(self) -> tuple[KeeperRecord, ...]:
        copies = [Copied(copy, self._messages[copy] - 1, tuple(lines.lines)) for copy, lines in self._open.items()]
        return (*copies, *(Fenced(seat) for seat in sorted(self._fenced, key=lambda seat: seat.since)))

    def _apply(self, record: KeeperRecord) -> None:
        match record:
            case Copied(copy, number, lines):
                self._messages[copy] = number + 1
                self._lines += len(lines)
                open_lines = self._open.setdefault(copy, OpenLines())
                for line in lines:
                    open_lines.add(line)
            case Fenced(seat):
                self._fenced.add(seat)
