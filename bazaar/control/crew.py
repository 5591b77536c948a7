"""The processes of a run: starts them, reads what they write, wakes and stops them, and says which have ended."""

from __future__ import annotations

import selectors
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bazaar.control.interrupts import deferred
from bazaar.runtime.process import LocalProcess, Process

EXIT_PATIENCE_S = 3.0


class Engine(Protocol):
    """Starts processes on other machines."""

    @property
    def placed(self) -> Mapping[str, str]:
        """The machine of each process that is not here."""

    def folder_of(self, name: str) -> str:
        """The run's folder on the machine of this process."""

    def start(self, name: str, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Starts a Python program there, whose files come to `folder`. Raises `UsageError`."""


class Crew:
    """All running processes of a run."""

    def __init__(self, run: Path) -> None:
        """`run`: the folder in which each process has its own."""
        self._run = run
        self.engine: Engine | None = None
        """Starts what it has placed; all others are started here."""
        self._selector = selectors.DefaultSelector()
        self.members: dict[str, Process] = {}
        """By name. A process that has ended is removed, unless it was ended by `stop`."""

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], keeps_open: Sequence[int]
    ) -> Process:
        """Starts a Python program under this name. Raises `OSError`, and `UsageError` on another machine."""
        folder = self._run / name
        with (
            deferred()
        ):  # else Ctrl-C could leave a process, or an agent that waits for its launcher, and nobody knows of it
            if self.engine is not None and name in self.engine.placed:
                process: Process = self.engine.start(name, folder, arguments, environment)
            else:
                process = LocalProcess(name, folder, [sys.executable, *arguments], environment, keeps_open)
            self.members[name] = process
            self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def folder_for(self, name: str) -> str:
        """The run's folder, where this process is."""
        if self.engine is not None and name in self.engine.placed:
            return self.engine.folder_of(name)
        return str(self._run)

    def speaking(self, patience_s: float) -> list[Process]:
        """Waits at most this long; returns the processes that have written something or have ended."""
        speaking = [key.data for key, _ in self._selector.select(patience_s)]
        return [
            *speaking,
            *(process for process in self.members.values() if process.overdue and process not in speaking),
        ]

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
