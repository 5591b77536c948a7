"""Where a process listens, and which address it announces. Both belong to a machine; the name server's address to the run.

The launcher hands its settings `listen` and `announce` to its processes in their environment. A process that is started by
hand on another machine finds none there, and needs none: it listens on the address from which it reaches the name server.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

from bazaar.protocol.settings import Settings, UsageError, check_host

LISTEN, ANNOUNCE = "BAZAAR_LISTEN", "BAZAAR_ANNOUNCE"  # environment variables
EVERYWHERE = ("0.0.0.0", "::")


class Place(NamedTuple):
    """The addresses of one process, or their names."""

    listen: str
    announce: str
    """What the name server tells those who look the process up."""


def environment_of(settings: Settings) -> dict[str, str]:
    """What the launcher's processes find in their environment. Empty: not given."""
    return {LISTEN: settings.listen or "", ANNOUNCE: settings.announce or ""}


def addresses_of(settings: Settings) -> list[str]:
    """The addresses under which the launcher's processes are reached."""
    here = place(settings.host, environment_of(settings))
    return [settings.host, here.announce, "localhost", "127.0.0.1", "::1"]


def place_of_name_server(host: str, environment: Mapping[str, str] = os.environ) -> Place:
    """It listens on its own address, unless it was told otherwise. All look for it at `host`. Raises `UsageError`."""
    listen = environment.get(LISTEN) or host
    announced = environment.get(ANNOUNCE, "")
    _check(listen, announced)
    return Place(listen, host)


def place(host: str, environment: Mapping[str, str] = os.environ) -> Place:
    """The place of a process of a run whose name server is at `host`. Raises `UsageError`."""
    listen, announced = environment.get(LISTEN, ""), environment.get(ANNOUNCE, "")
    _check(listen, announced)
    listen = listen or (host if is_ours(host) else towards(host))
    return Place(listen, announced or (towards(host) if listen in EVERYWHERE else listen))


def is_ours(host: str) -> bool:
    """Whether this machine has this address: whether one can listen there."""
    try:
        family, kind, _, _, where = _resolved(host, 0)
        with socket.socket(family, kind) as listening:
            listening.bind(where)
    except OSError:
        return False
    return True


def towards(host: str) -> str:
    """The address of this machine from which it reaches `host`. Nothing is sent. Raises `UsageError`."""
    try:
        family, _, _, _, there = _resolved(host, 9)
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(there)
            return str(asking.getsockname()[0])
    except OSError as error:
        raise UsageError(
            f"this machine has no way to the name server's host {host} ({error.strerror or error}); start the run with an "
            "address that this machine can reach"
        ) from None


def is_loopback(host: str) -> bool:
    """Whether this means the own machine on every machine."""
    try:
        return ipaddress.ip_address(_resolved(host, 0)[4][0].partition("%")[0]).is_loopback
    except OSError:
        return False


def free_port(host: str) -> int:
    """A port of this machine that nobody has, at this address of it. Raises `UsageError` if it is not one of ours."""
    try:
        family, _, _, _, (address, *_) = _resolved(host, 0)
        with socket.socket(family) as probe:
            probe.bind((address, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise UsageError(f"this machine cannot listen at {host} ({error.strerror or error})") from None


def joined(host: str, port: int) -> str:
    """`HOST:PORT`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    """A name that has both means its IPv4 address, as in Pyro4, which connects by itself. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return min(found, key=lambda one: one[0] != socket.AF_INET)  # type: ignore[return-value] # IPv6 has two numbers more


def _check(listen: str, announced: str) -> None:
    for what, host in ((LISTEN, listen), (ANNOUNCE, announced)):
        if host:
            check_host(host, what)
    if announced in EVERYWHERE:
        raise UsageError(
            f"nobody can connect to {announced}; announce the address under which others reach this machine"
        )
    if announced:
        try:
            _resolved(announced, 0)
        except OSError:
            raise UsageError(
                f"there is no host {announced} to announce; give the address under which others reach this machine"
            ) from None
