"""Reads which machines a run is to be placed on (`--hosts FILE`), and who is to be where.

Each line has a machine, and then the peers, by name or number, that are to be there: `10.0.0.2 buyer1 7`. All others are
spread over the machines that the file names. The warehouse can be placed, too; it is not spread. The machines are borrowed
over SSH (`borrowing.py`). If the first line is the address of a Dask scheduler, `dask://HOST:PORT`, they are those on which it
has workers. Empty lines, and what follows a `#`, do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bazaar.control.lines import lines_of
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.settings import UsageError


class Hosts(NamedTuple):
    """What `--hosts` asks for."""

    scheduler: str | None
    """None: the machines are to be borrowed."""
    machines: Mapping[str, Sequence[str]]
    """Who is to be on each, as it is written; empty: all machines that the scheduler knows."""
    source: str
    """What to complain about."""


def read_hosts(hosts: str) -> Hosts:
    """Of a file, or of an address alone. Raises `UsageError` if the file cannot be read or does not have that form."""
    if "://" in hosts:
        return Hosts(hosts, {}, f"--hosts {hosts}")
    path = Path(hosts)
    told = lines_of(path, f"--hosts {hosts} is no dask://HOST:PORT, and as a file it")
    lines = [(number, line.split()) for number, line in told]
    if not lines:
        raise UsageError(
            f"{path} names no machine: write one into each line, and first dask://HOST:PORT if there is a scheduler"
        )
    scheduler = lines[0][1][0] if lines[0][1][0].partition("://")[1] else None
    if scheduler is not None and len(lines[0][1]) > 1:
        raise UsageError(
            f"line {lines[0][0]} of {path} has more than the address of a Dask scheduler, dask://HOST:PORT"
        )
    machines: dict[str, Sequence[str]] = {}
    for number, (machine, *peers) in lines if scheduler is None else lines[1:]:
        if "://" in machine or machine.startswith("-"):
            raise UsageError(f"line {number} of {path} begins with {machine}, which is no machine")
        if machine in machines:
            raise UsageError(f"line {number} of {path} has {machine} a second time; give each machine one line")
        machines[machine] = peers
    return Hosts(scheduler, machines, f"--hosts {path}")


def spread(names: Sequence[str], machines: Sequence[str], hosts: Hosts) -> dict[str, str]:
    """Who is on which machine: as the file says; the other peers in turn, so that the highest, future traders, come apart.

    Raises `UsageError` for a machine or a peer that is not there, and for a peer that is to be in two places.
    """
    placed: dict[str, str] = {}
    for machine, peers in hosts.machines.items():
        if machine not in machines:
            raise UsageError(f"{hosts.source} names {machine}, and the workers are on {', '.join(machines)}")
        for word in peers:
            name = names[int(word)] if word.isdecimal() and int(word) < len(names) else word
            if name not in (WAREHOUSE, *names):
                raise UsageError(
                    f"{hosts.source} places {word}, and there is no such peer: they are {', '.join(names[:3])}, ...; "
                    f"besides them only the {WAREHOUSE} can be placed"
                )
            if name in placed:
                raise UsageError(f"{hosts.source} places {name} twice")
            placed[name] = machine
    used = [machine for machine in machines if not hosts.machines or machine in hosts.machines]
    left = [name for name in names if name not in placed]
    return {**placed, **{name: used[number % len(used)] for number, name in enumerate(left)}}
