"""What tests/run.sh relies on: the tests of a group share a worker, and so a browser or a MongoDB.

pytest-xdist does that with a private attribute of pytest's. When pytest 9.2.0 did not have it any more, nobody was told: each
worker started its own browser.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULE = """
import os, pathlib, pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(8))
def test_who_runs_it(number):
    pathlib.Path(__file__).with_name(f"{os.getpid()}.ran").touch()
"""


def test_a_group_of_tests_shares_a_worker(tmp_path: Path) -> None:
    for name in ("test_one.py", "test_other.py"):
        (tmp_path / name).write_text(MODULE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "16 passed" in ended.stdout, ended.stdout + ended.stderr
    assert len(list(tmp_path.glob("*.ran"))) == 1
