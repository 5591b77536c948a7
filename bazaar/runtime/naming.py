"""The name server of a run, and the directory through which a process asks it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import Pyro4
import Pyro4.naming
from Pyro4 import errors as pyro_errors

from bazaar.protocol.goods import NAME_SERVER
from bazaar.protocol.settings import UsageError
from bazaar.runtime.acceptor import Acceptor, install
from bazaar.runtime.address import Place, joined
from bazaar.runtime.door import ticketed
from bazaar.runtime.tls import Papers
from bazaar.runtime.transport import CALL_TIMEOUT_S, Unreachable, connect, connections, listening_at

MAILBOX = ".mailbox"  # appended to a process's name: the name of its mailbox


class NameServer:
    """The name server of one run (requirement A3)."""

    def __init__(
        self, place: Place, port: int, key: bytes, refused: Callable[[], None], papers: Papers | None = None
    ) -> None:
        """Raises `UsageError` if the address is not ours or the port is taken. `refused` counts strangers."""
        self._daemon = listening_at(place, port)
        try:
            _connect_to_oneself(place)
        except OSError as error:
            self._daemon.close()
            leads_here = (
                "" if place.listen == place.announce else f", or listen where it leads to, not on {place.listen}"
            )
            raise UsageError(
                f"nobody can connect to {place.announce}, not even from here ({error.strerror or error}); "
                f"see `bash run.sh doctor`{leads_here}"
            ) from None
        self.port: int = self._daemon.register(Names(key, refused), Pyro4.constants.NAMESERVER_NAME).port
        self._acceptor = install(Acceptor, self._daemon, key, refused, guests=True, connection=connections(papers))
        self._open = True

    def serve(self) -> None:
        """Serves until `close`."""
        with contextlib.closing(self._daemon):
            while self._open:
                self._acceptor.look(None)

    def close(self) -> None:
        """Ends `serve`, which runs in another thread; the port is free when `serve` returns."""
        self._open = False
        self._acceptor.wakeup()


def _connect_to_oneself(place: Place) -> None:
    """Checks that clients can connect: one may listen although /etc/hosts is wrong or the loopback down. Raises `OSError`."""
    with contextlib.closing(Pyro4.socketutil.createSocket(bind=(place.listen, 0))) as server:
        there = place.announce, server.getsockname()[1]
        Pyro4.socketutil.createSocket(connect=there, timeout=CALL_TIMEOUT_S).close()


@Pyro4.expose
class Names(Pyro4.naming.NameServer):  # type: ignore[misc]
    """Pyro4's own table of names, in which only the bazaar's processes may enter anything.

    Strangers cannot replay the messages of these processes. Pyro4's own clients may only look.
    """

    def __init__(self, key: bytes, refused: Callable[[], None]) -> None:
        super().__init__()
        self._key = key
        self._refused = refused

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """The URI of `name`. A guest who asks for a door gets it with a ticket (see `door.py`)."""
        found = super().lookup(name, return_metadata)
        if Pyro4.current_context.client.guest and "." not in name:  # a dot: a mailbox, or Pyro4's own
            uri = found[0] if return_metadata else found
            uri.object = ticketed(uri.object, self._key)
        return found

    def steady_clock(self) -> float:
        """The reading of the steady clock of this machine, in seconds. Others compare theirs with it."""
        return time.monotonic()

    def register(self, name: str, *arguments: Any, **more: Any) -> None:
        """Enters a name (the bazaar's own processes only; with TLS, each its own)."""
        _members_only()
        whose = Pyro4.current_context.client.name
        if whose is not None and name not in (whose, whose + MAILBOX):
            self._refused()
            raise PermissionError(f"{whose} enters no name but its own")
        super().register(name, *arguments, **more)

    def remove(self, *arguments: Any, **more: Any) -> None:
        """Always refused."""
        raise PermissionError("names stay as long as the run")

    def set_metadata(self, *arguments: Any, **more: Any) -> None:
        """Always refused."""
        raise PermissionError("names stay as they are")


def _members_only() -> None:
    if Pyro4.current_context.client.guest:
        raise PermissionError("only the bazaar's own processes enter names; look them up, or list them")


class Directory:
    """Looks names up, and enters the process's own, in any thread. It has one connection, which is made when it is needed."""

    def __init__(self, host: str, port: int, key: bytes, papers: Papers | None = None) -> None:
        self._where = joined(host, port)
        self._proxy = Pyro4.Proxy(f"PYRO:{Pyro4.constants.NAMESERVER_NAME}@{self._where}")
        self._proxy._pyroMethods = {
            "register",
            "lookup",
            "steady_clock",
        }  # what Pyro4 would ask for in a call of its own
        self._key = key
        self._papers = papers
        self._one_at_a_time = threading.Lock()

    def register(self, name: str, uri: str) -> None:
        """Enters, or replaces, the mailbox of `name`. Raises `Unreachable`."""
        self._call("register", name + MAILBOX, uri)

    def announce(self, name: str, uri: str) -> None:
        """Enters, or replaces, the door of `name`, under the plain name. Raises `Unreachable`."""
        self._call("register", name, uri)

    def lookup(self, name: str) -> str:
        """The URI of the mailbox of `name`. Raises `Unreachable` if there is none, or no name server."""
        return str(self._call("lookup", name + MAILBOX))

    def steady_clock(self) -> float:
        """The reading of the name server's steady clock, in seconds. Raises `Unreachable`."""
        return float(self._call("steady_clock"))

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with self._one_at_a_time:
                if self._proxy._pyroConnection is None:
                    connect(self._proxy, self._key, NAME_SERVER, self._papers)
                return getattr(self._proxy, method)(*arguments)
        except (Unreachable, pyro_errors.PyroError, OSError) as error:
            raise Unreachable(f"name server at {self._where}: {error}") from None
