"""A peer on another machine, by the recipe of the how-to page. That machine is a network namespace, made and removed here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bazaar.analysis.summary import Summary
from bazaar.control.planning import draw_plan
from bazaar.protocol.entries import AnyEntry, Sale
from bazaar.protocol.plan import save
from bazaar.runtime.history import HISTORY_FILE
from bazaar.runtime.key import make_key
from bazaar.runtime.ledger_file import LEDGER_FILE
from bazaar.runtime.runclock import start_clock
from tests.processes.command import ended, environment, launched, processes_of
from tests.processes.market import PATIENCE_S, ROOT, quick
from tests.processes.namespaces import ip, lay
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "other-machines.md"
NAME = "buyer4"


class Machine(NamedTuple):
    """Another machine, and the address of ours that it reaches."""

    name: str
    address: str
    ours: str

    def bash(self, folder: Path, script: str) -> subprocess.Popen[str]:
        """Starts this script there."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, "bash", "-c", script], cwd=folder, text=True, start_new_session=True,
            env=environment(None), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture
def other() -> Iterator[Machine]:
    worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "99"
    name, link = f"bazaar-{os.getpid()}", f"bz{os.getpid()}"
    machine = Machine(name, f"10.77.{worker}.2", f"10.77.{worker}.1")
    lay("netns", "add", name)
    try:
        lay("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        lay("addr", "add", f"{machine.ours}/24", "dev", link)
        lay("link", "set", link, "up")
        lay("-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        lay("-n", name, "link", "set", "eth0", "up")
        lay("-n", name, "link", "set", "lo", "up")
        yield machine
    finally:
        ip("link", "del", link)
        assert ip("netns", "del", name)


def recipe() -> str:
    """The command of step 4."""
    (command,) = re.findall(r"`(\(echo begin; cat\) .*)`", PAGE.read_text(encoding="utf-8"))
    return str(command).replace("<clone>", shlex.quote(str(ROOT)))


def test_a_peer_is_moved_to_another_machine_by_the_recipe(other: Machine, tmp_path: Path, mongo_uri: str) -> None:
    out, there = tmp_path / "run", tmp_path / "there"
    options = ("8", "3", "--seed", "21", "--pace", "fast", "--quiet", "--out", out)
    with launched(tmp_path, mongo_uri, f"{other.ours}:9090", *options) as command:
        wait_until(lambda: (out / LEDGER_FILE).exists() and sold(out), PATIENCE_S)
        (pid,) = (pid for pid, words in processes_of(out).items() if f"peers {NAME} " in words)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in processes_of(out), PATIENCE_S)
        (there / NAME).mkdir(parents=True)
        (there / "run").mkdir()
        for file in ("bazaar.json", "launched.json", "key"):
            shutil.copy(out / file, there / "run")
        shutil.copy(out / NAME / HISTORY_FILE, there / NAME)
        before = len(sold(out, NAME))
        with other.bash(there / NAME, recipe()) as moved:
            try:
                wait_until(lambda: moved.poll() is not None or len(sold(out, NAME)) > before + 10, PATIENCE_S)
                connected = subprocess.run(["ss", "-Htn"], capture_output=True, text=True, check=False).stdout
            finally:
                assert moved.stdin is not None
                moved.stdin.close()
            assert moved.wait(PATIENCE_S) == 0, moved.stderr
        assert other.address in connected
        assert len(sold(out, NAME)) > before + 10
        shutil.copy(there / NAME / HISTORY_FILE, out / NAME)
        command.send_signal(signal.SIGINT)
        assert ended(command)[0] == 0
    summary = msgspec.json.decode((out / "summary.json").read_bytes(), type=Summary)
    assert summary.verdict == "held"
    assert processes_of(tmp_path) == {}


def sold(out: Path, buyer: str = "") -> list[Sale]:
    """The sales so far, to one buyer or to all. The last line may still be under way."""
    lines = (out / LEDGER_FILE).read_bytes().rpartition(b"\n")[0].splitlines()
    entries = [msgspec.json.decode(line, type=AnyEntry) for line in lines]
    return [entry for entry in entries if isinstance(entry, Sale) and buyer in ("", entry.buyer)]


@pytest.mark.parametrize(
    ("host", "status", "said"),
    [
        ("localhost", 1, "buyer4 cannot enter its name: name server at localhost:9090: "),
        ("203.0.113.9", 2, "this machine has no way to the name server's host 203.0.113.9 "),
    ],
)
def test_a_name_server_that_is_not_reached_is_said_in_one_line(
    host: str, status: int, said: str, other: Machine, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / NAME).mkdir()
    save(draw_plan(quick(host=host, seed=21)), run / "bazaar.json")
    make_key(run / "key")
    start_clock(run)
    with other.bash(tmp_path / NAME, recipe()) as moved:
        said_there, complaint = moved.communicate(timeout=PATIENCE_S)
    assert (moved.returncode, said_there, complaint.count("\n")) == (status, "", 1)
    assert complaint.startswith(said)
