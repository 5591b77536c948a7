"""Judges a run from its folder alone.

`python -m bazaar.analysis.judgement RUN` writes `audit.json`, `summary.json` and `orders.csv`, and `graph.csv` if its peers
spoke with their neighbours only.

Anybody can judge a run at any time, as often as they like, on any machine: the folder holds all that is needed, and the
same folder gives the same bytes. A run whose launcher was killed can be judged, too. A run whose files were changed since
it was first judged is refused, unless its seal is deleted.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bazaar.analysis.audit import MOST_STORIES, Evidence, NoRun, Report, judge_run
from bazaar.analysis.audit.federation import Together, judge_together
from bazaar.analysis.audit.federation import run_in as run_in_folder
from bazaar.analysis.edges import GRAPH_FILE, changes_of, graph_table
from bazaar.analysis.order_table import ORDERS_FILE, table_of
from bazaar.analysis.seal import SEAL_FILE, broken, seal
from bazaar.analysis.stories import Run
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
    """The result, and the files that could not be written, each with the reason."""

    summary: Summary
    report: Report
    unmade: tuple[str, ...] = ()


class Sound:
    """The readable lines of a history. Each iteration reads the file anew."""

    def __init__(self, history: HistoryFile) -> None:
        self._history = history

    def __iter__(self) -> Iterator[Recorded[Event]]:
        return self._history.sound()


def plan_of(run: Path) -> Plan:
    """The plan in a run's folder. Raises `UsageError` if there is none."""
    try:
        return load(run / "bazaar.json")
    except OSError as error:
        reason = f"its bazaar.json cannot be read: {error.strerror}"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = f"its bazaar.json is none: {error}"
    raise UsageError(f"{run} is no run's folder ({reason}); give one, such as runs/latest")


def run_in(folder: str | os.PathLike[str]) -> Run:
    """The records of the run in this folder. Raises `UsageError` if there is none."""
    folder = Path(folder)
    plan = plan_of(folder)
    return Run(plan, KeptLedger(folder), histories_of(folder, plan.members))


def judged(folder: str | os.PathLike[str]) -> Judgement:
    """Judges a run and writes its files. Raises `UsageError`, in one line, and changes nothing if it cannot be judged."""
    run = Path(folder)
    plan = plan_of(run)
    if (change := broken(run)) is not None:
        raise UsageError(
            f"{run} is not as the run left it: {change}; restore that, or delete {run / SEAL_FILE} to judge what is there"
        )
    try:
        report = judge_run(run, _say)
    except NoRun as error:
        raise UsageError(str(error)) from None
    histories = histories_of(run, plan.members)
    damage = dict(itertools.islice(_damage(histories), MOST_STORIES))
    readable: Mapping[str, Iterable[Recorded[Event]]] = histories
    if damage:
        report = _doubted(report, damage)
        readable = {name: Sound(history) for name, history in histories.items()}
    evidence = Evidence(plan, KeptLedger(run), readable, None)
    summary = summarize(evidence, report, launch_of(run, readable))
    unmade = tuple(_written(run, report, summary, Run(plan, evidence.entries, readable)))
    seal(run)
    return Judgement(summary, report, unmade)


def judged_together(runs: Sequence[Path]) -> Together:
    """Judges the orders abroad of several runs. Raises `UsageError` if these runs cannot have traded with each other."""
    names: dict[str, Path] = {}
    for run in runs:
        name = plan_of(run).settings.name
        if name is None:
            raise UsageError(f"{run} is the run of a bazaar without a name (--name): it trades with no other")
        if name in names:
            raise UsageError(f"{names[name]} and {run} are both runs of {name}; give one of each bazaar")
        names[name] = run
    return judge_together([run_in_folder(run) for run in runs])


def launch_of(run: Path, histories: Mapping[str, Iterable[Recorded[Event]]]) -> float:
    """The time of a run's launch, in seconds since the epoch: the recorded one, else that of the first event."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return clock_of(run).wall
    firsts = (line.at for history in histories.values() for line in itertools.islice(history, 1))
    return min(firsts, default=0.0)


def _damage(histories: Mapping[str, HistoryFile]) -> Iterator[tuple[str, str]]:
    """The lines that make the figures impossible: the place of each, and what is wrong with it.

    The judge reads only the fields that its checks need. This function reads whole lines: an event of a kind that is not in
    the catalogue, or one with an extra field, counts as damage, too, because nobody knows its meaning.
    """
    for name, history in histories.items():
        for number, reason in history.damage():
            yield f"{name}/{HISTORY_FILE}, line {number},", f"cannot be read: {reason}"


def _doubted(report: Report, damage: Mapping[str, str]) -> Report:
    """The report, completed by the damage that it does not mention. With damage, "held" becomes "unknown"."""
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
    """Prints the fraction of the evidence that was read."""
    print(f"{share:.3f}", flush=True)


def _written(run: Path, report: Report, summary: Summary, orders: Run) -> Iterator[str]:
    """Writes each file atomically. Yields a sentence for each file that could not be written."""

    def json(record: msgspec.Struct) -> Iterator[bytes]:
        yield msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"

    contents = {"audit.json": json(report), "summary.json": json(summary), ORDERS_FILE: table_of(orders)}
    if orders.plan.settings.routing == "neighbours":
        contents[GRAPH_FILE] = graph_table(changes_of(orders.histories.values()), orders.opening)
    for name, content in contents.items():
        try:
            with in_one_piece(run / name) as draft, draft.open("wb") as file:
                file.writelines(content)
        except OSError as error:
            yield f"{name} could not be written: {error.strerror}"


def main() -> int:
    """Prints its progress, one fraction a line, and the judgement as JSON. On an error prints one line, and returns 2."""
    try:
        judgement = judged(Path(sys.argv[1]))
    except UsageError as error:
        print(error, file=sys.stderr)
        return NOT_JUDGED
    print(msgspec.json.encode(judgement).decode())
    return 0


if __name__ == "__main__":
    process.run(main)
