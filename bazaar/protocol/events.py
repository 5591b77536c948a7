"""The catalogue of events: whatever a process notes in its history is one of these, and nothing else can be noted.

A line of a history says when, where and at which clock an event happened (`bazaar/runtime/history.py`). It names the event by
its `kind`, which is the name of the class with underscores (`FoundUnavailable` is `found_unavailable`), and holds its fields
as `facts`. `JSON_NAMES` lists the fields that are called otherwise in there. A field that has its default is left out.

Units: money is in cents, times in seconds, `clock` is a Lamport clock, `since` a position of the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

import msgspec

from bazaar.protocol.goods import Item

Counts = tuple[tuple[str, int], ...]
"""Of some deposits: how many units are left, as somebody believes or says."""
JSON_NAMES = {
    "order_id": "order",
    "deposit_id": "deposit",
    "price_cents": "price",
    "earned_cents": "earned",
    "fault_kind": "kind",
}
"""Fields that scripts know by another name than the code, which says what they are and in which unit."""


class Event(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, rename=JSON_NAMES
):  # fmt: skip
    """Something that happened in a process."""

    kind: ClassVar[str] = "event"
    """The name by which a history knows it."""

    def __init_subclass__(cls) -> None:
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


# ------------------------------------------------------------------------------------ every process
class Born(Event, frozen=True):
    """A process begins a life: the first line of each, before anything that it sends leaves."""

    life: int
    """1 for the first, one more each time that the process is started again."""


class Absent(Event, frozen=True):
    """A process noticed that it did not run for a while though it had something to do: it was stopped, or the machine busy."""

    for_s: float


class Unexpected(Event, frozen=True):
    """A peer or the warehouse got a message that it cannot make anything of, and left it."""

    message: str
    """The name of the message's class."""


# ----------------------------------------------------------------------------- every peer: who trades
class Joined(Event, frozen=True):
    """A peer takes part from now on."""

    role: Literal["buyer", "seller"]
    verb: Literal["looking for", "selling"]
    item: Item
    """What it wants first, or sells first."""


class Informed(Event, frozen=True):
    """A peer was told by the warehouse who trades, for the first time in its life; now it may take part in elections."""


class ElectionStarted(Event, frozen=True):
    """A peer starts a round of the election."""


class Reelection(Event, frozen=True):
    """A peer is about to start a round of the election that is not the first of all."""

    traders: tuple[str, ...]
    """Who holds a seat already, by seat."""


class Called(Event, frozen=True):
    """A peer was called to an election by a lower one."""

    by: str


class HeardOk(Event, frozen=True):
    """A peer that stands for election heard that a higher one is alive."""

    above: str


class Elected(Event, frozen=True):
    """A peer has won a trader's seat."""

    seat: int
    """0 for trader0."""


class Recognized(Event, frozen=True):
    """A peer was told by another that it is a trader now."""

    coordinator: str


class Suspected(Event, frozen=True):
    """A peer has heard nothing of a trader for too long, and asks the warehouse to depose it. Repeated while that lasts."""

    peer: str


class TraderDied(Event, frozen=True):
    """The peer whose suspicion came first learns that the trader is deposed, and tells everybody."""

    peer: str
    traders: tuple[str, ...]
    """Those who still hold a seat, by seat."""
    left: Literal["none", "alone", "several"]
    """Of these: none, the noting peer alone, or some."""


class HeardDeath(Event, frozen=True):
    """A peer was told that a trader does not trade any more."""

    peer: str
    by: str
    """Who told it."""


class Resigned(Event, frozen=True):
    """A trader was told to give up its seat, and asks the warehouse to depose it."""


class NothingToResign(Event, frozen=True):
    """A peer was told to give up its seat, and has none."""


# --------------------------------------------------------------------------------------------- buyers
class OfOrder(Event, frozen=True):
    """Something happened to an order: the base of those events."""

    order_id: str
    item: Item


class Placed(OfOrder, frozen=True):
    """A buyer sends an order to a trader: the base of the first time and all others."""

    trader: str
    by_hand: bool = False
    """Whether somebody has put it in at the buyer's door."""


class Ordered(Placed, frozen=True):
    """A buyer orders one unit of an item."""


class Repeated(Placed, frozen=True):
    """A buyer sends an order once more, under the same name, because it got no answer, or is to ask again."""


class Purchased(OfOrder, frozen=True):
    """A buyer was told that its order is carried out."""

    seller: str
    price_cents: int
    final: bool
    """Whether the ledger says so; else a cache has promised it."""


class FoundUnavailable(OfOrder, frozen=True):
    """A buyer was told that nobody sells the item."""


class Revoked(OfOrder, frozen=True):
    """A buyer was told that its order is not carried out after all, since the cache had promised what was not there."""

    trader: str = ""
    """Who told it."""


class Doubted(OfOrder, frozen=True):
    """A buyer is to ask again for an order that was answered, since the answer does not count any more."""


ANSWERS = (Purchased, FoundUnavailable, Revoked)
"""By these a buyer's order is answered."""


# -------------------------------------------------------------------------------------------- sellers
class SellerLoop(Event, frozen=True):
    """A seller's time has come to bring new goods."""


class Picked(Event, frozen=True):
    """A seller picks the item that it brings next."""

    item: Item


class Offered(Event, frozen=True):
    """A seller hands goods to a trader."""

    deposit_id: str
    item: Item
    count: int
    price_cents: int
    """Of one unit."""
    trader: str
    by_hand: bool = False
    """Whether somebody has put them in at the seller's door."""


class Registered(Event, frozen=True):
    """A seller was told that its goods are in the warehouse."""

    deposit_id: str
    item: Item
    trader: str
    """Who told it."""


class Sold(OfOrder, frozen=True):
    """A seller was told that a unit of its goods is sold, and is credited its share."""

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
    """The ledger's position of its appointment, by which the tenure and its journal are known."""


class ReadyForRegistration(Event, frozen=True):
    """A newly elected trader takes deposits from now on."""


class Opened(Event, frozen=True):
    """A trader serves orders from now on."""

    traders: tuple[str, ...]
    """All of them, by seat."""


class TookOver(Event, frozen=True):
    """A trader has read the journal of a former tenure, another's or its own, and made its queue a part of its own."""

    peer: str
    """Whose tenure it was."""
    orders: int
    """How many orders the journal does not call closed."""
    promised: int
    """How many of them were promised from a cache."""
    promises: tuple[tuple[str, str], ...] = ()
    """Those: each order, and the deposit that it was promised from."""
    closed: int = 0
    """How many orders the journal calls closed, sold or refused."""


class Unreadable(Event, frozen=True):
    """A trader could not read the journal of a former tenure, or a line of it."""

    peer: str
    """Whose tenure it was."""
    since: int
    reason: str


class SteppedDown(Event, frozen=True):
    """A trader learns that it has lost its seat."""

    promised: int
    """How many orders its cache had promised that the warehouse had not confirmed."""


# -------------------------------------------------------------------------------- traders: the orders
class Waiting(OfOrder, frozen=True):
    """An order waits in a trader's queue: the base of the events by which it comes there."""

    buyer: str
    clock: int
    """When the buyer sent it; the lowest is served first."""
    lane: str
    """The item; or `sure` and the item, if only the warehouse may answer it."""


class Queued(Waiting, frozen=True):
    """A trader took in an order of a buyer."""


class Inherited(Waiting, frozen=True):
    """A trader found an order in the journal of a former tenure."""


class Requeued(Waiting, frozen=True):
    """A trader puts an order back because what there is of its item was granted to other traders."""


class TurnedAway(Event, frozen=True):
    """A trader whose queue is full did not take in an order; the buyer repeats it."""

    order_id: str
    buyer: str


class Taken(OfOrder, frozen=True):
    """A trader took an order out of its queue, to have it answered."""

    to: Literal["cache", "warehouse"]
    """Who answers it."""
    deposit_id: str = ""
    """To the cache: what it is promised from."""
    count: int = 0
    """To the cache: how many units of that it believed to be left, this one among them."""


class Traded(OfOrder, frozen=True):
    """A trader learnt that the ledger holds a sale of its own, and tells the seller."""

    seller: str
    price_cents: int
    by: Literal["cache", "warehouse"]
    """Whether its cache had promised it."""


class Unavailable(OfOrder, frozen=True):
    """An order is refused since there is none: noted by the warehouse that refuses it, then by the trader that was told."""

    buyer: str | None = None
    """Noted by the warehouse only."""

    @property
    def by(self) -> Literal["warehouse", "trader"]:
        """Who notes it."""
        return "trader" if self.buyer is None else "warehouse"


class Asked(Event, frozen=True):
    """A trader puts a question to the warehouse."""

    requests: int
    """How many requests are in it."""


class Pulled(Event, frozen=True):
    """A trader asks, along with a question, for everything that the warehouse has, for its cache."""


class Pushed(Event, frozen=True):
    """A trader tells another what it sold, for its cache."""

    to: str
    lots: Counts = ()
    """How many are left, it says."""


class HeardPush(Event, frozen=True):
    """A trader was told by another what that one sold."""

    neighbor: str
    lots: Counts = ()
    """How many are left, the other says."""


class Learned(Event, frozen=True):
    """An answer of the warehouse changed what a trader's cache holds for true: what it read, sold, took in, or was granted."""

    position: int
    """The ledger's, of the answer: what was decided later is not in it."""
    lots: Counts
    """What may be promised now of each lot that it knows otherwise than before."""


class Scarce(Event, frozen=True):
    """A trader learnt that what there is of an item was granted to others; orders for it wait."""

    item: Item


class Freed(Event, frozen=True):
    """A trader learnt that an item may be had again; orders for it go on."""

    item: Item


# -------------------------------------------------------------------------------------- the warehouse
class Connected(Event, frozen=True):
    """The warehouse has read its ledger, and answers from now on."""

    entries: int
    """How many there are."""


class Appointed(Event, frozen=True):
    """The warehouse gave a seat to a peer."""

    peer: str
    seat: int


class Deposed(Event, frozen=True):
    """The warehouse took the seat from a trader."""

    peer: str
    seat: int


class Adopted(Event, frozen=True):
    """The warehouse wrote down that the queue of a former tenure has found its heir."""

    peer: str
    """Whose tenure it was."""
    by: str
    """The heir."""


class Fenced(Event, frozen=True):
    """The warehouse did nothing of what somebody asked that is no trader any more."""

    peer: str
    requests: int
    """How many requests were in the question."""


class Stocked(Event, frozen=True):
    """The warehouse took in a deposit."""

    item: Item
    count: int
    seller: str


class Shipped(OfOrder, frozen=True):
    """The warehouse sold a unit."""


class Oversold(OfOrder, frozen=True):
    """The warehouse refused an order that a cache had promised, since there is none."""

    buyer: str
    trader: str = ""
    """Who asked: whose cache had promised it, or the heir of that one."""
    deposit_id: str = ""
    """What it was promised from."""


class Granted(Event, frozen=True):
    """The warehouse granted units of a deposit to a trader, who alone may sell them from now on (escrow)."""

    item: Item
    count: int
    trader: str


class Returned(Event, frozen=True):
    """The warehouse got back what it had granted to a trader of a deposit (escrow)."""

    item: Item
    count: int
    trader: str


# --------------------------------------------------------------------------------------- the launcher
class Started(Event, frozen=True):
    """The launcher started a process."""

    name: str
    again: bool
    """Whether it was there before in this run."""


class Drawn(Event, frozen=True):
    """The launcher has everybody ready; the graph of the bazaar can be shown."""


class Fell(Event, frozen=True):
    """A process has ended, though the launcher had not told it to."""

    name: str
    how: str | None = None
    """In words; left out if it can only have been killed."""


class Fault(Event, frozen=True):
    """The launcher did to a process what the settings ask for, or hit links (in a simulation)."""

    fault: str
    """As it is written on the command line, `kill:trader1@5`."""
    fault_kind: str
    """`kill`, `pause`, `restart`, `resign`; in a simulation some others."""
    name: str
    """The process that was hit; the first of `names`."""
    for_s: float
    """How long it lasts by itself; 0 for what is done once."""
    names: tuple[str, ...] = ()
    """In a simulation: all that were hit."""


class Missed(Event, frozen=True):
    """The launcher could not do what the settings ask for."""

    fault: str
    """As it is written on the command line."""
    reason: str


class Closing(Event, frozen=True):
    """The launcher tells everybody to begin nothing new."""


class Ended(Event, frozen=True):
    """The launcher has brought the run to its end; without this last line it was killed itself."""


def _kinds(base: type[Event]) -> Iterator[type[Event]]:
    """Those that no other is built on: the others are bases, and nobody notes them."""
    further = base.__subclasses__()
    if not further:
        yield base
    for event in further:
        yield from _kinds(event)


KINDS: dict[str, type[Event]] = {event.kind: event for event in _kinds(Event)}
"""Every event by its kind."""
