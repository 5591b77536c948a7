"""The MongoDB that belongs to a run: what `setup_db.sh` finds or starts for it, as the launcher sees it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from bazaar.process import ROOT
from bazaar.settings import UsageError

SETUP = ["bash", str(ROOT / "setup_db.sh")]
START_PATIENCE_S = 60.0


class Mongod:
    """`start`, then `uri`; `start` again when it was killed; `stop` in the end."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where its data are. It lives as long as this process, and no longer, even if this one is killed."""
        self._folder = folder
        self._starting: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Has it started, or started again on its data and at its port. Does not wait for it."""
        command = [*SETUP, str(self._folder), str(os.getpid())]
        pipe = subprocess.PIPE
        self._starting.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True))

    def uri(self) -> str:
        """Where it answers, as soon as it takes writes. Raises `UsageError` with what `setup_db.sh` has to say."""
        starting = self._starting[-1]
        uri, complaint = starting.communicate(timeout=START_PATIENCE_S)
        if starting.returncode != 0:
            raise UsageError(complaint.strip() or "setup_db.sh failed")
        return uri.strip()

    @property
    def pid(self) -> int | None:
        """Its process; None if there is none, or none yet (the file is there before the number is in it)."""
        if not self._starting:
            return None  # what is in the folder may be another run's
        try:
            return int((self._folder / "mongod.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Sends a signal to the process that it was once; False if that is gone."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def stop(self) -> None:
        """Ends it, deletes its data, and returns when both are done. Nothing, if there never was one."""
        for starting in self._starting:
            with starting:
                if starting.poll() is None:  # it takes down what it has begun
                    os.killpg(starting.pid, signal.SIGTERM)
        if self._starting and self._folder.exists():
            subprocess.run([*SETUP, "stop", str(self._folder)], capture_output=True, check=False)
            shutil.rmtree(self._folder, ignore_errors=True)
