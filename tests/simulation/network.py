"""The simulated network. It delays, loses and duplicates deliveries. Links between some processes may be cut or slow."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

TICK_S = 1e-6  # the least time between the arrivals of two deliveries of one connection


class Network(msgspec.Struct, frozen=True):
    """The quality of the network. Times are in seconds of virtual time."""

    loss: float = 0.0
    """The chance that a delivery is lost."""
    duplication: float = 0.0
    """The chance that a delivery arrives a second time, long after the first."""
    delay_s: float = 0.002
    """The mean of the exponentially distributed delay of a delivery. Deliveries from different processes may overtake each
    other. Between the same two processes only late duplicates do, as on a connection that is made anew."""
    duplicate_after: float = 20.0
    """The delay of a duplicate is a random delay times this factor."""
    repeat_after_s: float = 0.1


class Trouble(NamedTuple):
    """A fault of the links from `sources` to `targets` until a time: they are cut, or slower by `slower_s`."""

    sources: frozenset[str]
    targets: frozenset[str]
    until: float
    slower_s: float | None
    """None if the links are cut."""


class Links:
    """The links between all processes."""

    def __init__(self, seed: int, network: Network) -> None:
        self.network = network
        self._rng = random.Random(f"network/{seed}")
        self._arrivals: defaultdict[tuple[str, str], float] = defaultdict(float)  # by link: of its newest delivery
        self._troubles: list[Trouble] = []

    def trouble(self, trouble: Trouble) -> None:
        """Adds a fault that begins now. Several may overlap."""
        self._troubles.append(trouble)

    def arrivals(self, source: str, target: str, now: float) -> Iterator[float]:
        """The times of arrival of a delivery that leaves now: none, one, or two."""
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
