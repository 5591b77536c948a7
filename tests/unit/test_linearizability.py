"""What one stock of an item can have told its clients, and what not. Times are clocks: called, answered."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from bazaar.analysis.linearizability import NEVER, Clients, Finding, Operation, explain
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded
from tests.builders import a_line
from tests.trial import changed, clients_of


def stocks(count: int, called: int, answered: float, seller: str = "seller1") -> Operation:
    return Operation(f"{seller}-d{called}", "salt", called, count, seller, answered)


def buys(called: int, answered: float, seller: str = "seller1") -> Operation:
    return Operation(f"buyer0-{called}", "salt", called, -1, seller if answered < NEVER else "", answered)


def denied(called: int, answered: float) -> Operation:
    return Operation(f"buyer0-{called}", "salt", called, 0, "", answered)


EXPLAINED: dict[str, Sequence[Operation]] = {
    "nothing": [],
    "nothing there, nobody served": [denied(1, 2)],
    "bought what is there": [stocks(1, 1, 2), buys(3, 4)],
    "bought while it is deposited": [buys(1, 4), stocks(1, 2, 3)],
    "bought before the deposit is confirmed": [stocks(1, 1, 9), buys(2, 3)],
    "bought of a deposit that is never confirmed": [stocks(1, 1, NEVER), buys(2, 3)],
    "told so while the last one is sold": [stocks(1, 1, 2), buys(3, 9), denied(4, 5)],
    "told so because of an order without an answer": [stocks(1, 1, 2), buys(3, NEVER), denied(4, 5)],
    "an order without an answer that was not done": [stocks(1, 1, 2), buys(3, NEVER), buys(4, 5)],
    "told so between two deposits": [stocks(1, 1, 2), buys(3, 9), denied(4, 8), stocks(1, 5, 6), buys(10, 11)],
    "who is answered first bought first": [stocks(1, 1, 2), buys(3, 30), buys(4, 9), denied(5, 6), stocks(1, 10, 40)],
    "on equal clocks they overlap": [stocks(1, 1, 3), denied(3, 4)],
    "each of two sellers": [
        stocks(1, 1, 2),
        stocks(1, 1, 2, "seller2"),
        buys(3, 4, "seller2"),
        buys(3, 4),
        denied(5, 6),
    ],
}
CANNOT_BE: dict[str, tuple[Sequence[Operation], str]] = {
    "bought before it was there": ([buys(1, 2), stocks(1, 3, 4)], "buyer0-1"),
    "bought once too often": ([stocks(1, 1, 2), buys(3, 4), buys(5, 6)], "buyer0-5"),
    "bought once too often at the same time": ([stocks(1, 1, 2), buys(3, 7), buys(4, 6)], "buyer0-3"),
    "told that there is none": ([stocks(1, 1, 2), denied(3, 4), buys(5, 6)], "buyer0-3"),
    "one is left": ([stocks(2, 1, 2), buys(3, 9), denied(4, 5)], "buyer0-4"),
    "bought of somebody who has none": ([stocks(2, 1, 2), buys(3, 4, "seller2")], "buyer0-3"),
    "the other seller has one": ([stocks(1, 1, 2), stocks(1, 1, 2, "seller2"), buys(3, 4), denied(5, 6)], "buyer0-5"),
}


@pytest.mark.parametrize("operations", EXPLAINED.values(), ids=EXPLAINED.keys())
def test_what_one_stock_can_have_told(operations: Sequence[Operation]) -> None:
    assert explain(operations) == Finding(True)


@pytest.mark.parametrize(("operations", "who"), CANNOT_BE.values(), ids=CANNOT_BE.keys())
def test_what_it_cannot_have_told_is_told_by_the_first_such_answer(operations: Sequence[Operation], who: str) -> None:
    finding = explain(operations)
    assert finding.explained is False
    assert finding.story.startswith(f"{who}, called at clock {who.rpartition('-')[2]}, was told ")


def test_the_story_says_what_can_be_counted() -> None:
    operations = [stocks(2, 1, 2), stocks(3, 7, 9, "seller2"), buys(3, 4), denied(5, 6)]
    assert explain(operations).story == (
        "buyer0-5, called at clock 5, was told that there is no salt at 6, which no sequence of deposits and purchases "
        "explains: all sellers had offered 2 by then (2 registered before the call); others had been told that they bought 1, "
        "and can have bought 1 at most"
    )


def by_trying(operations: Sequence[Operation]) -> bool:
    """Every sequence, one after the other."""
    must = frozenset(number for number, operation in enumerate(operations) if operation.answered < NEVER)
    seen = set()

    def go(done: frozenset[int], stock: tuple[int, int]) -> bool:
        if must <= done:
            return True
        if (done, stock) in seen:
            return False
        seen.add((done, stock))
        first = min(operations[number].answered for number in must - done)
        for number, operation in enumerate(operations):
            if number in done or operation.called > first:
                continue
            for index, seller in enumerate(("seller1", "seller2")):
                count = stock[index] + operation.effect
                there_is_none = operation.effect == 0 and not any(stock)
                if there_is_none or (operation.effect and operation.seller in (seller, "") and count >= 0):
                    changed = (count, stock[1]) if index == 0 else (stock[0], count)
                    if go(done | {number}, stock if there_is_none else changed):
                        return True
        return False

    return go(frozenset(), (0, 0))


def at_random(rng: random.Random) -> list[Operation]:
    span = rng.choice([10, 20, 40])
    operations: list[Operation] = []
    for _ in range(rng.randint(1, 9)):
        called = rng.randint(0, span)
        answered = called + rng.randint(1, span // 2)
        seller = rng.choice(["seller1", "seller2"])
        match rng.choice(["buys", "buys", "denied", "stocks", "open"]):
            case "buys":
                operations.append(buys(called, answered, seller))
            case "denied":
                operations.append(denied(called, answered))
            case "stocks":
                operations.append(stocks(rng.randint(1, 3), called, rng.choice([answered, NEVER]), seller))
            case _:
                operations.append(buys(called, NEVER))
    return operations


def test_the_search_finds_what_trying_every_sequence_finds() -> None:
    found = {True: 0, False: 0}
    for seed in range(3_000):
        operations = at_random(random.Random(seed))
        possible = by_trying(operations)
        assert explain(operations).explained is possible, (seed, operations)
        found[possible] += 1
    assert min(found.values()) > 500


def test_beyond_its_budget_it_says_that_it_does_not_know() -> None:
    many = [stocks(9, 1, 2), *(buys(3 + number, 20 + number) for number in range(9))]
    assert explain(many, most_steps=9) == Finding(None, "not found out in 9 steps, for 10 orders and deposits")
    assert explain(many, most_steps=50) == Finding(True)


# ---------------------------------------------------------------------------------- from the histories
OFFERED = a_line(0.0, "seller1", 1, "offered", {"item": "salt", "count": 1})
REGISTERED = a_line(0.0, "seller1", 3, "registered", {"item": "salt"})


def of_buyer0(what: str, clock: int, **facts: Any) -> Recorded[Event]:
    return a_line(0.0, "buyer0", clock, what, {"order": "buyer0-0", "item": "salt", **facts})


def found(*lines: Recorded[Event]) -> dict[str, Finding]:
    """Those of the seller and of the buyer, in two histories."""
    return clients_of({name: [line for line in lines if line.process == name] for name in ("seller1", "buyer0")}).find()


ORDERED = of_buyer0("ordered", 5, trader="seller6")


def test_each_item_is_judged_by_itself() -> None:
    fish = of_buyer0("ordered", 9, order="buyer0-1", item="fish", trader="seller6")
    findings = found(OFFERED, REGISTERED, ORDERED, of_buyer0("found_unavailable", 7), fish)
    assert {item: finding.explained for item, finding in findings.items()} == {"fish": True, "salt": False}


def test_an_operation_lasts_from_its_first_call_to_its_first_answer() -> None:
    bought = of_buyer0("purchased", 8, seller="seller1", price=800)
    again = of_buyer0("repeated", 7, trader="buyer5")
    revoked, denied_later = of_buyer0("revoked", 9), of_buyer0("found_unavailable", 12)
    assert found(OFFERED, REGISTERED, ORDERED, again, bought, revoked, denied_later)["salt"] == Finding(True)
    assert found(ORDERED, again, bought, revoked)["salt"].explained is False  # it was sold what nobody had offered
    assert found(changed(OFFERED, clock=6), ORDERED, again, bought)["salt"] == Finding(True)


def test_an_answer_with_a_clock_before_its_call_is_taken_as_one_right_after_it() -> None:
    assert found(ORDERED, of_buyer0("found_unavailable", 2))["salt"] == Finding(True)
    assert found(ORDERED, of_buyer0("purchased", 2, seller="seller1"))["salt"].explained is False


def test_of_more_operations_than_it_can_hold_it_says_that_it_does_not_know() -> None:
    for most, finding in (
        (1, Finding(None, "more than 1 orders and deposits are too many to try")),
        (2, Finding(True)),
    ):
        clients = Clients(most)
        clients.offered("seller1-d0", "salt", 3, 1)
        clients.ordered("buyer0-0", "salt", 2)
        assert clients.find() == {"salt": finding}
