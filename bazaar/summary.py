"""The figures of a run, from its ledger and histories: `summary.json` (SPEC H)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from bazaar.audit import ANSWERS, Evidence, Report
from bazaar.history import by_time, only
from bazaar.records import AnyEntry, Appoint, Denial, DepositEntry, Item, Sale

AFTERMATH = ("fault", "trader_died", "traded")


class Requests(msgspec.Struct, frozen=True):
    """What became of the buyers' orders. asked = purchased + unavailable + oversold + unanswered."""

    asked: int
    purchased: int
    unavailable: int
    oversold: int
    undersold: int
    """Of those refused (unavailable or oversold): how many although the warehouse had stock of the item then."""
    unanswered: int


class Latency(msgspec.Struct, frozen=True):
    """From a buyer's placing an order to its first answer, in milliseconds."""

    p50: float
    p99: float


class Summary(msgspec.Struct, frozen=True):
    """`summary.json`."""

    verdict: str
    seed: int
    peers: int
    traders: list[str]
    cache: str
    pace: str
    requests: Requests
    goods_shipped: int
    trading_s: float
    throughput_per_s: float
    latency_ms: Latency
    startup_s: float
    elections: int
    faults: list[dict[str, Any]]
    audit: dict[str, bool]


def summarize(evidence: Evidence, report: Report, launched_at: float) -> Summary:
    """`launched_at`: seconds since the epoch."""
    settings = evidence.plan.settings
    placed: dict[str, float] = {}
    answered: dict[str, float] = {}
    outcome: dict[str, str] = {}
    elections = 0
    for history in evidence.histories.values():
        for happened in only(history, "ordered", *ANSWERS, "election_started"):
            match happened.what:
                case "ordered":
                    placed[happened.facts["order"]] = happened.at
                case "purchased" | "found_unavailable":
                    answered.setdefault(happened.facts["order"], happened.at)
                    outcome[happened.facts["order"]] = happened.what
                case "revoked":
                    answered.setdefault(happened.facts["order"], happened.at)
                    outcome[happened.facts["order"]] = "revoked"
                case "election_started":
                    elections += 1
    outcomes = Counter(outcome[order] for order in placed if order in outcome)
    waits = sorted(1000 * (answered[order] - placed[order]) for order in placed if order in answered)
    first_order = min(placed.values(), default=launched_at)
    trading_s = max(answered.values(), default=first_order) - first_order
    shipped = sum(isinstance(entry, Sale) for entry in evidence.entries)
    return Summary(
        verdict=report.verdict,
        seed=settings.seed,
        peers=settings.peers,
        traders=[entry.peer for entry in evidence.entries if isinstance(entry, Appoint)],
        cache=settings.cache,
        pace=settings.pace,
        requests=Requests(
            asked=len(placed),
            purchased=outcomes["purchased"],
            unavailable=outcomes["found_unavailable"],
            oversold=outcomes["revoked"],
            undersold=_undersold(evidence.entries),
            unanswered=len(placed) - sum(outcomes.values()),
        ),
        goods_shipped=shipped,
        trading_s=round(trading_s, 3),
        throughput_per_s=round(shipped / trading_s, 2) if trading_s else 0.0,
        latency_ms=Latency(round(percentile(waits, 50), 3), round(percentile(waits, 99), 3)),
        startup_s=round(first_order - launched_at, 3) if placed else 0.0,
        elections=elections,
        faults=_faults(evidence, first_order),
        audit=report.audit,
    )


def _faults(evidence: Evidence, trading_since: float) -> list[dict[str, Any]]:
    """What was done, when, and how long it took until the others knew, and until a survivor sold again (seconds)."""
    faults: list[dict[str, Any]] = []
    done: list[tuple[str, float]] = []  # of each fault: to whom, when
    for happened in by_time(only(history, *AFTERMATH) for history in evidence.histories.values()):
        if happened.what == "fault":
            done.append((happened.facts["name"], happened.at))
            at_s = round(happened.at - trading_since, 3)
            faults.append({"what": happened.facts["fault"], "at_s": at_s, "detected_s": None, "recovered_s": None})
            continue
        for fault, (name, at) in zip(faults, done, strict=True):
            if fault["detected_s"] is None and happened.what == "trader_died" and happened.facts["peer"] == name:
                fault["detected_s"] = round(happened.at - at, 3)
            elif (
                fault["detected_s"] is not None
                and fault["recovered_s"] is None
                and happened.what == "traded"
                and happened.process != name
            ):
                fault["recovered_s"] = round(happened.at - at, 3)
    return faults


def percentile(ascending: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    if not ascending:
        return 0.0
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


def _undersold(entries: Iterable[AnyEntry]) -> int:
    left: Counter[Item] = Counter()
    refused = 0
    for entry in entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale():
                left[entry.item] -= 1
            case Denial():
                refused += left[entry.item] > 0
    return refused
