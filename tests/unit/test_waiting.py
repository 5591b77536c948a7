"""Tests wait for events: only `tests/waiting.py` sleeps."""

from __future__ import annotations

import re

import pytest

from tests import waiting
from tests.processes.market import ROOT

MAY = [ROOT / "tests" / "waiting.py"]


def test_no_other_test_sleeps() -> None:
    asleep = re.compile(r"\b(?:time|asyncio)[.]sleep[(]|import[ ]sleep\b")
    found = [path for path in (ROOT / "tests").rglob("*.py") if asleep.search(path.read_text(encoding="utf-8"))]
    assert found == MAY


def test_it_waits_until_something_is_true_and_complains_if_that_never_comes() -> None:
    answers = iter([0, None, 3])
    assert waiting.wait_until(lambda: next(answers)) == 3
    with pytest.raises(AssertionError, match="still 0 after"):
        waiting.wait_until(lambda: 0, deadline_s=0.0)
