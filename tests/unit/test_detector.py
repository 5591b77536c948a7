from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.detector import Detector
from bazaar.core.turn import NEVER

TIMEOUT_S = 8.0


def a_detector(*names: str, at: float = 0.0) -> Detector:
    """It has watched over these since then, and has just looked."""
    detector = Detector(TIMEOUT_S)
    detector.watch(names, at)
    assert detector.suspects(at) == []
    return detector


def waits(detector: Detector, since: float, until: float, heard: str | None = None) -> list[tuple[float, str]]:
    """Looks once a second, as a process that is there does, and each time hears of `heard`; who was suspected when."""
    suspected = []
    now = since
    while now < until:
        now = min(now + 1.0, until)
        if heard is not None:
            detector.heard(heard, now)
        suspected += [(now, name) for name in detector.suspects(now)]
    return suspected


def test_silence_for_the_timeout_is_suspicion_and_not_before() -> None:
    assert waits(a_detector("buyer7"), 0.0, 9.0) == [(TIMEOUT_S, "buyer7")]


def test_a_sign_of_life_counts_from_when_it_was_heard() -> None:
    detector = a_detector("buyer7")
    assert waits(detector, 0.0, 5.5) == []
    detector.heard("buyer7", 5.5)
    assert waits(detector, 5.5, 13.4) == []
    assert detector.suspects(13.5) == ["buyer7"]


def test_whoever_is_heard_of_is_never_suspected_and_the_silent_beside_it_is() -> None:
    suspected = waits(a_detector("buyer7", "seller6"), 0.0, 15.0, heard="seller6")
    assert suspected == [(TIMEOUT_S, "buyer7")]


def test_each_suspect_is_named_once_in_a_timeout() -> None:
    assert waits(a_detector("buyer7"), 0.0, 25.0) == [(8.0, "buyer7"), (16.0, "buyer7"), (24.0, "buyer7")]


def test_several_that_die_at_once_are_all_named() -> None:
    suspected = waits(a_detector("buyer7", "seller6", "buyer5"), 0.0, 8.0)
    assert suspected == [(8.0, "buyer7"), (8.0, "seller6"), (8.0, "buyer5")]


def test_newcomers_count_as_heard_of_just_now_and_the_others_keep_their_silence() -> None:
    detector = a_detector("buyer7")
    assert waits(detector, 0.0, 5.0) == []
    detector.watch(["buyer7", "seller6"], 5.0)
    assert waits(detector, 5.0, 13.0) == [(8.0, "buyer7"), (13.0, "seller6")]


def test_whoever_is_not_watched_is_not_suspected() -> None:
    detector = a_detector("buyer7", "seller6")
    detector.watch(["seller6"], 1.0)
    assert waits(detector, 1.0, 8.0) == [(8.0, "seller6")]
    detector.watch([], 9.0)
    detector.heard("buyer7", 9.0)
    assert waits(detector, 9.0, 99.0) == []
    assert detector.deadline == NEVER


# ------------------------------------------------------------------------------------------ one's own absence
def test_the_time_that_one_was_stopped_oneself_is_not_held_against_the_others() -> None:
    detector = a_detector("buyer7")
    assert waits(detector, 0.0, 6.0) == []
    assert detector.suspects(1000.0) == []  # SIGSTOP at 6, SIGCONT at 1000
    assert waits(detector, 1000.0, 1001.0) == []
    assert detector.suspects(1002.0) == ["buyer7"]  # six seconds before, two after


def test_after_an_absence_the_silent_are_suspected_all_the_same() -> None:
    detector = a_detector("buyer7", "seller6")
    assert detector.suspects(500.0) == []
    assert waits(detector, 500.0, 510.0, heard="seller6") == [(508.0, "buyer7")]


def test_a_short_delay_is_no_absence() -> None:
    detector = a_detector("buyer7")
    for now in (4.0, 7.9):
        assert detector.suspects(now) == []
    assert detector.suspects(8.0) == ["buyer7"]


# ----------------------------------------------------------------------------------------------- the deadline
def test_it_wants_to_look_often_enough_to_notice_its_own_absence_and_on_time() -> None:
    detector = a_detector("buyer7")
    assert detector.deadline == TIMEOUT_S / 4
    detector.suspects(7.0)
    detector = a_detector("buyer7")
    waits(detector, 0.0, 7.0)
    assert detector.deadline == TIMEOUT_S


def test_with_nobody_to_watch_over_it_never_wants_to_look() -> None:
    assert a_detector().deadline == NEVER


@given(
    st.lists(st.tuples(st.floats(0.0, 30.0), st.sets(st.sampled_from(["buyer7", "seller6", "buyer5"]))), max_size=30),
    st.sampled_from([0.1, 2.0, 5.0]),
)
def test_once_it_has_looked_it_waits_for_a_time_to_come(steps: list[tuple[float, set[str]]], timeout_s: float) -> None:
    """A deadline that is not after `now` would have the driver spin."""
    detector, now = Detector(timeout_s), 0.0
    detector.watch(["buyer7", "seller6", "buyer5"], now)
    for passed_s, heard in steps:
        now += passed_s
        for name in heard:
            detector.heard(name, now)
        assert len(set(suspects := detector.suspects(now))) == len(suspects)
        assert not heard & set(suspects)
        assert now < detector.deadline <= now + timeout_s


@pytest.mark.parametrize("timeout_s", [0.1, 2.0, 5.0])
def test_a_driver_that_goes_by_its_deadlines_suspects_on_time(timeout_s: float) -> None:
    detector = Detector(timeout_s)
    detector.watch(["buyer7"], 100.0)
    detector.suspects(100.0)
    for looks in range(20):
        now = detector.deadline
        if detector.suspects(now):
            assert now == pytest.approx(100.0 + timeout_s)
            assert looks < 10
            return
    pytest.fail("nobody was suspected")


def test_with_less_patience_than_before_everybody_counts_as_heard_of_just_now() -> None:
    """A peer that becomes a trader was spoken to now and then only; from now on it is spoken to often."""
    detector = Detector(15.0)
    detector.watch(["buyer7"], 0.0)
    detector.watch(["buyer7", "seller6"], 9.0, 5.0)
    assert [detector.suspects(now) for now in (9.0, 11.0, 13.0, 13.9)] == [[], [], [], []]
    assert detector.suspects(14.0) == ["buyer7", "seller6"]


def test_an_absence_before_somebody_was_watched_is_not_held_in_its_favour() -> None:
    detector = Detector(5.0)
    detector.suspects(0.0)
    detector.watch(["buyer7"], 10.0)  # until then there was nobody to look after
    assert [detector.suspects(now) for now in (10.0, 12.0, 14.0)] == [[], [], []]
    assert detector.suspects(15.0) == ["buyer7"]


def test_with_more_patience_the_silence_so_far_counts() -> None:
    detector = Detector(5.0)
    detector.watch(["buyer7"], 0.0)
    detector.watch(["buyer7"], 4.0, 15.0)
    assert [detector.suspects(float(now)) for now in range(4, 15)] == [[]] * 11
    assert detector.suspects(15.0) == ["buyer7"]
