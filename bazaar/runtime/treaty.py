"""Treaties: how the embassies of two bazaars find and reach each other, with a key that opens nothing else.

A bazaar with a name offers a treaty. Its embassy runs a name server of its own, with the treaty's key, and writes
`treaty.json`: where that name server is, and the key. Whoever was given the file may join: the other embassy enters a
mailbox there, and looks the first one up. So both reach each other by the ordinary means, and neither learns the key of
the other's run.

An embassy that is started again takes the port and the key from its file, so the file stays good as long as the run.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bazaar import __version__
from bazaar.protocol.goods import embassy_of
from bazaar.protocol.settings import UsageError
from bazaar.runtime.address import Place
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.run_folder import in_one_piece
from bazaar.runtime.transport import Mailbox, Sender, Unreachable

TREATY_FILE = "treaty.json"
TREATIES = "treaties"
"""The folder in a run's own with the files of the bazaars that it joins."""


class Treaty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `treaty.json`."""

    name: str
    run: str
    """Tells two runs of one bazaar apart."""
    release: str
    host: str
    port: int
    key: str

    @property
    def directory(self) -> Directory:
        """The name server of this treaty."""
        return Directory(self.host, self.port, self.key.encode())


def save(treaty: Treaty, path: Path) -> None:
    """Writes a file that only its owner can read."""
    with in_one_piece(path) as draft:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(treaty), indent=2) + b"\n")


def load(path: Path) -> Treaty:
    """Reads such a file. Raises `OSError`, `msgspec.MsgspecError`."""
    return msgspec.json.decode(path.read_bytes(), type=Treaty)


def join(name: str, path: Path, own: str | None) -> Treaty:
    """The treaty of the bazaar `name`, for a bazaar called `own`. Raises `UsageError` unless the other one is there now."""
    option = f"--federate {name}={path}"
    try:
        treaty = load(path)
    except OSError as error:
        raise UsageError(f"{option}: cannot be read ({error.strerror}); give the {TREATY_FILE} of its run") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: is no {TREATY_FILE} ({error})") from None
    if own is None:
        raise UsageError(f"{option}: this bazaar needs a name of its own to trade with others; add --name")
    if treaty.name != name:
        raise UsageError(f"{option}: this file is of {treaty.name}; give --federate {treaty.name}={path}")
    if name == own:
        raise UsageError(f"{option}: this bazaar is called {own} itself; another name for one of the two")
    if treaty.release != __version__:
        raise UsageError(f"{option}: {name} runs release {treaty.release}, this is {__version__}; use one release")
    try:
        treaty.directory.lookup(embassy_of(name))
    except Unreachable as error:
        raise UsageError(f"{option}: {name} is not there, its run may be over ({error})") from None
    return treaty


class Abroad:
    """What an embassy has beside an ordinary process: its own treaty, those that it joined, and a mailbox for each."""

    def __init__(
        self, me: str, bazaar: str, place: Place, run: Path, joined: Sequence[Treaty], refused: Callable[[], None]
    ) -> None:
        """`refused` counts strangers, in any thread. Raises `UsageError`, `Unreachable`."""
        self._me = me
        path = run / TREATY_FILE
        if path.exists():
            own = load(path)
        else:
            own = Treaty(bazaar, secrets.token_hex(8), __version__, place.announce, 0, secrets.token_hex(32))
        server = NameServer(place, own.port, own.key.encode(), refused)
        own = msgspec.structs.replace(own, port=server.port)
        threading.Thread(target=server.serve, name="treaty", daemon=True).start()
        self._own = own
        self._joined = {embassy_of(treaty.name): treaty for treaty in joined}
        self._mailboxes = {treaty.key: Mailbox(place, me, treaty.key.encode(), refused) for treaty in (own, *joined)}
        own.directory.register(me, self._mailboxes[own.key].uri)
        save(own, path)

    def listen(self, take: Callable[[bytes], None]) -> None:
        """Hands whatever other embassies deliver to `take`, in threads of its own."""
        for mailbox in self._mailboxes.values():
            threading.Thread(target=self._receive, args=(mailbox, take), name="abroad", daemon=True).start()

    def _receive(self, mailbox: Mailbox, take: Callable[[bytes], None]) -> None:
        while True:
            for arrival in mailbox.wait(None):
                take(arrival.data)

    def connect(self, embassy: str) -> Sender:
        """A connection to another embassy. Raises `Unreachable`.

        A name server that was started again has forgotten who had joined. So this embassy enters its mailbox each time.
        """
        treaty = self._joined.get(embassy, self._own)
        directory = treaty.directory
        if treaty is not self._own:
            directory.register(self._me, self._mailboxes[treaty.key].uri)
        return Sender(directory.lookup(embassy), treaty.key.encode())
