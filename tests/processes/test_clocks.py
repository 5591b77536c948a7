"""Somebody sets the clock on the wall while the bazaar trades: nothing that a run does, or says of itself, goes by it."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.runtime.history import HistoryFile
from tests.needs import need
from tests.processes.command import ended, launched
from tests.processes.market import STAMP, quick
from tests.waiting import wait_until

HOUR_S = 3600
BEHIND_S = 120
NAMES = draw_plan(quick(peers=6, traders=2, seed=5)).names


class WallClock(NamedTuple):
    """The clock on the wall of all processes that are started with this environment."""

    environment: dict[str, str]
    set_by: Callable[[int], object]
    """Sets it by so many seconds from the true time, also for processes that run already."""


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    need(sys.platform == "linux", "way to set the clock of a few processes", "run this test on Linux")
    need(shutil.which("cc"), "C compiler", "install gcc")
    library, offset = tmp_path / "wall_clock.so", tmp_path / "offset"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    offset.write_bytes(struct.pack("l", 0))

    def set_by(seconds: int) -> None:
        with offset.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("l", seconds))

    return WallClock({"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(offset)}, set_by)


def traded(out: Path) -> bool:
    return any(True for folder in out.glob("buyer*") for _ in HistoryFile(folder).only(events.Purchased))


def fell(out: Path) -> bool:
    return any(True for _ in HistoryFile(out / "launcher").only(events.Fell))


WORK: tuple[type[events.OfOrder], ...] = (events.Purchased, events.Shipped, events.FoundUnavailable)


def worked(folder: Path) -> list[int]:
    """How much a process did in each of its lives."""
    lives: list[int] = []
    for line in HistoryFile(folder).only(events.Born, *WORK):
        if isinstance(line.event, events.Born):
            lives.append(0)
        else:
            lives[-1] += 1
    return lives


def run_while(
    clock: WallClock,
    seconds: int,
    moment: Callable[[Path], bool],
    enough: Callable[[Path], bool],
    tmp_path: Path,
    mongo_uri: str,
    *options: object,
) -> tuple[Path, dict[str, Any]]:
    """A run that holds, in which the clock is set at this moment, and which ends when it is enough: its folder, its summary.

    It has no duration, as a busy machine trades less in it.
    """
    out = tmp_path / "run"
    arguments = ("localhost", 6, 2, "--pace", "fast", "--seed", 5, "--restock-count", 500, "--out", out, *options)
    with launched(tmp_path, mongo_uri, *arguments, **clock.environment) as command:
        wait_until(lambda: moment(out), 60.0)
        clock.set_by(seconds)
        wait_until(lambda: enough(out), BEHIND_S / 2)
        command.send_signal(signal.SIGINT)
        status, _, complaint = ended(command)
    assert (status, complaint) == (0, "")
    summary: dict[str, Any] = json.loads((out / "summary.json").read_bytes())
    assert summary["verdict"] == "held"
    return out, summary


@pytest.mark.parametrize("seconds", [-HOUR_S, HOUR_S])
def test_set_by_an_hour_it_changes_neither_times_nor_their_order(
    seconds: int, wall_clock: WallClock, tmp_path: Path, mongo_uri: str
) -> None:
    def enough(out: Path) -> bool:
        return sum(done for folder in out.glob("buyer*") for done in worked(folder)) > 50

    out, summary = run_while(wall_clock, seconds, traded, enough, tmp_path, mongo_uri)
    assert 0 < summary["startup_s"] < HOUR_S / 2
    assert 0 < summary["trading_s"] < HOUR_S / 2
    assert 0 <= summary["latency_ms"]["p50"] < 1000 * HOUR_S / 2
    stamps = [match[0] for line in (out / "output.txt").read_text().splitlines() if (match := STAMP.match(line))]
    assert stamps == sorted(stamps)
    assert len(stamps) > 100


@pytest.mark.parametrize("name", ["warehouse", "buyer"])
def test_started_again_while_it_stands_behind_a_process_is_heard(
    name: str, wall_clock: WallClock, tmp_path: Path, mongo_uri: str
) -> None:
    """Long before the clock would have caught up with what it showed in its former life."""
    victim = next(peer for peer in NAMES if peer.startswith(name)) if name == "buyer" else name
    faults = [f"kill:{victim}@1", *([f"restart:{victim}@2"] if name == "buyer" else [])]
    options = [option for fault in faults for option in ("--fault", fault)]

    def enough(out: Path) -> bool:
        lives = worked(out / victim)
        return len(lives) > 1 and lives[1] > 20

    out, _ = run_while(wall_clock, -BEHIND_S, fell, enough, tmp_path, mongo_uri, *options)
    assert len(worked(out / victim)) == 2
