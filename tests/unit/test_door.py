"""A door for Pyro4's own clients: who comes in, how often, and that nobody who waits holds up another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import Pyro4
import pytest

from bazaar.runtime.door import Door, exposed
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.transport import open_door
from tests.builders import HERE
from tests.unit.conftest import serving
from tests.unit.test_acceptor import overheard, repeat
from tests.waiting import wait_until

KEY = b"the key of this run"


@exposed
class Counter:
    """Somebody behind a door."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.goes_on = threading.Event()
        self._counted: list[int] = []

    def count(self, number: int) -> list[int]:
        """Refuses what is no number."""
        if not isinstance(number, int):
            raise ValueError(f"{number!r} is no number")
        with self._lock:
            self._counted.append(number)
        return self._counted

    def wait(self) -> bool:
        """For as long as the test likes."""
        return self.goes_on.wait(20)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def refused() -> list[None]:
    """One for each stranger that was refused."""
    return []


@pytest.fixture
def door(counter: Counter, refused: list[None]) -> Iterator[Door]:
    door = open_door(HERE, "buyer7", counter, KEY, lambda: refused.append(None))
    yield door
    counter.goes_on.set()
    door.close()


@pytest.fixture
def server(door: Door) -> Iterator[NameServer]:
    with serving(NameServer(HERE, 0, KEY, lambda: None)) as server:
        Directory("localhost", server.port, KEY).announce("buyer7", door.uri)
        yield server


def by_name(server: NameServer, serializer: str = "serpent") -> Pyro4.Proxy:
    proxy = Pyro4.Proxy(f"PYRONAME:buyer7@localhost:{server.port}")
    proxy._pyroHmacKey, proxy._pyroSerializer = KEY, serializer
    return proxy


def looked_up(server: NameServer) -> Pyro4.URI:
    with Pyro4.Proxy(f"PYRO:Pyro.NameServer@localhost:{server.port}") as names:
        names._pyroHmacKey, names._pyroSerializer = KEY, "serpent"
        return names.lookup("buyer7")


def at(uri: Pyro4.URI | str, key: bytes = KEY) -> Pyro4.Proxy:
    proxy = Pyro4.Proxy(uri)
    proxy._pyroHmacKey, proxy._pyroSerializer = key, "serpent"
    return proxy


@pytest.mark.parametrize("serializer", ["serpent", "marshal"])
def test_a_client_that_looks_the_name_up_is_answered_also_after_it_has_hung_up(
    server: NameServer, serializer: str
) -> None:
    with by_name(server, serializer) as proxy:
        assert proxy.count(1) == [1]
        assert proxy.count(2) == [1, 2]
        proxy._pyroRelease()
        assert proxy.count(3) == [1, 2, 3]


def test_a_refusal_comes_as_it_was_raised_and_the_connection_goes_on(server: NameServer) -> None:
    with by_name(server) as proxy:
        with pytest.raises(ValueError, match="'one' is no number"):
            proxy.count("one")
        with pytest.raises(AttributeError):
            proxy._counted_by("me")
        assert proxy.count(1) == [1]


def test_who_waits_holds_up_nobody(server: NameServer, counter: Counter) -> None:
    with by_name(server) as patient, by_name(server) as other, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.wait)
        assert other.count(1) == [1]
        counter.goes_on.set()
        assert waiting.result(20)


def test_each_look_up_lets_in_once(server: NameServer) -> None:
    uri = looked_up(server)
    with at(uri) as first, at(uri) as second:
        assert first.count(1) == [1]
        with pytest.raises(Pyro4.errors.CommunicationError, match=r"once: come by Pyro4.Proxy\('PYRONAME:buyer7'\)"):
            second.count(2)
        first._pyroRelease()
        with pytest.raises(Pyro4.errors.CommunicationError, match="once"):
            first.count(3)


def test_without_a_ticket_or_with_one_of_another_life_nobody_comes_in(
    server: NameServer, door: Door, counter: Counter
) -> None:
    uri = looked_up(server)
    other_life = open_door(HERE, "buyer7", counter, KEY, lambda: None)
    port = Pyro4.URI(other_life.uri).port
    for wrong in (door.uri, f"{uri.asString()[:-20]}0@{uri.location}", f"PYRO:{uri.object}@localhost:{port}"):
        with at(wrong) as proxy, pytest.raises(Pyro4.errors.CommunicationError):
            proxy.count(1)
    other_life.close()
    assert counter._counted == []


def test_what_a_stranger_says_again_is_not_done_again(
    server: NameServer, door: Door, counter: Counter, refused: list[None]
) -> None:
    uri = looked_up(server)

    def count(port: int) -> None:
        with at(f"PYRO:{uri.object}@localhost:{port}") as proxy:
            assert proxy.count(1) == [1]

    port = Pyro4.URI(door.uri).port
    said = overheard(port, count)
    assert b"each look-up" in repeat(port, said)
    repeat(port, [b"".join(said)])
    repeat(port, said[1:])
    assert wait_until(lambda: len(refused) == 3)
    assert counter._counted == [1]


def test_another_key_is_refused_and_counted(server: NameServer, door: Door, refused: list[None]) -> None:
    with at(looked_up(server), b"another key") as proxy, pytest.raises(Pyro4.errors.CommunicationError):
        proxy.count(1)
    assert wait_until(lambda: len(refused) == 1)


def test_too_much_at_once_ends_the_connection_alone(server: NameServer, counter: Counter) -> None:
    with by_name(server) as proxy:
        with pytest.raises(Pyro4.errors.CommunicationError):
            proxy.count("x" * 100_000)
        assert proxy.count(1) == [1]
