"""The evidence of a small market that holds, and functions that falsify it (lies).

peers    buyer0, seller1, seller2, buyer3 (a buyer that is never elected), buyer4 (trader0), one buyer order at a time
ledger   0 buyer4 appointed; 1 seller1-d0: two salt at clock 10; 2 seller2-d0: one salt at clock 12
         3 buyer0-0 sold from seller1-d0 by the warehouse; 4 buyer0-1 promised by the cache, from seller1-d0
         5 buyer0-2 (fish) unavailable; 6 buyer0-3 promised by the cache from the empty seller1-d0, oversold
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from bazaar.analysis.audit import Evidence
from bazaar.analysis.linearizability import Clients
from bazaar.protocol import events
from bazaar.protocol.entries import AnyEntry, Appoint, Denial, DeposeEntry
from bazaar.protocol.events import KINDS, Event
from bazaar.protocol.goods import Item
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import Recorded
from tests.builders import a_deposit_entry, a_line, a_lot, a_sale, an_order, some_settings

NAMES = ("buyer0", "seller1", "seller2", "buyer3", "buyer4")
TRADER = "buyer4"
FIRST, SECOND = a_lot("seller1-d0", count=2, clock=10), a_lot("seller2-d0", count=1, clock=12)
ENTRIES: tuple[AnyEntry, ...] = (
    Appoint(0, TRADER, 0),
    a_deposit_entry(1, FIRST, TRADER),
    a_deposit_entry(2, SECOND, TRADER),
    a_sale(3, an_order("buyer0-0", clock=21), FIRST, TRADER),
    a_sale(4, an_order("buyer0-1", clock=41), FIRST, TRADER, cached=True),
    Denial(5, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER),
    Denial(6, "buyer0-3", "buyer0", "salt", "oversold", 81, TRADER),
)


class Script:
    """Writes the history of one process, with its own clock."""

    def __init__(self, process: str) -> None:
        self.process = process
        self.history: list[Recorded[Event]] = []

    def note(self, clock: int, what: str, by: tuple[str, int] | None = None, /, **facts: Any) -> None:
        source, sent = by or (None, None)
        self.history.append(a_line(clock / 100, self.process, clock, what, facts, source, sent))


def histories() -> dict[str, list[Recorded[Event]]]:
    buyer, first, second, trader = Script("buyer0"), Script("seller1"), Script("seller2"), Script(TRADER)
    first.note(3, "offered", deposit="seller1-d0", item="salt", count=2, price=800, trader=TRADER)
    second.note(4, "offered", deposit="seller2-d0", item="salt", count=1, price=800, trader=TRADER)
    first.note(5, "registered", deposit="seller1-d0", item="salt", trader=TRADER)
    second.note(6, "registered", deposit="seller2-d0", item="salt", trader=TRADER)
    trader.note(1, "joined")
    trader.note(2, "elected", seat=0)
    for serial, item in enumerate(("salt", "salt", "fish", "salt")):
        order, now = f"buyer0-{serial}", 20 * (serial + 1)
        cached = serial in (1, 3)
        buyer.note(now, "ordered", order=order, item=item, trader=TRADER)
        trader.note(
            now + 3, "queued", ("buyer0", now + 1), order=order, item=item, buyer="buyer0", clock=now + 1, lane=item
        )
        trader.note(now + 4, "taken", order=order, item=item, to="cache" if cached else "warehouse")
        if item == "fish":
            trader.note(now + 5, "unavailable", order=order, item=item)
            buyer.note(now + 8, "found_unavailable", (TRADER, now + 6), order=order, item=item)
            continue
        lot: dict[str, Any] = {"item": item, "seller": "seller1", "price": 800}
        buyer.note(now + 8, "purchased", (TRADER, now + 6), order=order, final=not cached, **lot)
        if serial == 3:
            buyer.note(now + 10, "revoked", (TRADER, now + 7), order=order, item=item)
            continue
        served_from = "cache" if cached else "warehouse"
        trader.note(now + 7, "traded", order=order, by=served_from, **lot)
        first.note(now + 10, "sold", (TRADER, now + 9), order=order, item=item, buyer="buyer0", earned=640)
        first.note(now + 11, "left", (TRADER, now + 9), item="salt", left=1 - serial)
    return {script.process: script.history for script in (buyer, first, second, trader)}


def a_market(**settings: Any) -> Evidence:
    goods: dict[str, Item] = dict.fromkeys(NAMES, "salt")
    plan = Plan(some_settings(peers=5, traders=1, **settings), NAMES, goods, dict.fromkeys(NAMES, ()), "weak")
    return Evidence(plan, ENTRIES, histories(), {("seller1", "salt"): 0, ("seller2", "salt"): 1})


def clients_of(histories: Mapping[str, Iterable[Recorded[Event]]]) -> Clients:
    """The operations of buyers and sellers, with the answers to them."""
    clients = Clients()
    for line in itertools.chain.from_iterable(histories.values()):
        match line.event:
            case events.Ordered(order, item):
                clients.ordered(order, item, line.clock)
            case events.Offered(deposit, item, count):
                clients.offered(deposit, item, count, line.clock)
            case events.Registered(deposit):
                clients.registered(deposit, line.clock)
            case events.Purchased(order, _, seller):
                clients.purchased(order, seller, line.clock)
            case events.FoundUnavailable(order):
                clients.found_unavailable(order, line.clock)
    return clients


R = TypeVar("R", bound=msgspec.Struct)


def changed(record: R, **fields: Any) -> R:
    return msgspec.structs.replace(record, **fields)


# ------------------------------------------------------------------------------------------- the lies
Lie = Callable[[Evidence], Evidence]


def entry(position: int, **fields: Any) -> Lie:
    """Replaces fields of a ledger entry."""

    def tell(evidence: Evidence) -> Evidence:
        entries = list(evidence.entries)
        entries[position] = changed(entries[position], **fields)
        return changed(evidence, entries=entries)

    return tell


def further(*more: AnyEntry) -> Lie:
    """Appends entries to the ledger."""
    return lambda evidence: changed(evidence, entries=[*evidence.entries, *more])


def stock(**counts: int) -> Lie:
    """Changes the salt that the warehouse reports as left, by seller."""
    said = {(seller, "salt"): count for seller, count in counts.items()}
    return lambda evidence: changed(evidence, stock={**(evidence.stock or {}), **said})


def _is(line: Recorded[Event], what: str, order: str | None) -> bool:
    return isinstance(line.event, KINDS[what]) and getattr(line.event, "order_id", None) == order


def event(process: str, what: str, order: str | None, /, **fields: Any) -> Lie:
    """Changes the events of this kind for this order. `fields` replace fields of the line, its `kind`, or else facts."""

    def tell(evidence: Evidence) -> Evidence:
        def told(happened: Recorded[Event]) -> Recorded[Event]:
            if not _is(happened, what, order):
                return happened
            own = {name: fields.pop(name) for name in ("at", "process", "clock", "source", "sent") if name in fields}
            kind = fields.pop("kind", what)
            facts = {**msgspec.to_builtins(happened.event), **fields}
            known = {field.encode_name for field in msgspec.structs.fields(KINDS[kind])}
            lie = a_line(
                happened.at,
                happened.process,
                happened.clock,
                kind,
                {name: fact for name, fact in facts.items() if name in known or name in fields},
                happened.source,
                happened.sent,
            )
            return changed(lie, **own)

        history = sorted(map(told, evidence.histories[process]), key=lambda happened: happened.clock)
        assert history != evidence.histories[process]
        return changed(evidence, histories={**evidence.histories, process: history})

    return tell


def without(process: str, what: str, order: str | None) -> Lie:
    """Removes the events of this kind for this order."""

    def tell(evidence: Evidence) -> Evidence:
        kept = [line for line in evidence.histories[process] if not _is(line, what, order)]
        return changed(evidence, histories={**evidence.histories, process: kept})

    return tell


def also(process: str, clock: int, what: str, /, **facts: Any) -> Lie:
    """Adds an event."""

    def tell(evidence: Evidence) -> Evidence:
        history = [*evidence.histories.get(process, ()), a_line(clock / 100, process, clock, what, facts)]
        history.sort(key=lambda happened: happened.clock)
        return changed(evidence, histories={**evidence.histories, process: history})

    return tell


def all_of(*lies: Lie) -> Lie:
    def tell(evidence: Evidence) -> Evidence:
        for lie in lies:
            evidence = lie(evidence)
        return evidence

    return tell


def promising_more(evidence: Evidence) -> Evidence:
    """Makes the plan say that the cache policy promised to be strong."""
    return changed(evidence, plan=changed(evidence.plan, promises="strong"))


def done(kind: str, name: str, clock: int, for_s: float = 0.0) -> Lie:
    """Adds a fault that the launcher did to `name`."""
    return also("launcher", clock, "fault", fault=f"{kind}:{name}@1", kind=kind, name=name, for_s=for_s)


def dead(*names: str) -> Lie:
    """Makes these processes dead at the end."""
    return lambda evidence: changed(evidence, dead=frozenset(names))


DEATH: tuple[AnyEntry, ...] = (Appoint(7, "buyer3", 1), DeposeEntry(8, TRADER, 0, 0, "buyer3"))
