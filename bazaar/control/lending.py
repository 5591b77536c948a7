"""`bash run.sh cluster lend`: lends this machine to one run, until standard input ends (requirement J1).

The launcher starts this on each machine of `--hosts FILE`, over SSH (`borrowing.py`). The first line of standard input says
what to run, and has the papers of a cluster that exists for this run only. They lie in a folder that is removed in the end.
Standard input ends with the connection, and so with the launcher, however that ends.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from bazaar.control.papers import FOLDER
from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import ROOT

ENDING_S = 5.0
POLL_S = 0.5  # between two looks whether the program runs; its end is rare, and not urgent


class Loan(msgspec.Struct):
    """What a machine is to do. `papers`: the texts of the cluster's files, by name."""

    program: Literal["scheduler", "worker"]
    where: str
    """HOST:PORT of the scheduler."""
    papers: dict[str, str]
    name: str = ""
    """What the scheduler shall call the worker."""


def lend() -> int:
    """Does what the first line of standard input says. Returns the exit status of the program, or 0 if it was told to end."""
    try:
        loan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Loan)
    except msgspec.MsgspecError:
        raise UsageError(
            "cluster lend is started by a run, over SSH: write the machine into the file of --hosts"
        ) from None
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with tempfile.TemporaryDirectory(prefix="bazaar-lent-") as folder:
        papers = Path(folder) / "cluster"
        papers.mkdir(mode=0o700)
        for name, text in loan.papers.items():
            (papers / Path(name).name).write_text(text)
        more = [folder, loan.name] if loan.program == "worker" else []
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "create_bazaar.py"), "cluster", loan.program, loan.where, *more],
            env={**os.environ, FOLDER: str(papers)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while child.poll() is None and not _is_over():
                pass
            return child.returncode or 0
        finally:
            _end_all(child)


def _is_over() -> bool:
    """Whether standard input has ended. Waits a moment for that."""
    ready, _, _ = select.select([sys.stdin], [], [], POLL_S)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def _end_all(child: subprocess.Popen[bytes]) -> None:
    """Ends the program, and then whatever it has left: all are of one session."""
    child.terminate()
    try:
        child.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)
