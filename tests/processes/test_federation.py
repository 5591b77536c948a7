"""Two bazaars of real processes trade with each other, and lose an embassy, or one of the two."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bazaar.analysis.judgement import judged, judged_together
from bazaar.runtime.process import ROOT
from bazaar.runtime.treaty import treaty_file
from tests.waiting import wait_until

PATIENCE_S = 120.0
BAZAAR = ["localhost", "8", "3", "--pace", "fast", "--quiet", "--no-pictures", "--set", "think_s=0.1"]


@contextlib.contextmanager
def opened(out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(ROOT / "create_bazaar.py"), *BAZAAR, "--out", str(out), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as launcher:
        try:
            yield launcher
        finally:
            launcher.kill()


def somebody_bought_abroad(run: Path) -> bool:
    return any("bought_abroad" in path.read_text() for path in run.glob("buyer*/history.jsonl"))


@pytest.mark.parametrize("fate", ["an embassy dies", "the other bazaar dies"])
def test_what_is_sold_out_in_one_is_bought_in_the_other(tmp_path: Path, fate: str) -> None:
    north, south = tmp_path / "north", tmp_path / "south"
    treaty = south / treaty_file("north")
    rich = ["--name", "south", "--partners", "north", "--set", "restock_count=100", "--buyers", "3", "--seed", "3"]
    with opened(south, *rich) as there:
        wait_until(treaty.exists, PATIENCE_S)
        poor = ["--name", "north", "--set", "restock_count=1", "--buyers", "5", "--seed", "4", "--requests", "60"]
        faults = ["--fault", "kill:embassy@1"] if fate == "an embassy dies" else []
        with opened(north, *poor, *faults, "--federate", f"south={treaty}") as here:
            wait_until(lambda: somebody_bought_abroad(north), PATIENCE_S)
            if fate == "the other bazaar dies":
                there.kill()
            assert here.wait(PATIENCE_S) == 0, here.communicate()
        there.send_signal(signal.SIGINT)
        there.wait(PATIENCE_S)
    assert judged(north).report.verdict == "held"
    assert judged(south).report.violations == {}
    together = judged_together([north, south])
    assert (together.verdict, together.violations) == ("held", {})
    assert together.exercised["bought_abroad"] > 0
