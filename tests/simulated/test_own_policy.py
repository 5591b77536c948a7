"""The policy of docs/how-to/own-policy.md, added as that page says: offered, run, and judged by what it promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bazaar.core.cache
from bazaar.analysis.audit import Report
from bazaar.core.cache import POLICIES
from create_bazaar import parse
from tests.simulation import replay_command, simulate, simulate_faults

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-policy.md"
SCARCE: dict[str, Any] = {"cache": "stubborn", "window": 2, "restock_count": 2}


@pytest.fixture
def stubborn() -> Iterator[None]:
    """What stands on the page, at the end of `bazaar/core/cache/__init__.py`."""
    (block,) = re.findall(r"```python\n(class StubbornCache.*?)```", PAGE.read_text(), re.DOTALL)
    exec("from __future__ import annotations\n" + block, vars(bazaar.core.cache))
    yield
    del POLICIES["stubborn"], vars(bazaar.core.cache)["StubbornCache"]


@pytest.mark.usefixtures("stubborn")
def test_it_is_offered_and_held_to_what_it_promises() -> None:
    assert parse(["--cache", "stubborn"])[0].cache == "stubborn"
    violated = {}
    for seed in range(40):
        faults = seed % 2 == 1
        report: Report = (simulate_faults if faults else simulate)(seed, **SCARCE)[1]
        if report.verdict != "held":
            violated[replay_command(seed, faults, **SCARCE)] = report.violations
    assert not violated


@pytest.mark.usefixtures("stubborn")
def test_it_is_violated_as_soon_as_it_declares_more_than_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLICIES["stubborn"], "promises", "strong")
    found = {check for seed in range(20) for check in simulate(seed, **SCARCE)[1].violations}
    assert found == {
        "strong_caches_take_nothing_back",
        "strong_caches_refuse_nothing_in_stock",
        "one_stock_explains_all_answers",
    }
