"""Writes the texts of a run while it goes on (requirements A7, I1): `python -m bazaar.views.texts RUN`.

`output.txt` has all sentences, `trader0.txt`, … those of each seat, `warehouse.txt` those of the warehouse. This process reads
only the histories. While the run goes on it takes at most a tenth of one processor (`Throttle`). At full speed it lags, and
finishes after the end. (A low priority instead could not be taken back then, and the end of a run would be late on a busy
machine.)

The lines must be in the order of time, but the processes write their histories side by side. So a sentence is written when all
histories are read to a later time. A history without new lines is taken to be complete up to `SETTLED_S` ago, and a `Mark`
says so: a punctuation (Tucker et al., "Exploiting Punctuation Semantics in Continuous Data Streams", TKDE 15(3), 2003). If a
process was stopped just before it wrote a line, the line comes after such a mark. Then the texts are written anew at the end,
in one piece. So at the end they have the same bytes however they came about.

The launcher writes a line to standard input when all histories are complete. If the process is started only then, it writes
the texts at once. As long as they are not whole, there is the file `texts.unfinished`.
"""

from __future__ import annotations

import select
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import load
from bazaar.runtime import process
from bazaar.runtime.history import (
    BLOCK_BYTES,
    HISTORY_FILE,
    Recorded,
    by_time,
    decode_line,
    histories_of,
    only,
)
from bazaar.runtime.runclock import clock_of
from bazaar.runtime.tail import Tail
from bazaar.views.caches import Caches
from bazaar.views.narration import Narrator

OUTPUT = "output"
UNFINISHED = "texts.unfinished"
SETTLED_S = 0.3
LOOK_EVERY_S = 0.2
EVENTS_A_PIECE = 2_000
SHARE = 0.1  # of one processor, while the run goes on
CREDIT_S = 1.0  # a process that has rested may use the share of so long a time at once
BEFORE_ALL = -1  # the clock of a mark: it comes before all events of its time


class Mark(NamedTuple):
    """In a history that is followed: all events before `at` were read, unless one comes late."""

    at: float
    clock: int = BEFORE_ALL


class Texts:
    """The text files of a run. Lines are gathered, and written in larger pieces."""

    def __init__(self, run: Path, draft: bool) -> None:
        """A `draft` takes the place of the texts when it is closed."""
        self._run = run
        self._prefix = ".draft-" if draft else ""
        self._pieces: defaultdict[str, list[str]] = defaultdict(list)
        self._gathered = 0
        self._begun: set[str] = set()

    def add(self, name: str, lines: str) -> None:
        """Adds lines to the text `name`."""
        self._pieces[name].append(lines)
        self._gathered += 1
        if self._gathered >= EVENTS_A_PIECE:
            self.write()

    def write(self) -> None:
        """Writes the gathered lines. Before it raises `OSError` it deletes the texts: a cut-off text would look complete."""
        try:
            for name, pieces in self._pieces.items():
                with self._path(name).open("a" if name in self._begun else "w", encoding="utf-8") as file:
                    self._begun.add(name)
                    file.write("".join(pieces))
        except OSError:
            for name in {*self._pieces, *self._begun}:
                self._path(name).unlink(missing_ok=True)
                (self._run / f"{name}.txt").unlink(missing_ok=True)
            self._begun.clear()
            raise
        finally:
            self._pieces.clear()
            self._gathered = 0

    def close(self) -> None:
        """Writes the gathered lines, and puts a draft into its place."""
        self.write()
        for name in self._begun:
            self._path(name).replace(self._run / f"{name}.txt")

    def _path(self, name: str) -> Path:
        return self._run / f"{self._prefix}{name}.txt"


Owners = dict[str, str]
"""By process that has a text of its own: the name of the text."""


def _owners(histories: Iterable[Iterable[Recorded[Event]]]) -> Owners:
    elected = (line for history in histories for line in only(history, events.Elected))
    return {**{line.process: f"trader{line.event.seat}" for line in elected}, WAREHOUSE: WAREHOUSE}


def _tell(line: Recorded[Event], narrator: Narrator, texts: Texts, owners: Mapping[str, str]) -> None:
    if lines := narrator.lines(line):
        texts.add(OUTPUT, lines)
        if line.process in owners:
            texts.add(owners[line.process], lines)


# ------------------------------------------------------------------------------------------------ at the end
def narrate(run: Path, peers: Iterable[str]) -> None:
    """Writes all texts of a run that is over."""
    histories = histories_of(run, peers).values()
    owners = _owners(histories)
    narrator, texts = Narrator(Caches()), Texts(run, draft=True)
    try:
        for line in by_time(histories):
            _tell(line, narrator, texts, owners)
    finally:  # if a history is damaged the sentences before the damage are written
        texts.close()
    for path in run.glob("trader*.txt"):
        if path.stem not in owners.values():  # its holder was elected to another seat later, whose text has all it said
            path.unlink()


# ------------------------------------------------------------------------------------- while the run goes on
class Following:
    """The histories of a run that goes on, merged in the order of time; among the lines there are marks."""

    def __init__(self, run: Path, peers: Iterable[str], now: Callable[[], float], over: Callable[[], bool]) -> None:
        """`now`: the clock of the run. `over`: whether the histories are complete."""
        self._tails = [Tail(run / name / HISTORY_FILE) for name in histories_of(run, peers)]
        self._now = now
        self._over = over
        self.late = False
        """Whether a line was not in its place."""

    def __iter__(self) -> Iterator[Recorded[Event] | Mark]:
        return by_time(map(self._lines, self._tails))

    def _lines(self, tail: Tail) -> Iterator[Recorded[Event] | Mark]:
        complete = 0.0  # up to when
        while True:
            over, settled = self._over(), self._now() - SETTLED_S  # asked before reading
            lines = tail.new(BLOCK_BYTES)
            for line in map(decode_line, lines):
                self.late = self.late or line.at < complete
                yield line
            if not lines:
                if over:
                    return
                complete = settled
                yield Mark(complete)


class Throttle:
    """Keeps the processor time of this process below `SHARE` of one processor (a token bucket)."""

    def __init__(
        self, used: Callable[[], float] = time.process_time, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`used`: the processor time so far, in seconds."""
        self._used, self._now = used, now
        self._before = used()
        self._paid_at = now()  # by then the time that was used before is paid for

    def rest_s(self) -> float:
        """How long to rest now; 0 or less: not at all."""
        used, now = self._used(), self._now()
        self._paid_at = max(self._paid_at, now - CREDIT_S) + (used - self._before) / SHARE
        self._before = used
        return self._paid_at - now


def follow(
    run: Path,
    peers: Iterable[str],
    now: Callable[[], float],
    over: Callable[[], bool],
    wait: Callable[[float], object],
    rest_s: Callable[[], float],
) -> bool:
    """Writes the texts until the histories are complete (`over`) and told. `wait` waits some seconds, or until they are.

    `rest_s`: how long to rest now. Returns whether the texts are as `narrate` would write them.
    """
    peers = tuple(peers)
    following = Following(run, peers, now, over)
    narrator, texts, owners = Narrator(Caches()), Texts(run, draft=False), {WAREHOUSE: WAREHOUSE}
    in_place = True
    try:
        for number, line in enumerate(following):
            if number % EVENTS_A_PIECE == 0 and (rest := rest_s()) > 0:
                texts.write()
                wait(rest)
            if isinstance(line, Mark):
                ahead_s = line.at + SETTLED_S + LOOK_EVERY_S - now()
                if ahead_s > 0:  # all that has come is told
                    texts.write()
                    wait(ahead_s)
                continue
            if isinstance(line.event, events.Elected) and owners.get(line.process) != f"trader{line.event.seat}":
                seat = f"trader{line.event.seat}"
                if line.process in owners or seat in owners.values():  # what they said before is not in its place
                    in_place = False
                else:
                    for lines in _before(run, peers, line):
                        texts.add(seat, lines)
                owners[line.process] = seat
            _tell(line, narrator, texts, owners)
    finally:
        texts.close()
    return in_place and not following.late


def _before(run: Path, peers: Iterable[str], elected: Recorded[Event]) -> Iterator[str]:
    """What a process has said before it was elected. The elections of the others are needed for their names."""
    histories: list[Iterable[Recorded[Event]]] = [
        takewhile(lambda line: line != elected, history) if name == elected.process else only(history, events.Elected)
        for name, history in histories_of(run, peers).items()
    ]
    narrator = Narrator()
    for line in by_time(histories):
        lines = narrator.lines(line)
        if line.process == elected.process and lines:
            yield lines


class Launcher:
    """What the launcher says on standard input."""

    def __init__(self) -> None:
        self.said = False
        """Whether all histories are complete, or the launcher is gone."""
        self.gone = False

    def over(self) -> bool:
        """Whether it has said so by now."""
        self.wait(0.0)
        return self.said

    def wait(self, patience_s: float) -> None:
        """Waits until it has said so, at most this long."""
        if not self.said and select.select([sys.stdin], [], [], patience_s)[0]:
            self.said = True
            self.gone = not sys.stdin.readline()


def main() -> int:
    """Writes the texts of the run that is named on the command line."""
    run = Path(sys.argv[1])
    peers = load(run / "bazaar.json").members
    launcher = Launcher()
    if launcher.over():
        narrate(run, peers)
    else:
        (run / UNFINISHED).touch()
        whole = follow(run, peers, clock_of(run).now, launcher.over, launcher.wait, Throttle().rest_s)
        if launcher.gone:
            return 0
        if not whole:
            narrate(run, peers)
    (run / UNFINISHED).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    process.run(main)
