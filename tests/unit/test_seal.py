from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bazaar.analysis.seal import SEAL_FILE, broken, seal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, sealed."""
    for name in ("bazaar.json", "ledger.jsonl", "buyer0/history.jsonl", "buyer7/history.jsonl", "buyer7/queue-0.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() + b"\n")
    seal(tmp_path)
    return tmp_path


def test_what_nobody_has_touched_is_as_it_was(run: Path) -> None:
    assert broken(run) is None


def test_what_is_made_of_the_evidence_may_change(run: Path) -> None:
    (run / "summary.json").write_text("{}")
    (run / "buyer0" / "stderr.txt").write_text("oops")
    assert broken(run) is None


@pytest.mark.parametrize(
    ("change", "story"),
    [
        (lambda run: (run / "ledger.jsonl").write_bytes(b"ledger.jsonL\n"), "ledger.jsonl was changed"),
        (lambda run: (run / "buyer0" / "history.jsonl").write_bytes(b""), "buyer0/history.jsonl was changed"),
        (lambda run: (run / "buyer7" / "queue-0.jsonl").unlink(), "buyer7/queue-0.jsonl is not there any more"),
        (lambda run: (run / "buyer0" / "queue-3.jsonl").touch(), "buyer0/queue-3.jsonl was not there"),
        (lambda run: (run / SEAL_FILE).write_text("{]"), f"{SEAL_FILE} cannot be read"),
    ],
)
def test_whatever_is_not_as_it_was_is_named(run: Path, change: Callable[[Path], object], story: str) -> None:
    change(run)
    assert broken(run) == story


def test_a_run_is_sealed_once(run: Path) -> None:
    (run / "ledger.jsonl").write_bytes(b"another\n")
    seal(run)
    assert broken(run) == "ledger.jsonl was changed"


def test_without_a_seal_nothing_is_known(tmp_path: Path) -> None:
    assert broken(tmp_path) is None
