"""What the viewers of a run share: who is sent what, who has to give way, and the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import save
from bazaar.runtime.history import LAUNCHER, History
from bazaar.runtime.runclock import clock_of, start_clock
from bazaar.views.live import show as showing
from bazaar.views.live.show import MOST_OF_AN_ADDRESS, MOST_VIEWERS, Show
from tests.builders import a_plan
from tests.unit.test_report import data_of
from tests.waiting import wait_until

PLAN = a_plan(peers=4, traders=1)
TRADER = PLAN.names[-1]
News = Generator[bytes, None, None]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    start_clock(tmp_path)
    save(PLAN, tmp_path / "bazaar.json")
    for name in (LAUNCHER, WAREHOUSE, *PLAN.names):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def show(run: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    monkeypatch.setattr(showing, "STILL_HERE_S", 0.05)
    return Show(run, PLAN)


def sells(run: Path, order: str) -> None:
    history = History(run / WAREHOUSE, WAREHOUSE)
    history.write(clock_of(run).wall + 1.0, [Noted(1, events.Shipped(order, "fish"))])
    history.close()


def has(run: Path, peer: str, neighbour: str) -> None:
    history = History(run / peer, peer)
    born = [] if history.former_life.lives else [Noted(1, events.Born(1))]
    history.write(clock_of(run).now(), [*born, Noted(2, events.Neighbours((neighbour,)))])
    history.close()


def looks(show: Show) -> None:
    """One round of `follow`."""
    with show._changed:
        assert show._feed is not None
        if show._feed.look():
            show._renew()


def piece(news: News) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(news))
    return found


def orders(piece: dict[str, Any]) -> list[str]:
    return [happening["order"] for happening in piece["state"]["happenings"]]


def test_a_viewer_is_sent_everything_and_then_what_is_new(show: Show, run: Path) -> None:
    sells(run, "buyer0-0")
    looks(show)
    news = show.news("a")
    assert orders(piece(news)) == ["buyer0-0"]
    assert next(news) == b""  # nothing for a while
    sells(run, "buyer0-1")
    looks(show)
    second = piece(news)
    assert orders(second) == ["buyer0-1"]
    assert sum(second["state"]["columns"]["shipped"]) == 2
    assert orders(piece(show.news("a"))) == ["buyer0-0", "buyer0-1"]  # a new viewer


def test_of_the_edges_too_a_viewer_is_sent_only_what_is_new(show: Show, run: Path) -> None:
    one, two, three, _ = PLAN.names
    has(run, one, two)
    has(run, two, one)
    looks(show)
    news = show.news("a")
    assert [edge[1:] for edge in piece(news)["state"]["edges"]] == [[one, two, True]]
    has(run, three, one)
    has(run, one, three)
    looks(show)
    assert [edge[1:] for edge in piece(news)["state"]["edges"]] == [[one, two, False], [one, three, True]]


def test_a_slow_viewer_is_sent_the_newest_state_and_how_many_it_missed(show: Show, run: Path) -> None:
    news = show.news("a")
    assert piece(news)["missed"] == 0
    for number in range(4):
        sells(run, f"buyer0-{number}")
        looks(show)
    late = piece(news)
    assert (late["missed"], sum(late["state"]["columns"]["shipped"])) == (3, 4)
    assert len(orders(late)) == 4  # of single events none is left out


def test_a_browser_cannot_use_up_its_connections(show: Show, run: Path) -> None:
    """The sixth stream of an address ends its oldest, and no other address's."""
    other = show.news("b")
    streams = [show.news("a") for _ in range(MOST_OF_AN_ADDRESS)]
    for news in (other, *streams):
        next(news)
    newest = show.news("a")
    next(newest)
    sells(run, "buyer0-0")
    looks(show)
    assert list(streams[0]) in ([], [b""])
    for news in (other, *streams[1:], newest):
        assert orders(piece(news)) == ["buyer0-0"]


def test_all_viewers_together_are_bounded(show: Show) -> None:
    streams = [show.news(f"10.0.0.{number}") for number in range(MOST_VIEWERS + 1)]
    for news in streams:
        next(news)
    assert list(streams[0]) in ([], [b""])
    assert len(show._viewers) == MOST_VIEWERS


def test_at_the_end_each_viewer_is_told_the_outcome_and_waited_for(show: Show, run: Path) -> None:
    news = show.news("a")
    next(news)
    (run / "report.html").write_text("all of it")
    ending = threading.Thread(target=show.end, args=(30.0,))
    ending.start()
    last = piece(news)
    assert (last["over"], last["summary"], last["report"]) == (True, None, "all of it")  # nobody has judged it
    assert ending.is_alive()
    assert list(news) == []
    ending.join(10.0)
    assert not ending.is_alive()


def test_nobody_is_waited_for_longer_than_that(show: Show) -> None:
    news = show.news("a")
    next(news)
    show.end(0.01)
    assert piece(news)["over"]


def test_following_ends_with_the_run(show: Show, run: Path) -> None:
    following = threading.Thread(target=show.follow)
    following.start()
    sells(run, "buyer0-0")
    news = show.news("a")
    wait_until(lambda: b"buyer0-0" in next(news))
    news.close()
    show.end(0.0)
    following.join(10.0)
    assert not following.is_alive()


def test_buttons_are_there_only_where_somebody_acts(run: Path) -> None:
    pages = [data_of(Show(run, PLAN, acts=acts).page.decode())["live"] for acts in (True, False)]
    assert [page["acts"] for page in pages] == [True, False]
    assert pages[0]["pause_s"] > PLAN.settings.suspect_after_s


def test_a_run_that_is_over_has_it_all_in_the_page_and_offers_its_report(run: Path) -> None:
    sells(run, "buyer0-0")
    show = Show(run, PLAN, over=True)
    data = data_of(show.page.decode())
    assert (sum(data["state"]["columns"]["shipped"]), data["live"]["acts"]) == (1, False)
    report = show.report()
    assert report is not None
    assert "live" not in data_of(report.decode())
    (run / "report.html").write_text("the one in its folder")
    assert show.report() == b"the one in its folder"


def test_while_a_run_goes_on_there_are_stories_but_no_report(show: Show, run: Path) -> None:
    sells(run, "buyer0-0")
    found = show.story("buyer0-0")
    assert found is not None
    assert [step["kind"] for step in json.loads(found)["steps"]] == ["shipped"]
    assert show.story("buyer0-1") is None
    assert show.report() is None
