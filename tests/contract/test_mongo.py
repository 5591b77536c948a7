"""What only the real MongoDB can show: that it is killed, that it is not there, and what is in it for people."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from pymongo.write_concern import WriteConcern

from bazaar.protocol.entries import AnyEntry, entry_to_document
from bazaar.protocol.settings import UsageError
from bazaar.runtime import mongo as mongo_module
from bazaar.runtime.mongo import Damaged, MongoLedger, Replaced, server_version
from tests.builders import a_lot, a_sale, an_order
from tests.contract.conftest import Server, drop_database, setup_db
from tests.contract.replica_set import find_mongod
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("mongo")
TIMED_OUT = {"code": 64, "errmsg": "waiting for replication timed out"}


def a_batch(first: int, count: int = 5) -> list[AnyEntry]:
    return [a_sale(position, an_order(f"buyer0-{position}"), a_lot()) for position in range(first, first + count)]


@pytest.fixture
def ledger(mongo: Server, database: str) -> Iterator[MongoLedger]:
    ledger = MongoLedger(mongo.uri, database)
    yield ledger
    ledger.close()


@pytest.fixture
def folder(mongo: Server) -> Path:
    if mongo.folder is None:
        pytest.skip("the server of $BAZAAR_TEST_MONGO_URI is not ours to kill")
    return mongo.folder


def test_its_version_is_named(mongo: Server, record_property: Callable[[str, object], None]) -> None:
    record_property("MongoDB", server_version(mongo.uri))  # `conftest.py` tells it at the end


# ------------------------------------------------------------------------------------ the server is killed
def test_killed_in_the_midst_of_writing_it_holds_everything_once(
    mongo: Server, folder: Path, database: str, ledger: MongoLedger
) -> None:
    acknowledged: list[AnyEntry] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            batch = a_batch(len(acknowledged))
            ledger.write(batch)
            acknowledged.extend(batch)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    for _ in range(2):
        so_far = len(acknowledged)
        wait_until(lambda least=so_far + 50: len(acknowledged) > least)  # type: ignore[misc]
        os.kill(int((folder / "mongod.pid").read_text()), signal.SIGKILL)
        before = len(acknowledged)
        assert setup_db(folder, os.getpid()) == mongo.uri
        held = MongoLedger(mongo.uri, database)
        assert list(held.entries())[:before] == acknowledged[:before]
        held.close()
    so_far = len(acknowledged)
    wait_until(lambda: len(acknowledged) > so_far + 20, 30)
    stop.set()
    writer.join(30)
    assert list(ledger.entries()) == acknowledged


def connected_while_it_started(ledger: MongoLedger) -> None:
    """Makes the driver's connections what those are that were made in a server's first milliseconds."""
    servers = ledger._client._topology._servers.values()
    connections = [connection for server in servers for connection in server.pool.conns]
    assert connections
    for connection in connections:
        connection.supports_sessions = False  # as `logicalSessionTimeoutMinutes` is not in such a server's hello


def test_a_server_that_was_just_starting_is_not_taken_to_know_no_sessions(
    ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_module, "PATIENCE_S", 2.0)
    batch = a_batch(0)
    connected_while_it_started(ledger)
    ledger.write(batch)
    connected_while_it_started(ledger)
    assert list(ledger.entries()) == batch
    connected_while_it_started(ledger)
    assert ledger.entry_of("buyer0-3") == batch[3]


@pytest.mark.parametrize(
    ("concern", "loses"), [(mongo_module.DURABLE, False), (WriteConcern(w=1), True)], ids=["durable", "w=1"]
)
def test_what_was_acknowledged_without_majority_and_journal_is_lost(
    concern: WriteConcern, loses: bool, mongo: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: what the kills above would show if the ledger was written as drivers do by default.

    (With a server that stands alone, that is. Since MongoDB 5 a replica set, as ours is, has better defaults.)
    """
    monkeypatch.setattr(mongo_module, "DURABLE", concern)
    caught = [lost_by_a_kill(mongo.uri, folder, f"bazaar_test_{concern.document['w']}_{n}") for n in range(3)]
    print(f"{concern.document}: entries were missing after {sum(caught)} of {len(caught)} kills")
    assert sum(caught) > len(caught) / 2 if loses else not any(caught)


def lost_by_a_kill(uri: str, folder: Path, database: str) -> bool:
    """Whether entries that were acknowledged are missing after a kill -9 of the server."""
    ledger = MongoLedger(uri, database)
    acknowledged: list[AnyEntry] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            entry = a_batch(len(acknowledged), 1)
            ledger.write(entry)
            acknowledged.extend(entry)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    wait_until(lambda: len(acknowledged) > 200)
    os.kill(int((folder / "mongod.pid").read_text()), signal.SIGKILL)
    before = len(acknowledged)
    stop.set()
    assert setup_db(folder, os.getpid()) == uri
    writer.join(30)
    try:
        lost = len(list(ledger.entries())) < before
    except Damaged:  # a gap: the writer has gone on
        lost = True
    ledger.close()
    drop_database(uri, database)
    return lost


@pytest.mark.parametrize("carried_out", [0, 3, 5])
def test_an_insert_whose_outcome_is_unknown_is_completed_and_not_repeated(
    carried_out: int, ledger: MongoLedger, mongo: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the server has carried out a part of the batch."""
    insert = MongoLedger._insert
    calls: list[int] = []

    def breaking(self: MongoLedger, documents: list[dict[str, object]]) -> None:
        calls.append(len(documents))
        if len(calls) > 1:
            insert(self, documents)
            return
        if carried_out:
            insert(self, documents[:carried_out])
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(MongoLedger, "_insert", breaking)
    ledger.write(a_batch(0))
    assert list(ledger.entries()) == a_batch(0)
    assert calls == [5] + [5 - carried_out] * (carried_out < 5)


@pytest.mark.parametrize("failures", [{"writeConcernError": TIMED_OUT}, {"writeErrors": [TIMED_OUT]}], ids=list)
def test_an_insert_that_the_server_complains_of_is_looked_into(
    failures: dict[str, object], ledger: MongoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Database.command
    complaints = [failures]

    def complaining(self: Database[dict[str, object]], what: str, *values: Any, **more: Any) -> dict[str, Any]:
        answer = command(self, what, *values, **more)
        return {**answer, **complaints.pop()} if what == "insert" and complaints else answer

    monkeypatch.setattr(Database, "command", complaining)
    ledger.write(a_batch(0))
    assert not complaints
    assert list(ledger.entries()) == a_batch(0)


def test_an_unknown_outcome_that_turns_out_to_be_anothers_entry_is_a_replacement(
    ledger: MongoLedger, mongo: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MongoLedger(mongo.uri, database)
    other.write([a_sale(0, an_order("buyer9-0"), a_lot())])
    other.close()

    def breaking(*_: object, **__: object) -> None:
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(MongoLedger, "_insert", breaking)
    with pytest.raises(Replaced):
        ledger.write(a_batch(0))
    assert len(list(ledger.entries())) == 1


# --------------------------------------------------------------------------------- what no warehouse has written
@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"_id": 2}, "no entry 1"),
        ({"_id": "1"}, "no entry 1"),
        ({"_id": ObjectId("0" * 24)}, "no entry 1"),
        ({}, "entry 1 is none: .*kind"),
        ({"kind": "gift"}, "entry 1 is none: .*gift"),
        ({"kind": "appoint", "peer": "buyer7"}, "entry 1 is none: .*seat"),
        ({"kind": "appoint", "peer": "buyer7", "seat": "0"}, "entry 1 is none: .*seat"),
        ({"kind": "appoint", "peer": "buyer7", "seat": 0, "by": "hand"}, "entry 1 is none: .*by"),
        ({"kind": DatetimeMS(2**62)}, "cannot be read from entry 0 on"),
    ],
    ids=str,
)
def test_a_document_that_is_no_entry_is_told_with_its_position(
    document: dict[str, object], told: str, ledger: MongoLedger, mongo: Server, database: str
) -> None:
    ledger.write(a_batch(0, 1))
    with MongoClient[dict[str, object]](mongo.uri) as client:
        client[database]["ledger"].insert_one(document if "_id" in document else {"_id": 1, **document})
    with pytest.raises(Damaged, match=told) as caught:
        list(ledger.entries())
    assert "\n" not in str(caught.value)


def test_an_order_that_was_answered_twice_is_told(ledger: MongoLedger, mongo: Server, database: str) -> None:
    ledger.write(a_batch(0, 1))
    with MongoClient[dict[str, object]](mongo.uri) as client:
        client[database]["ledger"].drop_indexes()
        client[database]["ledger"].insert_one({**entry_to_document(a_batch(0, 1)[0]), "_id": 1})
    with pytest.raises(Damaged, match="answers an order twice"):
        MongoLedger(mongo.uri, database)


# ------------------------------------------------------------------------------------ what people look at
def test_the_mirror_has_the_shape_of_the_seeds_figure(ledger: MongoLedger, mongo: Server, database: str) -> None:
    ledger.mirror({("seller1", "salt"): (3, 850)})
    ledger.mirror({("seller1", "salt"): (2, 850)})
    with MongoClient[dict[str, object]](mongo.uri) as client:
        documents = list(client[database]["stock"].find({}, {"_id": False}))
    assert documents == [{"seller_id": "seller1", "item": "salt", "count": 2, "price": Decimal128("8.50")}]


# ------------------------------------------------------------------------------- a MongoDB that cannot be used
def complaint_of(uri: str) -> str:
    with pytest.raises(UsageError) as caught:
        MongoLedger(uri, "bazaar_test").close()
    assert "\n" not in str(caught.value)
    assert "BAZAAR_MONGO_URI" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://localhost:27017/",
        "mongodb://",
        "mongodb://localhost:port/",
        "mongodb://localhost:99999/",
        "mongodb://localhost/?replicaSet",
        "mongodb://localhost/?tls=ture",
        "mongodb://localhost/?unheardOf=1",
    ],
)
def test_a_uri_that_is_none_is_told(uri: str) -> None:
    assert "is wrong" in complaint_of(uri)


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port on which nobody listens, and which nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo_module, "SELECTION_TIMEOUT_MS", 300)


@pytest.mark.usefixtures("_impatient")
def test_a_port_on_which_nobody_answers_is_told_with_what_to_do(refusing_port: int) -> None:
    complaint = complaint_of(f"mongodb://127.0.0.1:{refusing_port}/")
    assert f"no MongoDB answers at mongodb://127.0.0.1:{refusing_port}/" in complaint
    assert "Connection refused" in complaint
    assert "start it" in complaint


@pytest.mark.parametrize("name", ["tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"])
@pytest.mark.parametrize("file", ["not there", "a folder", "no certificate"])
def test_a_file_of_the_uri_that_cannot_be_used_is_told(name: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "no certificate").write_text("rubbish")
    named = quote(str(tmp_path / file), safe="")
    complaint = complaint_of(f"mongodb://localhost/?tls=true&{name}={named}")
    assert "a file that the MongoDB URI" in complaint or "Private key doesn't match certificate" in complaint


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("more", "reason"), [("tls=true", "SSL handshake failed"), ("replicaSet=other", "replica set")]
)
def test_a_server_that_is_not_as_the_uri_asks_is_told_with_the_reason(more: str, reason: str, mongo: Server) -> None:
    complaint = complaint_of(f"{mongo.uri.partition('?')[0]}?{more}")
    assert reason in complaint
    assert "start it, mend BAZAAR_MONGO_URI, or unset it" in complaint
    assert "Topology" not in complaint


@pytest.mark.parametrize("more", ["w=0", "readPreference=secondary", "readConcernLevel=local", "journal=false"])
def test_what_a_uri_says_of_durability_is_not_heeded(more: str, mongo: Server, database: str) -> None:
    ledger = MongoLedger(f"{mongo.uri}&{more}", database)
    ledger.write(a_batch(0))
    assert list(ledger.entries()) == a_batch(0)
    ledger.close()


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://me:s3cr3t@127.0.0.1:{port}/",
        "mongodb://me:s3cr3t@127.0.0.1:port/",
        "mongodb://me:s3cr3t@127.0.0.1:{port}/?wrong",
        "mongodb://me:at@s3cr3t@127.0.0.1:{port}/",  # not escaped, as people write it
        "mongodb://me:slash/s3cr3t@127.0.0.1:{port}/",
        "mongodb://me:s3cr3t/slash@127.0.0.1:{port}/",
        "mongodb://me:colon:s3cr3t@127.0.0.1:{port}/",
        "mongodb://me:percent%s3cr3t@127.0.0.1:{port}/",
        "mongodb://me:s3cr3t%40@127.0.0.1:{port}/",
        "mongodb+srv://me:s3cr3t@127.0.0.1:{port}/",
    ],
)
def test_a_password_is_never_shown(uri: str, refusing_port: int) -> None:
    assert "s3cr3t" not in complaint_of(uri.format(port=refusing_port))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """host:port of a server that wants a user and password, and has no users."""
    mongod = find_mongod()
    if mongod is None:
        pytest.skip("no mongod on this machine: how a server that wants a password is met was not tried")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [mongod, "--auth", "--dbpath", str(tmp_path), "--bind_ip", "127.0.0.1", "--port", str(port)]
    options = ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--setParameter", "enableLocalhostAuthBypass=false"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: listens(port), 30)
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_server_that_wants_a_password_is_told_with_what_to_give(guarded: str) -> None:
    for uri in (f"mongodb://{guarded}/", f"mongodb://me:s3cr3t@{guarded}/"):
        complaint = complaint_of(uri)
        assert "needs a user and password that may write" in complaint
        assert "mongodb://user:password@host/" in complaint
        assert "s3cr3t" not in complaint
