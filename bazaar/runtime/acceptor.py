"""The acceptor: the handshake in front of every listening socket of the bazaar.

A stranger is a connection that has not shown the key yet. The one thread of the server does the whole handshake and never
blocks: it collects a stranger's bytes as they arrive. A greeting that is not complete in time, or is too long, ends that
connection alone. When all places for strangers are taken, the oldest stranger is disconnected. A holder of the key needs a
millisecond for the handshake, so the oldest stranger is the least likely to have the key.

A client that greets with a nonce is answered with a nonce. From then on both sides sign with a key of this connection alone,
derived from the run's key and both nonces. A message that was overheard on another connection bears another key's signature,
so a replay is never accepted. Pyro4's own clients send no nonce; each door decides how far they may come (`guests`).
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import Pyro4
from Pyro4 import util
from Pyro4.constants import DAEMON_NAME
from Pyro4.message import FLAGS_META_ON_CONNECT, MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK, Message
from Pyro4.socketserver.multiplexserver import SocketServer_Multiplex

from bazaar.core.turn import NEVER

HANDSHAKE_S = 2.0  # from connecting to the first message that bears the key's signature
MOST_STRANGERS = 64  # connections that have not shown the key yet
MOST_GUESTS = 64  # connections of Pyro4's own clients
MOST_GREETING = 4096  # bytes
MOST_BYTES = 4 * 1024 * 1024  # of one message, after the key was shown
SEND_TIMEOUT_S = 0.5  # for sending an answer; then the connection is ended
READ_AT_ONCE = 64 * 1024
NONCE_SIZE = 16
MARSHAL = util.MarshalSerializer()
SPOKEN = (util.MarshalSerializer, util.SerpentSerializer)  # they only read data from holders of the key
HEADER = struct.Struct(Message.header_format)


def connection_key(key: bytes, of_client: bytes, of_server: bytes) -> bytes:
    """The key of one connection. (A challenge and a response: only a holder of the run's key can derive it.)"""
    return hmac.digest(key, of_client + of_server, "sha256")


class Connection(Pyro4.socketutil.SocketConnection):  # type: ignore[misc] # Pyro4 has no types
    """Reads all bytes that are there with one system call, instead of six a message. Never waits for the rest of a message."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self.key: bytes | None = None
        """The key that signs on this connection; None before the handshake."""
        self.guest = False
        """Whether this is one of Pyro4's own clients, which sign with the run's key."""
        self.taken = 0
        """How many deliveries were taken from this connection; the signature of a delivery covers its number."""
        self.name: str | None = None
        """Whose certificate the other side has shown; None without TLS, and before its handshake."""
        self.data = bytearray()

    def take_in(self) -> None:
        """Reads the bytes that are there. Raises `OSError` when the other side has ended the connection."""
        with contextlib.suppress(BlockingIOError):  # the socket was not ready after all
            data = os.read(self.sock.fileno(), READ_AT_ONCE)
            if not data:
                raise ConnectionResetError
            self.data += data

    def whole(self, most: int) -> tuple[int, int, int] | None:
        """Type, flags and size of the next message; None: it is not complete yet. Raises `ValueError` if it is not Pyro4's."""
        if len(self.data) < HEADER.size:
            if not self.data.startswith(b"PYRO"[: len(self.data)]):
                raise ValueError("not Pyro4's protocol")
            return None
        tag, _, kind, flags, _, data_size, _, annotations_size, _, _ = HEADER.unpack_from(self.data)
        size = HEADER.size + data_size + annotations_size
        if tag != b"PYRO" or data_size < 0 or size > most:
            raise ValueError("not Pyro4's protocol, or too much of it")
        return (kind, flags, size) if len(self.data) >= size else None

    def beside(self) -> Connection:
        """The same connection, for another thread."""
        return Connection(self.sock)

    def recv(self, size: int) -> bytes:
        """Called by Pyro4, which reads a message in three parts; all of them have arrived."""
        if size > len(self.data):
            raise ConnectionResetError
        data = bytes(self.data[:size])
        del self.data[:size]
        return data


class Acceptor(SocketServer_Multiplex):  # type: ignore[misc] # Pyro4 has no types
    """Pyro4's server, with this handshake. `install` sets it up; one thread makes all other calls."""

    key: bytes
    refused: Callable[[], None]
    strangers: dict[Connection, float]  # with the deadline of each; the oldest first
    most_bytes = MOST_BYTES
    guests: dict[Connection, None] | None  # the oldest first; None: no guest may come in
    connection: Callable[[socket.socket], Connection]

    def look(self, timeout_s: float | None) -> int:
        """Waits at most this long for input, handles the input, and returns how many sockets had some.

        Any other object that is registered with the selector has a callable as its data, which is called.
        """
        now = time.monotonic()
        for stranger in [stranger for stranger, until in self.strangers.items() if until <= now]:
            self._part(stranger)
        patience_s = next(iter(self.strangers.values()), NEVER) - now
        timeout_s = patience_s if timeout_s is None else min(timeout_s, patience_s)
        ready = self.selector.select(None if timeout_s == NEVER else timeout_s)
        for key, _ in ready:
            if key.data is not self:
                key.data()
            elif key.fileobj is self.sock:
                self._meet()
            elif key.fileobj.fileno() >= 0 and not self._hear(key.fileobj):  # another may have taken its place
                self._part(key.fileobj)
        return len(ready)

    def _meet(self) -> None:
        try:
            accepted, _ = self.sock.accept()
            accepted.settimeout(SEND_TIMEOUT_S)
            stranger = self.connection(accepted)
        except OSError:
            return
        if len(self.strangers) >= MOST_STRANGERS:
            self._part(next(iter(self.strangers)))
        self.strangers[stranger] = time.monotonic() + HANDSHAKE_S
        self.selector.register(stranger, selectors.EVENT_READ, self)

    def _hear(self, connection: Connection) -> bool:
        """Handles all messages of this connection; False if it has ended, or must be ended."""
        try:
            connection.take_in()
            while (
                message := connection.whole(MOST_GREETING if connection.key is None else self.most_bytes)
            ) is not None:
                if connection.key is None:
                    self._greet(connection)
                elif not self._handle(connection, *message):
                    return False
                elif connection in self.strangers:  # its message bears the connection's signature
                    del self.strangers[connection]
        except Exception:  # a malformed message can make Pyro4 raise anything
            return False
        return True

    def _handle(self, connection: Connection, kind: int, flags: int, size: int) -> bool:
        """Handles a call on a connection that has shown the key: as Pyro4 does, under the connection's key."""
        self.daemon._pyroHmacKey = connection.key
        return bool(super().handleRequest(connection))

    def _greet(self, stranger: Connection) -> None:
        """The handshake. If it fails, the other side is told the reason, and the error is raised."""
        try:
            message = Message.recv(stranger, [MSG_CONNECT], hmac_key=self.key)
            speaks = util.get_serializer_by_id(message.serializer_id)
            if not isinstance(speaks, SPOKEN) or message.flags & ~FLAGS_META_ON_CONNECT:
                raise ValueError("this door speaks serpent and marshal, not compressed")
            greeting = speaks.loads(message.data)
            answer = self._welcome(stranger, greeting)
            if message.flags:
                of_daemon = self.daemon.objectsById[DAEMON_NAME]
                answer = {"handshake": answer, "meta": of_daemon.get_metadata(greeting["object"], as_lists=True)}
        except Exception as error:
            stranger.send(
                Message(
                    MSG_CONNECTFAIL, MARSHAL.dumps(str(error)), MARSHAL.serializer_id, 0, 0, hmac_key=self.key
                ).to_bytes()
            )
            raise
        reply = Message(
            MSG_CONNECTOK, speaks.dumps(answer), speaks.serializer_id, message.flags, message.seq, hmac_key=self.key
        )
        stranger.send(reply.to_bytes())

    def _welcome(self, stranger: Connection, greeting: dict[str, Any]) -> Any:
        """Sets the key that signs from now on; returns the answer to the greeting."""
        nonce = greeting["handshake"]
        if isinstance(nonce, bytes) and len(nonce) == NONCE_SIZE:
            mine = secrets.token_bytes(NONCE_SIZE)
            stranger.key = connection_key(self.key, nonce, mine)
            return mine
        if self.guests is None:
            raise ValueError("this door is for the bazaar's own processes; look the name up without .mailbox")
        return self._let_in(stranger, self.guests)

    def _let_in(self, stranger: Connection, guests: dict[Connection, None]) -> str:
        """Lets the stranger in as a guest; when all places are taken, the oldest guest is disconnected."""
        del self.strangers[stranger]
        if len(guests) >= MOST_GUESTS:
            self._part(next(iter(guests)))
        guests[stranger] = None
        stranger.key, stranger.guest = self.key, True
        return "hello"

    def _part(self, connection: Connection) -> None:
        if self.strangers.pop(connection, None) is not None:
            self.refused()
        if self.guests is not None:
            self.guests.pop(connection, None)
        self.selector.unregister(connection)
        connection.close()


def install(
    acceptor: type[Acceptor],
    daemon: Pyro4.Daemon,
    key: bytes,
    refused: Callable[[], None],
    guests: bool,
    connection: Callable[[socket.socket], Connection] = Connection,
) -> Acceptor:
    """Puts an acceptor before the daemon. `refused` counts strangers; `guests`: whether Pyro4's own clients may come in.

    `connection` makes one of an accepted socket: `Papers.accept` (`tls.py`), or without TLS `Connection`.
    """
    server = daemon.transportServer
    server.__class__ = acceptor  # Pyro4 offers no way to choose the class of its server
    # Nor to choose its backlog. When that is full, a connection's first packet is lost, and is sent again after a second.
    server.sock.listen(socket.SOMAXCONN)
    server.key, server.refused, server.connection = key, refused, connection
    server.strangers, server.guests = {}, {} if guests else None
    assert isinstance(server, Acceptor)
    return server
