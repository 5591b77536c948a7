"""The time of a run on another machine, whose steady clock reads something else than that of the launcher's machine.

The process asks the name server, which runs beside the launcher, for its reading. The reading belongs to some moment between
the question and its answer; half of the time between them bounds the error of taking it for the middle. Of several questions
the one with the shortest wait counts (Cristian, "Probabilistic clock synchronization", 1989, section 3). The comparison is
repeated as long as the process lives: clocks drift apart, and the steady clock of a laptop stops while the laptop sleeps.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bazaar.protocol.events import Compared
from bazaar.runtime.naming import Directory
from bazaar.runtime.runclock import RunClock, clock_of, this_clock
from bazaar.runtime.transport import Unreachable

QUESTIONS = 8
COMPARE_EVERY_S = 5.0


class Difference(NamedTuple):
    """How far another steady clock is ahead of this process's own, in seconds, and the largest error of that figure."""

    ahead_s: float
    error_s: float


def clock_here(run: Path, directory: Callable[[], Directory]) -> FarClock | RunClock:
    """The clock of the run in this folder, as this machine can show it. Raises `Unreachable`.

    `directory`: a connection of its own to the name server, so that nobody else waits for the questions.
    """
    clock = clock_of(run)
    return clock if clock.ticks_at == this_clock() else FarClock(clock, directory().steady_clock)


def compared(read: Callable[[], float], steady: Callable[[], float] = time.monotonic) -> Difference:
    """Compares the clock that `read` asks with `steady`. Raises `Unreachable`."""
    found = []
    for _ in range(QUESTIONS):
        asked_at = steady()
        reading = read()
        answered_at = steady()
        found.append(Difference(reading - (asked_at + answered_at) / 2, (answered_at - asked_at) / 2))
    return min(found, key=lambda difference: difference.error_s)


class FarClock:
    """The run's clock, as a process on another machine shows it. It never goes back, also not when it is corrected."""

    def __init__(self, clock: RunClock, read: Callable[[], float]) -> None:
        """`clock`: the launcher's. `read`: asks for the reading of the launcher's steady clock. Raises `Unreachable`."""
        self._clock = clock
        self._read = read
        self._difference = compared(read)
        self._shown = 0.0

    def now(self) -> float:
        """Seconds since the epoch, as `RunClock.now` shows them on the launcher's machine."""
        there = time.monotonic() + self._difference.ahead_s
        self._shown = max(self._shown, self._clock.wall + there - self._clock.steady)
        return self._shown

    def keep(self, note: Callable[[Compared], None]) -> None:
        """Corrects the clock now and then, in a thread of its own. `note` writes each comparison down, the first one, too."""
        threading.Thread(target=self._keep, args=[note], name="clock", daemon=True).start()

    def _keep(self, note: Callable[[Compared], None]) -> None:
        note(Compared(round(self._difference.ahead_s, 6), round(self._difference.error_s, 6)))
        while True:
            time.sleep(COMPARE_EVERY_S)
            with contextlib.suppress(Unreachable):  # the link is cut, or the run over
                note(self.correct())

    def correct(self) -> Compared:
        """Compares the clocks once more. Raises `Unreachable`."""
        before, self._difference = self._difference, compared(self._read)
        ahead_s, error_s = self._difference
        return Compared(round(ahead_s, 6), round(error_s, 6), round(ahead_s - before.ahead_s, 6))
