from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.clock import LamportClock
from bazaar.core.turn import Turn
from bazaar.protocol.events import SellerLoop
from bazaar.protocol.messages import WhoTrades
from bazaar.protocol.wire import Letter


def test_each_event_has_a_later_time() -> None:
    clock = LamportClock()
    assert [clock.tick() for _ in range(3)] == [1, 2, 3]


def test_a_message_is_received_after_it_was_sent() -> None:
    clock = LamportClock()
    assert clock.witness(41) == 42
    assert clock.tick() == 43


def test_an_old_message_does_not_turn_the_clock_back() -> None:
    clock = LamportClock()
    clock.witness(41)
    assert clock.witness(3) == 43


@given(st.lists(st.none() | st.integers(0, 1000)))
def test_the_clock_strictly_increases_and_passes_all_it_witnesses(events: list[int | None]) -> None:
    clock, before = LamportClock(), 0
    for sent_at in events:
        now = clock.tick() if sent_at is None else clock.witness(sent_at)
        assert now > max(before, sent_at or 0)
        before = now


def test_a_turn_stamps_every_send_and_every_event_with_a_time_of_its_own() -> None:
    turn = Turn(0.0, LamportClock())
    turn.witness("buyer0", Letter(10, WhoTrades()))
    turn.send("buyer0", WhoTrades())
    turn.note(SellerLoop())
    turn.send("buyer0", WhoTrades())
    (_, first), (_, second) = turn.sends
    assert [first.clock, turn.events[0].clock, second.clock] == [12, 13, 14]
    assert (turn.events[0].source, turn.events[0].sent) == ("buyer0", 10)


def test_what_time_brings_about_has_no_message_behind_it() -> None:
    turn = Turn(0.0, LamportClock())
    turn.witness("buyer0", Letter(10, WhoTrades()))
    turn.unprompted()
    turn.note(SellerLoop())
    assert turn.events[0].source is None
