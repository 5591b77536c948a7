"""Machines that are borrowed over SSH for one run: three network namespaces with an `sshd` each (requirement J1)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bazaar.control.borrowing import SSH
from bazaar.runtime.ledger_file import LEDGER_FILE
from tests.needs import need
from tests.processes.command import ended, environment, launched, run
from tests.processes.machines import Machine, three_namespaces
from tests.processes.market import PATIENCE_S
from tests.processes.namespaces import ip
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("hosts"), pytest.mark.timeout(600)]


class Lenders:
    """Three machines that let us in by SSH, and have nothing of ours."""

    def __init__(self, ours: str, machines: list[Machine], folder: Path, sshd: str) -> None:
        self.ours, self.machines = ours, machines
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
        (folder / "ssh_config").write_text(
            f"IdentityFile {folder / 'user'}\nIdentitiesOnly yes\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\n"
            f"LogLevel ERROR\nHost second\n  HostName {machines[1].address}\n"
        )
        self.environment = {**environment(None), SSH: f"ssh -F {folder / 'ssh_config'}"}
        Path("/run/sshd").mkdir(exist_ok=True)  # it wants this folder
        self._daemons = []
        for machine in machines:
            config = folder / f"sshd_{machine.name}"
            config.write_text(
                f"ListenAddress {machine.address}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user'}.pub\n"
                "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n"
            )
            words = ["ip", "netns", "exec", machine.name, sshd, "-D", "-f", str(config)]
            self._daemons.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
            wait_until(lambda machine=machine: machine.ports, PATIENCE_S)  # type: ignore[misc]
        self.before = self.seen()

    def seen(self) -> list[tuple[set[int], set[str]]]:
        """What is on each machine: processes and open ports. A run must leave it as it was."""
        return [(machine.pids, machine.ports) for machine in self.machines]

    def words(self, folder: Path, *more: object) -> tuple[object, ...]:
        """The command line of a run on these machines. One of them is called by a name that only SSH knows."""
        first, _, third = (machine.address for machine in self.machines)
        (folder / "hosts").write_text(f"{first} 0 1\nsecond 2  # on the other table\n{third}\n")
        return (self.ours, 8, 2, "--hosts", folder / "hosts", "--pace", "fast", "--quiet", "--seed", 4, *more)

    def close(self) -> None:
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()


@pytest.fixture(scope="module")
def lenders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lenders]:
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    need(sshd, "SSH server", "install openssh-server")
    assert sshd is not None
    with three_namespaces() as (ours, machines, _):
        made = Lenders(ours, machines, tmp_path_factory.mktemp("ssh"), sshd)
        yield made
        made.close()


def verdict_of(out: Path) -> object:
    return json.loads((out / "audit.json").read_bytes())["verdict"]


def lent() -> set[Path]:
    """The folders of loans: all machines of this test have one disk."""
    return set(Path("/tmp").glob("bazaar-lent-*"))


def test_a_file_of_machines_is_all_that_a_run_needs(lenders: Lenders, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    words = lenders.words(tmp_path, "--duration", 2, "--keeper", "--out", out)
    status, said, complaint = run(tmp_path, mongo_uri, *words, **lenders.environment)
    assert (status, complaint) == (0, ""), said
    assert verdict_of(out) == "held"
    plan = json.loads((out / "bazaar.json").read_bytes())
    first, second, third = (machine.address for machine in lenders.machines)
    assert set(plan["placed"].values()) == {first, second, third}
    assert [plan["placed"][name] for name in plan["names"][:3]] == [first, first, second]
    assert (lenders.seen(), lent()) == (lenders.before, set())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_however_the_launcher_ends_the_machines_are_given_back(
    number: int, lenders: Lenders, tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *lenders.words(tmp_path, "--out", out), **lenders.environment) as command:
        wait_until(lambda: (out / LEDGER_FILE).exists() and b"sale" in (out / LEDGER_FILE).read_bytes(), PATIENCE_S)
        command.send_signal(number)
        ended(command)
    wait_until(lambda: lenders.seen() == lenders.before, PATIENCE_S)


def test_ctrl_c_while_machines_are_asked_leaves_nothing(lenders: Lenders, tmp_path: Path, mongo_uri: str) -> None:
    with launched(tmp_path, mongo_uri, *lenders.words(tmp_path), **lenders.environment) as command:
        wait_until(lambda: lenders.seen() != lenders.before, PATIENCE_S)
        command.send_signal(signal.SIGINT)
        _, output, complaint = ended(command)
    assert "Traceback" not in output + complaint
    wait_until(lambda: (lenders.seen(), lent()) == (lenders.before, set()), PATIENCE_S)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("{nobody}\n", "{nobody} cannot be had: ssh: connect to host {nobody} port 22: "),
        ("{0}\n{1}:/no/clone\n", "{1}:/no/clone cannot be had: bash: "),
        ("{0}\n{0}:{root}\n", "{0} has two workers; one for each machine"),
        ("{0} buyer99\n{1}\n", "places buyer99, and there is no such peer"),
        ("stranger@{0}\n", "stranger@{0} cannot be had: stranger@{0}: Permission denied"),
    ],
)
def test_a_machine_that_cannot_be_had_is_one_line(lines: str, said: str, lenders: Lenders, tmp_path: Path) -> None:
    places = [machine.address for machine in lenders.machines]
    root = Path(__file__).parents[2]
    nobody = places[0].removesuffix("1") + "77"
    (tmp_path / "hosts").write_text(lines.format(*places, nobody=nobody, root=root))
    words = (lenders.ours, 8, 2, "--hosts", tmp_path / "hosts", "--out", tmp_path / "run")
    status, output, complaint = run(tmp_path, None, *words, **lenders.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1), complaint
    assert said.format(*places, nobody=nobody) in complaint
    assert not (tmp_path / "run").exists()
    wait_until(lambda: (lenders.seen(), lent()) == (lenders.before, set()), PATIENCE_S)


def test_a_host_that_means_every_machine_itself_is_refused(lenders: Lenders, tmp_path: Path) -> None:
    words = ("localhost", *lenders.words(tmp_path, "--out", tmp_path / "run")[1:])
    status, output, complaint = run(tmp_path, None, *words, **lenders.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1), complaint
    assert "to other machines localhost means themselves" in complaint
    assert not (tmp_path / "run").exists()


def test_a_machine_that_is_lost_is_no_end_of_the_run(lenders: Lenders, tmp_path: Path, mongo_uri: str) -> None:
    """Its loan ends when its link is down for longer than the leash; later it is free again."""
    out, victim = tmp_path / "run", lenders.machines[2]
    words = lenders.words(tmp_path, "--keeper", "--window", 4, "--set", "leash_s=4", "--duration", 14, "--out", out)
    with launched(tmp_path, mongo_uri, *words, **lenders.environment) as command:
        try:
            wait_until(lambda: (out / LEDGER_FILE).exists() and b"sale" in (out / LEDGER_FILE).read_bytes(), PATIENCE_S)
            assert ip("link", "set", victim.link, "down")
            status, said, complaint = ended(command)
        finally:
            ip("link", "set", victim.link, "up")
    assert (status, complaint) == (0, ""), said
    assert verdict_of(out) == "held"
