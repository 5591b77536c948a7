"""The caches that are printed: from hand-made events, and beside the caches of real traders in a simulated world."""

from __future__ import annotations

import json
from typing import Any

import pytest

import bazaar.views.caches
from bazaar.views.caches import MOST_A_SECOND, MOST_SHOWN, MOST_SOLD_OUT, Caches
from tests.builders import a_line

TRADER = "buyer7"


def offered(number: int, price: int = 900) -> tuple[str, str, dict[str, Any]]:
    return (
        "seller1",
        "offered",
        {"deposit": f"seller1-d{number}", "item": "boar", "count": 10, "price": price, "trader": ""},
    )


def learned(*lots: tuple[int, int]) -> tuple[str, str, dict[str, Any]]:
    return TRADER, "learned", {"position": 4, "lots": [[f"seller1-d{number}", count] for number, count in lots]}


def pushed(*lots: tuple[int, int]) -> tuple[str, str, dict[str, Any]]:
    return TRADER, "pushed", {"to": "buyer6", "lots": learned(*lots)[2]["lots"]}


def heard(*lots: tuple[int, int]) -> tuple[str, str, dict[str, Any]]:
    return TRADER, "heard_push", {"neighbor": "buyer6", "lots": learned(*lots)[2]["lots"]}


def taken(number: int, count: int) -> tuple[str, str, dict[str, Any]]:
    facts = {"order": "buyer0-0", "item": "boar", "to": "cache", "deposit": f"seller1-d{number}", "count": count}
    return TRADER, "taken", facts


SEATED = (TRADER, "seated", {"since": 9})


def caches_after(*happened: tuple[str, str, dict[str, Any]]) -> Caches:
    caches = Caches()
    for clock, (process, what, facts) in enumerate(happened):
        caches.take(a_line(1.0, process, clock, what, facts))
    return caches


@pytest.mark.parametrize(
    ("happened", "left"),
    [
        ([], {}),
        ([learned((0, 10), (1, 4))], {0: 10, 1: 4}),
        ([learned((0, 10)), taken(0, 10)], {0: 9}),
        ([learned((0, 10)), taken(0, 1)], {}),
        ([learned((0, 10)), pushed((0, 6))], {0: 6}),
        ([learned((0, 10)), learned((0, 0), (1, 3))], {1: 3}),
        ([learned((0, 10)), heard((0, 6))], {0: 6}),
        ([learned((0, 6)), heard((0, 10))], {0: 6}),  # of two counts the lower is kept
        ([heard((0, 10))], {0: 10}),
        ([learned((0, 0)), heard((0, 10))], {}),
        ([learned((0, 0)), learned((0, 3)), heard((0, 10))], {0: 3}),
        ([learned((0, 10)), SEATED], {}),  # a new tenure begins with an empty cache
    ],
)
def test_what_a_trader_believes_to_be_left(
    happened: list[tuple[str, str, dict[str, Any]]], left: dict[int, int]
) -> None:
    printed = json.loads(caches_after(offered(0), offered(1), *happened).printed(TRADER, 1.0))
    assert {(lot["seller_id"], lot["item"]) for lot in printed} <= {("seller1", "boar")}
    assert [lot["count"] for lot in printed] == list(left.values())


def test_a_lot_looks_as_in_the_original() -> None:
    whole = caches_after(offered(0), learned((0, 7))).printed(TRADER, 1.0)
    assert whole == '[{"seller_id": "seller1", "count": 7, "price": 9, "item": "boar"}]'
    broken = caches_after(offered(0, price=950), learned((0, 7))).printed(TRADER, 1.0)
    assert '"price": 9.5, ' in broken


def test_what_no_history_tells_is_left_out() -> None:
    assert caches_after(learned((0, 7))).printed(TRADER, 1.0) == '[{"seller_id": "seller1", "count": 7}]'


def test_a_cache_is_printed_only_so_often_in_a_second() -> None:
    caches = caches_after(learned((0, 7)))
    printed = [caches.printed(TRADER, 5.0 + n / 1000) for n in range(MOST_A_SECOND + 5)]
    assert [bool(text) for text in printed] == [True] * MOST_A_SECOND + [False] * 5
    assert caches.printed(TRADER, 6.0)  # in the next
    assert caches.printed("buyer6", 5.5)  # another trader


def test_a_long_print_out_is_cut_and_says_so() -> None:
    printed = caches_after(learned(*((number, 1) for number in range(MOST_SHOWN + 3)))).printed(TRADER, 1.0)
    lots, _, more = printed.rpartition(" and ")
    assert (len(json.loads(lots)), more) == (MOST_SHOWN, "3 more")


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bazaar.views.caches, "MOST_OFFERED", 3)
    caches = caches_after(*map(offered, range(5)), learned((1, 7), (4, 2)))
    assert caches.printed(TRADER, 1.0).startswith('[{"seller_id": "seller1", "count": 7}, {')  # forgotten: the oldest
    caches = caches_after(learned(*((number, 0) for number in range(MOST_SOLD_OUT + 1))), heard((0, 5), (1, 5)))
    assert [lot["count"] for lot in json.loads(caches.printed(TRADER, 1.0))] == [5]
