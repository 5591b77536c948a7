"""A workload that changes: the factor by which buyers think less, as a function of the time since they began."""

from __future__ import annotations

import math
import re
import reprlib
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise

NUMBER = r"([0-9]{1,6}(?:\.[0-9]{1,3})?)"
TRACE = "trace:"
"""Then either a file's name, or what it says: the seconds, each with the factor from then on, `trace:0=1,10=5`."""


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
    if (traced := trace(word)) is not None:
        return traced
    raise ValueError(
        f"--load must be step:FACTOR@START+FOR, such as step:5@10+20, or wave:FACTOR/PERIOD, such as wave:5/60 (seconds), "
        f"with numbers above 0, or trace:FILE; you asked for {reprlib.repr(word)}"
    )


def is_in_file(word: str) -> bool:
    """Whether the word names a file that says what the workload is."""
    return word.startswith(TRACE) and word != TRACE and trace(word) is None


def trace(word: str) -> Callable[[float], float] | None:
    """The factor after so many seconds, by a trace that is written out; 1 before its first second. None: it is not one."""
    if re.fullmatch(rf"{TRACE}{NUMBER}={NUMBER}(,{NUMBER}={NUMBER})*", word) is None:
        return None
    steps = [step.split("=") for step in word.removeprefix(TRACE).split(",")]
    seconds, factors = ([float(number) for number in column] for column in zip(*steps, strict=True))
    if min(factors) <= 0 or any(later <= before for before, later in pairwise(seconds)):
        return None
    of_interval = [1.0, *factors]
    return lambda after_s: of_interval[bisect_right(seconds, after_s)]
