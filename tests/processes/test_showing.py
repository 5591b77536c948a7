"""Showing a run neither delays, nor ends, nor changes it: whoever reads what it says, or does not."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.command import PICTURES, environment, processes_of, run
from tests.processes.market import ROOT
from tests.waiting import wait_until

ARGUMENTS = ("localhost", 4, 1, "--pace", "fast", "--seed", 5)


def shell(cwd: Path, mongo_uri: str, out: Path, line: str, *more: object) -> tuple[int, str, str]:
    """Types a line; `RUN` in it stands for the command. Its own exit status is in the file `status`."""
    words = [sys.executable, ROOT / "create_bazaar.py", *ARGUMENTS, "--out", out, *more]
    command = line.replace("RUN", "(" + " ".join(f"'{word}'" for word in words) + "; echo $? >status)")
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment(mongo_uri), capture_output=True, text=True, timeout=100
    )
    assert processes_of(out) == {}
    return int((cwd / "status").read_text()), done.stdout, done.stderr


def verdict(out: Path) -> str:
    return str(json.loads((out / "summary.json").read_text())["verdict"])


def test_a_reader_that_leaves_is_no_reason_to_end(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    status, shown, complained = shell(tmp_path, mongo_uri, out, "RUN | head -5", "--requests", 300)
    assert (status, verdict(out)) == (0, "held")
    assert shown.count("\n") == 5
    assert json.loads((out / "summary.json").read_text())["requests"]["asked"] == 300
    assert complained.count("\n") == 1
    assert f"lines could not be shown (Broken pipe); all of it is in {out}" in complained


def test_a_full_disk_behind_the_output_is_no_reason_to_end(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    status, _, complained = shell(tmp_path, mongo_uri, out, "RUN >/dev/full", "--requests", 50)
    assert (status, verdict(out)) == (0, "held")
    assert "lines could not be shown (No space left on device)" in complained


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_output_at_all_is_no_reason_to_end(closed: str, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    assert shell(tmp_path, mongo_uri, out, f"RUN {closed}", "--requests", 50)[0] == 0
    assert verdict(out) == "held"


def test_a_reader_that_stops_reading_stops_nothing(tmp_path: Path, mongo_uri: str) -> None:
    """`| less`, Ctrl-S: the pipe is full; faults and the end come in their time all the same."""
    out = tmp_path / "run"
    more = ("--duration", 4, "--fault", "kill:warehouse@2")
    words = [sys.executable, str(ROOT / "create_bazaar.py"), *map(str, (*ARGUMENTS, "--out", out, *more))]
    inside, outside = os.pipe()
    fcntl.fcntl(outside, fcntl.F_SETPIPE_SZ, 4096)  # a screenful
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(mongo_uri), stdout=outside, stderr=subprocess.PIPE, text=True
    ) as command:
        os.close(outside)
        _, complained = command.communicate(timeout=60)
    os.close(inside)
    assert command.returncode == 0
    assert verdict(out) == "held"
    assert '"fault":"kill:warehouse@2"' in (out / "launcher" / "history.jsonl").read_text()
    assert f"lines could not be shown (nobody was reading); all of it is in {out}" in complained


def test_a_path_is_no_markup(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "x" / "[" / "usr]"
    status, shown, complained = shell(tmp_path, mongo_uri, out, "RUN", "--requests", 20)
    assert (status, complained) == (0, "")
    assert f"in {out}\n" in shown


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "TkAgg", "nonsense"])
def test_a_notebooks_screen_does_not_keep_it_from_drawing(backend: str, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    words = (*ARGUMENTS, "--requests", 20, "--out", out)
    status, _, complained = run(tmp_path, mongo_uri, *words, PICTURES, MPLBACKEND=backend)
    assert (status, complained) == (0, "")
    for picture in ("network.png", "timeline.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_could_not_be_drawn_is_told(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    (tmp_path / "matplotlibrc").write_text("")
    broken = tmp_path / "config"
    broken.mkdir()
    (broken / "matplotlib.py").write_text("raise ImportError('no matplotlib here')\n")
    words = (*ARGUMENTS, "--requests", 20, "--out", out)
    status, _, complained = run(tmp_path, mongo_uri, *words, PICTURES, PYTHONPATH=str(broken))
    assert status == 0
    assert complained == "bazaar: a picture could not be made: ImportError: no matplotlib here\n"


def test_histories_that_somebody_edits_meanwhile_are_shown_no_further(tmp_path: Path, mongo_uri: str) -> None:
    """Following them is for people to look at."""
    out = tmp_path / "run"
    words = [sys.executable, str(ROOT / "create_bazaar.py"), *map(str, (*ARGUMENTS, "--out", out))]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(mongo_uri), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as command:
        history = out / "warehouse" / "history.jsonl"
        wait_until(lambda: history.exists() and "shipped" in history.read_text(), 60)
        with history.open("ab") as file:
            file.write(b'"elected"\n')
        wait_until(lambda: history.read_bytes().rpartition(b'"elected"\n')[2].count(b"shipped") > 20, 20)
        command.send_signal(signal.SIGINT)
        _, complained = command.communicate(timeout=60)
    assert command.returncode == 3  # nobody knows what stood there
    assert "what happened could not be followed to the end" in complained
    assert "Traceback" not in complained


@pytest.mark.parametrize("columns", ["0", "1", "x"])
def test_a_terminal_without_columns_loses_nothing(columns: str, tmp_path: Path, mongo_uri: str) -> None:
    status, said, complained = run(tmp_path, mongo_uri, *ARGUMENTS, "--requests", 5, "--out", "run", COLUMNS=columns)
    assert (status, complained) == (0, "")
    assert "The bazaar of seed 5: held" in said
    assert re.search(r"audit +│ \d+ of \d+ checks", said)
