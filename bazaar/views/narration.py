"""Event to sentence: the words by which people know this system (SPEC G), in one table.

`python -m bazaar.views.narration RUN` tells a run that is over, in its folder.

`{me}` is the process, `{Me}` its name as a trader ("Trader1"), `{label[trader]}` that of the peer in the fact `trader`;
the other words are facts, or made in `MADE`.
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

from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import load
from bazaar.runtime import process
from bazaar.runtime.history import Happening, by_time, histories_of, only

EVENTS_A_PIECE = 20_000

SENTENCES: dict[str, tuple[str, ...]] = {
    "drawn": ("Showing the graphical representation of the bazaar",),
    "connected": ("Connected successfully to the database",),
    "joined": ("{me} joined the bazaar as {role} {verb} {item}",),
    "election_started": ("{me} has started the election",),
    "reelection": ("Start re-election!! Traders elected till now {traders}",),
    "elected": ("Dear buyers and sellers, My ID is {me}, and I am the new coordinator",),
    "recognized": (
        "{me} received message won from {coordinator} and recognizes {coordinator} as the new coordinator of the bazaar",
        "{me} is ready to trade",
    ),
    "ready_for_registration": ("{Me} is ready for product registration",),
    "registered": ("{me} registered their product {item} with {label[trader]}",),
    "opened": (
        "{Me} aka {me} - is ready to trade",
        "All traders in the bazaar {traders}",
        "{count} trader(s) in the bazaar, trading can begin!!!",
    ),
    "seller_loop": ("Executing seller loop",),
    "picked": ("{me} has picked item {item} to sell",),
    "queued": ("{Me} got a purchase request for item {item} from {buyer}",),
    "taken/cache": ("{item} is served from cache by {Me}",),
    "traded/warehouse": ("{item} is served from database by {Me}", "Current {Me} of the bazaar is {me}"),
    "traded/cache": ("Current {Me} of the bazaar is {me}",),
    "shipped": ("Item {item} is shipped from inventory",),
    "unavailable/warehouse": ("Item {item} is unavailable",),
    "unavailable/trader": ("{item} is not available for sell in the bazaar right now",),
    "oversold": ("Warehouse rejected buy request for {item} from {buyer} because inventory was oversold",),
    "sold": ("{me} has sold {item} to {buyer} and earned {dollars} $",),
    "left": ("{me} has {left} {item} left",),
    "out_of_stock": ("{me} is out of stock for item {item}",),
    "purchased": ("{me} purchased {item} from {seller}",),
    "trader_died/alone": ("{Label[peer]} aka {peer} is dead!!! Now {Me} aka {me} is only trader of the bazaar!!!",),
    "trader_died/several": ("{Label[peer]} aka {peer} is dead!!! Now {traders} are the traders of the bazaar!!!",),
    "trader_died/none": ("{Label[peer]} aka {peer} is dead!!! Now there is no trader in the bazaar!!!",),
    "heard_death": ("{me} received death message of {peer} from {by}!!! resetting trader_queue",),
    "resigned": ("{Me} aka {me} resigns",),
    "stepped_down": ("{me} is no trader any more",),
    "nothing_to_resign": ("{me} has no seat to resign",),
    "took_over": (
        "{Me} aka {me} takes over the queue of {peer}: {orders} order(s) that its journal does not call closed, "
        "though some may be decided",
    ),
    "unreadable": ("{Me} aka {me} cannot read the queue of {peer}: {reason}",),
    "revoked": ("{me} does not get {item} after all",),
    "absent": ("{me} stood still for {for_s} s: it was stopped, or the machine was busy",),
    "fault": ("Fault: {fault}",),
    "missed": ("Not done: {fault} ({reason})",),
    "fell": ("{name} {how}",),
    "started/again": ("{name} is started again",),
    "pushed": ("{Me} is syncing its cache with neighbor {Label[to]}",),
    "pulled": ("{Me} is syncing their cache with database",),
}
VARIANTS = {"taken": "to", "traded": "by", "trader_died": "left"}  # events whose sentence depends on one of their facts

Labels = Mapping[str, str]
"""Of each peer that was elected, its name as a trader."""
Words = dict[str, Any]
"""What a sentence may speak of: the facts of an event, `me`, and what is made of them."""


def _label(fact: str, words: Words, labels: Labels) -> str:
    name = words[fact]
    return labels.get(name, name)


MADE: dict[str, Callable[[Words, Labels], Any]] = {
    "Me": lambda words, labels: _label("me", words, labels).capitalize(),
    "label[trader]": functools.partial(_label, "trader"),
    "Label[peer]": lambda words, labels: _label("peer", words, labels).capitalize(),
    "Label[to]": lambda words, labels: _label("to", words, labels).capitalize(),
    "count": lambda words, labels: len(words["traders"]),
    "how": lambda words, labels: words.get("how", "was killed"),  # but for who ended by itself
    "dollars": lambda words, labels: f"{words['earned'] / 100:g}",
}
"""Words that are no facts, and how they are made. Few sentences need one, so each is made only for those that do."""


class _Saying:
    """The sentences of one kind of event, made ready: a run has millions of them."""

    def __init__(self, templates: Sequence[str]) -> None:
        asked = {word for template in templates for _, word, _, _ in Formatter().parse(template)}
        self._made = [(word, make) for word, make in MADE.items() if word in asked]
        self.patterns = [template.replace("{", "%(").replace("}", ")s") for template in templates]
        """To be filled with words by `%`, which is faster than `format`."""
        self.lines = "".join(f"%(time)s : {pattern}\n" for pattern in self.patterns)
        """All of them with their time, as they stand in a text."""

    def make(self, words: Words, labels: Labels) -> None:
        """Adds the words that have to be made."""
        for word, make in self._made:
            words[word] = make(words, labels)


_SAYINGS = {what: _Saying(templates) for what, templates in SENTENCES.items()}
_SILENCE = _Saying([])  # most kinds of events are not told


class Sentence(NamedTuple):
    """A time-stamped sentence; `what` is the event that it tells."""

    at: float
    process: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{stamp(self.at)} : {self.text}"


def stamp(at: float) -> str:
    """The time that stands before a sentence (SPEC G)."""
    return datetime.fromtimestamp(at).isoformat(" ", "microseconds")


class Narrator:
    """Tells events; remembers which peer holds which seat."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._at = 0.0
        self._stamp = stamp(0.0)

    def tell(self, *histories: Iterable[Happening]) -> Iterator[Sentence]:
        """The sentences of these histories, in the order of their time."""
        for happened in by_time(histories):
            saying, words = self._said(happened)
            for pattern in saying.patterns:
                yield Sentence(happened.at, happened.process, happened.what, pattern % words)

    def lines(self, happened: Happening) -> str:
        """The sentences of the next event, as they stand in a text."""
        saying, words = self._said(happened)
        if happened.at != self._at:  # all that happens in one turn has one time
            self._at, self._stamp = happened.at, stamp(happened.at)
        words["time"] = self._stamp
        return saying.lines % words

    def _said(self, happened: Happening) -> tuple[_Saying, Words]:
        what, me, facts = happened.what, happened.process, happened.facts
        if what == "elected":
            self._labels[me] = f"trader{facts['seat']}"
        if what in VARIANTS:
            what = f"{what}/{facts[VARIANTS[what]]}"
        elif what == "started" and facts.get("again"):
            what = "started/again"
        elif what == "unavailable":
            what = f"{what}/{'warehouse' if me == WAREHOUSE else 'trader'}"
        saying = _SAYINGS.get(what, _SILENCE)
        words = {**facts, "me": me}
        saying.make(words, self._labels)
        return saying, words


class _Texts:
    """The text files of a run. Lines are gathered, and written in large pieces."""

    def __init__(self, run: Path, owners: Mapping[str, str]) -> None:
        """`owners`: the processes that have a text of their own, and its name."""
        self._run = run
        self._owners = owners
        self._pieces: defaultdict[str, list[str]] = defaultdict(list)
        self._begun: set[str] = set()

    def add(self, process: str, lines: str) -> None:
        """What `process` has to tell."""
        output = self._pieces["output"]
        output.append(lines)
        if process in self._owners:
            self._pieces[self._owners[process]].append(lines)
        if len(output) >= EVENTS_A_PIECE:
            self.write()

    def write(self) -> None:
        """Writes what was gathered. Raises `OSError`; then the texts are gone: each would end somewhere, and look whole."""
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
    """Writes into a run's folder `output.txt`, all sentences, and a text for each trader and the warehouse (SPEC A7)."""
    histories = histories_of(run, peers).values()
    owners = {h.process: f"trader{h.facts['seat']}" for history in histories for h in only(history, "elected")}
    narrator, texts = Narrator(), _Texts(run, {**owners, WAREHOUSE: WAREHOUSE})
    try:
        for happened in by_time(histories):
            if lines := narrator.lines(happened):
                texts.add(happened.process, lines)
    finally:  # a history may be damaged: what stands before that is told
        texts.write()


def main() -> int:
    """Tells the run that is named on the command line."""
    run = Path(sys.argv[1])
    narrate(run, load(run / "bazaar.json").names)
    return 0


if __name__ == "__main__":
    process.run(main)
