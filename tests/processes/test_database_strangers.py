"""Another user of this machine finds the port of a run's MongoDB, and its folder. Where we are root, it is user `nobody`."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from tests.contract.replica_set import find_mongod
from tests.processes.command import Command, ended, launch, launched
from tests.processes.test_setup_db import (
    SETUP_DB,
    clean_environment,
    processes_of,
    refused,
    server_pid,
    setup_db,
    start,
)
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(find_mongod() is None, reason="no mongod on this machine"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root: what user nobody can do here was not tried")
Attempt = Callable[[MongoClient[dict[str, Any]]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "db"
    yield folder
    if folder.exists():
        setup_db("stop", folder)
    assert processes_of(tmp_path) == []


# ------------------------------------------------------------------------------------------- what it may try
def bazaars(client: MongoClient[dict[str, Any]]) -> Database[dict[str, Any]]:
    return client["bazaar_test"]


ATTEMPTS: dict[str, Attempt] = {
    "name the databases": lambda client: client.list_database_names(),
    "read": lambda client: bazaars(client)["ledger"].find_one(),
    "read the journal of the set": lambda client: client["local"]["oplog.rs"].find_one(),
    "change": lambda client: bazaars(client)["ledger"].update_one({"_id": 0}, {"$set": {"count": 99}}),
    "add": lambda client: bazaars(client)["ledger"].insert_one({"_id": 1}),
    "run JavaScript": lambda client: bazaars(client)["ledger"].find_one({"$where": "true"}),
    "watch others": lambda client: client.admin.command("currentOp"),
    "make a user": lambda client: client.admin.command("createUser", "me", pwd="me", roles=["root"]),
    "change the set": lambda client: client.admin.command(
        "replSetReconfig", {"_id": "bazaar", "members": []}, force=True
    ),
    "drop": lambda client: client.drop_database("bazaar_test"),
    "shut down": lambda client: client.admin.command("shutdown", force=True),
}


def forbidden(port: int, guesses: dict[str, Any]) -> dict[str, str]:
    """What came of each attempt: "forbidden", or something else."""
    outcomes = {}
    for name, attempt in ATTEMPTS.items():
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True, **guesses) as client:
            try:
                outcomes[name] = f"done: {attempt(client)}"
            except OperationFailure as error:
                outcomes[name] = "forbidden" if error.code in (13, 18) else str(error)
            except PyMongoError as error:
                outcomes[name] = repr(error)
    return outcomes


def as_nobody(act: Callable[[], Any]) -> Any:
    """What `act` returns in a process of user nobody's."""
    ours, theirs = multiprocessing.Pipe()

    def become_and_act() -> None:
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        theirs.send(act())

    process = multiprocessing.get_context("fork").Process(target=become_and_act)
    process.start()
    assert ours.poll(60)
    said = ours.recv()
    process.join()
    return said


GUESSES: list[dict[str, Any]] = [
    {},
    {"username": "bazaar", "password": "bazaar"},
    {"username": "__system", "password": "bazaar", "authSource": "local"},
]


@needs_root
@pytest.mark.parametrize("guesses", GUESSES, ids=["no user", "a guess", "a member of the set"])
def test_a_stranger_may_do_nothing(folder: Path, guesses: dict[str, Any]) -> None:
    uri = start(folder)
    with MongoClient[dict[str, Any]](uri) as client:
        bazaars(client)["ledger"].insert_one({"_id": 0, "count": 3})
        port = client.address[1] if client.address else 0
        assert as_nobody(lambda: forbidden(port, guesses)) == dict.fromkeys(ATTEMPTS, "forbidden")
        assert list(bazaars(client)["ledger"].find()) == [{"_id": 0, "count": 3}]
        assert client.admin.command("usersInfo")["users"][0]["user"] == "bazaar"
        for name in ("read", "change", "add", "run JavaScript", "make a user", "drop"):  # they do work
            ATTEMPTS[name](client)


def test_nobody_gets_in_before_there_is_a_user(folder: Path) -> None:
    """A server without users lets whoever comes from its own machine make the first one, by default."""
    call = subprocess.Popen(
        ["bash", str(SETUP_DB), str(folder)], stdout=subprocess.PIPE, text=True, env=clean_environment()
    )
    wait_until((folder / "mongod.port").exists)
    port = int(wait_until((folder / "mongod.port").read_text))
    met: set[object] = set()
    while call.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            continue  # it does not listen yet: refused, the driver would pause for 0.5 s, and the moment be over
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True, timeoutMS=500) as client:
            try:
                met.add(str(ATTEMPTS["make a user"](client)))
            except OperationFailure as error:
                met.add(error.code)
            except PyMongoError:
                pass  # it is not ready yet
    assert met == {13}
    assert call.communicate()[0].startswith("mongodb://bazaar:")


# ------------------------------------------------------------------------------------ where the password is
@needs_root
@pytest.mark.parametrize("umask", [0, 0o777])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "an empty folder"])
def test_what_is_in_the_folder_is_for_nobody_else(folder: Path, exists: bool, umask: int) -> None:
    if exists:
        folder.mkdir(0o755)
    before = os.umask(umask)
    try:
        start(folder)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (folder, *folder.rglob("*"))}
    assert {name for name, mode in modes.items() if mode} == set()
    for path in (folder.parent, *folder.parent.parents[:-2]):  # the way there is open
        path.chmod(0o755)
    assert as_nobody(lambda: os.access(folder.parent, os.X_OK))
    assert not as_nobody(lambda: os.access(folder / "mongod.password", os.R_OK))


@needs_root
def test_a_folder_of_somebody_elses_is_not_used(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    for name in ("mongod.log", "mongod.key", "mongod.password"):
        (folder / name).write_text("0" * 64)
    assert "is somebody else's; name a folder of your own" in refused(folder)
    assert processes_of(folder) == []
    shutil.rmtree(folder)


def kept_in(folder: Path) -> list[str] | None:
    """The two secrets of a database, as soon as both are there."""
    try:
        return [(folder / name).read_text() for name in ("mongod.password", "mongod.key")]
    except OSError:
        return None


def command_lines() -> set[str]:
    listing = subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True, check=True)
    return set(listing.stdout.splitlines())


def test_a_runs_password_is_in_no_command_line_no_output_and_no_file_that_stays(tmp_path: Path) -> None:
    out = tmp_path / "run"
    seen: set[str] = set()
    with launched(
        tmp_path, None, "localhost", 4, 1, "--pace=fast", "--requests=200", "--seed=3", f"--out={out}"
    ) as command:
        database = out / "mongodb"

        def kept() -> list[str] | None:
            seen.update(command_lines())
            return kept_in(database)

        secrets = wait_until(kept, 30)
        while command.poll() is None and database.exists():
            seen.update(command_lines())
            log = (database / "mongod.log").read_text() if (database / "mongod.log").exists() else ""
            assert not [secret for secret in secrets if secret in log]
        status, said, complained = ended(command)
    assert status == 0, complained
    texts = {path: path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()}
    everywhere = [said, complained, *seen, *texts.values()]
    assert [text for text in everywhere for secret in secrets if secret in text] == []
    assert any("--keyFile" in line for line in seen)


def test_a_password_that_was_lost_is_replaced(folder: Path) -> None:
    uri = start(folder)
    os.kill(server_pid(folder), signal.SIGKILL)
    (folder / "mongod.password").unlink()
    other = start(folder)
    assert other != uri
    with MongoClient[dict[str, Any]](other) as client:
        assert client.admin.command("ping")["ok"] == 1
    with MongoClient[dict[str, Any]](uri) as client, pytest.raises(OperationFailure):
        client.admin.command("ping")


def test_two_runs_at_once_have_a_database_and_a_password_each(tmp_path: Path) -> None:
    def begun(name: str) -> Command:
        return launch(
            tmp_path, None, "localhost", 4, 1, "--pace=fast", "--requests=100", "--seed=3", f"--out={tmp_path / name}"
        )

    def kept(name: str) -> list[str]:
        return wait_until(lambda: kept_in(tmp_path / name / "mongodb"), 30)

    with begun("first") as first, begun("second") as second:
        assert len({*kept("first"), *kept("second")}) == 4
        for status, _, complained in (ended(first), ended(second)):
            assert status == 0, complained
