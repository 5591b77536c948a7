"""The nouns of the market: goods, orders, lots, and who trades.

Rules of the file: records are frozen and hold no behaviour beyond naming; money is integer cents; a peer's
index is compared as a number (`buyer10` outranks `seller9`); `clock` is always a Lamport clock (Lamport,
"Time, Clocks, and the Ordering of Events in a Distributed System", CACM 21(7), 1978).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Item = Literal["fish", "salt", "boar"]
ITEMS: tuple[Item, ...] = ("fish", "salt", "boar")

# Bounds that no honest process exceeds. A message with a value outside of them is refused when it is decoded.
Name = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name of a peer, an order or a deposit."""
Number = Annotated[int, Meta(ge=-1, le=2**62)]
"""A clock, a position, a serial number; -1: before the first."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
SomeUnits = Annotated[int, Meta(ge=1, le=10**9)]
MOST_ORDERED = 1_000
Units = Annotated[int, Meta(ge=1, le=MOST_ORDERED)]
"""How many units one order is for."""
DEAREST = 10**5
Price = Annotated[int, Meta(ge=1, le=DEAREST)]
"""Of one unit, in cents."""
Total = Annotated[int, Meta(ge=1, le=DEAREST * MOST_ORDERED)]
"""Of all units of an order, in cents."""
MANY = Meta(max_length=100_000)

WAREHOUSE = "warehouse"
NAME_SERVER = "nameserver"
EMBASSY = "embassy"
CACHE = "cache"
"""The shared cache: who holds, in the ledger, the units in it."""
SELLER_SHARE_PERCENT = 80  # the trader keeps the rest (requirement C5)


@cache
def index_of(name: str) -> int:
    """The number in a peer's name, by which peers are compared: `buyer10` -> 10."""
    match = re.fullmatch(r"(?:buyer|seller)(\d+)", name)
    if match is None:
        raise ValueError(f"{name!r} is no peer: peers are called buyer0, seller1, …")
    return int(match[1])


def is_seller(name: str) -> bool:
    """Whether a peer's civil role (what it does when it is not a trader) is selling."""
    return name.startswith("seller")


def embassy_of(bazaar: str) -> str:
    """The name of the process through which this bazaar trades with others: `embassy@north`."""
    return f"{EMBASSY}@{bazaar}"


def is_embassy(name: str) -> bool:
    """Whether this is the name of an embassy, of one's own bazaar or of another."""
    return name.startswith(f"{EMBASSY}@")


def home_of(name: str) -> str:
    """The bazaar in a name of the form `peer@bazaar`; empty if it has none."""
    return name.partition("@")[2]


def name_abroad(order_id: str, bazaar: str) -> str:
    """The name that an order of this bazaar has in another: `buyer0-17` is `buyer0@north-17` there."""
    buyer, _, serial = order_id.rpartition("-")
    return f"{buyer}@{bazaar}-{serial}"


def name_at_home(order_id: str) -> str:
    """The reverse of `name_abroad`, in the order's own bazaar."""
    buyer, _, serial = order_id.rpartition("-")
    return f"{buyer.partition('@')[0]}-{serial}"


def buyer_of(order_id: str) -> str:
    """Who placed an order: a buyer's orders are called `buyer0-0`, `buyer0-1`, …"""
    return order_id.rpartition("-")[0]


def sellers_share(price_cents: int) -> int:
    """The seller's share of a sale, in cents. The trader keeps the rest, so no cent is lost by rounding."""
    return price_cents * SELLER_SHARE_PERCENT // 100


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A value on the wire."""


class Seat(Record, frozen=True):
    """A trader's tenure: the peer, and the ledger position of its appointment. A peer elected again has a new tenure."""

    peer: Name
    since: Number


class Copy(Record, frozen=True):
    """A copy of the journal of a tenure: who keeps it, and which of all copies of this tenure it is."""

    seat: Seat
    keeper: Name
    number: Count


class Bench(Record, frozen=True):
    """Who trades. `position` is the ledger position of the newest change: a bench with a higher position is newer."""

    seats: Annotated[tuple[Seat | None, ...], MANY] = ()
    """The tenures of trader0, trader1, …; None where a trader has died or resigned."""
    vacant: Count = 0
    """How many traders have yet to be elected before trading begins, or goes on."""
    position: Number = -1
    round: Number = -1
    """The round of the election that fills, or has filled, the vacant seats: the position of the bench at its beginning."""
    further: bool = False
    """Whether the vacant seat is a further one, opened by load. Then trading goes on during the election."""

    @property
    def youngest(self) -> Seat | None:
        """The tenure that began last."""
        return max((seat for seat in self.seats if seat is not None), key=lambda seat: seat.since, default=None)

    @property
    def traders(self) -> tuple[str, ...]:
        """The peers that hold a seat, by seat."""
        return tuple(seat.peer for seat in self.seats if seat is not None)

    def seat_of(self, peer: str) -> Seat | None:
        """The tenure of `peer`, if it is a trader."""
        return next((seat for seat in self.seats if seat is not None and seat.peer == peer), None)

    def free(self, seats: int) -> list[int]:
        """Of the first `seats` seats, the numbers of those that nobody holds."""
        taken = (*self.seats, *[None] * seats)[:seats]
        return [number for number, seat in enumerate(taken) if seat is None]

    def number_of(self, peer: str) -> int:
        """The seat number of `peer`, the I in `traderI`. Raises `ValueError` if `peer` is no trader."""
        return [seat.peer if seat is not None else None for seat in self.seats].index(peer)


class Wave(Record, frozen=True):
    """One attempt to hold a round of the election along a tree."""

    number: Count
    """Higher than that of all waves of the round that its starter had been called to."""
    starter: Name


class Order(Record, frozen=True):
    """A purchase request as a trader holds it; `clock` is the clock of the message that brought it."""

    order_id: Name
    buyer: Name
    item: Item
    clock: Number
    units: Units = 1


class Lot(Record, frozen=True):
    """What is left of one deposit. Among lots of an item the one with the lowest `clock` is sold first (requirement C4)."""

    deposit_id: Name
    seller: Name
    item: Item
    price_cents: Price
    clock: Number
    count: Count
