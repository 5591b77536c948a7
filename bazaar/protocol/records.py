"""Every noun of the bazaar: goods, orders, lots, ledger entries, and each message that crosses a process.

Rules of the file: records are frozen and hold no behaviour beyond naming; money is integer cents; a peer's
index is compared as a number (`buyer10` outranks `seller9`); `clock` is always a Lamport clock (Lamport,
"Time, Clocks, and the Ordering of Events in a Distributed System", CACM 21(7), 1978).

Messages travel as msgpack arrays that begin with the message's name; what does not decode, or decodes with a field too
many, is refused with `MalformedMessage` before any of it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta

Item = Literal["fish", "salt", "boar"]
ITEMS: tuple[Item, ...] = ("fish", "salt", "boar")

# What no honest process exceeds; a message that does is refused as it is decoded.
Name = Annotated[str, Meta(min_length=1, max_length=64)]
"""Of a peer, an order or a deposit."""
Number = Annotated[int, Meta(ge=-1, le=2**62)]
"""A clock, a position, a serial number; -1: before the first."""
Count = Annotated[int, Meta(ge=0, le=2**53)]
SomeUnits = Annotated[int, Meta(ge=1, le=10**9)]
Price = Annotated[int, Meta(ge=1, le=10**5)]
"""In cents."""
MANY = Meta(max_length=100_000)

WAREHOUSE = "warehouse"
SELLER_SHARE_PERCENT = 80  # the trader keeps the rest (SPEC C5)


class MalformedMessage(Exception):
    """Bytes that are no delivery of ours: rubbish, truncated, of another version, or with a field too many."""


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


def buyer_of(order_id: str) -> str:
    """Who placed an order: a buyer's orders are called `buyer0-0`, `buyer0-1`, …"""
    return order_id.rpartition("-")[0]


def sellers_share(price_cents: int) -> int:
    """What the seller earns of a sale, in cents; the trader keeps the rest, so no cent is lost by rounding."""
    return price_cents * SELLER_SHARE_PERCENT // 100


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A value on the wire."""


class Seat(Record, frozen=True):
    """A trader's tenure: who, and since which ledger position. The same peer elected again has another one."""

    peer: Name
    since: Number


class Bench(Record, frozen=True):
    """Who trades, as of the ledger position of its newest change: a higher one is newer."""

    seats: Annotated[tuple[Seat | None, ...], MANY] = ()
    """trader0, trader1, …; None where one has died or resigned."""
    vacant: Count = 0
    """How many traders have yet to be elected before trading begins, or goes on."""
    position: Number = -1
    round: Number = -1
    """The election that fills, or has filled, the vacant seats: the position of the bench that it began against."""

    @property
    def traders(self) -> tuple[str, ...]:
        """Those who hold a seat, by seat."""
        return tuple(seat.peer for seat in self.seats if seat is not None)

    def seat_of(self, peer: str) -> Seat | None:
        """The tenure of `peer`, if it is a trader."""
        return next((seat for seat in self.seats if seat is not None and seat.peer == peer), None)

    def free(self, seats: int) -> list[int]:
        """The numbers of those of so many seats that nobody holds."""
        taken = (*self.seats, *[None] * seats)[:seats]
        return [number for number, seat in enumerate(taken) if seat is None]

    def number_of(self, peer: str) -> int:
        """The number in `traderI`. Raises `ValueError` if `peer` is no trader."""
        return [seat.peer if seat is not None else None for seat in self.seats].index(peer)


class Order(Record, frozen=True):
    """A purchase request as a trader holds it; `clock` is that of the message that brought it."""

    order_id: Name
    buyer: Name
    item: Item
    clock: Number


class Lot(Record, frozen=True):
    """What is left of one deposit. Among lots of an item the one with the lowest `clock` is sold first (SPEC C4)."""

    deposit_id: Name
    seller: Name
    item: Item
    price_cents: Price
    clock: Number
    count: Count


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Something that one process says to another."""


# -------------------------------------------------------------------------------- election, membership
class Election(Message, frozen=True):
    """Bully: is anybody above me alive? (Garcia-Molina, "Elections in a Distributed Computing System", 1982)

    `round`: see `Bench`; words of an earlier round do not count, here and in `Ok`.
    """

    round: Number


class Ok(Message, frozen=True):
    """Bully: I am above you and alive; drop out."""

    round: Number


class Won(Message, frozen=True):
    """I am a trader now."""

    bench: Bench


class WhoTrades(Message, frozen=True):
    """A peer that has just started asks the warehouse for the bench."""


class Claim(Message, frozen=True):
    """The winner of an election asks the warehouse for a seat."""

    round: Number
    seat: Count


class BenchIs(Message, frozen=True):
    """Who holds the seats: the warehouse's answer to whoever asks, a peer's to an `Election` that is over."""

    bench: Bench


# ---------------------------------------------------------------------------------------- death and succession
class Heartbeat(Message, frozen=True):
    """A trader is alive."""


class Depose(Message, frozen=True):
    """To the warehouse: this trader is silent (or, by itself, resigns); its seat is to be taken from it."""

    seat: Seat


class Deposed(Message, frozen=True):
    """From the warehouse, to whose `Depose` came first: it is done, tell the others."""

    seat: Seat
    bench: Bench


class TraderDead(Message, frozen=True):
    """To everybody: do not trade with this one any more."""

    peer: Name
    bench: Bench


class TakeOver(Message, frozen=True):
    """From the warehouse to a trader: the queue of this former tenure is yours to carry out."""

    seat: Seat


class CallBack(Message, frozen=True):
    """From the warehouse to a trader: others need what you were granted of this item and have not sold; give it back."""

    item: Item


class Freed(Message, frozen=True):
    """From the warehouse to a trader that was told `Scarce`: ask again, the others have given back what they had."""

    item: Item


class Reopened(Message, frozen=True):
    """The warehouse was started again: what it was asked and has not answered is to be asked again."""


class AskAgain(Message, frozen=True):
    """A trader that lost its seat does not know what became of this order, of which the buyer was told."""

    order_id: Name
    item: Item


# --------------------------------------------------------------------------------------------- trading
class Deposit(Message, frozen=True):
    """A seller hands goods to a trader; a retry keeps the `deposit_id`."""

    deposit_id: Name
    item: Item
    count: SomeUnits
    price_cents: Price


class Deposited(Message, frozen=True):
    """The goods are in the warehouse."""

    deposit_id: Name


class Registered(Message, frozen=True):
    """A trader tells the other traders that this seller has goods on sale."""

    seller: Name


class Buy(Message, frozen=True):
    """A buyer orders one unit. `again` marks a retry under the same name: its answer may exist already."""

    order_id: Name
    item: Item
    again: bool


class MarketOpen(Message, frozen=True):
    """From a trader to the buyers: it serves orders from now on, so they may begin to order."""


class Purchased(Message, frozen=True):
    """The order is carried out. `final`: so says the ledger; else a cache has promised it."""

    order_id: Name
    item: Item
    seller: Name
    price_cents: Price
    final: bool = True


class Unavailable(Message, frozen=True):
    """Nobody sells the item."""

    order_id: Name
    item: Item


class Oversold(Message, frozen=True):
    """The sale that you were told of is revoked: the cache promised what the warehouse did not have."""

    order_id: Name
    item: Item


class Sold(Message, frozen=True):
    """To the seller: one unit is sold; `left` counts what remains of the product over all its lots.

    `position`: that of the ledger when this was counted. Traders' letters overtake each other: a higher one is newer.
    """

    order_id: Name
    item: Item
    buyer: Name
    price_cents: Price
    left: Count
    position: Number = -1


class OutOfStock(Message, frozen=True):
    """To the seller: nothing is left of this product. `position`: see `Sold`."""

    item: Item
    position: Number = -1


class CacheUpdate(Message, frozen=True):
    """A trader tells the others the counts after its newest sales; they keep the minimum (SPEC D5)."""

    lots: Annotated[tuple[Lot, ...], MANY]


# ------------------------------------------------------------------------------------------- warehouse
class Ship(Record, frozen=True, tag="ship"):
    """Take one unit out: of the lot that a cache promised (`deposit_id`), or of the item's first lot (None)."""

    order: Order
    deposit_id: Name | None


class Stock(Record, frozen=True, tag="stock"):
    """Put a deposit in."""

    lot: Lot


class Adopt(Record, frozen=True, tag="adopt"):
    """The queue of this former tenure is in my own journal now."""

    seat: Seat


class Read(Record, frozen=True, tag="read"):
    """What is on the shelves of these items?"""

    items: Annotated[tuple[Item, ...], Meta(max_length=len(ITEMS))]


class Draw(Record, frozen=True, tag="draw"):
    """Grant me as much of the item as makes `count` units with what I hold already, or what can be had (escrow)."""

    item: Item
    count: Count


class GiveBack(Record, frozen=True, tag="give_back"):
    """All that I hold of this item is free again (escrow)."""

    item: Item


Request = Ship | Stock | Adopt | Read | Draw | GiveBack


class Shipped(Record, frozen=True, tag="shipped"):
    """The order was carried out from `lot`, as it is after the sale; `left` is the product's count over all its lots."""

    lot: Lot
    left: Count


class Denied(Record, frozen=True, tag="denied"):
    """The order is refused for good: `oversold` if a cache had promised it, else `unavailable`."""

    reason: Literal["unavailable", "oversold"]


class Stocked(Record, frozen=True, tag="stocked"):
    """The deposit is in the ledger."""

    deposit_id: Name


class Scarce(Record, frozen=True, tag="scarce"):
    """Of this item there is nothing free, but some that was granted; the order is to be asked again after `Freed`."""


class Shelves(Record, frozen=True, tag="shelves"):
    """Every lot with something left of the items that were asked for; of a `Draw` or `GiveBack`, what the trader holds."""

    items: Annotated[tuple[Item, ...], Meta(max_length=len(ITEMS))]
    lots: Annotated[tuple[Lot, ...], MANY]


class Adopted(Record, frozen=True, tag="adopted"):
    """The succession is in the ledger."""


Reply = Shipped | Denied | Stocked | Adopted | Scarce | Shelves


class Ask(Message, frozen=True):
    """One batch of a trader's requests; a trader has one `Ask` under way at a time. A retry keeps the `number`."""

    number: Number
    requests: Annotated[tuple[Request, ...], MANY]


class Answer(Message, frozen=True):
    """The replies to one `Ask`, in the order of its requests.

    `written`: it took an entry in the ledger, which a warehouse that was replaced could not have made. Such an answer
    renews the trader's lease. `position`: that of the ledger after these.
    """

    number: Number
    replies: Annotated[tuple[Reply, ...], MANY]
    written: bool
    position: Number = -1


LEISURELY = (Sold,)
"""Messages that nobody waits for: where there are many of them, they travel together."""

AnyMessage = (
    Election
    | Ok
    | Won
    | WhoTrades
    | Claim
    | BenchIs
    | Heartbeat
    | Depose
    | Deposed
    | TraderDead
    | TakeOver
    | CallBack
    | Freed
    | Reopened
    | AskAgain
    | Deposit
    | Deposited
    | Registered
    | Buy
    | MarketOpen
    | Purchased
    | Unavailable
    | Oversold
    | Sold
    | OutOfStock
    | CacheUpdate
    | Ask
    | Answer
)


# ------------------------------------------------------------------------------------------------ wire
class Letter(Record, frozen=True):
    """One message with the sender's clock at its sending."""

    clock: Number
    body: AnyMessage


class Delivery(Record, frozen=True):
    """Consecutive letters of one sender to one receiver, and how much of the other's letters has arrived.

    `incarnation` tells two lives of a process apart.
    """

    source: Name
    target: Name
    incarnation: Number
    number: Number
    """That of the first letter; they are numbered 0, 1, 2, … in each incarnation."""
    acked: Number
    """The number of the first letter that the receiver was not heard to have taken."""
    of: Number
    """The receiver's incarnation of which `taken` speaks; -1: of none."""
    taken: Number
    """How many of the receiver's letters the sender has taken."""
    letters: Annotated[tuple[Letter, ...], MANY]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delivery)


def encode(delivery: Delivery) -> bytes:
    """A delivery as msgpack."""
    return _encoder.encode(delivery)


def decode(data: bytes) -> Delivery:
    """The delivery in these bytes. Raises `MalformedMessage` if they hold anything else."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error)) from error


# ---------------------------------------------------------------------------------------------- ledger
class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower):
    """One line of the ledger; its position is its index: 0, 1, 2, … without a gap."""

    position: int


class DepositEntry(Entry, frozen=True, tag="deposit"):
    """Goods came in."""

    deposit_id: str
    seller: str
    item: Item
    count: int
    price_cents: int
    clock: int
    trader: str


class Sale(Entry, frozen=True):
    """One unit went out. `cached`: the trader's cache had promised it before the warehouse was asked."""

    order_id: str
    buyer: str
    item: Item
    deposit_id: str
    seller: str
    price_cents: int
    clock: int
    trader: str
    cached: bool


class Denial(Entry, frozen=True):
    """An order was refused for good, so that a retry cannot turn what the buyer was told into a sale."""

    order_id: str
    buyer: str
    item: Item
    reason: Literal["unavailable", "oversold"]
    clock: int
    trader: str


class Appoint(Entry, frozen=True):
    """A peer took a trader's seat."""

    peer: str
    seat: int


class DeposeEntry(Entry, frozen=True, tag="depose"):
    """A trader lost its seat; `by` is itself if it resigned."""

    peer: str
    seat: int
    since: int
    by: str


class AdoptEntry(Entry, frozen=True, tag="adopt"):
    """A trader has taken over the queue of a former tenure, and what that was granted."""

    peer: str
    since: int
    trader: str


class Grant(Entry, frozen=True):
    """Units of a deposit that only this trader may sell from now on (escrow)."""

    deposit_id: str
    item: Item
    count: int
    trader: str


class Return(Entry, frozen=True):
    """Granted units that were not sold are free again."""

    deposit_id: str
    item: Item
    count: int
    trader: str


AnyEntry = DepositEntry | Sale | Denial | Appoint | DeposeEntry | AdoptEntry | Grant | Return


def entry_to_document(entry: AnyEntry) -> dict[str, Any]:
    """An entry as MongoDB keeps it: its position is the `_id`."""
    document: dict[str, Any] = msgspec.to_builtins(entry)
    document["_id"] = document.pop("position")
    return document


def document_to_entry(document: dict[str, Any]) -> AnyEntry:
    """The reverse of `entry_to_document`. Raises `msgspec.ValidationError` for a document of another shape."""
    fields = dict(document)
    fields["position"] = fields.pop("_id")
    entry: AnyEntry = msgspec.convert(fields, AnyEntry)
    return entry


# -------------------------------------------------------------------------------------- trader's queue
class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="opened"):
    """A tenure begins; its journal is a file of its own, so that a successor finds just what it has to take over."""

    since: int


class Queued(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="queued"):
    """The trader took this order in."""

    order: Order


class Promised(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="promised"):
    """The trader's cache answered the order from this lot; the warehouse has yet to confirm it."""

    order: Order
    lot: Lot


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="closed"):
    """The warehouse decided the order; nothing more is to be done for it."""

    order_id: str


JournalLine = Opened | Queued | Promised | Closed


class Recovered(NamedTuple):
    """What could be read of the journal of a tenure."""

    lines: Sequence[JournalLine] | None
    """The sound ones; None if there is no such journal, or it cannot be read now: that is not an empty one."""
    damage: Sequence[str] = ()
    """What is wrong with it, each with the number of the line."""


class Unanswered(Record, frozen=True):
    """An order that a buyer is to ask for once more. `in_doubt`: it was answered, and the answer does not count any more."""

    item: Item
    in_doubt: bool


class FormerLife(Record, frozen=True):
    """What a process that is started again finds in its own history."""

    lives: int = 0
    """How often it was started before."""
    clock: int = 0
    """Where its Lamport clock had come to; its names for orders and deposits go on from there."""
    placed: int = 0
    """How many orders it had placed."""
    unanswered: dict[str, Unanswered] = {}
    """The orders that it waits for, by name, in the order in which they were placed."""
    offered: tuple[Deposit, ...] = ()
    """The deposits that no trader has confirmed."""
    credited: frozenset[str] = frozenset()
    """The orders whose sale it was paid for."""


FIRST_LIFE = FormerLife()
