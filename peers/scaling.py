"""Traders by load: a trader's part in them (requirement L1).

Each trader reports with its heartbeats how long orders wait. The youngest trader asks the warehouse for a further trader, or
resigns. So one peer decides, and the ledger says what became of it.
"""

from __future__ import annotations

from collections.abc import Callable

from bazaar.core.load import Load
from bazaar.core.turn import Turn
from bazaar.protocol.goods import WAREHOUSE, Bench
from bazaar.protocol.messages import Heartbeat, Resize
from bazaar.protocol.settings import Settings


class Scaling:
    """What a peer knows of the load. Without traders by load it reports all the same, and asks for nothing."""

    def __init__(self, me: str, settings: Settings, waits: Callable[[float], tuple[int, int]]) -> None:
        """`waits`: how long orders wait at this peer now, in milliseconds, and how many."""
        self._me = me
        self._waits = waits
        self._least = settings.traders
        self._most = settings.traders_max or settings.traders
        self._load: Load | None = None
        if settings.scale_up_after_ms is not None and settings.scale_down_after_s is not None:
            self._load = Load(settings.scale_up_after_ms, settings.scale_down_after_s)

    def heartbeat(self, now: float) -> Heartbeat:
        """This trader's report."""
        beat = Heartbeat(*self._waits(now))
        self.heard(self._me, beat)
        return beat

    def heard(self, trader: str, beat: Heartbeat) -> None:
        """The report of a trader."""
        if self._load is not None:
            self._load.report(trader, beat.wait_ms)

    def changed(self, now: float) -> None:
        """The bench has changed."""
        if self._load is not None:
            self._load.changed(now)

    def follow(self, turn: Turn, bench: Bench) -> None:
        """Asks the warehouse for another number of traders, if it is needed and all seats of this one are taken."""
        if self._load is None:
            return
        seats = len(bench.traders) + self._load.change(turn.now, bench.traders)
        is_youngest = bench.youngest is not None and bench.youngest.peer == self._me
        if is_youngest and bench.vacant == 0 and len(bench.traders) != seats and self._least <= seats <= self._most:
            turn.send(WAREHOUSE, Resize(bench.position, seats, self._load.longest_ms(bench.traders)))
