"""What the kernel knows of a run's network: connections between its processes, and what has crossed the loopback interface.

Nothing is counted in the bazaar itself, so both ways of routing are measured alike, and neither becomes slower.
"""

from __future__ import annotations

from collections.abc import Mapping

import psutil

LOOPBACK = ("lo", "lo0")  # on Linux and on a Mac


def connections_between(pids: Mapping[str, int]) -> list[tuple[str, str]]:
    """The established TCP connections between these processes, each once, as its two ends in the order of their names.

    Each process is asked for its own, which needs no rights of root. A process that has just ended has none.
    """
    ends: dict[tuple[tuple[str, int], tuple[str, int]], str] = {}
    for name, pid in pids.items():
        try:
            for one in psutil.Process(pid).net_connections("tcp"):
                if one.status == psutil.CONN_ESTABLISHED:
                    ends[tuple(one.laddr), tuple(one.raddr)] = name
        except psutil.Error:
            continue
    return sorted(
        (min(name, ends[far, near]), max(name, ends[far, near]))
        for (near, far), name in ends.items()
        if near < far and (far, near) in ends
    )


def loopback_bytes() -> int:
    """What has crossed the loopback interface since the machine's start, of all programs, with the headers of TCP/IP."""
    counters = psutil.net_io_counters(pernic=True)
    return sum(counters[name].bytes_sent for name in LOOPBACK if name in counters)
