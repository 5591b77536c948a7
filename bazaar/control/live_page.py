"""The launcher's side of the live page (`--serve`): the port, the process that serves it, and the faults that are asked for.

The port is bound before anything is started, and handed down. The process (`bazaar/views/live/`) is no part of the run. If it
ends or hangs the run goes on, and one line at the end says so. A fault that a viewer asks for comes as a line on its standard
output, and the answer goes back as a line on its standard input; when that ends, the run is over.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from bazaar.control.injector import Injector
from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import LAUNCHER, ROOT
from bazaar.runtime.runclock import LAUNCHED_FILE

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")
TOKEN_VARIABLE = "BAZAAR_TOKEN"  # other users can read a command line, but not an environment
AT_ONCE = 65_536  # bytes: what a pipe holds
EXIT_PATIENCE_S = 4.0  # for the viewers to take the verdict


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault that a viewer asks for."""

    do: str
    """`kill`, `pause`, `resume`, `restart` or `resign`."""
    name: str
    """A process, or `traderI`."""
    for_s: float = 0.0
    """How long a pause lasts."""


class Asked(msgspec.Struct, frozen=True):
    """A wish on its way to the launcher."""

    number: int
    wish: Wish


class Answer(msgspec.Struct, frozen=True):
    """What came of the wish of this number."""

    number: int
    refused: str
    """The reason; empty if the fault was injected."""


class Run(Protocol):
    """The run that is shown, and that faults are injected into."""

    @property
    def out(self) -> Path:
        """The run's folder."""

    @property
    def injector(self) -> Injector:
        """Injects the faults."""


class Address:
    """A socket that listens, and the address of the page there."""

    def __init__(self, text: str, option: str) -> None:
        """`text`: `PORT` or `ADDRESS:PORT`; without an address it is loopback. Port 0 is a free one. Raises `UsageError`."""
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)]:|([^:\[\]/]+):)?([0-9]{1,5})", text)
        if match is None or int(match[3]) > 65_535:
            given = repr(text[:60])[1:-1]
            raise UsageError(
                f"{option} {given}: give it a PORT or ADDRESS:PORT, and put the host and the numbers before it"
            )
        host, port = match[1] or match[2] or LOOPBACK, int(match[3])
        try:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.listening = socket.create_server(where[:2], family=family, backlog=64)
        except (OSError, UnicodeError) as error:
            reason = _words(error)
            raise UsageError(
                f"{option} {text}: cannot listen at {host}:{port} ({reason}); give another, or none"
            ) from None
        self.name = socket.gethostname() if host in EVERYWHERE else host
        """The host's name or address, as it stands in the page's address."""
        self.token = secrets.token_urlsafe(18)
        """Part of the page's address. Whoever does not know it can neither look at the run nor do anything to it."""

    @property
    def url(self) -> str:
        """The page's address."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"http://{name}:{self.listening.getsockname()[1]}/{self.token}/"


def _words(error: OSError | UnicodeError) -> str:
    """The reason in the system's words, to which Python may have added the address once more."""
    if isinstance(error, UnicodeError):
        return "that is no name"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


class LivePage:
    """Call `look` ten times a second. At the end of the block no process is left, and the port is free."""

    def __init__(self, address: Address, complain: Callable[[str], object]) -> None:
        """`complain` is called at the end, if the page was not there to the end."""
        self._address = address
        self._complain = complain
        self._popen: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._problem = ""

    @property
    def url(self) -> str:
        """The page's address."""
        return self._address.url

    def __enter__(self) -> LivePage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def look(self, run: Run) -> None:
        """Starts the page as soon as the run is launched; injects the faults that were asked for since the last look."""
        if self._problem:
            return
        try:
            if self._popen is None and (run.out / LAUNCHED_FILE).exists():
                self._popen = self._started(run.out)
            for asked in self._wishes():
                refused = run.injector.by_hand(asked.wish.do, asked.wish.name, asked.wish.for_s)
                self._write(msgspec.json.encode(Answer(asked.number, refused)) + b"\n")
        except BlockingIOError:  # there is no wish, or it does not read the answers
            pass
        except (OSError, msgspec.MsgspecError) as error:
            self._problem = str(error)

    def _started(self, out: Path) -> subprocess.Popen[bytes]:
        descriptor = self._address.listening.fileno()
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
        more = {"PYTHONPATH": path, LAUNCHER: str(os.getpid()), TOKEN_VARIABLE: self._address.token}
        popen = subprocess.Popen(
            [sys.executable, "-m", "bazaar.views.live", str(out), str(descriptor), self._address.name],
            cwd=out,
            env={**os.environ, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(descriptor,),
        )
        for pipe in (popen.stdin, popen.stdout, popen.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)  # whatever the page does, the run does not wait for it
        return popen

    def _wishes(self) -> list[Asked]:
        """Raises `OSError` if there is no wish, or no page any more."""
        if self._popen is None:
            return []
        assert self._popen.stdout is not None
        data = os.read(self._popen.stdout.fileno(), AT_ONCE)
        if not data:
            raise ProcessLookupError(self._last_words())
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [msgspec.json.decode(line, type=Asked) for line in lines]

    def _last_words(self) -> str:
        assert self._popen is not None
        assert self._popen.stderr is not None
        with contextlib.suppress(BlockingIOError):
            words = os.read(self._popen.stderr.fileno(), AT_ONCE).decode(errors="replace").strip()
            return words.rpartition("\n")[2] or "it was killed"
        return "it closed its output"

    def _write(self, data: bytes) -> None:
        assert self._popen is not None
        assert self._popen.stdin is not None
        os.write(self._popen.stdin.fileno(), data)

    def close(self) -> None:
        """The run is over: lets the viewers take the verdict, ends the process, and frees the port."""
        self._address.listening.close()
        if self._popen is not None:
            with self._popen:  # closes the pipes
                try:
                    assert self._popen.stdin is not None
                    self._popen.stdin.close()
                    if not self._problem:
                        self._popen.wait(EXIT_PATIENCE_S)
                except (OSError, subprocess.TimeoutExpired):
                    pass
                finally:  # also after Ctrl-C
                    self._popen.kill()
        if self._problem:
            self._complain(f"the live page has ended before the run: {self._problem}")
