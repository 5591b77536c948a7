"""The print-outs of the caches, beside the caches of the traders themselves: the events tell all that is in them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded, by_time
from bazaar.views.caches import MOST_SHOWN, Caches
from peers.peer import Peer
from tests.simulation import draw_world

SEEDS = range(25)


def told_again(history: Iterable[Recorded[Event]]) -> set[str]:
    """The lots that a trader believed to be sold out, and of which it heard another count later."""
    sold_out, again = set(), set()
    for line in history:
        match line.event:
            case events.Learned(lots=lots) | events.Pushed(lots=lots):
                sold_out |= {lot for lot, count in lots if not count}
            case events.HeardPush(lots=lots):
                again |= {lot for lot, count in lots if count and lot in sold_out}
    return again


@pytest.mark.parametrize("policy", ["weak", "escrow", "none"])
def test_what_is_printed_is_what_the_trader_believes(policy: str) -> None:
    """But for what a trader has forgotten and heard again, which no event tells."""
    exact = inexact = 0
    for seed in SEEDS:
        world = draw_world(seed, cache=policy, requests=40)
        world.run()
        caches = Caches()
        for line in by_time(world.histories.values()):
            caches.take(line)
        for peer in world.actors.values():
            if isinstance(peer, Peer) and peer.trader is not None:
                believed = {
                    lot.deposit_id: {
                        "seller_id": lot.seller,
                        "count": lot.count,
                        "price": lot.price_cents / 100,
                        "item": lot.item,
                    }
                    for lot in peer.trader.cache
                    if lot.count
                }
                assert len(believed) <= MOST_SHOWN
                printed = json.loads(caches.printed(peer.name, 1e9))
                missing = [lot for lot in believed if believed[lot] not in printed]
                assert all(lot in believed.values() for lot in printed), (seed, peer.name)
                assert set(missing) <= told_again(world.histories[peer.name]), (seed, peer.name)
                exact, inexact = exact + len(printed), inexact + len(missing)
    assert inexact <= exact / 50
    assert bool(exact) == (policy != "none")
