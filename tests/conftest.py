"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that does not run fails: CI brings what is needed. Only which Pythons a machine has is its own affair."""
    report = yield
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
    if report.skipped and os.environ.get("CI") and "python" not in reason.lower():
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} has not run in CI: {reason}"
    return report
