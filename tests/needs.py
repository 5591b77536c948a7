"""The requirements of a test on the machine, beyond Python and MongoDB.

On a user's machine a test without its requirement is skipped; it names the requirement and what to install. In CI, which
installs all requirements as system packages (`.ci/run`), it fails: else nobody would notice that the test never runs.
"""

from __future__ import annotations

import os

import pytest


def need(what: object, name: str, remedy: str) -> None:
    """Skips the test (in CI: fails it) unless `what` is true. `name`: the requirement. `remedy`: how to install it."""
    if not what:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this machine has no {name}: {remedy}")
