"""The figures of a run, from its ledger and histories: `summary.json` (requirement H; further fields follow `audit`).

Trading time begins with the opening, when the first trader says that trading can begin. It ends when the launcher ends
trading, or, in a run of a fixed number of orders, when the last of them is answered. The response time of an order ends
with the first answer to its buyer. A later correction changes the outcome of the order, but not its response time.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from bazaar.analysis.aftermath import faults_of
from bazaar.analysis.audit import Evidence, Report
from bazaar.analysis.stories import AT_THE_BUYER, Run, pick, word_of
from bazaar.core.id_set import IdSet
from bazaar.protocol import events
from bazaar.protocol.entries import AnyEntry, Appoint, Denial, DeposeEntry, DepositEntry, Sale
from bazaar.protocol.goods import WAREHOUSE, Item, buyer_of, home_of, sellers_share
from bazaar.runtime.history import LAUNCHER, Recorded, only


class Requests(msgspec.Struct, frozen=True):
    """What became of the buyers' orders. asked = purchased + unavailable + oversold + unanswered."""

    asked: int
    purchased: int
    unavailable: int
    oversold: int
    undersold: int
    """The number of refused orders (unavailable or oversold) for which the warehouse had enough units at that time."""
    unanswered: int


class Latency(msgspec.Struct, frozen=True):
    """The time from the placing of an order to its first answer, in milliseconds."""

    p50: float
    p99: float


class Earnings(msgspec.Struct, frozen=True):
    """The shares of each trader and each seller in the sales of the ledger, in cents: 20 and 80 % (requirement C5)."""

    traders: dict[str, int]
    sellers: dict[str, int]


class Deposal(msgspec.Struct, frozen=True):
    """A trader lost its seat."""

    peer: str
    seat: int
    at_s: float | None
    """Seconds since the opening; None if the warehouse was killed before it could write the time down."""
    why: Literal["killed", "resigned", "silent"]


class Abroad(msgspec.Struct, frozen=True):
    """The orders that crossed to or from other bazaars. asked = bought + unavailable + unknown."""

    asked: int
    """The orders of this bazaar's buyers that went abroad."""
    bought: int
    unavailable: int
    unknown: int
    """The buyer was never told what became of it."""
    sold: int
    """The orders of other bazaars that this one's ledger has sold."""
    refused: int


class Summary(msgspec.Struct, frozen=True):
    """`summary.json`."""

    verdict: str
    seed: int
    peers: int
    traders: list[str]
    """All elected peers in the order of their election, also those that no longer trade."""
    cache: str
    pace: str
    requests: Requests
    goods_shipped: int
    """Units, not orders."""
    trading_s: float
    throughput_per_s: float
    latency_ms: Latency
    startup_s: float
    elections: int
    faults: list[dict[str, Any]]
    audit: dict[str, bool]
    traders_at_end: list[str]
    """The traders at the end, by seat."""
    deposed: list[Deposal]
    deposed_alive: int
    """The number of those that were deposed without a visible cause."""
    earnings: Earnings
    examples: dict[str, str] = {}
    """One order each that was `oversold`, `undersold` or `lost` (unanswered), if any; `bash run.sh explain` tells why."""
    clock_errors_ms: dict[str, float] = {}
    """Of each peer on another machine: the largest error of the times in its history, in milliseconds."""
    abroad: Abroad | None = None
    """None for a bazaar without a name, which trades with no other."""


def summarize(evidence: Evidence, report: Report, launched_at: float) -> Summary:
    """Computes the figures. `launched_at`: seconds since the epoch."""
    settings = evidence.plan.settings
    orders = _Orders(evidence.histories.values())
    opened = (line.at for history in evidence.histories.values() for line in only(history, events.Opened))
    opening = min(opened, default=orders.first_at or launched_at)
    trading_s = max(0.0, (_end_of_trading(evidence, orders) or opening) - opening)
    shipped, undersold, earnings = _sales(evidence.entries)
    counted = {"oversold": orders.outcomes[events.Revoked], "undersold": undersold, "lost": orders.unanswered}
    run = Run(evidence.plan, evidence.entries, evidence.histories)
    return Summary(
        verdict=report.verdict,
        seed=settings.seed,
        peers=settings.peers,
        traders=[entry.peer for entry in evidence.entries if isinstance(entry, Appoint)],
        cache=settings.cache,
        pace=settings.pace,
        requests=Requests(
            asked=orders.asked,
            purchased=orders.outcomes[events.Purchased],
            unavailable=orders.outcomes[events.FoundUnavailable],
            oversold=orders.outcomes[events.Revoked],
            undersold=undersold,
            unanswered=orders.unanswered,
        ),
        goods_shipped=shipped,
        trading_s=round(trading_s, 3),
        throughput_per_s=round(shipped / trading_s, 2) if trading_s else 0.0,
        latency_ms=Latency(*(round(1000 * percentile(orders.waits, percent), 3) for percent in (50, 99))),
        startup_s=round(orders.first_at - launched_at, 3) if orders.first_at is not None else 0.0,
        elections=sum(1 for history in evidence.histories.values() for _ in only(history, events.ElectionStarted)),
        faults=[fault.told(opening) for fault in faults_of(evidence.histories)],
        audit=report.audit,
        traders_at_end=_bench(evidence.entries),
        deposed=_deposed(evidence, opening),
        deposed_alive=report.exercised.get("deposed_alive", 0),
        earnings=earnings,
        examples={
            which: order for which, count in counted.items() if count and (order := pick(run, which)) is not None
        },
        clock_errors_ms=dict(_clock_errors_ms(evidence)),
        abroad=None if settings.name is None else _abroad(evidence),
    )


def _abroad(evidence: Evidence) -> Abroad:
    """Of each order that went abroad, what its buyer knew last."""
    words: Counter[str] = Counter()
    for history in evidence.histories.values():
        lines: defaultdict[str, list[Recorded[events.Event]]] = defaultdict(list)
        for line in only(history, *AT_THE_BUYER):
            lines[line.event.order_id].append(line)
        words.update(filter(None, map(word_of, lines.values())))
    decisions = [e for e in evidence.entries if isinstance(e, Sale | Denial) and home_of(buyer_of(e.order_id))]
    sold = sum(isinstance(entry, Sale) for entry in decisions)
    return Abroad(words.total(), words["bought"], words["unavailable"], words["unknown"], sold, len(decisions) - sold)


def _clock_errors_ms(evidence: Evidence) -> Iterator[tuple[str, float]]:
    """Until a comparison, a process trusted the one before: its times were wrong by the drift since then at the most."""
    for name, history in evidence.histories.items():
        errors = [abs(line.event.drifted_s) + line.event.error_s for line in only(history, events.Compared)]
        if errors:
            yield name, round(1000 * max(errors), 3)


def _end_of_trading(evidence: Evidence, orders: _Orders) -> float | None:
    """The end of trading; None if trading never began. If the launcher was killed, the last answer is the end."""
    requests = evidence.plan.settings.requests
    if orders.first_at is None or (requests is not None and orders.asked - orders.unanswered >= requests):
        return orders.last_answer_at
    closing = (line.at for line in only(evidence.histories.get(LAUNCHER, ()), events.Closing))
    return next(closing, orders.last_answer_at)


class _Orders:
    """The buyers' orders and answers. The memory is bounded: a number and three bits for each order."""

    def __init__(self, histories: Iterable[Iterable[Recorded[events.Event]]]) -> None:
        self.asked = self.unanswered = 0
        self.outcomes: Counter[type[events.OfOrder]] = Counter()
        self.first_at: float | None = None
        self.last_answer_at: float | None = None
        waits = array("d")
        for history in histories:
            self._read(history, waits)
        self.waits: Sequence[float] = sorted(waits)
        """The response times of the answered orders, in seconds, ascending."""

    def _read(self, history: Iterable[Recorded[events.Event]], waits: array[float]) -> None:
        placed = IdSet()
        open_since: dict[str, float] = {}
        # The refused orders, by their latest answer; all others are purchased.
        refused: dict[type[events.OfOrder], IdSet] = {events.FoundUnavailable: IdSet(), events.Revoked: IdSet()}
        for line in only(history, events.Ordered, *events.ANSWERS):
            kind, order, at = type(line.event), line.event.order_id, line.at
            if kind is events.Ordered:
                self.asked += 1
                placed.add(order)
                open_since[order] = at
                self.first_at = min(at, self.first_at or at)
            if order not in placed or kind is events.Ordered:
                continue
            before = next((answer for answer, names in refused.items() if order in names), events.Purchased)
            if order in open_since:
                waits.append(at - open_since.pop(order))
                self.last_answer_at = max(at, self.last_answer_at or at)
            else:
                self.outcomes[before] -= 1
            self.outcomes[kind] += 1
            if kind is not before:
                for answer, names in refused.items():
                    (names.add if answer is kind else names.discard)(order)
        self.unanswered += len(open_since)


def _sales(entries: Iterable[AnyEntry]) -> tuple[int, int, Earnings]:
    """The number of goods sold, the number of orders under-sold, and the earnings."""
    left: Counter[Item] = Counter()
    traders: Counter[str] = Counter()
    sellers: Counter[str] = Counter()
    shipped = undersold = 0
    for entry in entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale():
                for part in entry.parts:
                    left[entry.item] -= part.units
                    shipped += part.units
                    price_cents = part.units * part.price_cents
                    share = sellers_share(price_cents)
                    sellers[part.seller] += share
                    traders[entry.trader] += price_cents - share
            case Denial():
                undersold += left[entry.item] >= entry.units
    return shipped, undersold, Earnings(dict(sorted(traders.items())), dict(sorted(sellers.items())))


# ------------------------------------------------------------------------------------------------ the bench
def _bench(entries: Iterable[AnyEntry]) -> list[str]:
    """The peers that held the seats at the end, by seat."""
    seats: dict[int, str] = {}
    for entry in entries:
        if isinstance(entry, Appoint):
            seats[entry.seat] = entry.peer
        elif isinstance(entry, DeposeEntry):
            seats.pop(entry.seat, None)
    return [peer for _, peer in sorted(seats.items())]


def _deposed(evidence: Evidence, opening: float) -> list[Deposal]:
    """The deposals, in the order of the ledger."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for line in only(evidence.histories.get(WAREHOUSE, ()), events.Deposed):
        times[line.event.peer].append(line.at)
    launcher = evidence.histories.get(LAUNCHER, ()) if times else ()
    fell = [(line.at, line.event.name) for line in only(launcher, events.Fell)]
    deposed: list[Deposal] = []
    for entry in evidence.entries:
        if not isinstance(entry, DeposeEntry):
            continue
        at = times[entry.peer].pop(0) if times[entry.peer] else None
        killed = any(name == entry.peer and (at is None or when <= at) for when, name in fell)
        why: Literal["killed", "resigned", "silent"]
        why = "resigned" if entry.by == entry.peer else "killed" if killed else "silent"
        deposed.append(Deposal(entry.peer, entry.seat, None if at is None else round(at - opening, 3), why))
    return deposed


def percentile(ascending: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile; 0 if there are no values."""
    if not ascending:
        return 0.0
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]
