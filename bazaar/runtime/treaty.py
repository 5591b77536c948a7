"""Treaties: how the embassies of two bazaars find and reach each other, with a key that opens nothing else.

A bazaar offers a treaty to each of its partners (`--partners north,east`). For each its embassy runs a name server and a
mailbox with a key of their own, and writes `treaty-north.json`: where that name server is, and the key. The partner that
was given the file joins: its embassy enters a mailbox there, and looks the first one up. So both reach each other by the
ordinary means, and neither learns the key of the other's run. What comes with the key of a pair is believed of that partner
alone, so no third bazaar can speak in its name.

An embassy that is started again takes ports and keys from its files, so a file stays good as long as the run.
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
from bazaar.protocol.settings import Settings, UsageError
from bazaar.runtime.address import Place
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.run_folder import in_one_piece
from bazaar.runtime.transport import Mailbox, Sender, Unreachable

TREATIES = "treaties"
"""The folder in a run's own with the files of the bazaars that it joins."""


def treaty_file(partner: str) -> str:
    """The name of the file for this partner, in the folder of the run that offers the treaty."""
    return f"treaty-{partner}.json"


class Treaty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of such a file."""

    name: str
    """The bazaar that offers it."""
    partner: str
    """The bazaar that it is for."""
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
        raise UsageError(
            f"{option}: cannot be read ({error.strerror}); give the {treaty_file(own or 'NAME')} of its run"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: is no file of a treaty ({error})") from None
    if own is None:
        raise UsageError(f"{option}: this bazaar needs a name of its own to trade with others; add --name")
    if treaty.name != name:
        raise UsageError(f"{option}: this file is of {treaty.name}; give --federate {treaty.name}={path}")
    if name == own:
        raise UsageError(f"{option}: this bazaar is called {own} itself; another name for one of the two")
    if treaty.partner != own:
        raise UsageError(
            f"{option}: this file is for {treaty.partner}, not for {own}; {name} offers one with --partners {own}"
        )
    if treaty.release != __version__:
        raise UsageError(f"{option}: {name} runs release {treaty.release}, this is {__version__}; use one release")
    try:
        treaty.directory.lookup(embassy_of(name))
    except Unreachable as error:
        raise UsageError(f"{option}: {name} is not there, its run may be over ({error})") from None
    return treaty


class Abroad:
    """What an embassy has beside an ordinary process: for each pair a key and a mailbox, and a name server where it offers."""

    def __init__(
        self,
        me: str,
        place: Place,
        run: Path,
        settings: Settings,
        joined: Sequence[Treaty],
        refused: Callable[[], None],
    ) -> None:
        """`refused` counts strangers, in any thread. Raises `UsageError`, `Unreachable`."""
        self._me = me
        self._ways: dict[str, tuple[Treaty, str]] = {}
        """By other embassy: the treaty through which it is reached, and the own mailbox's URI if it must be entered there."""
        self._mailboxes: list[tuple[str, Mailbox]] = []
        for partner in settings.offered:
            treaty = _offered(settings.name or "", partner, place, run, refused)
            mailbox = self._open(embassy_of(partner), treaty, place, refused)
            treaty.directory.register(me, mailbox.uri)
            self._ways[embassy_of(partner)] = treaty, ""
            save(treaty, run / treaty_file(partner))
        for treaty in joined:
            mailbox = self._open(embassy_of(treaty.name), treaty, place, refused)
            self._ways[embassy_of(treaty.name)] = treaty, mailbox.uri

    def _open(self, other: str, treaty: Treaty, place: Place, refused: Callable[[], None]) -> Mailbox:
        mailbox = Mailbox(place, self._me, treaty.key.encode(), refused)
        self._mailboxes.append((other, mailbox))
        return mailbox

    def listen(self, take: Callable[[str, bytes], None]) -> None:
        """Hands whatever comes with the key of a pair to `take`, with the embassy whose pair it is, in threads of its own."""
        for other, mailbox in self._mailboxes:
            threading.Thread(target=self._receive, args=(other, mailbox, take), name="abroad", daemon=True).start()

    def _receive(self, other: str, mailbox: Mailbox, take: Callable[[str, bytes], None]) -> None:
        while True:
            for arrival in mailbox.wait(None):
                take(other, arrival.data)

    def connect(self, embassy: str) -> Sender:
        """A connection to another embassy. Raises `Unreachable`.

        A name server that was started again has forgotten who had joined. So this embassy enters its mailbox each time.
        """
        if embassy not in self._ways:
            raise Unreachable(f"there is no treaty with {embassy}")
        treaty, own_uri = self._ways[embassy]
        directory = treaty.directory
        if own_uri:
            directory.register(self._me, own_uri)
        return Sender(directory.lookup(embassy), treaty.key.encode())


def _offered(bazaar: str, partner: str, place: Place, run: Path, refused: Callable[[], None]) -> Treaty:
    """The treaty that this bazaar offers to a partner, with its name server, which serves from now on."""
    path = run / treaty_file(partner)
    if path.exists():
        treaty = load(path)
    else:
        key = secrets.token_hex(32)
        treaty = Treaty(bazaar, partner, secrets.token_hex(8), __version__, place.announce, 0, key)
    server = NameServer(place, treaty.port, treaty.key.encode(), refused)
    threading.Thread(target=server.serve, name="treaty", daemon=True).start()
    return msgspec.structs.replace(treaty, port=server.port)
