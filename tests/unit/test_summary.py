from __future__ import annotations

from typing import Any

import pytest

from bazaar.audit import Evidence, Report
from bazaar.history import Happening
from bazaar.records import AnyEntry, Appoint, Denial, Sale
from bazaar.summary import Summary, summarize
from tests.builders import a_deposit_entry, a_lot, a_plan, a_sale, an_order

REPORT = Report("held", {"goods_add_up": True}, {}, {})
LAUNCHED_AT = 100.0


def a_summary(*happenings: Happening, entries: tuple[AnyEntry, ...] = ()) -> Summary:
    histories: dict[str, list[Happening]] = {}
    for happened in happenings:
        histories.setdefault(happened.process, []).append(happened)
    return summarize(Evidence(a_plan(seed=4), entries, histories, {}), REPORT, LAUNCHED_AT)


def at(time: float, what: str, order: str = "buyer0-0", **facts: Any) -> Happening:
    return Happening(time, order.partition("-")[0], int(time), what, {"order": order, **facts})


def a_denial(position: int, item: Any = "salt") -> Denial:
    return Denial(position, f"buyer0-{position}", "buyer0", item, "unavailable", 1, "buyer7")


def test_every_order_is_in_one_of_four_places() -> None:
    requests = a_summary(
        *(at(101.0, "ordered", f"buyer0-{serial}") for serial in range(5)),
        at(102.0, "purchased", "buyer0-0"),
        at(102.0, "found_unavailable", "buyer0-1"),
        at(102.0, "purchased", "buyer0-2"),
        at(103.0, "revoked", "buyer0-2"),
        at(103.0, "revoked", "buyer0-3"),
    ).requests
    assert (requests.asked, requests.purchased, requests.unavailable) == (5, 1, 1)
    assert (requests.oversold, requests.unanswered) == (2, 1)


def test_a_refusal_though_something_was_in_stock_then_is_undersold() -> None:
    lot = a_lot(count=1)
    entries = (
        a_denial(0),
        a_deposit_entry(1, lot),
        a_denial(2, "fish"),
        a_denial(3),  # this one
        a_sale(4, an_order("buyer0-9"), lot),
        a_denial(5),
    )
    assert a_summary(entries=entries).requests.undersold == 1


def test_times_are_counted_from_the_launch_and_from_the_first_order() -> None:
    summary = a_summary(
        at(103.0, "ordered"),
        at(103.5, "purchased"),
        at(104.0, "ordered", "buyer2-0"),
        at(107.0, "found_unavailable", "buyer2-0"),
        entries=(a_sale(0, an_order(), a_lot()), a_sale(1, an_order("buyer0-1"), a_lot())),
    )
    assert (summary.startup_s, summary.trading_s) == (3.0, 4.0)
    assert (summary.goods_shipped, summary.throughput_per_s) == (2, 0.5)


def test_latency_runs_to_the_first_answer() -> None:
    latency = a_summary(at(101.0, "ordered"), at(101.25, "purchased"), at(109.0, "revoked")).latency_ms
    assert (latency.p50, latency.p99) == (250.0, 250.0)


@pytest.mark.parametrize(
    ("orders", "p50", "p99"), [(1, 1.0, 1.0), (4, 2.0, 4.0), (100, 50.0, 99.0), (200, 100.0, 198.0)]
)
def test_percentiles_are_by_nearest_rank(orders: int, p50: float, p99: float) -> None:
    happenings = []
    for serial in range(orders):
        waited_s = (orders - serial) / 1000
        happenings += [at(101.0, "ordered", f"buyer0-{serial}"), at(101.0 + waited_s, "purchased", f"buyer0-{serial}")]
    latency = a_summary(*happenings).latency_ms
    assert [latency.p50, latency.p99] == pytest.approx([p50, p99], abs=0.01)


def test_traders_are_named_in_the_order_of_their_election() -> None:
    entries = (Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1), Appoint(2, "buyer5", 2))
    started = [Happening(101.0, "buyer2", 1, "election_started"), Happening(102.0, "buyer0", 1, "election_started")]
    summary = a_summary(*started, entries=entries)
    assert summary.traders == ["buyer7", "seller6", "buyer5"]
    assert summary.elections == 2


def test_a_run_in_which_nothing_was_asked_has_figures_of_zero() -> None:
    summary = a_summary()
    assert summary.requests.asked == summary.goods_shipped == 0
    assert (summary.trading_s, summary.throughput_per_s, summary.startup_s, summary.latency_ms.p99) == (0, 0, 0, 0)


def test_settings_and_verdict_are_in_it() -> None:
    summary = a_summary()
    assert (summary.seed, summary.peers, summary.cache, summary.pace) == (4, 8, "weak", "fast")
    assert (summary.verdict, summary.audit) == ("held", {"goods_add_up": True})


def test_its_fields_are_those_that_scripts_depend_on() -> None:
    assert Summary.__struct_fields__ == (
        *("verdict", "seed", "peers", "traders", "cache", "pace", "requests", "goods_shipped", "trading_s"),
        *("throughput_per_s", "latency_ms", "startup_s", "elections", "faults", "audit"),
    )


def test_a_sale_is_shipped_whoever_heard_of_it() -> None:
    sale: Sale = a_sale(0, an_order(), a_lot())
    assert a_summary(entries=(sale,)).goods_shipped == 1


# ------------------------------------------------------------------------------------------------ faults
def a_fault(time: float, text: str, name: str) -> Happening:
    kind = text.partition(":")[0]
    return Happening(time, "launcher", int(time), "fault", {"fault": text, "kind": kind, "name": name, "for_s": 0.0})


def a_death(time: float, peer: str, by: str) -> Happening:
    return Happening(time, by, int(time), "trader_died", {"peer": peer, "traders": [by], "left": "alone"})


def a_trade(time: float, trader: str) -> Happening:
    return Happening(time, trader, int(time), "traded", {"order": "buyer0-0", "by": "warehouse"})


def test_a_fault_is_told_with_how_long_it_took_to_notice_and_to_sell_again() -> None:
    summary = a_summary(
        at(101.0, "ordered"),
        a_fault(105.0, "kill:trader0@4", "buyer7"),
        a_trade(105.5, "seller6"),  # goes on selling, but has not noticed yet
        a_death(107.25, "buyer7", by="seller6"),
        a_trade(107.3, "buyer7"),  # its own last one, late
        a_trade(108.0, "seller6"),
    )
    assert summary.faults == [{"what": "kill:trader0@4", "at_s": 4.0, "detected_s": 2.25, "recovered_s": 3.0}]


def test_a_fault_that_nobody_noticed_has_no_such_figures() -> None:
    summary = a_summary(at(101.0, "ordered"), a_fault(102.0, "pause:buyer0@1+2", "buyer0"), a_trade(103.0, "buyer7"))
    assert summary.faults == [{"what": "pause:buyer0@1+2", "at_s": 1.0, "detected_s": None, "recovered_s": None}]


def test_after_the_death_of_the_last_one_there_may_be_no_survivor_to_sell() -> None:
    summary = a_summary(
        at(101.0, "ordered"), a_fault(102.0, "kill:trader0@1", "buyer7"), a_death(104.0, "buyer7", by="buyer0")
    )
    assert summary.faults == [{"what": "kill:trader0@1", "at_s": 1.0, "detected_s": 2.0, "recovered_s": None}]


def test_faults_are_told_in_their_order_each_with_its_own_death() -> None:
    summary = a_summary(
        at(101.0, "ordered"),
        a_fault(102.0, "kill:trader0@1", "buyer7"),
        a_fault(110.0, "kill:trader1@9", "seller6"),
        a_death(104.0, "buyer7", by="buyer5"),
        a_death(113.0, "seller6", by="buyer5"),
    )
    assert [(fault["what"], fault["detected_s"]) for fault in summary.faults] == [
        ("kill:trader0@1", 2.0),
        ("kill:trader1@9", 3.0),
    ]


def test_without_faults_there_are_none() -> None:
    assert a_summary(at(101.0, "ordered")).faults == []
