"""The key of a run, and where its papers are. A process that has the key belongs to the run; its papers say who it is."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PAPERS = "tls"
"""The folder in which each process finds its certificate and its own key, if the run speaks TLS (`tls.py`)."""
AUTHORITY = "authority.pem"
"""The file there with the certificate that all others are signed by."""
VISITOR = "visitor"
"""The name on the certificate for Pyro4's own clients."""


def make_key(path: Path) -> bytes:
    """A new key for a run, in a file that only its owner can read."""
    key = secrets.token_hex(32).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    return key


def read_key(path: Path) -> bytes:
    """The key of a run."""
    return path.read_bytes()
