"""The ledger on three servers, of which secondaries lag and the primary dies: what was acknowledged stays, and nothing
is believed that may still be lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

from bazaar.protocol.entries import AnyEntry, entry_to_document
from bazaar.protocol.settings import UsageError
from bazaar.runtime import mongo as mongo_module
from bazaar.runtime.mongo import Gone, MongoLedger, server_version
from tests.builders import a_lot, a_sale, an_order
from tests.contract.replica_set import ReplicaSet
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("mongo")
IMPATIENT = WriteConcern(w="majority", j=True, wtimeout=200)
Members = tuple[int, int, int]


def a_batch(first: int, count: int = 3) -> list[AnyEntry]:
    return [a_sale(position, an_order(f"buyer0-{position}"), a_lot()) for position in range(first, first + count)]


class Doing:
    """Something that is done meanwhile."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.outcome: list[Any] = []
        self._act = act
        self._thread = threading.Thread(target=self._do, daemon=True)
        self._thread.start()

    def _do(self) -> None:
        try:
            self.outcome.append(self._act())
        except Exception as error:  # it is what the test asks for
            self.outcome.append(error)

    def end(self) -> Any:
        """What came out."""
        self._thread.join(60)
        return self.outcome[0]


@pytest.fixture
def members(three: ReplicaSet) -> Members:
    """All three are well: the primary, and the two secondaries."""
    return three.await_health()


@pytest.fixture
def ledger(
    members: Members, three: ReplicaSet, threes_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MongoLedger]:
    """A new one, that does not wait for long until a write is durable."""
    ledger = MongoLedger(three.uri, threes_database)
    monkeypatch.setattr(mongo_module, "DURABLE", IMPATIENT)
    yield ledger
    ledger.close()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What did not become durable in time."""
    durably = MongoLedger._durably
    late: list[object] = []

    def watched(self: MongoLedger, what: str, collection: str, **how: Any) -> None:
        try:
            durably(self, what, collection, **how)
        except OperationFailure as error:
            if error.code == mongo_module.NOT_DURABLE_IN_TIME:
                late.append(what)
            raise

    monkeypatch.setattr(MongoLedger, "_durably", watched)
    return late


def test_its_version_is_named(three: ReplicaSet, record_property: Callable[[str, object], None]) -> None:
    record_property("MongoDB, three of them", server_version(three.uri))  # `conftest.py` tells it at the end


def held_by(three: ReplicaSet, member: int, database: str) -> list[int]:
    """The positions that this member has, durable or not."""
    with three.client(member) as client:
        return [document["_id"] for document in client[database]["ledger"].find().sort("_id")]  # type: ignore[misc]


def fail_over(three: ReplicaSet, members: Members) -> None:
    """The primary dies, and the others without having taken in what it had last; they come back without it."""
    primary, *others = members
    three.kill(primary)
    three.kill(*others)
    for member in others:
        three.start(member)
    three.await_primary(*others)


def test_a_lagging_majority_is_waited_for(
    ledger: MongoLedger, three: ReplicaSet, members: Members, threes_database: str, late: list[object]
) -> None:
    three.lock(*members[1:])
    writing = Doing(lambda: ledger.write(a_batch(0)))
    wait_until(lambda: held_by(three, members[0], threes_database) == [0, 1, 2])
    wait_until(lambda: len(late) > 2)
    assert not writing.outcome
    three.unlock()
    assert writing.end() is None
    assert list(ledger.entries()) == a_batch(0)


def test_what_the_primary_alone_had_is_written_again_when_it_is_gone(
    ledger: MongoLedger, three: ReplicaSet, members: Members, threes_database: str, late: list[object]
) -> None:
    """Today's fault: the insert timed out, was found on the primary, and was believed; then the primary died."""
    ledger.write(a_batch(0))
    three.lock(*members[1:])
    writing = Doing(lambda: ledger.write(a_batch(3)))
    wait_until(lambda: held_by(three, members[0], threes_database) == [0, 1, 2, 3, 4, 5])
    wait_until(lambda: late)
    fail_over(three, members)
    assert writing.end() is None
    assert list(ledger.entries()) == a_batch(0, 6)
    primary, *_ = three.await_health()  # the former one too: it takes back what it alone had
    assert held_by(three, primary, threes_database) == [0, 1, 2, 3, 4, 5]
    assert list(ledger.entries()) == a_batch(0, 6)


def test_a_warehouse_that_starts_believes_nothing_that_the_primary_alone_has(
    ledger: MongoLedger, three: ReplicaSet, members: Members, threes_database: str, late: list[object]
) -> None:
    ledger.write(a_batch(0))
    three.lock(*members[1:])
    with three.client(members[0]) as client:
        held = client[threes_database].get_collection("ledger", write_concern=WriteConcern(w=1))
        held.insert_many([entry_to_document(entry) for entry in a_batch(3)])
    assert ledger.entry_of("buyer0-2") == a_batch(2)[0]
    with pytest.raises(LookupError):
        ledger.entry_of("buyer0-3")
    reading = Doing(lambda: list(ledger.entries()))
    wait_until(lambda: len(late) > 2)
    assert not reading.outcome
    fail_over(three, members)
    assert reading.end() == a_batch(0)


def test_a_warehouse_that_starts_sees_all_that_becomes_durable(
    ledger: MongoLedger, three: ReplicaSet, members: Members, threes_database: str, late: list[object]
) -> None:
    three.lock(*members[1:])
    writing = Doing(lambda: ledger.write(a_batch(0)))
    wait_until(lambda: len(late) > 1)
    reading = Doing(lambda: list(MongoLedger(three.uri, threes_database, known=True).entries()))
    wait_until(lambda: len(late) > 3)
    assert not reading.outcome
    three.unlock()
    assert reading.end() == a_batch(0)
    assert writing.end() is None


def test_what_never_becomes_durable_is_never_acknowledged(
    ledger: MongoLedger, three: ReplicaSet, members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_module, "PATIENCE_S", 1.0)
    three.lock(*members[1:])
    for act in (lambda: ledger.write(a_batch(0)), lambda: list(ledger.entries())):
        with pytest.raises(Gone, match="has made nothing durable") as caught:
            act()
        assert "\n" not in str(caught.value)


def test_a_set_that_makes_nothing_durable_is_told_at_the_start(
    three: ReplicaSet, members: Members, threes_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_module, "DURABLE", IMPATIENT)
    three.lock(*members[1:])
    with pytest.raises(UsageError, match="makes nothing durable: a majority of its replica set does not answer"):
        MongoLedger(three.uri, threes_database)
