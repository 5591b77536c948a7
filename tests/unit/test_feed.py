"""The feed of the live page, over histories that grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER, History
from bazaar.runtime.runclock import clock_of, start_clock
from bazaar.views import feed as feeding
from bazaar.views.feed import Feed
from tests.builders import a_plan

PLAN = a_plan(peers=4, traders=1)
TRADER, BUYER = PLAN.names[-1], PLAN.names[0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    start_clock(tmp_path)
    for name in (LAUNCHER, WAREHOUSE, *PLAN.names):
        (tmp_path / name).mkdir()
    return tmp_path


def happens(run: Path, process: str, *happenings: tuple[float, Event]) -> None:
    """Appends to a history. The times are seconds since the launch."""
    history = History(run / process, process)
    for at, event in happenings:
        history.write(clock_of(run).wall + at, [Noted(1, event)])
    history.close()


def queued(number: int) -> Event:
    return events.Queued(f"buyer0-{number}", "fish", "buyer0", 1, "fish")


def test_it_takes_in_what_is_new_in_the_order_of_time(run: Path) -> None:
    feed = Feed(run, PLAN)
    assert not feed.look()
    happens(run, LAUNCHER, (3.0, events.Fell(TRADER)))
    happens(run, TRADER, (1.0, events.Elected(0)), (2.0, queued(0)))
    assert feed.look()
    assert [(change.who, change.now) for change in feed.course.changes] == [(TRADER, "trader0"), (TRADER, "dead")]
    assert not feed.look()
    happens(run, WAREHOUSE, (4.0, events.Shipped("buyer0-0", "fish")))
    assert feed.look()
    assert feed.course.seen["shipped"] == 1
    assert feed.course.end == pytest.approx(4.0, abs=0.001)


def test_what_is_too_much_to_read_is_counted(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "MOST_LINES", 20)
    happens(run, TRADER, (0.5, events.Elected(0)), *[(1.0, queued(n)) for n in range(30)])
    happens(run, BUYER, *[(1.0, events.Ordered(f"buyer0-{n}", "fish", TRADER)) for n in range(30)])
    happens(run, WAREHOUSE, *[(1.5, events.Shipped(f"buyer0-{n}", "fish")) for n in range(9)])
    feed = Feed(run, PLAN)
    assert feed.look()
    course = feed.course
    assert course.sampled
    assert (course.seen["queued"], course.seen["ordered"], course.seen["shipped"]) == (30, 30, 9)
    assert len(course.open) == 3  # of the thirty orders those that end in 0 are timed
    assert [change.now for change in course.changes] == ["trader0"]
    assert {happening.kind for happening in course.happenings} == {"elected", "shipped"}
    assert course.pieces.drawn()[1]["queue"][TRADER][-1] == 30


def test_a_history_that_somebody_has_edited_blinds_it_and_it_says_why(run: Path) -> None:
    feed = Feed(run, PLAN)
    (run / BUYER / HISTORY_FILE).write_bytes(b'{"what":"poem"}\n')
    assert feed.look()
    assert "cannot be followed any more: " in feed.blind
    happens(run, WAREHOUSE, (1.0, events.Shipped("buyer0-0", "fish")))
    assert not feed.look()
