"""How far a market has come: how many orders have their answer, and whether any order still gets one."""

from __future__ import annotations

import time
from collections.abc import Mapping

from bazaar.control import patience
from bazaar.protocol.settings import Settings
from bazaar.runtime.process import Process


class Progress:
    """Counts over all processes of a run, including those that have ended."""

    def __init__(self, settings: Settings, processes: Mapping[str, Process]) -> None:
        """`processes`: those that run, by name."""
        self._settings = settings
        self._processes = processes
        self._of_the_dead = 0  # answers that killed processes had reported
        self._most = 0
        self._grown_at = time.monotonic()
        self.killed: set[str] = set()
        """All processes that have ended so far, even if they were started again."""

    @property
    def answered(self) -> int:
        """How many orders have their answer, as last reported."""
        return self._of_the_dead + sum(process.said.answered for process in self._processes.values())

    @property
    def gone(self) -> set[str]:
        """The processes that have ended and do not run again."""
        return self.killed - self._processes.keys()

    def look(self) -> None:
        """Notes the time if there are more answers than before."""
        if (answered := self.answered) > self._most:
            self._most, self._grown_at = answered, time.monotonic()

    def fell(self, process: Process) -> None:
        """Notes that a process has ended; the answers that it had reported still count."""
        self.killed.add(process.name)
        self._of_the_dead += process.said.answered

    def stands_still(self) -> bool:
        """Whether a process is gone, and no order has been answered for so long that the market cannot go on."""
        return bool(self.gone) and time.monotonic() > self._grown_at + patience.standstill_s(self._settings)
