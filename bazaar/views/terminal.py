"""The terminal's view of a run: sentences coloured by kind, a pinned board, and the summary table; plain text in a pipe."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bazaar.analysis.judgement import Judgement
from bazaar.analysis.stories import PICKS
from bazaar.analysis.summary import Summary
from bazaar.control.interrupts import deferred
from bazaar.control.launcher import Bazaar
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER, Recorded, decode_line
from bazaar.runtime.runclock import clock_of
from bazaar.runtime.tail import Tail
from bazaar.views.board import Cropped, room, rows
from bazaar.views.course import Course
from bazaar.views.narration import Narrator
from bazaar.views.screen import Screen

ORDER = re.compile(r"\bbuyer\d+-\d+\b")
"""The name of an order in a sentence."""
NARROWEST = 40  # columns; a narrower terminal wraps the lines itself
READING_PATIENCE_S = 3.0  # the wait, at the end, for a reader that is behind
MOST_AT_ONCE = 4_000_000  # bytes of one process's history, in a tenth of a second
REFRESH_S = 0.25  # of the board
MOST_BYTES = 3_000  # of one process's history in a tenth of a second: nobody can read faster

TELL_ALWAYS = tuple(
    f'"{event.kind}"'.encode()
    for event in (
        events.Elected,
        events.TraderDied,
        events.Resized,
        events.Resigned,
        events.SteppedDown,
        events.TookOver,
    )
)

COLOURS: dict[str, tuple[type[Event], ...]] = {
    "cyan": (  # elections
        events.ElectionStarted,
        events.Reelection,
        events.Elected,
        events.Recognized,
        events.ReadyForRegistration,
        events.WarmingUp,
        events.Opened,
    ),
    "green": (events.Purchased, events.Sold),
    "red": (events.Unavailable, events.Oversold, events.OutOfStock, events.Revoked),
    "yellow": (events.Registered, events.Picked, events.SellerLoop, events.Left),
    "magenta": (events.Pushed, events.Pulled),
    "bold red": (  # faults
        events.Fault,
        events.Missed,
        events.Fell,
        events.Started,
        events.Absent,
        events.TraderDied,
        events.HeardDeath,
        events.Resigned,
        events.NothingToResign,
        events.SteppedDown,
        events.TookOver,
        events.Unreadable,
    ),
}
STYLE_OF = {event: style for style, of_style in COLOURS.items() for event in of_style}


class Follower:
    """Reads the histories of a run while they grow."""

    def __init__(self, run: Path, names: Sequence[str], board: bool) -> None:
        """With `board` it keeps the course, too. Raises `OSError` or `msgspec.DecodeError` if the run is not launched."""
        self.clock = clock_of(run)
        self.course = Course(self.clock.wall) if board else None
        self._tails = {name: Tail(run / name / HISTORY_FILE) for name in names}

    def new(self, most_bytes: int) -> tuple[list[list[Recorded[Event]]], int]:
        """The new events since the last call, by process, and the number of lines left out as too many to read."""
        lines_of_all: list[list[Recorded[Event]]] = []
        of_course: list[Recorded[Event]] = []
        skipped = 0
        for name, tail in self._tails.items():
            lines = tail.new(MOST_AT_ONCE)  # after a pause of the launcher there is more; later calls read it
            if sum(map(len, lines)) > most_bytes:
                keep = [line for line in lines if any(what in line for what in TELL_ALWAYS)]
                skipped += len(lines) - len(keep)
                lines_of_all.append([decode_line(line) for line in keep])
                if self.course is not None and name in (LAUNCHER, WAREHOUSE):
                    of_course += map(decode_line, lines)
                elif self.course is not None:
                    self.course.count(name, self.clock.now(), lines)
            else:
                lines_of_all.append([decode_line(line) for line in lines])
                of_course += lines_of_all[-1]
        if self.course is not None:
            for line in sorted(of_course, key=lambda line: (line.at, line.clock)):
                self.course.add(line)
        return lines_of_all, skipped


class _Console(Console):
    """A console that leaves the cursor alone: a hidden cursor would stay hidden if somebody kills the launcher."""

    def show_cursor(self, show: bool = True) -> bool:
        """Does nothing."""
        return False


class Terminal:
    """Shows a run while it goes on, and then its result."""

    def __init__(self) -> None:
        self.quiet = False
        """Whether to print nothing but the verdict, in one line, and complaints."""
        self._screen, self._complaints = Screen(sys.stdout), Screen(sys.stderr)
        # Printed text is never markup: users choose names and paths, and these may contain brackets.
        self._console, self._errors = (
            _Console(file=file, highlight=False, emoji=False, soft_wrap=True, markup=False)  # type: ignore[arg-type]
            for file in (self._screen, self._complaints)
        )
        for console in (self._console, self._errors):  # with COLUMNS=0, or one column, the table would be lost
            if console.width < NARROWEST:
                console.width = NARROWEST
        self._narrator = Narrator()
        self._follower: Follower | None = None
        self._skipped = 0
        self._fetching = ""
        self._blind = ""  # why the histories cannot be followed any more
        self._out: Path | None = None
        self._traders = 0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("starting", total=None, count="")
        self._board: Live | None = None
        self._refresh_at = 0.0

    def show(self, bazaar: Bazaar) -> None:
        """Shows what is new. Called ten times a second. A failure to show does not disturb the run; `close` reports it."""
        first, self._out = self._out is None, bazaar.out
        if self.quiet:
            return
        if first:
            self._traders = bazaar.settings.traders
            self._console.print(f"Starting the bazaar with seed {bazaar.settings.seed} in {bazaar.out}")
        if bazaar.mongod.fetching not in ("", self._fetching):
            self._fetching = bazaar.mongod.fetching
            self._console.print(self._fetching)
        if not self._blind:
            try:
                if self._follower is None:
                    names = (LAUNCHER, *bazaar.plan.members, WAREHOUSE)
                    self._follower = Follower(bazaar.out, names, board=self._console.is_interactive)
                self._tell(*self._follower.new(MOST_BYTES))
            except (OSError, ValueError, LookupError) as error:  # somebody has edited, moved or deleted them
                self._blind = f"what happened could not be followed to the end ({error})"
        requests, answered = bazaar.settings.requests, bazaar.progress.answered
        count = f"{answered}{f' of {requests}' if requests else ''} answered" if answered else ""
        self._pin(bazaar.phase, answered, requests, count)

    def _tell(self, lines_of_all: Sequence[Sequence[Recorded[Event]]], skipped: int) -> None:
        sentences = self._narrator.tell(*lines_of_all)
        texts = [Text(str(sentence), style=STYLE_OF.get(sentence.kind, "")) for sentence in sentences]
        if texts:  # in one go: the board is drawn anew after each
            self._console.print(Text("\n").join(texts))
        if skipped and not self._skipped:
            self._console.print(
                f"(faster than one can read: from here on what is left out is in {self._out}/output.txt)"
            )
        self._skipped += skipped

    def _pin(self, phase: str, completed: float, total: float | None, count: str = "") -> None:
        """Shows how far it is, below the sentences; on a terminal that can move its cursor."""
        self._progress.update(self._task, description=phase, completed=completed, total=total, count=count)
        if self._console.is_interactive and time.monotonic() >= self._refresh_at:
            self._refresh_at = time.monotonic() + REFRESH_S
            if self._board is None:
                pinned = Cropped(self._pinned, lambda: room(self._screen.fileno()))
                self._board = Live(pinned, console=self._console, auto_refresh=False, transient=True)
                self._board.start()
            self._board.refresh()

    def _unpin(self) -> None:
        """Takes the board away, so that something else can be printed, on standard error too."""
        if self._board is not None:
            self._board.stop()
            self._board = None

    def _pinned(self) -> Group:
        above: list[Text] = []
        if self._follower is not None and self._follower.course is not None:
            clock = self._follower.clock
            above = rows(self._follower.course, self._traders, clock.now() - clock.wall)
        return Group(*above, self._progress.get_renderable())

    def judging(self, run: Path, share: float) -> None:
        """Shows the progress of the judging of a run's folder."""
        self._out = run
        self.at_work("judging", share)

    def at_work(self, what: str, share: float) -> None:
        """Shows how much of a longer work is done; nothing if this is no terminal."""
        with deferred():
            self._pin(what, share, 1.0)

    def conclude(self, run: Path, judgement: Judgement) -> None:
        """Prints the summary table, the story of each violation, and the files that could not be made.

        If it is quiet: one line instead of table and stories.
        """
        summary, report = judgement.summary, judgement.report
        self._unpin()
        for unmade in judgement.unmade if self.quiet else ():
            self.complain(unmade)
        if self.quiet:
            self._console.print(f"The bazaar of seed {summary.seed}: {summary.verdict}; its files are in {run}")
            return
        requests = summary.requests
        table = Table(title=f"The bazaar of seed {summary.seed}: {summary.verdict}", show_header=False)
        for name, value in (
            ("traders", ", ".join(summary.traders)),
            *_deposed(summary),
            ("cache, pace", f"{summary.cache}, {summary.pace}"),
            ("orders", f"{requests.asked} asked, {requests.purchased} purchased, {requests.unavailable} unavailable, "
                       f"{requests.oversold} oversold, {requests.unanswered} unanswered"),
            *_abroad(summary),
            ("undersold", f"{requests.undersold} refused though in stock"),
            ("goods shipped", f"{summary.goods_shipped} in {summary.trading_s:.2f} s, {summary.throughput_per_s:g} a second"),
            ("earned", _earned(summary)),
            ("time to an answer", f"p50 {summary.latency_ms.p50:g} ms, p99 {summary.latency_ms.p99:g} ms"),
            ("start to first order", f"{summary.startup_s:g} s, {summary.elections} election(s)"),
            *_clocks(summary),
            ("audit", f"{sum(summary.audit.values())} of {len(summary.audit)} checks held"),
            ("files", str(run)),
        ):  # fmt: skip
            table.add_row(name, value)
        self._console.print(table)
        for which, order in summary.examples.items():
            self._console.print(f"{PICKS[which][1]}: {order}; bash run.sh explain {order} {run} tells why")
        for fault in summary.faults:
            self._console.print(_what_it_cost(fault))
        for missed in report.missed:
            self._console.print(f"not done: {missed}")
        for unknown in report.unknown:
            self._console.print(f"unknown: {unknown}")
        for note in report.notes:
            self._console.print(f"note: {note}")
        if report.counter_examples:
            self._console.print("a weak cache may answer as no single stock could; these orders were answered so:")
        for example in report.counter_examples:
            self._console.print(f"  {example}")
        for check, stories in report.violations.items():
            self._console.print(f"violated: {check}")
            for story in stories:
                self._console.print(f"  {story}")
            if named := next(filter(None, map(ORDER.search, stories)), None):
                self._console.print(
                    f"  bash run.sh explain {named[0]} {run} tells the story of the first of these orders"
                )
        for unmade in judgement.unmade:
            self.complain(unmade)

    def say(self, line: str) -> None:
        """Prints one line on standard output."""
        self._unpin()
        self._console.print(line)

    def complain(self, line: str) -> None:
        """Prints one line on standard error."""
        self._unpin()
        self._errors.print(f"bazaar: {line}")

    def close(self) -> None:
        """Waits a moment for the reader, and reports on standard error what could not be shown."""
        self._unpin()
        where = f"; all of it is in {self._out}" if self._out is not None else ""
        for problem in (self._screen.unshown(READING_PATIENCE_S), self._blind):
            if problem:
                self.complain(f"{problem}{where}")
        self._complaints.unshown(READING_PATIENCE_S)


def _deposed(summary: Summary) -> list[tuple[str, str]]:
    """The rows of the table on deposed traders; none if nobody was deposed."""
    if not summary.deposed:
        return []
    deposed = ", ".join(
        f"{fall.peer} ({fall.why}{'' if fall.at_s is None else f' at {fall.at_s:g} s'})" for fall in summary.deposed
    )
    return [("deposed", deposed), ("traders at the end", ", ".join(summary.traders_at_end) or "none")]


def _abroad(summary: Summary) -> list[tuple[str, str]]:
    """The row of the table on orders abroad; none for a bazaar that trades with no other."""
    a = summary.abroad
    if a is None:
        return []
    asked = f"{a.asked} asked, {a.bought} bought, {a.unavailable} unavailable, {a.unknown} unknown"
    return [("abroad", f"{asked}; for others {a.sold} sold, {a.refused} refused")]


def _clocks(summary: Summary) -> list[tuple[str, str]]:
    """The row of the table on the clocks of other machines; none if all peers were here."""
    errors_ms = summary.clock_errors_ms
    if not errors_ms:
        return []
    return [("times of others", f"{len(errors_ms)} peer(s) on other machines, right to {max(errors_ms.values()):g} ms")]


def _earned(summary: Summary) -> str:
    sellers, traders = (sum(earned.values()) / 100 for earned in (summary.earnings.sellers, summary.earnings.traders))
    return f"sellers {sellers:.2f} $, traders kept {traders:.2f} $"


def _what_it_cost(fault: dict[str, Any]) -> str:
    detected_s, recovered_s = fault["detected_s"], fault["recovered_s"]
    noticed = "nobody noticed" if detected_s is None else f"noticed after {detected_s:g} s"
    went_on = "" if recovered_s is None else f", trade went on after {recovered_s:g} s"
    return f"fault {fault['what']} at {fault['at_s']:g} s: {noticed}{went_on}"
