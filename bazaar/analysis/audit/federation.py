"""Judges bazaars that trade with each other: what their buyers say of orders abroad, beside the ledgers of all of them.

Each run is judged alone before (`judging.py`). What is judged here needs more than one: an order abroad is asked in the
history of one run, and decided in the ledger of another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from bazaar.analysis.audit.evidence import LAUNCHER, Charter, Recording, recording
from bazaar.analysis.audit.findings import Stories
from bazaar.analysis.audit.lines import (
    Denial,
    Fault,
    Ordered,
    Sale,
    Told,
    decode_entry,
    decode_facts,
    decode_line,
)

CHECKS_TOGETHER = {
    "abroad_only_what_was_asked": "No ledger decides an order from abroad that no buyer there asked for, or for other goods.",
    "abroad_only_what_home_refused": "A buyer goes abroad with an order only after its own ledger has refused it for good.",
    "abroad_bought_once": "No order is sold in two ledgers.",
    "abroad_told_the_truth": "What a buyer was told last of an order abroad is what the ledgers say.",
    "abroad_no_order_lost": "A buyer that is there at the end has an answer to each order abroad, or says that it has none.",
}
T = TypeVar("T")
WORDS = ("bought_abroad", "unavailable_abroad", "unknown_abroad")


class Run(NamedTuple):
    """The files of one bazaar, or what a simulation has instead."""

    charter: Charter
    entries: Iterable[Any]
    histories: Mapping[str, Iterable[Any]]


class Together(msgspec.Struct, frozen=True):
    """The judgement of several bazaars together."""

    verdict: Literal["held", "violated", "unknown"]
    violations: dict[str, list[str]]
    exercised: dict[str, int]
    unknown: Sequence[str] = ()


class _Order(msgspec.Struct):
    """One order abroad: how it was asked, the last word that its buyer had, and how the ledgers decided it."""

    asked: list[tuple[str, int]] = []
    word: str = ""
    told: Told | Ordered | None = None
    sold: dict[str, Sale] = {}
    denied: dict[str, Denial] = {}


class _Bazaar:
    """What one run says: the decisions of its ledger, its buyers' orders abroad, and who was dead at its end."""

    def __init__(self, run: Run, orders: defaultdict[str, _Order], unknown: Stories) -> None:
        self.name = str(run.charter.settings.name)
        self._unknown = unknown
        self.refused: set[str] = set()
        self.sold: set[str] = set()
        self.dead = self._dead(run.histories.get(LAUNCHER, ()))
        for entry in self._read(recording(run.entries), "the ledger", decode_entry):
            if isinstance(entry, Sale):
                self.sold.add(entry.order_id)
                if "@" in entry.order_id:
                    orders[entry.order_id].sold[self.name] = entry
            elif isinstance(entry, Denial):
                self.refused.add(entry.order_id)
                if "@" in entry.order_id:
                    orders[entry.order_id].denied[self.name] = entry
        for name in run.charter.names:
            if name not in run.histories:
                unknown.tell(f"the history of {name}@{self.name} is not there")
            else:
                self._buyer(name, run.histories[name], orders)

    def _buyer(self, name: str, history: Iterable[Any], orders: defaultdict[str, _Order]) -> None:
        lines = (line for line in recording(history) if b"abroad" in line)
        for what, facts in self._read(lines, name, _decoded):
            if what == "asked_abroad":
                orders[facts.order].asked.append((facts.item, facts.units))
            elif what in WORDS:
                orders[facts.order].word, orders[facts.order].told = what, facts

    def _dead(self, history: Iterable[Any]) -> set[str]:
        dead: set[str] = set()
        started: set[str] = set()
        ended = False
        for what, facts in self._read(recording(history), LAUNCHER, _decoded):
            if what == "fault" and isinstance(facts, Fault):
                names = set(facts.names or (facts.name,))
                dead = dead | names if facts.kind == "kill" else dead - names if facts.kind == "restart" else dead
            elif what == "started":
                started.add(facts.name)
            ended = ended or what == "ended"
        return dead if ended else dead | started

    def _read(self, lines: Iterator[bytes], of: str, decode: Callable[[bytes], T]) -> Iterator[T]:
        for number, line in enumerate(lines, 1):
            try:
                yield decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._unknown.tell(f"{of} of {self.name}, line {number}, cannot be read: {error}")


def _decoded(raw: bytes) -> tuple[str, Any]:
    line = decode_line(raw)
    return line.what, decode_facts[line.what](line.facts) if line.what in decode_facts else None


def run_in(folder: Path) -> Run:
    """The files of one run. Raises `OSError`, `msgspec.MsgspecError`."""
    charter = msgspec.json.decode((folder / "bazaar.json").read_bytes(), type=Charter)
    paths = {name: folder / name / "history.jsonl" for name in (LAUNCHER, *charter.names)}
    histories = {name: Recording(path) for name, path in paths.items() if path.is_file()}
    return Run(charter, Recording(folder / "ledger.jsonl"), histories)


def judge_together(runs: Sequence[Run]) -> Together:
    """Judges the orders abroad of these runs, whose bazaars have different names."""
    unknown = Stories()
    violated: defaultdict[str, Stories] = defaultdict(Stories)
    exercised: Counter[str] = Counter()
    orders: defaultdict[str, _Order] = defaultdict(_Order)
    bazaars = {str(run.charter.settings.name): _Bazaar(run, orders, unknown) for run in runs}
    for order_id, order in orders.items():
        buyer, _, home = order_id.rpartition("-")[0].partition("@")
        if home not in bazaars:
            unknown.tell(f"{order_id} is of {home}, and that run is not given")
            continue
        _count(order, exercised)
        for check, story in _wrongs(order_id, order, bazaars[home], buyer):
            violated[check].tell(f"{order_id} {story}")
        if isinstance(order.told, Told) and (missing := order.told.seller.partition("@")[2]) not in {"", *bazaars}:
            unknown.tell(f"{order_id} was bought in {missing}, and that run is not given")
    violations = {check: violated[check].all() for check in CHECKS_TOGETHER if check in violated}
    shown = exercised["bought_abroad"] and not len(unknown)
    verdict: Literal["held", "violated", "unknown"]
    verdict = "violated" if violations else "held" if shown else "unknown"
    return Together(verdict, violations, {what: exercised[what] for what in EXERCISED}, unknown.all())


EXERCISED = ("orders_abroad", *WORDS, "unknown_but_bought", "repeated_abroad")


def _count(order: _Order, exercised: Counter[str]) -> None:
    exercised["orders_abroad"] += 1
    exercised["repeated_abroad"] += len(order.asked) > 1
    exercised[order.word] += 1
    exercised["unknown_but_bought"] += order.word == "unknown_abroad" and bool(order.sold)


def _wrongs(order_id: str, order: _Order, home: _Bazaar, buyer: str) -> Iterator[tuple[str, str]]:
    """What is wrong with this order: the check, and the story."""
    decisions: list[tuple[str, Sale | Denial]] = [*order.sold.items(), *order.denied.items()]
    for bazaar, entry in decisions:
        if (entry.item, _units(entry)) not in order.asked:
            yield (
                "abroad_only_what_was_asked",
                f"is decided in {bazaar} (ledger entry {entry.position}: {_units(entry)} {entry.item}), but what was asked "
                f"is {order.asked[:1] or None}",
            )
        if entry.buyer != f"embassy@{bazaar}":
            yield "abroad_only_what_was_asked", f"is decided in {bazaar} for {entry.buyer}, which is not its embassy"
    at_home = f"{buyer}-{order_id.rpartition('-')[2]}"
    if at_home not in home.refused or at_home in home.sold:
        yield "abroad_only_what_home_refused", f"went abroad, but {home.name} has not refused {at_home}"
    if len(order.sold) > 1:
        yield "abroad_bought_once", f"is sold in {' and in '.join(sorted(order.sold))}"
    if not order.word and order.asked and buyer not in home.dead:
        yield "abroad_no_order_lost", "has no answer, and its buyer does not say so"
    yield from (("abroad_told_the_truth", story) for story in _untrue(order))


def _untrue(order: _Order) -> Iterator[str]:
    """How the last word that the buyer had differs from what the ledgers say."""
    if order.word == "unavailable_abroad" and order.sold:
        yield f"was last told to be unavailable, but is sold in {' and in '.join(sorted(order.sold))}"
    if order.word != "bought_abroad" or not isinstance(order.told, Told):
        return
    bazaar = order.told.seller.partition("@")[2]
    sale = order.sold.get(bazaar)
    told = order.told.units, order.told.item, order.told.price, {order.told.seller, *order.told.others}
    if sale is None:
        yield f"was last told to be bought in {bazaar}, whose ledger has not sold it"
        return
    price = sum(part.units * part.price_cents for part in sale.parts)
    decided = _units(sale), sale.item, price, {f"{part.seller}@{bazaar}" for part in sale.parts}
    if told != decided:
        yield f"was last told {told}; the ledger of {bazaar} says {decided} (entry {sale.position})"


def _units(entry: Sale | Denial) -> int:
    return sum(part.units for part in entry.parts) if isinstance(entry, Sale) else entry.units
