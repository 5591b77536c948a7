"""Event to sentence: the words by which people know this system (SPEC G), in one table.

`python -m bazaar.narration RUN` tells a run that is over, in its folder.

`{me}` is the process, `{Me}` its name as a trader ("Trader1"); facts that name a peer can be had as `{label[fact]}`,
its name as a trader in small letters.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from bazaar import process
from bazaar.history import Happening, by_time, histories_of, only
from bazaar.plan import load
from bazaar.records import WAREHOUSE

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
    "took_over": ("{Me} aka {me} takes over the queue of {peer}, {orders} order(s)",),
    "fault": ("Fault: {fault}",),
    "fell": ("{name} {how}",),
    "started/again": ("{name} is started again",),
    "pushed": ("{Me} is syncing its cache with neighbor {Label[to]}",),
    "pulled": ("{Me} is syncing their cache with database",),
}
TOLD = tuple(dict.fromkeys(what.partition("/")[0] for what in SENTENCES))
VARIANTS = {"taken": "to", "traded": "by", "trader_died": "left"}  # events whose sentence depends on one of their facts


class Sentence(NamedTuple):
    """A time-stamped sentence; `what` is the event that it tells."""

    at: float
    process: str
    what: str
    text: str

    def __str__(self) -> str:
        return f"{datetime.fromtimestamp(self.at):%Y-%m-%d %H:%M:%S.%f} : {self.text}"


class Narrator:
    """Tells events; remembers which peer holds which seat."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}

    def tell(self, *histories: Iterable[Happening]) -> Iterator[Sentence]:
        """The sentences of these histories, in the order of their time."""
        for happened in by_time(only(history, *TOLD) for history in histories):
            if happened.what == "elected":
                self._labels[happened.process] = f"trader{happened.facts['seat']}"
            for text in self._sentences(happened):
                yield Sentence(happened.at, happened.process, happened.what, text)

    def _sentences(self, happened: Happening) -> Iterable[str]:
        facts, me = happened.facts, happened.process
        what = happened.what
        if what in VARIANTS:
            what = f"{what}/{facts[VARIANTS[what]]}"
        elif what == "started" and facts.get("again"):
            what = "started/again"
        elif what == "unavailable":
            what = f"{what}/{'warehouse' if me == 'warehouse' else 'trader'}"
        templates = SENTENCES.get(what)
        if templates is None:
            return ()
        words = _Words(happened, self._labels)
        return (template.format_map(words) for template in templates)


class _Words(dict[str, Any]):
    """What a sentence may speak of: the facts, and what is made of them if it is asked for (few sentences do)."""

    def __init__(self, happened: Happening, labels: Mapping[str, str]) -> None:
        super().__init__(happened.facts, me=happened.process)
        self._labels = labels

    def __missing__(self, word: str) -> Any:
        if word == "Me":
            return self._labels.get(self["me"], self["me"]).capitalize()
        if word == "how":
            return "was killed"  # but for who ended by itself
        if word == "count":
            return len(self["traders"])
        if word == "dollars":
            return f"{self['earned'] / 100:g}"
        assert word in ("label", "Label"), word
        names = {fact: self._labels.get(name, name) for fact, name in self.items() if isinstance(name, str)}
        return names if word == "label" else {fact: name.capitalize() for fact, name in names.items()}


def narrate(run: Path, peers: Iterable[str]) -> None:
    """Writes into a run's folder `output.txt`, all sentences, and a text for each trader and the warehouse (SPEC A7)."""
    histories = histories_of(run, peers).values()
    owners = {h.process: f"trader{h.facts['seat']}" for history in histories for h in only(history, "elected")}
    owners[WAREHOUSE] = WAREHOUSE
    with contextlib.ExitStack() as stack:

        @functools.cache
        def text(name: str) -> TextIO:
            return stack.enter_context((run / f"{name}.txt").open("w", encoding="utf-8"))

        for sentence in Narrator().tell(*histories):
            line = f"{sentence}\n"
            text("output").write(line)
            if sentence.process in owners:
                text(owners[sentence.process]).write(line)


def main() -> int:
    """Tells the run that is named on the command line."""
    run = Path(sys.argv[1])
    narrate(run, load(run / "bazaar.json").names)
    return 0


if __name__ == "__main__":
    process.run(main)
