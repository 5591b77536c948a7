"""The ledgers that the contract is checked on. The MongoDB tests share one server, in one worker of pytest-xdist."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from bazaar.runtime.mongo import MongoLedger
from tests.contract.memory_ledger import MemoryLedger, Shelf
from tests.contract.replica_set import ReplicaSet, find_mongod

SETUP_DB = Path(__file__).resolve().parents[2] / "setup_db.sh"
Connect = Callable[[], Any]
"""One more connection to the same ledger: a `MongoLedger`, or what keeps its contract."""


class Server:
    """A MongoDB; `folder` is None for one that somebody else started."""

    def __init__(self, uri: str, folder: Path | None) -> None:
        self.uri = uri
        self.folder = folder


def setup_db(*arguments: object) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "BAZAAR_MONGO_URI"}
    command = ["bash", str(SETUP_DB), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def drop_database(uri: str, database: str) -> None:
    with MongoClient[dict[str, object]](uri) as client:
        client.drop_database(database)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the servers that the contract was tried on."""
    passed: list[pytest.TestReport] = terminalreporter.getreports("passed")
    versions = {
        f"{name} {version}" for report in passed for name, version in report.user_properties if "MongoDB" in name
    }
    for version in sorted(versions):
        terminalreporter.write_line(f"The ledger's contract was tried on {version}")


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """$BAZAAR_TEST_MONGO_URI, or a server of our own that ends with this process at the latest."""
    if uri := os.environ.get("BAZAAR_TEST_MONGO_URI"):
        yield Server(uri, None)
        return
    folder = tmp_path_factory.mktemp("mongo") / "db"
    try:
        uri = setup_db(folder, os.getpid())
    except RuntimeError as error:
        if "No MongoDB here" in str(error):
            pytest.skip(str(error))
        raise
    yield Server(uri, folder)
    setup_db("stop", folder)


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """Three servers of our own, which end with this session."""
    mongod = find_mongod()
    if mongod is None:
        pytest.skip("no mongod on this machine: what a replica set of three does was not tried")
    three = ReplicaSet(tmp_path_factory.mktemp("three"), mongod)
    yield three
    three.close()


@pytest.fixture
def threes_database(three: ReplicaSet) -> str:
    """The name of a database of this test's own on the three."""
    return f"bazaar_test_{uuid.uuid4().hex}"


@pytest.fixture
def database(mongo: Server) -> Iterator[str]:
    """The name of a database of this test's own."""
    name = f"bazaar_test_{uuid.uuid4().hex}"
    yield name
    drop_database(mongo.uri, name)


ON_MONGO = [pytest.param(how, marks=pytest.mark.xdist_group("mongo")) for how in ("mongo", "three")]


@pytest.fixture(params=["memory", *ON_MONGO])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Each call is one more process at the same, new ledger."""
    ledgers: list[Any] = []
    make: Connect
    if request.param == "memory":
        shelf = Shelf()

        def make() -> MemoryLedger:
            return MemoryLedger(shelf)
    else:
        server = request.getfixturevalue(request.param)
        name: str = request.getfixturevalue("database" if request.param == "mongo" else "threes_database")

        def make() -> MongoLedger:
            return MongoLedger(server.uri, name)

    def connect() -> Any:
        ledgers.append(make())
        return ledgers[-1]

    yield connect
    for ledger in ledgers:
        ledger.close()
