"""Broken on purpose, under faults: for every guarantee of take-over, what the audit says when it is not given.

Each control breaks one rule of the product and names the check that has to tell of it, on more than half of the seeds.
Unbroken, the same seeds hold (`test_faults.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bazaar.analysis.audit import judge
from bazaar.core.id_set import IdSet
from bazaar.core.ledger.seats import Seats
from bazaar.core.ledger.stock import Stock
from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import AdoptEntry, DeposeEntry, Sale
from bazaar.protocol.goods import Seat
from bazaar.protocol.journal_lines import Promised, Queued, Recovered
from bazaar.protocol.messages import Answer, Ask
from peers.trader import Trader
from tests.simulation import World, draw_world

Patch = pytest.MonkeyPatch
SEEDS = range(12)
TRADERS, PEERS = 2, 7


def kill_a_trader(world: World) -> None:
    """In the middle of what it does, with work in its queue."""
    world.at(1.0, lambda: world.kill(world.plan.names[-1]))
    world.quiet_after_s = 5.0


def kill_a_trader_that_owes(world: World) -> None:
    """When it has promised goods from its cache and not yet told the warehouse, nor can: the warehouse is busy."""
    name = world.plan.names[-1]

    def owes() -> bool:
        trader: Any = world.actors[name]._trader  # type: ignore[attr-defined] # of a Peer
        return trader is not None and bool(trader._promises.untold)

    world.at(0.3, lambda: world.once(owes, lambda: world.kill(name)))
    world.quiet_after_s = 5.0


def mute_a_trader(world: World) -> None:
    """Its heartbeats stop; and whoever deposes it is cut off then, so that for a while nobody learns of it.

    So the buyers go on ordering from it, and it goes on asking the warehouse.
    """

    def mute() -> None:
        membership: Any = world.actors[world.plan.names[-1]].membership  # type: ignore[attr-defined] # of a Peer
        membership._beat = lambda turn: setattr(membership, "_beat_at", turn.now + 60)

    def who_deposed() -> list[str]:
        return [entry.by for entry in world.entries if isinstance(entry, DeposeEntry)]

    world.at(0.3, mute)
    world.once(lambda: bool(who_deposed()), lambda: world.part(frozenset(who_deposed()[:1]), 0.5))
    world.quiet_after_s = 3.0


def no_fence(patch: Patch) -> None:
    """The warehouse does what a trader asks that has lost its seat."""

    def ask(self: Warehouse, turn: Turn, source: str, body: Ask) -> None:
        replies = tuple(self._reply(turn, source, request) for request in body.requests)
        turn.send(source, Answer(body.number, replies, True))

    patch.setitem(Warehouse.handles, Ask, ask)


def no_journal(patch: Patch) -> None:
    """What the trader keeps does not reach the disk."""
    keep = Turn.keep
    patch.setattr(
        Turn, "keep", lambda self, record: None if isinstance(record, (Queued, Promised)) else keep(self, record)
    )


def adopted_twice(patch: Patch) -> None:
    """The ledger takes a succession as often as it is told."""
    patch.setattr(
        Seats, "decide_adoption", lambda self, seat, trader: AdoptEntry(self.position, seat.peer, seat.since, trader)
    )
    apply = Seats.apply

    def lenient(self: Seats, entry: Any) -> None:
        if isinstance(entry, AdoptEntry):
            self.orphans.setdefault(Seat(entry.peer, entry.since), None)
        apply(self, entry)

    patch.setattr(Seats, "apply", lenient)
    inherit = Trader.inherit

    def twice(self: Trader, turn: Turn, seat: Seat, found: Recovered) -> None:
        inherit(self, turn, seat, found)
        if seat != self.seat:
            again: Any = self._succession.adoptions[seat]
            self._deposits.append(again)  # asked along with the deposits, once more

    patch.setattr(Trader, "inherit", twice)


def carried_out_twice(patch: Patch) -> None:
    """The warehouse forgets what it has decided, so a successor, or a second trader, carries an order out again."""
    decide = Stock.decide_order

    def forgetful(self: Stock, order: Any, deposit_id: Any, trader: str) -> Any:
        self._answered = IdSet()
        return decide(self, order, deposit_id, trader)

    patch.setattr(Stock, "decide_order", forgetful)


def read_then_set_stock(patch: Patch) -> None:
    """A sale sets the count that was read before, so that of two sales one is forgotten."""
    apply = Stock.apply

    def set_stock(self: Stock, entry: Any) -> None:
        lot = self._shelves[entry.item].get(entry.deposit_id) if isinstance(entry, Sale) else None
        apply(self, entry)
        if lot is not None and entry.position % 2:
            self._shelves[lot.item].put(lot)

    patch.setattr(Stock, "apply", set_stock)


@pytest.mark.parametrize(
    ("spoil", "fault", "check", "fixed"),
    [
        (
            no_fence,
            mute_a_trader,
            "only_traders_trade",
            {
                "cache": "none",
                "window": 4,
                "requests": 800,
                "think_s": 0.05,
                "heartbeat_s": 0.2,
                "suspect_after_s": 0.6,
                "restock_every_s": 2.0,
                "restock_count": 50,
            },
        ),
        (no_journal, kill_a_trader_that_owes, "buyers_were_told_the_truth", {"cache": "weak", "window": 5}),
        (adopted_twice, kill_a_trader, "queues_were_taken_over", {}),
        (carried_out_twice, kill_a_trader, "each_order_decided_once", {"cache": "none", "window": 5}),
        (read_then_set_stock, kill_a_trader, "no_product_below_zero", {}),
    ],
)
def test_the_audit_sees_it(
    spoil: Callable[[Patch], None],
    fault: Callable[[World], None],
    check: str,
    fixed: dict[str, Any],
    monkeypatch: Patch,
) -> None:
    def caught(seed: int) -> bool:
        world = draw_world(
            seed, **{"peers": PEERS, "traders": TRADERS, "think_s": 0.02, "requests": 400, "restock_count": 3, **fixed}
        )
        fault(world)
        return check in judge(world.run()).violations

    assert sum(map(caught, SEEDS)) == 0, "seen though nothing is broken"
    monkeypatch.setattr("tests.simulation.world.LONGEST_S", 20.0)  # what is refused is repeated in vain
    spoil(monkeypatch)
    seen = sum(map(caught, SEEDS))
    print(f"{spoil.__name__}: {check} tells of {seen} seeds of {len(SEEDS)}")
    assert seen > len(SEEDS) / 2, f"{spoil.__name__} was seen by {check} on {seen} of {len(SEEDS)} seeds only"
