"""A real MongoDB for the tests of processes: one for each worker."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.processes.market")

from tests.processes.market import ROOT  # noqa: E402 # after the line above

# A shell script starts what it puts into the background with Ctrl-C switched off, and children inherit that: switch it on,
# or the tests that press it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server that ends with this worker, however that ends."""
    setup_db, folder = str(ROOT / "setup_db.sh"), str(tmp_path_factory.mktemp("mongo") / "mongodb")
    started = subprocess.run(
        ["bash", setup_db, folder, str(os.getpid())], capture_output=True, text=True, timeout=100, check=False
    )
    assert started.returncode == 0, started.stderr
    yield started.stdout.strip()
    subprocess.run(["bash", setup_db, "stop", folder], capture_output=True, timeout=60, check=False)
