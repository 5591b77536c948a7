"""The traders' lanes of `timeline.png`, from the changes of a run's course."""

from __future__ import annotations

from bazaar.views.course import Change
from bazaar.views.lanes import Lane, lanes


def test_a_tenure_ends_with_a_deposal_a_death_or_the_run() -> None:
    changes = [
        Change(1.0, "buyer7", "trader0"),
        Change(1.5, "seller6", "trader1"),
        Change(2.0, "buyer5", "trader2"),
        Change(2.5, "seller1", "dead"),  # was no trader
        Change(3.0, "seller6", "dead"),
        Change(5.0, "seller6", "peer"),
        Change(5.1, "buyer7", "took over", of="seller6"),
        Change(6.0, "buyer5", "peer"),
        Change(7.0, "buyer5", "trader1"),
    ]
    assert lanes(changes, 9.0) == [
        Lane("buyer7", [(1.0, 9.0, "trader0")], took_over=[(5.1, "seller6")]),
        Lane("seller6", [(1.5, 3.0, "trader1")], deaths=[3.0]),
        Lane("buyer5", [(2.0, 6.0, "trader2"), (7.0, 9.0, "trader1")]),
    ]


def test_a_pause_ends_by_itself_or_with_a_resume_a_death_or_the_run() -> None:
    names = ("buyer7", "buyer6", "buyer5", "buyer4")
    changes = [
        *(Change(1.0, name, f"trader{seat}") for seat, name in enumerate(names)),
        *(Change(2.0, name, "paused", until=5.0) for name in names[:3]),
        Change(3.0, "buyer6", "up"),
        Change(4.0, "buyer5", "dead"),
        Change(7.0, "buyer4", "paused", until=12.0),
    ]
    assert [lane.pauses for lane in lanes(changes, 9.0)] == [[(2.0, 5.0)], [(2.0, 3.0)], [(2.0, 4.0)], [(7.0, 9.0)]]
