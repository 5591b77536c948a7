"""The machines of `--hosts FILE`, borrowed over SSH for one run: a scheduler here, and a worker on each (requirement J1).

It is the ordinary `ssh` that connects, with all that its user has set (names, keys, an agent, jump hosts). It must not ask for
anything. What runs on a machine ends with its connection (`lending.py`).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bazaar.control.hosts_file import Hosts
from bazaar.control.lending import Loan
from bazaar.control.papers import make_papers
from bazaar.protocol.settings import UsageError
from bazaar.runtime.address import free_port, is_loopback, joined
from bazaar.runtime.process import ROOT

SSH = "BAZAAR_SSH"  # an environment variable: the command, such as `ssh -F FILE`, as git has it in GIT_SSH_COMMAND
PATIENCE_S = 300.0  # for all machines: a fresh clone makes its Python environment first
RETURNING_S = 10.0
OPTIONS = (
    "-T",
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=20"),  # five minutes, as between scheduler and worker
)


class Lender(NamedTuple):
    """A machine that is asked. What it says goes into a file, so that it can never wait for a reader."""

    word: str
    process: subprocess.Popen[bytes]
    said: Path


class Borrowed:
    """Call `ask`, and `have_come` until they have; `give_back` in any case."""

    def __init__(self, hosts: Hosts, ours: str, folder: Path) -> None:
        """`ours`: the address at which the machines reach this one. `folder`: for what is needed meanwhile."""
        self._hosts = hosts
        self._ours = ours
        self._folder = folder
        self._scheduler = ""
        self._lenders: list[Lender] = []
        self._deadline = 0.0

    def ask(self) -> tuple[str, Path]:
        """Starts the scheduler, and asks all machines. Returns its dask://HOST:PORT, and the papers. Raises `UsageError`."""
        ssh = shlex.split(os.environ.get(SSH) or "ssh")
        if shutil.which(ssh[0]) is None:
            raise UsageError(f"{self._hosts.source}: there is no {ssh[0]} on PATH, by which machines are asked")
        if is_loopback(self._ours) and {split(word)[0] for word in self._hosts.machines} != {self._ours}:
            raise UsageError(
                f"{self._hosts.source}: to other machines {self._ours} means themselves; start the run with the address at "
                "which they reach this one"
            )
        make_papers(self._folder)
        papers = {path.name: path.read_text() for path in self._folder.iterdir()}
        where = joined(self._ours, free_port(self._ours))
        self._scheduler = f"dask://{where}"
        self._deadline = time.monotonic() + PATIENCE_S
        here = [sys.executable, str(ROOT / "create_bazaar.py"), "cluster", "lend"]
        self._start("the scheduler", here, Loan("scheduler", where, papers))
        for word in self._hosts.machines:
            host, clone = split(word)
            there = f"cd {_quoted(clone)} && exec bash run.sh cluster lend"
            command = here if host == self._ours else [*ssh, *OPTIONS, "--", host, there]
            self._start(word, command, Loan("worker", where, papers, word))
        return self._scheduler, self._folder

    def _start(self, word: str, command: Sequence[str], loan: Loan) -> None:
        said = self._folder / f"said{len(self._lenders)}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True
            )  # fmt: skip
        self._lenders.append(Lender(word, process, said))
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(loan) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # `look` says why it has ended

    def have_come(self, workers: Iterable[str]) -> bool:
        """Whether all machines are among these workers. Raises `UsageError` if one cannot be had."""
        for word, process, said in self._lenders:
            if (status := process.poll()) is not None:
                raise UsageError(
                    f"{self._hosts.source}: {word} cannot be had: {_last_line(said) or f'status {status}'}"
                )
        missing = set(self._hosts.machines) - set(workers)
        if missing and time.monotonic() > self._deadline:
            raise UsageError(
                f"{self._hosts.source}: {', '.join(sorted(missing))} did not come within {PATIENCE_S:g} s; can it reach "
                f"{self._scheduler.removeprefix('dask://')}?"
            )
        return not missing

    def give_back(self) -> None:
        """Ends all that runs for us on the machines, and here."""
        for _, process, _ in self._lenders:
            if process.stdin is not None:
                process.stdin.close()
        deadline = time.monotonic() + RETURNING_S
        for _, process, _ in self._lenders:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def split(word: str) -> tuple[str, str]:
    """The host, and the clone's folder there: `HOST:DIR` as `scp` has it, else the same as here."""
    for mark in (":/", ":~"):
        host, found, rest = word.partition(mark)
        if found:
            return host.strip("[]"), mark[1] + rest
    return word.strip("[]"), str(ROOT)


def _quoted(folder: str) -> str:
    """For a shell there; a `~` in front keeps its meaning."""
    return f"~{shlex.quote(folder[1:]) if len(folder) > 1 else ''}" if folder.startswith("~") else shlex.quote(folder)


def _last_line(said: Path) -> str:
    lines = said.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip().removeprefix("bazaar: ") if lines else ""
