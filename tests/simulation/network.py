"""The simulated network: it delays, loses and duplicates deliveries, and is cut or slow between some for a while."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

TICK_S = 1e-6  # of two deliveries of one connection the later arrives a moment after the other


class Network(msgspec.Struct, frozen=True):
    """How bad the network is. Times in seconds of virtual time."""

    loss: float = 0.0
    """The chance that a delivery is lost."""
    duplication: float = 0.0
    """The chance that a delivery arrives once more, long after."""
    delay_s: float = 0.002
    """The mean delay of a delivery, exponentially distributed. Those from different processes overtake each other; of
    those between the same two only late duplicates do, as on a connection that is made anew."""
    duplicate_after: float = 20.0
    """A duplicate is late by so many mean delays."""
    repeat_after_s: float = 0.1


class Trouble(NamedTuple):
    """What is wrong with the ways from these to those until a time: they are cut, or slower by so much."""

    sources: frozenset[str]
    targets: frozenset[str]
    until: float
    slower_s: float | None
    """None: nothing passes."""


class Links:
    """The ways between all processes."""

    def __init__(self, seed: int, network: Network) -> None:
        self.network = network
        self._rng = random.Random(f"network/{seed}")
        self._arrivals: defaultdict[tuple[str, str], float] = defaultdict(float)  # of the newest delivery on its way
        self._troubles: list[Trouble] = []

    def trouble(self, trouble: Trouble) -> None:
        """From now on. Several may overlap."""
        self._troubles.append(trouble)

    def arrivals(self, source: str, target: str, now: float) -> Iterator[float]:
        """When a delivery that leaves now arrives: never, once, or twice."""
        network, slower_s = self.network, 0.0
        cut = False
        if self._troubles:
            self._troubles = [trouble for trouble in self._troubles if trouble.until > now]
            for trouble in self._troubles:
                if source in trouble.sources and target in trouble.targets:
                    cut = cut or trouble.slower_s is None
                    slower_s += trouble.slower_s or 0.0
        if self._rng.random() >= network.loss and not cut:
            way = source, target
            self._arrivals[way] = max(self._arrivals[way] + TICK_S, now + self._delay_s() + slower_s)
            yield self._arrivals[way]
        if self._rng.random() < network.duplication and not cut:
            yield now + self._delay_s() * network.duplicate_after

    def _delay_s(self) -> float:
        return self._rng.expovariate(1 / self.network.delay_s)
