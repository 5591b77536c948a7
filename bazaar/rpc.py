"""All of Pyro4: a mailbox that takes deliveries, a post that makes them, the name server, and the key.

Pyro4 carries nothing but `bytes` (a `Delivery`, see `records.py`), so none of its class conversions is involved. Every
message is signed with the run's key (HMAC); one that is not, or not rightly, is refused before it is looked at.
Deliveries are one-way calls: nobody waits for a reply, so calls cannot wait for each other in a circle, and what has
arrived is acknowledged by the channel (`core/channel.py`). One connection keeps their order. On the wire they are what any
Pyro4 proxy would send; both ends go the short way past what Pyro4 does only for calls with a reply (docs/performance.md).
"""

from __future__ import annotations

import contextlib
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
from Pyro4.message import FLAGS_ONEWAY, MSG_INVOKE, Message
from Pyro4.socketserver.multiplexserver import SocketServer_Multiplex
from Pyro4.util import MarshalSerializer

from bazaar.settings import UsageError

CALL_TIMEOUT_S = 5.0  # to look up a name, to connect; milliseconds, unless the other process is stopped
SEND_TIMEOUT_S = 0.5  # nothing is sent that has no room, so this passes only if the other side is very unwell
HANDSHAKE_TIMEOUT_S = 2.0
MOST_STRANGERS = 64  # connections that have not shown the key yet
MOST_BYTES = 4 * 1024 * 1024  # of one message
SEND_BUFFER = 1024 * 1024  # asked for; the system gives what it allows
READ_AT_ONCE = 64 * 1024
MOST_AT_ONCE = 500  # deliveries that are taken in before they are looked at
MARSHAL = MarshalSerializer()
HEADER = struct.Struct(Message.header_format)

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.SERIALIZER = "marshal"  # the fastest for bytes; it only ever sees what bears the key's signature
Pyro4.config.SERIALIZERS_ACCEPTED = {"marshal"}
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
class _Connection(Pyro4.socketutil.SocketConnection):  # type: ignore[misc] # Pyro4 has no types
    """Takes in all that is there with one system call, instead of six a message, and waits for no message to be whole."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._data = bytearray()

    def take_in(self) -> None:
        """Reads what is there. Raises `OSError` when the other side has ended the connection."""
        with contextlib.suppress(BlockingIOError):  # it was not for us that the socket was ready
            data = os.read(self.sock.fileno(), READ_AT_ONCE)
            if not data:
                raise ConnectionResetError
            self._data += data

    def whole(self) -> tuple[int, int] | None:
        """Type and flags of the message that is here, or of the beginning of one that Pyro4 will not have; None: not yet."""
        if len(self._data) < HEADER.size:
            return None
        tag, _, kind, flags, _, data_size, _, annotations_size, _, _ = HEADER.unpack_from(self._data)
        size = data_size + annotations_size
        is_here = tag != b"PYRO" or not 0 <= size <= MOST_BYTES or len(self._data) >= HEADER.size + size
        return (kind, flags) if is_here else None

    def recv(self, size: int) -> bytes:
        """For Pyro4, which reads a message in three parts. In the handshake, from the socket."""
        if size > len(self._data):
            return bytes(super().recv(size))
        data = bytes(self._data[:size])
        del self._data[:size]
        return data


class _Doorman(SocketServer_Multiplex):  # type: ignore[misc] # Pyro4 has no types
    """Greets strangers in threads of their own, so that one who says nothing, or half a sentence, holds up nobody."""

    strangers: threading.Semaphore
    refused: Callable[[], None]

    def _handleConnection(self, sock: socket.socket) -> None:  # Pyro4's name
        try:
            stranger, _ = sock.accept()
        except OSError:
            return
        stranger.settimeout(HANDSHAKE_TIMEOUT_S)
        if self.strangers.acquire(blocking=False):
            threading.Thread(target=self._greet, args=(stranger,), daemon=True).start()
        else:
            stranger.close()

    def _greet(self, stranger: socket.socket) -> None:
        connection = _Connection(stranger)
        try:
            welcome = self.daemon._handshake(connection)
            stranger.settimeout(SEND_TIMEOUT_S)
        except Exception:  # whatever rubbish makes Pyro4 raise
            welcome = False
        finally:
            self.strangers.release()
        if welcome and not self.shutting_down:
            with contextlib.suppress(ValueError, KeyError, OSError, RuntimeError):  # the server is closing
                self.selector.register(connection, 1, self)  # 1: readable
                return
        self.refused()
        connection.close()

    def handleRequest(self, connection: _Connection) -> bool:  # Pyro4's name
        """Does all that has been asked for on this connection; False if it has ended, or is to be ended."""
        try:
            connection.take_in()
        except OSError:
            return False
        while (message := connection.whole()) is not None:
            if not self._handle(connection, *message):
                return False
        return True

    def _handle(self, connection: _Connection, kind: int, flags: int) -> bool:
        return bool(super().handleRequest(connection))


class _Slot(_Doorman):
    """Takes deliveries as Pyro4 would, less what only a call with a reply has a use for: that is most of a call's time."""

    take: Callable[[bytes], None]

    def _handle(self, connection: _Connection, kind: int, flags: int) -> bool:
        if (kind, flags) != (MSG_INVOKE, FLAGS_ONEWAY):
            return super()._handle(connection, kind, flags)
        try:
            message = Message.recv(connection, hmac_key=self.daemon._pyroHmacKey)
            _, method, (data,), _ = MARSHAL.loadsCall(message.data)
        except Exception:  # whatever a call makes it raise that is none of ours
            return False
        if method == "deliver" and isinstance(data, bytes):
            self.take(data)
        return True


def _post_a(doorman: type[_Doorman], daemon: Pyro4.Daemon, key: bytes, refused: Callable[[], None]) -> None:
    daemon._pyroHmacKey = key
    server = daemon.transportServer
    server.strangers = threading.Semaphore(MOST_STRANGERS)
    server.refused = refused
    server.__class__ = doorman  # Pyro4 offers no way to choose the class of its server
    # Nor for how many connections it listens. Of more than that the first packet is lost, and comes again after a second.
    server.sock.listen(socket.SOMAXCONN)


class Mailbox:
    """Where whoever has the key leaves deliveries for one process. All but `wake` is for one thread, which waits here."""

    def __init__(self, host: str, name: str, key: bytes, refused: Callable[[], None]) -> None:
        """`refused` counts strangers, in any thread."""
        self._daemon = _daemon(host)
        _post_a(_Slot, self._daemon, key, refused)
        self._arrived: list[bytes] = []
        self.uri = str(self._daemon.register(_Owner(), name))
        self._server = self._daemon.transportServer
        self._server.take = self._arrived.append
        self._selector: selectors.BaseSelector = self._server.selector
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._rung)

    def wait(self, timeout_s: float | None) -> list[bytes]:
        """All deliveries that are here; if there are none, waits for one, for `wake`, or for this long."""
        wait_s = timeout_s
        while self._look(wait_s) > 1 and len(self._arrived) < MOST_AT_ONCE:
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

    def _look(self, timeout_s: float | None) -> int:
        """From how many something was there to be read within this time; it is."""
        ready = self._selector.select(timeout_s)
        callers = []
        for key, _ in ready:
            if key.data is self._server:
                callers.append(key.fileobj)
            else:
                key.data()
        if callers:
            self._server.events(callers)
        return len(ready)

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ear.recv(4096)


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
class Post:
    """A connection by which deliveries are made to one process. Used by one thread at a time."""

    def __init__(self, uri: str, key: bytes, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Connects. Raises `Unreachable`."""
        self._proxy = Pyro4.Proxy(uri)
        self._proxy._pyroHmacKey = key
        self._proxy._pyroTimeout = timeout_s
        try:
            self._proxy._pyroBind()
        except (pyro_errors.PyroError, OSError) as error:
            raise Unreachable(str(error)) from None
        self._proxy._pyroTimeout = SEND_TIMEOUT_S
        self._key = key
        self._connection = self._proxy._pyroConnection
        self.socket: socket.socket = self._connection.sock
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLOUT)

    @property
    def clear(self) -> bool:
        """Whether a delivery can be made without waiting for the receiver to read those before it."""
        return bool(self._poll.poll(0))

    def deliver(self, data: bytes) -> None:
        """Calls `deliver`, one-way, as the proxy would. Raises `Unreachable` if that is broken; it may have happened then."""
        call = MARSHAL.dumpsCall(self._connection.objectId, "deliver", (data,), {})
        try:
            message = Message(MSG_INVOKE, call, MARSHAL.serializer_id, FLAGS_ONEWAY, 0, hmac_key=self._key)
            self._connection.send(message.to_bytes())
        except (pyro_errors.PyroError, OSError) as error:
            raise Unreachable(str(error)) from None

    def close(self) -> None:
        """Ends the connection."""
        self._proxy._pyroRelease()


# ----------------------------------------------------------------------------------------- name server
class NameServer:
    """The name server of one run (SPEC A3)."""

    def __init__(self, host: str, port: int, key: bytes, refused: Callable[[], None]) -> None:
        """Raises `UsageError` if the host is not ours or the port is taken. `refused` counts strangers."""
        try:
            self.uri, self._daemon, _ = Pyro4.naming.startNS(host, port, enableBroadcast=False, hmac=key)
        except socket.gaierror:
            raise UsageError(f"there is no host {host}; give the name or address of this machine") from None
        except OSError as error:
            if port:
                raise UsageError(
                    f"the name server cannot have port {port} on {host} ({error.strerror or error}); "
                    "give another port, or none to have a free one chosen"
                ) from None
            raise UsageError(f"cannot listen on host {host}: {error.strerror or error}; is it this machine?") from None
        _post_a(_Doorman, self._daemon, key, refused)
        self.port: int = self.uri.port
        self._open = True

    def serve(self) -> None:
        """Serves until `close`."""
        with contextlib.closing(self._daemon):
            self._daemon.requestLoop(lambda: self._open)

    def close(self) -> None:
        """Ends `serve`, which is in another thread; the port is free when that returns."""
        self._open = False
        self._daemon.transportServer.wakeup()


class Directory:
    """Looks names up, and enters one's own, in any thread: over one connection, which is made when it is needed."""

    def __init__(self, host: str, port: int, key: bytes) -> None:
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._proxy = Pyro4.Proxy(f"PYRO:{Pyro4.constants.NAMESERVER_NAME}@{self._where}")
        self._proxy._pyroHmacKey = key
        self._proxy._pyroTimeout = CALL_TIMEOUT_S

    def register(self, name: str, uri: str) -> None:
        """Enters, or replaces, `name`. Raises `Unreachable`."""
        self._call("register", name, uri)

    def lookup(self, name: str) -> str:
        """The URI behind `name`. Raises `Unreachable` if there is none, or no name server."""
        return str(self._call("lookup", name))

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._proxy, method)(*arguments)
        except (pyro_errors.PyroError, OSError) as error:
            raise Unreachable(f"name server at {self._where}: {error}") from None
