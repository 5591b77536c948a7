"""Reads which machines a run is to be placed on (`--hosts FILE`), and who is to be where.

The first line is the address of a Dask scheduler, `dask://HOST:PORT`. Each further line has the address of a machine on which
it has a worker, and then the peers, by name or number, that are to be there: `10.0.0.2 buyer1 7`. All others are spread over
the machines that the file names. Empty lines, and what follows a `#`, do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bazaar.control.lines import lines_of
from bazaar.protocol.settings import UsageError


class Hosts(NamedTuple):
    """What `--hosts` asks for."""

    scheduler: str
    machines: Mapping[str, Sequence[str]]
    """The peers that are to be on each, as they are written; empty: all machines that the scheduler knows."""
    source: str
    """What to complain about."""


def read_hosts(hosts: str) -> Hosts:
    """Of a file, or of an address alone. Raises `UsageError` if the file cannot be read or does not have that form."""
    if "://" in hosts:
        return Hosts(hosts, {}, f"--hosts {hosts}")
    path = Path(hosts)
    told = lines_of(path, f"--hosts {hosts} is no dask://HOST:PORT, and as a file it")
    lines = [(number, line.split()) for number, line in told]
    if not lines or len(lines[0][1]) > 1 or "://" not in lines[0][1][0]:
        raise UsageError(f"the first line of {path} must be the address of a Dask scheduler, dask://HOST:PORT")
    machines: dict[str, Sequence[str]] = {}
    for number, (machine, *peers) in lines[1:]:
        if machine in machines:
            raise UsageError(f"line {number} of {path} has {machine} a second time; give each machine one line")
        machines[machine] = peers
    return Hosts(lines[0][1][0], machines, f"--hosts {path}")


def spread(names: Sequence[str], machines: Sequence[str], hosts: Hosts) -> dict[str, str]:
    """The machine of each peer: as the file says; the others in turn, so that the highest, which become traders, come apart.

    Raises `UsageError` for a machine or a peer that is not there, and for a peer that is to be in two places.
    """
    placed: dict[str, str] = {}
    for machine, peers in hosts.machines.items():
        if machine not in machines:
            raise UsageError(f"{hosts.source} names {machine}, and the workers are on {', '.join(machines)}")
        for word in peers:
            name = names[int(word)] if word.isdecimal() and int(word) < len(names) else word
            if name not in names:
                raise UsageError(
                    f"{hosts.source} places {word}, and there is no such peer: they are {', '.join(names[:3])}, ..."
                )
            if name in placed:
                raise UsageError(f"{hosts.source} places {name} twice")
            placed[name] = machine
    used = [machine for machine in machines if not hosts.machines or machine in hosts.machines]
    left = [name for name in names if name not in placed]
    return {**placed, **{name: used[number % len(used)] for number, name in enumerate(left)}}
