"""The pinned board on a terminal of any kind and size: it shows the run, and leaves the terminal as it was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bazaar.views.board import ECHO
from tests.processes.command import environment, processes_of, run
from tests.processes.market import ROOT
from tests.waiting import wait_until

ARGUMENTS = ("localhost", 5, 2, "--seed", 5, "--set", "think_s=0.05")
HIDDEN = "\x1b[?25l"
UP = re.compile(r"\x1b\[\d*A")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d)(?:;\d+)*m")


class OnTerminal:
    """The command on a pseudo-terminal, and all that it has written there."""

    def __init__(self, columns: int, rows: int, words: list[str], mongo_uri: str, **more: str) -> None:
        self._ours, its = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(its)
        self._its = its
        self.said = ""
        ours = {name: value for name, value in environment(mongo_uri).items() if name not in ("COLUMNS", "NO_COLOR")}
        self.command = subprocess.Popen(
            words,
            stdin=its,
            stdout=its,
            stderr=its,
            env={**ours, "TERM": "xterm-256color", **more},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:
                return
            self.said += data.decode(errors="replace")

    def end(self) -> list[int | list[bytes | int]]:
        """Ctrl-C; the terminal's attributes once all is over."""
        self.command.send_signal(signal.SIGINT)
        self.command.wait(60)
        after = termios.tcgetattr(self._its)
        os.close(self._its)
        self._reader.join(10)
        return after


@contextlib.contextmanager
def on_terminal(out: Path, mongo_uri: str, columns: int, rows: int, **more: str) -> Iterator[OnTerminal]:
    words = [sys.executable, str(ROOT / "create_bazaar.py"), *map(str, (*ARGUMENTS, "--out", out))]
    terminal = OnTerminal(columns, rows, words, mongo_uri, **more)
    try:
        yield terminal
    finally:
        terminal.command.kill()
        terminal.command.wait()


TRADES = re.compile(r"trader0 +\w+\d+ +\d+ waiting")
GOODS = re.compile(r"stock fish \d+, salt \d+, boar \d+ \| shipped [1-9]\d* \| over-sold \d+")
CUT_GOODS = r"stock [^\n|\x1b]{%d}(?:\x1b\[0m)?\r\n"  # the row of the goods, with so many columns behind its first word
SMALL_GOODS = re.compile(CUT_GOODS % (20 - ECHO - 6))
PURCHASED = re.compile("purchased")


def is_sane(terminal: OnTerminal, out: Path) -> None:
    assert terminal.end() == terminal.before
    assert terminal.command.returncode == 0
    assert HIDDEN not in terminal.said
    assert terminal.said.endswith("\n")
    assert "Traceback" not in terminal.said
    assert "files" in terminal.said
    assert processes_of(out) == {}
    assert json.loads((out / "summary.json").read_text())["verdict"] == "held"


@pytest.mark.parametrize(
    ("columns", "rows", "shows", "more"),
    [
        (100, 30, [TRADES, GOODS], {}),
        (20, 5, [SMALL_GOODS, PURCHASED], {}),
        (100, 30, [TRADES, GOODS], {"NO_COLOR": "1"}),
    ],
    ids=["usual", "tiny", "without colours"],
)
def test_it_shows_the_run_and_leaves_a_sane_terminal(
    columns: int, rows: int, shows: list[re.Pattern[str]], more: dict[str, str], tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    with on_terminal(out, mongo_uri, columns, rows, **more) as terminal:
        for pattern in shows:
            wait_until(lambda pattern=pattern: pattern.search(terminal.said), 60)  # type: ignore[misc]
        is_sane(terminal, out)
    assert UP.search(terminal.said)
    assert bool(COLOUR.search(terminal.said)) != bool(more)
    most_up = max(len(ups) for ups in re.findall(r"(?:\x1b\[1A|\x1b\[2K)+", terminal.said))
    assert most_up <= rows // 2 * len("\x1b[1A\x1b[2K")


def test_a_terminal_that_cannot_move_its_cursor_has_no_board(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with on_terminal(out, mongo_uri, 80, 24, TERM="dumb") as terminal:
        wait_until(lambda: "purchased" in terminal.said, 60)
        is_sane(terminal, out)
    assert "\x1b" not in terminal.said
    assert not GOODS.search(terminal.said)


def test_it_follows_the_size_of_the_terminal(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with on_terminal(out, mongo_uri, 100, 30) as terminal:
        wait_until(lambda: GOODS.search(terminal.said), 60)
        terminal.resize(24, 6)
        wait_until(lambda: re.search(CUT_GOODS % (24 - ECHO - 6), terminal.said), 20)
        is_sane(terminal, out)


def test_quiet_is_one_line_and_errors(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    arguments = ("localhost", 4, 1, "--pace", "fast", "--requests", 20, "--seed", 5, "--quiet")
    status, said, complained = run(tmp_path, mongo_uri, *arguments, "--out", out)
    assert (status, complained) == (0, "")
    assert said == f"The bazaar of seed 5: held; its files are in {out}\n"
    status, said, complained = run(tmp_path, mongo_uri, *arguments, "--out", out)
    assert (status, said, complained.count("\n")) == (2, "", 1)
    assert "exists and is not empty" in complained
