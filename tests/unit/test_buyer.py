from __future__ import annotations

import random
from math import e
from statistics import fmean

import pytest

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.former_life import FormerLife, Unanswered
from bazaar.protocol.goods import ITEMS, Item
from bazaar.protocol.messages import AnyMessage, AskAgain, Buy, MarketOpen, Oversold, Purchased, Unavailable
from bazaar.protocol.settings import Settings
from bazaar.runtime.history import recall
from peers.buyer import Buyer, ByHand
from tests.builders import Stage, a_line, noted, sent

BENCH = ("buyer7", "seller6", "buyer5")


class AtTheBuyer(Stage):
    """A buyer to whom the market is open from 0 on; it thinks for a second, and waits ten for an answer."""

    role: Buyer

    def __init__(
        self, item: Item = "salt", quota: float = NEVER, window: int = 1, seed: int = 1, load: str | None = None
    ) -> None:
        settings = Settings(think_s=1.0, answer_timeout_s=10.0, window=window, load=load)
        super().__init__(Buyer("buyer0", item, settings, quota, random.Random(seed)))
        self.role.traders_changed(Turn(0.0, self.clock), BENCH)
        self.role.on_market_open(Turn(0.0, self.clock), "buyer7", MarketOpen())


def purchased(order_id: str) -> Purchased:
    return Purchased(order_id, "salt", "seller1", 800)


def orders(turn: Turn) -> list[Buy]:
    return [body for _, body in sent(turn) if isinstance(body, Buy)]


def test_before_there_are_traders_nothing_is_ordered() -> None:
    stage = Stage(Buyer("buyer0", "salt", Settings(), NEVER, random.Random(1)))
    assert stage.role.deadline == NEVER
    assert sent(stage.waits_until(1000.0)) == []


def test_the_first_order_is_for_the_item_it_looks_for_and_goes_to_one_trader() -> None:
    turn = AtTheBuyer("boar").waits_until(0.0)
    assert orders(turn) == [Buy("buyer0-0", "boar", False)]
    assert noted(turn, "ordered") == [{"order": "buyer0-0", "item": "boar", "trader": turn.sends[0][0]}]


def test_items_and_traders_are_picked_at_random_and_all_have_their_turn() -> None:
    buyer = AtTheBuyer()
    items, traders = set(), set()
    for serial in range(60):
        turn = buyer.waits_until(2.0 * serial)
        (order,) = orders(turn)
        assert order.order_id == f"buyer0-{serial}"
        items.add(order.item)
        traders.add(turn.sends[0][0])
        buyer.hears(turn.sends[0][0], purchased(order.order_id))
    assert (items, traders) == (set(ITEMS), set(BENCH))


def test_the_same_seed_makes_the_same_choices() -> None:
    def choices(seed: int) -> list[tuple[str, AnyMessage]]:
        buyer = AtTheBuyer(window=20, seed=seed)
        return sent(buyer.waits_until(0.0))

    assert choices(5) == choices(5) != choices(6)


def test_after_an_answer_it_thinks_a_while_and_goes_on() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    turn = buyer.hears("buyer7", purchased("buyer0-0"), at=3.0)
    assert noted(turn, "purchased") == [
        {"order": "buyer0-0", "item": "salt", "seller": "seller1", "price": 800, "final": True}
    ]
    assert orders(turn) == []
    assert buyer.role.deadline == 4.0
    assert len(orders(buyer.waits_until(4.0))) == 1


def test_under_a_workload_it_thinks_for_random_times_and_less_by_the_factor() -> None:
    """The mean is that of an exponential distribution, and so is the part of the pauses that are longer than the mean."""
    buyer = AtTheBuyer(window=4000, load="step:5@1000+5000")
    buyer.waits_until(0.0)
    pauses: list[list[float]] = []
    for now, numbers in ((0.0, range(2000)), (2000.0, range(2000, 4000))):
        for number in numbers:
            buyer.hears("buyer7", purchased(f"buyer0-{number}"), at=now)
        pauses.append([until - now for until in buyer.role._thinking])
    for some, mean in zip(pauses, (1.0, 0.2), strict=True):
        assert len(some) == 2000
        assert fmean(some) == pytest.approx(mean, rel=0.1)
        assert sum(pause > mean for pause in some) / len(some) == pytest.approx(1 / e, rel=0.1)


def test_its_window_is_full_but_never_more() -> None:
    buyer = AtTheBuyer(window=3)
    assert len(orders(buyer.waits_until(0.0))) == 3
    assert orders(buyer.waits_until(9.0)) == []
    buyer.hears("buyer7", purchased("buyer0-1"))
    assert [order.order_id for order in orders(buyer.waits_until(10.0)) if not order.again] == ["buyer0-3"]


def test_an_order_without_an_answer_is_repeated_under_the_same_name() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    assert buyer.role.deadline == 10.0
    assert orders(buyer.waits_until(9.9)) == []
    turn = buyer.waits_until(10.0)
    assert orders(turn) == [Buy("buyer0-0", "salt", True)]
    assert noted(turn, "repeated")[0]["order"] == "buyer0-0"
    assert buyer.role.deadline == 20.0


def test_only_what_is_due_is_repeated() -> None:
    buyer = AtTheBuyer(window=2)
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"), at=4.0)
    buyer.waits_until(5.0)  # orders buyer0-2
    assert [order.order_id for order in orders(buyer.waits_until(10.0))] == ["buyer0-1"]
    assert [order.order_id for order in orders(buyer.waits_until(15.0))] == ["buyer0-2"]


def test_the_first_answer_ends_the_waiting_and_a_second_changes_nothing() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"))
    turn = buyer.hears("seller6", purchased("buyer0-0"), Unavailable("buyer0-0", "salt"))
    assert turn.events == []
    assert buyer.role.answered == 1


def test_told_that_it_is_unavailable_it_picks_another_item() -> None:
    for seed in range(20):
        buyer = AtTheBuyer("boar", seed=seed)
        buyer.waits_until(0.0)
        turn = buyer.hears("buyer7", Unavailable("buyer0-0", "boar"))
        assert noted(turn, "found_unavailable") == [{"order": "buyer0-0", "item": "boar"}]
        (order,) = orders(buyer.waits_until(1.0))
        assert order.item != "boar"


def test_oversold_takes_a_purchase_back_and_it_is_answered_once() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"))
    turn = buyer.hears("buyer7", Oversold("buyer0-0", "salt"))
    assert noted(turn, "revoked") == [{"order": "buyer0-0", "item": "salt", "trader": "buyer7"}]
    assert buyer.role.answered == 1


def test_it_places_its_quota_and_is_idle_when_that_is_answered() -> None:
    buyer = AtTheBuyer(quota=2, window=5)
    assert len(orders(buyer.waits_until(0.0))) == 2
    buyer.hears("buyer7", purchased("buyer0-0"))
    assert not buyer.role.idle
    buyer.hears("buyer7", purchased("buyer0-1"))
    assert buyer.role.idle
    assert buyer.role.deadline == NEVER
    assert orders(buyer.waits_until(100.0)) == []


def test_told_to_finish_it_waits_for_what_is_outstanding_and_orders_nothing_new() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.role.finish(Turn(1.0, buyer.clock))
    assert not buyer.role.idle
    assert orders(buyer.waits_until(10.0)) == [Buy("buyer0-0", "salt", True)]
    buyer.hears("buyer7", purchased("buyer0-0"))
    assert buyer.role.idle
    assert orders(buyer.waits_until(50.0)) == []


def test_a_bench_that_has_changed_is_used_from_then_on() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.role.traders_changed(Turn(1.0, buyer.clock), ("buyer5",))
    turn = buyer.waits_until(10.0)
    assert [to for to, _ in sent(turn)] == ["buyer5"]
    assert len(orders(turn)) == 1


# --------------------------------------------------------------------------------------- a trader's death
def a_death(buyer: AtTheBuyer, *left: str, at: float = 1.0) -> Turn:
    """These are the traders that are left."""
    buyer.now = at
    turn = Turn(at, buyer.clock)
    buyer.role.traders_changed(turn, left)
    return turn


def test_what_a_dead_trader_has_not_answered_is_repeated_at_once_under_the_same_name() -> None:
    buyer = AtTheBuyer(window=30)
    placed = {body.order_id: to for to, body in sent(buyer.waits_until(0.0)) if isinstance(body, Buy)}
    turn = a_death(buyer, "seller6", "buyer5")
    repeated = {order.order_id for order in orders(turn)}
    assert repeated == {order_id for order_id, trader in placed.items() if trader == "buyer7"} != set()
    assert all(order.again for order in orders(turn))
    assert {to for to, _ in sent(turn)} <= {"seller6", "buyer5"}
    assert sent(a_death(buyer, "seller6", "buyer5")) == []


def test_while_nobody_trades_it_waits_and_then_repeats_at_once() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    assert sent(a_death(buyer)) == []
    assert buyer.role.deadline == NEVER
    assert sent(buyer.waits_until(50.0)) == []
    assert not buyer.role.idle
    assert sent(a_death(buyer, "seller1", at=60.0)) == [("seller1", Buy("buyer0-0", "salt", True))]


def test_elected_itself_it_sees_its_orders_through_and_places_no_new_one() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.role.retired = True
    assert not buyer.role.idle
    assert orders(buyer.waits_until(10.0)) == [Buy("buyer0-0", "salt", True)]
    buyer.hears("buyer7", purchased("buyer0-0"))
    assert buyer.role.idle
    assert orders(buyer.waits_until(100.0)) == []
    buyer.role.retired = False  # it has lost its seat
    assert orders(buyer.waits_until(101.0)) != []


def test_told_to_ask_again_it_asks_another_trader_and_believes_the_new_answer() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"))
    a_death(buyer, "seller6")
    turn = buyer.hears("buyer7", AskAgain("buyer0-0", "salt"), at=1.5)
    assert sent(turn)[0] == ("seller6", Buy("buyer0-0", "salt", True))
    turn = buyer.hears("seller6", Purchased("buyer0-0", "salt", "seller9", 500))
    assert noted(turn, "purchased") == [
        {"order": "buyer0-0", "item": "salt", "seller": "seller9", "price": 500, "final": True}
    ]


def test_an_order_that_is_asked_again_counts_once_and_takes_no_place_of_the_window() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"))
    buyer.hears("buyer7", AskAgain("buyer0-0", "salt"))
    buyer.hears("seller6", Unavailable("buyer0-0", "salt"))
    assert buyer.role.answered == 1
    assert [order.order_id for order in orders(buyer.waits_until(1.0))] == ["buyer0-1"]
    assert orders(buyer.waits_until(5.0)) == []


@pytest.mark.parametrize("traders", [(), BENCH])
def test_told_to_ask_again_while_nobody_trades_it_asks_as_soon_as_somebody_does(traders: tuple[str, ...]) -> None:
    buyer = AtTheBuyer(quota=1)
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"))
    a_death(buyer)
    assert sent(buyer.hears("buyer7", AskAgain("buyer0-0", "salt"))) == []
    assert not buyer.role.idle
    turn = a_death(buyer, *(traders or ("seller6",)), at=30.0)
    later = buyer.waits_until(30.0)
    assert orders(turn) + orders(later) == [Buy("buyer0-0", "salt", True)]


def test_told_to_ask_again_what_it_is_asking_already_it_does_nothing() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    assert sent(buyer.hears("buyer7", AskAgain("buyer0-0", "salt"))) == []
    buyer.hears("buyer7", purchased("buyer0-0"))
    assert buyer.role.answered == 1


def test_in_a_further_life_no_name_is_used_twice() -> None:
    role = Buyer("buyer0", "salt", Settings(window=3), NEVER, random.Random(1), FormerLife(clock=700, placed=20))
    buyer = Stage(role)
    role.traders_changed(Turn(0.0, buyer.clock), BENCH)
    assert [order.order_id for order in orders(buyer.waits_until(0.0))] == ["buyer0-700", "buyer0-701", "buyer0-702"]


def test_a_further_life_places_only_what_is_left_of_the_quota() -> None:
    role = Buyer("buyer0", "salt", Settings(window=5), 22, random.Random(1), FormerLife(clock=700, placed=20))
    buyer = Stage(role)
    role.traders_changed(Turn(0.0, buyer.clock), BENCH)
    assert [order.order_id for order in orders(buyer.waits_until(0.0))] == ["buyer0-700", "buyer0-701"]


def test_once_repeated_only_the_ledgers_word_counts() -> None:
    buyer = AtTheBuyer()
    promise = Purchased("buyer0-0", "salt", "seller1", 800, final=False)
    buyer.waits_until(0.0)
    buyer.waits_until(10.0)  # its patience
    assert noted(buyer.hears("buyer7", promise), "purchased") == []
    assert noted(buyer.hears("buyer7", purchased("buyer0-0")), "purchased") != []


def test_a_promise_is_believed_at_first() -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    promise = Purchased("buyer0-0", "salt", "seller1", 800, final=False)
    assert noted(buyer.hears("buyer7", promise), "purchased") != []


# ------------------------------------------------------------------------------------- opening, lives
def test_nothing_is_ordered_before_a_trader_says_that_the_market_is_open() -> None:
    role = Buyer("buyer0", "salt", Settings(), NEVER, random.Random(1))
    buyer = Stage(role)
    role.traders_changed(Turn(0.0, buyer.clock), BENCH)
    assert sent(buyer.waits_until(1000.0)) == []
    assert orders(buyer.hears("buyer7", MarketOpen())) != []
    assert orders(buyer.hears("seller6", MarketOpen())) == []  # the others say so too


def a_further_life(**unanswered: Unanswered) -> Stage:
    """A buyer that is started again, and was told who trades. The names of its orders: `n3` for `buyer0-3`."""
    waits_for = {name.replace("n", "buyer0-"): order for name, order in unanswered.items()}
    former = FormerLife(clock=700, placed=20, unanswered=waits_for)
    role = Buyer("buyer0", "salt", Settings(window=2), 20, random.Random(1), former)
    buyer = Stage(role)
    assert sent(buyer.waits_until(50.0)) == []
    assert not buyer.role.idle
    turn = Turn(50.0, buyer.clock)
    role.traders_changed(turn, BENCH)
    assert orders(turn) == [Buy(order_id, order.item, True) for order_id, order in waits_for.items()]
    return buyer


def test_a_further_life_repeats_what_the_former_one_waited_for() -> None:
    buyer = a_further_life(n3=Unanswered("salt", False), n4=Unanswered("fish", False))
    assert orders(buyer.waits_until(55.0)) == []
    buyer.hears("buyer7", purchased("buyer0-3"), Unavailable("buyer0-4", "fish"))
    assert buyer.role.answered == 2
    assert buyer.role.idle


def test_an_answer_that_was_in_doubt_in_the_former_life_is_still() -> None:
    buyer = a_further_life(n3=Unanswered("salt", True))
    turn = buyer.hears("buyer7", Oversold("buyer0-3", "salt"))
    assert noted(turn, "revoked") == [{"order": "buyer0-3", "item": "salt", "trader": "buyer7"}]
    assert buyer.role.answered == 0  # it was counted then


def test_an_order_that_goes_abroad_before_a_further_life_has_begun_holds_a_place_and_is_not_given_up() -> None:
    former = FormerLife(
        clock=700,
        placed=20,
        unanswered={"buyer0-3": Unanswered("salt", False)},
        abroad={"buyer0@north-1": Unanswered("fish", False)},
    )
    role = Buyer("buyer0", "salt", Settings(window=3, name="north", think_s=0.0), NEVER, random.Random(1), former)
    buyer = Stage(role)
    turn = buyer.hears("buyer7", Unavailable("buyer0-3", "salt"), at=50.0)  # late, before it is told who trades
    assert noted(turn, "asked_abroad") == [{"order": "buyer0@north-3", "item": "salt"}]
    turn = Turn(50.1, buyer.clock)
    role.traders_changed(turn, BENCH)
    role.tick(turn)
    assert noted(turn, "unknown_abroad") == [{"order": "buyer0@north-1", "item": "fish"}]  # of the former life
    assert [order.order_id for order in orders(turn)] == ["buyer0-700", "buyer0-701"]


# ------------------------------------------------------------------------------------------------------- by hand
def test_an_order_by_hand_is_placed_at_once_where_there_is_room_and_its_answer_is_told() -> None:
    buyer = AtTheBuyer("boar", window=1)
    buyer.waits_until(0.0)
    buyer.hears("buyer7", purchased("buyer0-0"), at=3.0)  # it thinks until 4
    hand = buyer.role.order("fish")
    assert buyer.role.deadline == 0.0
    turn = buyer.waits_until(3.1)
    assert orders(turn) == [Buy("buyer0-1", "fish", False)]
    assert noted(turn, "ordered") == [
        {"order": "buyer0-1", "item": "fish", "trader": turn.sends[0][0], "by_hand": True}
    ]
    assert (hand.order_id, hand.outcome) == ("buyer0-1", "")
    buyer.hears("buyer7", Purchased("buyer0-1", "fish", "seller1", 700))
    assert hand == ByHand("fish", "buyer0-1", "purchased", "seller1", 700)


def test_an_order_by_hand_waits_for_a_place_in_the_window() -> None:
    buyer = AtTheBuyer(window=2)
    buyer.waits_until(0.0)
    hand = buyer.role.order("boar")
    assert orders(buyer.waits_until(1.0)) == []
    assert orders(buyer.hears("buyer7", purchased("buyer0-0"))) == [Buy("buyer0-2", "boar", False)]
    buyer.hears("buyer7", Unavailable("buyer0-2", "boar"))
    assert hand.outcome == "unavailable"


def test_an_order_by_hand_comes_on_top_of_the_quota_also_of_a_further_life() -> None:
    buyer = AtTheBuyer(quota=2, window=9)
    buyer.waits_until(0.0)
    buyer.role.order("boar")
    assert not buyer.role.done
    assert [order.order_id for order in orders(buyer.waits_until(1.0))] == ["buyer0-2"]
    past = [
        a_line(0.0, "buyer0", clock, "ordered", {"order": f"buyer0-{clock}", "by_hand": clock == 1}) for clock in (0, 1)
    ]
    assert recall(past).placed == 1


@pytest.mark.parametrize("item", ["apples", "", None, 7, ["fish"], b"fish"])
def test_what_nobody_sells_cannot_be_ordered_by_hand(item: object) -> None:
    buyer = AtTheBuyer(quota=0)
    with pytest.raises(ValueError, match="item must be one of fish, salt, boar"):
        buyer.role.order(item)
    assert buyer.role.done
    assert sent(buyer.waits_until(1.0)) == []


@pytest.mark.parametrize("why", ["the end", "a seat"])
def test_who_orders_nothing_any_more_sends_those_away_who_wait_for_a_place(why: str) -> None:
    buyer = AtTheBuyer()
    buyer.waits_until(0.0)
    hand = buyer.role.order("boar")
    if why == "the end":
        buyer.role.finish(Turn(1.0, buyer.clock))
        with pytest.raises(RuntimeError, match="coming to its end"):
            buyer.role.order("boar")
    else:
        buyer.role.retired = True
        buyer.role.traders_changed(Turn(1.0, buyer.clock), BENCH)
    assert hand.outcome == "not placed"
    buyer.hears("buyer7", purchased("buyer0-0"))
    assert orders(buyer.waits_until(9.0)) == []
    assert buyer.role.idle


def test_an_oversold_order_by_hand_is_told_so() -> None:
    buyer = AtTheBuyer()
    hand = buyer.role.order("boar")
    buyer.waits_until(0.0)
    buyer.hears("buyer7", Oversold("buyer0-0", "boar"))
    assert hand.outcome == "oversold"


# -------------------------------------------------------------------------------------- several units
def test_a_buyer_draws_the_units_of_each_order_from_its_range_and_keeps_them_when_it_repeats() -> None:
    buyer = Buyer("buyer0", "salt", Settings(units="2-5", window=40, answer_timeout_s=10.0), NEVER, random.Random(1))
    stage = Stage(buyer)
    buyer.traders_changed(Turn(0.0, stage.clock), BENCH)
    buyer.on_market_open(Turn(0.0, stage.clock), "buyer7", MarketOpen())
    placed = {order.order_id: order.units for order in orders(stage.waits_until(0.0))}
    assert set(placed.values()) == {2, 3, 4, 5}
    assert {order.order_id: order.units for order in orders(stage.waits_until(10.0))} == placed


def test_an_order_by_hand_may_be_for_several_units() -> None:
    buyer = AtTheBuyer(window=2)
    hand = buyer.role.order("fish", 4)
    assert Buy("buyer0-0", "fish", False, 4) in orders(buyer.waits_until(0.0))
    assert hand.units == 4
    for wrong in (0, -1, 1001, "3", 2.0, True):
        with pytest.raises(ValueError, match="units must be a whole number from 1 to 1000"):
            buyer.role.order("fish", wrong)
