"""Judges a run: reads every line of its ledger and histories once, and compares it with what is known by then.

The order is: the launcher's history (the faults), the ledger (the decisions), and then all other histories.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bazaar.analysis.audit.books import Books
from bazaar.analysis.audit.buyers import Buyer
from bazaar.analysis.audit.clients import ClientsSide
from bazaar.analysis.audit.deposals import Deposals
from bazaar.analysis.audit.embassies import Embassy
from bazaar.analysis.audit.evidence import (
    LAUNCHER,
    WAREHOUSE,
    Case,
    Charter,
    Evidence,
    FaultDone,
    Handler,
    Progress,
    Reader,
    Recording,
)
from bazaar.analysis.audit.findings import Report
from bazaar.analysis.audit.graph import GraphChecks
from bazaar.analysis.audit.lines import Adopt, Appoint, Denial, Depose, Deposit, Fault, Fell, Line, Named, Sale, Stocked
from bazaar.analysis.audit.lost import Lost
from bazaar.analysis.audit.orders import ASKED, CREDITED, DECIDED, KEPT, SOLD
from bazaar.analysis.audit.scaling import Scaling
from bazaar.analysis.audit.sellers import Seller
from bazaar.analysis.audit.traders import Trader


class NoRun(Exception):
    """The folder holds no run. The text says what is missing."""


def judge_run(folder: Path, progress: Progress | None = None) -> Report:
    """Judges a run by the files in its folder alone. `progress` is called now and then with the fraction read.

    Raises `NoRun` if there is no run in the folder.
    """
    try:
        charter = msgspec.json.decode((folder / "bazaar.json").read_bytes(), type=Charter)
    except OSError as error:
        raise NoRun(f"{folder} holds no run: bazaar.json cannot be read ({error.strerror})") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoRun(f"{folder} holds no run: bazaar.json is not one of ours ({error})") from None
    if not (folder / "ledger.jsonl").is_file():
        raise NoRun(f"{folder} holds no run that got as far as a ledger: ledger.jsonl is not there")
    names = (LAUNCHER, WAREHOUSE, *charter.members)
    paths = {name: folder / name / "history.jsonl" for name in names}
    histories = {name: Recording(path) for name, path in paths.items() if path.is_file()}
    evidence = Evidence(charter, Recording(folder / "ledger.jsonl"), histories, None)  # type: ignore[arg-type] # a part of the plan
    return judge(evidence, progress, names)


def judge(evidence: Evidence, progress: Progress | None = None, expected: Iterable[str] = ()) -> Report:
    """Runs every check. Returns a report whatever the evidence is.

    `expected`: processes whose history must exist, besides those that the launcher says it has started.
    """
    case = Case(msgspec.convert(evidence.plan, Charter, from_attributes=True))
    files = [
        source.path for source in (evidence.entries, *evidence.histories.values()) if isinstance(source, Recording)
    ]
    reader = Reader(case, progress, sum(path.stat().st_size for path in files))
    findings = case.findings
    deposals, graph = Deposals(case), GraphChecks(case)
    case.missed += evidence.missed
    _launcher(case, deposals, graph, reader, evidence, expected)
    case.dead |= evidence.dead
    case.lost |= dict.fromkeys(evidence.lost, case.ended_at)
    if WAREHOUSE in case.dead:
        case.dead |= set(case.charter.members)
        findings.notes.tell(
            "the warehouse was gone at the end: what was under way had nobody to decide it, for anybody"
        )
    books = Books(case.charter.promises == "strong", case.orders, findings)
    scaling = Scaling(case)
    _ledger(case, books, scaling, reader, evidence)
    clients = ClientsSide(case)
    lost = Lost(case, books, clients)
    parts = [
        part
        for name, history in evidence.histories.items()
        if name != LAUNCHER
        for part in _history(
            name,
            history,
            case,
            books,
            [part.handlers for part in (deposals, clients, graph, scaling, lost)],
            lost,
            reader,
        )
    ]
    _queues(case)
    for part in parts:
        part.finish()
    graph.finish()
    books.finish(evidence.stock, case.dead)
    _accounts(case, books, lost)
    clients.finish()
    lost.finish()
    if LAUNCHER in evidence.histories and not case.incomplete(LAUNCHER):
        deposals.finish(books.tenures)
    return _report(case, tuple(dict.fromkeys(case.missed)))


def _launcher(
    case: Case, deposals: Deposals, graph: GraphChecks, reader: Reader, evidence: Evidence, expected: Iterable[str]
) -> None:
    """Reads the launcher's history: faults done and missed, processes alive at the end, and missing histories."""
    started: set[str] = set()
    ended: list[bool] = []

    def fault(line: Line, facts: Fault) -> None:
        names = frozenset(facts.names or (facts.name,))
        everybody = not names & set(case.charter.members)
        done = FaultDone(line.at, facts.kind, names, facts.for_s, everybody)
        deposals.fault(done)
        graph.fault(done)
        if facts.kind != "resume":  # it undoes one
            case.faults.append(done)
        if facts.kind == "kill":
            case.dead |= names
        elif facts.kind == "restart":
            case.dead -= names

    def fell(line: Line, facts: Fell) -> None:
        if facts.lost:
            case.lost[facts.name] = line.at

    def start(line: Line, facts: Named) -> None:
        started.add(facts.name)
        if case.lost.pop(facts.name, None) is not None:
            case.findings.notes.tell(
                f"{facts.name} was lost with its machine, and was started again on another one: lines of its history that "
                "were written just before may be missing"
            )

    handlers: dict[str, list[Handler]] = {
        "fell": [fell],
        "fault": [fault],
        "missed": [lambda line, facts: case.missed.append(f"{facts.fault}: {facts.reason}")],
        "started": [start],
        "ended": [lambda line, facts: ended.append(True)],
    }
    for what, handle in itertools.chain(deposals.launcher_handlers.items(), graph.launcher_handlers.items()):
        handlers.setdefault(what, []).append(handle)
    if LAUNCHER in evidence.histories:
        reader.history(LAUNCHER, evidence.histories[LAUNCHER], handlers)
        if started and not ended:
            case.dead |= started
            case.findings.notes.tell("the launcher was killed: whoever it had started counts as not there at the end")
    case.faults.sort(key=lambda done: done.at)
    expected = {*expected, *(started & {WAREHOUSE, *case.charter.members})}
    for name in sorted(expected - evidence.histories.keys()):
        case.damaged.add(name)
        case.findings.unknown.tell(f"the history of {name} is not there")


def _ledger(case: Case, books: Books, scaling: Scaling, reader: Reader, evidence: Evidence) -> None:
    counted = {Deposit: "deposits", Sale: "sales", Denial: "denials", Appoint: "elections_won"}
    counted |= {Depose: "traders_deposed", Adopt: "queues_taken_over"}
    exercised = case.findings.exercised
    for entry in reader.ledger(evidence.entries):
        if entry is None:
            books.skip()
            continue
        books.read(entry)
        scaling.read(entry)
        if (what := counted.get(type(entry))) is not None:
            exercised[what] += 1
            exercised["sales_from_cache"] += isinstance(entry, Sale) and entry.cached


def _history(
    name: str,
    history: Iterable[object],
    case: Case,
    books: Books,
    of_all: Sequence[Mapping[str, Handler]],
    lost: Lost,
    reader: Reader,
) -> list[Buyer | Seller | Trader]:
    handlers: defaultdict[str, list[Handler]] = defaultdict(list)
    parts: list[Buyer | Seller | Trader] = []
    if name == WAREHOUSE:
        handlers["stocked"].append(_Stock(case, books).stocked)
    else:
        handlers |= {what: [handle] for what, handle in Embassy(name, case).handlers.items()}
        parts = [Buyer(name, case, books), Seller(name, case, books, lost), Trader(name, case)]
    by_kind = [*of_all, *(part.handlers for part in parts)]
    for what, handle in itertools.chain.from_iterable(part.items() for part in by_kind):
        handlers[what].append(handle)
    reader.history(name, history, dict(handlers))
    return parts


def _queues(case: Case) -> None:
    """Reports queues that could not be read. A trader that died before its tenure began had no queue: nothing is lost."""
    for (peer, since), story in list(case.unread.items()):
        if (peer, since) in case.seated or case.incomplete(peer) or peer in case.lost:
            case.findings.unknown.tell(story)
        else:
            case.findings.notes.tell(f"{story}; it had died before it began one")
            del case.unread[peer, since]


class _Stock:
    """Checks that each deposit in the warehouse's history is in the ledger."""

    def __init__(self, case: Case, books: Books) -> None:
        self._case = case
        self._booked: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        for lot in books.deposits.values():
            self._booked[lot.seller, lot.item, lot.count] += 1

    def stocked(self, line: Line, facts: Stocked) -> None:
        product = (facts.seller, facts.item, facts.count)
        self._booked[product] -= 1
        if self._booked[product] < 0:
            self._case.findings.violated(
                "deposits_are_booked_as_offered",
                f"the warehouse took in {facts.count} {facts.item} of {facts.seller} at clock {line.clock}, "
                "which the ledger does not know",
            )


def _accounts(case: Case, books: Books, lost: Lost) -> None:
    """Checks that a buyer placed each decided order, and that of each sale the seller got its share, a trader the rest."""
    orders, violated = case.orders, case.findings.violated
    complete = SOLD | ASKED | CREDITED | KEPT
    for order, row in orders:
        flags = orders.flags[row]
        if not flags & DECIDED or flags & complete == complete:
            continue
        position = orders.position[row]
        buyer = orders.text(orders.buyer[row])
        if not flags & ASKED and not case.incomplete(buyer) and not lost.asked(order, row):
            item = orders.text(orders.item[row])
            violated(
                "only_what_was_asked",
                f"ledger entry {position} decides {order} ({item} for {buyer}), but what was asked under this name is None",
            )
        if not flags & SOLD:
            continue
        trader = orders.text(orders.trader[row])
        worth = f"{order} is worth {orders.price[row]} cents in the ledger (entry {position})"
        for seller in orders.uncredited(row):
            if not case.may_lack(seller) and not _is_unread(case, books, trader, position):
                violated("money_adds_up", f"{worth}, but {seller} was never credited its share")
        if flags & KEPT or _may_be_untold(case, books, trader, position):
            continue
        if not lost.kept(order, orders.sellers(row)):
            violated(
                "money_adds_up", f"{worth}, but neither {trader} nor who took over from it kept the trader's share"
            )


def _is_unread(case: Case, books: Books, trader: str, position: int) -> bool:
    """Whether the entry at `position` belongs to a tenure whose queue nobody could read: no heir knew whom to tell."""
    tenure = books.tenure(trader, position)
    return tenure is not None and (trader, tenure.since) in case.unread


def _may_be_untold(case: Case, books: Books, trader: str, position: int) -> bool:
    """Whether the trader of the entry at `position` lost its seat or its life, and no heir adopted or could read its queue."""
    tenure = books.tenure(trader, position)
    if case.incomplete(trader) or tenure is None or _is_unread(case, books, trader, position):
        return True
    return tenure.heir is None and (trader in case.dead or tenure.until is not None)


def _report(case: Case, missed: tuple[str, ...]) -> Report:
    findings = case.findings
    violations = findings.violations()
    hits = [fault.orders_hit for fault in case.faults]
    exercised = {what: findings.exercised[what] for what in EXERCISED}
    exercised |= {
        "faults": len(hits),
        "faults_that_hit_the_busy": sum(hit > 0 for hit in hits),
        "orders_hit_by_faults": sum(hits),
    }
    unknown = findings.unknown.all()
    verdict: Literal["held", "violated", "unknown"]
    shown = exercised["orders_answered"] and not missed and not unknown
    verdict = "violated" if violations else "held" if shown else "unknown"
    held = {name: name not in violations for name in findings.judged(case.charter.settings.routing)}
    told = findings.notes.all(), findings.counter_examples.all()
    return Report(verdict, held, violations, exercised, missed, unknown, *told)


EXERCISED = (
    "deposits",
    "sales",
    "denials",
    "elections_won",
    "traders_deposed",
    "seats_changed",
    "deposed_alive",
    "deposed_absent",
    "queues_taken_over",
    "orders_asked",
    "orders_answered",
    "orders_repeated",
    "orders_unanswered",
    "sales_from_cache",
    "messages_checked",
)
