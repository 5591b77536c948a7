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
from bazaar.core.ledger import Ledger
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import AdoptEntry, AnyEntry, Appoint, Denial, Grant, Return, Sale
from bazaar.protocol.goods import WAREHOUSE, Bench
from bazaar.protocol.messages import AnyMessage, BenchIs, Claim, WhoTrades
from bazaar.protocol.plan import save
from bazaar.protocol.settings import UsageError
from bazaar.protocol.wire import Letter, decode, encode
from bazaar.runtime.key import make_key
from bazaar.runtime.ledger_file import KeptLedger, LedgerFile
from bazaar.runtime.mongo import Damaged, Gone, Replaced
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.runclock import start_clock
from bazaar.runtime.transport import Mailbox, Sender, Unreachable
from database import MirroredLedger
from tests.builders import HERE, a_bench, a_delivery, a_deposit_entry, a_lot, a_plan, a_sale, an_order
from tests.contract.memory_ledger import MemoryLedger, Shelf
from tests.simulation import run
from tests.unit.conftest import serving
from tests.waiting import wait_until

DEPOSIT = a_deposit_entry(0, a_lot(count=3))


# -------------------------------------------------------------------------------------------- the store
@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(Shelf())


@pytest.fixture
def file(tmp_path: Path) -> LedgerFile:
    return LedgerFile(tmp_path)


@pytest.fixture
def store(ledger: MemoryLedger, file: LedgerFile) -> Iterator[MirroredLedger]:
    store = MirroredLedger(ledger, file, {})  # type: ignore[arg-type] # it keeps the same contract
    yield store
    store.close()


def test_what_is_written_is_in_the_ledger_and_soon_in_the_mirror_though_nothing_follows(
    store: MirroredLedger, ledger: MemoryLedger, tmp_path: Path
) -> None:
    store.write([DEPOSIT])
    assert list(ledger.entries()) == list(KeptLedger(tmp_path)) == [DEPOSIT]
    wait_until(lambda: ledger.mirrored() == {("seller1", "salt"): 3})
    store.write([a_sale(1, an_order("buyer0-0"), a_lot())])
    store.write(
        [a_sale(2, an_order("buyer0-1"), a_lot()), Denial(3, "buyer0-2", "buyer0", "boar", "unavailable", 9, "x")]
    )
    wait_until(lambda: ledger.mirrored() == {("seller1", "salt"): 1})


def test_the_mirror_shows_what_the_ledger_leaves_also_of_orders_for_several_units(
    store: MirroredLedger, ledger: MemoryLedger
) -> None:
    evidence = run("brisk", 1, units="1-5", restock_count=3)[1]
    sales = [entry for entry in evidence.entries if isinstance(entry, Sale)]
    assert max(len(sale.parts) for sale in sales) > 1
    store.write(list(evidence.entries))
    store.close()
    left = Ledger(evidence.plan.names, evidence.plan.settings.traders)
    for entry in evidence.entries:
        left.apply(entry)
    assert ledger.mirrored() == {product: count for product, (count, _) in left.stock.products().items()}


def test_what_is_not_durable_is_not_on_file(store: MirroredLedger, ledger: MemoryLedger, tmp_path: Path) -> None:
    ledger.write([a_deposit_entry(0, a_lot("seller2-d0"))])
    with pytest.raises(Replaced):
        store.write([DEPOSIT])
    assert list(KeptLedger(tmp_path)) == []


def test_what_was_there_before_is_mirrored_too(ledger: MemoryLedger, file: LedgerFile) -> None:
    store = MirroredLedger(ledger, file, {("seller1", "salt"): (7, 800)})  # type: ignore[arg-type] # it keeps the same contract
    wait_until(lambda: ledger.mirrored() == {("seller1", "salt"): 7})
    store.write([a_deposit_entry(0, a_lot(count=3))])
    store.close()
    assert ledger.mirrored() == {("seller1", "salt"): 10}


def test_what_the_mirror_could_not_take_is_shown_as_soon_as_it_can(
    store: MirroredLedger, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []
    with monkeypatch.context() as away:
        away.setattr(ledger, "mirror", lambda stock: tried.append(stock))
        store.write([DEPOSIT])
        wait_until(lambda: any(tried))
    wait_until(lambda: ledger.mirrored() == {("seller1", "salt"): 3})


def test_the_last_state_is_mirrored_at_the_end(
    store: MirroredLedger, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write([DEPOSIT])
    store.write([a_deposit_entry(1, a_lot("seller2-d0", count=2))])
    store.close()
    assert ledger.mirrored() == {("seller1", "salt"): 3, ("seller2", "salt"): 2}
    assert ledger.closed


# ----------------------------------------------------------------------------------- how it starts, and does not
def rebuilt_from(ledger: MemoryLedger, file: LedgerFile) -> Warehouse:
    return database.rebuilt(a_plan(peers=8, traders=2), ledger, file)  # type: ignore[arg-type] # it keeps the same contract


def test_a_warehouse_is_rebuilt_from_its_ledger_and_completes_the_file(
    ledger: MemoryLedger, file: LedgerFile, tmp_path: Path
) -> None:
    ledger.write([DEPOSIT, Appoint(1, "buyer7", 0)])
    file.write([DEPOSIT])
    warehouse = rebuilt_from(ledger, file)
    assert list(KeptLedger(tmp_path)) == list(ledger.entries())
    assert warehouse.ledger.position == 2
    assert warehouse.ledger.stock.products() == {("seller1", "salt"): (3, 800)}


@pytest.mark.parametrize(
    "entry",
    [
        a_sale(1, an_order("buyer0-0"), a_lot("seller9-d9")),
        AdoptEntry(1, "buyer7", 0, "seller6"),
        Grant(1, "seller1-d0", "salt", 2, "nobody"),
        Return(1, "seller1-d0", "salt", 2, "buyer7"),
        Appoint(1, "buyer7", -5),
    ],
    ids=lambda entry: type(entry).__name__,
)
def test_an_entry_that_no_warehouse_would_have_decided_is_told_with_its_position(
    ledger: MemoryLedger, file: LedgerFile, entry: AnyEntry
) -> None:
    ledger.write([DEPOSIT, entry])
    with pytest.raises(Damaged, match="entry 1 does not follow from those before"):
        rebuilt_from(ledger, file)


def test_a_mongodb_that_has_lost_entries_is_not_gone_on_with(ledger: MemoryLedger, file: LedgerFile) -> None:
    file.write([DEPOSIT])
    with pytest.raises(Damaged, match="its data are lost"):
        rebuilt_from(ledger, file)


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
        self._mailbox = Mailbox(HERE, "buyer7", key, lambda: None)
        self._ears = threading.Thread(target=self._listen, daemon=True)
        self._ears.start()
        self._directory.register("buyer7", self._mailbox.uri)
        self.process = threading.Thread(target=lambda: self.statuses.append(database.main()), daemon=True)
        self.process.start()
        self.uri = wait_until(self._find_warehouse)
        self.sender = Sender(self.uri, key)

    def _find_warehouse(self) -> str | None:
        try:
            return self._directory.lookup(WAREHOUSE)
        except Unreachable:
            return None

    def _listen(self) -> None:
        while self._listens:
            for data, _ in self._mailbox.wait(None):
                for letter in decode(data).letters:
                    self.heard.put(letter.body)

    def ask(self, body: AnyMessage) -> None:
        self.sender.deliver(encode(a_delivery("buyer7", WAREHOUSE, Letter(5, body), number=self._number)))
        self._number += 1

    def answer(self) -> AnyMessage:
        return self.heard.get(timeout=10)

    def stop(self) -> None:
        self._say("stop")
        self.process.join(10)
        self.sender.close()
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
        serving(NameServer(HERE, 0, key, lambda: None)) as server,
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
    warehouse.sender.deliver(b"rubbish")
    warehouse.sender.deliver(encode(a_delivery("buyer7", "seller1", Letter(5, Claim(-1, 0)))))
    warehouse.sender.deliver(encode(a_delivery("seller8", WAREHOUSE, Letter(5, Claim(-1, 0)))))
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
        Sender(warehouse.uri, b"another key")
    warehouse.ask(WhoTrades())
    assert warehouse.answer() == BenchIs(Bench(vacant=2))


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (Unreachable("no name server answers"), 1),
        (UsageError("no MongoDB answers at mongodb://nowhere.invalid/"), 2),
        (Damaged("the ledger has no entry 7"), 4),
        (Gone("MongoDB has made nothing durable for 60 s"), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_says_in_one_line_why_it_cannot_start_and_ends_with_a_status_of_its_own(
    problem: Exception,
    status: int,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(uri: str, name: str, known: bool) -> None:
        raise problem

    make_key(run_folder / "key")
    monkeypatch.setattr(database, "MongoLedger", refuse)
    monkeypatch.setattr(sys, "argv", ["database.py", str(run_folder), "0", "bazaar_test"])
    assert database.main() == status
    said = capsys.readouterr().err
    assert str(problem) in said
    assert said.count("\n") == 1
