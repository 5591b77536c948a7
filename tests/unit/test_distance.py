"""The relay that puts MongoDB farther away: everything arrives, in order, and late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bazaar.protocol.settings import UsageError
from experiments.framework.distance import farther

DELAY_S = 0.05


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of somebody who sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(1 << 20):
                        connection.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def connected(uri: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(urlsplit(uri).netloc.rpartition(":")[2])), 10.0)


def test_an_answer_takes_the_way_there_and_the_way_back(echo: int) -> None:
    with farther(f"mongodb://127.0.0.1:{echo}/", DELAY_S) as uri, connected(uri) as client:
        began = time.monotonic()
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
        assert time.monotonic() - began >= 2 * DELAY_S


def test_everything_arrives_in_order_and_the_end_does_too(echo: int) -> None:
    sent = b"".join(number.to_bytes(4, "big") for number in range(500_000))
    with farther(f"mongodb://127.0.0.1:{echo}/", 0.001) as uri, connected(uri) as client:

        def send() -> None:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        got = bytearray()
        while data := client.recv(1 << 20):
            got += data
        sender.join()
    assert bytes(got) == sent


def test_several_connections_at_once(echo: int) -> None:
    with farther(f"mongodb://127.0.0.1:{echo}/", 0.001) as uri:
        for number in range(3):  # one after the other: the echo takes one at a time
            with connected(uri) as client:
                client.sendall(bytes([number]))
                assert client.recv(10) == bytes([number])


def test_when_nobody_is_there_the_connection_ends(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    with farther(f"mongodb://127.0.0.1:{nobody}/", 0.001) as uri, connected(uri) as client:
        assert client.recv(10) == b""


@pytest.mark.parametrize(
    ("uri", "ending"),
    [
        (
            "mongodb://127.0.0.1:{}/?replicaSet=bazaar&directConnection=true",
            "/?replicaSet=bazaar&directConnection=true",
        ),
        ("mongodb://127.0.0.1:{}/?replicaSet=bazaar", "/?replicaSet=bazaar&directConnection=true"),
        ("mongodb://127.0.0.1:{}", "/?directConnection=true"),
    ],
)
def test_the_driver_is_told_not_to_find_its_own_way(uri: str, ending: str, echo: int) -> None:
    with farther(uri.format(echo), 0.0) as far:
        assert far.startswith("mongodb://127.0.0.1:")
        assert far.endswith(ending)


def test_who_logs_in_still_does(echo: int) -> None:
    with farther(f"mongodb://user:secret@127.0.0.1:{echo}/", 0.0) as far:
        assert far.startswith("mongodb://user:secret@127.0.0.1:")


@pytest.mark.parametrize("uri", ["mongodb://a:1,b:2/", "mongodb+srv://cluster.example/"])
def test_a_way_to_several_hosts_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="one host"), farther(uri, 0.1):
        pass
