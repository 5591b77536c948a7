"""The command line as a process of its own, and what of it is still alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bazaar.control import interrupts
from create_bazaar import VERBS
from tests.processes.market import ROOT

Command = subprocess.Popen[str]
PICTURES = "with pictures"
"""Among the arguments of a run: it draws pictures."""


def environment(mongo_uri: str | None) -> dict[str, str]:
    """Ours, with this MongoDB; None: none is given."""
    ours = {name: value for name, value in os.environ.items() if name != "BAZAAR_MONGO_URI"}
    return ours if mongo_uri is None else {**ours, "BAZAAR_MONGO_URI": mongo_uri}


def launch(cwd: Path, mongo_uri: str | None, *arguments: object, **more: str) -> Command:
    """Starts `create_bazaar.py` with these arguments in `cwd`; as a terminal would start it.

    A run draws no pictures without `PICTURES`: they are a third of what a short run costs.
    """
    words = [str(argument) for argument in arguments if argument != PICTURES]
    if PICTURES not in arguments and words and words[0] not in VERBS:
        words.append("--no-pictures")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "create_bazaar.py"), *words],
        cwd=cwd,
        env={**environment(mongo_uri), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )


@contextmanager
def launched(cwd: Path, mongo_uri: str | None, *arguments: object, **more: str) -> Iterator[Command]:
    """As `launch`; kills it at the end of the block, so that a test that fails does not wait for a run without an end."""
    with launch(cwd, mongo_uri, *arguments, **more) as command:
        try:
            yield command
        finally:
            command.kill()


def _heed_interrupts() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and `nohup` to a hang-up; the tests may run in one."""
    for number in interrupts.NUMBERS:
        signal.signal(number, signal.SIG_DFL)


def run(cwd: Path, mongo_uri: str | None, *arguments: object, **more: str) -> tuple[int, str, str]:
    """Runs it to its end: the exit status, standard output, standard error."""
    with launch(cwd, mongo_uri, *arguments, **more) as command:
        return ended(command)


def ended(command: Command) -> tuple[int, str, str]:
    """Waits for its end. A process that it left behind with its output still open is found out by the timeout."""
    try:
        said, complained = command.communicate(timeout=200)
    finally:
        command.kill()
    return command.returncode, said, complained


def processes_of(folder: Path) -> dict[int, str]:
    """The live processes that name `folder` in their command line: pid, command line."""
    found = {}
    for pid in _pids():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            continue
        if str(folder) in line and state != "Z":
            found[pid] = line
    return found


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def listening() -> Mapping[str, str]:
    """All listening sockets of this machine: inode, local address as the kernel writes it (hexadecimal)."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                sockets[fields[9]] = fields[1].rpartition(":")[0]
    return sockets


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    inodes = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        pass  # it ended meanwhile
    return inodes
