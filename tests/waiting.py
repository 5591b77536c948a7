"""Waits for something that other processes do. This is the only file of the tests that may sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY_S = 0.02


def wait_until(condition: Callable[[], T | None], deadline_s: float = 10.0) -> T:
    """Returns the first true value of `condition`. Raises `AssertionError` if there is none within `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"still {value!r} after {deadline_s} s: {condition}")
        time.sleep(LOOK_EVERY_S)
