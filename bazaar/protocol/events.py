"""The catalogue of events: everything that a process can note in its history.

A line of a history says when, where and at which clock an event happened (`bazaar/runtime/history.py`). It names the event by
its `kind`, which is the name of the class with underscores (`FoundUnavailable` is `found_unavailable`), and holds its fields
as `facts`. `JSON_NAMES` lists the fields that have another name in there. A field that has its default is left out.

Units: money is in cents, times in seconds, `clock` is a Lamport clock, `since` a position of the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

import msgspec

from bazaar.protocol.goods import Item

Counts = tuple[tuple[str, int], ...]
"""Deposits, each with the number of units that are left of it, as a process believes or says."""
JSON_NAMES = {
    "order_id": "order",
    "deposit_id": "deposit",
    "price_cents": "price",
    "earned_cents": "earned",
    "fault_kind": "kind",
}
"""Fields whose name in a history, on which scripts depend, differs from the name in the code, which also tells the unit."""


class Event(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, rename=JSON_NAMES
):  # fmt: skip
    """Something that happened in a process."""

    kind: ClassVar[str] = "event"
    """The name of the event in a history."""

    def __init_subclass__(cls) -> None:
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


# ------------------------------------------------------------------------------------ every process
class Born(Event, frozen=True):
    """A process begins a life. This is the first line of each life, written before the process sends anything."""

    life: int
    """1 for the first, one more each time that the process is started again."""


class Absent(Event, frozen=True):
    """A process noticed that for a while it did not run despite pending work: it was stopped, or the machine was busy."""

    for_s: float


class Compared(Event, frozen=True):
    """A process on another machine than the launcher's compared its steady clock with that of the name server."""

    ahead_s: float
    """How far the name server's clock is ahead."""
    error_s: float
    """The largest error of that figure: half of the fastest question's time."""
    drifted_s: float = 0.0
    """By how much it was ahead more than at the comparison before."""


class Unexpected(Event, frozen=True):
    """A peer or the warehouse got a message that it cannot handle, and ignored it."""

    message: str
    """The name of the message's class."""


# ------------------------------------------------------------ every peer and the warehouse: the graph's edges
class Neighbours(Event, frozen=True):
    """With `--routing neighbours`: from now on this process has links to exactly these others."""

    names: tuple[str, ...]
    trying: str = ""
    """The one of them that is only tried at present, because it was missed; empty if there is none."""


class LostNeighbour(Event, frozen=True):
    """A neighbour is silent for too long."""

    name: str


class FoundNeighbour(Event, frozen=True):
    """A neighbour that was missed, or was started again, is heard."""

    name: str


class Carried(Event, frozen=True):
    """How many deliveries this process has routed in this life so far; noted now and then."""

    sent: int
    """Deliveries of its own."""
    arrived: int
    """Deliveries for itself."""
    hops: int
    """The edges that these have crossed, together."""
    relayed: int
    """Deliveries of others that it has passed on."""
    dropped: int
    """Deliveries that it has not passed on: there was no way, or no room. They are sent again."""
    bundles: Counts = ()
    """How many bundles of frames it has sent to each neighbour."""


# ----------------------------------------------------------------------------- every peer: who trades
class Joined(Event, frozen=True):
    """A peer takes part from now on."""

    role: Literal["buyer", "seller"]
    verb: Literal["looking for", "selling"]
    item: Item
    """The item that it wants first, or sells first."""


class Informed(Event, frozen=True):
    """The warehouse told a peer who trades, for the first time in the peer's life. The peer may now take part in elections."""


class ElectionStarted(Event, frozen=True):
    """A peer starts a round of the election."""


class Reelection(Event, frozen=True):
    """A peer is about to start a round of the election that is not the first of all."""

    traders: tuple[str, ...]
    """The peers that hold a seat already, by seat."""


class Called(Event, frozen=True):
    """A peer was called to an election: by a lower one, or along a tree by a neighbour."""

    by: str


class HeardOk(Event, frozen=True):
    """A peer that stands for election heard that a higher one is alive."""

    above: str


class Echoed(Event, frozen=True):
    """In an election along a tree a neighbour answered which candidates beyond it are the highest."""

    by: str
    highest: tuple[str, ...]


class Chosen(Event, frozen=True):
    """The starter of an election along a tree told a peer that it is the highest."""

    by: str


class Elected(Event, frozen=True):
    """A peer has won a trader's seat."""

    seat: int
    """0 for trader0."""


class Recognized(Event, frozen=True):
    """A peer was told by another that it is a trader now."""

    coordinator: str


class Suspected(Event, frozen=True):
    """A peer has heard nothing of a trader for too long, and asks the warehouse to depose it. Repeated during the silence."""

    peer: str


class TraderDied(Event, frozen=True):
    """The peer that was the first to report a trader learns that the trader is deposed, and tells everybody."""

    peer: str
    traders: tuple[str, ...]
    """The peers that still hold a seat, by seat."""
    left: Literal["none", "alone", "several"]
    """How many traders are left: none, only the peer that notes this event, or several."""


class HeardDeath(Event, frozen=True):
    """A peer was told that a trader does not trade any more."""

    peer: str
    by: str
    """The sender of the message."""


class Resigned(Event, frozen=True):
    """A trader was told to give up its seat, and asks the warehouse to depose it."""


class NothingToResign(Event, frozen=True):
    """A peer was told to give up its seat, and has none."""


# --------------------------------------------------------------------------------------------- buyers
class OfUnits(Event, frozen=True, kw_only=True):
    """The base of `OfOrder`, which makes the number of units its last field."""

    units: int = 1
    """How many units the order is for."""


class OfOrder(OfUnits, frozen=True):
    """The base of the events of an order."""

    order_id: str
    item: Item


class Placed(OfOrder, frozen=True):
    """A buyer sends an order to a trader: the base of `Ordered` and `Repeated`."""

    trader: str
    by_hand: bool = False
    """Whether the order was placed by hand, at the buyer's door."""


class Ordered(Placed, frozen=True):
    """A buyer orders."""


class Repeated(Placed, frozen=True):
    """A buyer sends an order once more, under the same name, because it got no answer or was told to ask again."""


class Purchased(OfOrder, frozen=True):
    """A buyer was told that its order is carried out."""

    seller: str
    price_cents: int
    """The price of all units."""
    final: bool
    """Whether the sale is in the ledger; if not, a cache has promised the units."""
    others: tuple[str, ...] = ()
    """Further sellers, if the units are of several."""


class FoundUnavailable(OfOrder, frozen=True):
    """A buyer was told that nobody sells the item, or not as many units of it."""


class Revoked(OfOrder, frozen=True):
    """A buyer was told that its order is not carried out after all, because the cache had promised a sold-out unit."""

    trader: str = ""
    """The sender of the message."""


class Doubted(OfOrder, frozen=True):
    """A buyer was told to send an answered order again, because the answer does not count any more."""


# --------------------------------------------------------------------- every buyer and the embassy: other bazaars
class AskedAbroad(OfOrder, frozen=True):
    """A buyer was refused an order at home for good, and sends it abroad. Noted again whenever it repeats the order."""


class BoughtAbroad(OfOrder, frozen=True):
    """A buyer was told that another bazaar has sold it the goods. The sellers are called `seller1@south`."""

    seller: str
    price_cents: int
    """Of all units."""
    others: tuple[str, ...] = ()


class UnavailableAbroad(OfOrder, frozen=True):
    """A buyer was told that all bazaars that were asked have refused the order for good."""


class UnknownAbroad(OfOrder, frozen=True):
    """A buyer stops waiting for an order abroad, and does not know what became of it. A late answer counts all the same."""


class Met(Event, frozen=True):
    """An embassy hears of another bazaar for the first time."""

    bazaar: str


class SentAbroad(OfOrder, frozen=True):
    """An embassy sends an order of its own bazaar to another one for the first time."""

    bazaar: str


class OrderedFor(OfOrder, frozen=True):
    """An embassy sends the order of another bazaar to a trader of its own. Noted again whenever it repeats the order."""

    trader: str


class AnsweredFor(OfOrder, frozen=True):
    """An embassy answers the order of another bazaar as its own ledger does. No seller: it was refused."""

    seller: str = ""
    price_cents: int = 0
    others: tuple[str, ...] = ()


ANSWERS = (Purchased, FoundUnavailable, Revoked)
"""The events that answer a buyer's order."""


# -------------------------------------------------------------------------------------------- sellers
class SellerLoop(Event, frozen=True):
    """A seller's restocking interval has passed; it brings new goods."""


class Picked(Event, frozen=True):
    """A seller picks the item that it brings next."""

    item: Item


class Offered(Event, frozen=True):
    """A seller hands goods to a trader."""

    deposit_id: str
    item: Item
    count: int
    price_cents: int
    """The price of one unit."""
    trader: str
    by_hand: bool = False
    """Whether the goods were deposited by hand, at the seller's door."""


class Registered(Event, frozen=True):
    """A seller was told that its goods are in the warehouse."""

    deposit_id: str
    item: Item
    trader: str
    """The sender of the message."""


class Sold(OfOrder, frozen=True):
    """A seller was told that goods of its are sold, and is credited its share. `units`: of this seller alone."""

    buyer: str
    earned_cents: int


class Left(Event, frozen=True):
    """A seller was told how much of its product is left over all its deposits."""

    item: Item
    left: int


class OutOfStock(Event, frozen=True):
    """A seller was told that nothing is left of its product."""

    item: Item


# ------------------------------------------------------------------------------- traders: the tenure
class Seated(Event, frozen=True):
    """A trader's tenure begins, or goes on after a restart, with a journal of its own."""

    since: int
    """The ledger position of its appointment, which identifies the tenure and its journal."""


class ReadyForRegistration(Event, frozen=True):
    """A newly elected trader takes deposits from now on."""


class WarmingUp(Event, frozen=True):
    """The traders are elected, and one of them waits before it opens, while the sellers bring their first goods."""

    for_s: float
    """How long it waits. It waits longer for a seller that is late."""


class Opened(Event, frozen=True):
    """A trader serves orders from now on."""

    traders: tuple[str, ...]
    """All traders, by seat."""


class TookOver(Event, frozen=True):
    """A trader has read the journal of a former tenure, another peer's or its own, and has merged that queue into its own.

    Each queue that was taken over is read once more when the market closes.
    """

    peer: str
    """The peer whose tenure it was."""
    orders: int
    """How many orders are still open in the journal."""
    promised: int
    """How many of the open orders were promised from a cache."""
    promises: tuple[tuple[str, str], ...] = ()
    """The promised orders, each with the deposit that it was promised from."""
    closed: int = 0
    """How many orders are closed in the journal, sold or refused."""


class Unreadable(Event, frozen=True):
    """A trader could not read the journal of a former tenure, or a line of it."""

    peer: str
    """The peer whose tenure it was."""
    since: int
    reason: str


class SteppedDown(Event, frozen=True):
    """A trader learns that it has lost its seat."""

    promised: int
    """How many orders its cache had promised and the warehouse had not confirmed."""


# -------------------------------------------------------------------------------- traders: the orders
class Waiting(OfOrder, frozen=True):
    """The base of the events by which an order enters a trader's queue."""

    buyer: str
    clock: int
    """The Lamport time at which the buyer sent the order; the lowest is served first."""
    lane: str
    """The lane of the queue: the item, or `sure` and the item if only the warehouse may answer the order."""


class Queued(Waiting, frozen=True):
    """A trader took in an order of a buyer."""


class Inherited(Waiting, frozen=True):
    """A trader found an order in the journal of a former tenure."""


class Requeued(Waiting, frozen=True):
    """A trader puts an order back because all units of its item are granted to other traders."""


class SoughtInVain(Waiting, frozen=True):
    """The shared cache could not give the units of an order, so the order waits for the warehouse."""


class TurnedAway(Event, frozen=True):
    """A trader whose queue is full did not take in an order; the buyer repeats it."""

    order_id: str
    buyer: str


class Sought(OfOrder, frozen=True):
    """A trader took an order out of its queue, and asks the shared cache for its units."""


class Taken(OfOrder, frozen=True):
    """A trader took an order out of its queue, to have it answered."""

    to: Literal["cache", "warehouse"]
    """Who answers the order."""
    deposit_id: str = ""
    """If the cache answers: the deposit that the units are promised from."""
    count: int = 0
    """If the cache answers: how many units of that deposit it believed to be left, these included."""


class Traded(OfOrder, frozen=True):
    """A trader learnt that the ledger holds a sale of its own, and tells the seller."""

    seller: str
    price_cents: int
    """The price of all units."""
    by: Literal["cache", "warehouse"]
    """`cache` if the trader's cache had promised the units."""
    others: tuple[str, ...] = ()
    """Further sellers, if the units are of several."""


class Unavailable(OfOrder, frozen=True):
    """An order is refused because the item is sold out. First the warehouse notes this, then the trader that was told."""

    buyer: str | None = None
    """Only the warehouse notes the buyer."""

    @property
    def by(self) -> Literal["warehouse", "trader"]:
        """Who notes the event."""
        return "trader" if self.buyer is None else "warehouse"


class Asked(Event, frozen=True):
    """A trader puts a question to the warehouse."""

    requests: int
    """How many requests are in it."""


class Pulled(Event, frozen=True):
    """As part of a question, a trader asks the warehouse for its whole stock, to refresh the cache."""


class Pushed(Event, frozen=True):
    """A trader tells another trader what it sold, for the other's cache."""

    to: str
    lots: Counts = ()
    """How many units are left, according to the sender."""


class HeardPush(Event, frozen=True):
    """A trader was told by another trader what the other one sold."""

    neighbor: str
    lots: Counts = ()
    """How many units are left, according to the sender."""


class Learned(Event, frozen=True):
    """An answer of the warehouse changed a trader's cache, after a read, a sale, a deposit or a grant."""

    position: int
    """The ledger's position at the answer, which contains no later decision."""
    lots: Counts
    """The lots whose count has changed, each with the number of units that may be promised now."""


class Scarce(Event, frozen=True):
    """A trader learnt that all units of an item are granted to other traders. Orders for the item wait."""

    item: Item


class Freed(Event, frozen=True):
    """A trader learnt that it may ask for a scarce item again. Orders for the item are served again."""

    item: Item


# -------------------------------------------------------------------------------------- the warehouse
class Connected(Event, frozen=True):
    """The warehouse has read its ledger, and answers from now on."""

    entries: int
    """How many entries the ledger has."""


class Appointed(Event, frozen=True):
    """The warehouse gave a seat to a peer."""

    peer: str
    seat: int


class Resized(Event, frozen=True):
    """The warehouse changed the number of traders, by load."""

    seats: int
    by: str
    """The youngest trader, which asked for it."""
    wait_ms: int
    """How long orders waited."""


class Deposed(Event, frozen=True):
    """The warehouse took the seat from a trader."""

    peer: str
    seat: int


class Adopted(Event, frozen=True):
    """The warehouse wrote into the ledger that a trader has taken over the queue of a former tenure."""

    peer: str
    """The peer whose tenure it was."""
    by: str
    """The trader that has taken the queue over (the heir)."""


class KeeperNamed(Event, frozen=True):
    """The warehouse wrote into the ledger which peer keeps a trader's journal, for an heir to read (`--keeper`)."""

    peer: str
    """The trader."""
    keeper: str


class Fenced(Event, frozen=True):
    """The warehouse carried out no request of a question, because the peer that asked is no trader any more."""

    peer: str
    requests: int
    """How many requests were in the question."""


class Stocked(Event, frozen=True):
    """The warehouse took in a deposit."""

    item: Item
    count: int
    seller: str


class Shipped(OfOrder, frozen=True):
    """The warehouse sold an order."""


class Oversold(OfOrder, frozen=True):
    """The warehouse refused an order that a cache had promised, because nothing of the promised lot is left."""

    buyer: str
    trader: str = ""
    """The trader that asked: the one whose cache had promised the unit, or its heir."""
    deposit_id: str = ""
    """The deposit that the unit was promised from."""


class Granted(Event, frozen=True):
    """The warehouse granted units of a deposit to a trader, who alone may sell them from now on (escrow)."""

    item: Item
    count: int
    trader: str


class Returned(Event, frozen=True):
    """The warehouse got back units of a deposit that it had granted to a trader (escrow)."""

    item: Item
    count: int
    trader: str


class EpochBegun(Event, frozen=True):
    """The shared cache is filled anew; from now on traders may promise what they take from it."""

    epoch: int
    """The ledger position of the first grant of the epoch."""


class EpochEnding(Event, frozen=True):
    """The warehouse wants back all units in the shared cache that nobody has promised."""

    before: int
    """It ends all epochs before this ledger position."""
    why: Literal["lost", "scarce", "restarted"]
    """`lost`: the server does not have what it should. `scarce`: the units are needed. `restarted`: the warehouse was."""


# --------------------------------------------------------------------------------------- the launcher
class Started(Event, frozen=True):
    """The launcher started a process."""

    name: str
    again: bool
    """Whether the process had been started before in this run."""


class Drawn(Event, frozen=True):
    """All processes are ready; the launcher can show the graph of the bazaar."""


class Fell(Event, frozen=True):
    """A process has ended, though the launcher had not told it to."""

    name: str
    how: str | None = None
    """How it ended, in words; left out if it can only have been killed."""
    lost: bool = False
    """Whether it went with its machine: the last lines of its history may be missing."""


class Fault(Event, frozen=True):
    """The launcher injected a fault that the settings, or somebody at the live page, asked for."""

    fault: str
    """The fault as it is written on the command line, `kill:trader1@5`."""
    fault_kind: str
    """`kill`, `pause`, `restart`, `resign`; `resume`, by which somebody ends a pause early; of machines `cut`,
    `slow`, and `kill` of all that is there; in a simulation some others."""
    name: str
    """The process that was hit; the first of `names`."""
    for_s: float
    """How long the fault lasts until it ends by itself; 0 for a fault that is done once."""
    names: tuple[str, ...] = ()
    """The names of all that were hit, if it is a fault of machines or in a simulation."""


class Missed(Event, frozen=True):
    """The launcher could not inject a fault that the settings ask for."""

    fault: str
    """The fault as it is written on the command line."""
    reason: str


class Closing(Event, frozen=True):
    """The launcher tells everybody to begin nothing new."""


class Ended(Event, frozen=True):
    """The launcher has ended the run. If this last line is missing, the launcher itself was killed."""


def _kinds(base: type[Event]) -> Iterator[type[Event]]:
    """The event classes without subclasses. The other classes are bases and are never noted."""
    further = base.__subclasses__()
    if not further:
        yield base
    for event in further:
        yield from _kinds(event)


KINDS: dict[str, type[Event]] = {event.kind: event for event in _kinds(Event)}
"""Every event by its kind."""
