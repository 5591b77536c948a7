"""Deliveries over the loopback, with real Pyro4."""

from __future__ import annotations

import contextlib
import hmac
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from Pyro4.constants import PROTOCOL_VERSION
from Pyro4.message import FLAGS_ONEWAY, MSG_INVOKE, MSG_PING, Message
from Pyro4.util import MarshalSerializer

from bazaar.runtime.acceptor import MOST_BYTES
from bazaar.runtime.transport import Mailbox, Sender, Unreachable
from tests.builders import HERE
from tests.waiting import wait_until

KEY = b"the key of this run"
MARSHAL = MarshalSerializer()


class Receiver:
    """A mailbox, and the thread that waits at it."""

    def __init__(self) -> None:
        self.refused = threading.Semaphore(0)
        self.mailbox = Mailbox(HERE, "seller1", KEY, self.refused.release)
        self.taken: list[bytes] = []
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends:
            self.taken += [arrival.data for arrival in self.mailbox.wait(None)]

    def end(self) -> None:
        self._ends = True
        self.mailbox.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.mailbox.close()

    def takes(self, *deliveries: bytes) -> bool:
        return wait_until(lambda: len(self.taken) >= len(deliveries)) and self.taken == list(deliveries)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.end()


@pytest.fixture
def sender(receiver: Receiver) -> Iterator[Sender]:
    sender = Sender(receiver.mailbox.uri, KEY)
    yield sender
    sender.close()


def call(data: object, method: str = "deliver") -> bytes:
    return bytes(MARSHAL.dumpsCall("seller1", method, (data,), {}))


def on_the_wire(sender: Sender, *calls: bytes) -> bytes:
    """What this sender would send for these calls next."""
    return b"".join(signed(sender._key, number, call) for number, call in enumerate(calls, start=sender._made))


def signed(key: bytes, number: int, call: bytes) -> bytes:
    """A one-way call as the bazaar's own processes sign it."""
    message = Message(MSG_INVOKE, call, MARSHAL.serializer_id, FLAGS_ONEWAY, 0, hmac_key=b"any").to_bytes()
    mac = hmac.digest(key, struct.pack("!Q", number) + call, "sha1")
    return bytes(message[:30] + mac + message[50:])


def hung_up_on(sender: Sender) -> bool:
    """Whether the receiver ends the connection."""
    sender.socket.settimeout(10)
    return sender.socket.recv(1) == b""


def test_what_is_delivered_arrives_in_its_order(receiver: Receiver, sender: Sender) -> None:
    deliveries = [b"%d" % number for number in range(1000)]
    for delivery in deliveries:
        sender.deliver(delivery)
    assert receiver.takes(*deliveries)


def test_several_messages_in_one_breath_are_all_taken(receiver: Receiver, sender: Sender) -> None:
    sender.socket.sendall(on_the_wire(sender, call(b"one"), call(b"another"), call(b"a third"))[:-10])
    assert receiver.takes(b"one", b"another")


def test_a_message_that_comes_in_pieces_holds_up_nobody_and_is_taken_when_it_is_whole(
    receiver: Receiver, sender: Sender
) -> None:
    size = len(on_the_wire(sender, call(b"in pieces")))
    for end in (1, 30, size - 1):  # in the header, in the signature, in the data
        message = on_the_wire(sender, call(b"in pieces"))
        sender._made += 1
        sender.socket.sendall(message[:end])
        other = Sender(receiver.mailbox.uri, KEY)
        other.deliver(b"meanwhile")
        assert receiver.takes(b"meanwhile")
        other.close()
        sender.socket.sendall(message[end:])
        assert receiver.takes(b"meanwhile", b"in pieces")
        receiver.taken.clear()


def test_a_large_delivery_arrives(receiver: Receiver, sender: Sender) -> None:
    large = bytes(MOST_BYTES - 1000)
    sender.deliver(large)
    assert receiver.takes(large)


@pytest.mark.parametrize(
    "say",
    [
        lambda sender: signed(b"another key", sender._made, call(b"data")),
        lambda sender: signed(KEY, sender._made, call(b"data")),
        lambda sender: signed(sender._key, sender._made, b"not marshalled"),
        lambda sender: b"rubbish, and more than a header of it",
        lambda sender: Message(MSG_INVOKE, bytes(10), MARSHAL.serializer_id, FLAGS_ONEWAY, 0).to_bytes(),
        lambda sender: Message(MSG_PING, b"ping", MARSHAL.serializer_id, 0, 7, hmac_key=sender._key).to_bytes(),
        lambda sender: signed(sender._key, sender._made - 1, call(b"before")),
        lambda sender: signed(sender._key, sender._made + 1, call(b"after next")),
    ],
    ids=["another key", "the run's key", "no call", "rubbish", "no signature", "a question", "twice", "one left out"],
)
def test_what_is_no_call_of_ours_ends_the_connection_and_nothing_else(
    say: Callable[[Sender], bytes], receiver: Receiver, sender: Sender
) -> None:
    sender.deliver(b"before")
    sender.socket.sendall(say(sender))
    assert hung_up_on(sender)
    other = Sender(receiver.mailbox.uri, KEY)
    other.deliver(b"after")
    assert receiver.takes(b"before", b"after")
    other.close()


def test_an_announcement_of_too_much_ends_the_connection_before_it_comes(receiver: Receiver, sender: Sender) -> None:
    fields = (PROTOCOL_VERSION, MSG_INVOKE, FLAGS_ONEWAY, 0, MOST_BYTES + 1, MARSHAL.serializer_id, 0)
    checksum = (sum(fields) + Message.checksum_magic) & 0xFFFF
    sender.socket.sendall(struct.pack(Message.header_format, b"PYRO", *fields, 0, checksum))
    assert hung_up_on(sender)


def test_too_much_is_not_sent(sender: Sender) -> None:
    with pytest.raises(Unreachable):
        sender.deliver(bytes(MOST_BYTES + 1))


@pytest.mark.parametrize(("method", "data"), [("withdraw", b"data"), ("deliver", "no bytes")])
def test_what_is_no_delivery_is_not_taken(method: str, data: object, receiver: Receiver, sender: Sender) -> None:
    sender.socket.sendall(on_the_wire(sender, call(data, method)))
    sender._made += 1
    sender.deliver(b"after")
    assert receiver.takes(b"after")


def test_waiting_ends_after_its_time(receiver: Receiver) -> None:
    alone = Mailbox(HERE, "seller2", KEY, receiver.refused.release)
    assert alone.wait(0.01) == []
    alone.close()


def test_who_has_another_key_is_refused_and_counted(receiver: Receiver) -> None:
    with pytest.raises(Unreachable):
        Sender(receiver.mailbox.uri, b"another key")
    assert receiver.refused.acquire(timeout=10)


def test_whoever_connects_before_it_looks_up_finds_room() -> None:
    mailbox = Mailbox(HERE, "seller1", KEY, lambda: None)
    host, port = mailbox.uri.rsplit("@", 1)[1].split(":")
    with contextlib.ExitStack() as stack:
        stack.callback(mailbox.close)
        for _ in range(120):  # Pyro4 listens for 100; the next would be let in a second later, if anybody looks up then
            stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
