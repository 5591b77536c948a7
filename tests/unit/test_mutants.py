"""The breaks of `tests/mutants.py` can be made, and its page tells of them what was found."""

from __future__ import annotations

import pytest

from tests.breaks import BREAKS, Break
from tests.mutants import PAGE, ROOT, Noticed, broken, page


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
