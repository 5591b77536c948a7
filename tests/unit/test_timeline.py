"""What the picture of a run over time shows, from hand-made histories."""

from __future__ import annotations

from typing import Any

from bazaar.history import Happening
from bazaar.timeline import shades, shipped, waiting


def event(at: float, what: str, process: str = "buyer7", **facts: Any) -> Happening:
    return Happening(at, process, 1, what, facts)


def test_goods_are_counted_by_bin_and_told_a_second() -> None:
    history = [
        event(at, what) for at, what in ((10.1, "shipped"), (10.4, "shipped"), (11.2, "shipped"), (11.3, "taken"))
    ]
    assert shipped(history, 10.0, 0.5) == [4.0, 0.0, 2.0]
    assert shipped([], 10.0, 0.5) == []


def test_an_order_waits_from_the_bin_in_which_it_is_queued_to_that_in_which_it_is_taken() -> None:
    history = [
        event(10.2, "queued", order="buyer0-0"),
        event(10.3, "inherited", order="buyer0-1"),
        event(12.5, "taken", order="buyer0-0"),
        event(13.5, "taken", order="buyer0-1"),
    ]
    assert waiting(history, 10.0, 1.0) == [2, 2, 1, 0]


def test_who_is_killed_or_steps_down_has_no_queue_any_more() -> None:
    for what in ("fell", "stepped_down"):
        assert waiting([event(10.0, "queued", order="buyer0-0"), event(11.0, what)], 10.0, 1.0) == [1, 0]


def test_an_election_is_shaded_until_somebody_is_elected_and_a_fault_until_it_is_noticed() -> None:
    happenings = [
        event(1.0, "election_started"),
        event(2.0, "elected"),
        event(5.0, "fault", "launcher", fault="kill:trader0@3", name="buyer7", for_s=0.0),
        event(5.5, "trader_died", "buyer6", peer="buyer7"),
        event(8.0, "fault", "launcher", fault="pause:warehouse@6+2", name="warehouse", for_s=2.0),
    ]
    assert [shade[:3] for shade in shades(happenings)] == [
        (1.0, 2.0, ""),
        (5.0, 5.5, "kill:trader0@3"),
        (8.0, 10.0, "pause:warehouse@6+2"),
    ]
