"""The breaks of `tests/mutants.py` can be made, and its page tells of them what was found."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bazaar.control.options import take_settings
from tests import mutants
from tests.breaks import BREAKS, Break
from tests.mutants import PAGE, ROOT, Noticed, broken, first_violation, page, replay_of
from tests.simulation import __main__ as simulation
from tests.simulation import trial
from tests.simulation.federation import FEDERATED
from tests.simulation.trial import KINDS


@pytest.mark.parametrize("mutant", BREAKS, ids=lambda mutant: mutant.name)
def test_each_break_has_one_place_and_tests_that_are_there(mutant: Break) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all((ROOT / target).exists() for target in mutant.tests)
    assert not mutant.file.startswith(("bazaar/analysis/audit", "bazaar/analysis/linearizability"))


def test_a_break_is_made_alone_and_in_a_copy() -> None:
    mutant = BREAKS[0]
    with broken(mutant) as copy:
        changed = (copy / mutant.file).read_text(encoding="utf-8")
    assert not copy.exists()
    assert changed.replace(mutant.new, mutant.old) == (ROOT / mutant.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", BREAKS, ids=lambda mutant: mutant.name)
@pytest.mark.parametrize("seed", [2, 3])
def test_the_printed_command_runs_the_world_that_was_judged(
    mutant: Break, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, ...]] = []

    nothing: Any = SimpleNamespace(violations={}, verdict="held", exercised={})
    nothing.report, nothing.run = nothing, lambda: nothing

    def note(kind: str) -> Callable[..., Any]:
        def draw(*arguments: Any, **settings: Any) -> Any:
            drawn.append((kind, *arguments, settings))
            return nothing

        return draw

    for kind in [*KINDS]:
        monkeypatch.setitem(KINDS, kind, note(kind))
    monkeypatch.setattr(trial, "judged", lambda world: (None, nothing))
    for module in (mutants, simulation):
        monkeypatch.setattr(module, "draw_federation", note(FEDERATED))
    mutants._violations(mutant, seed)
    options = simulation._parser().read(shlex.split(replay_of(mutant, seed))[3:])
    simulation._report(options["kind"], take_settings(options), options["first"])
    judged, replayed = drawn
    assert judged == replayed


@pytest.mark.parametrize("mutant", [mutant for mutant in BREAKS if mutant.kind == FEDERATED], ids=lambda m: m.name)
def test_the_printed_command_finds_a_break_abroad(mutant: Break) -> None:
    with broken(mutant) as copy:
        _, command = first_violation(copy, mutant)
        python, *arguments = shlex.split(command.replace(" --tell", ""))
        assert python == ".venv/bin/python"
        done = subprocess.run([sys.executable, *arguments], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert ": violated; replay with" in done.stdout


def test_the_page_counts_who_noticed() -> None:
    one, other = BREAKS[:2]
    told = page(
        {one: Noticed("unit/test_a.py::test_b", "money_adds_up", "again"), other: Noticed("unit/test_c.py", "", "")}
    )
    assert "Of 2 breaks the tests notice 2, a run's own verdict 1." in told
    assert f"| {one.name} | `{one.file}` | `unit/test_a.py::test_b` | `money_adds_up` |" in told
    assert told.endswith(f"| {other.name} | `{other.file}` | `unit/test_c.py` | - |\n")


def test_every_break_is_on_the_page() -> None:
    told = PAGE.read_text(encoding="utf-8")
    assert all(f"| {mutant.name} |" in told for mutant in BREAKS)
