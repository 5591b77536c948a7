"""What a process answers at its door, without the door: plain values, and refusals that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import AnyEntry, Appoint
from bazaar.protocol.messages import Buy, Purchased
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import Settings
from bazaar.runtime.ledger_file import LedgerFile
from peers.faces import PeerFace, WarehouseFace
from peers.peer import Peer
from tests.builders import a_bench, a_deposit_entry, a_lot, some_settings
from tests.unit.test_peer import NAMES, a_plan, begun, elect, hear, open_to

T = TypeVar("T")
LINES = b'{"clock":1}\n{"clock":2}\n{"clock":3}\n{"clo'


class Loop:
    """Does at once what a process's loop does in its next turn, and then whatever the test likes."""

    def __init__(self, actor: Peer | Warehouse) -> None:
        self.actor = actor
        self.turns: list[Turn] = []
        self.then: Callable[[], object] = lambda: None

    def visit(self, act: Callable[[Turn], T], is_there: Callable[[T], bool] = lambda result: True, s: float = 1.0) -> T:
        turn = Turn(0.0, self.actor.clock)
        self.turns.append(turn)
        result = act(turn)
        self.actor.tick(turn)
        self.then()
        if not is_there(result):
            raise TimeoutError(f"{s:g} s")
        return result


def face_of(peer: Peer, tmp_path: Path, plan: Plan | None = None) -> tuple[PeerFace, Loop]:
    loop = Loop(peer)
    (tmp_path / "history.jsonl").write_bytes(LINES)
    return PeerFace(peer, plan or a_plan(), tmp_path, loop.visit), loop


def a_buyer(**values: Any) -> Peer:
    peer = begun(Peer("buyer0", a_plan(**values)))
    open_to(peer, a_bench("buyer4"))
    return peer


def test_a_peer_says_who_it_is_and_who_trades(tmp_path: Path) -> None:
    face, loop = face_of(a_buyer(), tmp_path)
    assert (face.ping(), face.traders(), face.neighbours()) == ("buyer0", ["buyer4"], [])
    assert face.status() == {"name": "buyer0", "role": "buyer", "answered": 0, "done": False, "idle": False}
    assert face.clock() == loop.actor.clock.time
    assert (face.cache(), face.queue(), face.stock()) == ([], [], {})


def test_looking_changes_nothing(tmp_path: Path) -> None:
    peer = a_buyer()
    face, loop = face_of(peer, tmp_path)
    before = peer.clock.time
    for look in (face.ping, face.status, face.clock, face.neighbours, face.traders, face.cache, face.queue):
        look()
    face.history(3)
    face.stock()
    assert peer.clock.time == before
    assert [(turn.sends, turn.events, turn.kept) for turn in loop.turns] == [([], [], [])] * len(loop.turns)


def test_a_trader_shows_its_queue_and_neither_buys_nor_sells(tmp_path: Path) -> None:
    peer = Peer("buyer4", a_plan())
    elect(peer)
    hear(peer, "buyer0", Buy("buyer0-3", "salt", False))
    face, loop = face_of(peer, tmp_path)
    assert face.status()["role"] == "trader"
    assert face.queue() == [{"order": "buyer0-3", "buyer": "buyer0", "item": "salt", "clock": 10, "units": 1}]
    with pytest.raises(
        RuntimeError, match=r"a trader neither buys nor sells \(requirement B5\); ask one of the buyers"
    ):
        face.buy("salt")
    assert loop.turns[-1].events == []


def test_what_is_bought_by_hand_is_told_as_it_was_answered(tmp_path: Path) -> None:
    peer = a_buyer(window=2)
    face, loop = face_of(peer, tmp_path)
    loop.then = lambda: [
        hear(peer, "buyer4", Purchased(f"buyer0-{serial}", "salt", "seller1", 800)) for serial in range(3)
    ]
    bought = face.buy("salt")
    assert bought == {**bought, "item": "salt", "outcome": "purchased", "seller": "seller1", "price": 8}
    assert bought["order"].startswith("buyer0-")


def test_what_is_not_answered_in_time_says_so(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="36 s"):
        face_of(a_buyer(), tmp_path, a_plan(answer_timeout_s=12.0))[0].buy("salt")


def test_what_is_not_placed_says_so(tmp_path: Path) -> None:
    peer = a_buyer(window=1)
    face, loop = face_of(peer, tmp_path)
    loop.then = lambda: peer.finish(Turn(0.0, peer.clock))
    with pytest.raises(RuntimeError, match="nothing was ordered: buyer0 orders nothing any more"):
        face.buy("salt")


def test_a_seller_deposits_for_whole_dollars_and_does_not_buy(tmp_path: Path) -> None:
    peer = begun(Peer("seller1", a_plan()))
    open_to(peer, a_bench("buyer4"))
    face, _ = face_of(peer, tmp_path)
    offered = face.deposit("boar", 3, 9)
    assert offered == {**offered, "item": "boar", "count": 3, "price": 9, "trader": "buyer4"}
    with pytest.raises(RuntimeError, match="is a seller, and does not buy"):
        face.buy("salt")
    with pytest.raises(ValueError, match="price must be"):
        face.deposit("boar", 3, 90)
    with pytest.raises(RuntimeError, match="is a buyer, and deposits nothing"):
        face_of(a_buyer(), tmp_path)[0].deposit("boar", 3, 9)


def test_of_a_history_the_last_whole_lines_are_told(tmp_path: Path) -> None:
    face, _ = face_of(a_buyer(), tmp_path)
    assert face.history(2) == [{"clock": 2}, {"clock": 3}]
    assert len(face.history(1000)) == 3
    (tmp_path / "history.jsonl").write_bytes(b'{"clock":1}\n' * 50_000 + b'{"clock":2}\n')
    assert face.history(1000) == [{"clock": 1}] * 999 + [{"clock": 2}]


@pytest.mark.parametrize("n", [0, -1, 1001, 1.0, "1", None, True])
def test_a_number_of_lines_that_is_none_is_refused(n: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 1000"):
        face_of(a_buyer(), tmp_path)[0].history(n)


def test_the_warehouse_tells_its_stock_and_its_ledger(tmp_path: Path) -> None:
    entries: list[AnyEntry] = [Appoint(0, "buyer4", 0), a_deposit_entry(1, a_lot(count=3))]
    settings: Settings = some_settings(peers=5, traders=1)
    warehouse = Warehouse(NAMES, settings, entries)
    file = LedgerFile(tmp_path)
    file.write(entries)
    file.close()
    face = WarehouseFace(warehouse, tmp_path, tmp_path, Loop(warehouse).visit)
    assert (face.ping(), face.status()["entries"], face.status()["traders"]) == ("warehouse", 2, ["buyer4"])
    lot = a_lot()
    assert face.stock() == [{"seller_id": lot.seller, "item": lot.item, "count": 3, "price": lot.price_cents // 100}]
    assert [entry["kind"] for entry in face.entries()] == ["appoint", "deposit"]
    assert face.entries(1)[0]["position"] == 1
    assert face.entries(2) == []
    with pytest.raises(ValueError, match="from must be"):
        face.entries(-1)
