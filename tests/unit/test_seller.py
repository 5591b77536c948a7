from __future__ import annotations

import random

import pytest

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.events import Offered
from bazaar.protocol.former_life import FormerLife
from bazaar.protocol.goods import ITEMS, Item, sellers_share
from bazaar.protocol.messages import Deposit, Deposited, OutOfStock, Sold
from bazaar.protocol.settings import Settings
from peers.seller import Seller
from tests.builders import Stage, noted, sent

BENCH = ("buyer7", "seller6", "buyer5")


class AtTheSeller(Stage):
    """A seller to whom the market is open from 0 on; T_g = 50 s, N_g = 10; it waits ten seconds for an answer."""

    role: Seller

    def __init__(self, item: Item = "salt", seed: int = 1) -> None:
        settings = Settings(registration_delay_s=2.0, restock_every_s=50.0, restock_count=10, answer_timeout_s=10.0)
        super().__init__(Seller("seller1", item, settings, random.Random(seed)))
        self.role.traders_changed(Turn(0.0, self.clock), BENCH)


def deposits(turn: Turn) -> list[Deposit]:
    return [body for _, body in sent(turn) if isinstance(body, Deposit)]


def restocked(seller: AtTheSeller, at: float) -> Deposit:
    """The deposit of that moment, which a trader confirms."""
    (deposit,) = deposits(seller.waits_until(at))
    seller.hears("buyer7", Deposited(deposit.deposit_id))
    return deposit


def test_after_the_election_it_deposits_the_goods_it_began_with() -> None:
    seller = AtTheSeller("boar")
    assert seller.role.deadline == 2.0
    assert sent(seller.waits_until(1.9)) == []
    (deposit,) = deposits(seller.waits_until(2.0))
    assert (deposit.deposit_id, deposit.item, deposit.count) == ("seller1-d0", "boar", 10)


def test_prices_are_whole_dollars_from_5_to_10_and_traders_are_picked_at_random() -> None:
    prices, traders = set(), set()
    for seed in range(80):
        turn = AtTheSeller(seed=seed).waits_until(2.0)
        prices.add(deposits(turn)[0].price_cents)
        traders.add(turn.sends[0][0])
    assert prices == {500, 600, 700, 800, 900, 1000}
    assert traders == set(BENCH)


def test_every_t_g_seconds_it_brings_an_item_other_than_its_last() -> None:
    seller = AtTheSeller("salt")
    last, items = restocked(seller, 2.0).item, set()
    for round_ in range(1, 30):
        assert seller.role.deadline == 2.0 + 50.0 * round_
        deposit = restocked(seller, 2.0 + 50.0 * round_)
        assert deposit.item != last
        assert deposit.deposit_id == f"seller1-d{round_}"
        last = deposit.item
        items.add(last)
    assert items == set(ITEMS)


def test_restocking_is_told() -> None:
    seller = AtTheSeller()
    first = seller.waits_until(2.0)
    second = seller.waits_until(52.0)
    assert (noted(first, "seller_loop"), noted(first, "picked")) == ([], [])
    assert noted(second, "seller_loop") == [{}]
    assert noted(second, "picked") == [{"item": deposits(second)[0].item}]


def test_a_deposit_without_an_answer_is_repeated_under_the_same_name_and_price() -> None:
    seller = AtTheSeller()
    first = deposits(seller.waits_until(2.0))
    assert not seller.role.idle
    assert deposits(seller.waits_until(11.9)) == []
    assert deposits(seller.waits_until(12.0)) == first


def test_a_confirmed_deposit_is_registered_once() -> None:
    seller = AtTheSeller()
    seller.waits_until(2.0)
    turn = seller.hears("seller6", Deposited("seller1-d0"), Deposited("seller1-d0"))
    assert noted(turn, "registered") == [{"deposit": "seller1-d0", "item": "salt", "trader": "seller6"}]
    assert seller.role.idle
    assert seller.role.deadline == 52.0


def test_a_sale_earns_80_percent_and_says_what_is_left() -> None:
    turn = AtTheSeller().hears("buyer7", Sold("buyer0-0", "salt", "buyer0", 800, 9))
    assert noted(turn, "sold") == [{"order": "buyer0-0", "item": "salt", "buyer": "buyer0", "earned": 640}]
    assert noted(turn, "left") == [{"item": "salt", "left": 9}]


def test_a_sale_that_two_traders_tell_of_is_earned_once() -> None:
    seller = AtTheSeller()
    seller.hears("buyer7", Sold("buyer0-0", "salt", "buyer0", 800, 9))
    assert seller.hears("seller6", Sold("buyer0-0", "salt", "buyer0", 800, 9)).events == []


@pytest.mark.parametrize(("price", "earned"), [(500, 400), (800, 640), (1, 0), (999, 799), (0, 0)])
def test_the_sellers_share_is_in_whole_cents_and_the_rest_is_the_traders(price: int, earned: int) -> None:
    assert sellers_share(price) == earned


def test_sold_out_it_brings_another_item_at_once() -> None:
    for seed in range(10):
        seller = AtTheSeller("fish", seed)
        restocked(seller, 2.0)
        turn = seller.hears("buyer7", OutOfStock("fish"))
        (deposit,) = deposits(turn)
        assert deposit.item != "fish"
        assert noted(turn, "out_of_stock") == [{"item": "fish"}]
        assert noted(turn, "picked") == [{"item": deposit.item}]


def test_told_to_finish_it_brings_nothing_more_but_sees_its_last_deposit_through() -> None:
    seller = AtTheSeller()
    first = deposits(seller.waits_until(2.0))
    seller.role.finish(Turn(3.0, seller.clock))
    assert deposits(seller.hears("buyer7", OutOfStock("salt"))) == []
    assert deposits(seller.waits_until(60.0)) == first
    seller.hears("buyer7", Deposited("seller1-d0"))
    assert seller.role.idle
    assert seller.role.deadline == NEVER


# --------------------------------------------------------------------------------------- a trader's death
def test_a_deposit_that_a_dead_trader_has_not_confirmed_is_handed_to_another_at_once() -> None:
    seller = AtTheSeller()
    turn = seller.waits_until(2.0)
    ((dead, deposit),) = sent(turn)
    left = tuple(name for name in BENCH if name != dead)
    turn = Turn(3.0, seller.clock)
    seller.role.traders_changed(turn, left)
    ((heir, again),) = sent(turn)
    assert heir in left
    assert again == deposit
    turn = Turn(3.5, seller.clock)
    seller.role.traders_changed(turn, left)
    assert sent(turn) == []


def test_while_nobody_trades_nothing_is_brought_and_sold_out_is_heard() -> None:
    seller = AtTheSeller()
    restocked(seller, 2.0)
    seller.role.traders_changed(Turn(3.0, seller.clock), ())
    assert seller.role.deadline == NEVER
    turn = seller.hears("buyer7", OutOfStock("salt"), at=4.0)
    assert sent(turn) == []
    assert noted(turn, "out_of_stock") == [{"item": "salt"}]
    assert sent(seller.waits_until(90.0)) == []


def test_elected_itself_it_picks_nothing_new_but_is_paid_for_what_is_on_sale() -> None:
    seller = AtTheSeller()
    restocked(seller, 2.0)
    seller.role.retired = True
    assert sent(seller.waits_until(52.0)) == []
    turn = seller.hears("buyer7", Sold("buyer0-0", "salt", "buyer0", 800, 0), OutOfStock("salt"))
    assert noted(turn, "sold")[0]["earned"] == 640
    assert (sent(turn), noted(turn, "picked")) == ([], [])
    assert seller.role.deadline == NEVER
    seller.role.retired = False  # it has lost its seat
    assert len(deposits(seller.waits_until(53.0))) == 1


def a_further_life(*credited: str) -> AtTheSeller:
    seller = AtTheSeller()
    seller.role = Seller(
        "seller1", "salt", Settings(), random.Random(1), FormerLife(clock=700, credited=frozenset(credited))
    )
    seller.role.traders_changed(Turn(0.0, seller.clock), BENCH)
    return seller


def test_in_a_further_life_no_name_is_used_twice() -> None:
    seller = a_further_life()
    assert [deposit.deposit_id for deposit in deposits(seller.waits_until(0.0))] == ["seller1-d700"]
    seller.hears("buyer7", Deposited("seller1-d700"))
    assert [deposit.deposit_id for deposit in deposits(seller.waits_until(20.0))] == ["seller1-d701"]


def test_in_a_further_life_no_sale_is_credited_twice() -> None:
    seller = a_further_life("buyer0-0")
    turn = seller.hears(
        "buyer7", Sold("buyer0-0", "salt", "buyer0", 800, 9), Sold("buyer0-1", "salt", "buyer0", 800, 8)
    )
    assert [sold["order"] for sold in noted(turn, "sold")] == ["buyer0-1"]


def test_late_letters_do_not_look_as_if_goods_came_back() -> None:
    seller = AtTheSeller()
    newest = Sold("buyer0-1", "salt", "buyer0", 800, 0, 12)
    turn = seller.hears("buyer7", newest, OutOfStock("salt", 12))
    assert noted(turn, "left") == [{"item": "salt", "left": 0}]
    turn = seller.hears("seller6", Sold("buyer0-0", "salt", "buyer0", 800, 2, 9), OutOfStock("salt", 9))
    assert noted(turn, "sold") != []
    assert (noted(turn, "left"), noted(turn, "out_of_stock")) == ([], [])


def test_a_deposit_is_written_down_when_it_is_first_handed_over_and_repeated_in_a_further_life() -> None:
    deposit = Deposit("seller1-d3", "boar", 4, 900)
    role = Seller("seller1", "salt", Settings(), random.Random(1), FormerLife(clock=700, offered=(deposit,)))
    seller = Stage(role)
    turn = Turn(0.0, seller.clock)
    role.traders_changed(turn, ("buyer7",))
    assert sent(turn) == [("buyer7", deposit)]
    assert noted(turn, "offered") == []
    (offered,) = noted(seller.waits_until(0.0), "offered")
    assert (offered["deposit"], offered["count"], offered["trader"]) == ("seller1-d700", 10, "buyer7")
    seller.hears("buyer7", Deposited("seller1-d3"), Deposited("seller1-d700"))
    assert role.idle


# ------------------------------------------------------------------------------------------------------- by hand
def test_goods_by_hand_are_deposited_as_all_others_and_counted() -> None:
    seller = AtTheSeller("boar")
    turn = Turn(1.0, seller.clock)
    offered = seller.role.offer(turn, "fish", 3, 7)
    assert deposits(turn) == [Deposit("seller1-d0", "fish", 3, 700)]
    assert offered == Offered("seller1-d0", "fish", 3, 700, turn.sends[0][0], by_hand=True)
    assert [noted.event for noted in turn.events] == [offered]
    seller.hears("buyer7", Deposited("seller1-d0"), Sold("buyer0-1", "fish", "buyer0", 700, 2))
    assert seller.role.stock == {"fish": [3, 1]}


@pytest.mark.parametrize(
    ("item", "count", "price", "what"),
    [
        ("apples", 1, 5, "item must be"),
        ("fish", 0, 5, "count must be"),
        ("fish", -50, 5, "count must be"),
        ("fish", 10**10, 5, "count must be"),
        ("fish", 1.0, 5, "count must be"),
        ("fish", True, 5, "count must be"),
        ("fish", 1, 4, "price must be"),
        ("fish", 1, 11, "price must be"),
        ("fish", 1, 5.5, "price must be"),
        ("fish", 1, "5", "price must be"),
        ("fish", 1, None, "price must be"),
    ],
)
def test_what_no_seller_offers_is_refused_and_changes_nothing(
    item: object, count: object, price: object, what: str
) -> None:
    seller = AtTheSeller()
    turn = Turn(1.0, seller.clock)
    with pytest.raises(ValueError, match=what):
        seller.role.offer(turn, item, count, price)
    assert (turn.sends, turn.events, seller.role.idle) == ([], [], True)
    assert restocked(seller, 2.0).deposit_id == "seller1-d0"


def test_goods_by_hand_are_refused_without_traders_and_at_the_end() -> None:
    seller = AtTheSeller()
    seller.role.traders_changed(Turn(1.0, seller.clock), ())
    with pytest.raises(RuntimeError, match="no traders yet"):
        seller.role.offer(Turn(1.0, seller.clock), "fish", 1, 5)
    seller.role.finish(Turn(1.0, seller.clock))
    with pytest.raises(RuntimeError, match="coming to its end"):
        seller.role.offer(Turn(1.0, seller.clock), "fish", 1, 5)
