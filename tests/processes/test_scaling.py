"""Real traders by load: a step of load seats further ones, and when it is gone the market is back at its start."""

from __future__ import annotations

import json
from pathlib import Path

from bazaar.analysis.audit import judge_run
from tests.processes.command import run

STEP = (
    *("localhost", 9, 1, "--buyers", 6, "--pace", "fast", "--cache", "none", "--window", 50, "--duration", 25),
    *(
        "--traders-max",
        3,
        "--scale-up-after",
        8,
        "--scale-down-after",
        2,
        "--load",
        "step:999999@0+8",
        "--set",
        "think_s=6000",
    ),
)
"""For eight seconds 300 orders are under way, which no machine answers within 8 ms each; and then one in twenty seconds."""


def test_a_step_of_load_seats_a_further_trader_and_then_it_goes(tmp_path: Path, mongo_uri: str) -> None:
    status, _, complained = run(tmp_path, mongo_uri, *STEP, "--out", tmp_path / "run")
    assert status == 0, complained
    report = judge_run(tmp_path / "run")
    assert (report.verdict, report.violations) == ("held", {})
    ledger = map(json.loads, (tmp_path / "run" / "ledger.jsonl").read_text().splitlines())
    numbers = [entry["seats"] for entry in ledger if entry["kind"] == "seats"]
    assert (numbers[0], numbers[-1]) == (2, 1)
    assert len(numbers) <= 4, f"the number of traders flaps: {numbers}"
