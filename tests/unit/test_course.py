"""The course of a run, from hand-made histories: how much of what, who was what, and what is kept or left out."""

from __future__ import annotations

from typing import Any

import pytest

from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded, encode_line
from bazaar.views.course import MORE_AFTER_A_TURN, MOST_OF_A_KIND, Change, Course
from bazaar.views.lanes import lanes
from tests.builders import a_line


def event(at: float, what: str, process: str = "buyer7", **facts: Any) -> Recorded[Event]:
    return a_line(at, process, 1, what, facts)


def course_of(*lines: Recorded[Event]) -> Course:
    course = Course(100.0)
    for line in lines:
        course.add(line)
    return course


ORDERED = [event(101.0 + n, "ordered", "buyer0", order=f"buyer0-{n}") for n in range(3)]
QUEUED = [event(101.1 + n, "queued", order=f"buyer0-{n}") for n in range(3)]


def test_goods_refusals_waits_queue_and_stock_are_counted() -> None:
    course = course_of(
        event(100.5, "stocked", "warehouse", item="fish", count=1, seller="seller1"),
        *ORDERED[:1],
        *QUEUED[:1],
        event(101.2, "taken", order="buyer0-0", to="cache"),
        event(101.21, "purchased", "buyer0", order="buyer0-0", item="fish"),
        event(101.3, "unavailable", "warehouse", order="buyer0-7", item="fish", buyer="buyer0"),
        event(101.31, "unavailable", "buyer7", order="buyer0-7", item="fish"),  # the trader was told
        event(101.4, "shipped", "warehouse", order="buyer0-0", item="fish"),
        event(101.5, "oversold", "warehouse", order="buyer0-8", item="fish", buyer="buyer0"),
    )
    _, drawn = course.pieces.drawn()
    assert {name: sum(drawn[name]) for name in ("shipped", "unavailable", "oversold", "undersold")} == {
        "shipped": 1,
        "unavailable": 1,
        "oversold": 1,
        "undersold": 1,  # there was one left when nobody was said to have any
    }
    assert max(drawn["queue"]["buyer7"]) <= 1
    assert drawn["queue"]["buyer7"][-1] == drawn["stock"]["fish"][-1] == 0
    assert [wait for wait in drawn["p50"] if wait] == [pytest.approx(210, rel=0.026)]
    assert course.open == {}


def test_a_change_of_the_number_of_traders_is_of_the_market_and_not_of_who_asked_for_it() -> None:
    resized = event(102.0, "resized", "warehouse", seats=2, by="buyer7", wait_ms=40)
    course = course_of(event(101.0, "elected", "buyer7", seat=0), resized)
    assert course.changes == [Change(1.0, "buyer7", "trader0"), Change(2.0, "buyer7", "resized", seats=2)]
    assert [lane.seats for lane in lanes(course.changes, 5.0)] == [[(1.0, 5.0, "trader0")]]
    assert "from now on there are 2 traders, as buyer7 asked" in course.happenings[-1].text
    counted = Course(100.0)
    counted.count("warehouse", 102.0, [encode_line(resized)])
    assert counted.changes == course.changes[1:]


def test_who_held_a_seat_who_died_and_who_took_over() -> None:
    course = course_of(
        event(101.0, "elected", "buyer7", seat=0),
        event(101.2, "elected", "buyer6", seat=1),
        event(102.0, "fault", "launcher", fault="pause:buyer6@1+2", kind="pause", name="buyer6", for_s=2.0),
        event(103.0, "fell", "launcher", name="buyer7", how="was killed"),
        event(104.0, "trader_died", "buyer6", peer="buyer7", traders=("buyer6",), left="alone"),
        event(104.1, "took_over", "buyer6", peer="buyer7", orders=3, promised=0),
        event(104.2, "took_over", "buyer6", peer="buyer6", orders=3, promised=0),  # its own, of a former life
        event(105.0, "started", "launcher", name="buyer7", again=True),
    )
    assert course.changes == [
        Change(1.0, "buyer7", "trader0"),
        Change(1.2, "buyer6", "trader1"),
        Change(2.0, "buyer6", "paused", 4.0),
        Change(3.0, "buyer7", "dead"),
        Change(4.0, "buyer7", "peer"),
        Change(4.1, "buyer6", "took over", of="buyer7"),
        Change(5.0, "buyer7", "up"),
    ]


@pytest.mark.parametrize("counted", [False, True])
def test_the_edges_between_peers_come_and_go(counted: bool) -> None:
    lines = [event(100.5, "born", name, life=1) for name in ("buyer6", "buyer7", "warehouse")]
    lines += [event(101.0, "neighbours", "buyer6", names=("buyer7", "warehouse"))]
    lines += [
        event(101.1, "neighbours", "warehouse", names=("buyer6",)),
        event(101.2, "neighbours", "buyer7", names=("buyer6",)),
    ]
    death = event(103.0, "fell", "launcher", name="buyer7", how="was killed")
    course = Course(100.0)
    if counted:
        course.count("everybody", 104.0, [encode_line(line) for line in (*lines, death)])
    else:
        course = course_of(*lines, death)
    assert course.edges == [(1.2, "buyer6", "buyer7", True), (3.0, "buyer6", "buyer7", False)]


def test_the_queue_of_the_dead_waits_no_more() -> None:
    course = course_of(*QUEUED, event(104.5, "fell", "launcher", name="buyer7", how="was killed"))
    _, drawn = course.pieces.drawn()
    assert max(drawn["queue"]["buyer7"]) == 3
    assert drawn["queue"]["buyer7"][-1] == 0


def test_single_events_are_kept_up_to_a_number_and_the_rest_is_counted() -> None:
    sales = [event(101 + n / 100, "shipped", "warehouse", order=f"buyer0-{n}", item="fish") for n in range(300)]
    fault = event(102.5, "fault", "launcher", fault="kill:buyer6@1", kind="kill", name="buyer6", for_s=0.0)
    course = course_of(*sales[:150], fault, *sales[150:])
    kept = MOST_OF_A_KIND + MORE_AFTER_A_TURN
    assert course.kept["shipped"] == kept
    assert course.left_out() == {"shipped": 300 - kept}
    after = [happening.t for happening in course.happenings if happening.kind == "shipped"][MOST_OF_A_KIND:]
    assert all(2.5 <= t < 2.7 for t in after)  # right behind the fault


def test_lines_that_are_only_counted_give_the_same_figures() -> None:
    orders = []
    for number in range(40):
        orders += [event(101.0, "ordered", "buyer0", order=f"buyer0-{number}")]
        orders += [event(101.2, "purchased", "buyer0", order=f"buyer0-{number}")]
    course = Course(100.0)
    course.count("buyer7", 103.0, [encode_line(line) for line in (*QUEUED, event(101.3, "taken", order="buyer0-0"))])
    course.count("buyer0", 103.0, [encode_line(line) for line in orders])
    course.count("launcher", 103.0, [encode_line(event(102.0, "fell", "launcher", name="buyer6", how="was killed"))])
    _, drawn = course.pieces.drawn()
    assert drawn["queue"]["buyer7"][-1] == 2
    assert (course.seen["ordered"], course.seen["purchased"], course.seen["queued"]) == (40, 40, 3)
    assert [wait for wait in drawn["p50"] if wait] == [pytest.approx(200, rel=0.026)]
    assert course.sampled  # four of the forty were timed
    assert course.changes == [Change(2.0, "buyer6", "dead")]
