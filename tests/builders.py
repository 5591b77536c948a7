"""Builders of test data that several test files share. Tests set the time themselves: `at` is `Turn.now`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bazaar.control.planning import draw_plan
from bazaar.core.clock import LamportClock
from bazaar.core.turn import Noted, Turn
from bazaar.protocol.entries import AnyEntry, DepositEntry, Sale
from bazaar.protocol.events import KINDS, Event
from bazaar.protocol.goods import Bench, Item, Lot, Order, Seat
from bazaar.protocol.messages import AnyMessage
from bazaar.protocol.plan import Plan, save
from bazaar.protocol.settings import Settings, with_pace
from bazaar.protocol.wire import Delivery, Letter
from bazaar.runtime.address import Place
from bazaar.runtime.history import HISTORY_FILE, Recorded, encode_line, recorded
from bazaar.runtime.ledger_file import LEDGER_FILE
from peers.role import Role

HERE = Place("localhost", "localhost")


def a_turn(at: float = 0.0) -> Turn:
    return Turn(at, LamportClock())


def a_lot(
    deposit_id: str = "seller1-d0", item: Item = "salt", count: int = 3, clock: int = 1, price_cents: int = 800
) -> Lot:
    """A lot of the seller in the deposit's name."""
    return Lot(deposit_id, deposit_id.partition("-")[0], item, price_cents, clock, count)


def an_order(order_id: str = "buyer0-0", item: Item = "salt", clock: int = 1, units: int = 1) -> Order:
    """An order of the buyer in the order's name."""
    return Order(order_id, order_id.partition("-")[0], item, clock, units)


def a_bench(*peers: str | None, vacant: int = 0, position: int | None = None) -> Bench:
    """A bench on which these peers hold the seats: trader0 since entry 0, trader1 since entry 1, and so on. None is an empty
    seat. Each change of the bench is a round of its own."""
    seats = tuple(None if peer is None else Seat(peer, number) for number, peer in enumerate(peers))
    at = len(peers) - 1 if position is None else position
    return Bench(seats, vacant, at, at)


def a_delivery(
    source: str, target: str, *letters: Letter, number: int = 0, life: int = 1, of: int = -1, taken: int = 0
) -> Delivery:
    """A delivery whose sender knows that all earlier letters are acknowledged."""
    return Delivery(source, target, life, number, number, of, taken, letters)


def a_deposit_entry(position: int, lot: Lot, trader: str = "buyer7") -> DepositEntry:
    return DepositEntry(position, lot.deposit_id, lot.seller, lot.item, lot.count, lot.price_cents, lot.clock, trader)


def a_sale(position: int, order: Order, lot: Lot, trader: str = "buyer7", cached: bool = False) -> Sale:
    return Sale(
        position,
        order.order_id,
        order.buyer,
        order.item,
        lot.deposit_id,
        lot.seller,
        lot.price_cents,
        order.clock,
        trader,
        cached,
    )


def some_settings(**values: Any) -> Settings:
    return with_pace("fast", **values)


def a_plan(**values: Any) -> Plan:
    return draw_plan(some_settings(**values))


def sent(turn: Turn) -> list[tuple[str, AnyMessage]]:
    """The messages that the turn sends, without their clocks."""
    return [(to, letter.body) for to, letter in turn.sends]


def noted(turn: Turn, kind: str) -> list[dict[str, Any]]:
    """This turn's events of one kind. Each is given as the facts that a history would hold."""
    of_kind = [each.event for each in turn.events if isinstance(each.event, KINDS[kind])]
    return [msgspec.json.decode(msgspec.json.encode(event)) for event in of_kind]


USUAL: dict[str, Any] = {
    "bazaar": "south",
    **{"ahead_s": 30.0, "error_s": 0.001},
    **{"order": "buyer0-0", "deposit": "seller1-d0", "item": "salt", "count": 1, "price": 800, "earned": 640},
    **{"buyer": "buyer0", "seller": "seller1", "trader": "buyer7", "final": True, "to": "cache", "by": "cache"},
    **{"role": "buyer", "verb": "looking for", "traders": (), "above": "buyer7", "seat": 0, "coordinator": "buyer7"},
    **{
        "peer": "buyer7",
        "left": 0,
        "clock": 1,
        "lane": "salt",
        "since": 0,
        "orders": 0,
        "promised": 0,
        "reason": "cut",
    },
    **{"requests": 1, "neighbor": "seller6", "entries": 0, "life": 1, "for_s": 0.0, "message": "Ok"},
    **{"position": 3, "lots": (("seller1-d0", 1),), "seats": 2, "wait_ms": 20},
    **{"names": ("buyer1", "seller2"), "sent": 2, "arrived": 2, "hops": 4, "relayed": 1, "dropped": 0},
    **{"highest": ("buyer7",), "keeper": "seller1"},
    **{"epoch": 3, "before": 3, "why": "scarce"},
    **{"name": "buyer0", "again": False, "fault": "kill:buyer0@1", "kind": "kill"},
}


def an_event(kind: str, facts: dict[str, Any] | None = None) -> Event:
    """An event from the facts of a history line, where the fields have other names. Missing facts get usual values.

    The types of the facts are not checked, because tests tell lies. Raises `KeyError` or `TypeError` if the catalogue has no
    such event.
    """
    fields = msgspec.structs.fields(KINDS[kind])
    told = facts or {}
    usual = {
        field.encode_name: USUAL[field.encode_name]
        for field in fields
        if field.required and field.encode_name not in told
    }
    names = {field.encode_name: field.name for field in fields}
    given = {names.get(name, name): value for name, value in {**usual, **told}.items()}
    return KINDS[kind](**given)


def a_line(
    at: float,
    process: str,
    clock: int,
    kind: str,
    facts: dict[str, Any] | None = None,
    source: str | None = None,
    sent: int | None = None,
) -> Recorded[Event]:
    """A line of a history."""
    return recorded(at, process, Noted(clock, an_event(kind, facts), source, sent or 0))


def leave_behind(
    folder: Path, plan: Plan, entries: Iterable[AnyEntry], histories: Mapping[str, Iterable[Recorded[Event]]]
) -> Path:
    """Makes `folder` the folder of a run that left these records."""
    save(plan, folder / "bazaar.json")
    (folder / LEDGER_FILE).write_bytes(msgspec.json.Encoder().encode_lines(entries))
    for name, history in histories.items():
        (folder / name).mkdir()
        (folder / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, history)))
    return folder


class Stage:
    """Hands messages and time to one role, as the role's peer does: messages first, then a tick."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.clock = LamportClock()
        self.now = 0.0

    def hears(self, source: str, *bodies: AnyMessage, at: float | None = None, clock: int = 0) -> Turn:
        """The role gets these messages, sent at the Lamport clock `clock`, in one turn."""
        self.now = self.now if at is None else at
        turn = Turn(self.now, self.clock)
        for body in bodies:
            turn.witness(source, Letter(clock, body))
            self.role.handles[type(body)](self.role, turn, source, body)
        turn.unprompted()
        self.role.tick(turn)
        return turn

    def waits_until(self, at: float) -> Turn:
        """Lets time pass until `at`, without messages."""
        return self.hears("nobody", at=at)
