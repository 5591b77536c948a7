"""The record types that the judge reads: the lines of a history and of the ledger.

The judge has record types of its own, with only the fields that it needs. So a change of the market's records cannot
change the standard by which they are judged. A line with a number beyond `LARGEST`, or without a field of its kind, counts
as unreadable.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

LARGEST = 2**40  # sums of millions of them fit into 64 bits
Number = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]


class Line(msgspec.Struct, gc=False):
    """A line of a history. `facts` is decoded only if a handler needs it, which saves most of the time."""

    at: float
    process: str
    clock: Number
    what: str
    facts: msgspec.Raw = msgspec.Raw(b"{}")
    source: str | None = None
    sent: Number | None = None


# --------------------------------------------------------------------------------------- facts: buyers
class Placed(msgspec.Struct, gc=False):
    order: str
    item: str
    trader: str
    units: Number = 1


class Told(msgspec.Struct, gc=False):
    """An answer to a buyer. `final`: the ledger decided it; else a cache promised it, and may have to correct it.

    `price`: of all units. `others`: sellers besides `seller`.
    """

    order: str
    item: str
    seller: str = ""
    price: Number = 0
    final: bool = True
    units: Number = 1
    others: tuple[str, ...] = ()


# --------------------------------------------------------------------------------- facts: other bazaars
class Ordered(msgspec.Struct, gc=False):
    """An order abroad, as its buyer or an embassy sends it, or gives it up."""

    order: str
    item: str
    units: Number = 1


# -------------------------------------------------------------------------------------- facts: sellers
class Offered(msgspec.Struct, gc=False):
    deposit: str
    item: str
    count: Number
    price: Number


class Registered(msgspec.Struct, gc=False):
    deposit: str
    item: str


class Credited(msgspec.Struct, gc=False):
    order: str
    item: str
    buyer: str
    earned: Number
    units: Number = 1


class Left(msgspec.Struct, gc=False):
    item: str
    left: Number


class OfItem(msgspec.Struct, gc=False):
    item: str


# -------------------------------------------------------------------------------------- facts: traders
class Waiting(msgspec.Struct, gc=False):
    order: str
    item: str
    buyer: str
    clock: Number
    lane: str


class Taken(msgspec.Struct, gc=False):
    order: str
    to: Literal["cache", "warehouse"]


class Sought(msgspec.Struct, gc=False):
    order: str


class Traded(msgspec.Struct, gc=False):
    order: str
    item: str
    seller: str
    price: Number
    units: Number = 1
    others: tuple[str, ...] = ()


class TookOver(msgspec.Struct, gc=False):
    promised: Number = 0


class Seated(msgspec.Struct, gc=False):
    since: Number


class Unreadable(msgspec.Struct, gc=False):
    peer: str
    since: Number
    reason: str = "it cannot be read"


class Resized(msgspec.Struct, gc=False):
    seats: Number
    by: str


class OfPeer(msgspec.Struct, gc=False):
    peer: str


class Absent(msgspec.Struct, gc=False):
    for_s: float


# ----------------------------------------------------------------- facts: the graph, if it is spoken along
class Neighbours(msgspec.Struct, gc=False):
    names: tuple[str, ...]


class Carried(msgspec.Struct, gc=False):
    """How many bundles the process has sent to each neighbour in this life."""

    bundles: tuple[tuple[str, Number], ...] = ()


# --------------------------------------------------------------------- facts: the warehouse, the launcher
class Stocked(msgspec.Struct, gc=False):
    item: str
    count: Number
    seller: str


class Fault(msgspec.Struct, gc=False):
    """A fault on the process `name`, or on the links of all `names`."""

    fault: str
    kind: str
    name: str = ""
    names: tuple[str, ...] = ()
    for_s: float = 0.0


class Named(msgspec.Struct, gc=False):
    name: str


class Fell(msgspec.Struct, gc=False):
    """`lost`: its machine went with it, and perhaps the last lines of its history."""

    name: str
    lost: bool = False


class Missed(msgspec.Struct, gc=False):
    fault: str
    reason: str


FACTS: dict[str, type[msgspec.Struct]] = {
    "ordered": Placed,
    "repeated": Placed,
    "purchased": Told,
    "found_unavailable": Told,
    "revoked": Told,
    "asked_abroad": Ordered,
    "bought_abroad": Told,
    "unavailable_abroad": Told,
    "unknown_abroad": Ordered,
    "ordered_for": Ordered,
    "answered_for": Told,
    "offered": Offered,
    "registered": Registered,
    "sold": Credited,
    "left": Left,
    "picked": OfItem,
    "queued": Waiting,
    "inherited": Waiting,
    "requeued": Waiting,
    "sought_in_vain": Waiting,
    "sought": Sought,
    "taken": Taken,
    "scarce": OfItem,
    "freed": OfItem,
    "traded": Traded,
    "took_over": TookOver,
    "seated": Seated,
    "unreadable": Unreadable,
    "suspected": OfPeer,
    "deposed": OfPeer,
    "resized": Resized,
    "absent": Absent,
    "neighbours": Neighbours,
    "carried": Carried,
    "stocked": Stocked,
    "fault": Fault,
    "started": Named,
    "fell": Fell,
    "missed": Missed,
}
"""The type of an event's facts, by kind of event."""
KINDS = FACTS.keys() | {
    "born",
    "compared",
    "lost_neighbour",
    "found_neighbour",
    "unexpected",
    "joined",
    "informed",
    "election_started",
    "reelection",
    "called",
    "heard_ok",
    "echoed",
    "chosen",
    "elected",
    "recognized",
    "trader_died",
    "heard_death",
    "resigned",
    "nothing_to_resign",
    "doubted",
    "met",
    "sent_abroad",
    "unavailable",
    "shipped",
    "oversold",
    "seller_loop",
    "out_of_stock",
    "ready_for_registration",
    "warming_up",
    "opened",
    "stepped_down",
    "turned_away",
    "asked",
    "pulled",
    "pushed",
    "heard_push",
    "learned",
    "connected",
    "appointed",
    "adopted",
    "keeper_named",
    "fenced",
    "granted",
    "epoch_begun",
    "epoch_ending",
    "returned",
    "drawn",
    "closing",
    "ended",
}
"""All known kinds of events, also those of which only the clock is judged. An event of another kind is unreadable."""


# ------------------------------------------------------------------------------------------ the ledger
class Entry(msgspec.Struct, gc=False, tag_field="kind", tag=str.lower):
    position: Number


class Deposit(Entry):
    deposit_id: str
    seller: str
    item: str
    count: Number
    price_cents: Number
    clock: Number
    trader: str


class Part(msgspec.Struct, gc=False):
    """What an order took from a further lot."""

    deposit_id: str
    seller: str
    price_cents: Number
    units: Number


class Sale(Entry):
    order_id: str
    buyer: str
    item: str
    deposit_id: str
    seller: str
    price_cents: Number
    trader: str
    cached: bool
    units: Number = 1
    more: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """The order, lot by lot."""
        return (Part(self.deposit_id, self.seller, self.price_cents, self.units), *self.more)


class Denial(Entry):
    order_id: str
    buyer: str
    item: str
    reason: str
    trader: str
    units: Number = 1


class Appoint(Entry):
    peer: str
    seat: Number


class Depose(Entry):
    peer: str
    seat: Number
    since: Number
    by: str


class Seats(Entry):
    seats: Number
    by: str


class Adopt(Entry):
    peer: str
    since: Number
    trader: str


class Keeper(Entry):
    peer: str
    since: Number
    keeper: str
    copy: Number


class Grant(Entry):
    deposit_id: str
    item: str
    count: Number
    trader: str


class Return(Entry):
    deposit_id: str
    item: str
    count: Number
    trader: str


AnyEntry = Deposit | Sale | Denial | Appoint | Depose | Seats | Adopt | Keeper | Grant | Return

decode_line = msgspec.json.Decoder(Line).decode
decode_entry = msgspec.json.Decoder(AnyEntry).decode
decode_facts: dict[str, Any] = {what: msgspec.json.Decoder(kind).decode for what, kind in FACTS.items()}
