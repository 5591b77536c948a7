"""Deliveries over Pyro4: a mailbox receives them, a sender sends them.

Pyro4 carries nothing but `bytes` (a `Delivery`, see `wire.py`), so none of its class conversions is involved. Every message is
signed (HMAC) with a key that only holders of the run's key can derive, and only for this one connection (`acceptor.py`). A
message without a valid signature is refused before it is looked at.

Deliveries are one-way calls: nobody waits for a reply, so calls cannot wait for each other in a circle. The channel
(`core/channel.py`) acknowledges what has arrived. One connection keeps the order of its deliveries. On the wire deliveries are
Pyro4's calls, except that the signature also covers their number. Both ends skip what Pyro4 does only for calls with a reply
(docs/explanation/performance.md).
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import logging
import secrets
import select
import selectors
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

import Pyro4
from Pyro4 import errors as pyro_errors
from Pyro4.constants import PROTOCOL_VERSION
from Pyro4.message import FLAGS_ONEWAY, MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK, MSG_INVOKE, Message

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
from bazaar.runtime.address import Place, joined
from bazaar.runtime.door import Door
from bazaar.runtime.tls import Papers

CALL_TIMEOUT_S = 5.0  # to look up a name, to connect; it takes milliseconds, unless the other process is stopped
SEND_BUFFER = 1024 * 1024  # requested; the system may grant less
MOST_AT_ONCE = 500  # deliveries that are received before they are handled
SIGNATURE = struct.pack("!4sH", b"HMAC", 20)
SIGNED = HEADER.size + len(SIGNATURE) + 20  # where the call begins
NUMBER = struct.Struct("!Q")

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.SERIALIZER = "marshal"  # the fastest for bytes; it reads only data that bear the key's signature
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


class Arrival(NamedTuple):
    """What somebody has delivered."""

    data: bytes
    by: str | None
    """Whose certificate came with it; None without TLS."""


class _DeliveryServer(Acceptor):
    """Takes deliveries and nothing else. It skips what Pyro4 does only for calls with a reply."""

    take: Callable[[Arrival], None]

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
            self.take(Arrival(data, connection.name))
        return True


class Mailbox:
    """Holders of the key leave deliveries for one process here. One thread, which waits here, makes all calls but `wake`."""

    def __init__(
        self, place: Place, name: str, key: bytes, refused: Callable[[], None], papers: Papers | None = None
    ) -> None:
        """`refused` counts strangers, in any thread. `papers`: for TLS. Raises `UsageError` if one cannot listen there."""
        self._daemon = listening_at(place)
        self._server = install(
            _DeliveryServer, self._daemon, key, refused, guests=False, connection=connections(papers)
        )
        self._arrived: list[Arrival] = []
        self.uri = str(self._daemon.register(_Owner(), name.replace("@", ".")))  # in a URI an @ comes before the host
        self._server.take = self._arrived.append
        self._selector: selectors.BaseSelector = self._server.selector
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._rung)

    def wait(self, timeout_s: float | None) -> list[Arrival]:
        """All deliveries that have arrived. If there are none, waits for one, for `wake`, or for the timeout."""
        wait_s = timeout_s
        while self._server.look(wait_s) > 1 and len(self._arrived) < MOST_AT_ONCE:
            wait_s = 0.0  # several sockets had input, so more may have come meanwhile
        arrived = self._arrived.copy()
        self._arrived.clear()
        return arrived

    def wake(self) -> None:
        """Ends the waiting (from any thread)."""
        with contextlib.suppress(BlockingIOError, OSError):  # a wake-up is pending already, or the process ends
            self._bell.send(b"!")

    def watch(self, sender: Sender, broken: Callable[[], None]) -> None:
        """Calls `broken` when the other side ends this connection. Input means just that: the other side never sends."""
        self.listen(sender.socket, broken)

    def unwatch(self, sender: Sender) -> None:
        """Undoes `watch`."""
        self.forget(sender.socket)

    def listen(self, connection: socket.socket, readable: Callable[[], None]) -> None:
        """Calls `readable` when this connection has input."""
        self._selector.register(connection, selectors.EVENT_READ, readable)

    def forget(self, connection: socket.socket) -> None:
        """Undoes `listen`."""
        self._selector.unregister(connection)

    def close(self) -> None:
        """Takes no deliveries any more."""
        self._daemon.close()

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(4096)


def open_door(
    place: Place, name: str, face: object, key: bytes, refused: Callable[[], None], papers: Papers | None = None
) -> Door:
    """Opens a door at which Pyro4's own clients call `face`; `refused` counts strangers, in any thread."""
    return Door(listening_at(place), name, face, key, refused, connections(papers))


def connections(papers: Papers | None) -> Callable[[socket.socket], Connection]:
    """What makes a connection of an accepted socket."""
    return Connection if papers is None else papers.accept


def listening_at(place: Place, port: int = 0) -> Pyro4.Daemon:
    """A daemon that listens there; its URIs name what is announced. Raises `UsageError`."""
    host = place.listen
    hint = " (a port stands behind brackets: [::1]:9090)" if ":" in host else ""
    try:
        daemon = Pyro4.Daemon(host, port)
    except socket.gaierror:
        raise UsageError(f"there is no host {host}; give the name or address of this machine{hint}") from None
    except OSError as error:
        why = error.strerror or str(error)
        if port and error.errno != errno.EADDRNOTAVAIL:
            raise UsageError(
                f"the name server cannot have port {port} on {host} ({why}); give another port, or none to have a free one "
                "chosen"
            ) from None
        raise UsageError(f"cannot listen on host {host}: {why}; is it this machine?{hint}") from None
    daemon.natLocationStr = joined(place.announce, daemon.sock.getsockname()[1])  # Pyro4's own way fails with IPv6
    return daemon


class _Owner:
    """The object that Pyro4 registers under the mailbox's name."""

    @Pyro4.expose  # type: ignore[untyped-decorator] # Pyro4 has no types
    @Pyro4.oneway  # type: ignore[untyped-decorator]
    def deliver(self, data: bytes) -> None:
        """Never called: `_DeliveryServer` takes the delivery."""


def _signature(key: bytes, number: int, call: bytes) -> bytes:
    """Signs the call and its number on this connection, in Pyro4's format: no call can be replayed or reordered."""
    return SIGNATURE + hmac.digest(key, NUMBER.pack(number) + call, "sha1")


def _header(call_size: int, signature_size: int) -> bytes:
    fields = (PROTOCOL_VERSION, MSG_INVOKE, FLAGS_ONEWAY, 0, call_size, MARSHAL.serializer_id, signature_size)
    return HEADER.pack(b"PYRO", *fields, 0, (sum(fields) + Message.checksum_magic) & 0xFFFF)


def connect(proxy: Pyro4.Proxy, key: bytes, name: str, papers: Papers | None = None) -> None:
    """Connects a proxy, which signs with a key of its connection alone from now on (see `acceptor.py`). Raises `Unreachable`.

    `key` is the run's. With `papers` the other side must show a certificate of this name. (Pyro4 connects proxies by itself,
    but its TLS would trust all authorities of the system.)
    """
    nonce = secrets.token_bytes(NONCE_SIZE)
    uri = proxy._pyroUri
    connection = None
    try:
        connected = Pyro4.socketutil.createSocket(connect=(uri.host, uri.port), timeout=CALL_TIMEOUT_S)
        connection = Pyro4.socketutil.SocketConnection(connected, uri.object)
        if papers is not None:
            connection.sock = papers.connect(connected, name)
        greeting = MARSHAL.dumps({"handshake": nonce})
        connection.send(Message(MSG_CONNECT, greeting, MARSHAL.serializer_id, 0, 0, hmac_key=key).to_bytes())
        reply = Message.recv(connection, [MSG_CONNECTOK, MSG_CONNECTFAIL], hmac_key=key)
        answer = MARSHAL.loads(reply.data)
        if reply.type == MSG_CONNECTFAIL:
            raise Unreachable(f"{uri.host}:{uri.port} refuses: {answer}")
        proxy._pyroHmacKey = connection_key(key, nonce, answer)
    except (pyro_errors.PyroError, OSError, ValueError, EOFError, TypeError) as error:
        raise Unreachable(f"{uri.host}:{uri.port}: {error}") from None
    proxy._pyroTimeout = CALL_TIMEOUT_S
    proxy._pyroConnection = connection


class Sender:
    """A connection that makes deliveries to one process. Used by one thread at a time."""

    def __init__(self, uri: str, key: bytes, papers: Papers | None = None) -> None:
        """Connects to the mailbox with this URI, which names its owner. Raises `Unreachable`."""
        self._proxy = Pyro4.Proxy(uri)
        connect(self._proxy, key, self._proxy._pyroUri.object, papers)
        self._proxy._pyroTimeout = SEND_TIMEOUT_S
        self._connection = self._proxy._pyroConnection
        self._key: bytes = self._proxy._pyroHmacKey
        self._made = 0
        self.socket: socket.socket = self._connection.sock
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLOUT)
        self._say("greet", b"")  # it carries nothing; its signature proves that we hold the key

    @property
    def clear(self) -> bool:
        """Whether a delivery can be made without waiting for the receiver to read those before it."""
        return bool(self._poll.poll(0))

    def deliver(self, data: bytes) -> None:
        """Calls `deliver`, one-way. Raises `Unreachable` if the connection is broken; the call may have arrived then."""
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
