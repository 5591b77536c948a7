"""The table that turns events into sentences: the wording by which people know this system (requirement G).

`python -m bazaar.views.narration RUN` writes the sentences of a finished run into its folder.

`{me}` is the process and `{Me}` its name as a trader ("Trader1"). `{label[trader]}` is the trader's name of the peer in the
field `trader`. All other words are the event's fields, or are made by `MADE`.
"""

from __future__ import annotations

import functools
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import msgspec

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import load
from bazaar.runtime import process
from bazaar.runtime.history import Recorded, by_time, histories_of, only

EVENTS_A_PIECE = 20_000

Told = type[Event] | tuple[type[Event], object]
"""An event type. If its sentences depend on a field (`VARIANTS`): the type with a value of that field."""
SENTENCES: dict[Told, tuple[str, ...]] = {
    events.Drawn: ("Showing the graphical representation of the bazaar",),
    events.Connected: ("Connected successfully to the database",),
    events.Joined: ("{me} joined the bazaar as {role} {verb} {item}",),
    events.ElectionStarted: ("{me} has started the election",),
    events.Reelection: ("Start re-election!! Traders elected till now {traders}",),
    events.Elected: ("Dear buyers and sellers, My ID is {me}, and I am the new coordinator",),
    events.Recognized: (
        "{me} received message won from {coordinator} and recognizes {coordinator} as the new coordinator of the bazaar",
        "{me} is ready to trade",
    ),
    events.ReadyForRegistration: ("{Me} is ready for product registration",),
    events.Registered: ("{me} registered their product {item} with {label[trader]}",),
    events.Opened: (
        "{Me} aka {me} - is ready to trade",
        "All traders in the bazaar {traders}",
        "{count} trader(s) in the bazaar, trading can begin!!!",
    ),
    events.SellerLoop: ("Executing seller loop",),
    events.Picked: ("{me} has picked item {item} to sell",),
    events.Queued: ("{Me} got a purchase request for item {item} from {buyer}",),
    (events.Taken, "cache"): ("{item} is served from cache by {Me}",),
    (events.Traded, "warehouse"): ("{item} is served from database by {Me}", "Current {Me} of the bazaar is {me}"),
    (events.Traded, "cache"): ("Current {Me} of the bazaar is {me}",),
    events.Shipped: ("Item {item} is shipped from inventory",),
    (events.Unavailable, "warehouse"): ("Item {item} is unavailable",),
    (events.Unavailable, "trader"): ("{item} is not available for sell in the bazaar right now",),
    events.Oversold: ("Warehouse rejected buy request for {item} from {buyer} because inventory was oversold",),
    events.Sold: ("{me} has sold {item} to {buyer} and earned {dollars} $",),
    events.Left: ("{me} has {left} {item} left",),
    events.OutOfStock: ("{me} is out of stock for item {item}",),
    events.Purchased: ("{me} purchased {item} from {seller}",),
    (events.TraderDied, "alone"): (
        "{Label[peer]} aka {peer} is dead!!! Now {Me} aka {me} is only trader of the bazaar!!!",
    ),
    (events.TraderDied, "several"): (
        "{Label[peer]} aka {peer} is dead!!! Now {traders} are the traders of the bazaar!!!",
    ),
    (events.TraderDied, "none"): ("{Label[peer]} aka {peer} is dead!!! Now there is no trader in the bazaar!!!",),
    events.HeardDeath: ("{me} received death message of {peer} from {by}!!! resetting trader_queue",),
    events.Resigned: ("{Me} aka {me} resigns",),
    events.SteppedDown: ("{me} is no trader any more",),
    events.NothingToResign: ("{me} has no seat to resign",),
    events.TookOver: (
        "{Me} aka {me} takes over the queue of {peer}: {orders} order(s) that its journal does not call closed, "
        "though some may be decided",
    ),
    events.Unreadable: ("{Me} aka {me} cannot read the queue of {peer}: {reason}",),
    events.Revoked: ("{me} does not get {item} after all",),
    events.Absent: ("{me} stood still for {for_s} s: it was stopped, or the machine was busy",),
    events.Fault: ("Fault: {fault}",),
    events.Missed: ("Not done: {fault} ({reason})",),
    events.Fell: ("{name} {how}",),
    (events.Started, True): ("{name} is started again",),
    events.Pushed: ("{Me} is syncing its cache with neighbor {Label[to]}",),
    events.Pulled: ("{Me} is syncing their cache with database",),
}
VARIANTS: dict[type[Event], str] = {
    events.Taken: "to",
    events.Traded: "by",
    events.TraderDied: "left",
    events.Started: "again",
    events.Unavailable: "by",
}
"""Events whose sentences depend on one of their fields."""

Labels = Mapping[str, str]
"""By peer that was elected: its name as a trader."""
Words = dict[str, Any]
"""The words that fill a sentence: the fields of an event, `me`, and words made of them."""


def _label(field: str, words: Words, labels: Labels) -> str:
    name = words[field]
    return labels.get(name, name)


MADE: dict[str, Callable[[Words, Labels], Any]] = {
    "Me": lambda words, labels: _label("me", words, labels).capitalize(),
    "label[trader]": functools.partial(_label, "trader"),
    "Label[peer]": lambda words, labels: _label("peer", words, labels).capitalize(),
    "Label[to]": lambda words, labels: _label("to", words, labels).capitalize(),
    "count": lambda words, labels: len(words["traders"]),
    "traders": lambda words, labels: list(words["traders"]),
    "how": lambda words, labels: words["how"] or "was killed",  # empty if it was killed
    "dollars": lambda words, labels: f"{words['earned_cents'] / 100:g}",
}
"""The functions that make words which are no fields, or look different from the field. Only few sentences need one."""


class _Saying:
    """The sentences of one kind of event, prepared for speed: a run has millions of them."""

    def __init__(self, templates: Sequence[str]) -> None:
        asked = {word for template in templates for _, word, _, _ in Formatter().parse(template)}
        self._made = [(word, make) for word, make in MADE.items() if word in asked]
        self.patterns = [template.replace("{", "%(").replace("}", ")s") for template in templates]
        """Templates for `%`, which is faster than `format`."""
        self.lines = "".join(f"%(time)s : {pattern}\n" for pattern in self.patterns)
        """All patterns with their time stamps, as lines of a text file."""

    def make(self, words: Words, labels: Labels) -> None:
        """Adds the words that `MADE` makes."""
        for word, make in self._made:
            words[word] = make(words, labels)


_SAYINGS = {told: _Saying(templates) for told, templates in SENTENCES.items()}
_SILENCE = _Saying([])


def told_as(event: Event) -> Told:
    """The key of `SENTENCES` for this event. The table may have no such key."""
    kind = type(event)
    return (kind, getattr(event, VARIANTS[kind])) if kind in VARIANTS else kind


class Sentence(NamedTuple):
    """A time-stamped sentence. `kind` is the type of its event."""

    at: float
    process: str
    kind: type[Event]
    text: str

    def __str__(self) -> str:
        return f"{stamp(self.at)} : {self.text}"


def stamp(at: float) -> str:
    """The time stamp of a sentence (requirement G)."""
    return datetime.fromtimestamp(at).isoformat(" ", "microseconds")


class Narrator:
    """Turns events into sentences. It remembers the last seat of each peer."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._at = 0.0
        self._stamp = stamp(0.0)

    def tell(self, *histories: Iterable[Recorded[Event]]) -> Iterator[Sentence]:
        """The sentences of these histories, in the order of their time."""
        for line in by_time(histories):
            saying, words = self._said(line)
            for pattern in saying.patterns:
                yield Sentence(line.at, line.process, type(line.event), pattern % words)

    def lines(self, line: Recorded[Event]) -> str:
        """The sentences of the next event, as lines of a text file."""
        saying, words = self._said(line)
        if saying is _SILENCE:
            return ""
        if line.at != self._at:  # all events of one turn have the same time
            self._at, self._stamp = line.at, stamp(line.at)
        words["time"] = self._stamp
        return saying.lines % words

    def _said(self, line: Recorded[Event]) -> tuple[_Saying, Words]:
        event, told = line.event, told_as(line.event)
        if isinstance(event, events.Elected):
            self._labels[line.process] = f"trader{event.seat}"
        saying = _SAYINGS.get(told)
        if saying is None:  # most kinds of events have no sentences
            return _SILENCE, {}
        words = msgspec.structs.asdict(event)
        words["me"] = line.process
        saying.make(words, self._labels)
        return saying, words


class _Texts:
    """The text files of a run. Lines are gathered, and written in large pieces."""

    def __init__(self, run: Path, owners: Mapping[str, str]) -> None:
        """`owners`: the processes that have a text file of their own, with its name."""
        self._run = run
        self._owners = owners
        self._pieces: defaultdict[str, list[str]] = defaultdict(list)
        self._begun: set[str] = set()

    def add(self, process: str, lines: str) -> None:
        """Adds lines of `process`."""
        output = self._pieces["output"]
        output.append(lines)
        if process in self._owners:
            self._pieces[self._owners[process]].append(lines)
        if len(output) >= EVENTS_A_PIECE:
            self.write()

    def write(self) -> None:
        """Writes the gathered lines. Before it raises `OSError` it deletes the texts: a cut-off text would look complete."""
        try:
            self._append()
        except OSError:
            for name in {*self._pieces, *self._begun}:
                (self._run / f"{name}.txt").unlink(missing_ok=True)
            raise

    def _append(self) -> None:
        for name, pieces in self._pieces.items():
            with (self._run / f"{name}.txt").open("a" if name in self._begun else "w", encoding="utf-8") as file:
                file.write("".join(pieces))
            self._begun.add(name)
        self._pieces.clear()


def narrate(run: Path, peers: Iterable[str]) -> None:
    """Writes `output.txt`, with all sentences, and a text for each trader and the warehouse into `run` (requirement A7)."""
    histories = histories_of(run, peers).values()
    elected = (line for history in histories for line in only(history, events.Elected))
    owners = {line.process: f"trader{line.event.seat}" for line in elected}
    narrator, texts = Narrator(), _Texts(run, {**owners, WAREHOUSE: WAREHOUSE})
    try:
        for line in by_time(histories):
            if lines := narrator.lines(line):
                texts.add(line.process, lines)
    finally:  # if a history is damaged the sentences before the damage are written
        texts.write()


def main() -> int:
    """Narrates the run that is named on the command line."""
    run = Path(sys.argv[1])
    narrate(run, load(run / "bazaar.json").names)
    return 0


if __name__ == "__main__":
    process.run(main)
