from __future__ import annotations

import re
from typing import Any

import pytest

from bazaar.protocol import events
from bazaar.views.caches import Caches
from bazaar.views.narration import SENTENCES, Narrator
from tests.builders import a_line

OFFER = {"deposit": "seller1-d0", "item": "boar", "count": 10, "price": 900, "trader": "seller6"}
BEFORE = [
    a_line(0.5, "seller1", 1, "offered", OFFER),
    a_line(1.0, "buyer7", 1, "elected", {"seat": 0}),
    a_line(2.0, "seller6", 1, "elected", {"seat": 1}),
    a_line(3.0, "buyer5", 1, "elected", {"seat": 2}),
]
BENCH = ["buyer7", "seller6", "buyer5"]


def told(process: str, what: str, **facts: Any) -> list[str]:
    """What is said of this event once buyer7, seller6 and buyer5 are trader0, trader1 and trader2."""
    sentences = Narrator(Caches()).tell(BEFORE, [a_line(9.0, process, 9, what, facts)])
    return [sentence.text for sentence in sentences if sentence.at == 9.0]


BOAR = '[{"seller_id": "seller1", "count": 7, "price": 9, "item": "boar"}]'  # as the original printed it
ORDER = {"order": "buyer0-0", "item": "salt"}
SAID: list[tuple[str, str, dict[str, Any], list[str]]] = [  # requirement G, in its order
    ("buyer0", "asked_abroad", ORDER, ["buyer0 asks for salt abroad"]),
    (
        "buyer0",
        "bought_abroad",
        {**ORDER, "seller": "seller1@south", "price": 800},
        ["buyer0 purchased salt abroad from seller1@south"],
    ),
    ("buyer0", "unknown_abroad", ORDER, ["buyer0 does not know what became of its order for salt abroad"]),
    ("embassy@north", "met", {"bazaar": "south"}, ["embassy@north has met the bazaar south"]),
    ("launcher", "drawn", {}, ["Showing the graphical representation of the bazaar"]),
    ("warehouse", "connected", {"entries": 0}, ["Connected successfully to the database"]),
    (
        "buyer0",
        "joined",
        {"role": "buyer", "verb": "looking for", "item": "salt"},
        ["buyer0 joined the bazaar as buyer looking for salt"],
    ),
    (
        "seller1",
        "joined",
        {"role": "seller", "verb": "selling", "item": "salt"},
        ["seller1 joined the bazaar as seller selling salt"],
    ),
    ("buyer2", "election_started", {}, ["buyer2 has started the election"]),
    (
        "buyer7",
        "elected",
        {"seat": 0},
        ["Dear buyers and sellers, My ID is buyer7, and I am the new coordinator"],
    ),
    (
        "buyer0",
        "recognized",
        {"coordinator": "buyer7"},
        [
            "buyer0 received message won from buyer7 and recognizes buyer7 as the new coordinator of the bazaar",
            "buyer0 is ready to trade",
        ],
    ),
    ("buyer7", "ready_for_registration", {}, ["Trader0 is ready for product registration"]),
    ("buyer0", "reelection", {"traders": ["buyer7"]}, ["Start re-election!! Traders elected till now ['buyer7']"]),
    (
        "seller1",
        "registered",
        {"deposit": "seller1-d0", "item": "salt", "trader": "buyer7"},
        ["seller1 registered their product salt with trader0"],
    ),
    (
        "buyer7",
        "opened",
        {"traders": BENCH},
        [
            "Trader0 aka buyer7 - is ready to trade",
            "All traders in the bazaar ['buyer7', 'seller6', 'buyer5']",
            "3 trader(s) in the bazaar, trading can begin!!!",
        ],
    ),
    ("seller1", "seller_loop", {}, ["Executing seller loop"]),
    ("seller1", "picked", {"item": "boar"}, ["seller1 has picked item boar to sell"]),
    (
        "seller6",
        "queued",
        {**ORDER, "buyer": "buyer0", "clock": 3, "lane": "salt"},
        ["Trader1 got a purchase request for item salt from buyer0"],
    ),
    (
        "seller6",
        "taken",
        {"order": "buyer0-0", "item": "boar", "to": "cache", "deposit": "seller1-d0", "count": 8},
        ["boar is served from cache by Trader1", f"Trader1 cache: {BOAR}"],
    ),
    ("seller6", "taken", {**ORDER, "to": "warehouse"}, []),
    (
        "seller6",
        "traded",
        {"order": "buyer0-0", "item": "fish", "seller": "seller1", "price": 800, "by": "warehouse"},
        ["fish is served from database by Trader1", "Current Trader1 of the bazaar is seller6"],
    ),
    (
        "seller6",
        "traded",
        {**ORDER, "seller": "seller1", "price": 800, "by": "cache"},
        ["Current Trader1 of the bazaar is seller6"],
    ),
    ("warehouse", "shipped", ORDER, ["Item salt is shipped from inventory"]),
    (
        "warehouse",
        "unavailable",
        {"order": "buyer0-0", "item": "boar", "buyer": "buyer0"},
        ["Item boar is unavailable"],
    ),
    (
        "seller6",
        "unavailable",
        {"order": "buyer0-0", "item": "boar"},
        ["boar is not available for sell in the bazaar right now"],
    ),
    (
        "seller1",
        "sold",
        {**ORDER, "buyer": "buyer0", "earned": 640},
        ["seller1 has sold salt to buyer0 and earned 6.4 $"],
    ),
    ("seller1", "left", {"item": "salt", "left": 9}, ["seller1 has 9 salt left"]),
    ("seller1", "out_of_stock", {"item": "salt"}, ["seller1 is out of stock for item salt"]),
    ("buyer0", "purchased", {**ORDER, "seller": "seller1", "price": 800}, ["buyer0 purchased salt from seller1"]),
    (
        "warehouse",
        "oversold",
        {**ORDER, "buyer": "buyer0"},
        ["Warehouse rejected buy request for salt from buyer0 because inventory was oversold"],
    ),
    ("seller6", "pushed", {"to": "buyer7"}, ["Trader1 is syncing its cache with neighbor Trader0"]),
    ("seller6", "pulled", {}, ["Trader1 is syncing their cache with database"]),
    ("seller6", "learned", {"position": 4, "lots": [["seller1-d0", 7]]}, [f"Trader1 cache: {BOAR}"]),
    ("seller6", "warming_up", {"for_s": 15.0}, ["Waiting 15s before starting trading"]),
    ("seller6", "warming_up", {"for_s": 0.5}, ["Waiting 0.5s before starting trading"]),
    (
        "buyer7",
        "trader_died",
        {"peer": "seller6", "traders": ["buyer7"], "left": "alone"},
        ["Trader1 aka seller6 is dead!!! Now Trader0 aka buyer7 is only trader of the bazaar!!!"],
    ),
    (
        "buyer7",
        "trader_died",
        {"peer": "seller6", "traders": ["buyer7", "buyer5"], "left": "several"},
        ["Trader1 aka seller6 is dead!!! Now ['buyer7', 'buyer5'] are the traders of the bazaar!!!"],
    ),
    (
        "buyer0",
        "trader_died",
        {"peer": "seller6", "traders": [], "left": "none"},
        ["Trader1 aka seller6 is dead!!! Now there is no trader in the bazaar!!!"],
    ),
    (
        "buyer0",
        "heard_death",
        {"peer": "seller6", "by": "buyer7"},
        ["buyer0 received death message of seller6 from buyer7!!! resetting trader_queue"],
    ),
    (
        "warehouse",
        "resized",
        {"seats": 2, "by": "seller6", "wait_ms": 310},
        ["Load: orders wait 310 ms; from now on there are 2 traders, as seller6 asked"],
    ),
    ("seller6", "resigned", {}, ["Trader1 aka seller6 resigns"]),
    ("seller6", "stepped_down", {"promised": 2}, ["seller6 is no trader any more"]),
    (
        "buyer7",
        "took_over",
        {"peer": "seller6", "orders": 3, "promised": 1},
        [
            "Trader0 aka buyer7 takes over the queue of seller6: 3 order(s) that its journal does not call closed, "
            "though some may be decided"
        ],
    ),
    (
        "buyer7",
        "unreadable",
        {"peer": "seller6", "since": 3, "reason": "it is not there"},
        ["Trader0 aka buyer7 cannot read the queue of seller6: it is not there"],
    ),
    (
        "warehouse",
        "keeper_named",
        {"peer": "seller6", "keeper": "buyer0"},
        ["buyer0 keeps the queue of Trader1 aka seller6 for an heir"],
    ),
    ("buyer0", "nothing_to_resign", {}, ["buyer0 has no seat to resign"]),
    ("buyer0", "revoked", ORDER, ["buyer0 does not get salt after all"]),
    (
        "seller1",
        "absent",
        {"for_s": 1.25},
        ["seller1 stood still for 1.25 s: it was stopped, or the machine was busy"],
    ),
    (
        "launcher",
        "missed",
        {"fault": "kill:buyer0@9", "reason": "the run ended before"},
        ["Not done: kill:buyer0@9 (the run ended before)"],
    ),
    ("launcher", "fault", {"fault": "kill:trader1@5", "name": "seller6"}, ["Fault: kill:trader1@5"]),
    ("launcher", "fell", {"name": "seller6"}, ["seller6 was killed"]),
    (
        "launcher",
        "fell",
        {"name": "seller6", "how": "ended by itself with status 1"},
        ["seller6 ended by itself with status 1"],
    ),
    ("launcher", "started", {"name": "warehouse", "again": True}, ["warehouse is started again"]),
    ("launcher", "started", {"name": "warehouse", "again": False}, []),
]


@pytest.mark.parametrize(("process", "what", "facts", "sentences"), SAID)
def test_every_sentence_of_the_seed_is_said_word_by_word(
    process: str, what: str, facts: dict[str, Any], sentences: list[str]
) -> None:
    assert told(process, what, **facts) == sentences


def test_no_sentence_is_without_a_test() -> None:
    kinds = {(told[0] if isinstance(told, tuple) else told).kind for told in SENTENCES}
    assert kinds == {what for _, what, _, _ in SAID}


@pytest.mark.parametrize(("cents", "dollars"), [(400, "4"), (640, "6.4"), (719, "7.19"), (5, "0.05"), (0, "0")])
def test_money_is_told_in_dollars_without_needless_zeros(cents: int, dollars: str) -> None:
    (sentence,) = told("seller1", "sold", order="buyer0-0", item="salt", buyer="buyer0", earned=cents)
    assert sentence.endswith(f"and earned {dollars} $")


def test_an_event_that_has_no_sentence_is_not_told() -> None:
    assert told("buyer7", "called", by="buyer2") == []


def test_every_sentence_begins_with_its_time_to_the_microsecond() -> None:
    (sentence,) = Narrator().tell([a_line(1668900000.000042, "buyer0", 1, "seller_loop")])
    assert re.fullmatch(r"2022-11-\d\d \d\d:\d\d:\d\d\.000042 : Executing seller loop", str(sentence))


def test_sentences_come_in_the_order_of_their_time() -> None:
    late, early = a_line(8.0, "buyer0", 1, "election_started"), a_line(7.0, "buyer2", 9, "election_started")
    assert [sentence.process for sentence in Narrator().tell([late], [early])] == ["buyer2", "buyer0"]


def test_events_of_one_moment_come_in_the_order_of_their_clock() -> None:
    histories = [[a_line(7.0, "buyer0", clock, "left", {"item": "salt", "left": clock})] for clock in (3, 1, 2)]
    assert [sentence.text.split()[2] for sentence in Narrator().tell(*histories)] == ["1", "2", "3"]


def test_a_trader_is_known_by_its_seat_from_its_election_on() -> None:
    histories = [[a_line(at, "seller6", 1, "ready_for_registration", {})] for at in (0.5, 9.0)]
    sentences = [s.text for s in Narrator().tell(BEFORE, *histories) if s.kind is events.ReadyForRegistration]
    assert sentences == ["Seller6 is ready for product registration", "Trader1 is ready for product registration"]


def test_who_does_not_know_what_is_in_the_caches_does_not_print_them() -> None:
    learned = a_line(9.0, "seller6", 9, "learned", {"position": 4, "lots": [["seller1-d0", 7]]})
    taken = a_line(9.0, "seller6", 9, "taken", {**ORDER, "to": "cache", "deposit": "seller1-d0", "count": 8})
    assert [sentence.text for sentence in Narrator().tell([learned, taken])] == ["salt is served from cache by Seller6"]
