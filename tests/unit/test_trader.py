from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from bazaar.core.turn import Turn
from bazaar.records import (
    ITEMS,
    WAREHOUSE,
    Answer,
    AnyMessage,
    Ask,
    Buy,
    CacheUpdate,
    Closed,
    Denied,
    Deposit,
    Deposited,
    Item,
    JournalLine,
    Lot,
    NotATrader,
    OutOfStock,
    Oversold,
    Promised,
    Purchased,
    Queued,
    Read,
    Registered,
    Reply,
    Shelves,
    Ship,
    Shipped,
    Sold,
    Stock,
    Stocked,
    Unavailable,
)
from peers import trader as trader_module
from peers.role import FOREVER
from peers.trader import Trader
from tests.builders import Stage, a_lot, an_order, noted, sent, some_settings

NAMES = ("buyer0", "seller1", "buyer2", "buyer3", "buyer4")
BENCH = ("buyer4", "buyer3")


class AtTheTrader(Stage):
    """trader0 of two, elected, with a full bench; `open_`: seller1 has goods on sale."""

    role: Trader

    def __init__(
        self, *, open_: bool = True, lots: Sequence[Lot] = (), journal: Iterable[JournalLine] = (), **settings: object
    ) -> None:
        super().__init__(
            Trader("buyer4", NAMES, some_settings(**{"peers": 5, "traders": 2, "pull_every": 0, **settings}), journal)
        )
        turn = Turn(0.0, self.clock)
        self.role.elected(turn, 0)
        self.role.trade(turn, BENCH)
        self.begun = turn
        if open_:
            self.hears("buyer3", Registered("seller1"))
        if lots:
            self.hears("buyer3", CacheUpdate(tuple(lots)))

    def order(self, order_id: str, item: Item = "salt", clock: int = 1, again: bool = False) -> Turn:
        return self.hears(order_id.partition("-")[0], Buy(order_id, item, again), clock=clock)

    def answered(self, *replies: Reply) -> Turn:
        """The warehouse answers the question that is under way; where it was also asked to read, that nothing is there."""
        reads = [Shelves(request.items, ()) for request in self.asked.requests if isinstance(request, Read)]
        missing = len(self.asked.requests) - len(replies)
        return self.hears(WAREHOUSE, Answer(self.asked.number, (*replies, *reads[:missing])))

    def hears(self, source: str, *bodies: AnyMessage, at: float | None = None, clock: int = 0) -> Turn:
        turn = super().hears(source, *bodies, at=at, clock=clock)
        for question in questions(turn):
            self.asked = question
        return turn


def questions(turn: Turn) -> list[Ask]:
    return [body for to, body in sent(turn) if to == WAREHOUSE and isinstance(body, Ask)]


def requests(turn: Turn) -> list[object]:
    return [request for question in questions(turn) for request in question.requests]


def ships(turn: Turn) -> list[Ship]:
    return [request for request in requests(turn) if isinstance(request, Ship)]


def to(turn: Turn, who: str) -> list[AnyMessage]:
    return [body for target, body in sent(turn) if target == who]


# ------------------------------------------------------------------------------------------- opening
def test_an_elected_trader_is_ready_for_registration_once() -> None:
    trader = AtTheTrader()
    again = Turn(0.0, trader.clock)
    trader.role.elected(again, 0)
    assert noted(trader.begun, "ready_for_registration") == [{"seat": 0}]
    assert again.events == []


def test_nothing_is_served_before_every_seller_has_goods_on_sale() -> None:
    trader = AtTheTrader(open_=False)
    assert questions(trader.order("buyer0-0")) == []
    turn = trader.hears("buyer3", Registered("seller1"))
    assert noted(turn, "opened") == [{"traders": ["buyer4", "buyer3"]}]
    assert ships(turn) == [Ship(an_order("buyer0-0"), None)]


def test_a_seller_that_never_comes_is_not_waited_for_for_ever() -> None:
    trader = AtTheTrader(open_=False, answer_timeout_s=5.0)
    trader.order("buyer0-0")
    assert trader.role.deadline == 5.0
    assert noted(trader.waits_until(5.0), "opened") != []


def test_a_seller_that_became_a_trader_is_not_waited_for() -> None:
    trader = AtTheTrader(open_=False)
    turn = Turn(0.0, trader.clock)
    trader.role.trade(turn, ("buyer4", "seller1"))
    trader.role.tick(turn)
    assert noted(turn, "opened") != []


# ------------------------------------------------------------------------------------------- deposits
def test_a_deposit_goes_to_the_warehouse_with_the_clock_of_its_message_and_is_confirmed() -> None:
    trader = AtTheTrader(open_=False)
    turn = trader.hears("seller1", Deposit("seller1-d0", "salt", 3, 800), clock=17)
    assert requests(turn) == [Stock(a_lot(clock=17))]
    turn = trader.answered(Stocked("seller1-d0"))
    assert to(turn, "seller1") == [Deposited("seller1-d0")]
    assert Registered("seller1") in to(turn, "buyer3")


# --------------------------------------------------------------------------------- the order's journey
def test_an_order_is_kept_before_it_is_served() -> None:
    turn = AtTheTrader().order("buyer0-0", clock=9)
    assert turn.kept == [Queued(an_order("buyer0-0", clock=9))]
    assert noted(turn, "queued") == [
        {"order": "buyer0-0", "item": "salt", "buyer": "buyer0", "clock": 9, "lane": "salt"}
    ]


def test_a_sale_is_told_to_buyer_and_seller_and_the_order_closed() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert to(turn, "buyer0") == [Purchased("buyer0-0", "salt", "seller1", 800)]
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 800, 2)]
    assert turn.kept == [Closed("buyer0-0")]
    assert noted(turn, "traded")[0]["by"] == "warehouse"


def test_the_seller_of_the_last_one_is_told_that_it_is_out_of_stock() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    turn = trader.answered(Shipped(a_lot(count=0), 0))
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 800, 0), OutOfStock("salt")]


def test_a_refusal_is_told_to_the_buyer() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    turn = trader.answered(Denied("unavailable"))
    assert to(turn, "buyer0") == [Unavailable("buyer0-0", "salt")]
    assert turn.kept == [Closed("buyer0-0")]
    assert trader.role.idle


def test_one_question_is_under_way_at_a_time_and_what_waits_is_the_next() -> None:
    trader = AtTheTrader()
    assert len(questions(trader.order("buyer0-0"))) == 1
    assert questions(trader.order("buyer2-0", clock=5)) == []
    assert questions(trader.order("buyer0-1", clock=3)) == []
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert ships(turn) == [Ship(an_order("buyer0-1", clock=3), None), Ship(an_order("buyer2-0", clock=5), None)]


def test_orders_that_come_together_are_served_by_clock_not_by_arrival() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-9")  # keeps the warehouse busy
    trader.order("buyer2-0", clock=20)
    trader.order("buyer0-0", clock=10)
    turn = trader.answered(Denied("unavailable"))
    assert [taken["order"] for taken in noted(turn, "taken")] == ["buyer0-0", "buyer2-0"]


def test_a_question_without_an_answer_is_repeated_as_it_was() -> None:
    trader = AtTheTrader(answer_timeout_s=5.0)
    first = questions(trader.order("buyer0-0"))
    assert trader.role.deadline == 5.0
    assert questions(trader.waits_until(4.9)) == []
    assert questions(trader.waits_until(5.0)) == first


def test_the_second_answer_to_a_repeated_question_changes_nothing() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    answer = Answer(trader.asked.number, (Denied("unavailable"), Shelves(("salt",), ())))
    trader.hears(WAREHOUSE, answer)
    turn = trader.hears(WAREHOUSE, answer)
    assert (turn.sends, turn.kept) == ([], [])


def test_an_order_that_is_repeated_while_it_is_in_hand_is_taken_once() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    turn = trader.order("buyer0-0", again=True)
    assert (turn.kept, turn.sends) == ([], [])


def test_a_repeated_order_is_answered_by_the_warehouse_alone() -> None:
    turn = AtTheTrader(lots=[a_lot()]).order("buyer0-0", again=True)
    assert ships(turn) == [Ship(an_order("buyer0-0"), None)]
    assert to(turn, "buyer0") == []


def test_more_orders_than_the_queue_holds_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trader_module, "MOST_QUEUED", 1)
    trader = AtTheTrader(open_=False)
    trader.order("buyer0-0")
    turn = trader.order("buyer2-0")
    assert noted(turn, "turned_away") == [{"order": "buyer2-0", "buyer": "buyer2"}]
    assert turn.kept == []


def test_acting_without_a_seat_ends_the_process() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    with pytest.raises(RuntimeError, match="without a seat"):
        trader.answered(NotATrader())


# ---------------------------------------------------------------------------------------- the caches
def test_a_hit_is_promised_kept_and_confirmed_with_the_next_question() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    turn = trader.order("buyer0-0")
    assert turn.kept == [Queued(an_order("buyer0-0")), Promised("buyer0-0", a_lot(count=3))]
    assert to(turn, "buyer0") == [Purchased("buyer0-0", "salt", "seller1", 800)]
    assert requests(turn) == [Ship(an_order("buyer0-0"), "seller1-d0")]
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert to(turn, "buyer0") == []
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 800, 2)]
    assert turn.kept == [Closed("buyer0-0")]


def test_a_hit_does_not_wait_for_the_warehouse_but_a_miss_does() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0", "fish")  # under way
    missed = trader.order("buyer2-0", "boar", clock=1)
    turn = trader.order("buyer2-1", "salt", clock=2)
    assert to(missed, "buyer2") == []
    assert to(turn, "buyer2") == [Purchased("buyer2-1", "salt", "seller1", 800)]


def test_a_promise_that_the_warehouse_denies_is_taken_back_as_oversold() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0")
    turn = trader.answered(Denied("oversold"))
    assert to(turn, "buyer0") == [Oversold("buyer0-0", "salt")]
    assert turn.kept == [Closed("buyer0-0")]
    assert to(trader.order("buyer0-1"), "buyer0") == []  # the cache knows better now


def test_after_a_sale_the_other_traders_are_told_the_count() -> None:
    turn = AtTheTrader(lots=[a_lot(count=3)]).order("buyer0-0")
    assert to(turn, "buyer3") == [CacheUpdate((a_lot(count=2),))]
    assert noted(turn, "pushed") == [{"to": "buyer3"}]


def test_a_push_is_believed_if_it_is_lower() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    turn = trader.hears("buyer3", CacheUpdate((a_lot(count=0),)))
    assert noted(turn, "heard_push") == [{"neighbor": "buyer3"}]
    assert to(trader.order("buyer0-0"), "buyer0") == []


def test_a_miss_refreshes_the_item() -> None:
    trader = AtTheTrader()
    assert requests(trader.order("buyer0-0")) == [Ship(an_order("buyer0-0"), None), Read(("salt",))]
    trader.answered(Shipped(a_lot(count=2), 2), Shelves(("salt",), (a_lot(count=2),)))
    assert to(trader.order("buyer0-1"), "buyer0") == [Purchased("buyer0-1", "salt", "seller1", 800)]


def test_the_cache_is_pulled_after_every_k_served_orders() -> None:
    trader = AtTheTrader(lots=[a_lot(count=9)], pull_every=2)
    assert Read(ITEMS) not in requests(trader.order("buyer0-0"))
    trader.answered(Shipped(a_lot(count=8), 8))
    turn = trader.order("buyer0-1")
    assert requests(turn)[-1] == Read(ITEMS)
    assert noted(turn, "pulled") == [{}]


def test_without_a_cache_everything_goes_to_the_warehouse() -> None:
    trader = AtTheTrader(lots=[a_lot()], cache="none")
    turn = trader.order("buyer0-0")
    assert requests(turn) == [Ship(an_order("buyer0-0"), None)]
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert to(turn, "buyer3") == []


def test_promises_without_confirmation_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trader_module, "MOST_PROMISED", 2)
    trader = AtTheTrader(lots=[a_lot(count=9)])
    for serial in range(3):
        turn = trader.order(f"buyer0-{serial}")
    assert to(turn, "buyer0") == []
    turn = trader.answered(Shipped(a_lot(count=8), 8))
    assert Purchased("buyer0-2", "salt", "seller1", 800) in to(turn, "buyer0")


# ----------------------------------------------------------- an order that a second trader has decided
def test_a_repeated_order_that_was_denied_as_oversold_is_taken_back_not_called_unavailable() -> None:
    """Another trader promised it; the buyer may hear of that yet, and of this answer before or after."""
    trader = AtTheTrader()
    trader.order("buyer0-0", again=True)
    turn = trader.answered(Denied("oversold"))
    assert to(turn, "buyer0") == [Oversold("buyer0-0", "salt")]


def test_a_promise_that_was_carried_out_from_another_lot_is_put_right_with_the_buyer() -> None:
    """The buyer repeated the order with another trader, who was faster at the warehouse and sold another lot."""
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0")
    turn = trader.answered(Shipped(a_lot("seller9-d0", count=2, price_cents=500), 2))
    assert to(turn, "buyer0") != []  # it believes in seller1 and 800; the ledger says seller9 and 500


# ------------------------------------------------------------------------------------- a second life
def second_life(*journal: JournalLine) -> tuple[AtTheTrader, Turn]:
    """A trader that was started again on its journal, and its first turn in the open market."""
    trader = AtTheTrader(open_=False, lots=[a_lot("seller9-d9", count=5)], journal=journal)
    return trader, trader.hears("buyer3", Registered("seller1"))


def test_orders_of_a_former_life_are_put_to_the_warehouse() -> None:
    _, turn = second_life(Queued(an_order("buyer0-0")))
    assert requests(turn)[0] == Ship(an_order("buyer0-0"), None)


def test_promises_of_a_former_life_are_confirmed_not_promised_again() -> None:
    _, turn = second_life(Queued(an_order("buyer0-0")), Promised("buyer0-0", a_lot()))
    assert requests(turn)[0] == Ship(an_order("buyer0-0"), "seller1-d0")
    assert to(turn, "buyer0") == []


def test_what_was_closed_in_a_former_life_stays_closed() -> None:
    trader, turn = second_life(Queued(an_order("buyer0-0")), Promised("buyer0-0", a_lot()), Closed("buyer0-0"))
    assert requests(turn) == []
    assert trader.role.idle
    assert trader.role.deadline == FOREVER
