"""What a test needs of the machine beyond Python and MongoDB.

On a user's machine a test that cannot run says so by name, with what to install. In CI, which brings what is needed with the
system's packages (`.ci/run`), it fails: else nobody would notice that it has never run.
"""

from __future__ import annotations

import os

import pytest


def need(what: object, name: str, remedy: str) -> None:
    """Goes on if `what` is there. `name`: what is missing else; `remedy`: how it comes here."""
    if not what:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"this machine has no {name}: {remedy}")
