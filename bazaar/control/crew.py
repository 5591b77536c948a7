"""The processes of a run: starts them, hears them, wakes and stops them; says which of them have ended."""

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
    """All of a run's processes that are there."""

    def __init__(self, run: Path) -> None:
        """`run`: each has its folder in this one."""
        self._run = run
        self._selector = selectors.DefaultSelector()
        self.members: dict[str, Process] = {}
        """By name; whoever has ended is no member any more, but for those that were stopped."""

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], keeps_open: Sequence[int]
    ) -> Process:
        """Starts a Python program under this name. Raises `OSError`."""
        process = Process(name, self._run / name, [sys.executable, *arguments], environment, keeps_open)
        self.members[name] = process
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def speaking(self, patience_s: float) -> list[Process]:
        """Those who have something to say, or have ended, as soon as there are any."""
        return [key.data for key, _ in self._selector.select(patience_s)]

    def ended(self, speaking: Iterable[Process]) -> Iterator[Process]:
        """Hears them all; those of them who have ended."""
        for process in speaking:
            if not process.hear():
                self._selector.unregister(process.stdout)
                yield process

    def dismiss(self, process: Process) -> None:
        """It has ended: lets go of what is left of it."""
        process.end(time.monotonic())
        del self.members[process.name]

    def tell(self, word: str) -> None:
        """Says this to everybody."""
        for process in self.members.values():
            process.tell(word)

    def wake(self) -> None:
        """Whoever is stopped goes on: by a fault, or by hand at another terminal."""
        for process in self.members.values():
            process.signal(signal.SIGCONT)

    def stop(self, names: Iterable[str]) -> None:
        """Ends these; those that do not listen are killed."""
        group = [self.members[name] for name in names if name in self.members]
        for process in group:
            process.tell("stop")
        deadline = time.monotonic() + EXIT_PATIENCE_S
        for process in group:
            process.end(deadline)

    def close(self) -> None:
        """Hears nobody any more."""
        self._selector.close()
