from __future__ import annotations

from bazaar.core.turn import Turn
from bazaar.core.warehouse import LEASE_MARGIN, LEAST_SHARE, Warehouse
from bazaar.protocol.entries import AdoptEntry, AnyEntry, Appoint, DeposeEntry, Grant, Return, Sale
from bazaar.protocol.goods import WAREHOUSE, Bench, Seat
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    BenchIs,
    Claim,
    Depose,
    Deposed,
    Freed,
    Ok,
    Recall,
    Reopened,
    TakeOver,
    WhoTrades,
)
from bazaar.protocol.requests import (
    Acquire,
    Adopt,
    Adopted,
    Denied,
    GiveBack,
    Read,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Stock,
    Stocked,
)
from bazaar.protocol.wire import Letter
from tests.builders import a_bench, a_deposit_entry, a_lot, a_sale, an_order, noted, sent, some_settings

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4", "buyer5", "seller6", "buyer7")
SETTINGS = some_settings(peers=8, traders=2)
TWO = Bench((Seat("buyer7", 0), Seat("seller6", 2)), 0, 2, 2)


def a_warehouse() -> Warehouse:
    """With two seats, of which buyer7 has the first, and three salt of seller1."""
    return Warehouse(NAMES, SETTINGS, [Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot(count=3))])


def ask(warehouse: Warehouse, source: str, *bodies: AnyMessage) -> Turn:
    turn = Turn(0.0, warehouse.clock)
    for body in bodies:
        warehouse.receive(turn, source, Letter(10, body))
    warehouse.tick(turn)
    return turn


def test_it_says_that_it_has_reached_its_store() -> None:
    warehouse, turn = a_warehouse(), None
    turn = Turn(0.0, warehouse.clock)
    warehouse.begin(turn)
    assert noted(turn, "connected") == [{"entries": 2}]


def test_whoever_asks_is_told_the_bench() -> None:
    assert sent(ask(a_warehouse(), "seller1", WhoTrades())) == [("seller1", BenchIs(a_bench("buyer7", vacant=1)))]


def test_a_seat_is_given_and_kept_in_the_ledger() -> None:
    turn = ask(a_warehouse(), "seller6", Claim(0, 1))
    assert turn.kept == [Appoint(2, "seller6", 1)]
    assert sent(turn) == [("seller6", BenchIs(TWO))]


def test_of_two_claims_for_one_seat_one_is_granted() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0, 1))
    turn = ask(warehouse, "buyer5", Claim(0, 1))
    assert turn.kept == []
    assert sent(turn) == [("buyer5", BenchIs(TWO))]


def test_a_claim_that_is_repeated_gets_the_same_seat() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0, 1))
    turn = ask(warehouse, "seller6", Claim(0, 1))
    assert turn.kept == []
    assert sent(turn) == [("seller6", BenchIs(TWO))]


def test_the_requests_of_one_question_are_answered_in_their_order() -> None:
    fish = a_lot("seller2-d0", item="fish", count=1)
    question = Ask(4, (Stock(fish), Ship(an_order("buyer0-0", "fish"), None), Ship(an_order("buyer0-1", "fish"), None)))
    turn = ask(a_warehouse(), "buyer7", question)
    gone = a_lot("seller2-d0", item="fish", count=0, clock=0)
    assert sent(turn) == [
        ("buyer7", Answer(4, (Stocked("seller2-d0"), Shipped(gone, 0), Denied("unavailable")), True, 5))
    ]
    assert [type(entry).__name__ for entry in turn.kept] == ["DepositEntry", "Sale", "Denial"]
    assert [entry.position for entry in turn.kept] == [2, 3, 4]


def test_questions_of_several_traders_become_one_append() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0, 1))
    turn = Turn(0.0, warehouse.clock)
    warehouse.receive(turn, "buyer7", Letter(10, Ask(1, (Ship(an_order("buyer0-0"), None),))))
    warehouse.receive(turn, "seller6", Letter(10, Ask(1, (Ship(an_order("buyer0-1"), None),))))
    assert [(entry.position, entry.trader) for entry in turn.kept] == [(3, "buyer7"), (4, "seller6")]


def test_what_is_read_is_what_is_left() -> None:
    turn = ask(a_warehouse(), "buyer7", Ask(1, (Ship(an_order(), None), Read(("salt", "boar")))))
    (_, answer), *_ = sent(turn)
    assert isinstance(answer, Answer)
    shelves = answer.replies[1]
    assert shelves.items == ("salt", "boar")  # type: ignore[union-attr]
    assert shelves.lots == (a_lot(count=2),)  # type: ignore[union-attr]


def test_the_same_order_asked_again_gets_the_same_answer_and_ships_nothing() -> None:
    warehouse = a_warehouse()
    first = ask(warehouse, "buyer7", Ask(1, (Ship(an_order(), None),)))
    again = ask(warehouse, "buyer7", Ask(2, (Ship(an_order(clock=99), None),)))
    assert len(first.kept) == 1
    assert again.kept == []
    assert noted(again, "shipped") == []
    assert sent(again) == [("buyer7", Answer(2, (Shipped(a_lot(count=2), 2),), False, 3))]


def test_a_promise_of_what_is_not_there_is_denied_as_oversold() -> None:
    turn = ask(a_warehouse(), "buyer7", Ask(1, (Ship(an_order(), "seller9-d9"),)))
    assert sent(turn) == [("buyer7", Answer(1, (Denied("oversold"),), True, 3))]
    told = {"order": "buyer0-0", "item": "salt", "buyer": "buyer0", "trader": "buyer7", "deposit": "seller9-d9"}
    assert noted(turn, "oversold") == [told]


def test_what_happens_to_the_stock_is_told() -> None:
    lot = a_lot("seller2-d0", item="fish", count=1)
    turn = ask(
        a_warehouse(), "buyer7", Ask(1, (Stock(lot), Ship(an_order(), None), Ship(an_order("buyer0-1", "boar"), None)))
    )
    assert noted(turn, "stocked") == [{"item": "fish", "count": 1, "seller": "seller2"}]
    assert noted(turn, "shipped") == [{"order": "buyer0-0", "item": "salt"}]
    assert noted(turn, "unavailable") == [{"order": "buyer0-1", "item": "boar", "buyer": "buyer0"}]


def test_requests_of_a_peer_without_a_seat_change_nothing_and_are_answered_with_the_bench() -> None:
    warehouse = a_warehouse()
    question = Ask(1, (Ship(an_order(), None), Stock(a_lot("seller2-d0")), Read(("salt",)), Adopt(Seat("buyer7", 0))))
    turn = ask(warehouse, "buyer5", question)
    assert turn.kept == []
    assert sent(turn) == [("buyer5", BenchIs(a_bench("buyer7", vacant=1)))]
    assert noted(turn, "fenced") == [{"peer": "buyer5", "requests": 4}]
    assert (warehouse.ledger.position, warehouse.ledger.stock.products()) == (2, {("seller1", "salt"): (3, 800)})


def test_a_message_that_is_not_for_a_warehouse_changes_nothing() -> None:
    turn = ask(a_warehouse(), "buyer0", Ok(0))
    assert (turn.kept, turn.sends) == ([], [])
    assert noted(turn, "unexpected") == [{"message": "Ok"}]


def test_a_successor_goes_on_where_the_ledger_ends() -> None:
    predecessor = a_warehouse()
    kept = ask(predecessor, "buyer7", Ask(1, (Ship(an_order(), None),))).kept
    entries = [Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot(count=3)), *kept]
    successor = Warehouse(NAMES, SETTINGS, entries)
    assert kept == [a_sale(2, an_order(), a_lot())]
    assert sent(ask(successor, "buyer7", Ask(1, (Ship(an_order(), None),)))) == [
        ("buyer7", Answer(1, (Shipped(a_lot(count=2), 2),), False, 3))
    ]
    assert successor.ledger.position == 3
    assert successor.name == WAREHOUSE


# -------------------------------------------------------------------------------------- deaths and heirs
FIRST = Seat("buyer7", 0)


def two_traders() -> Warehouse:
    """buyer7 and seller6 trade; three salt of seller1 are there."""
    return Warehouse(
        NAMES, SETTINGS, [Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1), a_deposit_entry(2, a_lot(count=3))]
    )


def test_whose_depose_comes_first_is_told_that_it_is_done_and_what_is_its_own_to_carry_out() -> None:
    turn = ask(two_traders(), "seller6", Depose(FIRST))
    bench = a_bench(None, "seller6", position=3)
    assert turn.kept == [DeposeEntry(3, "buyer7", 0, 0, "seller6")]
    assert sent(turn) == [("seller6", Deposed(FIRST, bench)), ("seller6", TakeOver(FIRST))]
    assert noted(turn, "deposed") == [{"peer": "buyer7", "seat": 0}]


def test_whose_depose_comes_second_learns_the_bench_and_nothing_happens() -> None:
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    for late in ("buyer0", "seller6", "buyer7"):
        turn = ask(warehouse, late, Depose(FIRST))
        assert turn.kept == []
        assert sent(turn) == [(late, BenchIs(a_bench(None, "seller6", position=3)))]


def test_a_civil_peer_that_deposes_tells_the_others_and_a_trader_takes_over() -> None:
    turn = ask(two_traders(), "buyer0", Depose(FIRST))
    assert sent(turn) == [
        ("buyer0", Deposed(FIRST, a_bench(None, "seller6", position=3))),
        ("seller6", TakeOver(FIRST)),
    ]


def test_who_resigns_tells_the_others_itself() -> None:
    turn = ask(two_traders(), "buyer7", Depose(FIRST))
    assert turn.kept == [DeposeEntry(3, "buyer7", 0, 0, "buyer7")]
    assert sent(turn) == [
        ("buyer7", Deposed(FIRST, a_bench(None, "seller6", position=3))),
        ("seller6", TakeOver(FIRST)),
    ]


def test_when_the_last_trader_dies_nobody_takes_over_before_one_is_elected_and_asks() -> None:
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    turn = ask(warehouse, "buyer0", Depose(Seat("seller6", 1)))
    assert [to for to, _ in sent(turn)] == ["buyer0"]
    assert warehouse.ledger.seats.bench.vacant == 2
    ask(warehouse, "buyer5", Claim(4, 0))
    turn = ask(warehouse, "buyer5", WhoTrades())
    told = [body for to, body in sent(turn) if to == "buyer5"]
    assert told[1:] == [TakeOver(FIRST), TakeOver(Seat("seller6", 1))]


def test_an_adoption_is_kept_once_and_confirmed_as_often_as_it_is_asked() -> None:
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    assert not warehouse.idle
    first, again = (ask(warehouse, "seller6", Ask(number, (Adopt(FIRST),))) for number in (1, 2))
    assert warehouse.idle
    assert first.kept == [AdoptEntry(4, "buyer7", 0, "seller6")]
    assert noted(first, "adopted") == [{"peer": "buyer7", "by": "seller6"}]
    assert again.kept == []
    assert (sent(first), sent(again)) == (
        [("seller6", Answer(1, (Adopted(),), True, 5))],
        [("seller6", Answer(2, (Adopted(),), False, 5))],
    )


def test_at_the_end_a_queue_that_was_taken_over_is_read_once_more() -> None:
    """Its trader may have promised something since, and have died before it heard that it was deposed."""
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    ask(warehouse, "seller6", Ask(0, (Adopt(FIRST),)))
    turn = Turn(1.0, warehouse.clock)
    warehouse.finish(turn)
    assert sent(turn) == [("seller6", TakeOver(FIRST))]
    assert not warehouse.idle
    turn = ask(warehouse, "seller6", Ask(1, (Adopt(FIRST),)))
    assert turn.kept == []
    assert warehouse.idle


def test_if_nobody_trades_at_the_end_the_next_trader_reads_it() -> None:
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    ask(warehouse, "seller6", Ask(0, (Adopt(FIRST),)))
    ask(warehouse, "buyer5", Depose(Seat("seller6", 1)))
    warehouse.finish(Turn(1.0, warehouse.clock))
    assert not warehouse.idle
    ask(warehouse, "buyer5", Claim(warehouse.ledger.seats.bench.round, 0))
    turn = ask(warehouse, "buyer5", WhoTrades())
    assert ("buyer5", TakeOver(FIRST)) in sent(turn)


def test_the_orders_of_a_dead_trader_that_it_had_settled_are_not_sold_again_to_its_heir() -> None:
    warehouse = two_traders()
    ask(warehouse, "buyer7", Ask(1, (Ship(an_order(), None),)))
    ask(warehouse, "seller6", Depose(FIRST))
    turn = ask(warehouse, "seller6", Ask(1, (Adopt(FIRST), Ship(an_order(), None))))
    assert [type(entry) for entry in turn.kept] == [AdoptEntry]
    assert sent(turn) == [("seller6", Answer(1, (Adopted(), Shipped(a_lot(count=2), 2)), True, 6))]


def test_a_trader_that_wakes_up_deposed_changes_nothing_and_learns_why() -> None:
    warehouse = two_traders()
    ask(warehouse, "seller6", Depose(FIRST))
    before = warehouse.ledger.stock.products()
    question = Ask(
        9, (Ship(an_order(), None), Ship(an_order("buyer2-0"), "seller1-d0"), Stock(a_lot("seller3-d0")), Adopt(FIRST))
    )
    turn = ask(warehouse, "buyer7", question)
    assert turn.kept == []
    assert sent(turn) == [("buyer7", BenchIs(a_bench(None, "seller6", position=3)))]
    assert noted(turn, "fenced") == [{"peer": "buyer7", "requests": 4}]
    assert (warehouse.ledger.stock.products(), warehouse.ledger.position) == (before, 4)


def test_started_again_it_tells_every_trader_to_ask_again_and_who_has_to_take_over() -> None:
    entries: list[AnyEntry] = [
        Appoint(0, "buyer7", 0),
        Appoint(1, "seller6", 1),
        DeposeEntry(2, "buyer7", 0, 0, "seller6"),
    ]
    warehouse = Warehouse(NAMES, SETTINGS, entries)
    turn = Turn(0.0, warehouse.clock)
    warehouse.begin(turn)
    assert sent(turn) == [("seller6", Reopened()), ("seller6", TakeOver(FIRST))]
    settled = Warehouse(NAMES, SETTINGS, [*entries, AdoptEntry(3, "buyer7", 0, "seller6")])
    turn = Turn(0.0, settled.clock)
    settled.begin(turn)
    assert sent(turn) == [("seller6", Reopened())]


def test_in_its_first_life_it_tells_nobody() -> None:
    warehouse = Warehouse(NAMES, SETTINGS)
    turn = Turn(0.0, warehouse.clock)
    warehouse.begin(turn)
    assert sent(turn) == []


# --------------------------------------------------------------------------------------------- escrow
LATE_S = SETTINGS.lease_s * LEASE_MARGIN


def at(warehouse: Warehouse, now: float, source: str, *bodies: AnyMessage) -> Turn:
    turn = Turn(now, warehouse.clock)
    for body in bodies:
        warehouse.receive(turn, source, Letter(10, body))
    warehouse.tick(turn)
    return turn


def stocked(count: int = 20, held: int = 0) -> Warehouse:
    """buyer7 and seller6 are traders; there is some salt, of which buyer7 holds some."""
    entries: list[AnyEntry] = [
        Appoint(0, "buyer7", 0),
        Appoint(1, "seller6", 1),
        a_deposit_entry(2, a_lot(count=count)),
    ]
    return Warehouse(NAMES, SETTINGS, [*entries, *([Grant(3, "seller1-d0", "salt", held, "buyer7")] if held else [])])


def test_a_trader_is_granted_its_share_of_what_is_free() -> None:
    turn = ask(stocked(), "buyer7", Ask(1, (Acquire("salt", 100),)))
    assert turn.kept == [Grant(3, "seller1-d0", "salt", 5, "buyer7")]  # of two traders each a half, and half of that
    assert sent(turn) == [("buyer7", Answer(1, (Shelves(("salt",), (a_lot(count=5),)),), True, 4))]


def test_what_a_trader_holds_already_counts() -> None:
    turn = ask(stocked(40, held=3), "buyer7", Ask(1, (Acquire("salt", 5),)))
    assert [grant.count for grant in turn.kept] == [2]
    turn = ask(stocked(40, held=5), "buyer7", Ask(1, (Acquire("salt", 5),)))
    assert sent(turn) == [("buyer7", Answer(1, (Shelves(("salt",), (a_lot(count=5),)),), False, 4))]


def test_the_last_goods_are_granted_to_nobody() -> None:
    assert ask(stocked(4 * LEAST_SHARE), "buyer7", Ask(1, (Acquire("salt", 5),))).kept != []
    assert ask(stocked(4 * LEAST_SHARE - 1), "buyer7", Ask(1, (Acquire("salt", 5),))).kept == []


def test_nobody_is_refused_what_another_trader_holds() -> None:
    warehouse = stocked(1, held=1)
    turn = ask(warehouse, "seller6", Ask(1, (Ship(an_order(), None),)))
    assert turn.kept == []
    assert sent(turn) == [("seller6", Answer(1, (Scarce(),), False, 4)), ("buyer7", Recall("salt"))]
    turn = ask(warehouse, "buyer7", Ask(2, (GiveBack("salt"),)))
    assert turn.kept == [Return(4, "seller1-d0", "salt", 1, "buyer7")]
    assert sent(turn)[1:] == [("seller6", Freed("salt"))]
    turn = ask(warehouse, "seller6", Ask(2, (Ship(an_order(), None),)))
    assert isinstance(turn.kept[0], Sale)


def test_nothing_is_granted_of_what_somebody_waits_for() -> None:
    warehouse = stocked(40, held=40)
    ask(warehouse, "seller6", Ask(1, (Ship(an_order(), None),)))
    turn = ask(warehouse, "buyer7", Ask(2, (GiveBack("salt"), Acquire("salt", 5))))
    assert [type(entry) for entry in turn.kept] == [Return]
    ask(warehouse, "seller6", Ask(2, (Ship(an_order(), None),)))
    assert ask(warehouse, "buyer7", Ask(3, (Acquire("salt", 5),))).kept != []


def test_when_all_that_was_held_is_sold_who_waits_is_refused() -> None:
    warehouse = stocked(1, held=1)
    ask(warehouse, "seller6", Ask(1, (Ship(an_order("buyer0-0"), None),)))
    turn = ask(warehouse, "buyer7", Ask(2, (Ship(an_order("buyer2-0"), "seller1-d0"),)))
    assert ("seller6", Freed("salt")) in sent(turn)
    turn = ask(warehouse, "seller6", Ask(2, (Ship(an_order("buyer0-0"), None),)))
    assert sent(turn) == [("seller6", Answer(2, (Denied("unavailable"),), True, 6))]


def test_who_has_fallen_waits_for_nothing() -> None:
    warehouse = stocked(1, held=1)
    ask(warehouse, "seller6", Ask(1, (Ship(an_order(), None),)))
    ask(warehouse, "buyer7", Depose(Seat("seller6", 1)))
    assert Recall("salt") not in [body for _, body in sent(ask(warehouse, "buyer7", Ask(2, (Read(("fish",)),))))]


def test_a_queue_is_handed_on_when_the_lease_has_run_out() -> None:
    warehouse = stocked()
    at(warehouse, 5.0, "buyer7", Ask(1, (Acquire("salt", 2),)))
    turn = at(warehouse, 7.0, "seller6", Depose(FIRST))
    assert TakeOver(FIRST) not in [body for _, body in sent(turn)]
    assert warehouse.deadline == 5.0 + LATE_S
    early = at(warehouse, 5.0 + LATE_S - 0.1, "seller6", WhoTrades())
    assert TakeOver(FIRST) not in [body for _, body in sent(early)]
    due = Turn(5.0 + LATE_S, warehouse.clock)
    warehouse.tick(due)
    assert sent(due) == [("seller6", TakeOver(FIRST))]
    assert warehouse.deadline == float("inf")


def test_an_answer_that_took_no_entry_renews_no_lease() -> None:
    """A warehouse that was replaced can give such answers, and its successor would not know."""
    warehouse = stocked()
    at(warehouse, 5.0, "buyer7", Ask(1, (Acquire("salt", 2),)))
    at(warehouse, 6.0, "buyer7", Ask(2, (Read(("salt",)),)))
    at(warehouse, 7.0, "seller6", Depose(FIRST))
    assert warehouse.deadline == 5.0 + LATE_S


def test_who_holds_nothing_has_no_lease_to_wait_for() -> None:
    turn = at(stocked(), 7.0, "seller6", Depose(FIRST))
    assert ("seller6", TakeOver(FIRST)) in sent(turn)


def test_a_warehouse_that_is_started_again_takes_every_lease_for_a_new_one() -> None:
    warehouse = stocked(held=2)
    warehouse.begin(Turn(50.0, warehouse.clock))
    at(warehouse, 51.0, "seller6", Depose(FIRST))
    assert warehouse.deadline == 50.0 + LATE_S


# -------------------------------------------------------------------------------------- several units
def test_an_order_for_more_than_is_free_waits_until_enough_is_given_back() -> None:
    warehouse = stocked(4, held=2)
    turn = ask(warehouse, "seller6", Ask(1, (Ship(an_order(units=3), None), Ship(an_order("buyer0-1"), None))))
    assert [entry.units for entry in turn.kept if isinstance(entry, Sale)] == [1]
    assert ("buyer7", Recall("salt")) in sent(turn)
    turn = ask(warehouse, "buyer7", Ask(2, (GiveBack("salt"),)))
    assert ("seller6", Freed("salt")) in sent(turn)  # although the smaller order of the same question was sold
    turn = ask(warehouse, "seller6", Ask(2, (Ship(an_order(units=3), None),)))
    assert [entry.units for entry in turn.kept if isinstance(entry, Sale)] == [3]


def test_who_waits_for_several_units_is_not_told_of_fewer() -> None:
    warehouse = stocked(3, held=3)
    ask(warehouse, "seller6", Ask(1, (Ship(an_order(units=3), None),)))
    turn = ask(warehouse, "buyer7", Ask(2, (Stock(a_lot("seller3-d0", count=2)),)))
    assert ("seller6", Freed("salt")) not in sent(turn)
    turn = ask(warehouse, "buyer7", Ask(3, (Stock(a_lot("seller3-d1", count=1)),)))
    assert ("seller6", Freed("salt")) in sent(turn)
