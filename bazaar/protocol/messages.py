"""All messages that processes send to each other, grouped by occasion."""

from __future__ import annotations

from typing import Annotated

import msgspec

from bazaar.protocol.goods import (
    MANY,
    Bench,
    Copy,
    Count,
    Item,
    Lot,
    Name,
    Number,
    Price,
    Seat,
    SomeUnits,
    Total,
    Units,
    Wave,
)
from bazaar.protocol.journal_lines import JournalLine
from bazaar.protocol.requests import Reply, Request


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Something that one process says to another."""


# -------------------------------------------------------------------------------- election, membership
class Election(Message, frozen=True):
    """Bully: is anybody above me alive? (Garcia-Molina, "Elections in a Distributed Computing System", 1982)

    `round`: see `Bench`. An `Election` or an `Ok` of an earlier round does not count.
    """

    round: Number


class Ok(Message, frozen=True):
    """Bully: I am above you and alive; drop out."""

    round: Number


class Call(Message, frozen=True):
    """Election along a tree, to a neighbour: who of those beyond you is highest? It crosses each edge of the graph once.

    (Chang, "Echo algorithms", 1982: an explorer.) A `Call`, an `Echo` or a `Chosen` of an earlier round does not count.
    """

    round: Number
    wave: Wave


class Echo(Message, frozen=True):
    """Election along a tree, to the neighbour whose `Call` came first: these are the highest living candidates beyond me."""

    round: Number
    wave: Wave
    highest: Annotated[tuple[Name, ...], MANY]


class Chosen(Message, frozen=True):
    """Election along a tree: you are the highest, so claim this seat."""

    round: Number
    seat: Count


class Won(Message, frozen=True):
    """I am a trader now. Along a tree it is passed on: then `peer` is the new trader, else it is the sender."""

    bench: Bench
    peer: Name | None = None


class WhoTrades(Message, frozen=True):
    """Who trades? A peer asks the warehouse when it starts. At a run's end it asks each trader, for a sign of life."""


class Claim(Message, frozen=True):
    """The winner of an election asks the warehouse for a seat."""

    round: Number
    seat: Count


class BenchIs(Message, frozen=True):
    """Who holds the seats. The warehouse sends it to a peer that asks, a peer in answer to a call whose round is over."""

    bench: Bench


# ---------------------------------------------------------------------------------------- death and succession
class Heartbeat(Message, frozen=True):
    """A trader is alive, and so long do its orders wait. Between embassies: the other bazaar is there."""

    wait_ms: Count = 0
    queued: Count = 0
    """Orders without an answer."""


class Resize(Message, frozen=True):
    """From the youngest trader to the warehouse: by load, let there be so many traders; fewer: I resign.

    `position`: of the bench that this was decided for. `wait_ms`: how long orders wait.
    """

    position: Number
    seats: Count
    wait_ms: Count


class Depose(Message, frozen=True):
    """To the warehouse: take the seat from this trader, which is silent, or is the sender itself and resigns."""

    seat: Seat


class Deposed(Message, frozen=True):
    """From the warehouse to the peer whose `Depose` came first: the trader is deposed; tell the others."""

    seat: Seat
    bench: Bench


class TraderDead(Message, frozen=True):
    """To everybody: do not trade with this peer any more."""

    peer: Name
    bench: Bench


class TakeOver(Message, frozen=True):
    """From the warehouse to a trader: the queue of this former tenure is yours to carry out.

    `copy`: with `--keeper`, which copy of its journal to read; None: no keeper was named, so nothing had left that tenure.
    """

    seat: Seat
    copy: Copy | None = None


class Recall(Message, frozen=True):
    """From the warehouse to a trader: give back your unsold granted units of this item; other traders need them."""

    item: Item


class EndEpoch(Message, frozen=True):
    """From the warehouse to a trader: promise nothing more from the shared cache of epochs before this, and say so.

    (`EpochEnded`, in the question that has the last of these promises, or in a later one.)
    """

    before: Number


class EpochLost(Message, frozen=True):
    """From a trader to the warehouse: the cache server does not know this epoch, so it has lost what it was filled with."""

    epoch: Number


class Freed(Message, frozen=True):
    """From the warehouse to a trader that was told `Scarce`: ask again. The other traders have given back their units."""

    item: Item


class Reopened(Message, frozen=True):
    """The warehouse was started again: repeat the questions that it has not answered."""


class AskAgain(Message, frozen=True):
    """To a buyer: send this order again. The trader that answered it lost its seat and does not know what became of it."""

    order_id: Name
    item: Item
    units: Units = 1


# ----------------------------------------------------------------------- copies of journals (`--keeper`)
class Keep(Message, frozen=True):
    """From a trader to its keeper: message `number` of this copy, with these lines. Without lines: are you there?"""

    copy: Copy
    number: Count
    lines: Annotated[tuple[JournalLine, ...], MANY] = ()


class Kept(Message, frozen=True):
    """From a keeper to a trader: the messages of this copy below `upto` are on my disk."""

    copy: Copy
    upto: Count


class NameKeeper(Message, frozen=True):
    """From a trader to the warehouse: let the ledger say that this is the copy of my journal for an heir to read."""

    copy: Copy


class KeeperIs(Message, frozen=True):
    """From the warehouse to a trader: the ledger says so."""

    copy: Copy


class Fetch(Message, frozen=True):
    """From an heir to a keeper: what is open in this copy, from that line on? No further line of the tenure is taken."""

    copy: Copy
    first: Count = 0


class Fetched(Message, frozen=True):
    """From a keeper to an heir: these lines are open, of `total` lines. `total` is None if there is no such copy here.

    No copy is not an empty one: the heir does not know then what the tenure owes.
    """

    copy: Copy
    first: Count
    lines: Annotated[tuple[JournalLine, ...], MANY]
    total: Count | None


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
    """A buyer orders. `again` marks a retry under the same name: its answer may exist already."""

    order_id: Name
    item: Item
    again: bool
    units: Units = 1


class MarketOpen(Message, frozen=True):
    """From a trader to the buyers: it serves orders from now on, so they may begin to order."""


class Purchased(Message, frozen=True):
    """The order is carried out. `final`: the sale is in the ledger; if not, a cache has promised the units.

    `price_cents`: of all units together. `others`: further sellers, if the units are of several.
    """

    order_id: Name
    item: Item
    seller: Name
    price_cents: Total
    final: bool = True
    units: Units = 1
    others: Annotated[tuple[Name, ...], MANY] = ()


class Unavailable(Message, frozen=True):
    """Nobody sells the item, or not as many units of it."""

    order_id: Name
    item: Item
    units: Units = 1


class Oversold(Message, frozen=True):
    """The sale that you were told of is revoked: the cache promised what the warehouse did not have."""

    order_id: Name
    item: Item
    units: Units = 1


class Sold(Message, frozen=True):
    """To the seller: units of its product are sold; `left` counts what remains of the product over all its lots.

    An order that takes from several lots of the seller is one such letter. `price_cents`: of these `units` together.
    `position`: the ledger's position when this was counted. Letters of different traders can overtake each other. The count
    with the higher position is newer.
    """

    order_id: Name
    item: Item
    buyer: Name
    price_cents: Total
    left: Count
    position: Number = -1
    units: Units = 1


class OutOfStock(Message, frozen=True):
    """To the seller: nothing is left of this product. `position`: see `Sold`."""

    item: Item
    position: Number = -1


class CacheUpdate(Message, frozen=True):
    """A trader tells the others the counts after its newest sales; they keep the minimum (requirement D5)."""

    lots: Annotated[tuple[Lot, ...], MANY]


# ------------------------------------------------------------------------------------------- warehouse
class Ask(Message, frozen=True):
    """One batch of a trader's requests. A retry keeps the `number`."""

    number: Number
    requests: Annotated[tuple[Request, ...], MANY]


class Answer(Message, frozen=True):
    """The replies to one `Ask`, in the order of its requests.

    `written`: the answer needed an entry in the ledger, which a warehouse that was replaced could not have written. Such an
    answer renews the trader's lease. `position`: the ledger's position after these replies.
    """

    number: Number
    replies: Annotated[tuple[Reply, ...], MANY]
    written: bool
    position: Number = -1
    epoch: Number = -1
    """The epoch of the shared cache from which the trader may promise; -1: none."""


# ---------------------------------------------------------------------------------------- other bazaars
class BuyAbroad(Message, frozen=True):
    """An order for goods of another bazaar: from a buyer to the embassy of its bazaar, and from there to another embassy.

    It keeps its name, `buyer0@north-17`, on the whole way and in the ledger whose goods it takes. So a repeat is safe.
    """

    order_id: Name
    item: Item
    units: Units = 1


class BoughtAbroad(Message, frozen=True):
    """The way back: the order is in the ledger of the sellers' bazaar. The sellers are called `seller1@south`."""

    order_id: Name
    item: Item
    seller: Name
    price_cents: Total
    units: Units = 1
    others: Annotated[tuple[Name, ...], MANY] = ()


class UnavailableAbroad(Message, frozen=True):
    """The way back: a bazaar has refused the order for good. To the buyer: all bazaars that were asked have."""

    order_id: Name
    item: Item
    units: Units = 1


BATCHABLE = (Sold,)
"""Messages that nobody waits for. They may be held back briefly, so that many of them travel in one delivery."""

AnyMessage = (
    Election
    | Ok
    | Call
    | Echo
    | Chosen
    | Won
    | WhoTrades
    | Claim
    | BenchIs
    | Heartbeat
    | Resize
    | Depose
    | Deposed
    | TraderDead
    | TakeOver
    | Keep
    | Kept
    | NameKeeper
    | KeeperIs
    | Fetch
    | Fetched
    | Recall
    | EndEpoch
    | EpochLost
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
    | BuyAbroad
    | BoughtAbroad
    | UnavailableAbroad
)
