"""The launcher's own history: what was started, what fell, what was done to whom, and that the run was brought to its end.

Its events stand at the end of the catalogue. With them a run can be judged from its folder alone: without `ended`, for
example, the launcher itself was killed.
"""

from __future__ import annotations

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
        """Launches the run: its time begins. `full` is told if there is no room for a line. Raises `OSError`."""
        self._clock = start_clock(run)
        (run / "launcher").mkdir()
        self._history: History | None = History(run / "launcher", "launcher")
        self._full = full
        self._lines = 0
        self._started: set[str] = set()

    def note(self, event: Event) -> None:
        """Writes an event down; nothing any more after `end`."""
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
        """A process is started, or started again."""
        self.note(Started(name, again=name in self._started))
        self._started.add(name)

    def end(self) -> None:
        """The run was brought to its end: there are no further lines."""
        self.note(Ended())
        if self._history is not None:
            self._history.close()
            self._history = None
