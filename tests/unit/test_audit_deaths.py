"""What is excused by whose death, and what by nobody's; who was deposed with cause, and who without."""

from __future__ import annotations

import msgspec
import pytest

from bazaar.analysis.audit import judge
from bazaar.protocol.entries import AdoptEntry, Denial, DeposeEntry
from tests.trial import (
    DEATH,
    NAMES,
    TRADER,
    Lie,
    a_market,
    all_of,
    also,
    changed,
    dead,
    done,
    entry,
    event,
    further,
    promising_more,
    stock,
    without,
)

ADOPTED = further(*DEATH, AdoptEntry(9, TRADER, 0, "buyer3"))


def test_a_queue_that_was_taken_over_once_holds_and_is_counted() -> None:
    report = judge(ADOPTED(a_market()))
    assert report.violations == {}
    assert (report.exercised["traders_deposed"], report.exercised["queues_taken_over"]) == (1, 1)


def test_where_nobody_is_left_nobody_takes_over() -> None:
    assert judge(further(DeposeEntry(7, TRADER, 0, 0, "buyer0"))(a_market())).violations == {}


# ------------------------------------------------------------------------------ who is gone at the end
MISSED: list[tuple[str, Lie, str]] = [
    ("buyer0", also("buyer0", 95, "ordered", order="buyer0-4", item="salt", trader=TRADER), "no_order_lost"),
    ("buyer0", without("buyer0", "revoked", "buyer0-3"), "buyers_were_told_the_truth"),
    ("seller1", without("seller1", "sold", "buyer0-1"), "money_adds_up"),
    (TRADER, without(TRADER, "traded", "buyer0-0"), "money_adds_up"),
    (
        "seller2",
        also("seller2", 50, "offered", deposit="seller2-d1", item="salt", count=1, price=800),
        "deposits_are_booked_as_offered",
    ),
]


@pytest.mark.parametrize(("who", "lie", "check"), MISSED)
def test_what_a_process_that_is_gone_can_have_missed_is_excused_and_nobody_elses(
    who: str, lie: Lie, check: str
) -> None:
    others = set(NAMES) - {who}
    assert judge(all_of(lie, dead(who))(a_market())).verdict == "held"
    assert check in judge(lie(a_market())).violations
    assert check in judge(all_of(lie, dead(*others))(a_market())).violations


@pytest.mark.parametrize(("who", "lie", "check"), MISSED)
def test_what_was_killed_and_is_there_again_has_no_excuse(who: str, lie: Lie, check: str) -> None:
    killed = also("launcher", 30, "fault", fault=f"kill:{who}@1", kind="kill", name=who, for_s=0.0)
    back = also("launcher", 40, "started", name=who)
    over = also("launcher", 9900, "ended")
    assert check not in judge(all_of(lie, killed, over)(a_market())).violations
    assert check in judge(all_of(lie, killed, back, over)(a_market())).violations


WRITTEN_DOWN: list[tuple[str, Lie]] = [
    ("buyers_were_told_the_truth", event("buyer0", "purchased", "buyer0-0", seller="seller2")),
    ("buyers_were_told_the_truth", event("buyer0", "purchased", "buyer0-1", kind="found_unavailable")),
    ("money_adds_up", event("buyer0", "purchased", "buyer0-0", price=900)),
    ("money_adds_up", event("seller1", "sold", "buyer0-0", earned=641)),
    ("money_adds_up", also("seller1", 90, "sold", order="buyer0-0", item="salt", buyer="buyer0", earned=640)),
    ("money_adds_up", event(TRADER, "traded", "buyer0-0", price=900)),
    ("deposits_are_booked_as_offered", event("seller2", "offered", None, count=9)),
    (
        "deposits_are_booked_as_offered",
        also("seller2", 50, "registered", deposit="seller2-d1", item="salt", trader=TRADER),
    ),
    ("strong_caches_take_nothing_back", promising_more),
    # And what the ledger says.
    ("goods_add_up", stock(seller2=3)),
    ("each_order_decided_once", further(Denial(7, "buyer0-2", "buyer0", "fish", "unavailable", 61, TRADER))),
    ("only_what_was_asked", entry(5, item="boar")),
    ("only_traders_trade", entry(5, trader="buyer3")),
    ("queues_were_taken_over", further(*DEATH, *(AdoptEntry(position, TRADER, 0, "buyer3") for position in (9, 10)))),
]


@pytest.mark.parametrize(("check", "lie"), WRITTEN_DOWN)
def test_what_was_written_down_is_excused_by_nobodys_death(check: str, lie: Lie) -> None:
    assert check in judge(all_of(lie, dead(*NAMES, "warehouse"))(a_market())).violations


def test_a_dead_traders_share_is_owed_by_whoever_has_taken_over_its_queue() -> None:
    untold = all_of(without(TRADER, "traded", "buyer0-0"), dead(TRADER))
    assert judge(untold(a_market())).violations == {}
    assert "money_adds_up" in judge(all_of(untold, ADOPTED)(a_market())).violations
    unread = all_of(
        also(TRADER, 200, "seated", since=0),
        also("buyer3", 90, "unreadable", peer=TRADER, since=0, reason="the disk is gone"),
    )
    report = judge(all_of(untold, ADOPTED, unread)(a_market()))
    assert (report.verdict, report.violations) == ("unknown", {})
    assert all(word in report.unknown[0] for word in ("buyer3", TRADER, "since 0", "the disk is gone"))


def test_where_the_launcher_was_killed_nobody_is_there_at_the_end() -> None:
    """A purchase is told that the trader had no time to take to the ledger, and an order has no answer."""
    begun = all_of(
        *(also("launcher", 1 + n, "started", name=name) for n, name in enumerate(NAMES)),
        also("buyer3", 90, "ordered", order="buyer3-0", item="salt", trader=TRADER),
        also("buyer3", 91, "purchased", order="buyer3-0", item="salt", seller="seller2", price=800, final=False),
        also("buyer0", 95, "ordered", order="buyer0-4", item="salt", trader=TRADER),
        further(*DEATH),
        also("launcher", 94, "fell", name=TRADER),
        also("buyer3", 96, "suspected", peer=TRADER),
    )
    report = judge(begun(a_market()))
    assert (report.verdict, report.violations) == ("held", {})
    assert "launcher was killed" in report.notes[0]
    ended = judge(all_of(begun, also("launcher", 9900, "ended"))(a_market()))
    assert set(ended.violations) == {"no_order_lost", "buyers_were_told_the_truth", "queues_were_taken_over"}


def test_where_the_warehouse_was_gone_at_the_end_nobody_owes_what_it_had_to_decide() -> None:
    under_way = all_of(
        also("launcher", 1, "started", name="warehouse"),
        also("warehouse", 5, "connected", entries=0),
        also("buyer0", 9_100, "ordered", order="buyer0-4", item="salt", trader=TRADER),
        also("seller1", 9_100, "offered", deposit="seller1-d9", item="fish", count=3, price=800, trader=TRADER),
        also("launcher", 9_900, "ended"),
    )
    assert set(judge(under_way(a_market())).violations) == {"no_order_lost", "deposits_are_booked_as_offered"}
    report = judge(all_of(also("launcher", 9_000, "fell", name="warehouse"), under_way)(a_market()))
    assert (report.verdict, report.violations) == ("held", {})
    assert "the warehouse was gone" in report.notes[0]


# -------------------------------------------------------------------------------------------- deposals
SUSPECTED = all_of(ADOPTED, also("buyer3", 10_000, "suspected", peer=TRADER), also("launcher", 1, "drawn"))
"""At 100 s; `suspect_after_s` is 2."""


def absent(process: str, clock: int, for_s: float) -> Lie:
    return also(process, clock, "absent", for_s=for_s)


@pytest.mark.parametrize(
    "cause",
    [
        done("kill", TRADER, 9_700),
        done("pause", TRADER, 9_700, for_s=2.5),
        done("pause", TRADER, 8_000, for_s=18.0),
        done("pause", "buyer3", 9_700, for_s=2.5),
        all_of(done("pause", TRADER, 8_000, for_s=50.0), done("resume", TRADER, 9_900)),
        all_of(absent(TRADER, 9_900, 3.0), done("pause", TRADER, 8_000, for_s=50.0), done("resume", TRADER, 9_950)),
        also("launcher", 9_700, "fell", name=TRADER),
        also("launcher", 9_700, "fault", fault="cut", kind="cut", names=["seller1", TRADER], for_s=3.0),
        all_of(done("kill", TRADER, 5_000), also("launcher", 9_800, "started", name=TRADER)),
        all_of(
            done("kill", TRADER, 5_000), also("launcher", 5_500, "started", name=TRADER)
        ),  # and not told of its seat
    ],
)
def test_who_was_hindered_may_be_deposed(cause: Lie) -> None:
    report = judge(all_of(SUSPECTED, cause, also("launcher", 20_000, "ended"))(a_market()))
    assert "the_living_keep_their_seats" not in report.violations
    assert report.exercised["deposed_alive"] == 0
    assert report.notes == []


@pytest.mark.parametrize(
    "no_cause",
    [
        done("kill", "seller1", 9_700),
        done("pause", TRADER, 5_000, for_s=2.5),
        done("resign", TRADER, 9_700),
        all_of(done("pause", TRADER, 5_000, for_s=50.0), done("resume", TRADER, 5_100)),
        all_of(
            done("kill", TRADER, 5_000),
            also("launcher", 5_500, "started", name=TRADER),
            also(TRADER, 5_600, "informed"),
        ),
        absent(TRADER, 5_000, 3.0),
        absent("seller1", 9_900, 3.0),
    ],
)
def test_what_befell_others_or_long_ago_is_no_cause(no_cause: Lie) -> None:
    report = judge(all_of(SUSPECTED, no_cause)(a_market()))
    assert set(report.violations) == {"the_living_keep_their_seats"}
    assert report.exercised["deposed_alive"] == 1


@pytest.mark.parametrize(
    ("placed", "verdict"),
    [
        ({TRADER: "10.0.0.1", "buyer3": "10.0.0.2"}, "unknown"),
        ({TRADER: "10.0.0.1"}, "unknown"),
        ({TRADER: "10.0.0.1", "buyer3": "10.0.0.1"}, "violated"),
    ],
)
def test_of_a_link_between_two_machines_nobody_knows_whether_it_was_cut(placed: dict[str, str], verdict: str) -> None:
    evidence = SUSPECTED(a_market())
    report = judge(changed(evidence, plan=msgspec.structs.replace(evidence.plan, placed=placed)))
    assert report.verdict == verdict
    assert ("nobody saw whether the link between their machines was up" in str(report.unknown)) == (
        verdict == "unknown"
    )


@pytest.mark.parametrize("who", [TRADER, "buyer3"])
def test_that_the_machine_did_not_let_it_run_is_told(who: str) -> None:
    report = judge(all_of(SUSPECTED, absent(who, 9_900, 3.0))(a_market()))
    assert (report.verdict, report.violations) == ("held", {})
    assert (report.exercised["deposed_alive"], report.exercised["deposed_absent"]) == (0, 1)
    assert "the machine did not let one of them run" in report.notes[0]


@pytest.mark.parametrize("who", [TRADER, "buyer3", "launcher"])
def test_whose_history_is_not_whole_may_have_had_cause(who: str) -> None:
    evidence = SUSPECTED(a_market())
    damaged = changed(evidence, histories={**evidence.histories, who: [*evidence.histories[who], "no event"]})
    report = judge(damaged)
    assert (report.verdict, report.violations) == ("unknown", {})


def test_who_resigns_is_not_deposed_by_another() -> None:
    gone = all_of(further(DeposeEntry(7, TRADER, 0, 0, TRADER)), also("launcher", 1, "drawn"))
    assert judge(gone(a_market())).violations == {}


def test_who_deposes_without_a_suspicion_is_told() -> None:
    report = judge(all_of(ADOPTED, also("launcher", 1, "drawn"))(a_market()))
    assert "had not suspected" in report.violations["the_living_keep_their_seats"][0]
