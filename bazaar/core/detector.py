"""The failure detector: silence for `timeout_s` is suspicion (Chandra and Toueg, "Unreliable Failure Detectors for
Reliable Distributed Systems", JACM 43(2), 1996: eventually strong, under the assumption that delays are bounded).

It goes by its own process's time alone. A process that was itself stopped cannot tell who was silent meanwhile: the time
that it missed is not held against anybody.
"""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.turn import NEVER


class Detector:
    """Watches over others."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._heard: dict[str, float] = {}
        self._looked_at = NEVER

    def watch(self, names: Iterable[str], now: float, timeout_s: float | None = None) -> None:
        """Watches over exactly these; newcomers count as heard of just now.

        `timeout_s`: with this patience from now on. If it is less than before, all count as heard of just now: they have
        spoken as often as the former patience asked for.
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
        """Those who have been silent for too long. Each is named once in a timeout."""
        absence = now - self._looked_at
        self._looked_at = now
        if absence > self.timeout_s / 2:  # this process was not there to hear them
            self._heard = {name: min(now, at + absence) for name, at in self._heard.items()}
        silent = [name for name, at in self._heard.items() if now >= at + self.timeout_s]
        for name in silent:
            self._heard[name] = now
        return silent

    @property
    def deadline(self) -> float:
        """When to look next, if nothing is heard until then: often enough to notice one's own absence."""
        if not self._heard:
            return NEVER
        return min(min(self._heard.values()) + self.timeout_s, self._looked_at + self.timeout_s / 4)
