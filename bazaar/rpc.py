"""All of Pyro4: a mailbox that takes deliveries, a post that makes them, the name server, and the key.

Pyro4 carries nothing but `bytes` (a `Delivery`, see `records.py`), so none of its class conversions is involved. Every
message is signed with the run's key (HMAC); one that is not, or not rightly, is refused before it is looked at. The
exposed method only puts the letters into a queue: it never calls out, so calls cannot wait for each other in a circle.

Errors: `Unreachable`, the call certainly did not happen; `NoReply`, it may have; `Refused`, the receiver will not
have these bytes. Retries are the caller's business: with Pyro4's own, one call can run several times.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import Pyro4
import Pyro4.naming
from Pyro4 import errors as pyro_errors
from Pyro4.socketserver.multiplexserver import SocketServer_Multiplex

from bazaar.records import MalformedMessage
from bazaar.settings import UsageError

CALL_TIMEOUT_S = 5.0  # a call that only enqueues answers in milliseconds, unless its process is stopped
HANDSHAKE_TIMEOUT_S = 2.0
MOST_STRANGERS = 64  # connections that have not shown the key yet
MOST_BYTES = 4 * 1024 * 1024  # of one message
BUSY = "busy"

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.SERIALIZER = "marshal"  # the fastest for bytes; it only ever sees what bears the key's signature
Pyro4.config.SERIALIZERS_ACCEPTED = {"marshal"}
Pyro4.config.COMMTIMEOUT = CALL_TIMEOUT_S
Pyro4.config.MAX_RETRIES = 0
Pyro4.config.MAX_MESSAGE_SIZE = MOST_BYTES
Pyro4.config.SOCK_NODELAY = True
Pyro4.config.POLLTIMEOUT = 60.0
Pyro4.config.ITER_STREAMING = False
logging.getLogger("Pyro4").setLevel(logging.CRITICAL)  # what matters is raised or counted


class Unreachable(Exception):
    """The call certainly did not happen."""


class NoReply(Exception):
    """The call may have happened."""


class Refused(Exception):
    """The receiver looked at the bytes and will not have them."""


class Busy(Exception):
    """The receiver cannot take more at the moment."""


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
        connection = Pyro4.socketutil.SocketConnection(stranger)
        try:
            welcome = self.daemon._handshake(connection)
            stranger.settimeout(CALL_TIMEOUT_S)
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


def _post_a_doorman(daemon: Pyro4.Daemon, key: bytes, refused: Callable[[], None]) -> None:
    daemon._pyroHmacKey = key
    server = daemon.transportServer
    server.strangers = threading.Semaphore(MOST_STRANGERS)
    server.refused = refused
    server.__class__ = _Doorman  # Pyro4 offers no way to choose the class of its server


class Mailbox:
    """Serves `deliver(bytes) -> None` of one process to whoever has the key, in a thread of its own."""

    def __init__(
        self, host: str, name: str, key: bytes, take: Callable[[bytes], None], refused: Callable[[], None]
    ) -> None:
        """`take` is called in the mailbox's thread; it may raise `MalformedMessage` or `Busy`. `refused` counts strangers."""
        self._daemon = _daemon(host)
        _post_a_doorman(self._daemon, key, refused)
        self.uri = str(self._daemon.register(_Slot(take), name))
        self._thread = threading.Thread(target=self._daemon.requestLoop, name="mailbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._daemon.shutdown()
        self._thread.join(CALL_TIMEOUT_S)


def _daemon(host: str) -> Pyro4.Daemon:
    try:
        return Pyro4.Daemon(host=host, port=0)
    except OSError as error:
        raise UsageError(f"cannot listen on host {host}: {error.strerror or error}; is it this machine?") from None


class _Slot:
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    @Pyro4.expose  # type: ignore[untyped-decorator] # Pyro4 has no types
    def deliver(self, data: bytes) -> str | None:
        """None: taken. Else why not; exceptions would drag Pyro4's class conversion in."""
        try:
            self._take(data)
        except Busy:
            return BUSY
        except MalformedMessage as error:
            return f"malformed: {error}"
        return None


# --------------------------------------------------------------------------------------------- calling
class Post:
    """Makes deliveries to one process. Used by one thread at a time."""

    def __init__(self, uri: str, key: bytes, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._proxy = Pyro4.Proxy(uri)
        self._proxy._pyroHmacKey = key
        self._proxy._pyroTimeout = timeout_s

    def deliver(self, data: bytes) -> None:
        """Raises `Unreachable`, `NoReply`, `Busy` or `Refused`."""
        connected = self._proxy._pyroConnection is not None
        try:
            if not connected:
                self._proxy._pyroBind()
                connected = True
            objection = self._proxy.deliver(data)
        except (pyro_errors.PyroError, OSError) as error:
            raise (NoReply if connected else Unreachable)(str(error)) from None
        if objection == BUSY:
            raise Busy
        if objection is not None:
            raise Refused(objection)

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
        _post_a_doorman(self._daemon, key, refused)
        self.port: int = self.uri.port

    def serve(self) -> None:
        """Serves until the process ends."""
        self._daemon.requestLoop()

    def close(self) -> None:
        """Stops serving."""
        self._daemon.close()


class Directory:
    """Looks names up, and enters one's own."""

    def __init__(self, host: str, port: int, key: bytes) -> None:
        self._host, self._port, self._key = host, port, key

    def register(self, name: str, uri: str) -> None:
        """Enters, or replaces, `name`. Raises `Unreachable`."""
        self._call("register", name, uri)

    def lookup(self, name: str) -> str:
        """The URI behind `name`. Raises `Unreachable` if there is none, or no name server."""
        return str(self._call("lookup", name))

    def _call(self, method: str, *arguments: Any) -> Any:
        # A proxy for each call: look-ups are rare, and any of the worker threads may make them.
        try:
            with Pyro4.Proxy(f"PYRO:{Pyro4.constants.NAMESERVER_NAME}@{self._host}:{self._port}") as proxy:
                proxy._pyroHmacKey = self._key
                proxy._pyroTimeout = CALL_TIMEOUT_S
                return getattr(proxy, method)(*arguments)
        except (pyro_errors.PyroError, OSError) as error:
            raise Unreachable(f"name server at {self._host}:{self._port}: {error}") from None
