"""Each message that one process sends to another, by who says it on which occasion."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bazaar.protocol.goods import (
    ITEMS,
    MANY,
    Bench,
    Count,
    Item,
    Lot,
    Name,
    Number,
    Order,
    Price,
    Record,
    Seat,
    SomeUnits,
)


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
    """Who trades? A peer asks the warehouse when it has just started; and each trader, for a sign of life, at a run's end."""


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


class Recall(Message, frozen=True):
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
    """A trader tells the others the counts after its newest sales; they keep the minimum (requirement D5)."""

    lots: Annotated[tuple[Lot, ...], MANY]


# ------------------------------------------------------------------------------------------- warehouse
class Ship(Record, frozen=True, tag="ship"):
    """Take one unit out: of the lot that a cache promised (`deposit_id`), or of the item's first lot (without one)."""

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


class Acquire(Record, frozen=True, tag="acquire"):
    """Grant me as much of the item as makes `count` units with what I hold already, or what can be had (escrow)."""

    item: Item
    count: Count


class GiveBack(Record, frozen=True, tag="give_back"):
    """All that I hold of this item is free again (escrow)."""

    item: Item


Request = Ship | Stock | Adopt | Read | Acquire | GiveBack


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
    """Every lot with something left of the items that were asked for; of a `Acquire` or `GiveBack`, what the trader holds."""

    items: Annotated[tuple[Item, ...], Meta(max_length=len(ITEMS))]
    lots: Annotated[tuple[Lot, ...], MANY]


class Adopted(Record, frozen=True, tag="adopted"):
    """The succession is in the ledger."""


Reply = Shipped | Denied | Stocked | Adopted | Scarce | Shelves


class Ask(Message, frozen=True):
    """One batch of a trader's requests. A retry keeps the `number`."""

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


BATCHABLE = (Sold,)
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
    | Recall
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
