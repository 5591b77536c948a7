"""What an experiment is: a module of this package with these names; and what it is given to measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from bazaar.analysis.summary import Summary
from bazaar.control.planning import draw_plan
from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import ITEMS, is_seller
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings
from bazaar.runtime.history import Recorded, by_time, only
from bazaar.runtime.process import ROOT
from experiments.framework.rows import Cell, Row

OUT = ROOT / "experiments"
CACHES = tuple(POLICIES)
START_S = 1.6  # a guess: from nothing to the first order, and from the last to the verdict


E = TypeVar("E", bound=Event)


class Sample(NamedTuple):
    """What a process used, as of some time."""

    at: float
    """Seconds since the epoch."""
    process: str
    processor_s: float
    memory_bytes: int
    """Resident."""


class Run(NamedTuple):
    """A run that held, for an experiment to measure."""

    plan: Plan
    summary: Summary
    histories: Sequence[Iterable[Recorded[Event]]]
    """Of all processes; gone through anew for every question."""
    processor_s: float
    """What all of the run's processes but MongoDB have used."""
    usage: Sequence[Sample]
    """Of each process and MongoDB, every half a second."""

    def told(self, *kinds: type[E]) -> list[Recorded[E]]:
        """The events of these kinds, in the order of their time."""
        return list(by_time(only(history, *kinds) for history in self.histories))

    @property
    def trading_s(self) -> float:
        """From the opening of the market to the last answer: the orders that come before only wait for it."""
        opened, ordered = self.told(events.Opened)[0].at, self.told(events.Ordered)[0].at
        return self.told(*events.ANSWERS)[-1].at - max(opened, ordered)


class Failed(Exception):
    """A run that did not hold, or did not show what it was to show; the text says how."""


class Experiment(Protocol):
    """One question: its grid, what is measured in each run, and how the answer is told. A module is one.

    It may have one thing more: `beside(uri, folder)`, further values that are measured right before each run, with the
    MongoDB of this URI, on this folder's disk.
    """

    @property
    def NAME(self) -> str:
        """That of its file."""

    @property
    def TITLE(self) -> str:
        """The heading of its page."""

    @property
    def QUESTION(self) -> str:
        """What it asks."""

    @property
    def LABELS(self) -> tuple[str, ...]:
        """What its cells differ in."""

    @property
    def VALUES(self) -> tuple[str, ...]:
        """What is measured in each."""

    @property
    def SEEDS(self) -> str:
        """Those of a full run, as `--seeds` takes them; a quick one takes the first."""

    @property
    def REASONS(self) -> str:
        """Why it may be so, and what might change it, from how the bazaar is made: no row bears it, and it names no figure."""

    def cells(self, seeds: Sequence[int], quick: bool) -> list[Cell]:
        """The grid for these seeds, or the quick one."""

    def measure(self, run: Run) -> Mapping[str, float]:
        """Raises `Failed`."""

    def table(self, rows: Sequence[Row]) -> str:
        """The rows, for people."""

    def plot(self, rows: Sequence[Row], path: Path) -> None:
        """Draws the rows."""

    def story(self, rows: Sequence[Row]) -> str:
        """What came out: its numbers are computed, and whatever it says of them depends on them. Raises `Missing`."""


def peopled(settings: Settings, buyers: int, sellers: int, every_item: bool = False) -> Settings:
    """These settings with exactly so many peers that buy and that sell, beside the traders.

    Which of the peers become traders, and what a seller first sells, follow from the seed: it is replaced by the first one
    that fits. `every_item`: every item is on sale from the beginning.
    """
    for attempt in range(100_000):
        made = msgspec.structs.replace(
            settings,
            peers=buyers + sellers + settings.traders,
            buyers=buyers + settings.traders,
            sellers=sellers,
            seed=settings.seed + 1000 * attempt,
        )
        plan = draw_plan(made)
        selling = [name for name in plan.names[: buyers + sellers] if is_seller(name)]
        if len(selling) == sellers and (not every_item or {plan.goods[name] for name in selling} == set(ITEMS)):
            return made
    raise AssertionError(f"no seed leaves {buyers} buyers and {sellers} sellers")
