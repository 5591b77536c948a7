"""What is put in by hand is accounted for: in worlds with and without faults, and the audit sees what went past the notes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bazaar.analysis.audit import Evidence, Report
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.goods import ITEMS, is_seller
from bazaar.runtime.history import only
from peers.peer import Peer
from tests.simulation import World
from tests.simulation.trial import KINDS, judged

SEEDS = range(30)


def with_hands(kind: str, seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """A world of this kind in which people at the door ask everybody for something, now and then."""
    world = KINDS[kind](seed, **fixed)
    rng = random.Random(f"by hand/{seed}")
    for _ in range(20):
        name, item = rng.choice(world.plan.names), rng.choice(ITEMS)
        world.at(rng.random() * 3.0, lambda name=name, item=item: ask(world, name, item))  # type: ignore[misc]
    return judged(world)


def ask(world: World, name: str, item: str) -> None:
    def act(peer: Peer, turn: Turn) -> None:
        if is_seller(name):
            peer.deposit(turn, item, 2, 5)
        else:
            peer.order(turn, item)

    world.by_hand(name, act)


def by_hand(evidence: Evidence, kind: type[events.Ordered | events.Offered]) -> int:
    """How many events of this kind were put in by hand."""
    return sum(line.event.by_hand for history in evidence.histories.values() for line in only(history, kind))


@pytest.mark.parametrize("kind", ["brisk", "brisk-faults"])
def test_what_is_put_in_by_hand_is_accounted_for(kind: str) -> None:
    ordered = offered = 0
    for seed in SEEDS:
        evidence, report = with_hands(kind, seed)
        assert report.violations == {}, (kind, seed)
        ordered += by_hand(evidence, events.Ordered)
        offered += by_hand(evidence, events.Offered)
    assert min(ordered, offered) > 30


def test_the_run_asks_its_own_orders_and_those_by_hand_on_top() -> None:
    for seed in SEEDS:
        evidence, _ = with_hands("brisk", seed)
        asked = sum(1 for history in evidence.histories.values() for _ in only(history, events.Ordered))
        assert asked == 30 + by_hand(evidence, events.Ordered)


@pytest.mark.parametrize(
    ("kind", "check"),
    [(events.Ordered, "only_what_was_asked"), (events.Offered, "deposits_are_booked_as_offered")],
)
def test_what_is_put_in_past_the_notes_is_seen(
    kind: type[events.Ordered | events.Offered], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, past = Turn.note, []

    def note(turn: Turn, event: events.Event) -> None:
        if isinstance(event, kind) and event.by_hand:
            past.append(event)
        else:
            noted(turn, event)

    monkeypatch.setattr(Turn, "note", note)
    spoiled = 0
    for seed in range(10):
        past.clear()
        violated = with_hands("brisk", seed)[1].violations
        assert (check in violated) == bool(past)
        spoiled += bool(past)
    assert spoiled >= 5


def test_an_order_by_hand_beyond_the_window_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(peer: Peer, turn: Turn, item: Any) -> None:
        peer._civil._thinking.insert(0, 0.0)  # type: ignore[attr-defined] # a place that is none
        ordered(peer, turn, item)

    ordered = Peer.order
    monkeypatch.setattr(Peer, "order", order)
    seen = ["window_kept" in with_hands("brisk", seed, window=1)[1].violations for seed in range(10)]
    assert sum(seen) >= 7
