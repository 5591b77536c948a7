from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bazaar.analysis.audit import Evidence, Report
from bazaar.analysis.summary import Deposal, Summary, summarize
from bazaar.protocol.entries import AnyEntry, Appoint, Denial, DeposeEntry, Sale
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded
from tests.builders import a_deposit_entry, a_line, a_lot, a_plan, a_sale, an_order

REPORT = Report("held", {"goods_add_up": True}, {}, {})
LAUNCHED_AT = 100.0


def a_summary(*happenings: Recorded[Event], entries: tuple[AnyEntry, ...] = (), requests: int | None = None) -> Summary:
    histories: dict[str, list[Recorded[Event]]] = {}
    for happened in happenings:
        histories.setdefault(happened.process, []).append(happened)
    return summarize(Evidence(a_plan(seed=4, requests=requests), entries, histories, {}), REPORT, LAUNCHED_AT)


def at(time: float, what: str, order: str = "buyer0-0", **facts: Any) -> Recorded[Event]:
    return a_line(time, order.partition("-")[0], int(time), what, {"order": order, **facts})


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


def opened(time: float, process: str = "buyer7") -> Recorded[Event]:
    return a_line(time, process, int(time), "opened", {"traders": [process]})


def test_trading_is_counted_from_the_opening_and_the_start_from_the_launch() -> None:
    summary = a_summary(
        opened(103.25, "seller6"),
        opened(103.0),
        at(103.5, "ordered"),
        at(104.0, "purchased"),
        at(104.0, "ordered", "buyer2-0"),
        at(107.0, "found_unavailable", "buyer2-0"),
        entries=(a_sale(0, an_order(), a_lot()), a_sale(1, an_order("buyer0-1"), a_lot())),
    )
    assert (summary.startup_s, summary.trading_s) == (3.5, 4.0)
    assert (summary.goods_shipped, summary.throughput_per_s) == (2, 0.5)


@pytest.mark.parametrize(
    ("requests", "trading_s", "throughput"),
    [
        (None, 5.0, 0.2),  # it was for a time
        (1, 0.001, 1000.0),  # one order was asked for, and was answered after a millisecond
        (3, 5.0, 0.2),  # three were, and Ctrl-C came before
    ],
)
def test_trading_lasts_until_it_is_ended_or_all_that_was_asked_for_is_answered(
    requests: int | None, trading_s: float, throughput: float
) -> None:
    summary = a_summary(
        opened(103.0),
        at(103.0, "ordered"),
        at(103.001, "purchased"),
        at(104.0, "ordered", "buyer2-0"),
        a_line(108.0, "launcher", 9, "closing"),
        entries=(a_sale(0, an_order(), a_lot()),),
        requests=requests,
    )
    assert (summary.trading_s, summary.throughput_per_s) == (trading_s, throughput)


def test_a_market_in_which_nobody_ordered_before_it_was_ended_has_not_traded() -> None:
    assert a_summary(opened(103.0), a_line(104.0, "launcher", 9, "closing")).trading_s == 0.0


def test_of_a_market_that_never_opened_trading_is_counted_from_the_first_order() -> None:
    assert a_summary(at(103.0, "ordered"), at(103.5, "purchased")).trading_s == 0.5


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
    started = [a_line(101.0, "buyer2", 1, "election_started"), a_line(102.0, "buyer0", 1, "election_started")]
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


def test_its_fields_are_those_that_scripts_depend_on_and_more() -> None:
    assert Summary.__struct_fields__[:15] == (
        *("verdict", "seed", "peers", "traders", "cache", "pace", "requests", "goods_shipped", "trading_s"),
        *("throughput_per_s", "latency_ms", "startup_s", "elections", "faults", "audit"),
    )


def test_a_sale_is_shipped_whoever_heard_of_it() -> None:
    sale: Sale = a_sale(0, an_order(), a_lot())
    assert a_summary(entries=(sale,)).goods_shipped == 1


def test_an_order_that_is_corrected_counts_once_as_what_it_came_to() -> None:
    summary = a_summary(
        at(101.0, "ordered"),
        at(102.0, "purchased"),
        at(103.0, "found_unavailable"),
        at(104.0, "purchased"),
        at(101.0, "ordered", "buyer0-1"),
        at(101.5, "found_unavailable", "buyer0-1"),
        at(109.0, "purchased", "buyer0-1"),
        at(109.5, "revoked", "buyer0-1"),
        at(109.5, "purchased", "buyer0-2"),  # that nobody asked
    )
    requests = summary.requests
    assert (requests.asked, requests.purchased, requests.unavailable, requests.oversold) == (2, 1, 0, 1)
    assert summary.latency_ms.p99 == 1000.0


# ------------------------------------------------------------------------------------ money, and the bench
def test_the_trader_keeps_a_fifth_and_the_seller_earns_the_rest() -> None:
    dear, odd = a_lot(price_cents=800), a_lot("seller3-d0", price_cents=599)
    entries = (
        a_sale(0, an_order("buyer0-0"), dear),
        a_sale(1, an_order("buyer0-1"), dear, trader="seller6"),
        a_sale(2, an_order("buyer0-2"), odd, trader="seller6"),
    )
    earnings = a_summary(entries=entries).earnings
    assert earnings.sellers == {"seller1": 1280, "seller3": 479}
    assert earnings.traders == {"buyer7": 160, "seller6": 280}


def noted(time: float, process: str, what: str, **facts: Any) -> Recorded[Event]:
    return a_line(time, process, int(time), what, facts)


BENCH = (Appoint(0, "buyer7", 0), Appoint(1, "seller6", 1), Appoint(2, "buyer5", 2))


def test_who_was_deposed_when_and_why() -> None:
    summary = a_summary(
        opened(110.0),
        noted(112.0, "launcher", "fell", name="buyer7"),
        noted(114.0, "warehouse", "deposed", peer="buyer7", seat=0),
        noted(115.0, "warehouse", "deposed", peer="seller6", seat=1),
        noted(116.0, "warehouse", "deposed", peer="buyer5", seat=2),
        entries=(
            *BENCH,
            DeposeEntry(3, "buyer7", 0, 0, by="seller6"),
            DeposeEntry(4, "seller6", 1, 1, by="seller6"),
            DeposeEntry(5, "buyer5", 2, 2, by="buyer0"),
            Appoint(6, "buyer4", 0),
        ),
    )
    assert summary.traders == ["buyer7", "seller6", "buyer5", "buyer4"]
    assert summary.traders_at_end == ["buyer4"]
    assert summary.deposed == [
        Deposal("buyer7", 0, 4.0, "killed"),
        Deposal("seller6", 1, 5.0, "resigned"),
        Deposal("buyer5", 2, 6.0, "silent"),
    ]


def test_what_befalls_a_trader_after_its_fall_does_not_explain_it() -> None:
    deposal = noted(111.0, "warehouse", "deposed", peer="buyer7", seat=0)
    later = noted(112.0, "launcher", "fell", name="buyer7")
    entries = (*BENCH, DeposeEntry(3, "buyer7", 0, 0, by="seller6"))
    assert [fall.why for fall in a_summary(opened(110.0), deposal, later, entries=entries).deposed] == ["silent"]


def test_who_was_deposed_with_nothing_wrong_is_counted_by_the_audit() -> None:
    report = Report("violated", {}, {}, {"deposed_alive": 2})
    assert summarize(Evidence(a_plan(), (), {}, {}), report, LAUNCHED_AT).deposed_alive == 2


def test_a_deposal_that_a_killed_warehouse_could_not_write_down_has_no_time() -> None:
    summary = a_summary(opened(110.0), entries=(*BENCH, DeposeEntry(3, "buyer7", 0, 0, by="seller6")))
    assert summary.deposed == [Deposal("buyer7", 0, None, "silent")]


def test_its_faults_are_counted_from_the_opening() -> None:
    kill = noted(113.0, "launcher", "fault", fault="kill:trader0@3", kind="kill", name="buyer7", for_s=0.0)
    (fault,) = a_summary(at(101.0, "ordered"), opened(110.0), kill).faults
    assert fault == {"what": "kill:trader0@3", "at_s": 3.0, "detected_s": None, "recovered_s": None}


# ------------------------------------------------------------------------------------------- a recount
def test_every_figure_of_a_small_run_is_as_counted_by_hand() -> None:
    """Two traders, one of them killed; six orders: two purchased, one refused in vain, one taken back, one corrected from
    purchased to unavailable, and one without an answer. Launched at 100, opened at 130."""
    fish, salt = a_lot("seller1-d0", "fish", 2, price_cents=500), a_lot("seller3-d0", "salt", 2, price_cents=1001)
    histories = {
        "launcher": [
            noted(132.0, "launcher", "fault", fault="kill:trader1@2", kind="kill", name="seller6", for_s=0.0),
            noted(132.1, "launcher", "fell", name="seller6"),
        ],
        "warehouse": [noted(134.25, "warehouse", "deposed", peer="seller6", seat=1)],
        "buyer7": [
            noted(101.0, "buyer7", "election_started"),
            noted(105.0, "buyer7", "elected", seat=0),
            noted(130.0, "buyer7", "opened", traders=["buyer7", "seller6"]),
            noted(131.0, "buyer7", "traded", order="buyer0-0"),
            noted(134.5, "buyer7", "trader_died", peer="seller6", traders=["buyer7"], left="alone"),
            noted(135.0, "buyer7", "traded", order="buyer2-0"),
        ],
        "seller4": [
            noted(100.5, "seller4", "compared", ahead_s=30.0, error_s=0.004),
            noted(105.5, "seller4", "compared", ahead_s=29.999, error_s=0.002, drifted_s=-0.001),
            noted(110.5, "seller4", "compared", ahead_s=30.003, error_s=0.003, drifted_s=0.004),  # 7 ms
        ],
        "seller6": [
            noted(106.0, "seller6", "election_started"),
            noted(110.0, "seller6", "elected", seat=1),
            noted(130.5, "seller6", "opened", traders=["buyer7", "seller6"]),
            noted(131.5, "seller6", "traded", order="buyer0-1"),
        ],
        "buyer0": [
            at(130.001, "ordered", "buyer0-0"),
            at(131.001, "purchased", "buyer0-0"),  # 1000 ms
            at(131.001, "ordered", "buyer0-1"),
            at(131.501, "purchased", "buyer0-1"),  # 500 ms
            at(131.501, "ordered", "buyer0-2"),
            at(131.601, "purchased", "buyer0-2"),  # 100 ms
            at(131.601, "ordered", "buyer0-3"),
            at(131.801, "purchased", "buyer0-3"),  # 200 ms
            at(136.0, "revoked", "buyer0-2"),
            at(138.0, "found_unavailable", "buyer0-3"),
        ],
        "buyer2": [
            at(130.002, "ordered", "buyer2-0"),
            at(135.002, "found_unavailable", "buyer2-0"),  # 5000 ms
            at(135.002, "ordered", "buyer2-1"),
        ],
    }
    entries = (
        Appoint(0, "buyer7", 0),
        Appoint(1, "seller6", 1),
        a_deposit_entry(2, fish, "buyer7"),
        a_deposit_entry(3, salt, "seller6"),
        a_sale(4, an_order("buyer0-0", "fish"), fish, "buyer7"),  # seller1 400, buyer7 100
        a_sale(5, an_order("buyer0-1", "salt"), salt, "seller6"),  # seller3 800, seller6 201
        DeposeEntry(6, "seller6", 1, 1, by="buyer7"),
        Denial(7, "buyer2-0", "buyer2", "salt", "unavailable", 1, "buyer7"),  # one salt was there
        Denial(8, "buyer0-2", "buyer0", "boar", "oversold", 1, "buyer7"),  # no boar was
        Denial(9, "buyer0-3", "buyer0", "boar", "unavailable", 1, "buyer7"),
    )
    evidence = Evidence(a_plan(seed=4), entries, histories, {})
    assert msgspec.to_builtins(summarize(evidence, REPORT, LAUNCHED_AT)) == {
        "verdict": "held",
        "seed": 4,
        "peers": 8,
        "traders": ["buyer7", "seller6"],
        "cache": "weak",
        "pace": "fast",
        "requests": {
            "asked": 6,
            "purchased": 2,
            "unavailable": 2,
            "oversold": 1,
            "undersold": 1,
            "unanswered": 1,
        },
        "goods_shipped": 2,
        "trading_s": 5.002,
        "throughput_per_s": 0.4,
        "latency_ms": {"p50": 500.0, "p99": 5000.0},
        "startup_s": 30.001,
        "elections": 2,
        "faults": [{"what": "kill:trader1@2", "at_s": 2.0, "detected_s": 2.5, "recovered_s": 3.0}],
        "audit": {"goods_add_up": True},
        "traders_at_end": ["buyer7"],
        "deposed": [{"peer": "seller6", "seat": 1, "at_s": 4.25, "why": "killed"}],
        "deposed_alive": 0,
        "earnings": {"traders": {"buyer7": 100, "seller6": 201}, "sellers": {"seller1": 400, "seller3": 800}},
        "examples": {"oversold": "buyer0-2", "undersold": "buyer2-0", "lost": "buyer2-1"},
        "clock_errors_ms": {"seller4": 7.0},
        "abroad": None,
    }
