"""The time of a run: the wall clock at its launch, continued by the steady (monotonic) clock.

Every time stamp in a run's files is made so. Somebody may set the wall clock during a run, by an hour or a minute: the run
would seem to last an hour, or to end before it began. The steady clock of a machine is the same for all of its processes, also
for a process that is started again later. No decision depends on the time of the run: `Turn.now` is the steady clock alone.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

LAUNCHED_FILE = "launched.json"


class RunClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`launched.json`: two clocks at one moment, the launch of the run."""

    wall: float
    """Seconds since the epoch."""
    steady: float
    """Seconds of `time.monotonic`."""

    def now(self) -> float:
        """Seconds since the epoch, as the wall clock would show them had nobody set it."""
        return self.wall + time.monotonic() - self.steady


def start_clock(run: Path) -> RunClock:
    """The clock of a run that is launched now, in this folder."""
    clock = RunClock(time.time(), time.monotonic())
    (run / LAUNCHED_FILE).write_bytes(msgspec.json.encode(clock) + b"\n")
    return clock


def clock_of(run: Path) -> RunClock:
    """The clock of the run in this folder. Raises `OSError` or `msgspec.DecodeError`."""
    return msgspec.json.decode((run / LAUNCHED_FILE).read_bytes(), type=RunClock)
