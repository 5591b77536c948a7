"""A connection to the cache server that all traders share, in the Redis protocol (RESP 2): Valkey and Redis speak it.

The loop of the process owns the connection, and never waits for it. What it is asked is sent at once, many calls after each
other; the results come in the same order. Only connecting waits, in a thread of the pool. If anything goes wrong, the
connection is given up, all that was under way is `Unreached`, and a new one is made soon.

Each call is one script, so the server does it as a whole (`cache_scripts.py`). An epoch is known to the server by its number
and by the server's own `run_id`. So a server that was started again is in no epoch, even if it has read an old state from its
disk.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from bazaar.protocol.cache_server import (
    PATIENCE_S,
    Call,
    Empty,
    Fill,
    Filled,
    Given,
    OtherEpoch,
    Result,
    Take,
    Unreached,
)
from bazaar.protocol.goods import ITEMS, Lot, index_of
from bazaar.protocol.settings import UsageError
from bazaar.runtime import cache_scripts
from bazaar.runtime.resp import Malformed, Replies, Said, command

CACHE_URI = "BAZAAR_CACHE_URI"  # an environment variable: where the server is
CONNECT_S = 2.0  # to connect, to log in, to load the scripts
AGAIN_AFTER_S = 0.2  # after a connection has ended
MOST_BYTES = 65536
UNREACHED = Unreached()
_lot = msgspec.json.Decoder(Lot)


class Loop(Protocol):
    """The loop of the process."""

    def listen(self, connection: socket.socket, readable: Callable[[], None]) -> None:
        """Calls `readable` when there is input."""

    def forget(self, connection: socket.socket) -> None:
        """Undoes `listen`."""

    def apart(self, act: Callable[[], Callable[[], None]]) -> None:
        """Runs `act` in another thread, and what it returns in the loop."""


class CacheClient:
    """Makes calls for one process. `call` and `results` are used by its loop alone."""

    def __init__(self, uri: str, key: bytes, loop: Loop) -> None:
        """`uri`: `redis://:PASSWORD@HOST:PORT`. `key`: the run's, which tells it from other runs on the same server."""
        self._uri = uri
        self._keys = keys_of(key)
        self._loop = loop
        self._connection: Connection | None = None
        self._connecting = False
        self._again_at = 0.0
        self._under_way: deque[tuple[Call, float]] = deque()  # each with when it is given up
        self._results: list[tuple[Call, Result]] = []
        self._connect()

    @property
    def deadline(self) -> float:
        """When `results` has something at the latest."""
        if self._results:
            return 0.0
        return self._under_way[0][1] if self._under_way else float("inf")

    def call(self, calls: Iterable[Call]) -> None:
        """Makes these calls, one after the other."""
        if self._connection is None:
            self._results += [(call, UNREACHED) for call in calls]
            if time.monotonic() >= self._again_at:
                self._connect()
            return
        until = time.monotonic() + PATIENCE_S
        data = bytearray()
        for call in calls:
            self._under_way.append((call, until))
            data += encoded(call, self._keys, self._connection.run_id)
        try:
            sent = self._connection.socket.send(data)
        except OSError:
            sent = 0
        if sent < len(data):  # the server does not even read
            self._give_up()

    def results(self) -> Iterator[tuple[Call, Result]]:
        """What has come of calls since the last time."""
        if self._under_way and self._under_way[0][1] <= time.monotonic():
            self._give_up()
        results, self._results = self._results, []
        yield from results

    def _readable(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.socket.recv(MOST_BYTES)
            for said in self._connection.replies.feed(data):
                call, _ = self._under_way.popleft()
                self._results.append((call, decoded(call, said)))
        except BlockingIOError:
            return
        except (OSError, Malformed, IndexError):  # it says what nobody has asked for
            data = b""
        if not data:
            self._give_up()

    def _give_up(self) -> None:
        """Ends the connection. Nobody knows what became of the calls that are under way."""
        if self._connection is not None:
            self._loop.forget(self._connection.socket)
            self._connection.socket.close()
            self._connection = None
        self._again_at = time.monotonic() + AGAIN_AFTER_S
        self._results += [(call, UNREACHED) for call, _ in self._under_way]
        self._under_way.clear()

    def _connect(self) -> None:
        if self._connecting:
            return
        self._connecting = True
        self._again_at = time.monotonic() + AGAIN_AFTER_S

        def connect() -> Callable[[], None]:
            try:
                connection = Connection(self._uri)
            except (OSError, Malformed, UsageError):
                connection = None
            return lambda: self._connected(connection)

        self._loop.apart(connect)

    def _connected(self, connection: Connection | None) -> None:
        self._connecting = False
        self._connection = connection
        if connection is not None:
            self._loop.listen(connection.socket, self._readable)


class Connection:
    """A connection that is logged in and has loaded the scripts. The constructor waits for that."""

    def __init__(self, uri: str) -> None:
        """Raises `OSError`, `Malformed`, and `UsageError` if the URI or the password is wrong."""
        host, port, words = _parsed(uri)
        self.replies = Replies()
        self.socket = socket.create_connection((host, port), CONNECT_S)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if words:
                self._ask("AUTH", *words)
            info = self._ask("INFO", "server")
            lines = info.decode(errors="replace").splitlines() if isinstance(info, bytes) else []
            self.run_id = next((line.partition(":")[2] for line in lines if line.startswith("run_id:")), "")
            for script in (cache_scripts.TAKE, cache_scripts.FILL):
                self._ask("SCRIPT", "LOAD", script)
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise

    def _ask(self, *words: str) -> Said:
        self.socket.sendall(command(*words))
        while True:
            data = self.socket.recv(MOST_BYTES)
            if not data:
                raise ConnectionResetError("the server has ended the connection")
            for said in self.replies.feed(data):
                if isinstance(said, Exception):
                    raise UsageError(f"the cache server refuses {words[0]}: {said}")
                return said


def check(uri: str) -> None:
    """Raises `UsageError` if the server at this URI cannot be used."""
    try:
        Connection(uri).socket.close()
    except (OSError, Malformed) as error:
        where = uri.rpartition("@")[2]
        raise UsageError(
            f"BAZAAR_CACHE_URI: there is no cache server at {where} ({error}); start it, or unset the variable to have one "
            "started"
        ) from None
    except UsageError as error:
        raise UsageError(f"BAZAAR_CACHE_URI: {error}; give redis://:PASSWORD@HOST:PORT") from None


def keys_of(key: bytes) -> list[str]:
    """The keys that the scripts use at the server, for the run with this key."""
    run = hmac.digest(key, b"the run's name at the cache server", "sha256").hex()[:16]
    return [f"bazaar:{run}:epoch", *(f"bazaar:{run}:{what}:{item}" for item in ITEMS for what in ("lots", "left"))]


def encoded(call: Call, keys: Sequence[str], run_id: str) -> bytes:
    """The command for this call to the server with this id."""
    epoch = f"{call.epoch:020d}:{run_id}"
    if isinstance(call, Take):
        shelf = 1 + 2 * ITEMS.index(call.item)
        sha = cache_scripts.sha(cache_scripts.TAKE)
        return command("EVALSHA", sha, 3, keys[0], *keys[shelf : shelf + 2], epoch, call.units)
    lots = (word for lot in call.lots for word in (ITEMS.index(lot.item), lot.clock, _member(lot), lot.count))
    sha = cache_scripts.sha(cache_scripts.FILL)
    return command("EVALSHA", sha, len(keys), *keys, epoch, int(call.fresh), *lots)


def _parsed(uri: str) -> tuple[str, int, tuple[str, ...]]:
    """Host, port, and the words for AUTH. Raises `UsageError`."""
    parts = urlsplit(uri)
    with contextlib.suppress(ValueError):
        if parts.scheme in ("redis", "valkey") and parts.hostname:
            words = tuple(unquote(word) for word in (parts.username, parts.password) if word)
            return parts.hostname, parts.port or 6379, words
    raise UsageError(f"{uri.rpartition('@')[2]!r} names no server")


def _member(lot: Lot) -> str:
    """A lot as the server keeps it. Among lots with the same clock the first in this order is sold first."""
    whole = Lot(lot.deposit_id, lot.seller, lot.item, lot.price_cents, lot.clock, 0)
    return f"{index_of(lot.seller):06d}{msgspec.json.encode(whole).decode()}"


def decoded(call: Call, said: Said) -> Result:
    """What the server said to this call. Raises `Malformed`."""
    match said:
        case -1:
            return OtherEpoch()
        case 0:
            return Empty()
        case 1 if isinstance(call, Fill):
            return Filled()
        case [bytes(member), int(count), int(left)]:
            lot = _lot.decode(member[6:])
            return Given(Lot(lot.deposit_id, lot.seller, lot.item, lot.price_cents, lot.clock, count), left)
        case _:  # an error, such as NOSCRIPT: a new connection loads the scripts again
            raise Malformed(str(said))
