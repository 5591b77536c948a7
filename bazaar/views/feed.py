"""The course of a run that goes on, taken from its histories while they grow.

A run at full speed writes some ten thousand lines a second, and the reader must not take its processor time. So beyond a
number of lines only their kinds are read, which takes a seventh of the time. The lines of the launcher and the warehouse are
few, and are always read in full.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER, decode_line
from bazaar.runtime.runclock import clock_of
from bazaar.runtime.tail import Tail
from bazaar.views.course import Course

LOOK_EVERY_S = 0.4
MOST_LINES = 1_500
"""In one look. Beyond, the lines of the peers are only counted by kind."""
MOST_BYTES = 4_000_000
"""Of one process, in one look. A reader that was stopped, or comes late, catches up in several looks."""


class Feed:
    """Call `look` again and again; `course` holds everything that has been read."""

    def __init__(self, run: Path, plan: Plan) -> None:
        """Raises `OSError` or `msgspec.DecodeError` if the run was not launched."""
        self._clock = clock_of(run)
        self._tails = {name: Tail(run / name / HISTORY_FILE) for name in (LAUNCHER, WAREHOUSE, *plan.members)}
        self.course = Course(self._clock.wall)
        self.blind = ""
        """Why nothing more can be read; empty while it can."""

    def look(self) -> bool:
        """Reads what has been written since the last look. Returns whether there was anything new."""
        if self.blind:
            return False
        try:
            return self._read()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:  # somebody has edited or moved a history
            self.blind = f"the histories cannot be followed any more: {getattr(error, 'strerror', None) or error}"
            return True

    def _read(self) -> bool:
        new = {name: lines for name, tail in self._tails.items() if (lines := tail.new(MOST_BYTES))}
        anything = bool(new)
        if sum(map(len, new.values())) > MOST_LINES:
            now = self._clock.now()
            for name in new.keys() - {LAUNCHER, WAREHOUSE}:
                self.course.count(name, now, new.pop(name))
        events = [decode_line(line) for lines in new.values() for line in lines]
        for event in sorted(events, key=lambda event: (event.at, event.clock)):
            self.course.add(event)
        return anything
