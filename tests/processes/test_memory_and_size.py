"""How large a peer is, and how large a bazaar may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.control.launcher import Bazaar
from bazaar.protocol.goods import index_of
from tests.processes.command import processes_of
from tests.processes.market import PATIENCE_S, left_behind, quick, trade

MOST_MIB = 45


def test_the_memory_of_a_peer(tmp_path: Path, mongo_uri: str) -> None:
    settings = quick(peers=6, traders=2, window=8, restock_count=1000, seed=13)
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 3_000, PATIENCE_S)
        sizes = {peer.name: _resident_mib(peer.pid) for peer in bazaar.peers}
        bazaar.finish()
        run = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())
    run.assert_held()
    assert max(sizes.values()) <= MOST_MIB, sizes


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


@pytest.mark.timeout(300)
def test_forty_peers_and_five_traders(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    run = trade(quick(peers=40, traders=5, requests=400, seed=14), out, mongo_uri)
    run.assert_held()
    assert [index_of(name) for name in run.summary.traders] == [39, 38, 37, 36, 35]
    assert run.summary.requests.asked == 400
    assert {entry.trader for entry in run.entries if hasattr(entry, "trader")} == set(run.summary.traders)
    assert all(1 <= len(neighbours) <= 3 for neighbours in run.plan.neighbours.values())
    assert len(run.told(r"(buyer|seller)\d+ joined the bazaar as .*")) == 40
    assert processes_of(out) == {}
