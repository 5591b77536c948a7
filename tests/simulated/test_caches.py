"""The print-outs of the caches, beside the caches of the traders themselves: the events tell all that is in them."""

from __future__ import annotations

import json

import pytest

from bazaar.runtime.history import by_time
from bazaar.views.caches import MOST_SHOWN, Caches
from peers.peer import Peer
from tests.simulation import draw_world

SEEDS = range(25)


@pytest.mark.parametrize("policy", ["weak", "escrow", "none"])
def test_what_is_printed_is_what_the_trader_believes(policy: str) -> None:
    printed_lots = 0
    for seed in SEEDS:
        world = draw_world(seed, cache=policy, requests=40)
        world.run()
        caches = Caches()
        for line in by_time(world.histories.values()):
            caches.take(line)
        for peer in world.actors.values():
            if isinstance(peer, Peer) and peer.trader is not None:
                believed = [
                    {"seller_id": lot.seller, "count": lot.count, "price": lot.price_cents / 100, "item": lot.item}
                    for lot in peer.trader.cache
                    if lot.count
                ]
                assert len(believed) <= MOST_SHOWN
                printed = json.loads(caches.printed(peer.name, 1e9))
                printed_lots += len(printed)
                assert sorted(printed, key=str) == sorted(believed, key=str), (seed, peer.name)
    assert bool(printed_lots) == (policy != "none")
