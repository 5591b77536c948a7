"""The MongoDB that belongs to a run, as the launcher sees it. `setup_db.sh` finds or starts it."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import ROOT

SETUP = ["bash", str(ROOT / "setup_db.sh")]
START_PATIENCE_S = 60.0
END_PATIENCE_S = 5.0
LOOK_EVERY_S = 0.1
FETCHING = "setup_db.sh: Fetching "
MOST_BYTES = 4096
MOST_TRIES = 3  # in a row: after so many kills somebody means it


def database_of(out: Path) -> str:
    """A unique name for the database of the run in this folder: ASCII, at most 63 bytes."""
    return f"bazaar_{re.sub('[^0-9A-Za-z]', '_', out.name)[-40:]}_{secrets.token_hex(6)}"


class Mongod:
    """Call `start`, then `uri`, or `look` until it is `ready`. `look` starts again what was killed. Call `stop` at the end."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the server's data are. The server ends when this process does, even if this one is killed."""
        self._folder = folder
        self._setup: subprocess.Popen[str] | None = None  # while it is being started
        self._words: IO[bytes] | None = None  # its standard error meanwhile
        self._fetched = ""
        self._patient_until = 0.0
        self._uri = ""
        self._server: int | None = None
        self._guard: int | None = None
        self._tries = 0

    def start(self) -> None:
        """Has the server started, or started again on its data and at its port. Does not wait for it."""
        command = [*SETUP, str(self._folder), str(os.getpid())]
        pipe = subprocess.PIPE
        self._tries += 1
        self._patient_until = time.monotonic() + START_PATIENCE_S
        # Read while setup_db.sh runs, and closed when it ends. It is in the run's folder: /tmp may be full, or not writable.
        self._words = tempfile.TemporaryFile(dir=self._folder.parent)  # noqa: SIM115
        self._setup = subprocess.Popen(command, stdout=pipe, stderr=self._words, text=True, start_new_session=True)

    def uri(self) -> str:
        """The server's URI. Waits until the server takes writes. Raises `UsageError` with the complaint of `setup_db.sh`."""
        while not self.ready:
            assert self._setup is not None, "it was never started"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._setup.wait(LOOK_EVERY_S)
            self.look()
        return self._uri

    @property
    def fetching(self) -> str:
        """How much of the server's image has been fetched, while it is fetched; else empty."""
        said = self._last_words()
        return said if said.startswith(FETCHING) else ""

    @property
    def ready(self) -> bool:
        """Whether the server takes writes, as far as is known."""
        return self._setup is None and bool(self._uri)

    @property
    def pid(self) -> int | None:
        """The server's process id. None if there is none, or none yet (the file exists before the number is in it)."""
        if self._setup is not None:
            self._server = self._number("mongod.pid") or self._server
        return self._server

    def look(self) -> list[str]:
        """Names the processes that have ended unexpectedly since the last call.

        If there are any, has the server started again. Raises `UsageError` if it cannot be started.
        """
        fallen: list[str] = []
        if self._setup is not None:
            pid = self.pid
            if self._setup.poll() is None:
                self._be_patient()
                return []
            said, _ = self._setup.communicate()
            complaint = self._last_words()
            self._forget_words()
            status, self._setup = self._setup.returncode, None
            if status == 0:
                self._uri, self._tries = said.strip(), 0
                self._server, self._guard = self._number("mongod.pid"), self._number("guard.pid")
                return []
            if status < 0 or status > 128:
                fallen = ["setup_db.sh"]
            elif pid is not None and not self._is_there(pid):
                fallen = ["mongod"]
            if not fallen or self._tries >= MOST_TRIES:
                raise UsageError(complaint or f"setup_db.sh ended with status {status}")
        else:
            if self._server is not None and not self._is_there(self._server):
                fallen = ["mongod"]
                if not any(self._folder.glob("WiredTiger*")):
                    raise UsageError(f"mongod was killed, and its data in {self._folder} are gone")
            if self._guard is not None and not self._is_there(self._guard):
                fallen.append("mongod's guard")
        if fallen:
            self.start()
        return fallen

    def _be_patient(self) -> None:
        """Extends the deadline as long as data are fetched. Raises `UsageError` after the deadline."""
        if self.fetching != self._fetched:
            self._fetched = self.fetching
            self._patient_until = time.monotonic() + START_PATIENCE_S
        if time.monotonic() > self._patient_until:
            raise UsageError(f"MongoDB was not ready within {START_PATIENCE_S:g} s, and nothing was fetched meanwhile")

    def _last_words(self) -> str:
        """The last line that `setup_db.sh` has written."""
        if self._words is None:
            return ""
        end = os.fstat(self._words.fileno()).st_size
        said = os.pread(self._words.fileno(), MOST_BYTES, max(0, end - MOST_BYTES)).decode(errors="replace")
        return said.strip().rpartition("\n")[2]

    def _forget_words(self) -> None:
        if self._words is not None:
            self._words.close()
        self._words = None

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Sends a signal to the server's process with this id, maybe a former one; False if it is gone."""
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def stop(self) -> None:
        """Ends the server and deletes its data; returns when both are done. Does nothing if there never was a server."""
        if self._setup is None and not self._uri and not self._tries:
            return  # the folder's content may belong to another run
        if self._setup is not None:
            self._take_down(self._setup)
            self._setup = None
            self._forget_words()
        if self._folder.exists():
            subprocess.run([*SETUP, "stop", str(self._folder)], capture_output=True, check=False)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _take_down(self, setup: subprocess.Popen[str]) -> None:
        """Ends `setup_db.sh`, which ends what it has started. If it does not end in time, it is killed."""
        with setup:
            if setup.poll() is None:
                for number in (signal.SIGTERM, signal.SIGCONT):
                    os.killpg(setup.pid, number)
                try:
                    setup.wait(END_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    os.killpg(setup.pid, signal.SIGKILL)

    def _number(self, name: str) -> int | None:
        """The number in one of the files of `setup_db.sh`; None if there is none."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / name).read_text())
        return None

    def _is_there(self, pid: int) -> bool:
        """Whether this process lives, and is one of ours: process ids are reused, and a dead process may be a zombie."""
        if Path("/proc/self").exists():
            with contextlib.suppress(OSError):
                return os.fsencode(os.path.realpath(self._folder)) in Path(f"/proc/{pid}/cmdline").read_bytes()
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
