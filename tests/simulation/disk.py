"""The simulated disks: the journals of all peers, as `bazaar/runtime/journal.py` keeps them, and their possible faults.

With `--keeper` there are no journals, but what keepers have (`bazaar/runtime/copies.py`), each on the disk of its machine.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from bazaar.protocol.goods import Seat
from bazaar.protocol.journal_lines import Closed, Copied, Fenced, JournalLine, KeeperRecord, Opened, Recovered, Snapshot


class Disk:
    """The journals, with one folder for each peer."""

    def __init__(self) -> None:
        self.journals: dict[Seat, list[JournalLine]] = {}
        self.copies: defaultdict[str, list[KeeperRecord]] = defaultdict(list)
        """What each keeper has for traders elsewhere."""
        self._open: dict[str, bool] = {}  # by trader: whether its newest line at a keeper begins something
        self._tenures: dict[str, Seat] = {}
        self._unsynced: dict[Seat, int] = {}  # closing lines at the end of a journal: these are not synced at once
        self._hidden: dict[str, float] = {}  # how long, from the first attempt to read
        self._unreadable: dict[str, float] = {}  # by peer: the end of the time

    def append(self, name: str, records: Sequence[JournalLine | KeeperRecord | Snapshot]) -> None:
        """Appends lines. They are durable when this returns, except closing lines at the end."""
        for record in records:
            if isinstance(record, Snapshot):
                self.copies[name] = [*record.records]
            elif isinstance(record, (Copied, Fenced)):
                self.copies[name].append(record)
                if isinstance(record, Copied) and record.lines:
                    self._open[record.copy.seat.peer] = not isinstance(record.lines[-1], Closed)
            elif isinstance(record, Opened):
                self._tenures[name] = Seat(name, record.since)
                self.journals.setdefault(self._tenures[name], [])
            else:
                seat = self._tenures[name]
                self.journals[seat].append(record)
                self._unsynced[seat] = self._unsynced.get(seat, 0) + 1 if isinstance(record, Closed) else 0

    def is_open(self, trader: str) -> bool:
        """Whether the newest line of this trader at a keeper begins something."""
        return self._open.get(trader, False)

    def lose(self, name: str) -> None:
        """The disk is gone, with all that this peer had on it."""
        self.copies.pop(name, None)
        for seat in [seat for seat in self.journals if seat.peer == name]:
            del self.journals[seat]

    def owes(self, name: str) -> bool:
        """Whether this peer's newest journal ends with a line that begins something."""
        lines = self.journals[self._tenures[name]] if name in self._tenures else []
        return bool(lines) and not isinstance(lines[-1], Closed)

    def tear(self, name: str, rng: random.Random) -> int:
        """Simulates a crash: a random number of unsynced lines at the end is lost. Returns the number."""
        lost = 0
        for seat, unsynced in self._unsynced.items():
            if seat.peer == name and unsynced:
                gone = rng.randint(0, unsynced)
                del self.journals[seat][len(self.journals[seat]) - gone :]
                self._unsynced[seat] = 0
                lost += gone
        return lost

    def hide(self, name: str, for_s: float) -> None:
        """Makes this peer's journals unreadable for `for_s`, counted from the first attempt to read."""
        self._hidden[name] = for_s

    def read(self, seat: Seat, now: float, hit: Callable[[], None]) -> Recovered:
        """The journal of a tenure. `hit` is called if the journal is unreadable."""
        if seat.peer in self._hidden:
            self._unreadable[seat.peer] = now + self._hidden.pop(seat.peer)
        if now < self._unreadable.get(seat.peer, 0.0):
            hit()
            return Recovered(None, (f"queue-{seat.since} of {seat.peer}: Input/output error",))
        if seat not in self.journals:
            return Recovered(None, (f"queue-{seat.since} of {seat.peer}: No such file or directory",))
        return Recovered(list(self.journals[seat]))
