"""Three network namespaces as machines, each with an address and a folder of its own, made and removed here.

Their steady clocks read what those of three machines would, which were started at different times.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from bazaar.control.papers import FOLDER
from tests.needs import need
from tests.processes.command import environment
from tests.processes.market import PATIENCE_S, ROOT
from tests.processes.namespaces import ip, lay
from tests.waiting import wait_until

AHEAD_S = (0, 30, 3600)
"""By how much the steady clocks of the machines are ahead of ours."""
COMMAND = [sys.executable, str(ROOT / "create_bazaar.py"), "cluster"]


CLOCK = ["unshare", "--time", "--kill-child", "--fork", "--monotonic"]


def command_of(pid: str) -> str:
    """The name of the program; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


class Machine:
    """A network namespace with a Dask worker."""

    def __init__(self, name: str, address: str, link: str, disk: Path, ahead_s: int) -> None:
        self.name, self.address, self.link, self.disk, self.ahead_s = name, address, link, disk, ahead_s
        self.worker = 0

    @property
    def pids(self) -> set[int]:
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return {int(pid) for pid in found.stdout.split() if command_of(pid) != "unshare"}

    @property
    def enter(self) -> list[str]:
        """What a command is put behind to run there."""
        inside = ["ip", "netns", "exec", self.name]
        return inside if not self.ahead_s else [*inside, *CLOCK, str(self.ahead_s)]

    @property
    def ports(self) -> set[str]:
        """Where anybody listens."""
        words = ["ip", "netns", "exec", self.name, "ss", "-Htln"]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return {line.split()[3] for line in found.splitlines()}

    @property
    def files(self) -> list[Path]:
        """Those of runs."""
        return [path for path in self.disk.rglob("*") if path.name in ("key", "bazaar.json", "history.jsonl")]

    def die(self) -> None:
        """All its processes are killed, the worker before those that it could still tell of."""
        for pid in sorted(self.pids):
            with suppress(ProcessLookupError):  # the system kills the processes with the threads that started them
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.pids, PATIENCE_S)


class Cluster:
    """The machines, and a scheduler on ours, which has an address that they reach."""

    def __init__(self, ours: str, machines: list[Machine], papers: Path) -> None:
        self.ours = ours
        self.machines = machines
        self.where = f"dask://{ours}:8786"
        self.environment = {**environment(None), FOLDER: str(papers)}
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        subprocess.run([*COMMAND, "papers"], env=self.environment, check=True, capture_output=True)
        self._child([*COMMAND, "scheduler", self.ours], None)
        for machine in self.machines:
            self.start_worker(machine)

    def start_worker(self, machine: Machine) -> None:
        before = machine.pids
        words = [*machine.enter, *COMMAND, "worker", self.ours, str(machine.disk)]
        log = self._child(words, machine.disk / "log")
        wait_until(lambda: b"Registered to" in log.read_bytes(), 200.0)
        (machine.worker,) = machine.pids - before

    def _child(self, words: list[str], log: Path | None) -> Path:
        log = log or Path(self.environment[FOLDER]).parent / "log"
        with log.open("wb") as file:
            child = subprocess.Popen(
                words, env=self.environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._children.append(child)
        return log

    def close(self) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()

    def words(self, *more: object) -> tuple[object, ...]:
        """The command line of a run on these machines."""
        return (self.ours, 12, 3, "--hosts", self.where, "--pace", "fast", "--quiet", *more)

    def seen(self) -> list[tuple[set[int], set[str], list[Path]]]:
        """What is on each machine: processes, open ports, and files of runs. A run must leave it as it was.

        Files stay on a machine if it was cut off at the end of its run, and if the launcher was killed.
        """
        return [(machine.pids, machine.ports, machine.files) for machine in self.machines]


@contextmanager
def three_machines() -> Iterator[Cluster]:
    """Made, with a cluster's workers, and removed at the end of the block."""
    with three_namespaces() as (ours, machines, disks), closing(Cluster(ours, machines, disks / "papers")) as cluster:
        cluster.start()
        yield cluster


@contextmanager
def three_namespaces() -> Iterator[tuple[str, list[Machine], Path]]:
    """Our address, the machines, and a folder for what is theirs. Made, and removed at the end of the block."""
    need(importlib.util.find_spec("distributed"), "Dask distributed", "pip install -r requirements-cluster.txt")
    number = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or "99"
    bridge, net = f"bzb{os.getpid()}", f"10.78.{number}"
    clock = subprocess.run([*CLOCK, "1", "true"], capture_output=True, check=False).returncode == 0
    need(clock, "way to set a steady clock", "run as root, with util-linux 2.36 and Linux 5.6")
    with ExitStack() as undo:
        lay("link", "add", bridge, "type", "bridge")
        undo.callback(ip, "link", "del", bridge)
        lay("addr", "add", f"{net}.254/24", "dev", bridge)
        lay("link", "set", bridge, "up")
        disks = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        machines = []
        for index in (1, 2, 3):
            name, link = f"bazaar-{os.getpid()}-{index}", f"bz{index}{os.getpid()}"
            lay("netns", "add", name)
            undo.callback(ip, "netns", "del", name)
            lay("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            undo.callback(ip, "link", "del", link)  # the kernel removes it some time after the namespace
            lay("link", "set", link, "master", bridge, "up")
            lay("-n", name, "addr", "add", f"{net}.{index}/24", "dev", "eth0")
            lay("-n", name, "link", "set", "eth0", "up")
            lay("-n", name, "link", "set", "lo", "up")
            (disks / str(index)).mkdir()
            machines.append(Machine(name, f"{net}.{index}", link, disks / str(index), AHEAD_S[index - 1]))
            undo.callback(machines[-1].die)  # after Ctrl-C in a test something may still run there
        yield f"{net}.254", machines, disks
