"""`python -m tests.simulation`: runs any number of worlds, over all settings, on all processors."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.progress import track

from bazaar.analysis.audit import Report
from bazaar.control.options import Parser, add_set, take_settings
from bazaar.protocol.settings import UsageError
from bazaar.views.narration import Narrator
from tests.simulation.federation import FEDERATED, draw_federation
from tests.simulation.trial import KINDS, replay_command, run

WRONG_USAGE = 2


def main(arguments: Sequence[str]) -> int:
    """Returns 1 if any seed was violated, 2 for wrong usage.

    A few worlds show nothing, because all of their buyers died or became traders.
    """
    try:
        return _simulate(_parser().read(arguments))
    except UsageError as error:
        print(f"simulation: {error}", file=sys.stderr)
        return WRONG_USAGE


def _parser() -> Parser:
    parser = Parser("python -m tests.simulation", __doc__)
    parser.add_argument("--seed", dest="first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--tell", action="store_true", help="print every sentence of the first seed")
    add_set(parser)
    which = parser.add_mutually_exclusive_group()
    for name in KINDS:
        which.add_argument(f"--{name}", action="store_const", const=name, dest="kind", help=f"worlds: {name}")
    which.add_argument(
        f"--{FEDERATED}", action="store_const", const=FEDERATED, dest="kind", help="bazaars that trade with each other"
    )
    parser.set_defaults(kind="any")
    return parser


def _simulate(options: dict[str, Any]) -> int:
    fixed = take_settings(options)
    if options["seeds"] < 1:
        raise UsageError(f"--seeds must be at least 1; you asked for {options['seeds']}")
    kind: str = options["kind"]
    if options["tell"]:
        _tell(kind, options["first"], fixed)
    verdicts: Counter[str] = Counter()
    seeds = range(options["first"], options["first"] + options["seeds"])
    exercised: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    began = time.monotonic()
    with multiprocessing.Pool(min(len(seeds), multiprocessing.cpu_count())) as pool:
        reports = pool.imap(partial(_report, kind, fixed), seeds, chunksize=min(20, 1 + len(seeds) // 20))
        for seed, report in track(
            zip(seeds, reports, strict=True), "worlds", len(seeds), disable=not sys.stderr.isatty()
        ):
            exercised.update(report.exercised)
            verdicts[report.verdict] += 1
            if report.verdict == "unknown":
                unknown[_why_unknown(report)] += 1
            if report.violations:
                print(f"seed {seed}: violated; replay with {replay_command(seed, kind=kind, **fixed)}")
                for check, stories in report.violations.items():
                    print(f"  {check}: {stories[0]}", flush=True)
    print(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in exercised.items() if count))
    if len(seeds) > 1:
        print(f"{len(seeds) / (time.monotonic() - began):.1f} worlds a second")
    print(f"of {len(seeds)} seeds {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    if unknown:
        print(f"unknown: {', '.join(f'{count} because {why}' for why, count in unknown.most_common())}")
    return 1 if verdicts["violated"] else 0


def _why_unknown(report: Report) -> str:
    """The one reason why this verdict is no "held": the gravest, if there are several."""
    if any("could not read the queue" in story for story in report.unknown):
        return "a queue could not be read"
    if report.unknown:
        return "a part of the evidence is missing"
    return "a fault could not be done" if report.missed else "there was nothing to judge"


def _tell(kind: str, seed: int, fixed: dict[str, Any]) -> None:
    federated = kind == FEDERATED
    told = draw_federation(seed, **fixed).run().evidence if federated else {"": run(kind, seed, **fixed)[1]}
    for bazaar, evidence in told.items():
        print(bazaar, evidence.plan.settings)
        for sentence in Narrator().tell(*evidence.histories.values()):
            print(f"{sentence.at:9.4f} : {sentence.text}")


def _report(kind: str, fixed: dict[str, Any], seed: int) -> Report:
    return draw_federation(seed, **fixed).run().report if kind == FEDERATED else run(kind, seed, **fixed)[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
