"""The pinned board of the terminal: who trades, how many orders wait, what is in stock, how far the run is.

The sentences scroll above it. It is as wide and as high as the terminal allows: the lowest rows are kept, and each row is cut
off. Whoever resizes the terminal gets the next board in the new size.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from bazaar.protocol.goods import ITEMS
from bazaar.views.course import Course

ECHO = 3  # columns that are left free: the terminal's own "^C" would begin another row
USUAL = os.terminal_size((80, 24))


def rows(course: Course, traders: int, now: float) -> list[Text]:
    """A row for each of so many seats, and a last one for the goods. `now`: seconds since the launch."""
    holders = {seat: peer for peer, seat in course.seats.items()}
    states = {change.who: change for change in course.changes if change.now in ("dead", "up", "paused")}
    found = []
    for seat in range(max([traders, *(seat + 1 for seat in holders)])):
        peer = holders.get(seat)
        if peer is None:
            found.append(Text(f"trader{seat:<4} nobody", style="dim"))
            continue
        last = states.get(peer)
        gone = last is not None and last.now != "up" and (last.until is None or now < last.until)
        state = last.now if gone and last is not None else ""
        style = "bold red" if state else "bold"
        found.append(Text(f"trader{seat:<4} {peer:<11} {course.queue.get(peer, 0):>6} waiting  {state}", style=style))
    stock = ", ".join(f"{item} {max(0, course.stock.get(item, 0))}" for item in ITEMS)
    sold = f"shipped {course.seen['shipped']} | over-sold {course.seen['oversold']}"
    found.append(Text(f"stock {stock} | {sold}", style="bold"))
    return found


class Room(NamedTuple):
    """How much of the terminal the board may take."""

    columns: int
    rows: int


def room(descriptor: int) -> Room:
    """At most half of the terminal's rows. A terminal that does not tell its size is taken to have the usual one."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        size = USUAL
    return Room(max(1, (size.columns or USUAL.columns) - ECHO), max(1, (size.lines or USUAL.lines) // 2))


class Cropped:
    """Something of which only the last rows are shown, each cut off at the right."""

    def __init__(self, inner: Callable[[], RenderableType], room: Callable[[], Room]) -> None:
        """Both are asked anew each time that it is shown."""
        self._inner = inner
        self._room = room

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The rows, as rich asks for them."""
        columns, most = self._room()
        lines = console.render_lines(self._inner(), options.update(no_wrap=True, overflow="ignore"), pad=False)
        for line in lines[-most:]:
            yield from Segment.adjust_line_length(line, columns, pad=False)
            yield Segment.line()
