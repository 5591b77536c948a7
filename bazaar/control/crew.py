"""The processes of a run: starts them, reads what they write, wakes and stops them, and says which have ended."""

from __future__ import annotations

import selectors
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bazaar.runtime.process import Process

EXIT_PATIENCE_S = 3.0


class Crew:
    """All running processes of a run."""

    def __init__(self, run: Path) -> None:
        """`run`: the folder in which each process has its own."""
        self._run = run
        self._selector = selectors.DefaultSelector()
        self.members: dict[str, Process] = {}
        """By name. A process that has ended is removed, unless it was ended by `stop`."""

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], keeps_open: Sequence[int]
    ) -> Process:
        """Starts a Python program under this name. Raises `OSError`."""
        process = Process(name, self._run / name, [sys.executable, *arguments], environment, keeps_open)
        self.members[name] = process
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def speaking(self, patience_s: float) -> list[Process]:
        """Waits at most this long; returns the processes that have written something or have ended."""
        return [key.data for key, _ in self._selector.select(patience_s)]

    def ended(self, speaking: Iterable[Process]) -> Iterator[Process]:
        """Reads what these processes have written; yields those that have ended."""
        for process in speaking:
            if not process.hear():
                self._selector.unregister(process.stdout)
                yield process

    def dismiss(self, process: Process) -> None:
        """Removes a process that has ended, and closes its pipes."""
        process.end(time.monotonic())
        del self.members[process.name]

    def tell(self, word: str) -> None:
        """Sends this command to every process."""
        for process in self.members.values():
            process.tell(word)

    def wake(self) -> None:
        """Continues every process that a fault, or somebody at another terminal, has stopped."""
        for process in self.members.values():
            process.signal(signal.SIGCONT)

    def stop(self, names: Iterable[str]) -> None:
        """Ends these processes; those that do not obey are killed."""
        group = [self.members[name] for name in names if name in self.members]
        for process in group:
            process.tell("stop")
        deadline = time.monotonic() + EXIT_PATIENCE_S
        for process in group:
            process.end(deadline)

    def close(self) -> None:
        """Stops reading what the processes write."""
        self._selector.close()
