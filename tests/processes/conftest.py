"""A real MongoDB for the tests of processes, one for each worker; a disk that is soon full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.processes.market")

from tests.needs import need  # noqa: E402
from tests.processes.machines import Cluster, three_machines  # noqa: E402 # after the line above
from tests.processes.market import ROOT  # noqa: E402

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


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three machines."""
    with three_machines() as cluster:
        yield cluster


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many megabytes."""
    need(os.geteuid() == 0 and shutil.which("mount"), "way to mount a small disk", "run as root, with mount")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(megabytes: int) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
        need(
            mounted.returncode == 0, f"right to mount a small disk ({mounted.stderr.strip()})", "give the container it"
        )
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)
