"""An experiment is a module of `experiments` with the names of `Experiment`. It is given a `Run` to measure."""

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
ALL_CACHES = tuple(POLICIES)
"""Every policy: what compares the policies with each other."""
CACHES = tuple(name for name, policy in POLICIES.items() if not policy.remote)
"""The policies that need no further server: what asks something else, for several policies."""
START_S = 1.6  # a guess: the time before the first order, and from the last order to the verdict


E = TypeVar("E", bound=Event)


class Sample(NamedTuple):
    """The resources that a process has used up to a point in time."""

    at: float
    """Seconds since the epoch."""
    process: str
    processor_s: float
    memory_bytes: int
    """Resident memory."""


class Run(NamedTuple):
    """A run with the verdict "held", for an experiment to measure."""

    plan: Plan
    summary: Summary
    histories: Sequence[Iterable[Recorded[Event]]]
    """The histories of all processes, read anew for every question."""
    processor_s: float
    """The processor time of all of the run's processes except MongoDB."""
    usage: Sequence[Sample]
    """Samples of each process and of MongoDB, one every half a second."""
    connections: Sequence[tuple[str, str]] = ()
    """The two ends of each TCP connection between processes of the run, once trading was over."""
    loopback: Sequence[tuple[float, int]] = ()
    """Every half a second: seconds since the epoch, and the bytes so far on the loopback interface (`network`)."""

    def told(self, *kinds: type[E]) -> list[Recorded[E]]:
        """The events of these kinds, in the order of their time."""
        return list(by_time(only(history, *kinds) for history in self.histories))

    @property
    def trading_s(self) -> float:
        """From the opening of the market, or the first order if that is later, to the last answer.

        Orders that come before the opening only wait for it.
        """
        opened, ordered = self.told(events.Opened)[0].at, self.told(events.Ordered)[0].at
        return self.told(*events.ANSWERS)[-1].at - max(opened, ordered)


class Failed(Exception):
    """A run that did not hold, or did not show what it was meant to show; the text says how."""


class Experiment(Protocol):
    """One question: its grid, the values that are measured in each run, and the text of the answer. It is a module.

    The module may also have `beside(uri, folder)`. This measures further values right before each run, with the MongoDB of
    this URI, on this folder's disk.
    """

    @property
    def NAME(self) -> str:
        """The name of its file."""

    @property
    def TITLE(self) -> str:
        """The heading of its page."""

    @property
    def QUESTION(self) -> str:
        """The question, in words."""

    @property
    def LABELS(self) -> tuple[str, ...]:
        """The names of the labels in which its cells differ."""

    @property
    def VALUES(self) -> tuple[str, ...]:
        """The names of the values that are measured in each cell."""

    @property
    def SEEDS(self) -> str:
        """The seeds of a full sweep, as `--seeds` takes them; a quick sweep takes the first."""

    @property
    def REASONS(self) -> str:
        """Possible reasons for the result, and what might change it, from the design of the bazaar.

        No row supports these reasons, and they name no figure.
        """

    def cells(self, seeds: Sequence[int], quick: bool) -> list[Cell]:
        """The cells of the grid for these seeds; with `quick`, those of the small grid."""

    def measure(self, run: Run) -> Mapping[str, float]:
        """Measures the values of a run. Raises `Failed`."""

    def table(self, rows: Sequence[Row]) -> str:
        """The rows as a table for people."""

    def plot(self, rows: Sequence[Row], path: Path) -> None:
        """Draws the rows."""

    def story(self, rows: Sequence[Row]) -> str:
        """The result in words. Its numbers, and what it says of them, are computed from the rows. Raises `Missing`."""


def peopled(settings: Settings, buyers: int, sellers: int, every_item: bool = False) -> Settings:
    """These settings with exactly this many buyers and sellers besides the traders.

    The seed decides which of the peers become traders, and what a seller first sells. So the seed is replaced by the first one
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
