"""The name server on the loopback, with real Pyro4."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import nameserver
from bazaar.protocol.settings import UsageError
from bazaar.runtime.address import Place
from bazaar.runtime.key import make_key, read_key
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.transport import Unreachable
from tests.builders import HERE
from tests.unit.conftest import serving

KEY = b"the key of this run"


@pytest.fixture
def strangers() -> threading.Semaphore:
    """One for each who was refused."""
    return threading.Semaphore(0)


@pytest.fixture
def server(strangers: threading.Semaphore) -> Iterator[NameServer]:
    with serving(NameServer(HERE, 0, KEY, strangers.release)) as server:
        yield server


def a_directory(server: NameServer, key: bytes = KEY) -> Directory:
    return Directory("localhost", server.port, key)


def test_a_name_that_was_entered_is_found(server: NameServer) -> None:
    directory = a_directory(server)
    directory.register("buyer0", "PYRO:buyer0@localhost:4711")
    directory.register("buyer10", "PYRO:buyer10@localhost:4712")
    assert a_directory(server).lookup("buyer0") == "PYRO:buyer0@localhost:4711"
    assert a_directory(server).lookup("buyer10") == "PYRO:buyer10@localhost:4712"


def test_a_name_that_is_entered_again_has_moved(server: NameServer) -> None:
    directory = a_directory(server)
    directory.register("buyer0", "PYRO:buyer0@localhost:4711")
    directory.register("buyer0", "PYRO:buyer0@localhost:4799")
    assert directory.lookup("buyer0") == "PYRO:buyer0@localhost:4799"


def test_a_name_that_nobody_entered_is_unreachable(server: NameServer) -> None:
    with pytest.raises(Unreachable, match="seller9"):
        a_directory(server).lookup("seller9")


def test_whoever_has_not_the_key_is_refused_and_counted_and_the_others_go_on(
    server: NameServer, strangers: threading.Semaphore
) -> None:
    a_directory(server).register("buyer0", "PYRO:buyer0@localhost:4711")
    with pytest.raises(Unreachable):
        a_directory(server, b"another key").register("buyer0", "PYRO:thief@localhost:666")
    assert a_directory(server).lookup("buyer0") == "PYRO:buyer0@localhost:4711"
    assert strangers.acquire(timeout=10)
    assert not strangers.acquire(blocking=False)


def test_somebody_who_says_nothing_or_rubbish_holds_nobody_up(server: NameServer) -> None:
    with socket.create_connection(("localhost", server.port)) as silent, silent.dup():
        with socket.create_connection(("localhost", server.port)) as rude:
            rude.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        a_directory(server).register("buyer0", "PYRO:buyer0@localhost:4711")


def test_without_a_name_server_everything_is_unreachable() -> None:
    with serving(NameServer(HERE, 0, KEY, lambda: None)) as server:
        a_directory(server).register("buyer0", "PYRO:buyer0@localhost:4711")
    with pytest.raises(Unreachable, match=f"localhost:{server.port}"):
        a_directory(server).lookup("buyer0")


def test_several_threads_may_ask_at_once(server: NameServer) -> None:
    directory = a_directory(server)
    for port in range(20):
        directory.register(f"buyer{port}", f"PYRO:buyer{port}@localhost:{port}")
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda number: directory.lookup(f"buyer{number % 20}"), range(400)))
    assert found == [f"PYRO:buyer{number % 20}@localhost:{number % 20}" for number in range(400)]


def test_another_name_server_in_the_place_of_the_first_is_found_at_the_second_try() -> None:
    with serving(NameServer(HERE, 0, KEY, lambda: None)) as server:
        directory = a_directory(server)
        directory.register("buyer0", "PYRO:buyer0@localhost:4711")
    with pytest.raises(Unreachable):
        directory.lookup("buyer0")
    with serving(NameServer(HERE, server.port, KEY, lambda: None)):
        directory.register("buyer0", "PYRO:buyer0@localhost:4799")
        assert directory.lookup("buyer0") == "PYRO:buyer0@localhost:4799"


def test_a_port_that_is_taken_is_told_in_one_line(server: NameServer) -> None:
    with pytest.raises(UsageError, match=f"cannot have port {server.port} on localhost") as caught:
        NameServer(HERE, server.port, KEY, lambda: None)
    assert "\n" not in str(caught.value)


def test_a_host_that_is_not_this_machine_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"cannot listen on host 192\.0\.2\.7") as caught:
        NameServer(Place("192.0.2.7", "192.0.2.7"), 0, KEY, lambda: None)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- the process
@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    make_key(tmp_path / "key")
    return tmp_path / "key"


def test_the_key_is_new_and_for_its_owner_alone(key_file: Path, tmp_path: Path) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert len(read_key(key_file)) == 64
    assert make_key(tmp_path / "other") != read_key(key_file)
    with pytest.raises(FileExistsError):
        make_key(key_file)


def test_the_process_says_its_port_serves_and_ends_with_its_input(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, launcher = os.pipe()
    heard, said = os.pipe()
    statuses: list[int] = []
    monkeypatch.setattr(sys, "argv", ["nameserver.py", "localhost", "0", str(key_file)])
    monkeypatch.setattr(sys, "stdin", open(inside))  # noqa: SIM115, PTH123 # descriptors; closed with the process's end
    monkeypatch.setattr(sys, "stdout", open(said, "w"))  # noqa: SIM115, PTH123
    process = threading.Thread(target=lambda: statuses.append(nameserver.main()), daemon=True)
    process.start()
    with os.fdopen(heard) as output:
        status = json.loads(output.readline())
    assert status["ready"] is True
    directory = Directory("localhost", status["port"], read_key(key_file))
    directory.register("buyer0", "PYRO:buyer0@localhost:4711")
    assert directory.lookup("buyer0") == "PYRO:buyer0@localhost:4711"
    assert statuses == []
    os.close(launcher)
    process.join(10)
    assert statuses == [0]


def test_a_process_that_cannot_serve_says_why_and_is_status_2(
    key_file: Path, server: NameServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["nameserver.py", "localhost", str(server.port), str(key_file)])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert nameserver.main() == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(server.port) in said.err
