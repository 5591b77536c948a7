"""Each experiment's grid, measure, table, picture and words, from given rows and hand-made histories."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bazaar.analysis.summary import Earnings, Latency, Requests, Summary
from bazaar.control.planning import draw_plan
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.protocol.settings import check
from bazaar.runtime.history import Recorded
from experiments import (
    benchmark,
    election,
    endurance,
    failover,
    overselling,
    policies,
    report,
    response,
    routing,
    scale,
    scaling,
    sync,
    throughput,
)
from experiments.framework.experiment import ALL_CACHES, CACHES, Experiment, Failed, Run, Sample
from experiments.framework.graphs import shape
from experiments.framework.grid import again, parse_seeds
from experiments.framework.page import publish, section
from experiments.framework.rows import Cell, Missing, Row, Table, kinds, name_of
from experiments.report import EXPERIMENTS
from tests.builders import a_line, a_plan

EACH = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.NAME)
COMPARING = (policies, sync, throughput)
"""They compare the policies with each other, so those with a server of their own are among them."""


def a_row(cell: Cell, values: Mapping[str, float]) -> Row:
    return Row(cell.labels, cell.seed, values, cell.settings, cell.faults, "a machine", "2026-11-22")


def grid(experiment: Experiment, quick: bool = False) -> list[Cell]:
    return experiment.cells(parse_seeds(experiment.SEEDS)[: 1 if quick else None], quick)


def some_rows(experiment: Experiment, quick: bool = False) -> list[Row]:
    """A row for each cell, with any numbers."""
    rng = random.Random(experiment.NAME)
    return [a_row(cell, {name: rng.uniform(1, 99) for name in experiment.VALUES}) for cell in grid(experiment, quick)]


# ------------------------------------------------------------------------------------------ all of them
@EACH
@pytest.mark.parametrize("quick", [False, True])
def test_a_grid_is_of_runs_that_can_be_and_names_each_once(experiment: Experiment, quick: bool) -> None:
    cells = grid(experiment, quick)
    for cell in cells:
        check(cell.settings)
        assert tuple(cell.labels) == experiment.LABELS
        assert not any(character in name_of(cell) for character in " ;")
    assert len({name_of(cell) for cell in cells}) == len(cells)
    assert cells == grid(experiment, quick)


@EACH
def test_every_cache_policy_is_in_every_grid(experiment: Experiment) -> None:
    if "cache" in experiment.LABELS:
        for quick in (False, True):
            wanted = ALL_CACHES if experiment in COMPARING else CACHES
            assert {cell.labels["cache"] for cell in grid(experiment, quick)} == set(wanted)


@EACH
def test_a_quick_grid_is_a_small_one(experiment: Experiment) -> None:
    quick, full = (sum(cell.expected_s for cell in grid(experiment, quick)) for quick in (True, False))
    assert quick < 60
    assert quick < full / 3


def test_all_that_does_not_mostly_wait_takes_less_than_seventy_minutes() -> None:
    """The lab's pace, a trader's death and full load for minutes, and a load that comes and goes, do."""
    short = [experiment for experiment in EXPERIMENTS if experiment.NAME not in ("failover", "endurance", "scaling")]
    cells = [cell for experiment in short for cell in grid(experiment)]
    assert sum(cell.expected_s for cell in cells if cell.labels.get("series") != "lab") < 70 * 60


@EACH
@pytest.mark.parametrize("quick", [False, True])
def test_table_picture_and_words_come_from_rows(experiment: Experiment, quick: bool, tmp_path: Path) -> None:
    rows = some_rows(experiment, quick)
    (tmp_path / "results").mkdir()
    publish(experiment, rows, tmp_path)
    page = (tmp_path / "results" / f"{experiment.NAME}.md").read_text()
    assert (tmp_path / "results" / f"{experiment.NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert experiment.QUESTION in page
    assert f"]({experiment.NAME}.png)" in page
    assert f"{len(rows)} run(s), all held" in page
    assert again(experiment, rows[-1]) in page
    assert "(What came out can be told" not in page
    for line in experiment.table(rows).splitlines():
        assert not line or line.startswith(("| ", "**"))


@EACH
def test_a_few_rows_give_a_page_too(experiment: Experiment, tmp_path: Path) -> None:
    """After Ctrl-C; the words may have to wait."""
    (tmp_path / "results").mkdir()
    rows = some_rows(experiment)
    for some in (rows[:1], rows[-1:], rows[: len(rows) // 2]):
        publish(experiment, some, tmp_path)
        assert (tmp_path / "results" / f"{experiment.NAME}.md").exists()
        (tmp_path / "results" / f"{experiment.NAME}.md").unlink()


@EACH
def test_the_numbers_in_the_words_are_those_of_the_rows(experiment: Experiment) -> None:
    rows = some_rows(experiment)
    doubled = [row._replace(values={name: 2.1 * value for name, value in row.values.items()}) for row in rows]
    assert experiment.story(rows) != experiment.story(doubled)


def test_the_report_is_made_from_the_csvs_alone(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for experiment in EXPERIMENTS[1:]:
        table = Table(tmp_path / "results" / f"{experiment.NAME}.csv", experiment.LABELS, experiment.VALUES)
        for row in some_rows(experiment, quick=True):
            table.add(row)
    assert report.main([str(tmp_path)]) == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## 1. Throughput, cached and cacheless\n\nNot measured yet: `" in page
    for number, experiment in enumerate(EXPERIMENTS[1:], start=2):
        rows = Table(tmp_path / "results" / f"{experiment.NAME}.csv", experiment.LABELS, experiment.VALUES).rows
        assert f"## {number}. {section(experiment, rows, Path('results'))}" in page
        assert f"](results/{experiment.NAME}.png)" in page
        assert (tmp_path / "results" / f"{experiment.NAME}.png").exists()


@pytest.mark.parametrize("arguments", [["nowhere"], ["a", "b"]])
def test_a_report_on_nothing_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_report_on_a_csv_that_was_edited_by_hand_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "sync.csv").write_text("K,push\n1,on\n")
    assert report.main([str(tmp_path)]) == 2
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert "sync.csv, line 1" in complained


# --------------------------------------------------------------------------------- what each one measures
def a_run(happenings: Sequence[Recorded[Event]], settings: Mapping[str, Any], **figures: Any) -> Run:
    requests = figures.pop("requests", Requests(10, 7, 1, 2, 1, 0))
    summary = Summary(
        "held",
        0,
        8,
        [],
        "weak",
        "fast",
        requests,
        7,
        1.0,
        7.0,
        Latency(2.0, 9.0),
        1.0,
        1,
        figures.pop("faults", []),
        {},
        [],
        [],
        0,
        Earnings({}, {}),
    )
    histories, usage = [[happened] for happened in happenings], figures.pop("usage", [])
    connections, loopback = figures.pop("connections", ()), figures.pop("loopback", ())
    return Run(a_plan(**settings), summary, histories, figures.pop("processor_s", 1.0), usage, connections, loopback)


def event(
    at: float, what: str, process: str = "buyer0", clock: int = 1, sent: int | None = None, **facts: Any
) -> Recorded[Event]:
    return a_line(at, process, clock, what, facts, None if sent is None else "buyer7", sent)


def test_throughput_counts_from_the_opening() -> None:
    """The orders that come before only wait for it."""
    run = a_run([event(0, "ordered"), event(10, "opened"), event(11, "purchased"), event(12, "found_unavailable")], {})
    measured = throughput.measure(run)
    assert measured["trading_s"] == 2
    assert measured["shipped_per_s"] == 3.5


def usage(process: str, *samples: tuple[float, float, int]) -> list[Sample]:
    """At, seconds of processor, bytes."""
    return [Sample(at, process, processor_s, memory) for at, processor_s, memory in samples]


def test_goods_are_measured_in_bare_calls() -> None:
    run = a_run([event(0, "opened"), event(0, "ordered"), event(2, "purchased")], {})
    cell = grid(benchmark)[0]
    row = a_row(cell, {**benchmark.measure(run), "calls_per_s": 7.0})
    assert row.values["shipped_per_s"] == 3.5
    assert benchmark.ratios([row]) == [0.5]


def test_idle_is_what_is_used_once_the_market_is_quiet() -> None:
    looks = usage("buyer0", (0, 0.0, 1), (3, 5.0, 1), (4, 5.1, 1), (8, 5.3, 1)) + usage(
        "seller1", (3, 1.0, 1), (8, 1.3, 1)
    )
    run = a_run([event(1, "purchased")], {}, usage=looks + usage("mongod", (3, 0.0, 1), (8, 4.0, 1)))
    assert scale.idle_percent(run) == pytest.approx(100 * 0.6 / 5)


def test_a_run_that_ends_before_it_is_quiet_says_nothing_of_the_idle() -> None:
    with pytest.raises(Failed, match="before it was quiet"):
        scale.idle_percent(a_run([event(1, "purchased")], {}, usage=usage("buyer0", (0, 0.0, 1), (2, 1.0, 1))))


def test_growth_is_the_last_fifth_against_the_second_of_the_worst_of_a_kind() -> None:
    settings = {"peers": 8, "traders": 3, "duration_s": 10.0}
    names = a_plan(**settings).names
    steady, growing = names[-1], names[-2]
    looks = [look for name in ("mongod", WAREHOUSE, *names) for look in usage(name, (1, 0, 9), (3, 0, 10), (9, 0, 10))]
    looks += usage(growing, (9.1, 0, 13), (9.2, 0, 13)) + usage(steady, (5, 0, 99))
    run = a_run(
        [event(0, "opened"), event(2.5, "shipped"), event(9.5, "shipped"), event(9.6, "shipped")], settings, usage=looks
    )
    measured = endurance.measure(run)
    assert measured["trader"] == pytest.approx(1.3)
    assert measured["buyer"] == measured["seller"] == measured[WAREHOUSE] == measured["mongod"] == 1.0
    assert (measured["second_per_s"], measured["last_per_s"]) == (0.5, 1.0)


def test_a_gain_is_of_two_runs_of_one_seed() -> None:
    cells = {name_of(cell): cell for cell in grid(throughput)}
    name = "series=fast,change=nothing,traders=2,buyers=4,cache={},seed={}"
    rates = {("none", 0): 100.0, ("weak", 0): 150.0, ("none", 1): 200.0, ("weak", 1): 150.0, ("weak", 2): 7.0}
    rows = [a_row(cells[name.format(*which)], dict.fromkeys(throughput.VALUES, rate)) for which, rate in rates.items()]
    assert throughput.gains(rows, "weak") == [50, -25]


def test_the_seeds_own_table_stands_beside_ours() -> None:
    table = throughput.table(some_rows(throughput))
    for cache, traders, theirs in (("none", 1, 63), ("none", 2, 55), ("none", 3, 40), ("weak", 1, 25), ("weak", 3, 15)):
        assert f"| {cache} | {traders} | {theirs} s | 3 |" in table
    assert "| 60 s |" in table  # three buyers of 20 orders pause six times for ten seconds
    assert "| 40 s |" in table
    table = overselling.table(some_rows(overselling))
    for ratio, percent in (("5/4", "37.5"), ("3/6", "10"), ("4/5", "30"), ("7/2", "62.5")):
        assert f"| {ratio} | weak | {percent} % |" in table
    assert "| the original's, 2 to 1 traders | 0.667 | - | 0.417 | 62.5 |" in failover.table(some_rows(failover))


def test_overselling_is_in_percent_of_the_orders_asked() -> None:
    measured = overselling.measure(a_run([], {}, requests=Requests(40, 20, 10, 10, 4, 0)))
    assert measured == {
        "oversold_percent": 25, "unavailable_percent": 25, "refused_percent": 50, "undersold_percent": 10
    }  # fmt: skip


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [
        (
            lambda ratio: 10 * ratio,
            "more over-selling, holds (of 28 pairs of ratios it is more at the higher one in 28, less in 0)",
        ),
        (lambda ratio: 90 - 10 * ratio, "more over-selling, does not hold (of 28 pairs"),
        (lambda ratio: 5, "more over-selling, does not hold (of 28 pairs"),
        (lambda ratio: ratio % 7, "more over-selling, holds mostly (of 28 pairs"),
        (lambda ratio: ratio % 2, "more over-selling, holds in part (of 28 pairs"),
    ],
)
def test_whether_the_seeds_claim_is_true_is_computed(curve: Callable[[float], float], verdict: str) -> None:
    rows = []
    for row in some_rows(overselling):
        buyers, sellers = map(int, row.labels["ratio"].split("/"))
        oversold = curve(buyers / sellers) if row.labels["cache"] == "weak" else 0
        rows.append(row._replace(values={**row.values, "oversold_percent": oversold}))
    story = overselling.story(rows)
    assert verdict in story
    assert "With `none` no order was over-sold" in story


def failed_over(recovered_s: float | None) -> Run:
    shipped = [event(at / 10, "shipped") for at in range(100, 140)]  # ten a second, up to the kill
    shipped += [event(at / 5, "shipped") for at in range(80, 100)]  # five a second, from two seconds after it
    fault = {"what": "kill:trader1@4", "at_s": 4.0, "detected_s": 1.5, "recovered_s": recovered_s}
    marks = [event(5, "joined"), event(14, "fault", name="buyer7"), event(25, "purchased")]
    settings = {"duration_s": 2 * 4.0 + failover.DIP_ALLOWED_S}
    return a_run([*marks, *shipped], settings, faults=[fault], processor_s=10.0)


def test_failover_counts_before_in_and_after_the_dip() -> None:
    measured = failover.measure(failed_over(2.0))
    assert measured["before_per_s"] == 10
    assert measured["dip_per_s"] == 0
    assert measured["after_per_s"] == 5
    assert (measured["noticed_s"], measured["dip_s"], measured["busy_cores"]) == (1.5, 2.0, 0.5)


@pytest.mark.parametrize("recovered_s", [None, 9.0])
def test_a_death_that_nobody_made_good_is_no_row(recovered_s: float | None) -> None:
    with pytest.raises(Failed):
        failover.measure(failed_over(recovered_s))


def test_response_times_are_of_orders_placed_in_an_open_market_and_carried_out() -> None:
    run = a_run(
        [
            event(0, "ordered", order="early"),
            event(1, "opened"),
            event(1.1, "purchased", order="early"),
            *[event(2 + n, "ordered", order=f"o{n}") for n in range(10)],
            *[event(2 + n + (n + 1) / 1000, "purchased", order=f"o{n}") for n in range(9)],
            event(11.5, "found_unavailable", order="o9"),
        ],
        {},
    )
    measured = response.measure(run)
    assert measured["p50_ms"] == pytest.approx(5)
    assert measured["p99_ms"] == pytest.approx(9)
    assert measured["mean_ms"] == pytest.approx(5)
    assert measured["purchased_percent"] == 90
    assert measured["answers_per_s"] == pytest.approx(10 / 10.5)


def taken(at: float, trader: str, to: str = "cache", item: str = "salt") -> Recorded[Event]:
    return event(at, "taken", trader, item=item, to=to)


SOLD_BY_ANOTHER = [taken(1, "buyer7"), taken(2, "buyer7"), taken(3, "buyer7", item="fish")]
HIT = taken(9, "buyer6")
UNKNOWN: dict[str, tuple[list[Recorded[Event]], int]] = {
    "nothing was heard": ([], 2),
    "its own sales are known": ([taken(4, "buyer6")], 2),
    "the warehouse was asked for the item": ([taken(1.5, "buyer6", to="warehouse")], 1),
    "everything was pulled": ([event(5, "pulled", "buyer6")], 0),
    "it has heard of the first sale, and the second is on the way": (
        [
            event(1, "pushed", "buyer7", clock=10, to="buyer6"),
            event(2, "pushed", "buyer7", clock=20, to="buyer6"),
            event(5, "heard_push", "buyer6", neighbor="buyer7", sent=11),
        ],
        1,
    ),
    "it has heard of both": (
        [
            event(2, "pushed", "buyer7", clock=20, to="buyer6"),
            event(5, "heard_push", "buyer6", neighbor="buyer7", sent=21),
        ],
        0,
    ),
    "it was told, but has not heard yet": ([event(2, "pushed", "buyer7", clock=10, to="buyer6")], 2),
    "another trader was told": (
        [
            event(2, "pushed", "buyer7", clock=10, to="buyer5"),
            event(5, "heard_push", "buyer6", neighbor="buyer7", sent=11),
        ],
        2,
    ),
}


@pytest.mark.parametrize(("news", "unknown"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_answer_is_as_stale_as_the_sales_it_does_not_know_of(news: list[Recorded[Event]], unknown: int) -> None:
    assert sync.staleness(a_run([*SOLD_BY_ANOTHER, *news, HIT], {}))[-1] == unknown


def test_sync_counts_pushes_and_pulls_an_order() -> None:
    run = a_run([event(1, "pushed", to="buyer1"), event(2, "pushed", to="buyer1"), event(3, "pulled"), HIT], {})
    measured = sync.measure(run)
    assert (measured["pushed"], measured["pulled"]) == (0.2, 0.1)
    assert measured["messages"] == pytest.approx(0.3)
    assert (measured["oversold_percent"], measured["from_cache_percent"]) == (20.0, 10.0)


def test_the_theory_of_bully() -> None:
    assert election.theory(3, 1, "rounds") == 0 + 2  # the starter is the highest: nobody to call
    assert election.theory(5, 1, "rounds") == 3 * 2 + 4  # three call and answer each other, four are told
    assert election.theory(5, 2, "rounds") == 3 * 2 + 4 * 3 + 2 * 4  # then all four that are left
    assert election.theory(5, 2, "simultaneous") == 3 * 2 + 2 * 4


def test_election_counts_messages_as_they_come_in_and_the_time_until_all_know() -> None:
    happenings = [
        event(1, "election_started"),
        *[event(1.1, "called") for _ in range(3)],
        *[event(1.2, "heard_ok") for _ in range(2)],
        *[event(1.5, "elected", seat=seat) for seat in range(3)],
        *[event(1.7, "recognized") for _ in range(4)],
    ]
    measured = election.measure(a_run(happenings, {}))
    assert [measured[name] for name in ("calls", "oks", "wons", "messages")] == [3, 2, 4, 9]
    assert measured["elected_ms"] == pytest.approx(500)
    assert measured["known_ms"] == pytest.approx(700)
    with pytest.raises(Failed, match="2 traders"):
        election.measure(a_run(happenings[:-5], {}))


def test_words_wait_for_the_rows_they_need() -> None:
    rows = [row for row in some_rows(election) if row.labels["election"] == "rounds"]
    with pytest.raises(Missing, match="election=simultaneous"):
        election.story(rows)
    assert "(What came out can be told when there are rows with" in section(election, rows, Path())


def test_the_policies_come_from_the_settings() -> None:
    """So a new one is in every table without a change here."""
    assert kinds(some_rows(response), "cache") == list(CACHES)


# --------------------------------------------------------------------------------------------- routing
def test_the_shape_of_a_graph() -> None:
    """A line of four: the two in the middle relay alike, and share all the relaying."""
    line = shape({"a": ("b",), "b": ("a", "c"), "c": ("b", "d"), "d": ("c",)})
    assert (line.degree, line.diameter) == (1.5, 3)
    assert line.busiest_percent == pytest.approx(50)
    assert line.mean_hops == pytest.approx((3 * 1 + 2 * 2 + 1 * 3) / 6)
    star = shape({"hub": ("a", "b", "c"), "a": ("hub",), "b": ("hub",), "c": ("hub",)})
    assert (star.diameter, star.busiest_percent) == (2, 100)


def carried(at: float, process: str, *counts: int, bundles: int) -> Recorded[Event]:
    names = ("sent", "arrived", "hops", "relayed", "dropped")
    facts = {**dict(zip(names, counts, strict=True)), "bundles": [["buyer1", bundles]]}
    return a_line(at, process, 1, "carried", facts)


def routed(way: str) -> Run:
    """Opened at 10 s; what is noted up to 11 s is of the election. Four orders, the last answered at 20 s."""
    notes = [
        carried(3, "buyer0", 100, 100, 900, 70, 50, bundles=1000),
        carried(11, "buyer0", 200, 200, 1800, 140, 90, bundles=2000),
        carried(14, "buyer0", 203, 202, 1803, 145, 91, bundles=2005),
        carried(19, "buyer0", 206, 204, 1808, 170, 94, bundles=2010),
        carried(19, "seller1", 6, 4, 8, 10, 6, bundles=6),  # it had nothing to note before
        carried(9, "seller2", 7, 7, 7, 7, 7, bundles=7),  # and this one has none since
    ]
    answers = [event(at, "purchased", order=f"o{at}") for at in (12, 14, 17, 20)]
    orders = [event(at - wait, "ordered", order=f"o{at}") for at, wait in ((12, 0.1), (14, 0.2), (17, 0.3), (20, 0.4))]
    election = [event(1, "election_started"), event(1.5, "called"), event(4, "elected", seat=0)]
    return a_run(
        [*election, event(10, "opened"), event(9, "ordered", order="early"), *notes, *orders, *answers],
        {"routing": way, "suspect_after_s": 8.0},
        connections=[("buyer0", "buyer1"), ("buyer0", "buyer1"), ("buyer1", "warehouse")],
        loopback=[(9.0, 0), (13.0, 50_000), (18.0, 60_000), (21.0, 99_000)],
    )


def test_routing_counts_what_was_carried_since_the_opening_and_on_the_wire() -> None:
    measured = routing.measure(routed("neighbours"))
    assert measured["hops"] == pytest.approx((8 + 8) / (4 + 4))
    assert measured["deliveries"] == pytest.approx((6 + 6) / 4)
    assert measured["bundles"] == pytest.approx((10 + 6) / 4)
    assert measured["dropped_percent"] == pytest.approx(100 * 10 / 50)
    assert measured["busiest_percent"] == pytest.approx(100 * 30 / 40)
    assert (measured["connections"], measured["busiest_connections"]) == (3, 3)
    assert measured["kilobytes"] == pytest.approx(10 / 2)
    assert measured["p50_ms"] == pytest.approx(300)
    assert measured["p95_ms"] == pytest.approx(400)
    assert (measured["shipped_per_s"], measured["election_messages"], measured["election_ms"]) == (0.7, 1, 3000)


def test_nothing_is_relayed_when_all_write_directly() -> None:
    measured = routing.measure(routed("direct"))
    assert (measured["hops"], measured["deliveries"], measured["busiest_percent"]) == (1, -1, -1)
    rows = [a_row(cell, measured) for cell in grid(routing, quick=True)]
    assert "| 1 | 10 | direct | none | 1 | - | - | - | 3 |" in routing.table(rows)


def test_a_run_too_short_for_the_relays_to_note_anything_is_no_row() -> None:
    run = routed("neighbours")
    quiet = [[h for h in history if type(h.event).__name__ != "Carried"] for history in run.histories]
    with pytest.raises(Failed, match="noted what they carried"):
        routing.measure(run._replace(histories=quiet))


def test_both_ways_of_routing_are_measured_on_the_same_graph_with_the_same_buyers() -> None:
    plans: dict[str, set[str]] = {}
    for cell in grid(routing):
        plan = draw_plan(cell.settings)
        assert sum(not is_seller(name) for name in plan.names[: -routing.TRADERS]) == routing.BUYERS
        same = f"{cell.labels['window']}, {cell.labels['peers']}, {cell.labels['cache']}, {cell.seed}"
        plans.setdefault(same, set()).add(f"{plan.neighbours} {plan.goods}")
    assert all(len(drawn) == 1 for drawn in plans.values())
    assert len(grid(routing)) == 2 * len(plans)


# -------------------------------------------------------------------------------------------- policies
def test_policies_compares_the_time_before_the_warehouse_is_stopped_with_the_time_in_which_it_is() -> None:
    """An answer every 100 ms; in the five seconds after 10 s, every 500 ms. A question for every second order."""
    happenings = []
    for tenth in range(160):
        at, order = tenth / 10, f"buyer0-{tenth}"
        happenings.append(a_line(at, "buyer0", 3 * tenth + 1, "ordered", {"order": order, "item": "fish"}))
        if tenth % 2 == 0:
            happenings.append(a_line(at, "buyer9", 3 * tenth + 1, "asked", {"requests": 2}))
        if not 100 <= tenth < 150 or tenth % 5 == 0:
            happenings.append(
                a_line(at + 0.004, "warehouse", 3 * tenth + 2, "shipped", {"order": order, "item": "fish"})
            )
            happenings.append(a_line(at + 0.02, "buyer0", 3 * tenth + 2, "purchased", {"order": order, "item": "fish"}))
    stop = a_line(10.0, "launcher", 1, "fault", {"fault": "pause:warehouse@10+5", "name": "warehouse"})
    settings = {"peers": 10, "traders": 3, "duration_s": policies.BEFORE_S + policies.AWAY_S + policies.AFTER_S}
    requests = Requests(asked=160, purchased=148, unavailable=4, oversold=8, undersold=4, unanswered=0)
    measured = policies.measure(a_run([*happenings, stop], settings, requests=requests))
    assert measured["shipped_per_s"] == pytest.approx(10, rel=0.05)
    assert measured["p50_ms"] == pytest.approx(20)
    assert measured["questions"] == pytest.approx(0.5)
    assert measured["away_percent"] == pytest.approx(20, rel=0.2)
    assert (measured["oversold_percent"], measured["undersold_percent"]) == (5, 2.5)


def test_policies_of_a_run_in_which_nobody_was_answered_is_no_row() -> None:
    settings = {"peers": 10, "traders": 3, "duration_s": policies.BEFORE_S + policies.AWAY_S + policies.AFTER_S}
    with pytest.raises(Failed):
        policies.measure(a_run([], settings))


# --------------------------------------------------------------------------------------------- scaling
def scaled(slow_until_s: float, fast_ms: float = 10) -> Run:
    """Ten answers a second for twenty seconds, with five times the load from 4 s to 13 s after the first one.

    In the load an order waits 200 ms up to `slow_until_s`. A second trader is there from 6 s to 16 s.
    """
    happenings = [event(90, "elected", process="seller13", seat=0), event(106, "elected", process="seller12", seat=1)]
    for tenth in range(200):
        after_s, order = tenth / 10, f"buyer0-{tenth}"
        wait_s = 0.2 if 4 <= after_s < slow_until_s else fast_ms / 1000
        happenings += [
            event(100 + after_s - wait_s, "ordered", order=order, item="fish"),
            event(100 + after_s, "shipped", process=WAREHOUSE, order=order, item="fish"),
            event(100 + after_s, "purchased", order=order, item="fish"),
        ]
    happenings += [
        event(106, "resized", process=WAREHOUSE, seats=2, by="seller13", wait_ms=200),
        event(116, "resized", process=WAREHOUSE, seats=1, by="seller12", wait_ms=10),
        event(116, "deposed", process=WAREHOUSE, peer="seller12", seat=1),
    ]
    usage = [Sample(100 + at, WAREHOUSE, at / 4 if at <= 13 else 99.0, 1) for at in (1, 5, 12, 19)]
    settings = {"peers": 14, "window": 1, "duration_s": 20.0, "load": "step:5@4+9"}
    buyers, others = ([one for one in happenings if (one.process == "buyer0") == is_one] for is_one in (True, False))
    return a_run([], settings, usage=usage)._replace(histories=[buyers, others])


def test_scaling_compares_the_low_load_with_the_high_and_follows_both_over_time() -> None:
    measured = scaling.measure(scaled(slow_until_s=6.9))
    assert set(measured) == set(scaling.VALUES)
    assert measured["low_ms"] == pytest.approx(10)
    assert (measured["most_traders"], measured["changes"]) == (2, 2)
    assert measured["high_ms"] == pytest.approx((29 * 200 + 61 * 10) / 90, rel=0.02)
    assert measured["high_per_s"] == pytest.approx(10, rel=0.02)
    assert measured["warehouse_percent"] == pytest.approx(25)
    assert [measured[f"traders_{number}"] for number in (0, 5, 6, 15, 16, 19)] == [1, 1, 2, 2, 1, 1]
    assert measured["wait_ms_3"] == pytest.approx(10)
    assert measured["wait_ms_5"] == pytest.approx(200)
    assert {round(measured[f"per_s_{number}"]) for number in range(1, 19)} <= {9, 10, 11}


@pytest.mark.parametrize(("slow_until_s", "back_s"), [(0, 0.0), (6.9, 3.0), (12.9, scaling.NOT_BACK)])
def test_the_wait_is_back_when_it_stays_below_the_threshold(slow_until_s: float, back_s: float) -> None:
    measured = scaling.measure(scaled(slow_until_s))
    assert measured["back_s"] == back_s
    cell = next(cell for cell in grid(scaling, quick=True) if cell.labels["traders"] == scaling.BY_LOAD)
    rows = [a_row(cell, measured)]
    assert ("never in 1 of 1" in scaling.table(rows)) == (back_s == scaling.NOT_BACK)
    assert ("in 0 of 1 runs" in scaling.story(rows)) == (back_s == scaling.NOT_BACK)


def test_only_the_first_wave_is_looked_at() -> None:
    waits = [*((at / 10, 10.0) for at in range(20)), *((8 + at / 10, 200.0) for at in range(20))]
    assert scaling.back_s(waits) == 0
    assert scaling.back_s([(at - 8, ms) for at, ms in waits[20:]]) == scaling.NOT_BACK


def test_a_run_without_an_answer_at_high_load_is_no_row() -> None:
    run = scaled(slow_until_s=5)
    early = [[one for one in history if one.at < 103] for history in run.histories]
    with pytest.raises(Failed, match="one of the two loads"):
        scaling.measure(run._replace(histories=early))


def test_whoever_may_become_a_trader_is_a_seller_so_that_all_cells_have_the_same_buyers() -> None:
    for cell in grid(scaling):
        plan = draw_plan(cell.settings)
        assert all(is_seller(name) for name in plan.names[-scaling.MOST_TRADERS :])
        assert sum(not is_seller(name) for name in plan.names) == scaling.BUYERS
