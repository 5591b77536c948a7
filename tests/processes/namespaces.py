"""The commands that make network namespaces and join them. Whoever makes one removes it."""

from __future__ import annotations

import shutil
import subprocess

from tests.needs import need


def lay(*arguments: str) -> None:
    """`ip` with these arguments; where a machine does not allow them, the test says what it was and is skipped."""
    need(shutil.which("ip"), "way to make network namespaces", "install iproute2")
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    remedy = "run as root, on a kernel with veth and bridges"
    need(
        done.returncode == 0,
        f"way to join network namespaces (ip {' '.join(arguments)}: {done.stderr.strip()})",
        remedy,
    )


def ip(*arguments: str) -> bool:
    """Whether `ip` did it: to break a network and to remove it."""
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0
