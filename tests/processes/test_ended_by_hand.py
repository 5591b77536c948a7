"""Somebody else ends a process of a run (kill, shutdown, out of memory), at any phase: it comes back, or the run ends with
its verdict; in bounded time, and it is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.command import PICTURES, Command, launched, processes_of
from tests.processes.market import sentences_of
from tests.waiting import wait_until

PATIENCE_S = 60.0  # a run of some four seconds, on a busy machine
Reached = Callable[[Path], object]


def said(out: Path, what: str) -> bool:
    return any(f'"{what}"' in path.read_text() for path in out.glob("*/history.jsonl"))


PHASES: dict[str, Reached] = {
    "starting": lambda out: (out / "warehouse").exists(),
    "electing": lambda out: said(out, "joined"),
    "trading": lambda out: said(out, "purchased"),
}
VICTIMS = {
    "mongod": "mongod --",
    "mongod's guard": "setup_db.sh guard",
    "setup_db.sh": "setup_db.sh {out}/mongodb ",
    "nameserver": "nameserver.py",
    "warehouse": "database.py",
    "a buyer": "-m peers buyer",
    "the artist": "bazaar.views.pictures",
    "the judge": "bazaar.analysis.judgement",
    "the narrator": "bazaar.views.texts",
}


def victim(out: Path, name: str) -> int | None:
    """The process that bears this name now."""
    marks = [VICTIMS[name].format(out=out)]
    for pid, line in processes_of(out).items():
        if any(mark in line for mark in marks) and " -I - " not in line:
            return pid
    return None


def end(command: Command, out: Path, phase: Reached, name: str, number: signal.Signals) -> tuple[int, str, str]:
    """Ends it as soon as the phase is reached; how the run ends then."""
    wait_until(lambda: phase(out), 60)
    os.kill(wait_until(lambda: victim(out, name), 20), number)
    output, complained = command.communicate(timeout=PATIENCE_S)
    assert processes_of(out) == {}
    assert not (out / "mongodb").exists()
    assert "Traceback" not in complained
    return command.returncode, output, complained


@contextlib.contextmanager
def a_run(tmp_path: Path, *more: object) -> Iterator[Command]:
    arguments = ("localhost", 5, 2, "--pace", "fast", "--seed", 5, "--duration", 3, "--out", tmp_path / "run")
    with launched(tmp_path, None, *arguments, *more) as command:
        try:
            yield command
        finally:
            command.kill()


COMES_BACK = [
    ("starting", "mongod", signal.SIGKILL),
    ("starting", "warehouse", signal.SIGKILL),
    ("starting", "a buyer", signal.SIGKILL),
    ("electing", "mongod", signal.SIGTERM),
    ("electing", "warehouse", signal.SIGTERM),
    ("trading", "mongod", signal.SIGKILL),
    ("trading", "mongod", signal.SIGTERM),
    ("trading", "mongod's guard", signal.SIGKILL),
    ("trading", "warehouse", signal.SIGKILL),
]


@pytest.mark.parametrize(("phase", "name", "number"), COMES_BACK)
def test_it_comes_back_and_is_told(phase: str, name: str, number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with a_run(tmp_path) as command:
        status, output, complained = end(command, out, PHASES[phase], name, number)
    assert (status, complained) == (0, ""), output
    told = sentences_of(out / "output.txt")
    who = next(line for line in told if line.endswith("was killed")).removesuffix(" was killed")
    assert who.startswith(name.removeprefix("a "))
    assert f"{who} is started again" in told
    assert json.loads((out / "summary.json").read_text())["verdict"] == "held"


def test_setup_db_may_be_killed_while_it_starts_a_database(tmp_path: Path) -> None:
    with a_run(tmp_path) as command:
        database_begins: Reached = lambda out: (out / "mongodb" / "mongod.pid").exists()  # noqa: E731
        status, output, complained = end(command, tmp_path / "run", database_begins, "setup_db.sh", signal.SIGKILL)
    assert (status, complained) == (0, ""), output
    assert "setup_db.sh was killed" in sentences_of(tmp_path / "run" / "output.txt")


def test_a_peer_that_trades_is_missed(tmp_path: Path) -> None:
    with a_run(tmp_path, "--buyers", 3) as command:
        status, output, complained = end(command, tmp_path / "run", PHASES["trading"], "a buyer", signal.SIGTERM)
    assert (status, complained) == (0, ""), output
    assert any(line.endswith("was killed") for line in sentences_of(tmp_path / "run" / "output.txt"))


@pytest.mark.parametrize("name", ["the artist", "the judge", "the narrator"])
def test_who_judges_tells_and_draws_comes_back_too(name: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    early = {"the artist": PHASES["electing"], "the narrator": PHASES["trading"]}
    phase = early.get(name, lambda out: said(out, "ended"))
    with a_run(tmp_path, PICTURES) as command:
        status, output, complained = end(command, out, phase, name, signal.SIGKILL)
    assert (status, complained) == (0, ""), output
    for file in ("audit.json", "summary.json", "output.txt", "network.png", "timeline.png"):
        assert (out / file).exists()


@pytest.mark.parametrize("phase", ["starting", "trading"])
def test_without_a_name_server_the_run_ends_with_its_verdict(phase: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with a_run(tmp_path, "--duration", 1000) as command:
        status, output, complained = end(command, out, PHASES[phase], "nameserver", signal.SIGKILL)
    assert status == 1
    assert complained == "bazaar: the name server was killed; nobody can find anybody any more\n"
    verdict = json.loads((out / "summary.json").read_text())["verdict"]
    assert verdict == ("held" if phase == "trading" else "unknown"), output
    assert "nameserver was killed" in sentences_of(out / "output.txt")


def test_ctrl_c_and_then_a_killed_name_server(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def interrupted(out: Path) -> bool:
        if not said(out, "purchased"):
            return False
        command.send_signal(signal.SIGINT)
        return True

    with a_run(tmp_path, "--duration", 1000) as command:
        status, _, complained = end(command, out, interrupted, "nameserver", signal.SIGKILL)
    assert status in (0, 1)  # it may have been over by then
    assert complained.count("\n") == status
    assert json.loads((out / "summary.json").read_text())["verdict"] == "held"


def test_a_peer_killed_just_after_ctrl_c_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody else waits for what it has not acknowledged."""
    out = tmp_path / "run"
    with a_run(tmp_path, "--duration", 1000, "--buyers", 3, "--window", 20) as command:
        wait_until(lambda: said(out, "purchased"), 60)
        pid = wait_until(lambda: victim(out, "a buyer"), 20)
        os.kill(pid, signal.SIGSTOP)  # what is sent to it is not acknowledged
        command.send_signal(signal.SIGINT)
        os.kill(pid, signal.SIGKILL)
        output, complained = command.communicate(timeout=30)  # 54 s without being told
    assert (command.returncode, complained) == (0, ""), output


def test_without_anybody_left_the_run_ends(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with a_run(tmp_path, "--duration", 1000) as command:
        wait_until(lambda: said(out, "purchased"), 60)
        for pid, line in processes_of(out).items():
            if "-m peers" in line:
                os.kill(pid, signal.SIGKILL)
        _, complained = command.communicate(timeout=PATIENCE_S)
    assert command.returncode == 1
    assert complained == "bazaar: all peers were killed; there is nobody left to trade\n"
    assert (out / "summary.json").exists()
