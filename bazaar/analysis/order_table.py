"""`orders.csv`: one row for each order of a run, with what its buyer, its traders and the ledger say about it.

All columns are plain: a name, a number or true/false, and empty where there is nothing to say (`docs/reference/files.md`).
The table holds for each order what the ledger decided, some 300 bytes, and everything else for one buyer at a time.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from bazaar.analysis.stories import AT_THE_BUYER, Run, word_of
from bazaar.analysis.stories.reading import Line
from bazaar.protocol import events
from bazaar.protocol.entries import AnyEntry, Denial, DepositEntry, Sale
from bazaar.protocol.goods import buyer_of, is_seller, name_at_home
from bazaar.runtime.history import only

ORDERS_FILE = "orders.csv"
OUTCOMES: dict[type[events.Event], str] = {
    events.Purchased: "purchased",
    events.FoundUnavailable: "unavailable",
    events.Revoked: "oversold",
}
UNANSWERED = "unanswered"


class Decided(msgspec.Struct, gc=False):
    """What the ledger says about an order."""

    decision: str = ""
    """`sold`, `unavailable` or `oversold`; empty if the ledger has not decided the order."""
    entry: int | None = None
    """The ledger position of the decision."""
    decided_by: str = ""
    """The trader that asked for the decision."""
    seller: str = ""
    """The seller; if the units are of several lots, that of each, with blanks between them."""
    deposit: str = ""
    """The lot, or the lots, as `seller`."""
    price_cents: int | None = None
    """Of all units."""
    promised: bool | None = None
    """Whether a trader's cache had promised the order before the warehouse was asked."""
    undersold: bool | None = None
    """Whether the order was refused although the warehouse had as many units of the item."""
    units: int | None = None
    """How many units the decision is on."""


class Placed(msgspec.Struct):
    """What the buyer's history says about an order. Times are in seconds since the market opened."""

    order: str
    buyer: str = ""
    item: str = ""
    trader: str = ""
    """The trader that was asked first."""
    by_hand: bool | None = None
    clock: int | None = None
    placed_s: float | None = None
    answered_s: float | None = None
    """When the buyer had its first answer."""
    wait_ms: float | None = None
    outcome: str = ""
    """One of `OUTCOMES`, by the last answer, or `UNANSWERED`; empty if no history has the order."""
    repeats: int | None = None
    """How often the buyer sent the order once more."""
    abroad: str = ""
    """What the buyer knew last of it abroad: `bought`, `unavailable` or `unknown`; empty if it did not go there."""
    abroad_seller: str = ""
    """Of an order that was bought abroad: as `seller`, with the bazaar."""
    abroad_cents: int | None = None
    """Of all units."""
    abroad_ms: float | None = None
    """From the first asking abroad to the last word."""


COLUMNS = (*Placed.__struct_fields__, *Decided.__struct_fields__)


def rows(run: Run) -> Iterator[tuple[Placed, Decided]]:
    """The orders, buyer by buyer as they were placed; those of other bazaars; then those that are in the ledger alone.

    Raises `msgspec.DecodeError` if a history cannot be read.
    """
    decided = _decisions(run.entries)
    for name in run.plan.names:
        if not is_seller(name):
            for placed in _orders_of(name, run.histories.get(name, ()), run.opening).values():
                yield placed, decided.pop(placed.order, Decided())
    for placed in _orders_for(run.histories.get(run.plan.embassy or "", ()), run.opening).values():
        yield placed, decided.pop(placed.order, Decided())
    for order, decision in decided.items():
        yield Placed(order), decision


def _decisions(entries: Iterable[AnyEntry]) -> dict[str, Decided]:
    left: Counter[str] = Counter()
    found: dict[str, Decided] = {}
    names: dict[str, str] = {}  # one object for each name that occurs in many entries
    for entry in entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale(position, order, _, item, trader=trader, cached=cached, parts=parts):
                units = sum(part.units for part in parts)
                left[item] -= units
                seller, deposit = " ".join(p.seller for p in parts), " ".join(p.deposit_id for p in parts)
                price_cents = sum(part.units * part.price_cents for part in parts)
                trader, seller, deposit = (names.setdefault(name, name) for name in (trader, seller, deposit))
                found[order] = Decided("sold", position, trader, seller, deposit, price_cents, cached, False, units)
            case Denial(position, order, _, item, reason, _, trader, units):
                trader, promised, enough = names.setdefault(trader, trader), reason == "oversold", left[item] >= units
                found[order] = Decided(reason, position, trader, promised=promised, undersold=enough, units=units)
    return found


def _orders_of(buyer: str, history: Iterable[Line], opening: float) -> dict[str, Placed]:
    found: dict[str, Placed] = {}
    abroad: defaultdict[str, list[Line]] = defaultdict(list)
    for line in only(history, *AT_THE_BUYER):
        abroad[name_at_home(line.event.order_id)].append(line)
    for line in only(history, events.Ordered, events.Repeated, *events.ANSWERS):
        event, at_s = line.event, round(line.at - opening, 6)
        if isinstance(event, events.Ordered):
            found[event.order_id] = Placed(
                event.order_id, buyer, event.item, event.trader, event.by_hand, line.clock, at_s,
                outcome=UNANSWERED, repeats=0,
            )  # fmt: skip
        elif (placed := found.get(event.order_id)) is None:
            continue
        elif isinstance(event, events.Repeated):
            placed.repeats = (placed.repeats or 0) + 1
        else:
            placed.outcome = OUTCOMES[type(event)]
            if placed.answered_s is None and placed.placed_s is not None:
                placed.answered_s, placed.wait_ms = at_s, round(1000 * (at_s - placed.placed_s), 3)
    for order, lines in abroad.items():
        if order in found:
            _went_abroad(found[order], lines)
    return found


def _went_abroad(placed: Placed, lines: Sequence[Line]) -> None:
    placed.abroad = word_of(lines) or ""
    words = [line for line in lines if not isinstance(line.event, events.AskedAbroad)]
    if words:
        placed.abroad_ms = round(1000 * (words[-1].at - lines[0].at), 3)
    for line in words:
        if isinstance(line.event, events.BoughtAbroad):
            placed.abroad_seller = " ".join((line.event.seller, *line.event.others))
            placed.abroad_cents = line.event.price_cents


def _orders_for(embassy: Iterable[Line], opening: float) -> dict[str, Placed]:
    """The orders of other bazaars, as the embassy placed them here."""
    found: dict[str, Placed] = {}
    for line in only(embassy, events.OrderedFor, events.AnsweredFor):
        event, at_s = line.event, round(line.at - opening, 6)
        placed = found.get(event.order_id)
        match event:
            case events.OrderedFor(order, item, trader=trader) if placed is None:
                found[order] = Placed(
                    order, buyer_of(order), item, trader, False, line.clock, at_s, outcome=UNANSWERED, repeats=0
                )
            case events.OrderedFor() if placed is not None:
                placed.repeats = (placed.repeats or 0) + 1
            case events.AnsweredFor(seller=seller) if placed is not None and placed.placed_s is not None:
                placed.outcome = "purchased" if seller else "unavailable"
                if placed.answered_s is None:
                    placed.answered_s, placed.wait_ms = at_s, round(1000 * (at_s - placed.placed_s), 3)
    return found


def table_of(run: Run) -> Iterator[bytes]:
    """The lines of the table, with its head. Raises `msgspec.DecodeError` if a history cannot be read."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for placed, decided in rows(run):
        values = (getattr(record, name) for record in (placed, decided) for name in record.__struct_fields__)
        writer.writerow(str(value).lower() if isinstance(value, bool) else value for value in values)
        yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    """What stands in the buffer, which is empty then."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
