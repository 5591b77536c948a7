"""The shared cache as the warehouse sees it: when it is filled, and how the units in it are got back.

The ledger grants units to the cache (`POOL`), and the cache server is filled with them. Traders take them there, promise
them to buyers, and tell the warehouse later. So the warehouse never knows which of the units are promised by now. It need not
know: if the server has lost its memory, or the units are needed elsewhere, the *epoch* ends as a whole.

    opening --filled--> open --lost, scarce--> ending --all have said so--> over --units are wanted--> opening

An epoch is over when each trader has said that all it has promised of it is with the warehouse, and when the queues of all
former traders were taken over, which happens only after their leases. Then whatever the pool holds is promised to nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bazaar.core.ledger import Ledger
from bazaar.core.ledger.stock import POOL
from bazaar.core.shelf import with_count
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Fill, Filled, Result
from bazaar.protocol.entries import AnyEntry
from bazaar.protocol.goods import CACHE, ITEMS, Item, Lot, Seat
from bazaar.protocol.messages import EndEpoch

MOST_LOTS = 200  # in one fill: it is sent at once, and has to fit into the buffers of a connection
AGAIN_AFTER_S = 0.5  # after a server could not be filled: until then all orders go to the warehouse anyway


class Epochs:
    """The epochs of one life of the warehouse."""

    def __init__(self, ledger: Ledger, append: Callable[[Turn, AnyEntry], None]) -> None:
        """`append` adds an entry to the ledger."""
        self.open: int | None = None
        """The epoch from which traders may promise."""
        self._ledger = ledger
        self._append = append
        self._opening: int | None = None  # being filled; no trader has heard of it
        self._ending: int | None = None  # the position before which all epochs end
        self._ended: set[Seat] = set()  # the tenures that have said so
        self._not_before = 0.0

    def begin(self, turn: Turn) -> None:
        """In a further life of the warehouse nobody knows what was filled in: begins with the end of the last epoch."""
        if self._ledger.stock.holds(POOL):
            self.end(turn, "restarted")

    def remind(self, turn: Turn, trader: str) -> None:
        """Tells a trader that has just started that an epoch is ending."""
        if self._ending is not None and self._ledger.seats.is_trader(trader):
            turn.send(trader, EndEpoch(self._ending))

    def lost(self, turn: Turn, epoch: int) -> None:
        """A trader says that the server does not know this epoch."""
        if epoch == self.open:
            self.end(turn, "lost")

    def end(self, turn: Turn, why: Literal["lost", "scarce", "restarted"]) -> None:
        """Wants all units back that nobody has promised."""
        if self._ending is not None:
            return
        self.open = self._opening = None
        self._ending = self._ledger.position
        self._ended.clear()
        turn.note(events.EpochEnding(self._ending, why))
        for trader in self._ledger.seats.bench.traders:
            turn.send(trader, EndEpoch(self._ending))

    def ended(self, trader: str, before: int) -> None:
        """The trader says that all it has promised of epochs before this position is in the ledger, and promises no more."""
        seat = self._ledger.seats.bench.seat_of(trader)
        if before == self._ending and seat is not None:
            self._ended.add(seat)

    def settle(self, turn: Turn) -> None:
        """Takes back what the pool holds, if nobody can have promised any of it."""
        seats = {seat for seat in self._ledger.seats.bench.seats if seat is not None}
        if self._ending is None or self._ledger.seats.orphans or not seats <= self._ended:
            return
        self._ending = None
        self._take_back(turn)

    def _take_back(self, turn: Turn) -> None:
        for item in ITEMS:
            while (back := self._ledger.stock.decide_return(item, CACHE)) is not None:
                self._append(turn, back)
                turn.note(events.Returned(item, back.count, CACHE))

    def fill(self, turn: Turn, item: Item, units: int) -> None:
        """Grants the cache up to so many units more, and fills the server with them. Begins an epoch if there is none."""
        if self._ending is not None or self._opening is not None or turn.now < self._not_before:
            return
        if self.open is None and self._ledger.stock.holds(POOL):
            return  # from a former life, which `begin` will end
        epoch = self._ledger.position if self.open is None else self.open
        lots: list[Lot] = []
        while (
            units > 0
            and len(lots) < MOST_LOTS
            and (grant := self._ledger.stock.decide_grant(item, units, CACHE)) is not None
        ):
            self._append(turn, grant)
            turn.note(events.Granted(item, grant.count, CACHE))
            held = self._ledger.stock.holdings(CACHE, item)
            lots += [with_count(lot, grant.count) for lot in held if lot.deposit_id == grant.deposit_id]
            units -= grant.count
        if lots:
            turn.call(Fill(epoch, fresh=self.open is None, lots=tuple(lots)))
            if self.open is None:
                self._opening = epoch

    def filled(self, turn: Turn, fill: Fill, result: Result) -> None:
        """This came of filling the server. Traders hear of an epoch with the answers to their questions."""
        if fill.epoch not in (self.open, self._opening):
            return
        if isinstance(result, Filled):
            self.open, self._opening = fill.epoch, None
            if fill.fresh:
                turn.note(events.EpochBegun(fill.epoch))
            return
        self._not_before = turn.now + AGAIN_AFTER_S
        if fill.epoch == self._opening:  # nobody can have promised any of it
            self._opening = None
            self._take_back(turn)
        else:
            self.end(turn, "lost")
