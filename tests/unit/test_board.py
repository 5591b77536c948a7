"""The pinned board of the terminal: what it says of a run, and how it fits into a terminal of any size."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bazaar.protocol.events import Event
from bazaar.runtime.history import HISTORY_FILE, Recorded, encode_line
from bazaar.runtime.runclock import start_clock
from bazaar.views.board import ECHO, Cropped, Room, room, rows
from bazaar.views.course import Course
from bazaar.views.terminal import Follower
from tests.builders import a_line


def event(at: float, what: str, process: str = "buyer7", **facts: Any) -> Recorded[Event]:
    return a_line(at, process, 1, what, facts)


ELECTED = (event(1.0, "elected", seat=0), event(1.1, "elected", "seller6", seat=1))
QUEUED = [
    event(2.0, "queued", "seller6", order=f"buyer0-{n}", item="salt", buyer="buyer0", clock=n, lane="salt")
    for n in range(3)
]
STOCKED = event(1.5, "stocked", "warehouse", item="salt", count=10, seller="seller1")
SHIPPED = event(2.5, "shipped", "warehouse", order="buyer0-0", item="salt")
OVERSOLD = event(2.6, "oversold", "warehouse", order="buyer0-1", item="salt", buyer="buyer0")
PAUSED = event(3.0, "fault", "launcher", fault="pause:seller6@1+2", kind="pause", name="seller6", for_s=2.0)
FELL = event(3.0, "fell", "launcher", name="seller6")
BACK = event(3.5, "started", "launcher", name="seller6", again=True)
DEPOSED = event(4.0, "deposed", "warehouse", peer="seller6", seat=1)


def board(*lines: Recorded[Event], now: float = 4.5, traders: int = 2) -> list[str]:
    course = Course(0.0)
    for line in lines:
        course.add(line)
    return [row.plain.strip() for row in rows(course, traders, now)]


def test_before_anything_there_is_nobody_and_nothing() -> None:
    assert board() == [
        "trader0    nobody",
        "trader1    nobody",
        "stock fish 0, salt 0, boar 0 | shipped 0 | over-sold 0",
    ]


def test_seats_queues_stock_and_what_was_over_sold() -> None:
    assert board(*ELECTED, *QUEUED, STOCKED, SHIPPED, OVERSOLD) == [
        "trader0    buyer7           0 waiting",
        "trader1    seller6          3 waiting",
        "stock fish 0, salt 9, boar 0 | shipped 1 | over-sold 1",
    ]


@pytest.mark.parametrize(
    ("happened", "now", "row"),
    [
        ([FELL], 4.5, "trader1    seller6          0 waiting  dead"),
        ([FELL, BACK], 4.5, "trader1    seller6          0 waiting"),
        ([FELL, DEPOSED], 4.5, "trader1    nobody"),
        ([PAUSED], 4.5, "trader1    seller6          0 waiting  paused"),
        ([PAUSED], 5.5, "trader1    seller6          0 waiting"),  # it has ended by itself
    ],
)
def test_who_is_dead_paused_or_deposed(happened: list[Recorded[Event]], now: float, row: str) -> None:
    assert board(*ELECTED, *happened, now=now)[1] == row


def test_there_is_a_row_for_a_seat_beyond_those_asked_for() -> None:
    assert len(board(*ELECTED, traders=1)) == 3


# ------------------------------------------------------------------------------------------------- its size
def shown(columns: int, most: int, *lines: str, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    text = Cropped(lambda: Group(*map(Text, lines)), lambda: Room(columns, most))
    return ["".join(segment.text for segment in line) for line in console.render_lines(text, pad=False)]


def test_the_lowest_rows_are_kept_and_each_is_cut_off() -> None:
    assert shown(5, 2, "one", "two", "three four") == ["two", "three"]
    assert shown(50, 20, "one", "two", "three four") == ["one", "two", "three four"]
    assert shown(200, 5, "a" * 100, width=40) == ["a" * 40]  # no row is wrapped, whatever rich takes for its width


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        ((80, 24), Room(80 - ECHO, 12)),
        ((20, 5), Room(20 - ECHO, 2)),
        ((1, 1), Room(1, 1)),
        ((0, 0), Room(80 - ECHO, 12)),  # it does not say
    ],
)
def test_it_takes_at_most_half_of_the_rows(size: tuple[int, int], taken: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size(size))
    assert room(1) == taken


def test_what_is_no_terminal_has_the_usual_size(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert room(file.fileno()) == Room(80 - ECHO, 12)


def test_a_terminal_that_shrinks_gets_a_smaller_board() -> None:
    said, now = io.StringIO(), [Room(50, 10)]
    console = Console(file=said, force_terminal=True, width=80)
    with Live(Cropped(lambda: Text("1\n2\n3"), lambda: now[0]), console=console, auto_refresh=False) as live:
        live.refresh()
        now[0] = Room(50, 1)
        said.truncate(0)
        live.refresh()
        assert "1" not in said.getvalue().replace("\x1b[1A", "")
        assert said.getvalue().count("\x1b[1A\x1b[2K") == 2  # the old one is wiped out first


# ---------------------------------------------------------------------------------------- where it comes from
def test_of_what_is_too_much_to_tell_the_board_misses_nothing(tmp_path: Path) -> None:
    start_clock(tmp_path)
    histories = {
        "warehouse": [STOCKED, SHIPPED],
        "seller6": [*ELECTED[1:], *QUEUED],
        "launcher": [event(2.7, "closing", "launcher")],
    }
    for name, lines in histories.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, lines)))
    for most_bytes in (100_000, 10):
        follower = Follower(tmp_path, [*histories, "buyer0"], board=True)
        told, skipped = follower.new(most_bytes)
        assert follower.course is not None
        assert [row.plain.strip() for row in rows(follower.course, 2, 4.5)][1:] == [
            "trader1    seller6          3 waiting",
            "stock fish 0, salt 9, boar 0 | shipped 1 | over-sold 0",
        ]
        assert sum(map(len, told)) + skipped == 7
    assert skipped == 6  # elections are always told
    assert follower.new(10) == ([[], [], [], []], 0)
