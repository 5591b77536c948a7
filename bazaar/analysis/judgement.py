"""Judges a run from its folder, and nothing else.

`python -m bazaar.analysis.judgement RUN` writes `audit.json` and `summary.json`.

Anybody can, at any time, as often as they like, on any machine: what it takes is all in the folder, and the same folder is
judged with the same bytes. Also a run whose launcher was killed. One whose files somebody has changed since it was judged
first is not, unless its seal is taken away.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from bazaar.analysis.audit import MOST_STORIES, Evidence, NoRun, Report, judge_run
from bazaar.analysis.seal import SEAL_FILE, broken, seal
from bazaar.analysis.summary import Summary, summarize
from bazaar.protocol.events import Event
from bazaar.protocol.plan import Plan, load
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process
from bazaar.runtime.history import HISTORY_FILE, HistoryFile, Recorded, histories_of
from bazaar.runtime.ledger_file import KeptLedger
from bazaar.runtime.run_folder import in_one_piece
from bazaar.runtime.runclock import clock_of

NOT_JUDGED = 2


class Judgement(msgspec.Struct, frozen=True):
    """What came out, and which files could not be made, each with the reason."""

    summary: Summary
    report: Report
    unmade: tuple[str, ...] = ()


class Sound:
    """Of a history, what can be read of it; gone through anew each time."""

    def __init__(self, history: HistoryFile) -> None:
        self._history = history

    def __iter__(self) -> Iterator[Recorded[Event]]:
        return self._history.sound()


def plan_of(run: Path) -> Plan:
    """The plan in a run's folder. Raises `UsageError` if that is none."""
    try:
        return load(run / "bazaar.json")
    except OSError as error:
        reason = f"its bazaar.json cannot be read: {error.strerror}"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = f"its bazaar.json is none: {error}"
    raise UsageError(f"{run} is no run's folder ({reason}); give one, such as runs/latest")


def judged(run: Path) -> Judgement:
    """Judges, and writes. Raises `UsageError`, in one line, if it cannot be judged; then nothing was changed."""
    plan = plan_of(run)
    if (change := broken(run)) is not None:
        raise UsageError(
            f"{run} is not as the run left it: {change}; restore that, or delete {run / SEAL_FILE} to judge what is there"
        )
    try:
        report = judge_run(run, _say)
    except NoRun as error:
        raise UsageError(str(error)) from None
    histories = histories_of(run, plan.names)
    damage = dict(itertools.islice(_damage(histories), MOST_STORIES))
    if damage:
        report = _doubted(report, damage)
        summary = _summary(run, plan, report, {name: Sound(history) for name, history in histories.items()})
    else:
        summary = _summary(run, plan, report, histories)
    unmade = tuple(_written(run, [("audit.json", report), ("summary.json", summary)]))
    seal(run)
    return Judgement(summary, report, unmade)


def _summary(run: Path, plan: Plan, report: Report, histories: Mapping[str, Iterable[Recorded[Event]]]) -> Summary:
    return summarize(Evidence(plan, KeptLedger(run), histories, None), report, launch_of(run, histories))


def launch_of(run: Path, histories: Mapping[str, Iterable[Recorded[Event]]]) -> float:
    """When a run was launched, in seconds since the epoch: as it says, else at the first event."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return clock_of(run).wall
    firsts = (line.at for history in histories.values() for line in itertools.islice(history, 1))
    return min(firsts, default=0.0)


def _damage(histories: Mapping[str, HistoryFile]) -> Iterator[tuple[str, str]]:
    """The lines with which the figures cannot be made: where each stands, and what is wrong with it.

    The judge reads of a line what its checks need. Here all of it is read: an event of a kind that is not in the catalogue,
    or one with a field too many, is no line of ours either, and what it was meant to say nobody knows.
    """
    for name, history in histories.items():
        for number, reason in history.damage():
            yield f"{name}/{HISTORY_FILE}, line {number},", f"cannot be read: {reason}"


def _doubted(report: Report, damage: Mapping[str, str]) -> Report:
    """The report, with the damage that it does not tell of: with it nothing can be said to have held."""
    more = [
        f"{place} {reason}"
        for place, reason in damage.items()
        if not any(story.startswith(place) for story in report.unknown)
    ]
    if not more:
        return report
    verdict = "unknown" if report.verdict == "held" else report.verdict
    return msgspec.structs.replace(report, verdict=verdict, unknown=[*report.unknown, *more])


def _say(share: float) -> None:
    """How much of the evidence was read."""
    print(f"{share:.3f}", flush=True)


def _written(run: Path, records: Iterable[tuple[str, msgspec.Struct]]) -> Iterator[str]:
    """Writes each file in one piece; tells what could not be written."""
    for name, record in records:
        try:
            with in_one_piece(run / name) as draft:
                draft.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        except OSError as error:
            yield f"{name} could not be written: {error.strerror}"


def main() -> int:
    """Prints how far it is, a share a line, and the judgement as JSON; else 2, and one line of complaint."""
    try:
        judgement = judged(Path(sys.argv[1]))
    except UsageError as error:
        print(error, file=sys.stderr)
        return NOT_JUDGED
    print(msgspec.json.encode(judgement).decode())
    return 0


if __name__ == "__main__":
    process.run(main)
