"""What a run leaves behind is for its owner alone, whatever the umask of the shell that started it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.command import environment
from tests.processes.market import ROOT

OTHERS = 0o077


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder to which everybody on the machine finds the way."""
    folder = Path(tempfile.mkdtemp(prefix="bazaar-open-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run_with_umask(umask: str, folder: Path, mongo_uri: str) -> Path:
    command = [sys.executable, str(ROOT / "create_bazaar.py"), "localhost", "4", "1", "--pace", "fast"]
    command += ["--requests", "20", "--seed", "1", "--out", str(folder / "run")]
    shell = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *command]
    done = subprocess.run(
        shell, cwd=folder, env=environment(mongo_uri), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize("umask", ["000", "022", "777"])
def test_what_a_run_leaves_is_for_its_owner_alone(umask: str, open_folder: Path, mongo_uri: str) -> None:
    run = run_with_umask(umask, open_folder, mongo_uri)
    left = [run, *run.rglob("*")]
    names = {path.name for path in left}
    assert {"key", "bazaar.json", "history.jsonl", "ledger.jsonl", "stderr.txt", "output.txt", "summary.json"} <= names
    assert any(name.startswith("queue-") for name in names)
    assert [f"{path} {path.stat().st_mode:o}" for path in left if path.stat().st_mode & OTHERS] == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to become somebody else")
def test_another_user_reads_nothing(open_folder: Path, mongo_uri: str) -> None:
    run = run_with_umask("000", open_folder, mongo_uri)
    somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    files = [str(path) for path in run.rglob("*") if path.is_file()]
    assert subprocess.run([*somebody, "ls", str(open_folder)], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*somebody, "ls", str(run)], capture_output=True, check=False).returncode != 0
    read = subprocess.run([*somebody, "cat", *files], capture_output=True, check=False)
    assert read.stdout == b""
    assert read.returncode != 0
