"""Deliveries over the loopback, with real Pyro4."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import Pyro4
import pytest
from Pyro4.constants import PROTOCOL_VERSION
from Pyro4.message import FLAGS_ONEWAY, MSG_INVOKE, MSG_PING, Message
from Pyro4.util import MarshalSerializer

from bazaar.rpc import MOST_BYTES, Mailbox, Post, Unreachable
from tests.waiting import wait_until

KEY = b"the key of this run"
MARSHAL = MarshalSerializer()


class Receiver:
    """A mailbox, and the thread that waits at it."""

    def __init__(self) -> None:
        self.refused = threading.Semaphore(0)
        self.mailbox = Mailbox("localhost", "seller1", KEY, self.refused.release)
        self.taken: list[bytes] = []
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ends:
            self.taken += self.mailbox.wait(None)

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
def post(receiver: Receiver) -> Iterator[Post]:
    post = Post(receiver.mailbox.uri, KEY)
    yield post
    post.close()


def on_the_wire(data: object, method: str = "deliver", flags: int = FLAGS_ONEWAY, key: bytes = KEY) -> bytes:
    """What Pyro4 sends for this call."""
    call = MARSHAL.dumpsCall("seller1", method, (data,), {})
    message: bytes = Message(MSG_INVOKE, call, MARSHAL.serializer_id, flags, 0, hmac_key=key).to_bytes()
    return message


def hung_up_on(post: Post) -> bool:
    """Whether the receiver ends the connection."""
    post.socket.settimeout(10)
    return post.socket.recv(1) == b""


def test_what_is_delivered_arrives_in_its_order(receiver: Receiver, post: Post) -> None:
    deliveries = [b"%d" % number for number in range(1000)]
    for delivery in deliveries:
        post.deliver(delivery)
    assert receiver.takes(*deliveries)


def test_any_pyro_proxy_with_the_key_can_deliver(receiver: Receiver) -> None:
    with Pyro4.Proxy(receiver.mailbox.uri) as proxy:
        proxy._pyroHmacKey = KEY
        proxy.deliver(b"one")
        proxy.deliver(b"another")
    assert receiver.takes(b"one", b"another")


def test_several_messages_in_one_breath_are_all_taken(receiver: Receiver, post: Post) -> None:
    post.socket.sendall(on_the_wire(b"one") + on_the_wire(b"another") + on_the_wire(b"a third")[:30])
    assert receiver.takes(b"one", b"another")


def test_a_message_that_comes_in_pieces_holds_up_nobody_and_is_taken_when_it_is_whole(
    receiver: Receiver, post: Post
) -> None:
    message = on_the_wire(b"in pieces")
    for end in (1, 30, len(message) - 1):  # in the header, in the signature, in the data
        post.socket.sendall(message[:end])
        other = Post(receiver.mailbox.uri, KEY)
        other.deliver(b"meanwhile")
        assert receiver.takes(b"meanwhile")
        other.close()
        post.socket.sendall(message[end:])
        assert receiver.takes(b"meanwhile", b"in pieces")
        receiver.taken.clear()


def test_a_large_delivery_arrives(receiver: Receiver, post: Post) -> None:
    large = bytes(MOST_BYTES - 1000)
    post.deliver(large)
    assert receiver.takes(large)


@pytest.mark.parametrize(
    "data",
    [
        on_the_wire(b"data", key=b"another key"),
        Message(MSG_INVOKE, b"not marshalled", MARSHAL.serializer_id, FLAGS_ONEWAY, 0, hmac_key=KEY).to_bytes(),
        b"rubbish, and more than a header of it",
        Message(MSG_INVOKE, bytes(10), MARSHAL.serializer_id, FLAGS_ONEWAY, 0).to_bytes(),
    ],
    ids=["another key", "no call", "rubbish", "no signature"],
)
def test_what_is_no_call_of_ours_ends_the_connection_and_nothing_else(
    data: bytes, receiver: Receiver, post: Post
) -> None:
    post.deliver(b"before")
    post.socket.sendall(data)
    assert hung_up_on(post)
    other = Post(receiver.mailbox.uri, KEY)
    other.deliver(b"after")
    assert receiver.takes(b"before", b"after")
    other.close()


def test_an_announcement_of_too_much_ends_the_connection_before_it_comes(receiver: Receiver, post: Post) -> None:
    fields = (PROTOCOL_VERSION, MSG_INVOKE, FLAGS_ONEWAY, 0, MOST_BYTES + 1, MARSHAL.serializer_id, 0)
    checksum = (sum(fields) + Message.checksum_magic) & 0xFFFF
    post.socket.sendall(struct.pack(Message.header_format, b"PYRO", *fields, 0, checksum))
    assert hung_up_on(post)


def test_too_much_is_not_sent(post: Post) -> None:
    with pytest.raises(Unreachable):
        post.deliver(bytes(MOST_BYTES + 1))


@pytest.mark.parametrize(("method", "data"), [("withdraw", b"data"), ("deliver", "no bytes")])
def test_what_is_no_delivery_is_not_taken(method: str, data: object, receiver: Receiver, post: Post) -> None:
    post.socket.sendall(on_the_wire(data, method))
    post.deliver(b"after")
    assert receiver.takes(b"after")


def test_what_has_a_reply_gets_it(receiver: Receiver, post: Post) -> None:
    post.socket.sendall(Message(MSG_PING, b"ping", MARSHAL.serializer_id, 0, 7, hmac_key=KEY).to_bytes())
    post.socket.settimeout(10)
    assert b"pong" in post.socket.recv(1000)


def test_waiting_ends_after_its_time(receiver: Receiver) -> None:
    alone = Mailbox("localhost", "seller2", KEY, receiver.refused.release)
    assert alone.wait(0.01) == []
    alone.close()


def test_who_has_another_key_is_refused_and_counted(receiver: Receiver) -> None:
    with pytest.raises(Unreachable):
        Post(receiver.mailbox.uri, b"another key")
    assert receiver.refused.acquire(timeout=10)


def test_whoever_connects_before_it_looks_up_finds_room() -> None:
    mailbox = Mailbox("localhost", "seller1", KEY, lambda: None)
    host, port = mailbox.uri.rsplit("@", 1)[1].split(":")
    with contextlib.ExitStack() as stack:
        stack.callback(mailbox.close)
        for _ in range(120):  # Pyro4 listens for 100; the next would be let in a second later, if anybody looks up then
            stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
