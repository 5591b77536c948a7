"""Reads a workload from a file (`--load trace:FILE`), such as one that was recorded elsewhere.

A line has a second and the factor from then on: `10 5`. Empty lines, and what follows a `#`, do not count. The plan of the run
holds what the file said, so the peers need no file, and a run is repeated without it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from bazaar.control.lines import lines_of
from bazaar.protocol.settings import Settings, UsageError
from bazaar.protocol.workload import TRACE, is_in_file, trace


def with_trace(settings: Settings) -> Settings:
    """The settings with the steps of the trace in place of its file. Raises `UsageError` if the file has none."""
    if settings.load is None or not is_in_file(settings.load):
        return settings
    return msgspec.structs.replace(settings, load=_read(Path(settings.load.removeprefix(TRACE))))


def _read(path: Path) -> str:
    steps: list[str] = []
    wanted = "give a second later than the one before and a factor above 0, such as `10 5`"
    for number, line in lines_of(path, f"the trace in {path}"):
        words = line.split()
        steps.append("=".join(words))
        if len(words) != 2 or "," in line or trace(TRACE + ",".join(steps[-2:])) is None:
            raise UsageError(f"line {number} of {path} is no step of a workload; {wanted}")
    if not steps:
        raise UsageError(f"the trace in {path} has no line; {wanted}")
    return TRACE + ",".join(steps)
