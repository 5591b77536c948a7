"""Who comes in: the handshake in front of everything in the bazaar that listens.

All of it happens in the one thread of the server, and none of it waits: a stranger's bytes are put together as they come,
and what is not a whole greeting in time, or is too long for one, ends that connection alone. Where all places for strangers
are taken, the oldest gives way: who has the key needs a millisecond, so the longest there is the last to have it.

Whoever greets with a nonce is answered with one, and from then on both sign with a key of this connection alone, derived
from the run's key and both nonces. What was overheard on another connection bears another key's signature, so nothing that
a stranger says again is taken. Pyro4's own clients send no nonce; how far they may come (`guests`) each door says.
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
MOST_BYTES = 4 * 1024 * 1024  # of one message of somebody who has shown the key
SEND_TIMEOUT_S = 0.5  # for an answer; the next one is served then
READ_AT_ONCE = 64 * 1024
NONCE_SIZE = 16
MARSHAL = util.MarshalSerializer()
SPOKEN = (util.MarshalSerializer, util.SerpentSerializer)  # what they read they read from holders of the key alone
HEADER = struct.Struct(Message.header_format)


def connection_key(key: bytes, of_client: bytes, of_server: bytes) -> bytes:
    """The key of one connection. (A challenge and a response: whoever has not the run's key cannot derive it.)"""
    return hmac.digest(key, of_client + of_server, "sha256")


class Connection(Pyro4.socketutil.SocketConnection):  # type: ignore[misc] # Pyro4 has no types
    """Takes in all that is there with one system call, instead of six a message, and waits for no message to be whole."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self.key: bytes | None = None
        """What signs on this connection; None before the handshake."""
        self.guest = False
        """Whether it is one of Pyro4's own clients, and so signs with the run's key."""
        self.taken = 0
        """How many deliveries were taken from it; the number of the next goes into its signature."""
        self.data = bytearray()

    def take_in(self) -> None:
        """Reads what is there. Raises `OSError` when the other side has ended the connection."""
        with contextlib.suppress(BlockingIOError):  # it was not for us that the socket was ready
            data = os.read(self.sock.fileno(), READ_AT_ONCE)
            if not data:
                raise ConnectionResetError
            self.data += data

    def whole(self, most: int) -> tuple[int, int, int] | None:
        """Type, flags and size of the message that is here; None: not yet. Raises `ValueError` for what is none."""
        if len(self.data) < HEADER.size:
            if not self.data.startswith(b"PYRO"[: len(self.data)]):
                raise ValueError("not Pyro4's protocol")
            return None
        tag, _, kind, flags, _, data_size, _, annotations_size, _, _ = HEADER.unpack_from(self.data)
        size = HEADER.size + data_size + annotations_size
        if tag != b"PYRO" or data_size < 0 or size > most:
            raise ValueError("not Pyro4's protocol, or too much of it")
        return (kind, flags, size) if len(self.data) >= size else None

    def recv(self, size: int) -> bytes:
        """For Pyro4, which reads a message in three parts; all of them are here."""
        if size > len(self.data):
            raise ConnectionResetError
        data = bytes(self.data[:size])
        del self.data[:size]
        return data


class Acceptor(SocketServer_Multiplex):  # type: ignore[misc] # Pyro4 has no types
    """Pyro4's server, with this handshake. Set up by `install`; all but that is for one thread."""

    key: bytes
    refused: Callable[[], None]
    strangers: dict[Connection, float]  # until when each may take; the oldest first
    most_bytes = MOST_BYTES
    guests: dict[Connection, None] | None  # the oldest first; None: there is no place for any

    def look(self, timeout_s: float | None) -> int:
        """From how many something was there to be read within this time, at most; it is, and what is asked is done.

        What else was registered with the selector has a callable as its data, which is called.
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
            elif key.fileobj.fileno() >= 0 and not self._hear(key.fileobj):  # it may have given way to another
                self._part(key.fileobj)
        return len(ready)

    def _meet(self) -> None:
        try:
            accepted, _ = self.sock.accept()
        except OSError:
            return
        accepted.settimeout(SEND_TIMEOUT_S)
        if len(self.strangers) >= MOST_STRANGERS:
            self._part(next(iter(self.strangers)))
        stranger = Connection(accepted)
        self.strangers[stranger] = time.monotonic() + HANDSHAKE_S
        self.selector.register(stranger, selectors.EVENT_READ, self)

    def _hear(self, connection: Connection) -> bool:
        """Does all that has been asked for on this connection; False if it has ended, or is to be ended."""
        try:
            connection.take_in()
            while (
                message := connection.whole(MOST_GREETING if connection.key is None else self.most_bytes)
            ) is not None:
                if connection.key is None:
                    self._greet(connection)
                elif not self._handle(connection, *message):
                    return False
                elif connection in self.strangers:  # what it said bears a signature of now
                    del self.strangers[connection]
        except Exception:  # whatever rubbish makes Pyro4 raise
            return False
        return True

    def _handle(self, connection: Connection, kind: int, flags: int, size: int) -> bool:
        """A call by one who is in: as Pyro4 does it, under the connection's key."""
        self.daemon._pyroHmacKey = connection.key
        return bool(super().handleRequest(connection))

    def _greet(self, stranger: Connection) -> None:
        """The handshake. Raises whatever is wrong with it, having said so to the other side."""
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
        """What signs from now on, and what to answer."""
        nonce = greeting["handshake"]
        if isinstance(nonce, bytes) and len(nonce) == NONCE_SIZE:
            mine = secrets.token_bytes(NONCE_SIZE)
            stranger.key = connection_key(self.key, nonce, mine)
            return mine
        if self.guests is None:
            raise ValueError("this door is for the bazaar's own processes; look the name up without .mailbox")
        return self._let_in(stranger, self.guests)

    def _let_in(self, stranger: Connection, guests: dict[Connection, None]) -> str:
        """As a guest; the one that has been here longest gives way where there is no place."""
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
    acceptor: type[Acceptor], daemon: Pyro4.Daemon, key: bytes, refused: Callable[[], None], guests: bool
) -> Acceptor:
    """Puts an acceptor before the daemon. `refused` counts strangers; `guests`: whether Pyro4's own clients may come in."""
    server = daemon.transportServer
    server.__class__ = acceptor  # Pyro4 offers no way to choose the class of its server
    # Nor for how many connections it listens. Of more than that the first packet is lost, and comes again after a second.
    server.sock.listen(socket.SOMAXCONN)
    server.key, server.refused = key, refused
    server.strangers, server.guests = {}, {} if guests else None
    assert isinstance(server, Acceptor)
    return server
