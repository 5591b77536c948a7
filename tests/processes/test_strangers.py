"""Whoever has no key, or talks rubbish, is refused and counted, and the market goes on (requirement J5)."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import Pyro4
import Pyro4.message
import pytest

from bazaar.control.launcher import Bazaar
from bazaar.protocol import events
from bazaar.protocol.goods import NAME_SERVER, WAREHOUSE, Lot, Order, is_seller
from bazaar.protocol.messages import Ask, Buy, Claim, Deposit, Election, Purchased, Sold, WhoTrades
from bazaar.protocol.requests import Ship, Stock
from bazaar.protocol.wire import Letter, encode
from bazaar.runtime.history import HistoryFile
from bazaar.runtime.key import read_key
from bazaar.runtime.naming import Directory
from bazaar.runtime.transport import Sender, Unreachable
from tests.builders import a_delivery
from tests.processes.command import listening, processes_of, sockets_of
from tests.processes.market import PATIENCE_S, left_behind, quick

WRONG_KEY = b"0" * 64
Market = tuple[Bazaar, Directory, bytes]


@pytest.fixture(params=["none", "weak"])
def market(request: pytest.FixtureRequest, tmp_path: Path, mongo_uri: str) -> Iterator[Market]:
    """A bazaar that trades; at the end of the test it still does, and is judged."""
    settings = quick(peers=5, traders=2, cache=request.param, seed=8, restock_count=1000, think_s=0.005)
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 20, PATIENCE_S)
        key = read_key(bazaar.out / "key")
        yield bazaar, Directory("localhost", bazaar.processes[NAME_SERVER].said.port, key), key
        goes_on(bazaar)
        bazaar.finish()
        run = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())
    run.assert_held()
    for name in bazaar.processes:
        assert (bazaar.out / name / "stderr.txt").read_text() == ""


def goes_on(bazaar: Bazaar) -> None:
    """Asserts that the market trades."""
    before = bazaar.progress.answered
    assert bazaar.wait_until(lambda: bazaar.progress.answered > before + 50, PATIENCE_S), "the market stands still"


def addresses(bazaar: Bazaar, directory: Directory) -> dict[str, tuple[str, int]]:
    """A trader, a buyer, the warehouse and the name server: all kinds of processes that listen."""
    names = (bazaar.plan.names[-1], bazaar.plan.names[0], WAREHOUSE)
    uris = {name: Pyro4.URI(directory.lookup(name)) for name in names}
    found = {name: (uri.host, uri.port) for name, uri in uris.items()}
    found[NAME_SERVER] = ("localhost", bazaar.processes[NAME_SERVER].said.port)
    return found


def connect_message(key: bytes, size: int = 0) -> bytes:
    """What a Pyro4 client says first, signed with this key."""
    message = Pyro4.message.Message(Pyro4.message.MSG_CONNECT, b"x" * size, 1, 0, 0, hmac_key=key)
    return bytes(message.to_bytes())


def announce(size: int) -> bytes:
    """A greeting that says it is so large, whatever follows."""
    greeting = connect_message(WRONG_KEY)
    return greeting[:12] + struct.pack("!i", size) + greeting[16:]


RUBBISH: dict[str, Callable[[], bytes]] = {
    "nothing at all": lambda: b"",
    "one byte": lambda: b"P",
    "text": lambda: b"GET / HTTP/1.1\r\nHost: bazaar\r\n\r\n",
    "zeros": lambda: bytes(5000),
    "noise": lambda: bytes((i * i * 31 + 7) % 251 for i in range(70_000)),
    "a truncated greeting": lambda: connect_message(WRONG_KEY, 100)[:60],
    "half a header": lambda: connect_message(WRONG_KEY)[:10],
    "a greeting with a wrong key": lambda: connect_message(WRONG_KEY, 100),
    "a greeting of another version": lambda: b"PYRO" + struct.pack("!H", 7) + connect_message(WRONG_KEY)[6:],
    "an oversized greeting": lambda: announce(5 * 1024 * 1024) + bytes(5 * 1024 * 1024),
    "an announcement of two gigabytes": lambda: announce(2**31 - 1),
    "an announcement of less than nothing": lambda: announce(-1),
}


def shout(address: tuple[str, int], data: bytes) -> bytes:
    """Says this, and hears the other side out until it hangs up (it must, in time)."""
    heard = b""
    with socket.create_connection(address, 10) as stranger:
        stranger.settimeout(20)
        try:
            stranger.sendall(data)
            while more := stranger.recv(65536):
                heard += more
        except ConnectionError:
            pass  # hung up on
    return heard


def test_rubbish_is_refused_and_counted(market: Market) -> None:
    bazaar, directory, _ = market
    for name, address in addresses(bazaar, directory).items():
        if name != NAME_SERVER:
            rubbish_is_counted(bazaar, name, address)


def test_rubbish_to_the_name_server_is_refused_and_counted(market: Market) -> None:
    bazaar, directory, _ = market
    rubbish_is_counted(bazaar, NAME_SERVER, addresses(bazaar, directory)[NAME_SERVER])
    assert directory.lookup(WAREHOUSE)


def rubbish_is_counted(bazaar: Bazaar, name: str, address: tuple[str, int]) -> None:
    before = bazaar.processes[name].said.refused
    with ThreadPoolExecutor(len(RUBBISH)) as strangers:  # some are waited for until the time-out of a greeting
        list(strangers.map(lambda rubbish: shout(address, rubbish()), RUBBISH.values()))
    goes_on(bazaar)

    def counted() -> bool:
        return bazaar.processes[name].said.refused >= before + len(RUBBISH)

    all_were = bazaar.wait_until(counted, 20)
    assert all_were, f"{name} counted {bazaar.processes[name].said.refused - before} of {len(RUBBISH)}"


def test_strangers_who_say_nothing_hold_up_nobody(market: Market) -> None:
    """More than there are places for strangers, on every process at once; some stop in the middle of a sentence."""
    bazaar, directory, _ = market
    with ExitStack() as silent:
        for address in addresses(bazaar, directory).values():
            for number in range(80):
                stranger = silent.enter_context(socket.create_connection(address, 10))
                if number % 2:
                    stranger.send(connect_message(WRONG_KEY)[:number])
        goes_on(bazaar)


def test_large_greetings_are_not_kept(market: Market) -> None:
    """64 of four megabytes each, all but the last byte of them, on every process."""
    bazaar, directory, _ = market
    for name, address in addresses(bazaar, directory).items():
        before = memory_kb(bazaar, name)
        with ThreadPoolExecutor(16) as strangers:
            large = connect_message(WRONG_KEY, 4 * 1024 * 1024 - 1000)[:-1]
            list(strangers.map(lambda _, address=address, large=large: shout(address, large), range(64)))
        assert memory_kb(bazaar, name) < before + 16 * 1024


def memory_kb(bazaar: Bazaar, name: str) -> int:
    """What this process holds of the machine's memory."""
    status = Path(f"/proc/{bazaar.processes[name].pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_without_the_key_one_can_neither_look_up_nor_deliver_nor_ask(market: Market) -> None:
    bazaar, directory, key = market
    trader = bazaar.plan.names[-1]
    port = bazaar.processes[NAME_SERVER].said.port
    for wrong in (WRONG_KEY, b"", key[:-1], key + b"0"):
        stranger = Directory("localhost", port, wrong)
        with pytest.raises(Unreachable):
            stranger.lookup(trader)
        with pytest.raises(Unreachable):
            stranger.register(trader, "PYRO:mine@localhost:1")
        for name in (trader, WAREHOUSE):
            with pytest.raises(Unreachable):
                Sender(directory.lookup(name), wrong)
    for uri in (directory.lookup(trader), f"PYRO:{Pyro4.constants.NAMESERVER_NAME}@localhost:{port}"):
        with Pyro4.Proxy(uri) as proxy:
            proxy._pyroTimeout = 10
            with pytest.raises(Pyro4.errors.CommunicationError):
                proxy._pyroBind()
    assert directory.lookup(trader) != "PYRO:mine@localhost:1"


def payloads(target: str, somebody: str) -> dict[str, bytes]:
    """What only a holder of the key can say, and still makes no sense."""

    def from_somebody(*letters: Letter, source: str = "buyer0", to: str = target) -> bytes:
        return encode(a_delivery(source, to, *letters, life=time.time_ns()))

    buy = Letter(5, Buy("buyer0-77777", "fish", False))
    good = from_somebody(buy)
    whole: dict[str, bytes] = {
        "nothing": b"",
        "rubbish": b"\xc1\xff\x00rubbish",
        "text": b"hello",
        "truncated": good[:-3],
        "with something behind it": good + b"\x00",
        "nested beyond measure": b"\x91" * 100_000,
        "an unknown message": good.replace(b"Buy", b"Bye"),
        "an unknown item": good.replace(b"fish", b"gold"),
        "a field too few": good.replace(b"\x94\xa3Buy", b"\x93\xa3Buy"),
        "large": b"\xc6" + struct.pack("!I", 1_000_000) + bytes(1_000_000),
        "for somebody else": from_somebody(buy, to="buyer99"),
        "from nobody": from_somebody(buy, source="nobody"),
        "from a peer that is not here": from_somebody(buy, source="buyer99"),
        "a deposit of less than nothing": from_somebody(Letter(5, Deposit("seller1-d7", "fish", -50, 500))),
        "a deposit that costs less than nothing": from_somebody(Letter(5, Deposit("seller1-d7", "fish", 5, -700))),
        "an endless name": from_somebody(Letter(5, Buy("buyer0-" + "7" * 100_000, "fish", False))),
        "another's order": from_somebody(Letter(5, Buy("buyer3-7", "fish", False)), source=somebody),
        "a clock from the end of time": from_somebody(Letter(2**62, WhoTrades()), source=somebody),
        "a clock far ahead": from_somebody(Letter(2**50, WhoTrades()), source=somebody),
        "a sale to nobody": from_somebody(Letter(5, Sold("buyer99-7", "fish", "buyer99", 500, 1)), source=somebody),
        "a sale beyond all prices": from_somebody(
            Letter(5, Sold("buyer0-7", "fish", "buyer0", 10**6, 1)), source=somebody
        ),
    }
    return whole


def test_rubbish_from_one_who_has_the_key(market: Market) -> None:
    bazaar, directory, key = market
    dead = kill_one(bazaar)
    for name in (bazaar.plan.names[-1], next(name for name in bazaar.plan.names if name != dead), WAREHOUSE):
        sender = Sender(directory.lookup(name), key)
        for what, data in payloads(name, dead).items():
            before = bazaar.processes[name].said.refused
            sender.deliver(data)

            def counted(name: str = name, before: int = before) -> bool:
                return bazaar.processes[name].said.refused > before

            assert bazaar.wait_until(counted, 20), f"{name} did not count what is {what}"
        sender.close()
    goes_on(bazaar)


def test_too_much_from_one_who_has_the_key(market: Market) -> None:
    """Beyond the wire's limit: the connection ends, the process does not."""
    bazaar, directory, key = market
    for name in (bazaar.plan.names[-1], WAREHOUSE):
        with pytest.raises(Unreachable):
            Sender(directory.lookup(name), key).deliver(bytes(6 * 1024 * 1024))
    goes_on(bazaar)


def test_what_is_out_of_place_changes_nothing(market: Market) -> None:
    """Well-formed and signed, but nothing for this role, or from one without a seat. It comes in a dead peer's name: the
    living would be disturbed by a double."""
    bazaar, directory, key = market
    buyer = next(name for name in bazaar.plan.names[:3] if not is_seller(name))
    seller = kill_one(bazaar)
    before = {name: bazaar.processes[name].said.refused for name in (WAREHOUSE, buyer)}
    lot = Lot(f"{seller}-d99", seller, "fish", 1, 1, 10**6)
    order = Order(f"{buyer}-4711", buyer, "fish", 1)
    for name, bodies in {
        WAREHOUSE: (
            Election(0),
            Buy(order.order_id, "fish", False),
            Claim(0, 0),
            Ask(1, (Stock(lot), Ship(order, None))),
        ),
        buyer: (Deposit("x", "fish", 1, 1), Buy("x", "fish", False), Purchased("no such order", "fish", "x", 1)),
    }.items():
        letters = (Letter(3, body) for body in bodies)
        delivery = a_delivery(seller, name, *letters, life=time.time_ns())
        Sender(directory.lookup(name), key).deliver(encode(delivery))
    goes_on(bazaar)
    for name, refused in {WAREHOUSE: 2, buyer: 3}.items():  # from a trader that is none the warehouse fences the rest
        assert bazaar.processes[name].said.refused == before[name] + refused
    for name in (WAREHOUSE, buyer):
        assert not list(HistoryFile(bazaar.out / name).only(events.Unexpected))


def kill_one(bazaar: Bazaar) -> str:
    """Kills a seller that is no trader: who speaks in its name disturbs nobody who lives."""
    seller = next(name for name in bazaar.plan.names[:3] if is_seller(name))
    bazaar.processes[seller].signal(signal.SIGKILL)
    assert bazaar.wait_until(lambda: seller in bazaar.progress.killed, PATIENCE_S)
    return seller


def test_everything_listens_on_loopback_only(market: Market) -> None:
    bazaar, directory, _ = market
    listeners = listening()
    of_run = {pid: sockets_of(pid) & set(listeners) for pid in processes_of(bazaar.out)}
    assert sum(map(len, of_run.values())) >= 7  # five peers, the warehouse, the name server
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert {listeners[inode] for inodes in of_run.values() for inode in inodes} <= loopback
    for name in bazaar.plan.names:
        assert urlsplit(directory.lookup(name).replace("PYRO:", "pyro://")).hostname in ("localhost", "127.0.0.1")
