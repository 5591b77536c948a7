"""`bash run.sh explain ORDER [RUN]` (SPEC I3): the story of one order, in lines or as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bazaar.analysis.judgement import plan_of
from bazaar.analysis.stories import PICKS, WORDS, Run, Story, explain, names_like, pick
from bazaar.control.options import Parser
from bazaar.control.spelling import did_you_mean
from bazaar.protocol.settings import UsageError
from bazaar.runtime import run_folder
from bazaar.runtime.history import histories_of
from bazaar.runtime.ledger_file import KeptLedger


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """`which`: an option of `PICKS`, or None; `order`, `run`, `json`. Raises `UsageError`."""
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
    options = parser.parse_args(arguments)
    words = list(options.words)
    options.order = words.pop(0) if options.which is None and words else None
    if len(words) > 1 or (options.order is None and options.which is None):
        choices = ", ".join(f"--{which}" for which in PICKS)
        raise UsageError(f"usage: bash run.sh explain ORDER [RUN], with an order such as buyer0-3, or one of {choices}")
    options.run = Path(words[0]) if words else None
    return options


def explained(options: argparse.Namespace, out: Path) -> str:
    """What is printed. Raises `UsageError` if there is no such order, or no run that is over."""
    plan = plan_of(out)
    if run_folder.is_going_on(out):
        raise UsageError(f"{out} is a run that is still going on; stop it (Ctrl-C), then its orders can be explained")
    run = Run(plan, KeptLedger(out), histories_of(out, plan.names))
    try:
        story = _story(run, options, out)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"a history of {out} cannot be read ({error}); `bash run.sh judge {out}` says where") from None
    return msgspec.json.encode(story).decode() if options.json else "\n".join(lines_of(story))


def _story(run: Run, options: argparse.Namespace, out: Path) -> Story:
    order = options.order if options.which is None else pick(run, options.which)
    if order is None:
        raise UsageError(f"no order of {out} was {PICKS[options.which][1]}")
    story = explain(run, order)
    if story is None:
        raise UsageError(f"{out} has no order {order!r}{did_you_mean(order, names_like(run, order))}")
    return story


def lines_of(story: Story) -> Iterator[str]:
    """The story for people to read: times in seconds since the market opened, and the clock of whoever noted it."""
    cause = f": {WORDS[story.cause]}" if story.cause is not None else ""
    yield f"{story.order}, one {story.item} for {story.buyer}: {story.outcome}{cause}"
    for moment in story.moments:
        yield f"{moment.at_s:10.4f} s  clock {moment.clock:<7} {moment.text}"
    yield from story.why
