"""However and whenever a run is stopped, within seconds nothing of it is left: no process, no port (requirement H)."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bazaar.control.launcher import Bazaar
from bazaar.protocol.settings import Settings
from bazaar.runtime.process import LocalProcess
from tests.processes.command import PICTURES, Command, ended, launched, listening, processes_of, sockets_of
from tests.waiting import wait_until

PATIENCE_S = 60.0
GONE_S = 20.0  # it takes two seconds on an idle machine
Reached = Callable[[Path], object]


def _said(out: Path, word: str) -> bool:
    return any(f'"{word}"' in path.read_text() for path in out.glob("*/history.jsonl"))


BEFORE_TRADING: dict[str, Reached] = {
    "before anything": lambda out: out.exists(),
    "while the database starts": lambda out: (out / "mongodb" / "mongod.log").exists(),
    "when the database is there": lambda out: (
        (out / "nameserver").exists() and (out / "mongodb" / "WiredTiger").exists()
    ),
    "while the warehouse starts": lambda out: (out / "warehouse").exists(),
    "while the peers start": lambda out: (
        (out / "warehouse" / "history.jsonl").exists() and len(list(out.glob("*er?"))) >= 2
    ),
    "before the election": lambda out: _said(out, "joined"),
    "between two elections": lambda out: _said(out, "elected"),
}
TRADING: Reached = lambda out: _said(out, "purchased")  # noqa: E731 # a phase like the others


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """A run at the pace `lab`, whose phases last for seconds, with a MongoDB of its own."""
    with launched(
        tmp_path, None, "localhost", 4, 2, "--pace", "lab", "--seed", 5, "--out", tmp_path / "run"
    ) as command:
        yield command
        command.kill()


def _inodes_of_listeners(out: Path) -> set[str]:
    return {inode for pid in processes_of(out) for inode in sockets_of(pid)} & set(listening())


def _assert_nothing_left(tmp_path: Path, listeners: set[str]) -> None:
    wait_until(lambda: not processes_of(tmp_path), GONE_S)
    wait_until(lambda: not listeners & set(listening()), GONE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("phase", BEFORE_TRADING)
def test_stopped_before_trading(phase: str, number: signal.Signals, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wait_until(lambda: BEFORE_TRADING[phase](out), PATIENCE_S)
    listeners = _inodes_of_listeners(out)
    command.send_signal(number)
    status, _, complained = ended(command)
    _assert_nothing_left(tmp_path, listeners)
    if number != signal.SIGKILL:
        assert status == 3
        assert complained.count("\n") == 1
        assert "Traceback" not in complained
        assert not (out / "mongodb").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("pace", ["demo", "fast"])
def test_stopped_while_trading(pace: str, number: signal.Signals, tmp_path: Path, mongo_uri: str) -> None:
    """It is brought to its end and judged: the summary is there, and the audit held."""
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, "localhost", 5, 2, "--pace", pace, "--seed", 5, "--out", out) as command:
        wait_until(lambda: TRADING(out), PATIENCE_S)
        listeners = _inodes_of_listeners(out)
        assert listeners
        command.send_signal(number)
        status, said, complained = ended(command)
    _assert_nothing_left(tmp_path, listeners)
    assert (status, complained) == (0, "")
    assert "The bazaar of seed 5: held" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "held"
    assert summary["requests"]["unanswered"] == 0
    assert summary["requests"]["asked"] > 0


def test_a_launcher_that_is_killed_while_trading(tmp_path: Path) -> None:
    """Not even kill -9 leaves anybody behind: not the peers, and not the MongoDB that this run had started."""
    out = tmp_path / "run"
    with launched(tmp_path, None, "localhost", 5, 2, "--pace", "fast", "--out", out) as command:
        wait_until(lambda: TRADING(out), PATIENCE_S)
        listeners = _inodes_of_listeners(out)
        assert len(listeners) >= 8  # five peers, the warehouse, the name server, MongoDB
        command.kill()
        ended(command)
    _assert_nothing_left(tmp_path, listeners)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a stopped process with the one that started it")
def test_who_is_stopped_by_hand_does_not_outlive_a_launcher_that_is_killed(tmp_path: Path) -> None:
    """It cannot see that its input has ended."""
    out = tmp_path / "run"
    words = ("localhost", 4, 1, "--pace", "fast", "--out", out)
    with launched(tmp_path, None, *words, PICTURES) as command:
        wait_until(lambda: TRADING(out) and (out / "network.png").exists(), PATIENCE_S)  # all are up
        listeners = _inodes_of_listeners(out)
        ours = ("-m peers", "nameserver.py", "database.py", "bazaar.views.pictures")
        for pid, line in processes_of(out).items():
            if any(what in line for what in ours) and "create_bazaar" not in line:
                os.kill(pid, signal.SIGSTOP)
        command.kill()
        ended(command)
    _assert_nothing_left(tmp_path, listeners)


def test_ctrl_c_twice_still_leaves_nothing(tmp_path: Path, mongo_uri: str) -> None:
    """An impatient person."""
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, "localhost", 5, 2, "--pace", "fast", "--out", out) as command:
        wait_until(lambda: TRADING(out), PATIENCE_S)
        listeners = _inodes_of_listeners(out)
        command.send_signal(signal.SIGINT)
        command.send_signal(signal.SIGINT)
        ended(command)
    _assert_nothing_left(tmp_path, listeners)


def test_who_was_stopped_by_hand_goes_on_and_ends_with_the_run(tmp_path: Path) -> None:
    """A process that is stopped (SIGSTOP) cannot hear that the run is over."""
    out = tmp_path / "run"
    with launched(tmp_path, None, "localhost", 4, 1, "--pace", "fast", "--out", out) as command:
        wait_until(lambda: _said(out, "shipped"), PATIENCE_S)  # else, if it is the trader, nothing may be in the ledger
        for what in ("-m peers", "mongod "):
            pid = next(pid for pid, line in processes_of(out).items() if what in line)
            os.kill(pid, signal.SIGSTOP)
        command.send_signal(signal.SIGINT)
        status, said, complained = ended(command)
    _assert_nothing_left(tmp_path, set())
    assert (status, complained) == (0, ""), said


def test_who_was_stopped_by_hand_before_it_could_report_its_answers_is_asked_for_them(tmp_path: Path) -> None:
    """Else a run in which orders were answered is said to have nothing to judge."""
    stopped = """
import os, signal, sys
os.kill(os.getpid(), signal.SIGSTOP)
print('{"answered": 1}', flush=True)
sys.stdin.read()
"""
    with Bazaar(Settings(), tmp_path) as bazaar:
        buyer = bazaar._start("buyer0", ["-c", stopped])
        os.waitid(os.P_PID, buyer.pid, os.WSTOPPED | os.WNOWAIT)
        assert bazaar.exercised()


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal; print('{}', flush=True); signal.pause()"]
    deaf = LocalProcess("deaf", tmp_path / "deaf", command, {})
    assert deaf.hear()
    deaf.end(time.monotonic())
    assert deaf.popen.returncode == -signal.SIGKILL
