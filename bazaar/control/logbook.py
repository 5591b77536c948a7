"""The launcher's own history: which processes were started and fell, which faults were injected, and that the run ended.

Its events stand at the end of the catalogue. With them a run can be judged from its folder alone. For example, if `ended` is
missing, the launcher itself was killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bazaar.core.turn import Noted
from bazaar.protocol.events import Ended, Event, Started
from bazaar.runtime.history import History
from bazaar.runtime.process import NO_ROOM
from bazaar.runtime.runclock import start_clock


class Logbook:
    """Written by the launcher alone."""

    def __init__(self, run: Path, full: Callable[[OSError], None]) -> None:
        """Launches the run: its time begins now. `full` is called if the disk has no room for a line. Raises `OSError`."""
        self._clock = start_clock(run)
        (run / "launcher").mkdir()
        self._history: History | None = History(run / "launcher", "launcher")
        self._full = full
        self._lines = 0
        self.starts: Counter[str] = Counter()
        """How often each process was started."""

    def note(self, event: Event) -> None:
        """Writes an event down; after `end`, does nothing."""
        if self._history is None:
            return
        self._lines += 1
        try:
            self._history.write(self._clock.now(), [Noted(self._lines, event)])
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._full(error)

    def started(self, name: str) -> None:
        """Notes that a process is started, or started again."""
        self.note(Started(name, again=name in self.starts))
        self.starts[name] += 1

    def end(self) -> None:
        """Notes that the run was brought to its end, and closes the history."""
        self.note(Ended())
        if self._history is not None:
            self._history.close()
            self._history = None
