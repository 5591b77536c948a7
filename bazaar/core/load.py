"""Whether the market needs a trader more or fewer, by how long orders wait at each.

More when they wait too long, fewer when they have waited much less than that for long: between the two thresholds nothing
changes (hysteresis). After each change of the bench nothing changes for a while (cool-down), so that the waiting times of
the new number are known.
"""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.turn import NEVER

LOW = 0.25  # of the waiting time that is too long
BEATS_TOO_LONG = 2  # reports in a row that say so, because one long wait is no load


class Load:
    """The reports of the traders, as the youngest of them has heard them."""

    def __init__(self, too_long_ms: float, low_for_s: float) -> None:
        self._too_long_ms = too_long_ms
        self._low_for_s = low_for_s
        self._wait_ms: dict[str, int] = {}
        self._changed_at = NEVER
        self._low_since = NEVER
        self._high = 0

    def changed(self, now: float) -> None:
        """The bench has changed."""
        self._changed_at = now
        self._wait_ms.clear()
        self._low_since, self._high = NEVER, 0

    def report(self, trader: str, wait_ms: int) -> None:
        """So long do orders wait at this trader."""
        self._wait_ms[trader] = wait_ms

    def longest_ms(self, traders: Iterable[str]) -> int:
        """How long orders wait at the slowest trader."""
        return max((self._wait_ms.get(name, 0) for name in traders), default=0)

    def change(self, now: float, traders: Iterable[str]) -> int:
        """1: a trader more; -1: one fewer; 0: as many. Asked once in each interval of the reports."""
        longest_ms = self.longest_ms(traders)
        self._high = self._high + 1 if longest_ms >= self._too_long_ms else 0
        if longest_ms > self._too_long_ms * LOW:
            self._low_since = NEVER
        elif self._low_since == NEVER:
            self._low_since = now
        if now < self._changed_at + self._low_for_s:
            return 0
        if self._high >= BEATS_TOO_LONG:
            return 1
        return -1 if now >= self._low_since + self._low_for_s else 0
