"""Runs that speak TLS: they hold, strangers get nowhere, and whoever taps the wire reads nothing (requirement J5)."""

from __future__ import annotations

import importlib.util
import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bazaar.control.authority import write_papers
from bazaar.control.launcher import Bazaar
from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.protocol.goods import NAME_SERVER, WAREHOUSE, is_seller
from bazaar.protocol.messages import Buy
from bazaar.protocol.settings import with_pace
from bazaar.protocol.wire import Letter, encode
from bazaar.runtime.history import HistoryFile
from bazaar.runtime.key import PAPERS, read_key
from bazaar.runtime.naming import Directory
from bazaar.runtime.tls import papers_in
from bazaar.runtime.transport import Sender, Unreachable
from tests.builders import a_delivery
from tests.needs import need
from tests.processes.command import run
from tests.processes.market import PATIENCE_S, left_behind, quick
from tests.processes.tap import Tap


@pytest.fixture(autouse=True)
def _library() -> None:
    need(importlib.util.find_spec("cryptography"), "library cryptography", "pip install -r requirements-tls.txt")


@pytest.mark.parametrize(
    ("cache", "routing"), [("none", "direct"), ("weak", "direct"), ("escrow", "direct"), ("weak", "neighbours")]
)
def test_it_holds_though_a_trader_dies_and_comes_back(cache: str, routing: str, tmp_path: Path, mongo_uri: str) -> None:
    options = ("--cache", cache, "--routing", routing, "--seed", 8, "--pace", "fast", "--duration", 5)
    name = draw_plan(with_pace("fast", peers=6, traders=2, cache=cache, routing=routing, seed=8)).names[-1]
    faults = ("--fault", f"kill:{name}@1", "--fault", f"restart:{name}@2")
    arguments = ("localhost", 6, 2, *options, "--tls", "--restock-count", 300, *faults, "--out", tmp_path / "run")
    status, said, complaint = run(tmp_path, mongo_uri, *arguments)
    assert (status, complaint) == (0, ""), said
    summary = json.loads((tmp_path / "run" / "summary.json").read_bytes())
    assert summary["verdict"] == "held"
    assert summary["requests"]["purchased"] > 0
    assert len(list(HistoryFile(tmp_path / "run" / name).only(events.Born))) == 2


def counted(bazaar: Bazaar, name: str, before: int) -> bool:
    """Whether this process has refused somebody since."""
    return bazaar.processes[name].said.refused > before


def test_strangers_and_impostors_are_refused_and_counted(tmp_path: Path, mongo_uri: str) -> None:
    settings = quick(peers=5, traders=2, cache="weak", seed=8, restock_count=1000, think_s=0.005, tls=True)
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 20, PATIENCE_S)
        key, port = read_key(bazaar.out / "key"), bazaar.processes[NAME_SERVER].said.port
        names = bazaar.plan.names
        (tmp_path / "another").mkdir()
        write_papers(tmp_path / "another" / PAPERS, [*names, NAME_SERVER, WAREHOUSE], ["localhost"])
        for papers in (None, papers_in(tmp_path / "another", names[0])):  # both with the right key
            before = bazaar.processes[NAME_SERVER].said.refused
            with pytest.raises(Unreachable):
                Directory("localhost", port, key, papers).lookup(names[-1])
            assert bazaar.wait_until(partial(counted, bazaar, NAME_SERVER, before), 20)

        liar = next(
            name for name in names[:3] if is_seller(name)
        )  # it may have been taken over; it dies, and is acted for
        bazaar.processes[liar].signal(signal.SIGKILL)
        assert bazaar.wait_until(lambda: liar in bazaar.progress.killed, PATIENCE_S)
        buyer = next(name for name in names if not is_seller(name))
        papers = papers_in(bazaar.out, liar)
        directory = Directory("localhost", port, key, papers)
        with pytest.raises(Exception, match=f"{liar} enters no name but its own"):
            directory.register(buyer, "PYRO:mine@localhost:1")
        trader = names[-1]
        sender = Sender(directory.lookup(trader), key, papers)
        before = bazaar.processes[trader].said.refused
        letter = Letter(5, Buy(f"{buyer}-77777", "fish", False))
        sender.deliver(encode(a_delivery(buyer, trader, letter, life=time.time_ns())))
        assert bazaar.wait_until(partial(counted, bazaar, trader, before), 20)
        sender.close()
        bazaar.finish()
        traded = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())
    traded.assert_held()
    assert f"{buyer}-77777" not in (traded.out / "ledger.jsonl").read_text()


@pytest.fixture
def tap() -> Iterator[Tap]:
    try:
        tap = Tap()
    except (AttributeError, PermissionError):
        need(False, "right to read along on the loopback interface", "run this test on Linux, as root")
        raise
    with closing(tap):
        yield tap


@pytest.mark.parametrize("tls", [False, True])
def test_a_tap_reads_everything_without_it_and_nothing_with_it(
    tls: bool, tap: Tap, tmp_path: Path, mongo_uri: str
) -> None:
    settings = quick(peers=5, traders=2, cache="weak", seed=8, restock_count=1000, think_s=0.005, tls=tls)
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 20, PATIENCE_S)
        key, port = read_key(bazaar.out / "key"), bazaar.processes[NAME_SERVER].said.port
        directory = Directory("localhost", port, key, papers_in(bazaar.out, WAREHOUSE) if tls else None)
        uris = [directory.lookup(name) for name in (WAREHOUSE, *bazaar.plan.names)]
        tap.begin(frozenset({port, *(int(uri.rpartition(":")[2]) for uri in uris)}))
        before = bazaar.progress.answered
        assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 100, PATIENCE_S)
        bazaar.finish()
        left_behind(bazaar.plan, bazaar.out, *bazaar.collect()).assert_held()
    assert len(tap.read) > 10_000
    found = [
        word
        for word in (b"buyer0", b"seller", b"warehouse", b"fish", b"salt", b"Purchased", b"PYRO")
        if word in tap.read
    ]
    assert bool(found) != tls, found
