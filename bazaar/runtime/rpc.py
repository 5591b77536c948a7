"""All of Pyro4: a mailbox that takes deliveries, a post that makes them, the name server, and the key.

Pyro4 carries nothing but `bytes` (a `Delivery`, see `wire.py`), so none of its class conversions is involved. Every
message is signed (HMAC) with a key that only holders of the run's key can derive, and only for this one connection
(`doorman.py`); one that is not, or not rightly, is refused before it is looked at.
Deliveries are one-way calls: nobody waits for a reply, so calls cannot wait for each other in a circle, and what has
arrived is acknowledged by the channel (`core/channel.py`). One connection keeps their order. On the wire they are Pyro4's
calls but for the signature, which covers their number too; both ends go the short way past what Pyro4 does only for calls
with a reply (docs/performance.md).
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import select
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import Pyro4
import Pyro4.naming
from Pyro4 import errors as pyro_errors
from Pyro4.constants import PROTOCOL_VERSION
from Pyro4.message import FLAGS_ONEWAY, MSG_INVOKE, Message

from bazaar.protocol.settings import UsageError
from bazaar.runtime.door import Door, ticketed
from bazaar.runtime.doorman import (
    HEADER,
    MARSHAL,
    MOST_BYTES,
    NONCE_SIZE,
    SEND_TIMEOUT_S,
    Connection,
    Doorman,
    connection_key,
    post_a,
)

CALL_TIMEOUT_S = 5.0  # to look up a name, to connect; milliseconds, unless the other process is stopped
SEND_BUFFER = 1024 * 1024  # asked for; the system gives what it allows
MOST_AT_ONCE = 500  # deliveries that are taken in before they are looked at
MAILBOX = ".mailbox"  # behind a process's name: where the others leave deliveries for it
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


# --------------------------------------------------------------------------------------------- the key
def make_key(path: Path) -> bytes:
    """A new key for a run, in a file that only its owner can read."""
    key = secrets.token_hex(32).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    return key


def read_key(path: Path) -> bytes:
    """The key of a run."""
    return path.read_bytes()


# --------------------------------------------------------------------------------------------- serving
class _Slot(Doorman):
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
        self._slot = post_a(_Slot, self._daemon, key, refused, guests=False)
        self._arrived: list[bytes] = []
        self.uri = str(self._daemon.register(_Owner(), name))
        self._slot.take = self._arrived.append
        self._selector: selectors.BaseSelector = self._slot.selector
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._rung)

    def wait(self, timeout_s: float | None) -> list[bytes]:
        """All deliveries that are here; if there are none, waits for one, for `wake`, or for this long."""
        wait_s = timeout_s
        while self._slot.look(wait_s) > 1 and len(self._arrived) < MOST_AT_ONCE:
            wait_s = 0.0  # where several were heard at once, the next may have come meanwhile
        arrived = self._arrived.copy()
        self._arrived.clear()
        return arrived

    def wake(self) -> None:
        """Ends the waiting (from any thread)."""
        with contextlib.suppress(BlockingIOError, OSError):  # it rings already; or the process ends
            self._bell.send(b"!")

    def watch(self, post: Post, broken: Callable[[], None]) -> None:
        """Calls `broken` when the other side ends this connection: it never sends anything on it."""
        self._selector.register(post.socket, selectors.EVENT_READ, broken)

    def unwatch(self, post: Post) -> None:
        """Undoes `watch`."""
        self._selector.unregister(post.socket)

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
        """Taken by `_Slot`."""


# --------------------------------------------------------------------------------------------- calling
def _signature(key: bytes, number: int, call: bytes) -> bytes:
    """As Pyro4 writes it, of the call and its number on this connection: nothing can come twice, or in another order."""
    return SIGNATURE + hmac.digest(key, NUMBER.pack(number) + call, "sha1")


def _header(call_size: int, signature_size: int) -> bytes:
    fields = (PROTOCOL_VERSION, MSG_INVOKE, FLAGS_ONEWAY, 0, call_size, MARSHAL.serializer_id, signature_size)
    return HEADER.pack(b"PYRO", *fields, 0, (sum(fields) + Message.checksum_magic) & 0xFFFF)


class _Caller(Pyro4.Proxy):  # type: ignore[misc] # Pyro4 has no types
    """A proxy that signs with a key of its connection alone (see `doorman.py`)."""

    _pyroHmacKey: bytes

    def _pyroValidateHandshake(self, response: bytes) -> None:  # Pyro4's name
        self._pyroHmacKey = connection_key(self._pyroHmacKey, self._pyroHandshake, response)


def _connect(caller: _Caller, key: bytes) -> None:
    """Raises `Unreachable`. `key` is the run's."""
    caller._pyroHmacKey = key
    caller._pyroHandshake = secrets.token_bytes(NONCE_SIZE)
    caller._pyroTimeout = CALL_TIMEOUT_S
    try:
        caller._pyroBind()
    except (pyro_errors.PyroError, OSError) as error:
        raise Unreachable(str(error)) from None


class Post:
    """A connection by which deliveries are made to one process. Used by one thread at a time."""

    def __init__(self, uri: str, key: bytes) -> None:
        """Connects. Raises `Unreachable`."""
        self._proxy = _Caller(uri)
        _connect(self._proxy, key)
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


# ----------------------------------------------------------------------------------------- name server
class NameServer:
    """The name server of one run (SPEC A3)."""

    def __init__(self, host: str, port: int, key: bytes, refused: Callable[[], None]) -> None:
        """Raises `UsageError` if the host is not ours or the port is taken. `refused` counts strangers."""
        try:
            self._daemon = Pyro4.Daemon(host, port)
        except socket.gaierror:
            raise UsageError(f"there is no host {host}; give the name or address of this machine") from None
        except OSError as error:
            if port:
                raise UsageError(
                    f"the name server cannot have port {port} on {host} ({error.strerror or error}); "
                    "give another port, or none to have a free one chosen"
                ) from None
            raise UsageError(f"cannot listen on host {host}: {error.strerror or error}; is it this machine?") from None
        try:
            _connect_to_oneself(host)
        except OSError as error:
            self._daemon.close()
            raise UsageError(
                f"nobody can connect to {host}, not even from here ({error.strerror or error}); see `bash run.sh doctor`"
            ) from None
        self.port: int = self._daemon.register(Names(key), Pyro4.constants.NAMESERVER_NAME).port
        self._doorman = post_a(Doorman, self._daemon, key, refused, guests=True)
        self._open = True

    def serve(self) -> None:
        """Serves until `close`."""
        with contextlib.closing(self._daemon):
            while self._open:
                self._doorman.look(None)

    def close(self) -> None:
        """Ends `serve`, which is in another thread; the port is free when that returns."""
        self._open = False
        self._doorman.wakeup()


def _connect_to_oneself(host: str) -> None:
    """Listening is no proof that anybody gets there: /etc/hosts may be wrong, the loopback down. Raises `OSError`."""
    with contextlib.closing(Pyro4.socketutil.createSocket(bind=(host, 0))) as server:
        there = host, server.getsockname()[1]
        Pyro4.socketutil.createSocket(connect=there, timeout=CALL_TIMEOUT_S).close()


@Pyro4.expose
class Names(Pyro4.naming.NameServer):  # type: ignore[misc]
    """Pyro4's own table of names. Its own clients may look, and only the bazaar's processes enter anything: what they say
    cannot be said again by a stranger."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Where `name` is; to a guest who asks for a door, with a ticket (see `door.py`)."""
        found = super().lookup(name, return_metadata)
        if Pyro4.current_context.client.guest and "." not in name:  # else a mailbox, or Pyro4's own
            uri = found[0] if return_metadata else found
            uri.object = ticketed(uri.object, self._key)
        return found

    def register(self, *arguments: Any, **more: Any) -> None:
        """Enters a name (the bazaar's own processes only)."""
        _members_only()
        super().register(*arguments, **more)

    def remove(self, *arguments: Any, **more: Any) -> None:
        """Nobody does."""
        raise PermissionError("names stay as long as the run")

    def set_metadata(self, *arguments: Any, **more: Any) -> None:
        """Nobody does."""
        raise PermissionError("names stay as they are")


def _members_only() -> None:
    if Pyro4.current_context.client.guest:
        raise PermissionError("only the bazaar's own processes enter names; look them up, or list them")


class Directory:
    """Looks names up, and enters one's own, in any thread: over one connection, which is made when it is needed."""

    def __init__(self, host: str, port: int, key: bytes) -> None:
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._proxy = _Caller(f"PYRO:{Pyro4.constants.NAMESERVER_NAME}@{self._where}")
        self._key = key
        self._one_at_a_time = threading.Lock()

    def register(self, name: str, uri: str) -> None:
        """Enters, or replaces, the mailbox of `name`. Raises `Unreachable`."""
        self._call("register", name + MAILBOX, uri)

    def announce(self, name: str, uri: str) -> None:
        """Enters, or replaces, the door of `name`: under the plain name. Raises `Unreachable`."""
        self._call("register", name, uri)

    def lookup(self, name: str) -> str:
        """The URI of the mailbox of `name`. Raises `Unreachable` if there is none, or no name server."""
        return str(self._call("lookup", name + MAILBOX))

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with self._one_at_a_time:
                if self._proxy._pyroConnection is None:
                    _connect(self._proxy, self._key)
                return getattr(self._proxy, method)(*arguments)
        except (Unreachable, pyro_errors.PyroError, OSError) as error:
            raise Unreachable(f"name server at {self._where}: {error}") from None
