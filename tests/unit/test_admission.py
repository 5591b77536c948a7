"""The door's rules, one by one: what an honest process says passes, and nothing that only looks like it."""

from __future__ import annotations

import pytest

from bazaar.core.endpoint import FURTHER_LIFE
from bazaar.protocol.admission import FURTHEST_AHEAD, RULES, admits, fits
from bazaar.protocol.goods import ITEMS, WAREHOUSE, Seat, Wave
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    BenchIs,
    Buy,
    Call,
    Chosen,
    Deposed,
    Deposit,
    Echo,
    Heartbeat,
    Purchased,
    Sold,
    WhoTrades,
    Won,
)
from bazaar.protocol.requests import (
    Acquire,
    Adopt,
    Adopted,
    Read,
    Reply,
    Request,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Stock,
    Stocked,
)
from bazaar.protocol.wire import Letter, MalformedMessage, decode, encode
from tests.builders import a_bench, a_delivery, a_lot, an_order

PEERS = frozenset({"buyer0", "seller1", "buyer2", "buyer7"})
SOLD = Sold("buyer0-0", "salt", "buyer0", 800, 2)
BUY = Buy("buyer0-0", "salt", False)


def admitted(source: str, target: str, body: AnyMessage, clock: int = 5) -> bool:
    return admits(source, target, Letter(clock, body), 5, PEERS)


def test_there_is_a_rule_for_each_message() -> None:
    assert set(RULES) == set(AnyMessage.__args__)


@pytest.mark.parametrize(
    ("source", "target", "body"),
    [
        ("buyer0", "buyer7", BUY),
        ("buyer7", "seller1", SOLD),
        ("seller1", "buyer7", Deposit("seller1-d0", "salt", 10, 800)),
        ("buyer7", WAREHOUSE, Ask(1, (Ship(an_order(), None), Stock(a_lot()), Read(ITEMS), Adopt(Seat("buyer2", 3))))),
        (WAREHOUSE, "buyer7", Answer(1, (Shipped(a_lot(), 2), Shelves(("salt",), (a_lot(),))), True)),
        ("buyer0", "seller1", Call(-1, Wave(1, "buyer2"))),
        ("buyer0", "seller1", Echo(-1, Wave(1, "buyer2"), ("buyer7",))),
        ("buyer0", "seller1", Won(a_bench("buyer7"), "buyer7")),
        (WAREHOUSE, "buyer0", BenchIs(a_bench("buyer7", None))),
        ("buyer7", "buyer0", BenchIs(a_bench("buyer7", "buyer2"))),
    ],
)
def test_what_an_honest_process_says_passes(source: str, target: str, body: AnyMessage) -> None:
    assert admitted(source, target, body)


@pytest.mark.parametrize(
    ("source", "target", "body"),
    [
        ("buyer2", "buyer7", BUY),  # another's order
        ("seller1", "buyer7", Buy("seller1-0", "salt", False)),
        ("buyer0", WAREHOUSE, BUY),
        (WAREHOUSE, "seller1", SOLD),
        ("buyer7", "buyer0", SOLD),
        ("buyer7", "seller1", Sold("buyer0-0", "salt", "buyer2", 800, 2)),
        ("buyer7", "seller1", Sold("buyer99-0", "salt", "buyer99", 800, 2)),
        ("buyer7", "seller1", Sold("buyer0-0", "salt", "buyer0", 10**6, 2)),  # nothing is so dear
        ("buyer7", "buyer0", Purchased("buyer0-0", "salt", "seller1", 10**6)),
        ("buyer7", "buyer0", Purchased("buyer0-0", "salt", "seller1", 800, others=("seller99",))),
        ("buyer0", "buyer7", Deposit("seller1-d0", "salt", 10, 800)),
        ("buyer7", "buyer0", Purchased("buyer2-0", "salt", "seller1", 800)),
        ("buyer7", "buyer0", Purchased("buyer0-0", "salt", "buyer2", 800)),
        ("buyer7", "buyer2", Answer(1, (), True)),
        ("buyer7", "buyer2", Deposed(Seat("buyer0", 1), a_bench("buyer7"))),
        (WAREHOUSE, "buyer7", Heartbeat()),
        ("buyer0", WAREHOUSE, Call(-1, Wave(1, "buyer2"))),
        ("buyer0", "seller1", Call(-1, Wave(1, "buyer99"))),
        ("buyer0", "seller1", Call(-1, Wave(1, WAREHOUSE))),
        ("buyer0", "seller1", Echo(-1, Wave(1, "buyer99"), ())),
        ("buyer0", "seller1", Echo(-1, Wave(1, "buyer2"), ("buyer7", "buyer99"))),
        (WAREHOUSE, "seller1", Chosen(-1, 0)),
        ("buyer0", "seller1", Won(a_bench("buyer7"), "buyer2")),
        (WAREHOUSE, "buyer0", BenchIs(a_bench("buyer7", "buyer7"))),
        (WAREHOUSE, "buyer0", BenchIs(a_bench("buyer99"))),
        (WAREHOUSE, "buyer0", BenchIs(a_bench(WAREHOUSE))),
        ("buyer7", WAREHOUSE, Ask(1, (Ship(an_order("buyer99-0"), None),))),
        ("buyer7", WAREHOUSE, Ask(1, (Stock(a_lot("buyer0-d0")),))),
        (WAREHOUSE, "buyer7", Answer(1, (Shelves(("fish",), (a_lot(),)),), True)),
    ],
)
def test_what_only_looks_like_it_does_not(source: str, target: str, body: AnyMessage) -> None:
    assert not admitted(source, target, body)


def test_a_clock_may_be_as_far_ahead_as_a_further_life_and_a_long_run_and_no_farther() -> None:
    assert admitted("buyer0", "buyer7", WhoTrades(), clock=5 + FURTHER_LIFE)
    assert admitted("buyer0", "buyer7", WhoTrades(), clock=5 + FURTHEST_AHEAD)
    assert not admitted("buyer0", "buyer7", WhoTrades(), clock=6 + FURTHEST_AHEAD)
    assert not admitted("buyer0", "buyer7", WhoTrades(), clock=2**62)


@pytest.mark.parametrize(
    ("body", "clock"),
    [
        (Deposit("seller1-d0", "salt", -50, 800), 1),
        (Deposit("seller1-d0", "salt", 0, 800), 1),
        (Deposit("seller1-d0", "salt", 50, -700), 1),
        (Buy("buyer0-" + 100_000 * "7", "salt", False), 1),
        (Buy("", "salt", False), 1),
        (Sold("buyer0-0", "salt", "buyer0", 10**9, 1), 1),
        (Buy("buyer0-0", "salt", False, 0), 1),
        (Buy("buyer0-0", "salt", False, 10**4), 1),
        (Ask(1, (Acquire("salt", -1),)), 1),
        (Ask(1, (Read(("salt",) * 4),)), 1),
        (Ask(1, (Read(("salt",)),) * 200_000), 1),
        (WhoTrades(), -2),
        (WhoTrades(), 2**63 - 2),
    ],
)
def test_what_is_out_of_range_does_not_decode(body: AnyMessage, clock: int) -> None:
    with pytest.raises(MalformedMessage):
        decode(encode(a_delivery("buyer0", "buyer7", Letter(clock, body))))


@pytest.mark.parametrize(
    ("requests", "replies", "fit"),
    [
        ((Ship(an_order(), None), Read(("salt",))), (Shipped(a_lot(), 1), Shelves(("salt",), ())), True),
        ((Ship(an_order(), None),), (Scarce(),), True),
        ((Ship(an_order(), "seller1-d0"),), (Scarce(),), False),
        ((Ship(an_order(item="fish"), None),), (Shipped(a_lot(item="salt"), 1),), False),
        ((Ship(an_order(), None),), (Shipped(a_lot(), 1, 2),), False),  # more units than were asked for
        ((Ship(an_order(), None),), (), False),
        ((Ship(an_order(), None),), (Adopted(),), False),
        ((Adopt(Seat("buyer2", 3)),), (Adopted(),), True),
        ((Stock(a_lot()),), (Stocked("seller1-d0"),), True),
        ((Stock(a_lot()),), (Stocked("seller1-d1"),), False),
        ((Acquire("salt", 5),), (Shelves(("salt",), ()),), True),
        ((Acquire("salt", 5),), (Shelves(("fish",), ()),), False),
        ((Ship(an_order(), None),), (Shelves(("salt",), ()),), False),
    ],
)
def test_replies_fit_their_requests(requests: tuple[Request, ...], replies: tuple[Reply, ...], fit: bool) -> None:
    assert fits(requests, replies) is fit
