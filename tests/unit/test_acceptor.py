"""Strangers at the door of a name server and of a mailbox: those who hold places, drip, swell, or repeat what they heard."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import Pyro4
import pytest
from Pyro4.message import FLAGS_META_ON_CONNECT, MSG_CONNECT, Message

from bazaar.runtime.acceptor import MOST_GREETING, MOST_GUESTS, MOST_STRANGERS, Connection
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.transport import Mailbox, Sender
from tests.builders import HERE
from tests.unit.conftest import serving
from tests.waiting import wait_until

KEY = b"the key of this run"
URI, OLD_URI = "PYRO:buyer0@localhost:4799", "PYRO:buyer0@localhost:4711"


@pytest.fixture
def refused() -> list[float]:
    """When strangers were refused."""
    return []


@pytest.fixture
def server(refused: list[float]) -> Iterator[NameServer]:
    with serving(NameServer(HERE, 0, KEY, lambda: refused.append(time.monotonic()))) as server:
        yield server


def greeting(size: int) -> bytes:
    """What a client says first that has another key, with so many bytes of data."""
    return bytes(Message(MSG_CONNECT, bytes(size), 3, FLAGS_META_ON_CONNECT, 0, hmac_key=b"another").to_bytes())


def hangs_up(stranger: socket.socket) -> bool:
    """Whether the other side ends the connection, sooner or later, whatever it says before."""
    stranger.settimeout(20)
    try:
        while stranger.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


class Dripping:
    """More strangers than there are places, each of whom says another byte of a greeting every now and then."""

    def __init__(self, port: int, how_many: int, every_s: float) -> None:
        self._port, self._how_many, self._every_s = port, how_many, every_s
        self._ends = threading.Event()
        self._strangers: dict[socket.socket, int] = {}
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self.rounds = 0

    def __enter__(self) -> Dripping:
        self._thread.start()
        assert wait_until(lambda: self.rounds >= 2)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(10)
        for stranger in self._strangers:
            stranger.close()

    def _drip(self) -> None:
        says = greeting(4000)
        while not self._ends.wait(self._every_s):
            while len(self._strangers) < self._how_many:
                self._strangers[socket.create_connection(("localhost", self._port), 10)] = 0
            for stranger, said in list(self._strangers.items()):
                try:
                    stranger.sendall(says[said : said + 1])
                    self._strangers[stranger] = said + 1
                except OSError:
                    del self._strangers[stranger]
                    stranger.close()
            self.rounds += 1


def test_who_has_the_key_comes_in_however_many_strangers_drip(server: NameServer) -> None:
    Directory("localhost", server.port, KEY).register("buyer0", URI)
    with Dripping(server.port, MOST_STRANGERS + 16, 0.1):
        found = [Directory("localhost", server.port, KEY).lookup("buyer0") for _ in range(20)]
    assert found == [URI] * 20


def test_where_all_places_are_taken_the_oldest_stranger_gives_way(server: NameServer, refused: list[float]) -> None:
    with ExitStack() as stack:
        oldest, *others = (
            stack.enter_context(socket.create_connection(("localhost", server.port), 10))
            for _ in range(MOST_STRANGERS + 1)
        )
        assert wait_until(lambda: len(refused) == 1)
        assert oldest.recv(1) == b""
        others[0].sendall(b"P")
        others[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            others[0].recv(1)


def test_the_deadline_is_for_the_whole_handshake_not_for_each_byte(server: NameServer) -> None:
    says = greeting(4000)
    ended = threading.Event()
    with socket.create_connection(("localhost", server.port), 10) as stranger:

        def drip() -> None:
            for number in range(200):
                ended.wait(0.1)
                try:
                    stranger.sendall(says[number : number + 1])
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        assert hangs_up(stranger)


def test_who_is_answered_and_shows_no_key_then_is_still_a_stranger(server: NameServer, refused: list[float]) -> None:
    """A greeting that was overheard is answered; the answer is of no use to whoever repeats it."""
    said = overheard(server.port, lambda port: Directory("localhost", port, KEY).register("buyer0", URI))
    with socket.create_connection(("localhost", server.port), 10) as stranger:
        stranger.sendall(said[0])
        assert hangs_up(stranger)
    assert wait_until(lambda: len(refused) == 1)


@pytest.mark.parametrize(
    "says",
    [greeting(4096), greeting(0)[:12] + struct.pack("!i", 2**31 - 1) + greeting(0)[16:], bytes(30)],
    ids=["too much", "two gigabytes", "rubbish"],
)
def test_a_greeting_that_is_too_long_is_refused_by_its_header(
    says: bytes, server: NameServer, refused: list[float]
) -> None:
    with socket.create_connection(("localhost", server.port), 10) as stranger:
        stranger.sendall(says[:30])
        assert hangs_up(stranger)
        assert wait_until(lambda: len(refused) == 1)


def test_of_a_greeting_no_more_than_it_may_be_is_kept() -> None:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    theirs.sendall(greeting(4096))
    connection.take_in()
    with pytest.raises(ValueError, match="too much"):
        connection.whole(MOST_GREETING)
    assert connection.whole(2 * MOST_GREETING) is not None
    connection.close()
    theirs.close()


# ------------------------------------------------------------------------------------------ what was overheard
def overheard(port: int, act: Callable[[int], object]) -> list[bytes]:
    """What is said to this port while `act` talks to it by another one, in the chunks in which it was said."""
    chunks: list[bytes] = []

    def forward(source: socket.socket, target: socket.socket, heard: list[bytes]) -> None:
        try:
            while chunk := source.recv(65536):
                heard.append(chunk)
                target.sendall(chunk)
        except OSError:
            pass

    with (
        socket.create_server(("localhost", 0)) as ear,
        socket.create_connection(("localhost", port), 10) as inside,
        ExitStack() as stack,
    ):

        def listen() -> None:
            outside, _ = ear.accept()
            stack.callback(outside.close)
            threading.Thread(target=forward, args=(inside, outside, []), daemon=True).start()
            forward(outside, inside, chunks)

        threading.Thread(target=listen, daemon=True).start()
        act(ear.getsockname()[1])
    return chunks


def repeat(port: int, chunks: list[bytes]) -> bytes:
    """Says it again, waiting for an answer after each, and returns all answers."""
    heard = b""
    with socket.create_connection(("localhost", port), 10) as stranger:
        stranger.settimeout(10)
        for chunk in chunks:
            stranger.sendall(chunk)
            try:
                heard += stranger.recv(65536)
            except ConnectionError:
                break
    return heard


def test_a_name_that_a_stranger_enters_again_stays_as_it_is(server: NameServer, refused: list[float]) -> None:
    said = overheard(server.port, lambda port: Directory("localhost", port, KEY).register("buyer0", OLD_URI))
    directory = Directory("localhost", server.port, KEY)
    assert directory.lookup("buyer0") == OLD_URI
    directory.register("buyer0", URI)
    assert len(said) == 2
    assert repeat(server.port, said)
    assert wait_until(lambda: len(refused) == 1)
    assert directory.lookup("buyer0") == URI


def test_a_delivery_that_a_stranger_makes_again_is_not_taken() -> None:
    taken: list[bytes] = []
    refused: list[int] = []
    mailbox = Mailbox(HERE, "seller1", KEY, lambda: refused.append(1))
    uri = Pyro4.URI(mailbox.uri)
    threads = threading.Event()

    def serve() -> None:
        while not threads.is_set():
            taken.extend(arrival.data for arrival in mailbox.wait(0.05))
        mailbox.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()

    def deliver(port: int) -> None:
        sender = Sender(f"PYRO:seller1@localhost:{port}", KEY)
        sender.deliver(b"one")
        assert wait_until(lambda: taken == [b"one"])

    said = overheard(uri.port, deliver)
    repeat(uri.port, [said[0], b"".join(said[1:])])
    repeat(uri.port, [b"".join(said)])
    assert wait_until(lambda: len(refused) == 2)
    assert taken == [b"one"]
    threads.set()
    server.join(10)


# ------------------------------------------------------------------------------------------- Pyro4's own clients
def a_guest(server: NameServer) -> Pyro4.Proxy:
    proxy = Pyro4.Proxy(f"PYRO:Pyro.NameServer@localhost:{server.port}")
    proxy._pyroHmacKey = KEY
    proxy._pyroSerializer = "serpent"
    return proxy


def test_pyro4s_own_clients_look_and_enter_nothing(server: NameServer) -> None:
    Directory("localhost", server.port, KEY).register("buyer0", URI)
    with a_guest(server) as proxy:
        assert proxy.list() == {"buyer0.mailbox": URI}
        for act, *arguments in (
            (proxy.register, "buyer0.mailbox", OLD_URI),
            (proxy.remove, "buyer0.mailbox"),
            (proxy.set_metadata, "buyer0.mailbox", {"mine"}),
        ):
            with pytest.raises(PermissionError):
                act(*arguments)
        assert str(proxy.lookup("buyer0.mailbox")) == URI


def test_guests_hold_a_limited_number_of_places_and_no_places_of_others(server: NameServer) -> None:
    with ExitStack() as stack:
        guests = [stack.enter_context(a_guest(server)) for _ in range(MOST_GUESTS + 1)]
        for guest in guests:
            guest.ping()
        with pytest.raises(Pyro4.errors.ConnectionClosedError):
            guests[0].ping()
        guests[-1].ping()
        Directory("localhost", server.port, KEY).register("buyer0", URI)
