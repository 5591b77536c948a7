"""A real run, from its opening to its judgement, and what it left behind, for the tests to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bazaar.analysis.audit import Report
from bazaar.analysis.summary import Summary
from bazaar.control.launcher import Bazaar
from bazaar.protocol.entries import AdoptEntry, AnyEntry, Denial, DeposeEntry, DepositEntry, Sale
from bazaar.protocol.events import Event
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings, with_pace
from bazaar.runtime.history import HistoryFile, Recorded
from bazaar.views.texts import narrate

ROOT = Path(__file__).resolve().parents[2]
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} : ")
PATIENCE_S = 60.0  # for something that takes a second or two on an idle machine


def quick(**values: Any) -> Settings:
    """Settings without waits, but patient with silence: on a busy machine a slow peer must not lose its election or seat."""
    patience = {"election_timeout_s": 20.0, "answer_timeout_s": 20.0, "suspect_after_s": 20.0}
    return with_pace("fast", **{**patience, **values})


class Traded(NamedTuple):
    """What is in a run's folder."""

    out: Path
    plan: Plan
    summary: Summary
    report: Report
    entries: list[AnyEntry]
    sentences: list[str]
    """Those of `output.txt`, without their time stamps."""

    @property
    def deposits(self) -> list[DepositEntry]:
        return [entry for entry in self.entries if isinstance(entry, DepositEntry)]

    @property
    def sales(self) -> list[Sale]:
        return [entry for entry in self.entries if isinstance(entry, Sale)]

    @property
    def denials(self) -> list[Denial]:
        return [entry for entry in self.entries if isinstance(entry, Denial)]

    @property
    def deposed(self) -> list[DeposeEntry]:
        return [entry for entry in self.entries if isinstance(entry, DeposeEntry)]

    @property
    def adopted(self) -> list[AdoptEntry]:
        return [entry for entry in self.entries if isinstance(entry, AdoptEntry)]

    def history(self, name: str) -> list[Recorded[Event]]:
        return list(HistoryFile(self.out / name))

    def told(self, pattern: str) -> list[str]:
        """The sentences that are exactly this."""
        return [sentence for sentence in self.sentences if re.fullmatch(pattern, sentence)]

    def assert_held(self) -> None:
        assert self.report.violations == {}
        assert self.summary.verdict == "held"
        assert self.summary.requests.unanswered == 0


def trade(settings: Settings, out: Path, mongo_uri: str, enough: Callable[[Bazaar], bool] | None = None) -> Traded:
    """A whole run. It ends after the requests or the duration of the settings, or when `enough` says so."""
    with Bazaar(settings, out, mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        if enough is None:
            bazaar.trade()
        else:
            assert bazaar.wait_until(lambda: enough(bazaar), PATIENCE_S), "the market did not come so far"
        bazaar.finish()
        summary, report = bazaar.collect()
    return left_behind(bazaar.plan, out, summary, report)


def left_behind(plan: Plan, out: Path, summary: Summary, report: Report) -> Traded:
    """Reads the files of a run that has been collected."""
    narrate(out, plan.members)
    return Traded(out, plan, summary, report, ledger_of(out), sentences_of(out / "output.txt"))


def ledger_of(out: Path) -> list[AnyEntry]:
    lines = (out / "ledger.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=AnyEntry) for line in lines]


def sentences_of(path: Path) -> list[str]:
    """The sentences of a text; each must bear a time stamp."""
    lines = path.read_text().splitlines()
    assert [line for line in lines if not STAMP.match(line)] == []
    return [STAMP.sub("", line, count=1) for line in lines]


def in_order(sentences: Sequence[str], *patterns: str) -> None:
    """Asserts that there are sentences like these, each after the one before."""
    rest: Iterator[str] = iter(sentences)
    for number, pattern in enumerate(patterns):
        if not any(re.fullmatch(pattern, sentence) for sentence in rest):
            raise AssertionError(f"after {patterns[:number]} nobody said {pattern!r}")
