"""One process's router: what it says, passes on, drops, and follows."""

from __future__ import annotations

from collections import Counter

import pytest

from bazaar.core.channel import Channel
from bazaar.core.clock import LamportClock
from bazaar.core.routing.link import MOST_WAITING, ROOM, Link
from bazaar.core.routing.router import HELLOS, Router, Terms
from bazaar.core.turn import NEVER, Noted, Turn
from bazaar.protocol import events
from bazaar.protocol.frames import AnyFrame, Bundle, Busy, Hello, News, Relay, Report
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.messages import WhoTrades
from bazaar.protocol.wire import Letter, MalformedMessage, decode, encode

#        buyer0 - seller1 (me) - buyer2 - seller3 = warehouse
PLAN = {
    "buyer0": ("seller1",),
    "seller1": ("buyer0", "buyer2"),
    "buyer2": ("seller1", "seller3"),
    "seller3": ("buyer2",),
}
ME, MISSED_AFTER_S = "seller1", 2.0


class Stage:
    """A router whose neighbours are played by the test."""

    def __init__(self, begun: bool = True) -> None:
        self.now = 100.0
        self.noted: list[Noted] = []
        self.router = Router(ME, 1, Terms(PLAN, 1, MISSED_AFTER_S))
        self.act(self.router.born)
        if begun:
            self.router.begin(self.now)
            self.act(self.router.tick)

    def act(self, act: object, *more: object) -> None:
        turn = Turn(self.now, LamportClock())
        act(turn, *more)  # type: ignore[operator]
        self.noted += turn.events

    def hears(self, source: str, *frames: AnyFrame) -> None:
        self.act(self.router.take, encode(Bundle(source, frames)))

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.router.tick)

    def sent(self) -> dict[str, list[AnyFrame]]:
        """What leaves now, by neighbour."""
        sent: dict[str, list[AnyFrame]] = {}
        for name, link in self.router.links.items():
            while (bundle := link.delivery(self.now)) is not None:
                sent.setdefault(name, []).extend(bundle.frames)
        return sent


def relay(target: str, hops: int = 4) -> Relay:
    return Relay("buyer0", target, hops, b"data")


# ----------------------------------------------------------------------------------------------- neighbours
def test_it_has_links_to_its_neighbours_and_notes_them() -> None:
    stage = Stage(begun=False)
    assert set(stage.router.links) == {"buyer0", "buyer2"}
    assert [noted.event for noted in stage.noted] == [events.Neighbours(("buyer0", "buyer2"))]
    assert stage.sent() == {}, "it says nothing before everybody is there"
    assert stage.router.deadline == NEVER


def test_it_says_hello_to_its_neighbours_again_and_again() -> None:
    stage = Stage()
    assert stage.sent() == {"buyer0": [Hello(1, 0)], "buyer2": [Hello(1, 0)]}
    stage.passes(MISSED_AFTER_S / HELLOS / 2)
    assert stage.sent() == {}
    stage.passes(MISSED_AFTER_S / HELLOS / 2)
    assert stage.sent().keys() == {"buyer0", "buyer2"}


def test_a_silent_neighbour_is_missed_and_all_are_told() -> None:
    stage = Stage()
    for _ in range(8):
        stage.passes(MISSED_AFTER_S / 8)
        stage.hears("buyer0", Hello(1, 0))
    assert events.LostNeighbour("buyer2") in [noted.event for noted in stage.noted]
    told = [frame for frame in stage.sent()["buyer0"] if isinstance(frame, News)]
    assert told[0] == News((Report(ME, 1, "buyer2", 1, 1),))
    stage.hears("buyer2", Hello(1, 0))
    assert events.FoundNeighbour("buyer2") in [noted.event for noted in stage.noted]
    assert set(stage.router.links) == {"buyer0", "buyer2"}


def test_news_are_passed_to_all_but_the_one_that_told_them_and_once() -> None:
    stage = Stage()
    stage.sent()
    news = News((Report("buyer2", 1, "seller3", 1, 1),))
    stage.hears("buyer2", news)
    assert stage.sent() == {"buyer0": [news]}
    stage.hears("buyer2", news)
    assert stage.sent() == {}


def test_who_is_missed_and_alive_contradicts_to_all() -> None:
    stage = Stage()
    stage.sent()
    stage.hears("buyer2", News((Report("buyer0", 1, ME, 1, 1),)))
    contradiction = Report(ME, 1, ME, 1, 1)
    said = stage.sent()
    assert all(
        contradiction in frame.reports for frames in said.values() for frame in frames if isinstance(frame, News)
    )
    assert "buyer2" in said


def test_a_neighbour_with_other_reports_is_told_all_at_the_next_hello() -> None:
    stage = Stage()
    stage.hears("buyer2", News((Report("buyer2", 1, "seller3", 1, 1),)))
    stage.sent()
    stage.hears("buyer0", Hello(1, 12345))
    stage.passes(MISSED_AFTER_S / HELLOS)
    said = stage.sent()["buyer0"]
    assert News((Report("buyer2", 1, "seller3", 1, 1),)) in said
    (hello,) = [frame for frame in said if isinstance(frame, Hello)]
    stage.hears("buyer0", Hello(1, hello.digest))
    stage.passes(MISSED_AFTER_S / HELLOS)
    assert [type(frame) for frame in stage.sent()["buyer0"]] == [Hello]


# -------------------------------------------------------------------------------------------------- relaying
def test_a_relay_passes_a_frame_on_and_counts_the_edge() -> None:
    stage = Stage()
    stage.sent()
    stage.hears("buyer0", relay("seller3"), relay(WAREHOUSE))
    assert stage.sent() == {"buyer2": [relay("seller3", 3), relay(WAREHOUSE, 3)]}


def test_after_its_last_edge_a_frame_is_dropped() -> None:
    stage = Stage()
    stage.sent()
    stage.hears("buyer0", relay("seller3", hops=0))
    assert stage.sent() == {}


def test_what_is_for_this_process_comes_out() -> None:
    stage = Stage()
    stage.hears("buyer0", relay(ME))
    assert stage.router.arrived_now() == [b"data"]
    assert stage.router.arrived_now() == []


def test_a_full_queue_drops_and_tells_the_sender() -> None:
    stage = Stage()
    stage.sent()
    stage.hears("buyer0", *[relay("seller3")] * (MOST_WAITING + 3))
    said = stage.sent()
    assert len(said["buyer2"]) == MOST_WAITING
    assert said["buyer0"] == [Busy("buyer0", 3, "seller3")] * 3
    stage.hears("buyer2", Busy(ME, 2, "seller3"))
    assert stage.router.dropped_now() == ["seller3"]


def test_frames_whose_neighbour_is_missed_take_another_way() -> None:
    """seller1 and buyer2 are parted; buyer0 and seller3 are joined. The edge that was missed is only tried."""
    stage = Stage()
    stage.sent()
    stage.hears("buyer0", relay("seller3"))
    stage.hears("buyer0", News((Report("buyer2", 1, ME, 1, 1),)))
    assert stage.router.changed_now()
    assert stage.noted[-1].event == events.Neighbours(("buyer0", "buyer2"), "buyer2")
    said = stage.sent()
    assert relay("seller3", 2) in said["buyer0"]
    assert not [frame for frame in said["buyer2"] if isinstance(frame, Relay)]


def test_who_is_no_neighbour_any_more_gets_nothing() -> None:
    stage = Stage()
    stage.hears("buyer0", News((Report(ME, 1, "buyer2", 1, 1), Report("seller3", 1, "buyer2", 1, 1))))
    (link,) = stage.router.given_up()
    assert (link.other, link.closed) == ("buyer2", True)
    assert "buyer2" not in stage.router.links


@pytest.mark.parametrize("source", [ME, "buyer9", "launcher"])
def test_who_is_no_other_process_of_the_run_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=f"a bundle from {source}"):
        Stage().hears(source, Hello(1, 0))


def test_rubbish_is_refused() -> None:
    for data in (b"", b"\xc1", encode(Bundle("buyer0", (Hello(1, 0),)))[:-1]):
        with pytest.raises(MalformedMessage):
            Stage().act(Stage().router.take, data)


# ---------------------------------------------------------------------------------------------- own deliveries
def test_own_deliveries_wait_in_their_channel_while_many_frames_wait() -> None:
    stage = Stage()
    stage.sent()
    channel = Channel(ME, "seller3", 1, 10.0)
    channel.put(Letter(1, WhoTrades()))
    stage.hears("buyer0", *[relay("seller3")] * ROOM)
    stage.router.carry(channel, stage.now)
    assert channel.deadline == NEVER
    assert len(stage.sent()["buyer2"]) == ROOM
    (waiting,) = stage.router.waiting()
    stage.router.carry(waiting, stage.now)
    (frame,) = stage.sent()["buyer2"]
    assert isinstance(frame, Relay)
    assert decode(frame.data).target == "seller3"


def test_what_a_process_sends_to_itself_comes_out_at_once() -> None:
    stage = Stage()
    channel = Channel(ME, ME, 1, 10.0)
    channel.put(Letter(1, WhoTrades()))
    stage.router.carry(channel, stage.now)
    assert stage.router.deadline == 0.0
    (data,) = stage.router.arrived_now()
    assert decode(data).source == ME


def test_a_lost_connection_loses_hellos_and_keeps_what_waits() -> None:
    link = Link(ME, "buyer2", Counter())
    link.say(Hello(1, 0))
    link.relay(relay("seller3"))
    link.again()
    bundle = link.delivery(0.0)
    assert bundle is not None
    assert bundle.frames == (relay("seller3"),)
    assert link.repeated == 1
