"""What traders and the warehouse ask of the cache server, which all traders share, and what comes of it.

The server knows one *epoch* at a time. It begins when the warehouse fills an empty cache, and ends with all that is in it.
A call of another epoch changes nothing. So nobody is given units that were counted before the server lost its memory.
"""

from __future__ import annotations

from bazaar.protocol.goods import Item, Lot, Record

PATIENCE_S = 0.25
"""A call whose result is not here after so long is a miss. What the server gave for it is nobody's until the epoch ends."""


# ------------------------------------------------------------------------------------------------ calls
class Take(Record, frozen=True):
    """Give me so many units of one lot: of those that have as many, the one with the lowest clock. Never repeated."""

    epoch: int
    order_id: str
    item: Item
    units: int


class Fill(Record, frozen=True):
    """Add these units. `fresh`: forget everything first, and begin this epoch, unless a later one has begun."""

    epoch: int
    fresh: bool
    lots: tuple[Lot, ...]


Call = Take | Fill


# ---------------------------------------------------------------------------------------------- results
class Given(Record, frozen=True):
    """The units are yours. `lot`: as it was before. `left`: units of the item that are left in the cache."""

    lot: Lot
    left: int


class Filled(Record, frozen=True):
    """The units are in the cache."""


class Empty(Record, frozen=True):
    """No lot of the item has as many units."""


class OtherEpoch(Record, frozen=True):
    """The server does not know this epoch."""


class Unreached(Record, frozen=True):
    """Nobody knows: there is no server, its answer was lost, or it took too long."""


Result = Given | Filled | Empty | OtherEpoch | Unreached
