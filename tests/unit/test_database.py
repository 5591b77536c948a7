"""The warehouse's process: its store, and its `main` on the loopback with real Pyro4, over a ledger in memory."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import database
from bazaar.plan import save
from bazaar.records import (
    WAREHOUSE,
    AnyMessage,
    Appoint,
    Bench,
    BenchIs,
    Claim,
    Letter,
    WhoTrades,
    decode,
    encode,
)
from bazaar.rpc import Directory, Mailbox, NameServer, Post, Unreachable, make_key
from bazaar.runclock import start_clock
from bazaar.settings import UsageError
from bazaar.warehouse import Warehouse
from database import MirroredLedger
from tests.builders import a_bench, a_delivery, a_deposit_entry, a_lot, a_plan, some_settings
from tests.contract.memory_ledger import MemoryLedger, Shelf
from tests.unit.conftest import serving
from tests.waiting import wait_until

DEPOSIT = a_deposit_entry(0, a_lot(count=3))


# -------------------------------------------------------------------------------------------- the store
def a_store() -> tuple[MirroredLedger, MemoryLedger, Warehouse]:
    ledger, warehouse = (
        MemoryLedger(Shelf()),
        Warehouse(("buyer0", "seller1", "buyer2"), some_settings(peers=3, traders=1)),
    )
    return MirroredLedger(ledger, warehouse), ledger, warehouse  # type: ignore[arg-type] # it keeps the same contract


def test_what_is_written_is_in_the_ledger_and_in_the_mirror() -> None:
    store, ledger, warehouse = a_store()
    warehouse.ledger.apply(DEPOSIT)
    store.write([DEPOSIT])
    assert list(ledger.entries()) == [DEPOSIT]
    assert ledger.mirrored() == {("seller1", "salt"): 3}


def test_the_mirror_is_renewed_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIRROR_EVERY_S", 1000.0)
    store, ledger, warehouse = a_store()
    warehouse.ledger.apply(DEPOSIT)
    store.write([DEPOSIT])
    more = a_deposit_entry(1, a_lot("seller2-d0", count=2))
    warehouse.ledger.apply(more)
    store.write([more])
    assert ledger.mirrored() == {("seller1", "salt"): 3}
    store.close()
    assert ledger.mirrored() == {("seller1", "salt"): 3, ("seller2", "salt"): 2}
    assert ledger.closed


# ------------------------------------------------------------------------------------------ the process
class Running:
    """`database.main` in a thread, and a peer buyer7 that talks to it."""

    def __init__(self, folder: Path, server: NameServer, key: bytes, shelf: Shelf, say: Callable[[str], None]) -> None:
        self.shelf = shelf
        self.statuses: list[int] = []
        self.heard: queue.SimpleQueue[AnyMessage] = queue.SimpleQueue()
        self._say = say
        self._key = key
        self._number = 0
        self._listens = True
        self._directory = Directory("localhost", server.port, key)
        self._mailbox = Mailbox("localhost", "buyer7", key, lambda: None)
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()
        self._directory.register("buyer7", self._mailbox.uri)
        self.process = threading.Thread(target=lambda: self.statuses.append(database.main()), daemon=True)
        self.process.start()
        self.uri = wait_until(self._find_warehouse)
        self.post = Post(self.uri, key)

    def _find_warehouse(self) -> str | None:
        try:
            return self._directory.lookup(WAREHOUSE)
        except Unreachable:
            return None

    def _listen(self) -> None:
        while self._listens:
            for data in self._mailbox.wait(None):
                for letter in decode(data).letters:
                    self.heard.put(letter.body)

    def ask(self, body: AnyMessage) -> None:
        self.post.deliver(encode(a_delivery("buyer7", WAREHOUSE, Letter(5, body), number=self._number)))
        self._number += 1

    def answer(self) -> AnyMessage:
        return self.heard.get(timeout=10)

    def stop(self) -> None:
        self._say("stop")
        self.process.join(10)
        self.post.close()
        self._listens = False
        self._mailbox.wake()
        self._ears.join(10)
        self._mailbox.close()


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(a_plan(peers=8, traders=2), tmp_path / "bazaar.json")
    start_clock(tmp_path)
    (tmp_path / WAREHOUSE).mkdir()
    monkeypatch.chdir(tmp_path / WAREHOUSE)
    monkeypatch.setenv("BAZAAR_MONGO_URI", "mongodb://nowhere.invalid/")
    return tmp_path


@pytest.fixture
def warehouse(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    shelf = Shelf()
    key = make_key(run_folder / "key")
    inside, outside = os.pipe()
    monkeypatch.setattr(database, "MongoLedger", lambda uri, name, known: MemoryLedger(shelf))
    with (
        serving(NameServer("localhost", 0, key, lambda: None)) as server,
        os.fdopen(inside) as stdin,
        os.fdopen(outside, "w", buffering=1) as launcher,
    ):
        monkeypatch.setattr(sys, "argv", ["database.py", str(run_folder), str(server.port), "bazaar_test"])
        monkeypatch.setattr(sys, "stdin", stdin)
        running = Running(run_folder, server, key, shelf, lambda word: print(word, file=launcher))
        yield running
        running.stop()
    assert not running.process.is_alive()


def test_it_serves_the_ledger_until_it_is_told_to_stop(warehouse: Running) -> None:
    warehouse.ask(WhoTrades())
    assert warehouse.answer() == BenchIs(Bench(vacant=2))
    warehouse.ask(Claim(-1, 0))
    assert warehouse.answer() == BenchIs(a_bench("buyer7", vacant=1))
    assert list(MemoryLedger(warehouse.shelf).entries()) == [Appoint(0, "buyer7", 0)]
    warehouse.stop()
    assert warehouse.statuses == [0]


def test_replaced_by_another_warehouse_it_tells_nobody_its_decision_and_ends_with_status_3(
    warehouse: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    MemoryLedger(warehouse.shelf).write([Appoint(0, "seller6", 0)])
    warehouse.ask(Claim(-1, 0))
    warehouse.process.join(10)
    assert warehouse.statuses == [3]
    assert warehouse.heard.empty()
    said = capsys.readouterr().err
    assert "this warehouse was replaced and stops" in said
    assert said.count("\n") == 1


def test_rubbish_is_refused_and_the_next_question_answered(
    warehouse: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.post.deliver(b"rubbish")
    warehouse.post.deliver(encode(a_delivery("buyer7", "seller1", Letter(5, Claim(-1, 0)))))
    warehouse.post.deliver(encode(a_delivery("seller8", WAREHOUSE, Letter(5, Claim(-1, 0)))))
    warehouse.ask(WhoTrades())
    assert warehouse.answer() == BenchIs(Bench(vacant=2))
    said = ""

    def counted() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return '"refused":3' in said

    assert wait_until(counted)


def test_whoever_has_not_the_key_is_not_heard(warehouse: Running) -> None:
    with pytest.raises(Unreachable):
        Post(warehouse.uri, b"another key")
    warehouse.ask(WhoTrades())
    assert warehouse.answer() == BenchIs(Bench(vacant=2))


def test_without_a_mongodb_it_says_so_in_one_line_and_ends_with_status_2(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(uri: str, name: str, known: bool) -> None:
        raise UsageError(f"no MongoDB answers at {uri}")

    make_key(run_folder / "key")
    monkeypatch.setattr(database, "MongoLedger", refuse)
    monkeypatch.setattr(sys, "argv", ["database.py", str(run_folder), "0", "bazaar_test"])
    assert database.main() == 2
    assert capsys.readouterr().err == "no MongoDB answers at mongodb://nowhere.invalid/\n"
