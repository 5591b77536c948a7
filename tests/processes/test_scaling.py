"""Real traders by load: a step of load seats further ones, and when it is gone the market is back at its start."""

from __future__ import annotations

from pathlib import Path

from bazaar.analysis.audit import judge_run
from tests.processes.command import run

STEP = (
    *(
        "localhost",
        "9",
        "1",
        "--buyers",
        "6",
        "--pace",
        "fast",
        "--cache",
        "none",
        "--window",
        "20",
        "--duration",
        "30",
    ),
    *("--traders-max", "3", "--scale-up-after", "40", "--scale-down-after", "2", "--load", "step:100@3+8"),
    *("--set", "think_s=3"),
)


def test_a_step_of_load_seats_a_further_trader_and_then_it_goes(tmp_path: Path) -> None:
    run(*STEP, "--out", str(tmp_path / "run"))
    report = judge_run(tmp_path / "run")
    assert (report.verdict, report.violations) == ("held", {})
    changes = (tmp_path / "run" / "ledger.jsonl").read_text().count('"seats"')
    assert changes == report.exercised["seats_changed"] >= 2
