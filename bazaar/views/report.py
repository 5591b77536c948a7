"""The report of a run, `report.html`: `python -m bazaar.views.report RUN` makes it, from the run's folder alone.

The launcher starts this program while the market trades, because its libraries take a while to import. A line on standard
input says that all histories are complete. A second line says that the run is judged; the report contains the verdict.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from bazaar.analysis.audit import Report
from bazaar.analysis.judgement import Sound, launch_of, plan_of
from bazaar.analysis.stories import WORDS
from bazaar.analysis.stories import Run as Explicable
from bazaar.analysis.stories import explain as explained
from bazaar.analysis.summary import Summary
from bazaar.protocol import plan as plans
from bazaar.protocol.events import Event
from bazaar.protocol.goods import is_seller
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process, run_folder
from bazaar.runtime.history import HistoryFile, Recorded, by_time, histories_of
from bazaar.runtime.ledger_file import KeptLedger
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.course import Course
from bazaar.views.page import page
from bazaar.views.stories import Chooser, Story, stories

REPORT_FILE = "report.html"
T = TypeVar("T")


def scene(plan: Plan) -> dict[str, Any]:
    """The data that do not change in the course of a run: the peers, and their places in the graph."""
    from bazaar.views.places import places_of  # slow to import

    settings = plan.settings
    return {
        "seed": settings.seed,
        "title": f"{settings.peers} peers, {settings.traders} trader{'s'[: settings.traders != 1]}, "
        f"cache {settings.cache}, pace {settings.pace}, seed {settings.seed}",
        "routing": settings.routing,
        "peers": [
            {
                "name": name,
                "role": "seller" if is_seller(name) else "buyer",
                "item": plan.goods[name],
                "at": [round(place, 3) for place in at],
                "neighbours": list(plan.neighbours[name]),
            }
            for name, at in places_of(plan).items()
        ],
    }


class Had(NamedTuple):
    """How many of each the page has already."""

    changes: int = 0
    edges: int = 0
    happenings: int = 0

    @classmethod
    def all_of(cls, course: Course) -> Had:
        """It has everything so far."""
        return cls(len(course.changes), len(course.edges), len(course.happenings))


NOTHING_YET = Had()


def state(course: Course, had: Had = NOTHING_YET) -> dict[str, Any]:
    """The data that the page draws, without what it has already."""
    each_s, columns = course.pieces.drawn()
    return {
        "each_s": each_s,
        "end": round(course.end, 4),
        "columns": columns,
        "changes": course.changes[had.changes :],
        "edges": course.edges[had.edges :],
        "happenings": course.happenings[had.happenings :],
        "opening": course.opening,
        "ended": course.ended,
        "sampled": course.sampled,
        "left_out": course.left_out(),
        "events": course.seen.total(),
    }


def outcome(run: Path) -> dict[str, Any]:
    """The judgement of the run; its values are None if the run is not judged yet."""
    return {"summary": _read(run / "summary.json", Summary), "audit": _read(run / "audit.json", Report)}


def _read(path: Path, kind: type[T]) -> T | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None


def followed(run: Path, plan: Plan) -> tuple[Course, list[Story]]:
    """Reads all histories of a run. Returns its course, and the stories of the most interesting orders."""
    histories = histories_of(run, plan.members)
    launched_at = launch_of(run, histories)
    try:
        course, orders = _gone_through(histories, launched_at)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # somebody has edited a history: its readable lines are shown
        course, orders = _gone_through({name: Sound(history) for name, history in histories.items()}, launched_at)

    return course, stories(histories, orders, launched_at, explainer(run, plan, histories))


def explainer(run: Path, plan: Plan, histories: Mapping[str, HistoryFile]) -> Callable[[str], list[str]]:
    """A function that explains, in sentences, why an order of a finished run came out as it did; no sentences if it cannot."""

    def explain(order: str) -> list[str]:
        try:
            story = explained(Explicable(plan, KeptLedger(run), histories), order)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # the page shows what is readable; `judge` tells the rest
            return []
        if story is None or story.cause is None:
            return []
        return [f"{story.outcome.capitalize()}: {WORDS[story.cause]}.", *story.why]

    return explain


def _gone_through(
    histories: Mapping[str, Iterable[Recorded[Event]]], launched_at: float
) -> tuple[Course, dict[str, list[str]]]:
    course, chooser = Course(launched_at), Chooser()
    for line in by_time(histories.values()):
        course.add(line)
        chooser.look(line)
    return course, chooser.chosen()


def content(run: Path, plan: Plan) -> dict[str, Any]:
    """The data of the page of a finished run, without the verdict."""
    course, told = followed(run, plan)
    return {"scene": scene(plan), "state": state(course), "stories": told}


def write(run: Path, data: dict[str, Any]) -> Path:
    """Writes the report into the run's folder. Raises `OSError`."""
    with in_one_piece(run / REPORT_FILE) as draft:
        draft.write_text(page(data), encoding="utf-8")
    return run / REPORT_FILE


def make_report(folder: str | os.PathLike[str]) -> Path:
    """Makes the report of a finished run, judged or not. Raises `UsageError`, in one line, if it cannot be made."""
    run = Path(folder)
    if run_folder.is_going_on(run):
        raise UsageError(f"{run} is a run that is still going on; stop it (Ctrl-C), and the page is made")
    try:
        return write(run, {**content(run, plan_of(run)), **outcome(run)})
    except OSError as error:
        raise UsageError(f"the report could not be made: {error.filename or run}: {error.strerror}") from None


def main() -> int:
    """Makes the report of the run that is named on the command line, as soon as the run is judged."""
    import bazaar.views.places  # noqa: F401 # a slow import, done while there is nothing else to do

    run = Path(sys.argv[1])
    plan = plans.load(run / "bazaar.json")
    if not sys.stdin.readline():
        return 0
    data = content(run, plan)
    if sys.stdin.readline():  # else the run could not be judged, and its folder stays unchanged
        verdict = outcome(run)
        if verdict["summary"] is not None or not (run / REPORT_FILE).exists():  # else: the verdict could not be written
            write(run, {**data, **verdict})
    return 0


if __name__ == "__main__":
    process.run(main)
