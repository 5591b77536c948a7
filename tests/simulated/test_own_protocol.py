"""The protocol of docs/how-to/add-a-protocol.md, added to a copy of the repository as that page says, and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("own_protocol")  # its fixture is made once

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-protocol.md"
STEP = re.compile(r"In\s`([^`]+)`, before `([^`]+)`:\n\n```(?:python|text)\n(.*?)```", re.DOTALL)
NEW_FILE = re.compile(r"A new file,\s`([^`]+)`:\n\n```python\n(.*?)```", re.DOTALL)
LOCATED = re.compile(r"(buyer\d+) knows that (seller\d+) sells (\w+), (\d+) edge\(s\) away")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's code, with all that stands on the page."""
    copied = tmp_path_factory.mktemp("own_protocol")
    for room in ("bazaar", "peers", "tests"):
        shutil.copytree(ROOT / room, copied / room, ignore=shutil.ignore_patterns("__pycache__"))
    text = PAGE.read_text()
    for path, before, block in STEP.findall(text):
        lines = (copied / path).read_text().splitlines(keepends=True)
        (number,) = (number for number, line in enumerate(lines) if line.rstrip("\n") == before)
        (copied / path).write_text("".join([*lines[:number], block, *lines[number:]]))
    ((path, block),) = NEW_FILE.findall(text)
    (copied / path).write_text(block)
    assert len(STEP.findall(text)) + 1 == len(re.findall(r"^```(?:python|text)$", text, re.MULTILINE))
    return copied


def simulated(copy: Path, *arguments: str) -> str:
    """What the simulator says, in the copy."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--edges", *arguments],
        cwd=copy,
        env={"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout


def test_worlds_with_faults_hold(copy: Path) -> None:
    (held,) = re.findall(r"of 40 seeds (\d+) held", simulated(copy, "--seeds", "40"))
    assert int(held) > 30


def test_buyers_find_sellers_of_what_they_look_for(copy: Path) -> None:
    told = simulated(copy, "--seed", "5", "--tell")
    found = LOCATED.findall(told)
    assert found
    for buyer, seller, item, edges in found:
        assert f"{buyer} joined the bazaar as buyer looking for {item}" in told
        assert f"{seller} joined the bazaar as seller selling {item}" in told
        assert 1 <= int(edges) <= 4
