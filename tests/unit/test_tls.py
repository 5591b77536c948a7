"""Who may speak when a run does TLS: whoever its authority has signed for, and nobody in another's name (requirement J5)."""

from __future__ import annotations

import importlib.util
import select
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import Pyro4
import pytest

from bazaar.control.authority import NEEDED, write_papers
from bazaar.core.endpoint import Endpoint
from bazaar.core.routing.router import Terms
from bazaar.core.turn import Turn
from bazaar.protocol.former_life import FIRST_LIFE
from bazaar.protocol.frames import Bundle, Hello
from bazaar.protocol.goods import NAME_SERVER
from bazaar.protocol.messages import Heartbeat
from bazaar.protocol.settings import UsageError
from bazaar.protocol.wire import Letter, encode
from bazaar.runtime.key import AUTHORITY, PAPERS, VISITOR
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.tls import Papers, papers_in
from bazaar.runtime.transport import Arrival, Mailbox, Sender, Unreachable, open_door
from peers.peer import Peer
from tests.builders import HERE, a_delivery, a_plan
from tests.needs import need
from tests.unit.conftest import serving
from tests.unit.test_door import Counter
from tests.waiting import wait_until

KEY = b"the key of this run"
NAMES = ("seller1", "buyer0", "buyer2", NAME_SERVER, VISITOR)


@pytest.fixture(scope="module", autouse=True)
def _library() -> None:
    need(importlib.util.find_spec("cryptography"), "library cryptography", "pip install -r requirements-tls.txt")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_papers(folder / PAPERS, NAMES, ["localhost", "127.0.0.1"])
    return folder


@pytest.fixture(scope="module")
def papers(run_folder: Path) -> Callable[[str], Papers]:
    return lambda name: papers_in(run_folder, name)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Papers]:
    """The papers of another run."""
    folder = tmp_path_factory.mktemp("another_run")
    write_papers(folder / PAPERS, NAMES, ["localhost"])
    return lambda name: papers_in(folder, name)


class Receiver:
    """A mailbox with TLS, and the thread that waits at it."""

    def __init__(self, papers: Papers) -> None:
        self.refused = threading.Semaphore(0)
        self.mailbox = Mailbox(HERE, "seller1", KEY, self.refused.release, papers)
        self.taken: list[Arrival] = []
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends:
            self.taken += self.mailbox.wait(None)

    @property
    def port(self) -> int:
        return int(self.mailbox.uri.rpartition(":")[2])

    def end(self) -> None:
        self._ends = True
        self.mailbox.wake()
        self._thread.join(10)
        self.mailbox.close()


@pytest.fixture
def receiver(papers: Callable[[str], Papers]) -> Iterator[Receiver]:
    receiver = Receiver(papers("seller1"))
    yield receiver
    receiver.end()


# ---------------------------------------------------------------------------------------------- papers
def test_only_their_owner_can_read_the_keys_and_the_authority_leaves_none(run_folder: Path) -> None:
    files = {file.name: file for file in (run_folder / PAPERS).iterdir()}
    assert files.keys() == {AUTHORITY, *(f"{name}.pem" for name in NAMES)}
    for name in NAMES:
        assert stat.S_IMODE(files[f"{name}.pem"].stat().st_mode) == 0o600
    assert b"PRIVATE KEY" not in files[AUTHORITY].read_bytes()


def test_without_the_library_it_is_one_line_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UsageError, match="requirements-tls") as refusal:
        write_papers(tmp_path / PAPERS, NAMES, [])
    assert str(refusal.value) == NEEDED
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_process_without_papers_says_which_it_needs(content: bytes | None, tmp_path: Path, run_folder: Path) -> None:
    (tmp_path / PAPERS).mkdir()
    (tmp_path / PAPERS / AUTHORITY).write_bytes((run_folder / PAPERS / AUTHORITY).read_bytes())
    if content is not None:
        (tmp_path / PAPERS / "buyer7.pem").write_bytes(content)
    with pytest.raises(UsageError, match=r"buyer7\.pem"):
        papers_in(tmp_path, "buyer7")


# ------------------------------------------------------------------------------------------ deliveries
def test_deliveries_come_with_the_name_on_the_certificate(receiver: Receiver, papers: Callable[[str], Papers]) -> None:
    sender = Sender(receiver.mailbox.uri, KEY, papers("buyer0"))
    large = bytes(range(256)) * 4000  # of many records, of which OpenSSL decrypts several at a time
    for data in (b"one", large, b"two"):
        sender.deliver(data)
    wait_until(lambda: len(receiver.taken) == 3)
    assert receiver.taken == [Arrival(data, "buyer0") for data in (b"one", large, b"two")]
    assert sender.clear
    sender.close()
    assert not receiver.refused.acquire(blocking=False)


def test_the_receiver_sends_nothing_so_that_input_still_means_the_end(
    receiver: Receiver, papers: Callable[[str], Papers]
) -> None:
    """TLS 1.3 sends tickets after the handshake: they come before the answer to the greeting, and are read with it."""
    sender = Sender(receiver.mailbox.uri, KEY, papers("buyer0"))
    sender.deliver(b"a word")
    wait_until(lambda: receiver.taken)
    assert select.select([sender.socket], [], [], 0) == ([], [], [])
    sender.close()


def test_a_certificate_of_another_run_is_refused_on_either_side(
    receiver: Receiver, papers: Callable[[str], Papers], others: Callable[[str], Papers]
) -> None:
    with pytest.raises(Unreachable, match="certificate verify failed"):
        Sender(receiver.mailbox.uri, KEY, others("buyer0"))
    assert receiver.refused.acquire(timeout=10)
    impostor = Receiver(others("seller1"))
    with pytest.raises(Unreachable, match="certificate verify failed"):
        Sender(impostor.mailbox.uri, KEY, papers("buyer0"))
    impostor.end()


def test_whoever_shows_no_certificate_is_refused(receiver: Receiver, run_folder: Path) -> None:
    with pytest.raises(Unreachable):
        Sender(receiver.mailbox.uri, KEY)  # no TLS at all, with the right key
    assert receiver.refused.acquire(timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(run_folder / PAPERS / AUTHORITY)
    with closing(socket.create_connection(("localhost", receiver.port), 5)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain).recv(1)
    assert receiver.refused.acquire(timeout=10)
    assert receiver.taken == []


def test_older_tls_is_not_spoken(receiver: Receiver, run_folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(run_folder / PAPERS / AUTHORITY)
    context.load_cert_chain(run_folder / PAPERS / "buyer0.pem")
    with closing(socket.create_connection(("localhost", receiver.port), 5)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


def test_a_certificate_alone_does_not_do(receiver: Receiver, papers: Callable[[str], Papers]) -> None:
    with pytest.raises(Unreachable):
        Sender(receiver.mailbox.uri, b"another key", papers("buyer0"))
    assert receiver.refused.acquire(timeout=10)


def test_another_process_at_the_address_is_noticed(receiver: Receiver, papers: Callable[[str], Papers]) -> None:
    """It may have got the port of a process that has died."""
    elsewhere = receiver.mailbox.uri.replace("seller1", "buyer2")
    with pytest.raises(Unreachable, match="looked for buyer2, and found seller1"):
        Sender(elsewhere, KEY, papers("buyer0"))


@pytest.mark.parametrize("routing", ["direct", "neighbours"])
def test_a_delivery_in_anothers_name_is_refused(routing: str) -> None:
    plan = a_plan(peers=8, traders=2, routing=routing)
    me, honest, liar = plan.names[0], plan.names[1], plan.names[2]
    actor = Peer(me, plan)
    endpoint = Endpoint(actor, plan.names, FIRST_LIFE, 10.0, Terms.of(plan))
    letter = a_delivery(honest, me, Letter(1, Heartbeat()))
    data = encode(letter if routing == "direct" else Bundle(honest, (Hello(1, 0),)))
    turn = Turn(0.0, actor.clock)
    assert endpoint.take(turn, data, liar) == 1
    assert endpoint.take(turn, data, honest) == 0
    assert endpoint.take(turn, data) == 0


# --------------------------------------------------------------------------------- name server and door
@pytest.fixture
def names(papers: Callable[[str], Papers]) -> Iterator[NameServer]:
    with serving(NameServer(HERE, 0, KEY, lambda: None, papers(NAME_SERVER))) as server:
        yield server


def test_a_process_enters_its_own_name_only(names: NameServer, papers: Callable[[str], Papers]) -> None:
    directory = Directory("localhost", names.port, KEY, papers("buyer0"))
    directory.register("buyer0", "PYRO:buyer0@localhost:1")
    directory.announce("buyer0", "PYRO:buyer0-door@localhost:2")
    assert directory.lookup("buyer0") == "PYRO:buyer0@localhost:1"
    for enter in (directory.register, directory.announce):
        with pytest.raises(Exception, match="buyer0 enters no name but its own"):
            enter("buyer2", "PYRO:buyer2@localhost:3")
    with pytest.raises(Unreachable):
        directory.lookup("buyer2")


def test_who_takes_the_name_servers_place_is_noticed(papers: Callable[[str], Papers]) -> None:
    with serving(NameServer(HERE, 0, KEY, lambda: None, papers("buyer2"))) as server:
        directory = Directory("localhost", server.port, KEY, papers("buyer0"))
        with pytest.raises(Unreachable, match="looked for nameserver, and found buyer2"):
            directory.lookup("seller1")


def test_pyro4s_own_clients_come_with_the_visitors_certificate(
    names: NameServer, papers: Callable[[str], Papers], run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door(HERE, "seller1", Counter(), KEY, lambda: None, papers("seller1"))
    Directory("localhost", names.port, KEY, papers("seller1")).announce("seller1", door.uri)
    folder = run_folder / PAPERS
    for setting, value in {
        "SSL": True,
        "SSL_CACERTS": str(folder / AUTHORITY),
        "SSL_CLIENTCERT": str(folder / f"{VISITOR}.pem"),
        "SERIALIZER": "serpent",
        "NS_HOST": "localhost",
        "NS_PORT": names.port,
    }.items():
        monkeypatch.setattr(Pyro4.config, setting, value)
    with Pyro4.locateNS("localhost", names.port, hmac_key=KEY) as found:
        uri = found.lookup("seller1")
    with Pyro4.Proxy(uri) as visitor:
        visitor._pyroHmacKey = KEY
        assert [visitor.count(1), visitor.count(2)] == [[1], [1, 2]]
    door.close()
