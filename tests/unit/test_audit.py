"""A small market that holds, and for each check one lie that it must catch.

peers    buyer0, seller1, seller2, buyer3 (a buyer that is never elected), buyer4 (trader0), one buyer order at a time
ledger   0 buyer4 appointed; 1 seller1-d0: two salt at clock 10; 2 seller2-d0: one salt at clock 12
         3 buyer0-0 sold from seller1-d0 by the warehouse; 4 buyer0-1 promised by the cache, from seller1-d0
         5 buyer0-2 (fish) unavailable; 6 buyer0-3 promised by the cache from the empty seller1-d0, oversold
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from bazaar.audit import CHECKS, MOST_STORIES, Evidence, Report, judge
from bazaar.history import Happening
from bazaar.plan import Plan
from bazaar.records import AdoptEntry, AnyEntry, Appoint, Denial, DeposeEntry, Grant, Item, Return
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order, some_settings

NAMES = ("buyer0", "seller1", "seller2", "buyer3", "buyer4")
TRADER = "buyer4"
FIRST, SECOND = a_lot("seller1-d0", count=2, clock=10), a_lot("seller2-d0", count=1, clock=12)
ENTRIES: tuple[AnyEntry, ...] = (
    Appoint(0, TRADER, 0),
    a_deposit_entry(1, FIRST, TRADER),
    a_deposit_entry(2, SECOND, TRADER),
    a_sale(3, an_order("buyer0-0", clock=21), FIRST, TRADER),
    a_sale(4, an_order("buyer0-1", clock=41), FIRST, TRADER, cached=True),
    Denial(5, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER),
    Denial(6, "buyer0-3", "buyer0", "salt", "oversold", 81, TRADER),
)


class Script:
    """Writes the history of one process, with its own clock."""

    def __init__(self, process: str) -> None:
        self.process = process
        self.history: list[Happening] = []

    def note(self, clock: int, what: str, by: tuple[str, int] | None = None, /, **facts: Any) -> None:
        source, sent = by or (None, None)
        self.history.append(Happening(clock / 100, self.process, clock, what, facts, source, sent))


def histories() -> dict[str, list[Happening]]:
    buyer, first, second, trader = Script("buyer0"), Script("seller1"), Script("seller2"), Script(TRADER)
    first.note(5, "registered", deposit="seller1-d0", item="salt", trader=TRADER)
    second.note(6, "registered", deposit="seller2-d0", item="salt", trader=TRADER)
    trader.note(1, "joined")
    trader.note(2, "elected", seat=0)
    for serial, item in enumerate(("salt", "salt", "fish", "salt")):
        order, now = f"buyer0-{serial}", 20 * (serial + 1)
        cached = serial in (1, 3)
        buyer.note(now, "ordered", order=order, item=item, trader=TRADER)
        trader.note(
            now + 3, "queued", ("buyer0", now + 1), order=order, item=item, buyer="buyer0", clock=now + 1, lane=item
        )
        trader.note(now + 4, "taken", order=order, item=item, to="cache" if cached else "warehouse")
        if item == "fish":
            trader.note(now + 5, "unavailable", order=order, item=item)
            buyer.note(now + 8, "found_unavailable", (TRADER, now + 6), order=order, item=item)
            continue
        buyer.note(now + 8, "purchased", (TRADER, now + 6), order=order, item=item, seller="seller1", price=800)
        if serial == 3:
            buyer.note(now + 10, "revoked", (TRADER, now + 7), order=order, item=item)
            continue
        served_from = "cache" if cached else "warehouse"
        trader.note(now + 7, "traded", order=order, item=item, seller="seller1", price=800, by=served_from)
        first.note(now + 10, "sold", (TRADER, now + 9), order=order, item=item, buyer="buyer0", earned=640)
    return {script.process: script.history for script in (buyer, first, second, trader)}


def a_market(**settings: Any) -> Evidence:
    goods: dict[str, Item] = dict.fromkeys(NAMES, "salt")
    plan = Plan(some_settings(peers=5, traders=1, **settings), NAMES, goods, dict.fromkeys(NAMES, ()), "weak")
    return Evidence(plan, ENTRIES, histories(), {("seller1", "salt"): 0, ("seller2", "salt"): 1})


R = TypeVar("R", bound=msgspec.Struct)


def changed(record: R, **fields: Any) -> R:
    return msgspec.structs.replace(record, **fields)


# ------------------------------------------------------------------------------------------- the lies
Lie = Callable[[Evidence], Evidence]


def entry(position: int, **fields: Any) -> Lie:
    """The ledger's entry is another."""

    def tell(evidence: Evidence) -> Evidence:
        entries = list(evidence.entries)
        entries[position] = changed(entries[position], **fields)
        return changed(evidence, entries=entries)

    return tell


def further(*more: AnyEntry) -> Lie:
    """The ledger goes on."""
    return lambda evidence: changed(evidence, entries=[*evidence.entries, *more])


def stock(**counts: int) -> Lie:
    """The warehouse says that so much salt is left."""
    said = {(seller, "salt"): count for seller, count in counts.items()}
    return lambda evidence: changed(evidence, stock={**evidence.stock, **said})


def event(process: str, what: str, order: str | None, /, **fields: Any) -> Lie:
    """What happened to this order was different: `fields` replace the event's, or else its facts."""

    def tell(evidence: Evidence) -> Evidence:
        def told(happened: Happening) -> Happening:
            if (happened.what, happened.facts.get("order")) != (what, order):
                return happened
            own = {name: value for name, value in fields.items() if name in Happening.__struct_fields__}
            facts = {name: value for name, value in fields.items() if name not in own}
            return changed(happened, facts={**happened.facts, **facts}, **own)

        history = sorted(map(told, evidence.histories[process]), key=lambda happened: happened.clock)
        assert history != evidence.histories[process]
        return changed(evidence, histories={**evidence.histories, process: history})

    return tell


def without(process: str, what: str, order: str) -> Lie:
    """It never happened."""

    def tell(evidence: Evidence) -> Evidence:
        kept = [h for h in evidence.histories[process] if (h.what, h.facts.get("order")) != (what, order)]
        return changed(evidence, histories={**evidence.histories, process: kept})

    return tell


def also(process: str, clock: int, what: str, /, **facts: Any) -> Lie:
    """Something more happened."""

    def tell(evidence: Evidence) -> Evidence:
        history = [*evidence.histories.get(process, ()), Happening(clock / 100, process, clock, what, facts)]
        history.sort(key=lambda happened: happened.clock)
        return changed(evidence, histories={**evidence.histories, process: history})

    return tell


def all_of(*lies: Lie) -> Lie:
    def tell(evidence: Evidence) -> Evidence:
        for lie in lies:
            evidence = lie(evidence)
        return evidence

    return tell


def a_third_sale_from_an_empty_lot() -> Lie:
    """buyer3 asks, is sold and pays for what is not there; the warehouse believes in a stock of -1."""
    return all_of(
        further(a_sale(7, an_order("buyer3-0", clock=91), FIRST, TRADER, cached=True)),
        stock(seller1=-1),
        also("buyer3", 90, "ordered", order="buyer3-0", item="salt", trader=TRADER),
        also("buyer3", 98, "purchased", order="buyer3-0", item="salt", seller="seller1", price=800),
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


DEATH: tuple[AnyEntry, ...] = (Appoint(7, "buyer3", 1), DeposeEntry(8, TRADER, 0, 0, "buyer3"))


def promised(evidence: Evidence) -> Evidence:
    """The cache policy had promised more than it kept."""
    return changed(evidence, plan=changed(evidence.plan, promises="strong"))


STRONG = {"strong_caches_take_nothing_back", "strong_caches_refuse_nothing_in_stock"}
"""What catches a market of the weak cache that had promised to be strong: buyer0-3 is revoked, though salt is left."""
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
        {"lowest_deposit_first", "no_product_below_zero"},
        [f"a grant to {TRADER}", "seller1-d0"],
    ),
    ("strong_caches_take_nothing_back", promised, STRONG, ["buyer0-3"]),
    ("strong_caches_refuse_nothing_in_stock", promised, STRONG, ["buyer0-3", "1 salt"]),
    ("goods_add_up", stock(seller2=3), {"goods_add_up"}, ["seller2", "1 salt", "3"]),
    ("goods_add_up", stock(seller9=1), {"goods_add_up"}, ["seller9"]),
    ("goods_add_up", entry(2, count=2), {"goods_add_up"}, ["seller2", "2 salt"]),
    (
        "lowest_deposit_first",
        entry(2, clock=9),
        {"lowest_deposit_first"},
        ["buyer0-0", "seller1-d0", "seller2-d0 (clock 9)"],
    ),
    ("lowest_deposit_first", entry(4, deposit_id="seller2-d0", cached=False), {"lowest_deposit_first"}, ["buyer0-1"]),
    ("money_adds_up", event("seller1", "sold", "buyer0-0", earned=641), {"money_adds_up"}, ["buyer0-0", "641"]),
    ("money_adds_up", without("seller1", "sold", "buyer0-1"), {"money_adds_up"}, ["buyer0-1"]),
    ("money_adds_up", event(TRADER, "traded", "buyer0-0", price=900), {"money_adds_up"}, ["buyer0-0", "kept 180"]),
    (
        "each_order_decided_once",
        further(Denial(7, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER)),
        {"each_order_decided_once"},
        ["buyer0-2", "entry 5", "by 7"],
    ),
    (
        "each_order_decided_once",
        all_of(further(a_sale(7, an_order("buyer0-0", clock=21), SECOND, TRADER)), stock(seller2=0)),
        {"each_order_decided_once", "buyers_were_told_the_truth"},
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
        event("buyer0", "purchased", "buyer0-1", what="found_unavailable"),
        {"buyers_were_told_the_truth", "money_adds_up"},
        ["buyer0-1", "found_unavailable", "entry 4"],
    ),
    (
        "buyers_were_told_the_truth",
        without("buyer0", "revoked", "buyer0-3"),
        {"buyers_were_told_the_truth", "money_adds_up"},
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
        {"only_traders_trade", "goods_add_up"},
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
]


@pytest.mark.parametrize(("check", "lie", "caught_by", "named"), LIES, ids=[check for check, *_ in LIES])
def test_every_check_catches_its_lie_and_tells_who_and_which(
    check: str, lie: Lie, caught_by: set[str], named: list[str]
) -> None:
    report = judge(lie(a_market()))
    assert set(report.violations) == caught_by, report.violations
    assert report.verdict == "violated"
    assert report.audit == {name: name not in caught_by for name in CHECKS}
    story = report.violations[check][0]
    assert all(word in story for word in named), story
    assert "\n" not in story


def test_no_check_is_without_a_lie() -> None:
    assert {check for check, *_ in LIES} == set(CHECKS)


# ------------------------------------------------------------------------------------------ the truth
def test_an_honest_market_holds_and_says_what_it_exercised() -> None:
    report = judge(a_market())
    assert report.violations == {}
    assert report.verdict == "held"
    assert report.audit == dict.fromkeys(CHECKS, True)
    assert report.exercised == {
        "deposits": 2,
        "sales": 2,
        "denials": 2,
        "elections_won": 1,
        "traders_deposed": 0,
        "queues_taken_over": 0,
        "orders_asked": 4,
        "orders_answered": 4,
        "orders_repeated": 0,
        "sales_from_cache": 1,
        "messages_checked": 11,
        "orders_unanswered": 0,
        "faults": 0,
        "faults_that_hit_the_busy": 0,
        "orders_hit_by_faults": 0,
    }


def fault(name: str, clock: int) -> Lie:
    """The launcher did something to `name`."""
    return also("launcher", clock, "fault", fault=f"pause:{name}@1+2", kind="pause", name=name, for_s=2.0)


@pytest.mark.parametrize(
    ("faults", "hit", "orders"),
    [
        ([fault(TRADER, 45)], 1, 1),  # buyer0-1 was placed at 40 and answered at 48
        ([fault("buyer0", 45)], 1, 1),
        ([fault("warehouse", 45)], 1, 1),
        ([fault("mongod", 45), fault(TRADER, 65)], 2, 2),
        ([fault("buyer3", 45)], 0, 0),
        ([fault(TRADER, 50), fault("warehouse", 51)], 0, 0),  # between two orders
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
    evidence = also("seller2", 90, "traded", order="buyer0-0", item="salt", seller="seller1", price=800, by="warehouse")
    assert judge(evidence(a_market())).verdict == "held"


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
    assert len(judge(further(*claims)(a_market())).violations["only_traders_trade"]) == MOST_STORIES


# ------------------------------------------------------------------------------------------ deaths
def test_a_queue_that_was_taken_over_once_holds_and_is_counted() -> None:
    report = judge(further(*DEATH, AdoptEntry(9, TRADER, 0, "buyer3"))(a_market()))
    assert report.violations == {}
    assert (report.exercised["traders_deposed"], report.exercised["queues_taken_over"]) == (1, 1)


def test_where_nobody_is_left_nobody_takes_over() -> None:
    assert judge(further(DeposeEntry(7, TRADER, 0, 0, "buyer0"))(a_market())).violations == {}


@pytest.mark.parametrize(
    ("who", "lie", "check"),
    [
        (
            "buyer0",
            also("buyer0", 95, "ordered", order="buyer0-4", item="salt", trader=TRADER),
            "no_order_lost",
        ),
        ("buyer0", without("buyer0", "purchased", "buyer0-0"), "no_order_lost"),
        ("buyer0", without("buyer0", "revoked", "buyer0-3"), "buyers_were_told_the_truth"),
        ("seller1", without("seller1", "sold", "buyer0-1"), "money_adds_up"),
        (TRADER, without(TRADER, "traded", "buyer0-0"), "money_adds_up"),
    ],
)
def test_what_a_killed_process_had_not_written_down_is_excused_and_nobody_elses(who: str, lie: Lie, check: str) -> None:
    told = lie(a_market())
    others = frozenset({"buyer0", "seller1", "seller2", "buyer3", TRADER, "warehouse"} - {who})
    assert judge(changed(told, killed=frozenset({who}))).violations.keys() - {"window_kept"} == set()
    assert check in judge(told).violations
    assert check in judge(changed(told, killed=others)).violations


LEDGER_LIES = [
    ("no_product_below_zero", a_third_sale_from_an_empty_lot()),
    ("goods_add_up", stock(seller2=3)),
    ("each_order_decided_once", further(Denial(7, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER))),
    ("only_what_was_asked", entry(5, item="boar")),
    ("only_traders_trade", entry(5, trader="buyer3")),
    ("queues_were_taken_over", further(*DEATH)),
]


@pytest.mark.parametrize(("check", "lie"), LEDGER_LIES)
def test_what_the_ledger_says_is_excused_by_nobodys_death(check: str, lie: Lie) -> None:
    everybody = frozenset({*NAMES, "warehouse"})
    assert check in judge(changed(lie(a_market()), killed=everybody)).violations
