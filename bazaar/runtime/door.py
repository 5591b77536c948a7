"""A process's door: it serves Pyro4's own clients, with the run's key and their default serialiser (requirement N).

A door is a daemon with threads of its own, so it does not delay deliveries (`transport.py`). The same acceptor stands before
it. A Pyro4 client signs with the run's key alone, so its messages could be replayed by somebody who overheard them. Therefore
a client needs a ticket. Each look-up of `buyer7` returns a new one (`ticketed`): a name of the object that holds for this life
of the process. The door accepts each ticket only once, in the greeting. A replayed visit ends at its greeting, and no call is
accepted before a greeting.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import Pyro4

from bazaar.runtime.acceptor import MOST_GUESTS, Acceptor, Connection, install

MOST_BYTES = 64 * 1024  # of one call
NONCE_CHARACTERS = 16

exposed = Pyro4.expose
"""Marks a class whose public methods answer at a door."""


def ticketed(object_id: str, key: bytes) -> str:
    """A ticket: a name by which this object can be called on one connection."""
    return _signed(object_id, secrets.token_hex(NONCE_CHARACTERS // 2), key)


def _signed(object_id: str, nonce: str, key: bytes) -> str:
    return f"{object_id}.{nonce}{hmac.digest(key, f'ticket {object_id}.{nonce}'.encode(), 'sha256').hex()}"


class _Porter(Acceptor):
    """Lets in each client that has a ticket. A thread of the pool answers each call, so a call that waits delays no other."""

    most_bytes = MOST_BYTES
    object_id: str
    face: object
    pool: ThreadPoolExecutor
    told: dict[Connection, str]  # the ticket of each guest

    def _welcome(self, stranger: Connection, greeting: dict[str, Any]) -> Any:
        object_id, known = str(greeting.get("object")), self.daemon.objectsById
        nonce = object_id.removeprefix(self.object_id + ".")[:NONCE_CHARACTERS]
        if not hmac.compare_digest(object_id, _signed(self.object_id, nonce, self.key)) or object_id in known:
            name = self.object_id.partition("-")[0]
            raise PermissionError(f"each look-up lets you in once: come by Pyro4.Proxy('PYRONAME:{name}')")
        assert self.guests is not None
        known[object_id] = self.face
        self.told[stranger] = object_id
        return self._let_in(stranger, self.guests)

    def _handle(self, connection: Connection, kind: int, flags: int, size: int) -> bool:
        call = connection.beside()
        call.keep_open = True
        call.data += connection.recv(size)
        self.pool.submit(self._answer, call)
        return True

    def _answer(self, call: Connection) -> None:
        if not self.handleRequest(call):
            with contextlib.suppress(OSError):
                call.sock.shutdown(socket.SHUT_RDWR)  # the server's thread reads the end, and closes it

    def _part(self, connection: Connection) -> None:
        if (object_id := self.told.pop(connection, None)) is not None:
            self.daemon.objectsById[object_id] = None  # the ticket is used, and reaches nothing any more
        super()._part(connection)


class Door:
    """A door that is open until `close`, in threads of its own."""

    def __init__(
        self,
        daemon: Pyro4.Daemon,
        name: str,
        face: object,
        key: bytes,
        refused: Callable[[], None],
        connection: Callable[[socket.socket], Connection] = Connection,
    ) -> None:
        """`face` answers the calls: its class is `exposed`, and several threads call its methods at once.

        `connection`: see `install`.
        """
        self._daemon = daemon
        self._daemon._pyroHmacKey = key
        self._porter = install(_Porter, daemon, key, refused, guests=True, connection=connection)
        assert isinstance(self._porter, _Porter)
        self._porter.object_id = f"{name}-{secrets.token_hex(8)}"  # a ticket of another life does not fit
        self._porter.face, self._porter.told = face, {}
        self._porter.pool = ThreadPoolExecutor(MOST_GUESTS, thread_name_prefix="visitor")
        self.uri = str(daemon.uriFor(self._porter.object_id))
        self._is_open = True
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.closing(self._daemon):
            while self._is_open:
                self._porter.look(None)

    def close(self) -> None:
        """Lets nobody in any more; a call that still waits for an answer gets none."""
        self._is_open = False
        self._porter.wakeup()
        self._thread.join()
        self._porter.pool.shutdown(wait=False)
