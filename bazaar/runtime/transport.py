"""Deliveries over Pyro4: a mailbox that takes them, a sender that makes them.

Pyro4 carries nothing but `bytes` (a `Delivery`, see `wire.py`), so none of its class conversions is involved. Every
message is signed (HMAC) with a key that only holders of the run's key can derive, and only for this one connection
(`acceptor.py`); one that is not, or not rightly, is refused before it is looked at.
Deliveries are one-way calls: nobody waits for a reply, so calls cannot wait for each other in a circle, and what has
arrived is acknowledged by the channel (`core/channel.py`). One connection keeps their order. On the wire they are Pyro4's
calls but for the signature, which covers their number too; both ends go the short way past what Pyro4 does only for calls
with a reply (docs/explanation/performance.md).
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import select
import selectors
import socket
import struct
from collections.abc import Callable

import Pyro4
from Pyro4 import errors as pyro_errors
from Pyro4.constants import PROTOCOL_VERSION
from Pyro4.message import FLAGS_ONEWAY, MSG_INVOKE, Message

from bazaar.protocol.settings import UsageError
from bazaar.runtime.acceptor import (
    HEADER,
    MARSHAL,
    MOST_BYTES,
    NONCE_SIZE,
    SEND_TIMEOUT_S,
    Acceptor,
    Connection,
    connection_key,
    install,
)
from bazaar.runtime.door import Door

CALL_TIMEOUT_S = 5.0  # to look up a name, to connect; milliseconds, unless the other process is stopped
SEND_BUFFER = 1024 * 1024  # asked for; the system gives what it allows
MOST_AT_ONCE = 500  # deliveries that are taken in before they are looked at
SIGNATURE = struct.pack("!4sH", b"HMAC", 20)
SIGNED = HEADER.size + len(SIGNATURE) + 20  # where the call begins
NUMBER = struct.Struct("!Q")

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.SERIALIZER = "marshal"  # the fastest for bytes; it only ever sees what bears the key's signature
Pyro4.config.SERIALIZERS_ACCEPTED = {"marshal", "serpent"}  # the latter is what Pyro4's own clients speak
Pyro4.config.COMMTIMEOUT = CALL_TIMEOUT_S
Pyro4.config.MAX_RETRIES = 0
Pyro4.config.MAX_MESSAGE_SIZE = MOST_BYTES
Pyro4.config.SOCK_NODELAY = True
Pyro4.config.ONEWAY_THREADED = False
Pyro4.config.POLLTIMEOUT = 60.0
Pyro4.config.ITER_STREAMING = False
logging.getLogger("Pyro4").setLevel(logging.CRITICAL)  # what matters is raised or counted


class Unreachable(Exception):
    """There is no connection to the other process, or there is none any more."""


class _DeliveryServer(Acceptor):
    """Takes deliveries and nothing else, and goes the short way past what only a call with a reply has a use for."""

    take: Callable[[bytes], None]

    def _handle(self, connection: Connection, kind: int, flags: int, size: int) -> bool:
        assert connection.key is not None
        message = connection.recv(size)
        if (kind, flags) != (MSG_INVOKE, FLAGS_ONEWAY):
            return False
        call = message[SIGNED:]
        if not hmac.compare_digest(message[HEADER.size : SIGNED], _signature(connection.key, connection.taken, call)):
            return False
        connection.taken += 1
        _, method, (data,), _ = MARSHAL.loadsCall(call)
        if method == "deliver" and isinstance(data, bytes):
            self.take(data)
        return True


class Mailbox:
    """Where whoever has the key leaves deliveries for one process. All but `wake` is for one thread, which waits here."""

    def __init__(self, host: str, name: str, key: bytes, refused: Callable[[], None]) -> None:
        """`refused` counts strangers, in any thread."""
        self._daemon = _daemon(host)
        self._server = install(_DeliveryServer, self._daemon, key, refused, guests=False)
        self._arrived: list[bytes] = []
        self.uri = str(self._daemon.register(_Owner(), name))
        self._server.take = self._arrived.append
        self._selector: selectors.BaseSelector = self._server.selector
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._rung)

    def wait(self, timeout_s: float | None) -> list[bytes]:
        """All deliveries that are here; if there are none, waits for one, for `wake`, or for this long."""
        wait_s = timeout_s
        while self._server.look(wait_s) > 1 and len(self._arrived) < MOST_AT_ONCE:
            wait_s = 0.0  # where several were heard at once, the next may have come meanwhile
        arrived = self._arrived.copy()
        self._arrived.clear()
        return arrived

    def wake(self) -> None:
        """Ends the waiting (from any thread)."""
        with contextlib.suppress(BlockingIOError, OSError):  # it rings already; or the process ends
            self._bell.send(b"!")

    def watch(self, sender: Sender, broken: Callable[[], None]) -> None:
        """Calls `broken` when the other side ends this connection: it never sends anything on it."""
        self._selector.register(sender.socket, selectors.EVENT_READ, broken)

    def unwatch(self, sender: Sender) -> None:
        """Undoes `watch`."""
        self._selector.unregister(sender.socket)

    def close(self) -> None:
        """Takes no deliveries any more."""
        self._daemon.close()

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(4096)


def open_door(host: str, name: str, face: object, key: bytes, refused: Callable[[], None]) -> Door:
    """Where Pyro4's own clients talk to `face`; `refused` counts strangers, in any thread."""
    return Door(_daemon(host), name, face, key, refused)


def _daemon(host: str) -> Pyro4.Daemon:
    try:
        return Pyro4.Daemon(host=host, port=0)
    except OSError as error:
        raise UsageError(f"cannot listen on host {host}: {error.strerror or error}; is it this machine?") from None


class _Owner:
    """Whom Pyro4 introduces to those who connect."""

    @Pyro4.expose  # type: ignore[untyped-decorator] # Pyro4 has no types
    @Pyro4.oneway  # type: ignore[untyped-decorator]
    def deliver(self, data: bytes) -> None:
        """Taken by `_DeliveryServer`."""


def _signature(key: bytes, number: int, call: bytes) -> bytes:
    """As Pyro4 writes it, of the call and its number on this connection: nothing can come twice, or in another order."""
    return SIGNATURE + hmac.digest(key, NUMBER.pack(number) + call, "sha1")


def _header(call_size: int, signature_size: int) -> bytes:
    fields = (PROTOCOL_VERSION, MSG_INVOKE, FLAGS_ONEWAY, 0, call_size, MARSHAL.serializer_id, signature_size)
    return HEADER.pack(b"PYRO", *fields, 0, (sum(fields) + Message.checksum_magic) & 0xFFFF)


class Caller(Pyro4.Proxy):  # type: ignore[misc] # Pyro4 has no types
    """A proxy that signs with a key of its connection alone (see `acceptor.py`)."""

    _pyroHmacKey: bytes

    def _pyroValidateHandshake(self, response: bytes) -> None:  # Pyro4's name
        self._pyroHmacKey = connection_key(self._pyroHmacKey, self._pyroHandshake, response)


def connect(caller: Caller, key: bytes) -> None:
    """Raises `Unreachable`. `key` is the run's."""
    caller._pyroHmacKey = key
    caller._pyroHandshake = secrets.token_bytes(NONCE_SIZE)
    caller._pyroTimeout = CALL_TIMEOUT_S
    try:
        caller._pyroBind()
    except (pyro_errors.PyroError, OSError) as error:
        raise Unreachable(str(error)) from None


class Sender:
    """A connection by which deliveries are made to one process. Used by one thread at a time."""

    def __init__(self, uri: str, key: bytes) -> None:
        """Connects. Raises `Unreachable`."""
        self._proxy = Caller(uri)
        connect(self._proxy, key)
        self._proxy._pyroTimeout = SEND_TIMEOUT_S
        self._connection = self._proxy._pyroConnection
        self._key: bytes = self._proxy._pyroHmacKey
        self._made = 0
        self.socket: socket.socket = self._connection.sock
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLOUT)
        self._say("greet", b"")  # nothing, but with a signature that only a holder of the key can make

    @property
    def clear(self) -> bool:
        """Whether a delivery can be made without waiting for the receiver to read those before it."""
        return bool(self._poll.poll(0))

    def deliver(self, data: bytes) -> None:
        """Calls `deliver`, one-way. Raises `Unreachable` if the connection is broken; it may have happened then."""
        self._say("deliver", data)

    def _say(self, method: str, data: bytes) -> None:
        call = MARSHAL.dumpsCall(self._connection.objectId, method, (data,), {})
        if len(call) > MOST_BYTES - SIGNED:
            raise Unreachable(f"{len(call)} bytes are too much for one message")
        signature = _signature(self._key, self._made, call)
        try:
            self._connection.send(_header(len(call), len(signature)) + signature + call)
        except (pyro_errors.PyroError, OSError) as error:
            raise Unreachable(str(error)) from None
        self._made += 1

    def close(self) -> None:
        """Ends the connection."""
        self._proxy._pyroRelease()
