"""`bash run.sh judge [RUN]` (requirement I2): a run's folder is all it takes, whatever has ended the run."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bazaar.analysis.seal import SEAL_FILE
from bazaar.runtime.ledger_file import KeptLedger
from tests.processes.command import PICTURES, ended, launched, processes_of, run
from tests.processes.market import sentences_of
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("judge")  # its fixture is made once

NOWHERE = "mongodb://127.0.0.1:1/"  # nobody asks a MongoDB
JUDGED = ("audit.json", "summary.json")


@pytest.fixture(scope="module")
def a_run(tmp_path_factory: pytest.TempPathFactory, mongo_uri: str) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    out = folder / "run"
    arguments = ("localhost", 4, 1, "--pace", "fast", "--requests", 60, "--seed", 3, "--out", out)
    status, said, complained = run(folder, mongo_uri, *arguments, PICTURES)
    assert (status, complained) == (0, ""), said
    return out


@pytest.fixture
def moved(a_run: Path, tmp_path: Path) -> Path:
    """The run's folder on what may be another machine."""
    return Path(shutil.copytree(a_run, tmp_path / "elsewhere" / "copy [1]"))


def judge(cwd: Path, *arguments: object) -> tuple[int, str, str]:
    return run(cwd, NOWHERE, "judge", *arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ----------------------------------------------------------------------------------------- judged again
def test_the_same_folder_is_judged_with_the_same_bytes(a_run: Path, moved: Path, tmp_path: Path) -> None:
    for name in JUDGED:
        (moved / name).unlink()
    for _ in range(2):
        status, said, complained = judge(tmp_path, moved)
        assert (status, complained) == (0, "")
        assert "The bazaar of seed 3: held" in said
        assert contents(moved) == contents(a_run)


def test_what_is_missing_of_the_texts_and_pictures_is_made(a_run: Path, moved: Path, tmp_path: Path) -> None:
    texts = ["output.txt", "trader0.txt", "warehouse.txt"]
    for name in [*texts, "network.png", "timeline.png"]:
        (moved / name).unlink()
    assert judge(tmp_path, moved)[0] == 0
    assert (moved / "timeline.png").read_bytes().startswith(b"\x89PNG")
    assert {name: (moved / name).read_bytes() for name in texts} == {
        name: (a_run / name).read_bytes() for name in texts
    }


def test_without_a_folder_it_is_the_newest_run(moved: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(moved)
    assert judge(tmp_path)[0] == 0


def test_a_folder_that_cannot_be_written_to_still_has_its_verdict(moved: Path, tmp_path: Path) -> None:
    for name in JUDGED:
        (moved / name).unlink()
        (moved / name).mkdir()  # no file can take its place, whoever one is
    before = contents(moved)
    status, said, complained = judge(tmp_path, moved)
    assert status == 0
    assert "The bazaar of seed 3: held" in said
    assert [line.partition(" could")[0] for line in complained.splitlines()] == [f"bazaar: {name}" for name in JUDGED]
    assert contents(moved) == before


# --------------------------------------------------------------------------------- whatever ended the run
def test_a_run_whose_launcher_was_killed_is_kept_and_judged(tmp_path: Path) -> None:
    """Also when its MongoDB, which ended with it, is gone with all its data."""
    out = tmp_path / "run"
    with launched(tmp_path, None, "localhost", 5, 2, "--pace", "fast", "--seed", 4, "--out", out) as command:
        wait_until(lambda: len(list(KeptLedger(out))) > 100, 60)
        status, _, complained = judge(tmp_path, out)
        assert status == 2
        assert complained == f"bazaar: {out} is a run that is still going on; stop it (Ctrl-C), it is judged then\n"
        command.kill()
        ended(command)
    wait_until(lambda: not processes_of(tmp_path), 20)
    assert not (out / "mongodb").exists()
    status, said, complained = judge(tmp_path, out)
    assert (status, complained) == (0, ""), said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "held"
    assert summary["goods_shipped"] > 50
    assert len(sentences_of(out / "output.txt")) > 500


# ------------------------------------------------------------------------------------------- bad input
def test_no_runs_folder_is_one_line_and_nothing_changed(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter1.txt").write_text("precious")
    for folder in (thesis, tmp_path / "nowhere", thesis / "chapter1.txt"):
        status, said, complained = judge(tmp_path, folder)
        assert (status, said, complained.count("\n")) == (2, "", 1)
        assert "is no run's folder" in complained
    assert contents(tmp_path) == {"thesis/chapter1.txt": b"precious"}
    assert judge(tmp_path, "--frobnicate")[0] == judge(tmp_path, "one", "two")[0] == 2


def _lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


EDITED: dict[str, tuple[Callable[[Path], object], str]] = {
    "rubbish in a history": (
        lambda run: _lines(run / "warehouse" / "history.jsonl", lambda lines: [*lines[:4], b"oops\n", *lines[4:]]),
        "unknown: warehouse/history.jsonl, line 5, cannot be read",
    ),
    "another's history": (
        lambda run: shutil.copy(run / "warehouse" / "history.jsonl", run / "launcher" / "history.jsonl"),
        "unknown: launcher/history.jsonl, line 1, is of warehouse",
    ),
    "rubbish in the ledger": (
        lambda run: _lines(run / "ledger.jsonl", lambda lines: [b"\xff\n", *lines]),
        "unknown: ledger.jsonl, line 1, cannot be read",
    ),
    "a line of the ledger cut out": (
        lambda run: _lines(run / "ledger.jsonl", lambda lines: lines[:7] + lines[8:]),
        "ledger entry 8 stands where 7 should be",
    ),
    "facts that nobody writes": (
        lambda run: _lines(
            run / "warehouse" / "history.jsonl",
            lambda lines: [*lines, b'{"at":1,"process":"warehouse","clock":999999,"what":"stocked"}\n'],
        ),
        "unknown: warehouse/history.jsonl, line",
    ),
}


@pytest.mark.parametrize("name", EDITED)
def test_what_was_edited_is_one_line_and_nothing_changed(name: str, moved: Path, tmp_path: Path) -> None:
    EDITED[name][0](moved)
    before = contents(moved)
    status, said, complained = judge(tmp_path, moved)
    assert (status, said, complained.count("\n")) == (2, "", 1)
    assert "is not as the run left it: " in complained
    assert contents(moved) == before


def test_a_journal_of_another_run_is_one_line_and_nothing_changed(moved: Path, tmp_path: Path) -> None:
    trader = next(path.parent for path in moved.glob("*/queue-*.jsonl"))
    (trader / "queue-99.jsonl").write_bytes(b"")
    before = contents(moved)
    status, _, complained = judge(tmp_path, moved)
    assert (status, complained.count("\n")) == (2, 1)
    assert f"{trader.name}/queue-99.jsonl was not there" in complained
    assert contents(moved) == before


@pytest.mark.parametrize("name", EDITED)
def test_without_its_seal_what_was_edited_is_judged_as_far_as_it_can_be(name: str, moved: Path, tmp_path: Path) -> None:
    edit, story = EDITED[name]
    edit(moved)
    (moved / SEAL_FILE).unlink()
    status, said, complained = judge(tmp_path, moved)
    assert status in (1, 3), said
    assert story in said
    assert complained == ""


def test_half_a_plan_is_one_line_and_nothing_changed(moved: Path, tmp_path: Path) -> None:
    _lines(moved / "bazaar.json", lambda lines: lines[:9])
    before = contents(moved)
    status, said, complained = judge(tmp_path, moved)
    assert (status, said, complained.count("\n")) == (2, "", 1)
    assert "is no run's folder" in complained
    assert contents(moved) == before


def test_a_price_that_was_changed_is_a_violation_with_its_story(moved: Path, tmp_path: Path) -> None:
    def dearer(lines: list[bytes]) -> list[bytes]:
        number = next(number for number, line in enumerate(lines) if b'"sale"' in line)
        entry = json.loads(lines[number])
        entry["price_cents"] += 5
        return [*lines[:number], json.dumps(entry).encode() + b"\n", *lines[number + 1 :]]

    _lines(moved / "ledger.jsonl", dearer)
    (moved / SEAL_FILE).unlink()
    status, said, _ = judge(tmp_path, moved)
    assert status == 1
    assert "violated: money_adds_up" in said


def test_the_judge_may_be_stopped(moved: Path, tmp_path: Path) -> None:
    with launched(tmp_path, NOWHERE, "judge", moved) as command:
        wait_until(lambda: [line for line in processes_of(moved).values() if "bazaar.analysis.judgement" in line], 20)
        os.kill(command.pid, signal.SIGINT)
        status, _, complained = ended(command)
    assert status in (0, 3)  # it may just have been done
    assert "Traceback" not in complained
    assert not list(moved.glob(".*.json-*"))
