"""The Lamport clock (Lamport 1978, rules IR1 and IR2)."""

from __future__ import annotations


class LamportClock:
    """Strictly increasing in its process, and higher than any clock it has witnessed."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time = 0

    def tick(self) -> int:
        """IR1: the time of the next event."""
        self.time += 1
        return self.time

    def witness(self, clock: int) -> int:
        """IR2: the time at which a message that was sent at `clock` is received."""
        self.time = max(self.time, clock) + 1
        return self.time
