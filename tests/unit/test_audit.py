"""For each check the lies that it must catch, told of a small market that holds (`tests/trial.py`)."""

from __future__ import annotations

import pytest

from bazaar.analysis.audit import CHECKS, MOST_STORIES, Report, judge
from bazaar.protocol.entries import AdoptEntry, Appoint, Denial, DeposeEntry, Grant, Return, SeatsEntry
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order
from tests.trial import (
    DEATH,
    ENTRIES,
    FIRST,
    SECOND,
    TRADER,
    Lie,
    a_market,
    all_of,
    also,
    changed,
    done,
    entry,
    event,
    further,
    promising_more,
    stock,
    without,
)


def a_third_sale_from_an_empty_lot() -> Lie:
    """buyer3 asks, is sold and pays for what is not there; the warehouse believes in a stock of -1."""
    return all_of(
        further(a_sale(7, an_order("buyer3-0", clock=91), FIRST, TRADER, cached=True)),
        stock(seller1=-1),
        also("buyer3", 90, "ordered", order="buyer3-0", item="salt", trader=TRADER),
        also("buyer3", 98, "purchased", order="buyer3-0", item="salt", seller="seller1", price=800),
        also(TRADER, 91, "queued", order="buyer3-0", item="salt", buyer="buyer3", clock=91, lane="salt"),
        also(TRADER, 92, "taken", order="buyer3-0", item="salt", to="cache"),
        also(TRADER, 96, "traded", order="buyer3-0", item="salt", seller="seller1", price=800, by="cache"),
        also("seller1", 99, "sold", order="buyer3-0", item="salt", buyer="buyer3", earned=640),
    )


def two_waiting_and_the_later_one_taken() -> Lie:
    """buyer3's order (clock 19) was waiting when buyer0's (clock 21) was taken."""
    return all_of(
        also("buyer3", 10, "ordered", order="buyer3-0", item="salt", trader=TRADER),
        also(TRADER, 22, "queued", order="buyer3-0", item="salt", buyer="buyer3", clock=19, lane="salt"),
        also(TRADER, 28, "taken", order="buyer3-0", item="salt", to="warehouse"),
        also("buyer3", 95, "found_unavailable", order="buyer3-0", item="salt"),
        further(Denial(7, "buyer3-0", "buyer3", "salt", "unavailable", 19, TRADER)),
    )


def missing(position: int) -> Lie:
    """An entry is not there."""
    return lambda evidence: changed(evidence, entries=[e for e in evidence.entries if e.position != position])


def swapped(one: int, other: int) -> Lie:
    """Two entries stand in each other's place."""
    order = {one: other, other: one}
    return lambda evidence: changed(
        evidence, entries=sorted(evidence.entries, key=lambda e: order.get(e.position, e.position))
    )


def priced(cents: int) -> Lie:
    """A deposit was offered and booked at this price."""
    return all_of(event("seller2", "offered", None, price=cents), entry(2, price_cents=cents))


def answered(clock: int) -> Lie:
    """buyer0-0 is answered once more, rightly."""
    return also("buyer0", clock, "purchased", order="buyer0-0", item="salt", seller="seller1", price=800)


TOLD_OF_THE_FIRST = (("buyer0", "purchased", "buyer0-0"), (TRADER, "traded", "buyer0-0"))
CREDIT = ("seller1", "sold", "buyer0-0")
BOOKED_OTHERWISE = {"deposits_are_booked_as_offered"}
WITHOUT_A_SALE = {"buyers_were_told_the_truth", "money_adds_up", "goods_add_up"}

STRONG = {
    "strong_caches_take_nothing_back",
    "strong_caches_refuse_nothing_in_stock",
    "one_stock_explains_all_answers",
}
"""What catches a market of the weak cache that says it is another's: buyer0-3 is revoked, though salt is left."""
LIES: list[tuple[str, Lie, set[str], list[str]]] = [
    # The check, the lie, the checks that catch it, and what the story must name.
    (
        "no_product_below_zero",
        a_third_sale_from_an_empty_lot(),
        {"no_product_below_zero"},
        ["entry 7", "buyer3-0", "seller1-d0", TRADER],
    ),
    (
        "no_product_below_zero",
        further(Grant(7, "seller2-d0", "salt", 2, TRADER)),
        {"no_product_below_zero"},
        ["entry 7", "seller2-d0"],
    ),
    (
        "no_product_below_zero",
        further(Grant(7, "seller2-d0", "salt", 1, TRADER), Return(8, "seller2-d0", "salt", 2, TRADER)),
        {"no_product_below_zero"},
        ["entry 8", "seller2-d0"],
    ),
    (
        "lowest_deposit_first",
        all_of(entry(4, deposit_id="seller2-d0"), further(Grant(7, "seller2-d0", "salt", 1, TRADER))),
        {"lowest_deposit_first", "no_product_below_zero", "entries_make_sense"},
        [f"a grant to {TRADER}", "seller1-d0"],
    ),
    ("strong_caches_take_nothing_back", promising_more, STRONG, ["buyer0-3"]),
    ("strong_caches_refuse_nothing_in_stock", promising_more, STRONG, ["buyer0-3", "1 salt"]),
    (
        "one_stock_explains_all_answers",
        promising_more,
        STRONG,
        ["buyer0-3", "salt of seller1", "offered 2", "bought 2"],
    ),
    ("goods_add_up", stock(seller2=3), {"goods_add_up"}, ["seller2", "1 salt", "3"]),
    ("goods_add_up", stock(seller9=1), {"goods_add_up"}, ["seller9"]),
    ("goods_add_up", entry(2, count=2), {"goods_add_up", "deposits_are_booked_as_offered"}, ["seller2", "2 salt"]),
    (
        "lowest_deposit_first",
        entry(2, clock=9),
        {"lowest_deposit_first"},
        ["buyer0-0", "seller1-d0", "seller2-d0 (clock 9)"],
    ),
    (
        "lowest_deposit_first",
        entry(4, deposit_id="seller2-d0", cached=False),
        {"lowest_deposit_first", "entries_make_sense"},
        ["buyer0-1"],
    ),
    ("money_adds_up", event("seller1", "sold", "buyer0-0", earned=641), {"money_adds_up"}, ["buyer0-0", "641"]),
    ("money_adds_up", without("seller1", "sold", "buyer0-1"), {"money_adds_up"}, ["buyer0-1"]),
    (
        "money_adds_up",
        event(TRADER, "traded", "buyer0-0", price=900),
        {"money_adds_up"},
        ["buyer0-0", "900", "entry 3"],
    ),
    (
        "each_order_decided_once",
        further(Denial(7, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER)),
        {"each_order_decided_once"},
        ["buyer0-2", "entry 5", "by 7"],
    ),
    (
        "each_order_decided_once",
        all_of(further(a_sale(7, an_order("buyer0-0", clock=21), SECOND, TRADER)), stock(seller2=0)),
        {"each_order_decided_once"},
        ["buyer0-0"],
    ),
    (
        "buyers_were_told_the_truth",
        event("buyer0", "purchased", "buyer0-0", seller="seller2"),
        {"buyers_were_told_the_truth"},
        ["buyer0-0", "seller2", "entry 3"],
    ),
    (
        "buyers_were_told_the_truth",
        event("buyer0", "purchased", "buyer0-1", kind="found_unavailable"),
        {"buyers_were_told_the_truth"},
        ["buyer0-1", "found_unavailable", "entry 4"],
    ),
    (
        "buyers_were_told_the_truth",
        without("buyer0", "revoked", "buyer0-3"),
        {"buyers_were_told_the_truth"},
        ["buyer0-3", "oversold"],
    ),
    (
        "buyers_were_told_the_truth",
        all_of(
            also("buyer3", 90, "ordered", order="buyer3-0", item="salt", trader=TRADER),
            also("buyer3", 91, "found_unavailable", order="buyer3-0", item="salt"),
        ),
        {"buyers_were_told_the_truth"},
        ["buyer3", "buyer3-0", "does not know"],
    ),
    (
        "buyers_were_told_the_truth",
        also("buyer3", 90, "purchased", order="buyer0-0", item="salt", seller="seller1", price=800),
        {"buyers_were_told_the_truth"},
        ["buyer3", "buyer0-0", "entry 3", "to buyer0"],
    ),
    (
        "only_what_was_asked",
        further(Denial(7, "buyer3-0", "buyer3", "boar", "unavailable", 91, TRADER)),
        {"only_what_was_asked"},
        ["entry 7", "buyer3-0", "boar", "None"],
    ),
    ("only_what_was_asked", entry(5, item="boar"), {"only_what_was_asked"}, ["buyer0-2", "boar", "fish"]),
    (
        "only_what_was_asked",
        event("buyer0", "ordered", "buyer0-0", item="boar"),
        {"only_what_was_asked"},
        ["buyer0-0", "boar"],
    ),
    (
        "no_order_lost",
        also("buyer0", 95, "ordered", order="buyer0-4", item="salt", trader=TRADER),
        {"no_order_lost"},
        ["buyer0-4", TRADER, "clock 95"],
    ),
    (
        "window_kept",
        event("buyer0", "ordered", "buyer0-1", clock=27),
        {"window_kept"},
        ["buyer0 had", "buyer0-0", "buyer0-1", "window is 1"],
    ),
    ("only_traders_trade", entry(5, trader="buyer3"), {"only_traders_trade"}, ["entry 5", "buyer3"]),
    ("only_traders_trade", further(Appoint(7, "buyer3", 0)), {"only_traders_trade"}, ["entry 7", "seat 0", "buyer3"]),
    ("only_traders_trade", further(Appoint(7, TRADER, 1)), {"only_traders_trade"}, ["entry 7", "seat 1", TRADER]),
    (
        "only_traders_trade",
        further(DeposeEntry(7, "buyer3", 0, 0, TRADER)),
        {"only_traders_trade"},
        ["entry 7", "buyer3"],
    ),
    (
        "only_traders_trade",
        further(*DEATH, AdoptEntry(9, TRADER, 0, "buyer3"), a_deposit_entry(10, a_lot("seller1-d9", count=1), TRADER)),
        {"only_traders_trade", "goods_add_up", "deposits_are_booked_as_offered"},
        ["entry 10", TRADER],
    ),
    ("queues_were_taken_over", further(*DEATH), {"queues_were_taken_over"}, [TRADER, "since 0", "entry 8"]),
    (
        "queues_were_taken_over",
        further(*DEATH, *(AdoptEntry(position, TRADER, 0, "buyer3") for position in (9, 10))),
        {"queues_were_taken_over"},
        ["entry 10", "buyer3", TRADER],
    ),
    (
        "queues_were_taken_over",
        further(Appoint(7, "buyer3", 1), AdoptEntry(8, TRADER, 0, "buyer3")),
        {"queues_were_taken_over"},
        ["entry 8", TRADER, "not open"],
    ),
    (
        "traders_neither_buy_nor_sell",
        also(TRADER, 90, "picked", item="salt"),
        {"traders_neither_buy_nor_sell"},
        [TRADER, "picked", "clock 90"],
    ),
    ("clocks_increase", event("seller1", "registered", None, clock=0), {"clocks_increase"}, ["seller1", "0"]),
    ("clocks_increase", event(TRADER, "elected", None, clock=1), {"clocks_increase"}, [TRADER, "from 1 to 1"]),
    (
        "clocks_increase",
        event("buyer0", "purchased", "buyer0-0", sent=28),
        {"clocks_increase"},
        ["buyer0", "28", TRADER],
    ),
    (
        "lowest_clock_served_first",
        two_waiting_and_the_later_one_taken(),
        {"lowest_clock_served_first"},
        [TRADER, "buyer0-0", "buyer3-0", "clock 19"],
    ),
    # What no honest process says.
    ("ledger_unbroken", missing(4), {"ledger_unbroken", *WITHOUT_A_SALE}, ["entry 5", "4 should be"]),
    ("ledger_unbroken", swapped(5, 6), {"ledger_unbroken"}, ["entry 6", "5 should be"]),
    (
        "ledger_unbroken",
        further(ENTRIES[6]),
        {"ledger_unbroken", "each_order_decided_once"},
        ["entry 6", "7 should be"],
    ),
    ("entries_make_sense", priced(850), {"entries_make_sense"}, ["entry 2", "seller2-d0", "850 cents"]),
    ("entries_make_sense", priced(1100), {"entries_make_sense"}, ["entry 2", "seller2-d0", "1100 cents"]),
    ("entries_make_sense", priced(400), {"entries_make_sense"}, ["entry 2", "seller2-d0", "400 cents"]),
    (
        "entries_make_sense",
        all_of(event("seller2", "offered", None, count=0), entry(2, count=0), stock(seller2=0)),
        {"entries_make_sense"},
        ["entry 2", "0 salt"],
    ),
    (
        "entries_make_sense",
        all_of(event("buyer0", "ordered", "buyer0-2", item="gold"), entry(5, item="gold")),
        {"entries_make_sense"},
        ["entry 5", "gold"],
    ),
    (
        "entries_make_sense",
        further(Grant(7, "seller2-d0", "salt", 0, TRADER)),
        {"entries_make_sense"},
        ["entry 7", "0 salt"],
    ),
    (
        "entries_make_sense",
        all_of(
            entry(3, price_cents=700), *(event(*at, price=700) for at in TOLD_OF_THE_FIRST), event(*CREDIT, earned=560)
        ),
        {"entries_make_sense"},
        ["entry 3", "700 cents", "seller1-d0", "800"],
    ),
    (
        "no_product_below_zero",
        entry(4, deposit_id="seller9-d9"),
        {"no_product_below_zero"},
        ["entry 4", "does not exist"],
    ),
    # What was deposited is not what was booked.
    *(
        (
            "deposits_are_booked_as_offered",
            event("seller2", "offered", None, **offer),
            BOOKED_OTHERWISE,
            ["entry 2", *words],
        )
        for offer, words in (
            ({"count": 2}, ["2 salt", "books 1 salt"]),
            ({"price": 300}, ["300 cents", "for 800"]),
            ({"item": "fish"}, ["1 fish", "books 1 salt"]),
        )
    ),
    (
        "deposits_are_booked_as_offered",
        also("seller2", 50, "registered", deposit="seller2-d1", item="salt", trader=TRADER),
        {"deposits_are_booked_as_offered"},
        ["seller2-d1", "acknowledged and dropped"],
    ),
    (
        "deposits_are_booked_as_offered",
        also("seller2", 50, "offered", deposit="seller2-d1", item="salt", count=1, price=800, trader=TRADER),
        {"deposits_are_booked_as_offered"},
        ["seller2-d1", "never booked"],
    ),
    (
        "deposits_are_booked_as_offered",
        without("seller2", "offered", None),
        BOOKED_OTHERWISE,
        ["seller2-d0", "never offered"],
    ),
    (
        "deposits_are_booked_as_offered",
        event("seller2", "registered", None, item="boar"),
        BOOKED_OTHERWISE,
        ["seller2-d0", "as boar"],
    ),
    (
        "deposits_are_booked_as_offered",
        all_of(further(changed(a_deposit_entry(7, SECOND, TRADER))), stock(seller2=2)),
        BOOKED_OTHERWISE,
        ["entry 7", "seller2-d0 again", "entry 2"],
    ),
    (
        "deposits_are_booked_as_offered",
        also("warehouse", 50, "stocked", item="salt", count=9, seller="seller1"),
        BOOKED_OTHERWISE,
        ["9 salt", "seller1", "clock 50"],
    ),
    # What is left is not what the warehouse says.
    ("goods_add_up", event("seller1", "left", None, left=7), {"goods_add_up"}, ["seller1", "7 salt", "entry 3"]),
    # Paid, credited and kept once.
    (
        "money_adds_up",
        also("seller1", 90, "sold", order="buyer0-0", item="salt", buyer="buyer0", earned=640),
        {"money_adds_up"},
        ["seller1", "buyer0-0", "once more"],
    ),
    ("money_adds_up", event("seller1", "sold", "buyer0-0", earned=632), {"money_adds_up"}, ["632", "640", "80 %"]),
    ("money_adds_up", event("seller1", "sold", "buyer0-0", buyer="buyer3"), {"money_adds_up"}, ["buyer3", "entry 3"]),
    (
        "money_adds_up",
        event("seller1", "sold", "buyer0-0", order="buyer0-2"),
        {"money_adds_up"},
        ["buyer0-2", "not sold"],
    ),
    (
        "money_adds_up",
        event(TRADER, "traded", "buyer0-0", order="buyer0-2", clock=67),
        {"money_adds_up"},
        [TRADER, "buyer0-2", "has not sold it"],
    ),
    ("money_adds_up", without(TRADER, "traded", "buyer0-0"), {"money_adds_up"}, ["buyer0-0", TRADER]),
    (
        "money_adds_up",
        also(TRADER, 90, "traded", order="buyer0-0", item="salt", seller="seller1", price=800, by="warehouse"),
        {"money_adds_up"},
        [TRADER, "buyer0-0", "once more"],
    ),
    (
        "money_adds_up",
        event("buyer0", "purchased", "buyer0-0", price=900),
        {"money_adds_up"},
        ["buyer0", "buyer0-0", "paid 900", "800"],
    ),
    (
        "only_what_was_asked",
        all_of(also("buyer0", 92, "ordered", order="buyer0-0", item="salt", trader=TRADER), answered(93)),
        {"only_what_was_asked"},
        ["buyer0-0", "anew"],
    ),
    (
        "only_traders_trade",
        further(Appoint(7, "buyer3", 1), DeposeEntry(8, TRADER, 0, 5, "buyer3"), AdoptEntry(9, TRADER, 5, "buyer3")),
        {"only_traders_trade"},
        ["entry 8", "since 5", "since 0"],
    ),
    # More traders by load than there can be.
    (
        "seats_follow_the_load",
        further(SeatsEntry(7, 2, TRADER)),
        {"seats_follow_the_load"},
        ["entry 7", "makes 2 traders", "1 to 1"],
    ),
    # Deposed with nothing wrong.
    (
        "the_living_keep_their_seats",
        all_of(
            further(*DEATH, AdoptEntry(9, TRADER, 0, "buyer3")),
            also("buyer3", 500, "suspected", peer=TRADER),
            also("launcher", 1, "drawn"),
        ),
        {"the_living_keep_their_seats"},
        [TRADER, "trader0 since 0", "buyer3", "entry 8"],
    ),
]


OF_THE_GRAPH = {"three_neighbours_at_most", "only_along_edges", "the_graph_heals"}
OF_ANY_MARKET = [check for check in CHECKS if check not in OF_THE_GRAPH]


@pytest.mark.parametrize(("check", "lie", "caught_by", "named"), LIES, ids=[check for check, *_ in LIES])
def test_every_check_catches_its_lie_and_tells_who_and_which(
    check: str, lie: Lie, caught_by: set[str], named: list[str]
) -> None:
    report = judge(lie(a_market()))
    assert set(report.violations) == caught_by, report.violations
    assert report.verdict == "violated"
    assert report.audit == {name: name not in caught_by for name in OF_ANY_MARKET}
    story = report.violations[check][0]
    assert all(word in story for word in named), story
    assert "\n" not in story


# ------------------------------------------------------------------- peers that speak with their neighbours only
def neighbours(process: str, clock: int, *names: str) -> Lie:
    return also(process, clock, "neighbours", names=names)


def sent(process: str, clock: int, *names: str) -> Lie:
    """It has sent a bundle to each of these by then."""
    return also(process, clock, "carried", bundles=tuple((name, 1) for name in names))


BEGUN = 15  # a clock before the first order
LATE = 5_000  # the clock of an event at 50 s, which is more than three times the patience of the others
ALONG_EDGES = all_of(
    neighbours("buyer0", BEGUN, "seller1"),
    neighbours("seller1", BEGUN, "buyer0", "seller2"),
    neighbours("seller2", BEGUN, "seller1", "buyer3"),
    neighbours("buyer3", BEGUN, "seller2", TRADER),
    neighbours(TRADER, BEGUN, "buyer3", "warehouse"),
    sent("seller1", 80, "buyer0", "seller2"),
    also("launcher", LATE, "drawn"),
)
"""The peers stand in a row."""
LIES_OF_THE_GRAPH: list[tuple[str, Lie, list[str]]] = [
    (
        "three_neighbours_at_most",
        neighbours("seller2", 85, "buyer0", "seller1", "buyer3", TRADER),
        ["seller2", "4 neighbours", "clock 85"],
    ),
    ("three_neighbours_at_most", neighbours("seller2", 85, "seller1", "buyer3", "seller7"), ["seller2", "seller7"]),
    ("three_neighbours_at_most", neighbours("seller2", 85, "seller1", "buyer3", "seller2"), ["seller2"]),
    ("only_along_edges", sent("seller2", 85, "seller1", TRADER), ["seller2", TRADER, "85"]),
    (
        "only_along_edges",  # it was its neighbour
        all_of(
            neighbours("buyer0", 81, "buyer3"),
            sent("buyer0", 82),
            sent("buyer0", 85, "seller1"),
            neighbours("buyer0", 86, "seller1"),
        ),
        ["buyer0", "seller1", "85"],
    ),
    (
        "the_graph_heals",
        all_of(neighbours("seller1", 85, "buyer0"), neighbours("seller2", 85, "buyer3")),
        ["2 parts", "buyer0, seller1"],
    ),
    ("the_graph_heals", neighbours("seller1", 85, "buyer0"), ["2 parts"]),  # seller2 says that it is its neighbour
]


@pytest.mark.parametrize(("check", "lie", "named"), LIES_OF_THE_GRAPH, ids=[check for check, *_ in LIES_OF_THE_GRAPH])
def test_every_lie_about_the_graph_is_caught(check: str, lie: Lie, named: list[str]) -> None:
    report = judge(all_of(ALONG_EDGES, lie)(a_market(routing="neighbours")))
    assert set(report.violations) == {check}
    story = report.violations[check][0]
    assert all(word in story for word in named), story


def test_a_market_along_edges_holds() -> None:
    """Also if an edge is lost for a moment, and a bundle was sent along it before."""
    market = ALONG_EDGES(a_market(routing="neighbours"))
    assert judge(market).audit == dict.fromkeys(CHECKS, True)
    for_a_moment = all_of(neighbours("seller1", 81, "buyer0"), neighbours("seller1", 85, "buyer0", "seller2"))
    assert judge(for_a_moment(market)).verdict == "held"
    too_late = all_of(neighbours("seller1", 81, "buyer0"), sent("seller1", 85, "buyer0", "seller2"))
    assert "only_along_edges" not in judge(too_late(market)).violations  # it had sent that before


def test_of_a_market_with_connections_to_everybody_the_graph_is_not_judged() -> None:
    alone = all_of(neighbours("seller2", 85), also("launcher", LATE, "drawn"))
    assert judge(alone(a_market())).verdict == "held"


@pytest.mark.parametrize(
    ("lie", "at", "words"),
    [
        (
            event("buyer0", "purchased", "buyer0-3", seller="seller9"),
            88,
            "sold a lot that does not exist (salt of seller9)",
        ),
        (event("buyer0", "purchased", "buyer0-3", price=900), 88, "does not exist (salt of seller1 for 900 cents)"),
        (all_of(), 88, "promised one unit twice, or forgot to count: all salt went to others"),
        (all_of(), 90, "promised from a lot that was sold out, though in the end 1 salt were left"),
    ],
)
def test_the_words_say_what_this_policy_did(lie: Lie, at: int, words: str) -> None:
    """It had promised to be strong. At 88 buyer0-3 is promised, at 90 it is revoked."""
    stories = judge(all_of(lie, promising_more)(a_market())).violations["strong_caches_take_nothing_back"]
    assert [words in story for story in stories if f"clock {at}" in story] == [True]


def test_a_count_that_came_with_no_sale_is_held_against_nothing() -> None:
    assert judge(also("seller1", 95, "left", item="salt", left=5)(a_market())).verdict == "held"


def test_no_check_is_without_a_lie() -> None:
    assert {check for check, *_ in (*LIES, *LIES_OF_THE_GRAPH)} == set(CHECKS)


# ------------------------------------------------------------------------------------------ the truth
def test_an_honest_market_holds_and_says_what_it_exercised() -> None:
    report = judge(a_market())
    assert report.violations == {}
    assert report.verdict == "held"
    assert report.audit == dict.fromkeys(OF_ANY_MARKET, True)
    assert report.exercised == {
        "deposits": 2,
        "sales": 2,
        "denials": 2,
        "elections_won": 1,
        "traders_deposed": 0,
        "seats_changed": 0,
        "deposed_alive": 0,
        "deposed_absent": 0,
        "queues_taken_over": 0,
        "orders_asked": 4,
        "orders_answered": 4,
        "orders_repeated": 0,
        "sales_from_cache": 1,
        "messages_checked": 13,
        "orders_unanswered": 0,
        "faults": 0,
        "faults_that_hit_the_busy": 0,
        "orders_hit_by_faults": 0,
    }


@pytest.mark.parametrize(
    ("faults", "hit", "orders"),
    [
        ([done("pause", TRADER, 45)], 1, 1),  # buyer0-1 was placed at 40 and answered at 48
        ([done("pause", "buyer0", 45)], 1, 1),
        ([done("pause", "warehouse", 45)], 1, 1),
        ([done("pause", "mongod", 45), done("pause", TRADER, 65)], 2, 2),
        ([done("pause", "buyer3", 45)], 0, 0),
        ([done("pause", TRADER, 50), done("pause", "warehouse", 51)], 0, 0),  # between two orders
    ],
)
def test_it_says_how_many_orders_the_faults_hit(faults: list[Lie], hit: int, orders: int) -> None:
    report = judge(all_of(*faults)(a_market()))
    assert report.verdict == "held"
    told = [report.exercised[what] for what in ("faults", "faults_that_hit_the_busy", "orders_hit_by_faults")]
    assert told == [len(faults), hit, orders]


def test_a_run_that_was_spared_a_fault_is_unknown() -> None:
    """It does not show what it was to show; but a violation remains one."""
    spared = changed(a_market(), missed=("kill:warehouse@9: the run ended before",))
    assert judge(spared).verdict == "unknown"
    assert judge(spared).missed == spared.missed
    lying = changed(spared, entries=(*ENTRIES, Appoint(7, TRADER, 0)))
    assert judge(lying).verdict == "violated"


def test_a_run_in_which_nothing_was_answered_is_unknown() -> None:
    evidence = changed(a_market(), entries=ENTRIES[:1], histories={}, stock={})
    assert judge(evidence).verdict == "unknown"
    assert judge(evidence).exercised["orders_answered"] == 0


def test_a_violation_is_one_even_where_nothing_was_answered() -> None:
    evidence = changed(a_market(), entries=(Appoint(0, TRADER, 0), Appoint(1, TRADER, 1)), histories={}, stock={})
    assert judge(evidence).verdict == "violated"


def test_a_wider_window_allows_more_orders_at_a_time() -> None:
    evidence = event("buyer0", "ordered", "buyer0-1", clock=27)(a_market(window=2))
    assert judge(evidence).verdict == "held"


def test_a_sale_that_a_second_trader_confirms_costs_nobody_anything() -> None:
    retry = {"order": "buyer0-0", "item": "salt"}
    evidence = all_of(
        also("seller2", 88, "queued", buyer="buyer0", clock=87, lane="sure salt", **retry),
        also("seller2", 89, "taken", to="warehouse", **retry),
        also("seller2", 90, "traded", seller="seller1", price=800, by="warehouse", **retry),
    )(a_market())
    assert judge(evidence).verdict == "held"


def test_what_the_cache_takes_may_pass_over_what_only_the_warehouse_can_serve() -> None:
    evidence = all_of(
        also("buyer3", 10, "ordered", order="buyer3-0", item="fish", trader=TRADER),
        also(TRADER, 42, "queued", order="buyer3-0", item="fish", buyer="buyer3", clock=19, lane="fish"),
        also(TRADER, 48, "taken", order="buyer3-0", item="fish", to="warehouse"),
        also("buyer3", 95, "found_unavailable", order="buyer3-0", item="fish"),
        further(Denial(7, "buyer3-0", "buyer3", "fish", "unavailable", 19, TRADER)),
    )(a_market())
    assert judge(evidence).violations == {}  # buyer0-1 (clock 41) was taken from the cache at 44


def test_what_was_inherited_stands_in_its_new_lane_only() -> None:
    """A trader that is elected again inherits its own queue: the cache no longer serves what only the warehouse may."""
    assert inheriting(lane="sure fish").violations == {}
    assert set(inheriting(lane="fish").violations) == {"lowest_clock_served_first"}


def inheriting(lane: str) -> Report:
    fish = {"item": "fish", "buyer": "buyer3"}
    evidence = all_of(
        also("buyer3", 8, "ordered", order="buyer3-0", item="fish", trader=TRADER),
        also("buyer3", 9, "ordered", order="buyer3-1", item="fish", trader=TRADER),
        also(TRADER, 11, "queued", order="buyer3-0", clock=8, lane="fish", **fish),
        also(TRADER, 12, "stepped_down"),
        also(TRADER, 13, "elected", seat=0),
        also(TRADER, 14, "inherited", order="buyer3-0", clock=8, lane=lane, **fish),
        also(TRADER, 15, "queued", order="buyer3-1", clock=9, lane="fish", **fish),
        also(TRADER, 16, "taken", order="buyer3-1", item="fish", to="cache"),
        also(TRADER, 17, "taken", order="buyer3-0", item="fish", to="warehouse"),
        also("buyer3", 95, "found_unavailable", order="buyer3-0", item="fish"),
        also("buyer3", 96, "found_unavailable", order="buyer3-1", item="fish"),
        further(*(Denial(7 + n, f"buyer3-{n}", "buyer3", "fish", "unavailable", 8 + n, TRADER) for n in (0, 1))),
    )
    return judge(evidence(a_market(window=2)))


def test_stories_are_told_only_so_many_times() -> None:
    claims = [Appoint(position, TRADER, 0) for position in range(7, 7 + 5 * MOST_STORIES)]
    told = judge(further(*claims)(a_market())).violations["only_traders_trade"]
    assert len(told) == MOST_STORIES + 1
    assert told[-1] == f"and {4 * MOST_STORIES} more"
