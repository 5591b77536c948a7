"""A disk that is full in the middle of a run: whoever cannot write says so, the run ends with its verdict, and what was
acknowledged is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from bazaar.protocol import events
from bazaar.runtime.history import HistoryFile
from tests.processes.command import PICTURES, environment, processes_of, run
from tests.processes.market import ROOT


def test_a_disk_that_is_full_ends_the_run_with_its_verdict(tmp_path: Path, mongo_uri: str) -> None:
    """Each process may write files of 100 kB here, and says in one line that it could not write more."""
    out = tmp_path / "run"
    words = ("localhost", 5, 2, "--pace", "fast", "--seed", 5, "--out", out)
    line = " ".join(["ulimit -f 100; exec", sys.executable, str(ROOT / "create_bazaar.py"), *map(str, words)])
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment(mongo_uri), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert "The bazaar of seed 5: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(rf"ended by itself with status 74: cannot write to {out}/\w+: File too large\n", done.stderr)
    assert processes_of(out) == {}
    assert json.loads((out / "summary.json").read_text())["requests"]["purchased"] > 0


def answered(out: Path) -> set[str]:
    """The orders whose buyers were told for good that they have it."""
    names = [name for name in json.loads((out / "bazaar.json").read_text())["names"] if name.startswith("buyer")]
    told = (happened for name in names for happened in HistoryFile(out / name).only(events.Purchased))
    return {happened.event.order_id for happened in told if happened.event.final}


def sold(ledger: list[dict[str, Any]]) -> set[str]:
    return {entry["order_id"] for entry in ledger if entry["kind"] == "sale"}


def ends_by_a_full_disk(out: Path, mongo_uri: str | None) -> None:
    """The run ends in bounded time, says why, and with room again `judge` makes whatever could not be written."""
    more = ("--window", 64, "--seed", 5, "--out", out)
    one_disk = {"TMPDIR": str(out.parent)}  # for all there is, as on most machines
    words = ("localhost", 8, 3, "--pace", "fast", *more)
    status, said, complained = run(out.parent, mongo_uri, *words, PICTURES, **one_disk)
    assert (status, "The bazaar of seed 5: " in said) == (1, True), said + complained
    assert "cannot write to" in complained
    assert "Traceback" not in said + complained
    assert "\0" not in complained
    assert processes_of(out) == {}
    assert list(out.glob(".*")) == []
    files = [out / name for name in ("output.txt", "warehouse.txt", "network.png", "timeline.png", "summary.json")]
    assert all(file.stat().st_size > 0 for file in files if file.exists())
    subprocess.run(["mount", "-o", "remount,size=500m", str(out.parent)], check=True)  # now there is room
    run(out.parent, mongo_uri, "judge", out)
    assert all(file.stat().st_size > 0 for file in files)


def test_what_was_acknowledged_is_there_after_the_disk_was_full(
    small_disk: Callable[[int], Path], mongo_uri: str
) -> None:
    out = small_disk(20) / "full"
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        before = set(client.list_database_names())
        ends_by_a_full_disk(out, mongo_uri)
        (name,) = set(client.list_database_names()) - before
        in_mongodb = list(client[name]["ledger"].find())
    lines = (out / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    on_file = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert answered(out)
    assert answered(out) <= sold(on_file) <= sold(in_mongodb)


def test_a_full_disk_with_the_runs_own_database_on_it(small_disk: Callable[[int], Path]) -> None:
    out = small_disk(130) / "full"
    ends_by_a_full_disk(out, None)
    assert not (out / "mongodb").exists()
