"""The experiments as a person runs them: real commands, real processes, stopped and started again."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.report import EXPERIMENTS
from tests.processes.command import Command, ended, environment, processes_of
from tests.processes.market import ROOT
from tests.waiting import wait_until


def start(tmp_path: Path, mongo_uri: str | None, *command: object) -> Command:
    """In a folder of its own, with all that is temporary below it."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=tmp_path,
        env={**environment(mongo_uri), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def measure(tmp_path: Path, *command: object) -> None:
    """Runs it to its end. Where the machine was so busy that a live peer was taken for dead, the same command goes on."""
    for _ in range(3):
        with start(tmp_path, None, *command) as started:
            status, said, complained = ended(started)
        if status == 0:
            assert complained == "", said
            return
        assert status == 1, complained
        assert "is the machine busy?" in complained
        for kept in tmp_path.glob("bazaar-experiments-*"):
            shutil.rmtree(kept)
    raise AssertionError(f"three times: {complained}")


def lines_of(csv: Path) -> list[str]:
    return csv.read_text().splitlines() if csv.exists() else []


def test_one_command_measures_and_reports(tmp_path: Path) -> None:
    """With a MongoDB of its own; one experiment, its smallest cells."""
    run_sh = ROOT / "experiments" / "run.sh"
    measure(tmp_path, "bash", run_sh, "election", "--quick", "--only", "peers=5", "--out", "out")
    out = tmp_path / "out"
    assert sorted(path.name for path in (out / "results").iterdir()) == [
        f"election.{kind}" for kind in ("csv", "json", "md", "png")
    ]
    modes = [line.split(",")[:2] for line in lines_of(out / "results" / "election.csv")[1:]]
    assert modes == [["5", "rounds"], ["5", "simultaneous"]]
    page = (out / "RESULTS.md").read_text()
    assert "| 5 | rounds | " in page
    assert page.count("Not measured yet") == len(EXPERIMENTS) - 1
    assert processes_of(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_ctrl_c_keeps_the_rows_leaves_no_process_and_it_goes_on_from_there(tmp_path: Path) -> None:
    csv = tmp_path / "out" / "results" / "overselling.csv"
    sweep = (
        sys.executable,
        "-m",
        "experiments.overselling",
        "--only",
        "ratio=3/6,cache=weak,goods=3,every_s=5,think_s=0",
    )
    sweep = (*sweep, "--seeds", "0-3", "--out", "out")  # type: ignore[assignment]
    with start(tmp_path, None, *sweep) as command:
        wait_until(
            lambda: len(lines_of(csv)) == 2 and any("-m peers" in line for line in processes_of(tmp_path).values()), 60
        )
        command.send_signal(signal.SIGINT)
        status, _, complained = ended(command)
    assert (status, complained.count("\n")) == (130, 1)
    assert "Traceback" not in complained
    wait_until(lambda: not processes_of(tmp_path), 20)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    before = lines_of(csv)
    assert 2 <= len(before) < 5
    measure(tmp_path, *sweep)
    after = lines_of(csv)
    assert after[: len(before)] == before
    assert len(after) == 5
    assert processes_of(tmp_path) == {}


def test_killed_it_leaves_whole_rows_and_no_process(tmp_path: Path) -> None:
    csv = tmp_path / "out" / "results" / "election.csv"
    with start(tmp_path, None, sys.executable, "-m", "experiments.election", "--quick", "--out", "out") as command:
        wait_until(lambda: len(lines_of(csv)) == 2, 60)
        command.kill()
        ended(command)
    wait_until(lambda: not processes_of(tmp_path), 20)
    header, *rows = lines_of(csv)
    assert all(len(row.split(",")) >= len(header.split(",")) for row in rows)


@pytest.mark.parametrize("name", [experiment.NAME for experiment in EXPERIMENTS])
def test_every_experiment_has_help_and_refuses_wrong_seeds(name: str, tmp_path: Path) -> None:
    with start(tmp_path, None, sys.executable, "-m", f"experiments.{name}", "--help") as command:
        status, said, complained = ended(command)
    assert (status, complained) == (0, "")
    assert all(option in said for option in ("--seeds", "--quick", "--only", "--out"))
    with start(tmp_path, None, sys.executable, "-m", f"experiments.{name}", "--seeds", "lucky") as command:
        status, said, complained = ended(command)
    assert (status, said, complained.count("\n")) == (2, "", 1)
    assert "lucky" in complained
