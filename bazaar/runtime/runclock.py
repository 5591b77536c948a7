"""The time of a run: the wall clock at its launch, continued by the steady (monotonic) clock.

Every time stamp in a run's files is made so. Somebody may set the wall clock during a run, by an hour or a minute: the run
would seem to last an hour, or to end before it began. The steady clock of a machine is the same for all of its processes, also
for a process that is started again later; for other machines there is `far_clock.py`. No decision depends on the time of the
run: `Turn.now` is the steady clock alone.
"""

from __future__ import annotations

import platform
import time
from pathlib import Path

import msgspec

LAUNCHED_FILE = "launched.json"
WHICH_CLOCK = (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/timens_offsets"))


class RunClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`launched.json`: two clocks at one moment, the launch of the run."""

    wall: float
    """Seconds since the epoch."""
    steady: float
    """Seconds of `time.monotonic`."""
    ticks_at: str = ""
    """Which steady clock that is; see `this_clock`."""

    def now(self) -> float:
        """Seconds since the epoch, as the wall clock would show them had nobody set it."""
        return self.wall + time.monotonic() - self.steady


def this_clock() -> str:
    """A name of this process's steady clock: equal for two processes that read the same one, and for no others.

    On Linux it is the start of the machine, and the offset of a time namespace. Elsewhere it is the machine's name.
    """
    try:
        return " ".join(" ".join(path.read_text().split()) for path in WHICH_CLOCK if path.exists()) or platform.node()
    except OSError:
        return platform.node()


def start_clock(run: Path) -> RunClock:
    """The clock of a run that is launched now, in this folder."""
    clock = RunClock(time.time(), time.monotonic(), this_clock())
    (run / LAUNCHED_FILE).write_bytes(msgspec.json.encode(clock) + b"\n")
    return clock


def clock_of(run: Path) -> RunClock:
    """The clock of the run in this folder. Raises `OSError` or `msgspec.DecodeError`."""
    return msgspec.json.decode((run / LAUNCHED_FILE).read_bytes(), type=RunClock)
