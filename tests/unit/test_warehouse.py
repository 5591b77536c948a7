from __future__ import annotations

from bazaar.core.turn import Turn
from bazaar.records import (
    WAREHOUSE,
    Answer,
    AnyMessage,
    Appoint,
    Ask,
    BenchIs,
    Claim,
    Denied,
    Letter,
    NotATrader,
    Ok,
    Read,
    Ship,
    Shipped,
    Stock,
    Stocked,
    WhoTrades,
)
from bazaar.warehouse import Warehouse
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order, noted, sent


def a_warehouse() -> Warehouse:
    """With two seats, of which buyer7 has the first, and three salt of seller1."""
    return Warehouse(2, [Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot(count=3))])


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
    assert sent(ask(a_warehouse(), "seller1", WhoTrades())) == [("seller1", BenchIs(("buyer7",), 0))]


def test_a_seat_is_given_and_kept_in_the_ledger() -> None:
    turn = ask(a_warehouse(), "seller6", Claim(0))
    assert turn.kept == [Appoint(2, "seller6", 1)]
    assert sent(turn) == [("seller6", BenchIs(("buyer7", "seller6"), 2))]


def test_of_two_claims_for_one_seat_one_is_granted() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0))
    turn = ask(warehouse, "buyer5", Claim(0))
    assert turn.kept == []
    assert sent(turn) == [("buyer5", BenchIs(("buyer7", "seller6"), 2))]


def test_a_claim_that_is_repeated_gets_the_same_seat() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0))
    turn = ask(warehouse, "seller6", Claim(0))
    assert turn.kept == []
    assert sent(turn) == [("seller6", BenchIs(("buyer7", "seller6"), 2))]


def test_the_requests_of_one_question_are_answered_in_their_order() -> None:
    fish = a_lot("seller2-d0", item="fish", count=1)
    question = Ask(4, (Stock(fish), Ship(an_order("buyer0-0", "fish"), None), Ship(an_order("buyer0-1", "fish"), None)))
    turn = ask(a_warehouse(), "buyer7", question)
    gone = a_lot("seller2-d0", item="fish", count=0, clock=0)
    assert sent(turn) == [("buyer7", Answer(4, (Stocked("seller2-d0"), Shipped(gone, 0), Denied("unavailable"))))]
    assert [type(entry).__name__ for entry in turn.kept] == ["DepositEntry", "Sale", "Denial"]
    assert [entry.position for entry in turn.kept] == [2, 3, 4]


def test_questions_of_several_traders_become_one_append() -> None:
    warehouse = a_warehouse()
    ask(warehouse, "seller6", Claim(0))
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
    assert sent(again) == [("buyer7", Answer(2, (Shipped(a_lot(count=2), 2),)))]


def test_a_promise_of_what_is_not_there_is_denied_as_oversold() -> None:
    turn = ask(a_warehouse(), "buyer7", Ask(1, (Ship(an_order(), "seller9-d9"),)))
    assert sent(turn) == [("buyer7", Answer(1, (Denied("oversold"),)))]
    assert noted(turn, "oversold") == [{"order": "buyer0-0", "item": "salt", "buyer": "buyer0"}]


def test_what_happens_to_the_stock_is_told() -> None:
    lot = a_lot("seller2-d0", item="fish", count=1)
    turn = ask(
        a_warehouse(), "buyer7", Ask(1, (Stock(lot), Ship(an_order(), None), Ship(an_order("buyer0-1", "boar"), None)))
    )
    assert noted(turn, "stocked") == [{"item": "fish", "count": 1, "seller": "seller2"}]
    assert noted(turn, "shipped") == [{"order": "buyer0-0", "item": "salt"}]
    assert noted(turn, "unavailable") == [{"order": "buyer0-1", "item": "boar", "buyer": "buyer0"}]


def test_requests_of_a_peer_without_a_seat_change_nothing() -> None:
    question = Ask(1, (Ship(an_order(), None), Stock(a_lot("seller2-d0")), Read(("salt",))))
    turn = ask(a_warehouse(), "buyer5", question)
    assert turn.kept == []
    assert sent(turn) == [("buyer5", Answer(1, (NotATrader(), NotATrader(), NotATrader())))]


def test_a_message_that_is_not_for_a_warehouse_changes_nothing() -> None:
    turn = ask(a_warehouse(), "buyer0", Ok(0))
    assert (turn.kept, turn.sends) == ([], [])
    assert noted(turn, "unexpected") == [{"message": "Ok"}]


def test_a_successor_goes_on_where_the_ledger_ends() -> None:
    predecessor = a_warehouse()
    kept = ask(predecessor, "buyer7", Ask(1, (Ship(an_order(), None),))).kept
    entries = [Appoint(0, "buyer7", 0), a_deposit_entry(1, a_lot(count=3)), *kept]
    successor = Warehouse(2, entries)
    assert kept == [a_sale(2, an_order(), a_lot())]
    assert sent(ask(successor, "buyer7", Ask(1, (Ship(an_order(), None),)))) == [
        ("buyer7", Answer(1, (Shipped(a_lot(count=2), 2),)))
    ]
    assert successor.ledger.position == 3
    assert successor.name == WAREHOUSE
