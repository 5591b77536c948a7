"""The failure detector: it suspects a process that is silent for `timeout_s`.

It is the eventually strong detector of Chandra and Toueg, "Unreliable Failure Detectors for Reliable Distributed Systems"
(JACM 43(2), 1996), under the assumption that delays are bounded.

The detector uses the clock of its own process alone. A process that was itself stopped cannot tell who was silent
meanwhile, so the time for which it was stopped does not count as anybody's silence.
"""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.turn import NEVER


class Detector:
    """Watches other processes for silence."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._heard: dict[str, float] = {}
        self._looked_at = NEVER

    def watch(self, names: Iterable[str], now: float, timeout_s: float | None = None) -> None:
        """Watches exactly these processes. New ones count as heard just now.

        `timeout_s`: the timeout from now on. If it is shorter than before, all processes count as heard just now, because they
        had only the former timeout to keep to.
        """
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        known = self._heard if timeout_s >= self.timeout_s else {}
        self._heard = {name: known.get(name, now) for name in names}
        self.timeout_s = timeout_s

    def heard(self, name: str, now: float) -> None:
        """A sign of life."""
        if name in self._heard:
            self._heard[name] = now

    def suspects(self, now: float) -> list[str]:
        """The processes that have been silent for too long. Each is named once in a timeout."""
        absence = now - self._looked_at
        self._looked_at = now
        if absence > self.timeout_s / 2:  # this process was stopped, and could not hear them
            self._heard = {name: min(now, at + absence) for name, at in self._heard.items()}
        silent = [name for name, at in self._heard.items() if now >= at + self.timeout_s]
        for name in silent:
            self._heard[name] = now
        return silent

    @property
    def deadline(self) -> float:
        """When to check next, if nothing is heard until then: often enough to notice that this process itself was stopped."""
        if not self._heard:
            return NEVER
        return min(min(self._heard.values()) + self.timeout_s, self._looked_at + self.timeout_s / 4)
