"""`bash run.sh explain ORDER [RUN]` (requirement I3): the story of one order, in lines or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bazaar.analysis.judgement import run_in
from bazaar.analysis.stories import PICKS, WORDS, Run, Story, explain, names_like, pick
from bazaar.control.options import Parser
from bazaar.control.spelling import did_you_mean
from bazaar.protocol.settings import UsageError
from bazaar.runtime import run_folder


class Question(NamedTuple):
    """The user's question: an order by its name, or one of `PICKS`."""

    order: str | None
    which: str | None
    run: Path | None
    """None for the newest run."""
    json: bool


def parse(arguments: Sequence[str]) -> Question:
    """Parses the arguments. Raises `UsageError`."""
    parser = Parser(
        prog="bash run.sh explain",
        description="Tells the story of one order: what happened when, who believed what, and why it came out like that.",
    )
    parser.add_argument("words", nargs="*", metavar="ORDER [RUN]", help="an order such as buyer0-3; RUN: runs/latest")
    one = parser.add_mutually_exclusive_group()
    for which, (_, what) in PICKS.items():
        of = "the slowest order" if which == "slowest" else f"the first order that was {what}"
        one.add_argument(f"--{which}", dest="which", action="store_const", const=which, help=of)
    parser.add_argument("--json", action="store_true", help="for programs")
    said = parser.read(arguments)
    words, which = list(said["words"]), said["which"]
    order = words.pop(0) if which is None and words else None
    if len(words) > 1 or (order is None and which is None):
        choices = ", ".join(f"--{which}" for which in PICKS)
        raise UsageError(f"usage: bash run.sh explain ORDER [RUN], with an order such as buyer0-3, or one of {choices}")
    return Question(order, which, Path(words[0]) if words else None, said["json"])


def explained(question: Question, out: Path) -> str:
    """The text to print. Raises `UsageError` if there is no such order, or if the run does not exist or still goes on."""
    run = run_in(out)
    if run_folder.is_going_on(out):
        raise UsageError(f"{out} is a run that is still going on; stop it (Ctrl-C), then its orders can be explained")
    try:
        story = _story(run, question, out)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"a history of {out} cannot be read ({error}); `bash run.sh judge {out}` says where") from None
    return msgspec.json.encode(story).decode() if question.json else "\n".join(lines_of(story))


def _story(run: Run, question: Question, out: Path) -> Story:
    order = question.order
    if question.which is not None and (order := pick(run, question.which)) is None:
        raise UsageError(f"no order of {out} was {PICKS[question.which][1]}")
    assert order is not None  # `parse` demands one of the two
    story = explain(run, order)
    if story is None:
        raise UsageError(f"{out} has no order {order!r}{did_you_mean(order, names_like(run, order))}")
    return story


def lines_of(story: Story) -> Iterator[str]:
    """The story as lines for people. Each event has its time in seconds since the opening, and its process's clock."""
    cause = f": {WORDS[story.cause]}" if story.cause is not None else ""
    yield f"{story.order}, {'one' if story.units == 1 else story.units} {story.item} for {story.buyer}: {story.outcome}{cause}"
    for moment in story.moments:
        yield f"{moment.at_s:10.4f} s  clock {moment.clock:<7} {moment.text}"
    yield from story.why
