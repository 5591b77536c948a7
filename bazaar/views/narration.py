"""The table that turns events into sentences: the wording by which people know this system (requirement G).

`{me}` is the process and `{Me}` its name as a trader ("Trader1"). `{label[trader]}` is the trader's name of the peer in the
field `trader`. `{item}` is `salt`, or `salt x3` in an order for three. `{cache}` is the print-out of the trader's cache. All
other words are the event's fields, or are made by `MADE`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from string import Formatter
from typing import Any, NamedTuple

import msgspec

from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded, by_time
from bazaar.views.caches import Caches

CACHE = "{Me} cache: {cache}"

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
    events.WarmingUp: ("Waiting {seconds}s before starting trading",),
    events.Registered: ("{me} registered their product {item} with {label[trader]}",),
    events.Opened: (
        "{Me} aka {me} - is ready to trade",
        "All traders in the bazaar {traders}",
        "{count} trader(s) in the bazaar, trading can begin!!!",
    ),
    events.SellerLoop: ("Executing seller loop",),
    events.Picked: ("{me} has picked item {item} to sell",),
    events.Queued: ("{Me} got a purchase request for item {item} from {buyer}",),
    (events.Taken, "cache"): ("{item} is served from cache by {Me}", CACHE),
    (events.Traded, "warehouse"): ("{item} is served from database by {Me}", "Current {Me} of the bazaar is {me}"),
    (events.Traded, "cache"): ("Current {Me} of the bazaar is {me}",),
    events.Shipped: ("Item {item} is shipped from inventory",),
    (events.Unavailable, "warehouse"): ("Item {item} is unavailable",),
    (events.Unavailable, "trader"): ("{item} is not available for sell in the bazaar right now",),
    events.Oversold: ("Warehouse rejected buy request for {item} from {buyer} because inventory was oversold",),
    events.Sold: ("{me} has sold {item} to {buyer} and earned {dollars} $",),
    events.Left: ("{me} has {left} {item} left",),
    events.OutOfStock: ("{me} is out of stock for item {item}",),
    events.Purchased: ("{me} purchased {item} from {sellers}",),
    (events.TraderDied, "alone"): (
        "{Label[peer]} aka {peer} is dead!!! Now {Me} aka {me} is only trader of the bazaar!!!",
    ),
    (events.TraderDied, "several"): (
        "{Label[peer]} aka {peer} is dead!!! Now {traders} are the traders of the bazaar!!!",
    ),
    (events.TraderDied, "none"): ("{Label[peer]} aka {peer} is dead!!! Now there is no trader in the bazaar!!!",),
    events.HeardDeath: ("{me} received death message of {peer} from {by}!!! resetting trader_queue",),
    events.Resized: ("Load: orders wait {wait_ms} ms; from now on there are {seats} traders, as {by} asked",),
    events.Resigned: ("{Me} aka {me} resigns",),
    events.SteppedDown: ("{me} is no trader any more",),
    events.NothingToResign: ("{me} has no seat to resign",),
    events.TookOver: (
        "{Me} aka {me} takes over the queue of {peer}: {orders} order(s) that its journal does not call closed, "
        "though some may be decided",
    ),
    events.KeeperNamed: ("{keeper} keeps the queue of {Label[peer]} aka {peer} for an heir",),
    events.Unreadable: ("{Me} aka {me} cannot read the queue of {peer}: {reason}",),
    events.Revoked: ("{me} does not get {item} after all",),
    events.AskedAbroad: ("{me} asks for {item} abroad",),
    events.BoughtAbroad: ("{me} purchased {item} abroad from {sellers}",),
    events.UnknownAbroad: ("{me} does not know what became of its order for {item} abroad",),
    events.Met: ("{me} has met the bazaar {bazaar}",),
    events.Absent: ("{me} stood still for {for_s} s: it was stopped, or the machine was busy",),
    events.Fault: ("Fault: {fault}",),
    events.Missed: ("Not done: {fault} ({reason})",),
    events.Fell: ("{name} {how}",),
    (events.Started, True): ("{name} is started again",),
    events.Pushed: ("{Me} is syncing its cache with neighbor {Label[to]}",),
    events.Pulled: ("{Me} is syncing their cache with database",),
    events.Learned: (CACHE,),
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
    "seconds": lambda words, labels: f"{words['for_s']:g}",
    "sellers": lambda words, labels: " and ".join((words["seller"], *words["others"])),
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
_WITHOUT_CACHE = {
    told: _Saying([template for template in templates if template is not CACHE])
    for told, templates in SENTENCES.items()
    if CACHE in templates
}
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

    def __init__(self, caches: Caches | None = None) -> None:
        """With `caches` it prints the caches, too. Then it must be given all events of the run, as they tell the contents."""
        self._caches = caches
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
        if self._caches is not None:
            self._caches.take(line)
        saying, cache = _SAYINGS.get(told, _SILENCE), ""
        if told in _WITHOUT_CACHE:
            cache = self._caches.printed(line.process, line.at) if self._caches is not None else ""
            saying = saying if cache else _WITHOUT_CACHE[told]
        if not saying.patterns:  # most kinds of events have no sentences
            return _SILENCE, {}
        words = msgspec.structs.asdict(event)
        words["me"], words["cache"] = line.process, cache
        if words.get("units", 1) > 1:
            words["item"] = f"{words['item']} x{words['units']}"
        saying.make(words, self._labels)
        return saying, words
