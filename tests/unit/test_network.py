"""What the experiments ask the kernel about a run's network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from experiments.framework.network import connections_between, loopback_bytes

CLIENT = """
import socket, sys
kept = [socket.create_connection(("127.0.0.1", int(port))) for port in sys.argv[1:]]
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_a_connection_between_two_processes_is_counted_once_and_those_to_others_not(server: socket.socket) -> None:
    port = str(port_of(server))
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, port, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        kept = [server.accept()[0], server.accept()[0]]
        assert client.stdout.readline() == b"connected\n"
        both = {"seller1": os.getpid(), "buyer0": client.pid}
        assert connections_between(both) == [("buyer0", "seller1")] * 2
        assert connections_between({"buyer0": client.pid}) == []
        kept[0].close()
        client.stdin.close()
        client.wait()
        assert connections_between(both) == []
        kept[1].close()


def test_what_is_sent_to_oneself_crosses_the_loopback_interface(server: socket.socket) -> None:
    before = loopback_bytes()
    with socket.create_connection(("127.0.0.1", port_of(server))) as sender, server.accept()[0] as taker:
        sender.sendall(bytes(50_000))
        taken = 0
        while taken < 50_000:
            taken += len(taker.recv(50_000))
    assert loopback_bytes() - before >= 50_000
