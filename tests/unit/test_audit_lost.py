"""A machine that died took the last lines of its peers' histories with it: that is excused, and nothing else (J3)."""

from __future__ import annotations

from typing import Any

import pytest

from bazaar.analysis.audit import Evidence, judge
from bazaar.protocol.entries import AdoptEntry, Denial
from tests.trial import (
    DEATH,
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
    without,
)

ADOPTED = all_of(
    done("kill", TRADER, 92),
    also("buyer3", 93, "suspected", peer=TRADER),
    further(*DEATH, AdoptEntry(9, TRADER, 0, "buyer3")),
)
"""The trader died and its queue was taken over, so what it has not done its heir must do."""
UP_TO: dict[str, range] = {name: range(len(list(history)) + 1) for name, history in a_market().histories.items()}


def lost(name: str, lines: int) -> Lie:
    """The process is lost with its machine. So many lines of its history are left."""
    return all_of(fell(name, lost=True), cut(name, lines))


def cut(name: str, lines: int) -> Lie:
    def tell(evidence: Evidence) -> Evidence:
        return changed(evidence, histories={**evidence.histories, name: list(evidence.histories[name])[:lines]})

    return tell


def before(name: str, what: str, order: str) -> int:
    """The number of lines before this one."""
    history = list(a_market().histories[name])
    kept = without(name, what, order)(a_market()).histories[name]
    return next(i for i, (line, other) in enumerate(zip(history, [*kept, None], strict=False)) if line != other)


def fell(name: str, clock: int = 94, **more: bool) -> Lie:
    return also("launcher", clock, "fell", name=name, **more)


@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(("who", "lines"), [(who, lines) for who, up_to in UP_TO.items() for lines in up_to])
def test_wherever_the_history_of_a_lost_process_ends_nobody_is_accused(who: str, lines: int, adopted: bool) -> None:
    evidence = all_of(*[ADOPTED] * adopted, lost(who, lines))(a_market())
    report = judge(evidence)
    assert report.violations == {}
    assert report.verdict == ("held" if report.exercised["orders_answered"] else "unknown")
    (told,) = [note for note in report.notes if "lost with its machine" in note]
    last = list(evidence.histories[who])[-1:]
    assert told.startswith(f"{who} was lost")
    assert f"at clock {last[0].clock if last else 0};" in told


OF_THE_WAREHOUSE = all_of(
    also("warehouse", 1, "born", life=1),
    also("warehouse", 4, "stocked", seller="seller1", item="salt", count=2),
    also("warehouse", 5, "stocked", seller="seller2", item="salt", count=1),
    also("warehouse", 96, "born", life=2),
)
AT_HOME = all_of(
    OF_THE_WAREHOUSE,
    fell("warehouse", lost=True),
    also("launcher", 95, "started", name="warehouse", again=True),
)


@pytest.mark.parametrize("lines", [range(0, 1), range(1, 3), range(2, 3), range(0, 3)])
def test_of_a_warehouse_that_came_home_lines_may_be_missing_in_the_middle(lines: range) -> None:
    def gap(evidence: Evidence) -> Evidence:
        kept = [line for number, line in enumerate(evidence.histories["warehouse"]) if number not in lines]
        return changed(evidence, histories={**evidence.histories, "warehouse": kept})

    report = judge(all_of(AT_HOME, gap)(a_market()))
    assert (report.violations, report.verdict) == ({}, "held")
    (told,) = [note for note in report.notes if "lost with its machine" in note]
    assert told.startswith("warehouse was lost with its machine, and was started again on another one")


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (without("buyer0", "ordered", "buyer0-0"), "only_what_was_asked"),
        (without(TRADER, "taken", "buyer0-0"), "money_adds_up"),
        (event("buyer0", "purchased", "buyer0-0", price=900), "money_adds_up"),
    ],
)
def test_a_warehouse_that_came_home_excuses_nothing(lie: Lie, check: str) -> None:
    assert check in judge(all_of(AT_HOME, lie)(a_market())).violations


@pytest.mark.parametrize(
    ("who", "lines", "excused"),
    [
        ("buyer0", before("buyer0", "ordered", "buyer0-2"), "2 orders"),
        ("buyer0", before("buyer0", "ordered", "buyer0-3"), "1 order"),
        ("buyer0", before("buyer0", "purchased", "buyer0-3"), "nothing that had to be excused"),
        ("seller2", 0, "1 deposit"),
        ("seller2", 1, "nothing that had to be excused"),
        (TRADER, before(TRADER, "traded", "buyer0-1"), "1 share"),
        (TRADER, before(TRADER, "traded", "buyer0-0"), "2 shares"),
    ],
)
def test_what_is_excused_is_counted(who: str, lines: int, excused: str) -> None:
    (told,) = [note for note in judge(all_of(ADOPTED, lost(who, lines))(a_market())).notes if "lost with" in note]
    assert told.endswith(f"known from others: {excused}")


FIRST_ORDERS = before("buyer0", "ordered", "buyer0-2")
UNTRADED = before(TRADER, "traded", "buyer0-1")
BY_HEIR: dict[str, Any] = {"source": "buyer3"}
EARLIER: dict[str, Any] = {"sent": 20}


@pytest.mark.parametrize(
    "lie",
    [
        without(TRADER, "queued", "buyer0-2"),
        event(TRADER, "queued", "buyer0-2", source="seller1"),
        event(TRADER, "queued", "buyer0-2", **EARLIER),
    ],
    ids=["never had it", "from another", "at a time of which the history is there"],
)
def test_an_order_is_excused_only_if_the_trader_that_decided_it_had_it_from_the_lost_buyer_later(lie: Lie) -> None:
    cut_off = lost("buyer0", FIRST_ORDERS)
    assert judge(cut_off(a_market())).violations == {}
    assert "only_what_was_asked" in judge(all_of(cut_off, lie)(a_market())).violations


def test_what_was_only_between_those_that_were_lost_is_excused() -> None:
    both = all_of(
        lost("buyer0", FIRST_ORDERS),
        fell(TRADER, 95, lost=True),
        cut(TRADER, before(TRADER, "queued", "buyer0-1")),
    )
    assert judge(both(a_market())).violations == {}


@pytest.mark.parametrize(
    "lie",
    [
        event("seller1", "sold", "buyer0-1", **BY_HEIR),  # so the heir traded it, and should say so
        event("seller1", "sold", "buyer0-1", **EARLIER),
        without("seller1", "sold", "buyer0-1"),
    ],
)
def test_a_share_that_nobody_kept_is_excused_only_if_the_lost_trader_credited_the_seller(lie: Lie) -> None:
    traded = all_of(ADOPTED, lost(TRADER, UNTRADED))
    assert judge(traded(a_market())).violations == {}
    assert "money_adds_up" in judge(all_of(traded, lie)(a_market())).violations


@pytest.mark.parametrize(
    ("who", "lines", "check"),
    [
        ("buyer0", FIRST_ORDERS, "only_what_was_asked"),
        ("seller2", 0, "deposits_are_booked_as_offered"),
        (TRADER, UNTRADED, "money_adds_up"),
    ],
)
def test_of_a_process_that_was_killed_every_line_is_on_the_disk(who: str, lines: int, check: str) -> None:
    assert check in judge(all_of(ADOPTED, fell(who), cut(who, lines))(a_market())).violations
    assert check in judge(all_of(ADOPTED, fell("buyer3", lost=True), cut(who, lines))(a_market())).violations


@pytest.mark.parametrize(
    ("who", "lie", "check"),
    [
        ("buyer0", event("buyer0", "purchased", "buyer0-0", price=900), "money_adds_up"),
        ("buyer0", without("buyer0", "ordered", "buyer0-0"), "only_what_was_asked"),
        ("buyer0", also("buyer0", 42, "ordered", order="buyer0-9", item="salt", trader=TRADER), "window_kept"),
        (TRADER, also(TRADER, 30, "picked", item="salt"), "traders_neither_buy_nor_sell"),
        (TRADER, without(TRADER, "taken", "buyer0-0"), "money_adds_up"),
    ],
)
def test_what_is_there_is_judged_like_any_other_history(who: str, lie: Lie, check: str) -> None:
    assert check in judge(all_of(lie, fell(who, lost=True))(a_market())).violations


def test_a_unit_that_went_to_a_lost_buyer_may_be_missing_to_others() -> None:
    """seller1 had two units. One went to an order after the last line of buyer0, so buyer3 rightly found nothing."""
    market = all_of(
        promising_more,
        without(TRADER, "queued", "buyer0-3"),
        lambda evidence: changed(evidence, entries=[*list(evidence.entries)[:2], *_renumbered(evidence)], stock=None),
        cut("seller2", 0),
        also(TRADER, 98, "queued", order="buyer3-0", item="salt", buyer="buyer3", clock=96, lane="salt"),
        also(TRADER, 99, "taken", order="buyer3-0", to="warehouse"),
        also("buyer3", 95, "ordered", order="buyer3-0", item="salt", trader=TRADER),
        also("buyer3", 101, "found_unavailable", order="buyer3-0", item="salt"),
    )
    gone = judge(all_of(market, lost("buyer0", before("buyer0", "ordered", "buyer0-1")))(a_market()))
    assert gone.violations == {}
    never_asked = all_of(market, cut("buyer0", before("buyer0", "ordered", "buyer0-1")))
    assert "one_stock_explains_all_answers" in judge(never_asked(a_market())).violations


def _renumbered(evidence: Evidence) -> list[Any]:
    """The orders of the market without the deposit of seller2 and the order that was over-sold, and one of buyer3."""
    sold_first, sold_second, denied = list(evidence.entries)[3:6]
    entries = [sold_first, sold_second, denied, Denial(0, "buyer3-0", "buyer3", "salt", "unavailable", 96, TRADER)]
    return [changed(entry, position=position) for position, entry in enumerate(entries, 2)]


def settled_by_the_heir(evidence: Evidence) -> Evidence:
    """buyer0 and its trader are lost before buyer0-1. The heir keeps a promise, denies an open order, takes a promise back."""
    entries = list(evidence.entries)
    seated, deposed = DEATH
    settled = [
        seated,
        deposed,
        AdoptEntry(0, TRADER, 0, "buyer3"),
        *(changed(each, trader="buyer3") for each in entries[4:]),
    ]
    entries[4:] = [changed(each, position=position) for position, each in enumerate(settled, 4)]
    gone = all_of(
        lost("buyer0", before("buyer0", "ordered", "buyer0-1")),
        fell(TRADER, 95, lost=True),
        cut(TRADER, before(TRADER, "queued", "buyer0-1")),
        also("buyer3", 93, "suspected", peer=TRADER),
        also("buyer3", 97, "inherited", order="buyer0-2", item="fish", buyer="buyer0", clock=61, lane="fish"),
        also("buyer3", 98, "took_over", peer=TRADER, orders=1, promised=2),
    )
    return changed(gone(evidence), entries=entries)


def test_what_an_heir_has_from_a_lost_trader_is_excused() -> None:
    assert "only_what_was_asked" not in judge(settled_by_the_heir(a_market())).violations


@pytest.mark.parametrize(
    "lie",
    [
        entry(7, cached=False),  # no promise, and so an order that the heir should have inherited
        without("buyer3", "inherited", "buyer0-2"),
        entry(9, reason="unavailable"),
        entry(6, trader="seller2"),  # another had the queue
    ],
)
def test_what_an_heir_has_from_nobody_is_not_excused(lie: Lie) -> None:
    assert "only_what_was_asked" in judge(lie(settled_by_the_heir(a_market()))).violations
