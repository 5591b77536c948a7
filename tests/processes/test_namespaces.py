"""The machines of the tests can be made again at once: one file after another does it in one process."""

from __future__ import annotations

import os
from pathlib import Path

from tests.processes.machines import three_namespaces


def test_machines_are_made_again_at_once_and_nothing_of_them_stays() -> None:
    for _ in range(5):
        with three_namespaces() as (_ours, machines, _disks):
            assert links_of_this_process()
            assert len(machines) == 3
        assert not links_of_this_process()


def links_of_this_process() -> set[str]:
    return {path.name for path in Path("/sys/class/net").glob(f"bz*{os.getpid()}")}
