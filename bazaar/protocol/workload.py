"""A workload that changes: the factor by which buyers think less, as a function of the time since they began."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable

NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)"


def workload(word: str) -> Callable[[float], float]:
    """The factor after so many seconds. Raises `ValueError` for a word that nobody can read."""
    if (step := re.fullmatch(rf"step:{NUMBER}@{NUMBER}\+{NUMBER}", word)) is not None:
        factor, start_s, for_s = map(float, step.groups())
        if factor > 0 and for_s > 0:
            return lambda after_s: factor if start_s <= after_s < start_s + for_s else 1.0
    if (wave := re.fullmatch(rf"wave:{NUMBER}/{NUMBER}", word)) is not None:
        factor, period_s = map(float, wave.groups())
        if factor > 0 and period_s > 0:
            # From 1 to the factor and back, each by the same ratio a second.
            return lambda after_s: factor ** ((1 - math.cos(2 * math.pi * after_s / period_s)) / 2)
    raise ValueError(
        f"--load must be step:FACTOR@START+FOR, such as step:5@10+20, or wave:FACTOR/PERIOD, such as wave:5/60 (seconds), "
        f"with numbers above 0; you asked for {reprlib.repr(word)}"
    )
