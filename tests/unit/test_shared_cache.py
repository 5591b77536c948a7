"""The shared cache, part by part: the policy, the warehouse's epochs, a trader's takes, and what goes over the wire."""

from __future__ import annotations

import pytest

from bazaar.core.cache import SharedCache
from bazaar.core.epochs import AGAIN_AFTER_S, MOST_LOTS
from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.cache_server import Call, Empty, Fill, Filled, Given, OtherEpoch, Result, Take, Unreached
from bazaar.protocol.entries import AnyEntry, Appoint, DeposeEntry, Grant, Return, Sale
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.journal_lines import Promised, Queued, Recovered
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    Buy,
    EndEpoch,
    EpochLost,
    Purchased,
    Registered,
    Reopened,
    WhoTrades,
)
from bazaar.protocol.requests import Acquire, Adopt, EpochEnded, Heeded, Scarce, Shelves, Ship, Shipped
from bazaar.protocol.wire import Letter
from bazaar.runtime.resp import Malformed, Refused, Replies, command
from peers.trader import Trader
from tests.builders import Stage, a_deposit_entry, a_lot, an_order, noted, sent, some_settings

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4", "buyer5", "seller6", "buyer7")
SETTINGS = some_settings(peers=8, traders=2, cache="shared")
LOT = a_lot(count=40)
EPOCH = 3


# --------------------------------------------------------------------------------------------- the policy
def test_it_asks_for_units_when_less_than_half_of_what_it_sells_is_left() -> None:
    cache = SharedCache(lease_s=10.0)
    assert cache.wants(["salt"] * 4, 0.0) == (Acquire("salt", 4),)
    assert cache.wants([], 0.0) == ()  # no new demand
    cache.left("salt", 4)
    cache.promised(LOT, 4)
    assert cache.wants([], 0.0) == ()
    cache.left("salt", 3)
    assert cache.wants([], 0.0) == (Acquire("salt", 8),)


# ------------------------------------------------------------------------------------------ the warehouse
class AtTheWarehouse:
    """With buyer7 and seller6 as traders, and 40 salt of seller1."""

    def __init__(self, *entries: AnyEntry) -> None:
        before = (Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1), a_deposit_entry(2, LOT), *entries)
        self.warehouse = Warehouse(NAMES, SETTINGS, before)
        self.number = 0

    def hears(self, source: str, body: AnyMessage, at: float = 0.0) -> Turn:
        turn = Turn(at, self.warehouse.clock)
        self.warehouse.receive(turn, source, Letter(1, body))
        self.warehouse.tick(turn)
        return turn

    def asked(self, source: str, *requests: Ship | Acquire | Adopt | EpochEnded, at: float = 0.0) -> Turn:
        self.number += 1
        return self.hears(source, Ask(self.number, requests), at)

    def cached(self, call: Call, result: Result, at: float = 0.0) -> Turn:
        turn = Turn(at, self.warehouse.clock)
        self.warehouse.cached(turn, call, result)
        return turn

    def opened(self) -> Fill:
        """Has 20 units put into the cache."""
        (call,) = self.asked("buyer7", Acquire("salt", 10)).calls
        assert isinstance(call, Fill)
        self.cached(call, Filled())
        return call


def answer(turn: Turn) -> Answer:
    (found,) = [body for _, body in sent(turn) if isinstance(body, Answer)]
    return found


def to_all(turn: Turn) -> list[tuple[str, AnyMessage]]:
    return [(name, body) for name, body in sent(turn) if isinstance(body, EndEpoch)]


def test_the_cache_is_filled_for_all_traders_and_an_epoch_begins_when_that_is_done() -> None:
    there = AtTheWarehouse()
    turn = there.asked("buyer7", Acquire("salt", 10))
    assert turn.kept == [Grant(EPOCH, "seller1-d0", "salt", 20, "cache")]
    assert turn.calls == [Fill(EPOCH, True, (a_lot(count=20),))]
    assert (answer(turn).replies, answer(turn).epoch) == ((Shelves(("salt",), ()),), -1)
    assert noted(there.cached(turn.calls[0], Filled()), "epoch_begun") == [{"epoch": EPOCH}]
    turn = there.asked("seller6", Acquire("salt", 12))
    assert answer(turn).epoch == EPOCH
    assert turn.calls == [Fill(EPOCH, False, (a_lot(count=4),))]


def test_half_of_what_is_free_stays_free() -> None:
    there = AtTheWarehouse()
    assert there.asked("buyer7", Acquire("salt", 1000)).kept == [Grant(EPOCH, "seller1-d0", "salt", 20, "cache")]


def test_a_fill_has_so_many_lots_that_it_can_be_sent_at_once() -> None:
    lots = [a_lot(f"seller1-d{number}", count=1) for number in range(1, 3 * MOST_LOTS)]
    there = AtTheWarehouse(*(a_deposit_entry(2 + number, lot) for number, lot in enumerate(lots, 1)))
    (fill,) = there.asked("buyer7", Acquire("salt", 1000)).calls
    assert isinstance(fill, Fill)
    assert len(fill.lots) == MOST_LOTS


def test_a_server_that_cannot_be_filled_is_left_alone_for_a_while() -> None:
    there = AtTheWarehouse()
    (call,) = there.asked("buyer7", Acquire("salt", 10)).calls
    turn = there.cached(call, Unreached(), at=1.0)
    assert turn.kept == [Return(4, "seller1-d0", "salt", 20, "cache")]  # nobody has heard of the epoch
    assert to_all(turn) == []
    assert there.asked("buyer7", Acquire("salt", 10), at=1.0).calls == []
    (again,) = there.asked("buyer7", Acquire("salt", 10), at=1.0 + AGAIN_AFTER_S).calls
    assert isinstance(again, Fill)
    assert (again.epoch, again.fresh) == (5, True)


def test_an_epoch_is_over_when_all_traders_have_said_so() -> None:
    there = AtTheWarehouse()
    there.opened()
    turn = there.hears("seller6", EpochLost(EPOCH))
    assert to_all(turn) == [("buyer7", EndEpoch(4)), ("seller6", EndEpoch(4))]
    assert answer(there.asked("buyer7", Ship(an_order(), "seller1-d0"), EpochEnded(4))).epoch == -1
    assert there.asked("buyer7", Acquire("salt", 10)).calls == []
    assert there.asked("seller6", EpochEnded(3)).kept == []  # it speaks of an earlier one
    turn = there.asked("seller6", EpochEnded(4))
    assert answer(turn).replies == (Heeded(),)
    assert turn.kept == [Return(5, "seller1-d0", "salt", 19, "cache")]
    assert there.hears("seller6", EpochLost(EPOCH)).sends == []


def test_an_epoch_is_not_over_while_a_former_trader_may_have_promised_what_nobody_has_read() -> None:
    granted = Grant(3, "seller1-d0", "salt", 20, "cache")
    there = AtTheWarehouse(granted, DeposeEntry(4, "seller6", 1, 1, "buyer7"))
    there.warehouse.begin(Turn(0.0, there.warehouse.clock))
    late = SETTINGS.lease_s  # a former trader promises nothing any more
    assert there.asked("buyer7", EpochEnded(5), at=late).kept == []
    turn = there.asked("buyer7", Adopt(Seat("seller6", 1)), at=late)
    assert turn.kept[1:] == [Return(6, "seller1-d0", "salt", 20, "cache")]


def test_what_a_trader_promised_from_the_cache_is_sold_out_of_the_pool() -> None:
    there = AtTheWarehouse()
    there.opened()
    turn = there.asked("seller6", Ship(an_order(), "seller1-d0"))
    assert isinstance(turn.kept[0], Sale)
    assert turn.kept[0].cached
    assert sum(lot.count for lot in there.warehouse.ledger.stock.holdings("cache", "salt")) == 19
    assert there.warehouse.ledger.stock.free("salt") == 20


def test_who_needs_what_the_cache_has_waits_until_the_epoch_is_over() -> None:
    there = AtTheWarehouse()
    there.opened()
    turn = there.asked("buyer7", Ship(an_order(units=30), None))
    assert answer(turn).replies == (Scarce(),)
    assert noted(turn, "epoch_ending") == [{"before": 4, "why": "scarce"}]
    there.asked("buyer7", EpochEnded(4))
    there.asked("seller6", EpochEnded(4))
    assert isinstance(answer(there.asked("buyer7", Ship(an_order(units=30), None))).replies[0], Shipped)


def test_a_warehouse_that_was_started_again_ends_the_epoch_of_its_former_life() -> None:
    there = AtTheWarehouse(Grant(3, "seller1-d0", "salt", 20, "cache"))
    assert there.asked("buyer7", Acquire("salt", 10)).calls == []  # before it begins
    turn = Turn(0.0, there.warehouse.clock)
    there.warehouse.begin(turn)
    assert sent(turn) == [
        ("buyer7", Reopened()),
        ("seller6", Reopened()),
        ("buyer7", EndEpoch(4)),
        ("seller6", EndEpoch(4)),
    ]
    assert ("seller6", EndEpoch(4)) in sent(there.hears("seller6", WhoTrades()))  # it may have missed that
    assert ("buyer0", EndEpoch(4)) not in sent(there.hears("buyer0", WhoTrades()))


# --------------------------------------------------------------------------------------------- the trader
class AtTheTrader(Stage):
    """A trader with a lease, in an epoch."""

    role: Trader

    def __init__(self) -> None:
        super().__init__(Trader(Seat("buyer4", 0), ("buyer0", "seller1", "buyer2", "buyer3", "buyer4"), SETTINGS))
        turn = Turn(0.0, self.clock)
        self.role.start(turn, elected=True)
        self.role.inherit(turn, self.role.seat, Recovered(()))
        self.role.traders_changed(turn, ("buyer4", "buyer3"))
        self.hears("buyer3", Registered("seller1"))
        (asked,) = asks(self.hears("buyer0", Buy("buyer0-0", "salt", again=False)))
        assert asked.requests == (Ship(an_order("buyer0-0", clock=0), None), Acquire("salt", 2))
        replies = (Shipped(a_lot(), 3), Shelves(("salt",), ()))
        self.hears(WAREHOUSE, Answer(asked.number, replies, written=True, epoch=EPOCH))

    def takes(self) -> Take:
        """Has an order taken to the cache."""
        turn = self.hears("buyer0", Buy("buyer0-1", "salt", again=False))
        assert turn.calls == [Take(EPOCH, "buyer0-1", "salt", 1)]
        assert isinstance(turn.calls[0], Take)
        return turn.calls[0]

    def cached(self, take: Take, result: Result) -> Turn:
        turn = Turn(self.now, self.clock)
        self.role.cached(turn, take, result)
        self.role.tick(turn)
        return turn


def asks(turn: Turn) -> list[Ask]:
    return [body for _, body in sent(turn) if isinstance(body, Ask)]


def test_what_the_cache_gives_is_journaled_and_promised() -> None:
    trader = AtTheTrader()
    turn = trader.cached(trader.takes(), Given(a_lot(count=9), 8))
    assert turn.kept == [Promised(an_order("buyer0-1", clock=0), a_lot(count=9))]
    assert sent(turn) == [("buyer0", Purchased("buyer0-1", "salt", "seller1", 800, final=False))]
    assert turn.sends_at(SETTINGS.lease_s) == []  # too late
    (asked,) = asks(trader.waits_until(0.1))
    assert asked.requests[0] == Ship(an_order("buyer0-1", clock=0), "seller1-d0")


@pytest.mark.parametrize("result", [Empty(), OtherEpoch(), Unreached()])
def test_a_miss_is_no_denial_but_goes_to_the_warehouse(result: Result) -> None:
    trader = AtTheTrader()
    turn = trader.cached(trader.takes(), result)
    assert noted(turn, "sought_in_vain")[0]["lane"] == "sure salt"
    assert Ship(an_order("buyer0-1", clock=0), None) in asks(turn)[0].requests
    lost = [body for _, body in sent(turn) if isinstance(body, EpochLost)]
    assert lost == ([EpochLost(EPOCH)] if result == OtherEpoch() else [])


def test_after_the_end_of_an_epoch_nothing_of_it_is_promised_and_the_warehouse_is_told_with_the_last_promises() -> None:
    trader = AtTheTrader()
    take = trader.takes()
    trader.cached(take, Given(a_lot(count=9), 8))
    late = trader.hears("buyer0", Buy("buyer0-2", "salt", again=False)).calls[0]
    assert isinstance(late, Take)
    (asked,) = asks(trader.hears(WAREHOUSE, EndEpoch(7)))
    assert asked.requests == (Ship(an_order("buyer0-1", clock=0), "seller1-d0"), EpochEnded(7))
    turn = trader.cached(late, Given(a_lot(count=8), 7))
    assert [record for record in turn.kept if not isinstance(record, Queued)] == []
    assert trader.hears("buyer0", Buy("buyer0-3", "salt", again=False)).calls == []
    assert not trader.role.idle


def test_a_result_for_a_former_tenure_is_ignored() -> None:
    trader = AtTheTrader()
    assert trader.cached(Take(EPOCH, "buyer0-9", "salt", 1), Given(a_lot(), 2)).events == []


def test_without_a_lease_nothing_is_taken() -> None:
    trader = AtTheTrader()
    assert trader.hears("buyer0", Buy("buyer0-1", "salt", again=False), at=SETTINGS.lease_s).calls == []


# ----------------------------------------------------------------------------------------------- the wire
def test_a_command_is_an_array_of_its_words() -> None:
    assert command("GET", b"a b", 7) == b"*3\r\n$3\r\nGET\r\n$3\r\na b\r\n$1\r\n7\r\n"


def test_replies_come_in_pieces_of_any_size() -> None:
    said = b"+OK\r\n:-1\r\n$4\r\na\r\nb\r\n$-1\r\n*3\r\n$1\r\nx\r\n:2\r\n*0\r\n-NOSCRIPT no\r\n"
    for size in (1, 2, 5, len(said)):
        replies = Replies()
        found = [each for at in range(0, len(said), size) for each in replies.feed(said[at : at + size])]
        assert found[:-1] == ["OK", -1, b"a\r\nb", None, [b"x", 2, []]]
        assert isinstance(found[-1], Refused)


@pytest.mark.parametrize("said", [b"?\r\n", b":x\r\n", b"$-7\r\n", b"HTTP/1.1 400\r\n", b"*1\r\n" * 9])
def test_what_is_no_reply_is_said_to_be_none(said: bytes) -> None:
    with pytest.raises(Malformed):
        list(Replies().feed(said))
