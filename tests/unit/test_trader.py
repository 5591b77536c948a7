from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bazaar.core.clock import LamportClock
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import ITEMS, WAREHOUSE, Item, Lot, Seat
from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued, Recovered
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    AskAgain,
    Buy,
    CacheUpdate,
    Deposit,
    Deposited,
    Freed,
    MarketOpen,
    OutOfStock,
    Oversold,
    Purchased,
    Recall,
    Registered,
    Reopened,
    Sold,
    TakeOver,
    Unavailable,
    WhoTrades,
)
from bazaar.protocol.requests import (
    Acquire,
    Adopt,
    Adopted,
    Denied,
    GiveBack,
    Part,
    Read,
    Reply,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Stock,
    Stocked,
)
from peers import trader as trader_module
from peers.trader import MOST_ASKED, Trader
from peers.trader import waiting as waiting_module
from peers.trader.promises import SETTLE_AFTER_S
from peers.trader.succession import READ_AGAIN_AFTER_S, READ_ATTEMPTS
from tests.builders import Stage, a_lot, an_order, noted, sent, some_settings

NAMES = ("buyer0", "seller1", "buyer2", "buyer3", "buyer4")
BENCH = ("buyer4", "buyer3")


class AtTheTrader(Stage):
    """trader0 of two, elected, with a full bench; `open_`: seller1 has goods on sale."""

    role: Trader

    def __init__(
        self, *, open_: bool = True, lots: Sequence[Lot] = (), elected: bool = True, since: int = 0, **settings: object
    ) -> None:
        super().__init__(
            Trader(
                Seat("buyer4", since),
                NAMES,
                some_settings(**{"peers": 5, "traders": 2, "pull_every": 0, **settings}),
            )
        )
        self._under_way: dict[int, Ask] = {}
        self._answered = Ask(0, ())
        turn = Turn(0.0, self.clock)
        self.role.start(turn, elected)
        if elected:
            self.role.inherit(turn, self.role.seat, Recovered(()))  # its own journal, just begun
        self.role.traders_changed(turn, BENCH)
        self.begun = turn
        if open_:
            self.hears("buyer3", Registered("seller1"))
        if lots:
            self.hears("buyer3", CacheUpdate(tuple(lots)))

    def order(self, order_id: str, item: Item = "salt", clock: int = 1, again: bool = False) -> Turn:
        return self.hears(order_id.partition("-")[0], Buy(order_id, item, again), clock=clock)

    def answered(self, *replies: Reply) -> Turn:
        """The warehouse answers the first question under way; where it was also asked to read, that nothing is there."""
        reads = [Shelves(request.items, ()) for request in self.asked.requests if isinstance(request, Read)]
        missing = len(self.asked.requests) - len(replies)
        return self.hears(WAREHOUSE, Answer(self.asked.number, (*replies, *reads[:missing]), True))

    def hears(self, source: str, *bodies: AnyMessage, at: float | None = None, clock: int = 0) -> Turn:
        turn = super().hears(source, *bodies, at=at, clock=clock)
        for body in bodies:
            if isinstance(body, Answer) and body.number in self._under_way:
                self._answered = self._under_way.pop(body.number)
        return self._remember(turn)

    @property
    def asked(self) -> Ask:
        """The first question that is under way; if none is, the last that was."""
        return next(iter(self._under_way.values()), self._answered)

    def inherits(self, seat: Seat, *lines: JournalLine) -> Turn:
        """The journal of this tenure, as it was asked for."""
        turn = Turn(self.now, self.clock)
        self.role.inherit(turn, seat, Recovered(lines))
        self.role.tick(turn)
        return self._remember(turn)

    def _remember(self, turn: Turn) -> Turn:
        for question in questions(turn):
            self._under_way[question.number] = question
        return turn


def questions(turn: Turn) -> list[Ask]:
    return [body for to, body in sent(turn) if to == WAREHOUSE and isinstance(body, Ask)]


def requests(turn: Turn) -> list[object]:
    return [request for question in questions(turn) for request in question.requests]


def ships(turn: Turn) -> list[Ship]:
    return [request for request in requests(turn) if isinstance(request, Ship)]


def to(turn: Turn, who: str) -> list[AnyMessage]:
    return [body for target, body in sent(turn) if target == who]


def keep_the_warehouse_busy(trader: AtTheTrader) -> None:
    """No further question can be asked now."""
    for number in range(MOST_ASKED):
        assert questions(trader.order(f"buyer0-{90 + number}", "fish"))


# ------------------------------------------------------------------------------------------- opening
def test_an_elected_trader_opens_its_journal_and_is_ready_for_registration() -> None:
    begun = AtTheTrader(since=7).begun
    assert noted(begun, "ready_for_registration") == [{}]
    assert begun.kept == [Opened(7)]
    assert begun.reads == [Seat("buyer4", 7)]  # which is empty
    assert noted(begun, "took_over") == []
    assert sent(begun) == [(WAREHOUSE, WhoTrades())]  # it is told what is to be taken over


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
    trader.role.traders_changed(turn, ("buyer4", "seller1"))
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
    assert turn.kept_afterwards == [Closed("buyer0-0")]
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
    assert turn.kept_afterwards == [Closed("buyer0-0")]
    assert trader.role.idle


def test_two_questions_are_under_way_at_most_and_what_waits_is_the_next() -> None:
    trader = AtTheTrader()
    assert len(questions(trader.order("buyer0-0"))) == 1
    assert len(questions(trader.order("buyer2-0"))) == 1
    assert questions(trader.order("buyer2-1", clock=5)) == []
    assert questions(trader.order("buyer0-1", clock=3)) == []
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert ships(turn) == [Ship(an_order("buyer0-1", clock=3), None), Ship(an_order("buyer2-1", clock=5), None)]


def test_under_a_lease_one_question_is_under_way_at_a_time() -> None:
    """Nobody waits for most of what is asked then, and so more of it goes together."""
    trader = AtTheTrader(cache="escrow")
    assert len(questions(trader.order("buyer0-0"))) == 1
    assert questions(trader.order("buyer2-0")) == []


def test_orders_that_come_together_are_served_by_clock_not_by_arrival() -> None:
    trader = AtTheTrader()
    keep_the_warehouse_busy(trader)
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
    answer = Answer(trader.asked.number, (Denied("unavailable"), Shelves(("salt",), ())), True)
    trader.hears(WAREHOUSE, answer)
    turn = trader.hears(WAREHOUSE, answer)
    assert (turn.sends, turn.kept, turn.kept_afterwards) == ([], [], [])


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
    monkeypatch.setattr(waiting_module, "MOST_QUEUED", 1)
    trader = AtTheTrader(open_=False)
    trader.order("buyer0-0")
    turn = trader.order("buyer2-0")
    assert noted(turn, "turned_away") == [{"order": "buyer2-0", "buyer": "buyer2"}]
    assert turn.kept == []


def test_an_answer_to_something_else_is_set_aside() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    assert noted(trader.answered(Stocked("seller1-d0")), "unexpected") == [{"message": "Answer"}]
    assert not trader.role.idle


# ---------------------------------------------------------------------------------------- the caches
def test_a_hit_is_promised_kept_and_confirmed_with_the_next_question() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    turn = trader.order("buyer0-0")
    assert turn.kept == [Queued(an_order("buyer0-0")), Promised(an_order("buyer0-0"), a_lot(count=3))]
    assert to(turn, "buyer0") == [Purchased("buyer0-0", "salt", "seller1", 800, final=False)]
    assert requests(turn) == [Ship(an_order("buyer0-0"), "seller1-d0")]
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert to(turn, "buyer0") == []
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 800, 2)]
    assert turn.kept_afterwards == [Closed("buyer0-0")]


def test_a_hit_does_not_wait_for_the_warehouse_but_a_miss_does() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0", "fish")  # under way
    missed = trader.order("buyer2-0", "boar", clock=1)
    turn = trader.order("buyer2-1", "salt", clock=2)
    assert to(missed, "buyer2") == []
    assert to(turn, "buyer2") == [Purchased("buyer2-1", "salt", "seller1", 800, final=False)]


def test_a_promise_that_the_warehouse_denies_is_taken_back_as_oversold() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0")
    turn = trader.answered(Denied("oversold"))
    assert to(turn, "buyer0") == [Oversold("buyer0-0", "salt")]
    assert turn.kept_afterwards == [Closed("buyer0-0")]
    assert to(trader.order("buyer0-1"), "buyer0") == []  # the cache knows better now


def test_after_a_sale_the_other_traders_are_told_the_count() -> None:
    turn = AtTheTrader(lots=[a_lot(count=3)]).order("buyer0-0")
    assert to(turn, "buyer3") == [CacheUpdate((a_lot(count=2),))]
    assert noted(turn, "pushed") == [{"to": "buyer3", "lots": [["seller1-d0", 2]]}]


def test_a_push_is_believed_if_it_is_lower() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    turn = trader.hears("buyer3", CacheUpdate((a_lot(count=0),)))
    assert noted(turn, "heard_push") == [{"neighbor": "buyer3", "lots": [["seller1-d0", 0]]}]
    assert to(trader.order("buyer0-0"), "buyer0") == []


def test_a_miss_refreshes_the_item() -> None:
    trader = AtTheTrader()
    assert requests(trader.order("buyer0-0")) == [Ship(an_order("buyer0-0"), None), Read(("salt",))]
    turn = trader.answered(Shipped(a_lot(count=2), 2), Shelves(("salt",), (a_lot(count=2),)))
    assert noted(turn, "learned") == [{"position": -1, "lots": [["seller1-d0", 2]]}]
    assert to(trader.order("buyer0-1"), "buyer0") == [Purchased("buyer0-1", "salt", "seller1", 800, final=False)]


def test_what_an_answer_changes_is_noted_once_and_what_is_gone_counts_as_nothing() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3), a_lot("seller5-d0", "boar", count=1)], pull_every=1)
    for learned in ([[["seller9-d1", 4], ["seller5-d0", 0]]], []):
        trader.order(f"buyer0-{len(learned)}", "fish")
        trader.answered(Denied("unavailable"))  # it pulls at once
        assert trader.asked.requests == (Read(ITEMS),)
        turn = trader.answered(Shelves(ITEMS, (a_lot(count=3), a_lot("seller9-d1", count=4))))
        assert [facts["lots"] for facts in noted(turn, "learned")] == learned


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
    assert Purchased("buyer0-2", "salt", "seller1", 800, final=False) in to(turn, "buyer0")


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
    assert to(turn, "buyer0") == [AskAgain("buyer0-0", "salt")]  # it believes in seller1 and 800


# ------------------------------------------------------------------------------------- a second life
OWN = Seat("buyer4", 0)


def second_life(*journal: JournalLine) -> tuple[AtTheTrader, Turn]:
    """A trader that was started again, its journal read, and its first turn in the open market."""
    trader = AtTheTrader(open_=False, elected=False, lots=[a_lot("seller9-d9", count=5)])
    return trader, trader.inherits(OWN, *journal)


def test_a_trader_that_is_started_again_asks_for_its_own_journal_and_is_not_elected_anew() -> None:
    trader = AtTheTrader(open_=False, elected=False)
    assert (trader.begun.kept, trader.begun.reads) == ([Opened(0)], [OWN])
    assert noted(trader.begun, "ready_for_registration") == []
    assert not trader.role.idle  # before it has seen what it owes


def test_orders_of_a_former_life_are_put_to_the_warehouse() -> None:
    _, turn = second_life(Queued(an_order("buyer0-0")))
    assert requests(turn)[0] == Ship(an_order("buyer0-0"), None)


def test_promises_of_a_former_life_are_confirmed_not_promised_again() -> None:
    _, turn = second_life(Queued(an_order("buyer0-0")), Promised(an_order("buyer0-0"), a_lot()))
    assert requests(turn)[0] == Ship(an_order("buyer0-0"), "seller1-d0")
    assert to(turn, "buyer0") == []


def test_what_was_closed_in_a_former_life_stays_closed() -> None:
    order = an_order("buyer0-0")
    trader, turn = second_life(Queued(order), Promised(order, a_lot()), Closed("buyer0-0"))
    assert requests(turn) == []
    assert trader.role.idle
    assert trader.role.deadline == NEVER


def test_its_own_journal_is_nobodys_succession() -> None:
    _, turn = second_life(Queued(an_order("buyer0-0")))
    assert not [request for request in requests(turn) if isinstance(request, Adopt)]


def test_an_order_that_was_repeated_before_the_journal_was_read_is_taken_once() -> None:
    trader = AtTheTrader(open_=False, elected=False)
    trader.order("buyer0-0", again=True)
    turn = trader.inherits(OWN, Queued(an_order("buyer0-0")))
    assert [ship.order.order_id for ship in ships(turn)] == ["buyer0-0"]
    assert turn.kept == []


# ------------------------------------------------------------------------------- taking over, and stepping down
DEAD = Seat("buyer3", 1)


def an_heir(**values: Any) -> AtTheTrader:
    """buyer4, open, has been told that the queue of buyer3 is its own to carry out, and asked for the journal."""
    trader = AtTheTrader(**values)
    turn = trader.hears(WAREHOUSE, TakeOver(DEAD))
    assert turn.reads == [DEAD]
    assert not trader.role.idle
    return trader


def adoptions(turn: Turn) -> list[Adopt]:
    return [request for request in requests(turn) if isinstance(request, Adopt)]


def test_what_is_taken_over_is_kept_before_the_adoption_is_asked_for() -> None:
    """What a turn keeps is durable before anything that it sends leaves."""
    order, promised = an_order("buyer0-0", clock=4), an_order("buyer2-0", clock=3)
    trader = an_heir()
    turn = trader.inherits(DEAD, Queued(order), Queued(promised), Promised(promised, a_lot()))
    assert turn.kept == [Queued(order), Queued(promised), Promised(promised, a_lot())]
    assert requests(turn)[:3] == [Adopt(DEAD), Ship(promised, "seller1-d0"), Ship(order, None)]
    found = {"peer": "buyer3", "orders": 2, "promised": 1, "promises": [["buyer2-0", "seller1-d0"]]}
    assert noted(turn, "took_over") == [found]
    assert to(turn, "buyer2") == []  # it was told by the dead trader, or will be by the warehouse's answer


def test_a_queue_is_merged_into_the_heirs_own_by_clock() -> None:
    trader = an_heir()
    keep_the_warehouse_busy(trader)
    trader.order("buyer0-0", clock=20)
    trader.inherits(DEAD, *(Queued(an_order(f"buyer2-{clock}", clock=clock)) for clock in (30, 10)))
    turn = trader.answered(Denied("unavailable"))
    assert [taken["order"] for taken in noted(turn, "taken")] == ["buyer2-10", "buyer0-0", "buyer2-30"]
    assert adoptions(turn) == [Adopt(DEAD)]


def test_what_is_taken_over_is_answered_by_the_warehouse_alone_and_told_to_buyer_and_seller() -> None:
    trader = an_heir(lots=[a_lot(count=3)])
    turn = trader.inherits(DEAD, Queued(an_order()))
    assert to(turn, "buyer0") == []
    turn = trader.answered(Adopted(), Shipped(a_lot(count=2), 2))
    assert to(turn, "buyer0") == [Purchased("buyer0-0", "salt", "seller1", 800)]
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 800, 2)]
    assert turn.kept_afterwards == [Closed("buyer0-0")]
    assert trader.role.idle


def test_a_promise_that_is_taken_over_and_denied_is_taken_back() -> None:
    trader = an_heir()
    trader.inherits(DEAD, Queued(an_order()), Promised(an_order(), a_lot()))
    turn = trader.answered(Adopted(), Denied("oversold"))
    assert to(turn, "buyer0") == [Oversold("buyer0-0", "salt")]


def test_what_was_closed_is_not_taken_over() -> None:
    order = an_order()
    turn = an_heir().inherits(DEAD, Queued(order), Promised(order, a_lot()), Closed("buyer0-0"))
    assert turn.kept == []
    assert requests(turn) == [Adopt(DEAD)]
    assert noted(turn, "took_over") == [{"peer": "buyer3", "orders": 0, "promised": 0, "closed": 1}]


def test_what_was_closed_and_then_asked_again_is_taken_over() -> None:
    turn = an_heir().inherits(DEAD, Queued(an_order()), Closed("buyer0-0"), Queued(an_order(clock=7)))
    assert turn.kept == [Queued(an_order(clock=7))]
    assert ships(turn) == [Ship(an_order(clock=7), None)]
    assert noted(turn, "took_over")[0]["orders"] == 1


def test_what_was_closed_and_is_not_in_the_journal_any_more_does_not_count() -> None:
    turn = an_heir().inherits(DEAD, Closed("buyer0-9"), Queued(an_order()))
    assert noted(turn, "took_over")[0]["orders"] == 1


def test_an_order_that_the_buyer_has_repeated_here_already_is_taken_once() -> None:
    trader = an_heir()
    trader.order("buyer0-0", again=True)
    turn = trader.inherits(DEAD, Queued(an_order()))
    assert turn.kept == []
    assert requests(turn) == [Adopt(DEAD)]
    assert requests(trader.answered(Denied("unavailable"))) == []  # nor is the adoption asked for twice


def test_an_empty_queue_and_one_that_is_not_there_are_adopted_as_well() -> None:
    trader = an_heir()
    assert requests(trader.inherits(DEAD)) == [Adopt(DEAD)]
    trader.answered(Adopted())
    assert trader.role.idle


def test_a_take_over_that_is_told_twice_is_done_once() -> None:
    trader = AtTheTrader()
    assert trader.hears(WAREHOUSE, TakeOver(DEAD)).reads == [DEAD]
    first = trader.inherits(DEAD, Queued(an_order()))
    assert len(adoptions(first)) == 1
    again = trader.hears(WAREHOUSE, TakeOver(DEAD))
    assert (again.reads, again.kept, again.sends) == ([], [], [])


def test_a_take_over_that_is_told_twice_in_a_breath_is_done_once() -> None:
    trader = AtTheTrader()
    assert trader.hears(WAREHOUSE, TakeOver(DEAD), TakeOver(DEAD)).reads == [DEAD]


def test_several_queues_are_taken_over_at_once() -> None:
    other = Seat("seller1", 5)
    trader = AtTheTrader()
    assert trader.hears(WAREHOUSE, TakeOver(DEAD), TakeOver(other)).reads == [DEAD, other]
    assert adoptions(trader.inherits(DEAD, Queued(an_order("buyer0-0")))) == [Adopt(DEAD)]
    assert adoptions(trader.inherits(other, Queued(an_order("buyer2-0")))) == [Adopt(other)]
    assert not trader.role.idle
    trader.answered(Adopted(), Denied("unavailable"))
    trader.answered(Adopted(), Denied("unavailable"))
    assert trader.role.idle


def test_a_queue_is_taken_over_before_the_market_is_open() -> None:
    trader = AtTheTrader(open_=False)
    trader.hears(WAREHOUSE, TakeOver(DEAD))
    turn = trader.inherits(DEAD, Queued(an_order()))
    assert requests(turn) == [Adopt(DEAD)]


def test_a_trader_that_is_elected_later_opens_at_once() -> None:
    """All the sellers have sold before; nobody will register with it for a long time."""
    trader = AtTheTrader(open_=False, since=9)
    assert ships(trader.order("buyer0-0")) == [Ship(an_order("buyer0-0"), None)]


def test_stepping_down_it_has_every_buyer_ask_again_that_it_had_promised_something() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0")
    trader.order("buyer2-0")
    trader.order("buyer2-1", "fish")  # not promised: the buyer repeats it by itself
    turn = Turn(1.0, trader.clock)
    trader.role.step_down(turn)
    assert sent(turn) == [("buyer0", AskAgain("buyer0-0", "salt")), ("buyer2", AskAgain("buyer2-0", "salt"))]
    assert noted(turn, "stepped_down") == [{"promised": 2}]
    assert turn.kept == turn.kept_afterwards == []  # the journal is the successor's


def test_what_the_warehouse_has_confirmed_is_not_asked_again() -> None:
    trader = AtTheTrader(lots=[a_lot(count=3)])
    trader.order("buyer0-0")
    trader.answered(Shipped(a_lot(count=2), 2))
    turn = Turn(1.0, trader.clock)
    trader.role.step_down(turn)
    assert sent(turn) == []


def test_a_warehouse_that_was_started_again_is_asked_the_same_again() -> None:
    trader = AtTheTrader()
    first = questions(trader.order("buyer0-0"))
    assert questions(trader.hears(WAREHOUSE, Reopened())) == first
    trader.answered(Denied("unavailable"))
    assert questions(trader.hears(WAREHOUSE, Reopened())) == []


def test_an_order_is_closed_only_when_its_buyer_and_seller_have_been_told() -> None:
    trader = AtTheTrader()
    trader.order("buyer0-0")
    turn = trader.answered(Shipped(a_lot(count=2), 2))
    assert turn.kept == []
    assert turn.kept_afterwards == [Closed("buyer0-0")]


# --------------------------------------------------------------------------------------------- escrow
LEASE_S = 10.0


def settles(trader: AtTheTrader, *ships: Reply, held: int = 0, written: bool = True, at: float | None = None) -> Turn:
    """The warehouse answers the question that is under way; the trader holds so much salt then."""
    answers = iter(ships)
    lots = (a_lot(count=held),) if held else ()
    replies = tuple(
        next(answers) if isinstance(request, Ship) else Shelves((request.item,), lots if request.item == "salt" else ())
        for request in trader.asked.requests
        if isinstance(request, (Ship, Acquire, GiveBack))
    )
    return trader.hears(WAREHOUSE, Answer(trader.asked.number, replies, written), at=at)


def with_grant(count: int = 5) -> AtTheTrader:
    """It has been granted salt at 0, by an answer that it asked for at 0."""
    trader = AtTheTrader(cache="escrow", lease_s=LEASE_S)
    trader.order("buyer0-0")
    settles(trader, Shipped(a_lot(), 9), held=count)
    return trader


def test_what_it_was_granted_it_sells_without_asking() -> None:
    trader = with_grant()
    turn = trader.order("buyer0-1")
    assert Purchased("buyer0-1", "salt", "seller1", 800, final=False) in to(turn, "buyer0")
    assert Promised(an_order("buyer0-1"), a_lot(count=5)) in turn.kept
    from_cache = {"to": "cache", "deposit": "seller1-d0", "count": 5}
    assert noted(turn, "taken") == [{"order": "buyer0-1", "item": "salt", **from_cache}]


def test_the_buyer_is_told_only_if_the_lease_has_not_run_out_when_the_journal_is_written() -> None:
    trader = with_grant()
    turn = trader.hears("buyer0", Buy("buyer0-1", "salt", False), at=LEASE_S - 1, clock=1)
    told = Purchased("buyer0-1", "salt", "seller1", 800, final=False)
    assert told in [letter.body for _, letter in turn.sends_at(LEASE_S - 0.01)]
    assert told not in [letter.body for _, letter in turn.sends_at(LEASE_S)]


def test_after_the_lease_it_asks() -> None:
    trader = with_grant()
    turn = trader.hears("buyer0", Buy("buyer0-1", "salt", False), at=LEASE_S, clock=1)
    assert ships(turn) == [Ship(an_order("buyer0-1"), None)]


def test_the_lease_counts_from_the_asking_and_only_if_something_was_written() -> None:
    trader = with_grant()
    trader.hears("buyer0", Buy("buyer0-1", "fish", False), at=6.0, clock=1)  # a miss
    settles(trader, Denied("unavailable"), held=5, written=False, at=8.0)
    turn = trader.hears("buyer0", Buy("buyer0-2", "salt", False), at=LEASE_S + 1, clock=2)
    assert ships(turn) == [Ship(an_order("buyer0-2", clock=2), None)]
    settles(trader, Shipped(a_lot(), 4), held=5, at=LEASE_S + 3)
    turn = trader.hears("buyer0", Buy("buyer0-3", "salt", False), at=2 * LEASE_S + 0.9, clock=3)
    assert [taken["to"] for taken in noted(turn, "taken")] == ["cache"]
    turn = trader.hears("buyer0", Buy("buyer0-4", "salt", False), at=2 * LEASE_S + 1.1, clock=4)
    assert ships(turn)[-1] == Ship(an_order("buyer0-4", clock=4), None)


def test_who_asks_again_what_was_promised_is_told_what_the_ledger_says() -> None:
    trader = with_grant()
    trader.order("buyer0-1")
    assert to(trader.order("buyer0-1", again=True), "buyer0") == []
    trader.waits_until(SETTLE_AFTER_S)
    turn = settles(trader, Shipped(a_lot("seller3-d0", price_cents=500), 9))
    assert to(turn, "buyer0") == [Purchased("buyer0-1", "salt", "seller3", 500)]


def test_who_asks_again_what_was_promised_and_had_been_refused_is_refused() -> None:
    trader = with_grant()
    trader.order("buyer0-1")
    trader.order("buyer0-1", again=True)
    trader.waits_until(SETTLE_AFTER_S)
    assert to(settles(trader, Denied("unavailable")), "buyer0") == [Unavailable("buyer0-1", "salt")]


def test_what_is_scarce_is_asked_again_when_it_is_freed_and_nothing_of_it_before() -> None:
    trader = with_grant(count=0)
    trader.order("buyer0-1")
    turn = settles(trader, Scarce())
    assert noted(turn, "scarce") == [{"item": "salt"}]
    assert ships(turn) == ships(trader.order("buyer0-2")) == []
    turn = trader.hears(WAREHOUSE, Freed("salt"))
    assert {ship.order.order_id for ship in ships(turn)} == {"buyer0-1", "buyer0-2"}


def test_a_new_warehouse_does_not_know_who_waits() -> None:
    trader = with_grant(count=0)
    trader.order("buyer0-1")
    settles(trader, Scarce())
    assert [ship.order.order_id for ship in ships(trader.hears(WAREHOUSE, Reopened()))] == ["buyer0-1"]


def test_what_is_called_back_goes_along_with_all_that_was_promised() -> None:
    trader = with_grant()
    trader.order("buyer0-1", "fish")
    trader.order("buyer0-2")  # promised, while the warehouse is busy
    trader.hears(WAREHOUSE, Recall("salt"))
    turn = settles(trader, Denied("unavailable"))
    assert ships(turn) == [Ship(an_order("buyer0-2"), "seller1-d0")]
    assert requests(turn)[-1] == GiveBack("salt")


def test_what_is_called_back_is_not_given_back_before_it_has_read_what_it_promised_in_a_former_life() -> None:
    trader = AtTheTrader(cache="escrow", elected=False)
    assert requests(trader.hears(WAREHOUSE, Recall("salt"))) == []
    turn = trader.inherits(OWN, Queued(an_order()), Promised(an_order(), a_lot()))
    assert [request for request in requests(turn) if not isinstance(request, Acquire)] == [
        Ship(an_order(), "seller1-d0"),
        GiveBack("salt"),
    ]


def test_a_promise_that_was_refused_to_another_before_is_asked_again() -> None:
    trader = with_grant()
    trader.order("buyer0-1")
    trader.waits_until(SETTLE_AFTER_S)
    assert to(settles(trader, Denied("unavailable")), "buyer0") == [AskAgain("buyer0-1", "salt")]


def test_what_it_has_sold_goes_to_the_ledger_in_company_and_soon() -> None:
    trader = with_grant(count=20)
    assert requests(trader.order("buyer0-1")) == []
    assert requests(trader.order("buyer0-2")) == []
    assert trader.role.deadline == SETTLE_AFTER_S
    assert [ship.order.order_id for ship in ships(trader.waits_until(SETTLE_AFTER_S))] == ["buyer0-1", "buyer0-2"]
    assert not trader.role.idle


@pytest.mark.parametrize("cache", ["weak", "escrow"])
def test_before_it_opens_it_settles_what_a_former_life_has_promised_and_then_rests(cache: str) -> None:
    trader = AtTheTrader(cache=cache, elected=False, opening_delay_s=25.0)
    trader.inherits(Seat("buyer4", 0), Queued(an_order()), Promised(an_order(), a_lot()))
    turn = trader.waits_until(SETTLE_AFTER_S)
    settled = [*ships(turn), *(request for request in trader.asked.requests if isinstance(request, Ship))]
    assert settled[0] == Ship(an_order(), "seller1-d0")
    assert trader.role.deadline > trader.now  # it does not spin until it opens


def test_a_deposed_trader_takes_no_leased_promise_back() -> None:
    trader = with_grant()
    trader.order("buyer0-1")
    turn = Turn(1.0, trader.clock)
    trader.role.step_down(turn)
    assert sent(turn) == []


# --------------------------------------------------------------------------------- journals, opening
DEAD = Seat("buyer3", 1)


def test_a_journal_that_cannot_be_read_is_tried_again_and_then_told() -> None:
    trader = AtTheTrader()
    assert trader.hears(WAREHOUSE, TakeOver(DEAD)).reads == [DEAD]
    gone = Recovered(None, ["buyer3/queue-1.jsonl: No such file or directory"])
    for _ in range(READ_ATTEMPTS - 1):
        turn = Turn(trader.now, trader.clock)
        trader.role.inherit(turn, DEAD, gone)
        assert turn.events == []
        assert not trader.role.idle
        assert trader.role.deadline == trader.now + READ_AGAIN_AFTER_S
        assert trader.waits_until(trader.role.deadline).reads == [DEAD]
    turn = Turn(trader.now, trader.clock)
    trader.role.inherit(turn, DEAD, gone)
    assert noted(turn, "unreadable") == [{"peer": "buyer3", "since": 1, "reason": gone.damage[0]}]
    assert noted(turn, "took_over") == [{"peer": "buyer3", "orders": 0, "promised": 0}]
    assert trader.waits_until(100.0).reads == []


def test_a_journal_that_comes_back_in_time_is_taken_over() -> None:
    trader = AtTheTrader()
    trader.hears(WAREHOUSE, TakeOver(DEAD))
    trader.role.inherit(Turn(0.0, trader.clock), DEAD, Recovered(None, ["not yet"]))
    turn = trader.inherits(DEAD, Queued(an_order("buyer0-0")))
    assert noted(turn, "unreadable") == []
    assert ships(turn) == [Ship(an_order("buyer0-0"), None)]


def test_of_a_damaged_journal_the_rest_is_used_and_the_damage_told() -> None:
    trader = AtTheTrader()
    trader.hears(WAREHOUSE, TakeOver(DEAD))
    turn = Turn(0.0, trader.clock)
    trader.role.inherit(turn, DEAD, Recovered((Queued(an_order("buyer0-0")),), ["line 2: rubbish"]))
    assert noted(turn, "unreadable") == [{"peer": "buyer3", "since": 1, "reason": "line 2: rubbish"}]
    assert [order["order"] for order in noted(turn, "inherited")] == ["buyer0-0"]


def test_whoever_opens_tells_the_buyers() -> None:
    trader = AtTheTrader(open_=False)
    turn = trader.hears("buyer3", Registered("seller1"))
    assert [to for to, body in sent(turn) if body == MarketOpen()] == ["buyer0", "buyer2", "buyer3"]


@pytest.mark.parametrize(("since", "elected", "opens_at"), [(0, True, 35.0), (9, True, 0.0), (0, False, 0.0)])
def test_only_the_first_traders_of_all_wait_before_they_open(since: int, elected: bool, opens_at: float) -> None:
    trader = AtTheTrader(open_=False, since=since, elected=elected, opening_delay_s=35.0)
    assert bool(noted(trader.hears("buyer3", Registered("seller1")), "opened")) == (opens_at == 0.0)
    assert bool(noted(trader.waits_until(35.0), "opened")) == (opens_at > 0.0)


@pytest.mark.parametrize(
    ("since", "elected", "delay_s", "says"),
    [(0, True, 35.0, [{"for_s": 35.0}]), (0, True, 0.0, []), (9, True, 35.0, []), (0, False, 35.0, [])],
)
def test_who_waits_before_it_opens_says_for_how_long(
    since: int, elected: bool, delay_s: float, says: list[dict[str, float]]
) -> None:
    trader = AtTheTrader(open_=False, since=since, elected=elected, opening_delay_s=delay_s)
    assert noted(trader.begun, "warming_up") == says
    turn = Turn(1.0, trader.clock)
    trader.role.traders_changed(turn, BENCH)
    assert noted(turn, "warming_up") == []  # once is enough


@pytest.mark.parametrize(("settled_at", "told_again"), [(LEASE_S - 0.01, False), (LEASE_S, True)])
def test_a_promise_that_may_have_been_too_late_to_leave_is_told_when_it_is_settled(
    settled_at: float, told_again: bool
) -> None:
    """The journal took until the end of the lease: the buyer heard nothing, and would wait until it repeats the order."""
    trader = with_grant()
    trader.hears("buyer0", Buy("buyer0-1", "salt", False), at=LEASE_S - 0.1, clock=1)
    assert ships(trader.waits_until(LEASE_S - 0.1 + SETTLE_AFTER_S)) == [Ship(an_order("buyer0-1"), "seller1-d0")]
    turn = settles(trader, Shipped(a_lot(count=8), 8), at=settled_at)
    told = [Purchased("buyer0-1", "salt", "seller1", 800)] if told_again else []
    assert to(turn, "buyer0") == told


@pytest.mark.parametrize("begun", [True, False])
def test_after_a_restart_its_own_journal_is_missed_only_if_the_tenure_had_begun(begun: bool) -> None:
    """It may have died between its appointment and the first line: nothing can have been in that journal."""
    clock = LamportClock()
    trader = Trader(Seat("buyer4", 7), NAMES, some_settings(peers=5, traders=2), begun=begun)
    turn = Turn(0.0, clock)
    trader.start(turn, elected=False)
    trader.inherit(turn, trader.seat, Recovered(None, ["queue-7.jsonl: No such file or directory"]))
    assert bool(noted(turn, "unreadable")) == begun


# -------------------------------------------------------------------------------------- several units
def test_each_seller_is_told_once_of_all_its_units() -> None:
    trader = AtTheTrader()
    trader.hears("buyer0", Buy("buyer0-0", "salt", False, 5), clock=1)
    further = Part(a_lot("seller3-d0", count=4, price_cents=500), 4, 2), Part(a_lot("seller1-d1", count=7), 7, 1)
    turn = trader.answered(Shipped(a_lot(count=0), 7, 2, further))
    assert to(turn, "buyer0") == [
        Purchased("buyer0-0", "salt", "seller1", 3 * 800 + 2 * 500, units=5, others=("seller3",))
    ]
    assert to(turn, "seller1") == [Sold("buyer0-0", "salt", "buyer0", 3 * 800, 7, units=3)]
    assert to(turn, "seller3") == [Sold("buyer0-0", "salt", "buyer0", 2 * 500, 4, units=2)]
