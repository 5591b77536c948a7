"""Breaks the bazaar on purpose, one small break at a time, and finds out whether the tests and a run's own verdict notice.

    .venv/bin/python -m tests.mutants

Each break is one replacement in one file, made alone in a copy of the tree. In the copy the tests run until one fails; the
tests of the broken part run first. Then simulated worlds, half of them with faults, are judged until one is violated. No
break touches the judge, and the judge shares no code with the broken parts. The result is written to
docs/reference/mutants.md. `--only WORD` selects the breaks whose name contains this word, and prints without writing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from tests.breaks import BREAKS, Break
from tests.simulation.federation import FEDERATED, draw_federation
from tests.simulation.trial import replay_command, run

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "mutants.md"
COPIED = ("bazaar", "peers", "tests", "experiments", "docs")
SUITE = ("tests/unit", "tests/contract/test_ledger.py", "tests/simulated")
NO_DOCS = "--ignore=tests/unit/test_docs.py"  # no break is in the docs, and the copy has no pictures
WORLDS = 60
DRAWN: dict[str, Any] = {"window": 3, "restock_count": 2}
LONGEST_S = 1200


class Noticed(NamedTuple):
    """What noticed a break: a test, a check and its replay command. Each is empty if nothing noticed it."""

    test: str
    check: str
    replay: str


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of the tree."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results", "images"))
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy2(path, copy)
        yield copy


@contextlib.contextmanager
def broken(mutant: Break) -> Iterator[Path]:
    """A copy of the tree with this break only."""
    with copied() as copy:
        path = copy / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.file} has {text.count(mutant.old)} places to break, not one")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        yield copy


def who_notices(mutant: Break) -> Noticed:
    """Makes the break in a copy, and runs tests and worlds there."""
    with broken(mutant) as copy:
        return Noticed(first_failing_test(copy, mutant), *first_violation(copy, mutant))


def first_failing_test(copy: Path, mutant: Break) -> str:
    """The name of the first test that fails; empty if none does. In a copy without the break the same test must pass."""
    for targets in (mutant.tests, SUITE):
        failed = _failing(copy, *targets)
        if failed:
            with copied() as sound:
                if _failing(sound, failed):
                    raise SystemExit(f"{failed} fails though nothing is broken")
            return failed.removeprefix("tests/")
    return ""


def _failing(folder: Path, *targets: str) -> str:
    told = _run([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", NO_DOCS, *targets], folder)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.*?)(?: - .*)?$", told, re.MULTILINE)
    return failed[1] if failed else ""


def first_violation(copy: Path, mutant: Break) -> tuple[str, str]:
    """The check that a world violates, and the replay command; empty if all hold. Without the break the world must hold."""
    told = _run([sys.executable, "-m", "tests.mutants", "--judge", mutant.name], copy)
    violated = re.search(r"^violated (\w+) (\d+)$", told, re.MULTILINE)
    if violated is None:
        return "", ""
    check, seed = violated[1], int(violated[2])
    violations = _violations(mutant, seed)
    if violations:
        raise SystemExit(f"{replay_of(mutant, seed)}: violated though nothing is broken ({violations})")
    return check, replay_of(mutant, seed)


def judge_worlds(mutant: Break) -> None:
    """Judges worlds until one is violated. Runs in the copy. A world that raises an exception shows nothing."""
    for seed in range(WORLDS):
        with contextlib.suppress(Exception):
            for check in _violations(mutant, seed):
                print(f"violated {check.partition(' ')[0]} {seed}", flush=True)
                return


def _violations(mutant: Break, seed: int) -> dict[str, list[str]]:
    """The violations of this world."""
    kind, fixed = world_of(mutant, seed)
    if kind == FEDERATED:
        return draw_federation(seed).run().violations
    return run(kind, seed, **fixed)[2].violations


def replay_of(mutant: Break, seed: int) -> str:
    """The command that runs this world again."""
    kind, fixed = world_of(mutant, seed)
    return replay_command(seed, kind=kind, **fixed)


def world_of(mutant: Break, seed: int) -> tuple[str, Mapping[str, Any]]:
    """The kind and the settings of a world that is judged."""
    if mutant.kind:
        return mutant.kind, mutant.worlds
    return "brisk-faults" if seed % 2 else "brisk", {**DRAWN, **mutant.worlds}


def _run(command: Sequence[str], folder: Path) -> str:
    """The output of a command; empty if it exceeds `LONGEST_S`."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


def page(found: dict[Break, Noticed]) -> str:
    """The text of docs/reference/mutants.md."""
    by_tests = sum(bool(noticed.test) for noticed in found.values())
    by_verdict = sum(bool(noticed.check) for noticed in found.values())
    rows = "\n".join(
        f"| {mutant.name} | `{mutant.file}` | {_code(noticed.test)} | {_code(noticed.check)} |"
        for mutant, noticed in found.items()
    )
    return f"""# Who notices a break

Written by `.venv/bin/python -m tests.mutants`. Each row is one small break of the product, made alone in a copy of the tree
(`tests/breaks.py` has them to the letter): the first test that fails, and the first check of a run's own verdict that is
violated, in {WORLDS} simulated worlds, half of them with faults (of keepers and federations: all). A dash: nobody. Summary and
disk are outside of what a verdict judges; a weak cache that is wrong more often promises no more than before; and what needs a
process stopped between two steps of one sale these worlds do not draw (`tests/simulated/test_escrow.py` makes them).

Of {len(found)} breaks the tests notice {by_tests}, a run's own verdict {by_verdict}.

| the break | in | the first test that fails | the check that tells |
| --- | --- | --- | --- |
{rows}
"""


def _code(text: str) -> str:
    return f"`{text}`" if text else "-"


def main(arguments: Sequence[str]) -> int:
    """Returns 1 if the tests do not notice a break."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("--only", metavar="WORD", default="", help="the breaks with this word in their name")
    parser.add_argument("--judge", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.judge is not None:
        judge_worlds(next(mutant for mutant in BREAKS if mutant.name == options.judge))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    found: dict[Break, Noticed] = {}
    chosen = [mutant for mutant in BREAKS if options.only in mutant.name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        noticed = zip(chosen, pool.map(who_notices, chosen), strict=True)
        for mutant, by in track(noticed, "breaks", len(chosen), console=console, disable=not console.is_terminal):
            found[mutant] = by
            console.print(f"{mutant.name}: {' | '.join(part or '-' for part in by)}", markup=False)
    if not options.only:
        PAGE.write_text(page(found), encoding="utf-8")
    return 0 if all(noticed.test for noticed in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
