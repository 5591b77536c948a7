from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest

from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol import events
from bazaar.protocol.former_life import FormerLife
from bazaar.protocol.goods import WAREHOUSE, Bench, Seat
from bazaar.protocol.journal_lines import Opened, Recovered
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    BenchIs,
    Buy,
    Deposit,
    Election,
    MarketOpen,
    Purchased,
    Sold,
    Won,
)
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings
from bazaar.protocol.wire import Letter
from peers.buyer import Buyer
from peers.embassy import Embassy
from peers.keeping import Keeping
from peers.membership import Membership
from peers.peer import Peer
from peers.seller import Seller
from peers.trader import Trader
from tests.builders import a_bench, noted, sent, some_settings

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")


def a_plan(**values: object) -> Plan:
    settings: Settings = some_settings(**{"peers": 5, "traders": 1, **values})
    return Plan(settings, NAMES, dict.fromkeys(NAMES, "salt"), dict.fromkeys(NAMES, ()), "weak")


def begun(peer: Peer) -> Peer:
    """The peer has begun, and was told that nobody trades yet."""
    peer.begin(Turn(0.0, peer.clock))
    hear(peer, WAREHOUSE, BenchIs(Bench(vacant=1)))
    return peer


def open_to(peer: Peer, bench: Bench, at: float = 0.0) -> Turn:
    """These trade, and the market is open."""
    turn = Turn(at, peer.clock)
    for body in (Won(bench), MarketOpen()):
        peer.receive(turn, bench.traders[-1], Letter(10, body))
    peer.tick(turn)
    return turn


def hear(peer: Peer, source: str, body: AnyMessage, at: float = 0.0) -> Turn:
    turn = Turn(at, peer.clock)
    peer.receive(turn, source, Letter(10, body))
    peer.tick(turn)
    return turn


def elect(peer: Peer) -> Turn:
    """The peer has begun, stands for the only seat, and gets it."""
    begun(peer)
    hear(peer, "buyer0", Election(-1))
    hear(peer, WAREHOUSE, BenchIs(Bench(vacant=1)), at=100.0)  # nobody above has answered
    return hear(peer, WAREHOUSE, BenchIs(a_bench(peer.name)), at=100.0)


@pytest.mark.parametrize("message", get_args(AnyMessage))
def test_every_message_is_understood_by_somebody(message: type) -> None:
    understood = {
        kind for role in (Membership, Buyer, Seller, Trader, Keeping, Warehouse, Embassy) for kind in role.handles
    }
    assert message in understood


def test_no_two_roles_of_a_peer_understand_the_same_message() -> None:
    for civil in (Buyer, Seller):
        for one, other in combinations((Membership, Trader, civil), 2):
            assert not set(one.handles) & set(other.handles)


def test_a_peer_is_what_its_name_says() -> None:
    assert [type(role) for role in Peer("buyer0", a_plan()).roles] == [Membership, Buyer]
    assert [type(role) for role in Peer("seller1", a_plan()).roles] == [Membership, Seller]


@pytest.mark.parametrize(
    ("name", "role", "verb"), [("buyer0", "buyer", "looking for"), ("seller1", "seller", "selling")]
)
def test_it_joins_with_its_role(name: str, role: str, verb: str) -> None:
    peer = Peer(name, a_plan())
    turn = Turn(0.0, peer.clock)
    peer.begin(turn)
    assert noted(turn, "joined") == [{"role": role, "verb": verb, "item": "salt"}]


@pytest.mark.parametrize("name", ["seller3", "buyer4"])
def test_an_elected_peer_trades_and_neither_buys_nor_sells(name: str) -> None:
    peer = Peer(name, a_plan())
    turn = elect(peer)
    assert Trader in map(type, peer.roles)
    assert noted(turn, "elected") == [{"seat": 0}]
    assert noted(turn, "ready_for_registration") == [{}]
    for at in (101.0, 200.0, 1000.0):
        turn = hear(peer, "buyer0", Buy(f"buyer0-{at}", "fish", False), at=at)
        assert not [body for _, body in sent(turn) if isinstance(body, (Buy, Deposit))]


def test_the_others_buy_and_sell_as_soon_as_the_bench_is_full() -> None:
    buyer, seller = begun(Peer("buyer0", a_plan())), begun(Peer("seller1", a_plan()))
    assert [type(body) for _, body in sent(open_to(buyer, a_bench("buyer4")))] == [Buy]
    assert [type(body) for _, body in sent(hear(seller, "buyer4", Won(a_bench("buyer4"))))] == [Deposit]


def test_while_a_seat_is_free_nobody_trades() -> None:
    buyer = begun(Peer("buyer0", a_plan(traders=2)))
    assert not [body for _, body in sent(open_to(buyer, a_bench("buyer4", vacant=1))) if isinstance(body, Buy)]


@pytest.mark.parametrize("body", [Purchased("buyer0-0", "salt", "seller1", 800), Answer(1, (), False)])
def test_a_message_for_another_role_changes_nothing(body: AnyMessage) -> None:
    turn = hear(begun(Peer("seller1", a_plan())), "buyer4", body)
    assert noted(turn, "unexpected") == [{"message": type(body).__name__}]
    assert (turn.sends, turn.kept) == ([], [])


def test_of_a_sale_the_seller_has_80_percent_to_the_cent() -> None:
    turn = hear(begun(Peer("seller1", a_plan())), "buyer4", Sold("buyer0-0", "salt", "buyer0", 899, 3))
    assert noted(turn, "sold")[0]["earned"] == 719


def test_every_message_is_received_after_it_was_sent_and_before_its_answer() -> None:
    turn = hear(begun(Peer("buyer0", a_plan())), "buyer4", Won(a_bench("buyer4")))
    assert all(event.clock > 10 for event in turn.events)
    assert all(letter.clock > 11 for _, letter in turn.sends)


def test_the_orders_of_a_run_are_shared_among_those_who_stay_buyers() -> None:
    placed = {}
    for name in ("buyer0", "buyer2", "buyer4"):
        peer = begun(Peer(name, a_plan(requests=5, window=100)))
        placed[name] = sum(isinstance(body, Buy) for _, body in sent(open_to(peer, a_bench("seller3"))))
    assert placed == {"buyer0": 3, "buyer2": 2, "buyer4": 0}  # buyer4 is the one that the election makes a trader


# ------------------------------------------------------------------------------------------ losing a seat
def without(bench: Bench, position: int) -> Bench:
    """Its only trader has fallen."""
    return Bench((None,) * len(bench.seats), 1, position, position)


def test_a_trader_that_is_deposed_steps_down_and_buys_again() -> None:
    peer = begun(Peer("buyer4", a_plan(traders=2)))
    hear(peer, "seller3", MarketOpen())
    hear(peer, "buyer0", Election(-1))
    hear(peer, WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1)))
    turn = hear(peer, "seller3", Won(a_bench("buyer4", "seller3")))
    assert Trader in map(type, peer.roles)
    assert not [body for _, body in sent(turn) if isinstance(body, Buy)]
    left = Bench((None, a_bench("buyer4", "seller3").seats[1]), 0, 5, 5)
    turn = hear(peer, "seller3", BenchIs(left), at=60.0)
    assert [type(role) for role in peer.roles] == [Membership, Buyer]
    assert noted(turn, "stepped_down") == [{"promised": 0}]
    assert [to for to, body in sent(turn) if isinstance(body, Buy)] == ["seller3"]


def test_a_peer_that_is_elected_again_begins_a_new_tenure() -> None:
    peer = Peer("buyer4", a_plan())
    elect(peer)
    hear(peer, "buyer0", Buy("buyer0-0", "salt", False), at=100.0)
    hear(peer, "buyer0", BenchIs(without(peer.membership.bench, 3)), at=101.0)
    turn = hear(peer, WAREHOUSE, BenchIs(Bench((Seat("buyer4", 4),), 0, 4, 4)), at=200.0)
    assert Opened(4) in turn.kept
    assert not [
        body for _, body in sent(turn) if isinstance(body, Ask)
    ]  # its former queue is taken over, or not at all


def test_what_was_asked_for_comes_too_late_for_one_that_has_stepped_down() -> None:
    peer = Peer("buyer4", a_plan())
    elect(peer)
    hear(peer, "buyer0", BenchIs(without(peer.membership.bench, 3)), at=101.0)
    turn = Turn(102.0, peer.clock)
    peer.inherit(turn, Seat("seller3", 1), Recovered(()))
    assert (turn.sends, turn.kept, turn.events) == ([], [], [])


def test_a_trader_of_a_former_life_goes_on_with_its_own_journal() -> None:
    peer = Peer("buyer4", a_plan(), FormerLife(clock=500))
    peer.begin(Turn(0.0, peer.clock))
    turn = hear(peer, WAREHOUSE, BenchIs(a_bench("buyer4")))
    assert turn.kept == [Opened(0)]
    assert turn.reads == [Seat("buyer4", 0)]
    assert noted(turn, "elected") == []


def test_a_peer_of_a_further_life_numbers_on_and_credits_no_sale_twice() -> None:
    buyer = begun(Peer("buyer0", a_plan(), FormerLife(clock=500)))
    seller = begun(Peer("seller1", a_plan(), FormerLife(clock=500, credited=frozenset({"buyer0-3"}))))
    (order,) = [b for _, b in sent(hear(buyer, "buyer4", Won(a_bench("buyer4")))) if isinstance(b, Buy)]
    (deposit,) = [b for _, b in sent(hear(seller, "buyer4", Won(a_bench("buyer4")))) if isinstance(b, Deposit)]
    assert (order.order_id, deposit.deposit_id) == ("buyer0-500", "seller1-d500")
    assert noted(hear(seller, "buyer4", Sold("buyer0-3", "salt", "buyer0", 800, 3)), "sold") == []


def test_the_civil_part_of_a_trader_hears_the_answers_to_what_it_had_begun() -> None:
    peer = Peer("seller3", a_plan())
    elect(peer)
    turn = hear(peer, "buyer4", Sold("buyer0-3", "salt", "buyer0", 800, 3))
    assert noted(turn, "sold")[0]["earned"] == 640


def test_what_comes_in_before_it_has_begun_is_done_when_it_begins() -> None:
    peer = Peer("buyer0", a_plan())
    early = hear(peer, "buyer4", Won(a_bench("buyer4")))
    assert (early.events, early.sends) == ([], [])
    turn = Turn(0.0, peer.clock)
    peer.begin(turn)
    assert turn.events[0].event == events.Joined("buyer", "looking for", "salt")
    assert noted(turn, "recognized") == [{"coordinator": "buyer4"}]
