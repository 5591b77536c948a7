"""The page over HTTP: the standard library's server, with bounds on what a client can take (ADR 53).

The first part of each path is the token, so nobody who was not given the address can look or ask for a fault. The name in
`Host` is checked, so that no other site's page reaches the server by a name of its own (DNS rebinding). What is new is pushed
by server-sent events (WHATWG HTML, 9.2).

    GET  /TOKEN/              the page
    GET  /TOKEN/events        the stream of what is new
    GET  /TOKEN/story?order=  the story of an order, as JSON
    GET  /TOKEN/report.html   the report of a run that is over
    POST /TOKEN/fault         a `Wish`, as JSON: 200, or 409 and why it was refused
"""

from __future__ import annotations

import contextlib
import hmac
import io
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import msgspec

from bazaar.control.live_page import Wish
from bazaar.views.live.show import Show

MOST_CONNECTIONS = 64
MOST_BODY = 1_000
SENT_AHEAD = 65_536  # bytes that the system holds for a slow client
REQUEST_PATIENCE_S = 10.0
"""For a whole request, from the first byte to the last, so that a client that sends a byte now and then occupies nothing."""
REPLY_PATIENCE_S = 10.0
COME_BACK_MS = 2_000
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"


class Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number. The socket listens already."""

    daemon_threads = True

    def __init__(
        self, listening: socket.socket, name: str, token: str, show: Show, ask: Callable[[Wish], str] | None = None
    ) -> None:
        """`name`: the host's, as it stands in the page's address. `ask` injects faults; None: nobody can."""
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.names = ("localhost", name)
        self.token, self.show, self.ask = token, show, ask
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection in a thread of its own. One too many is closed at once."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is to be done about a client that has left in the middle."""


class _InTime(io.RawIOBase):
    """What a client sends, until a deadline. Raises `TimeoutError` then."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.deadline = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(max(0.001, self.deadline - time.monotonic()))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bazaar", ""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)
        self._input = _InTime(self.connection)
        self.rfile = io.BufferedReader(self._input)

    def handle_one_request(self) -> None:
        self._input.deadline = time.monotonic() + REQUEST_PATIENCE_S
        super().handle_one_request()

    def log_message(self, format: str, *_: Any) -> None:
        """There is no log."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuses what is no HTTP, or no method that there is here."""
        self.close_connection = True
        self._say(code, (message or "this cannot be understood").encode(), TEXT)

    # -------------------------------------------------------------------------------------------- GET
    def do_GET(self) -> None:
        """Looks at the run."""
        place = self._place()
        if place is None:
            return
        name, _, query = place.partition("?")
        show = self.server.show
        match name:
            case "":
                self._say(200, show.page, HTML)
            case "events":
                self._push()
            case "story":
                order = parse_qs(query).get("order", [""])[0]
                self._answer(
                    show.story(order), JSON, f"no history mentions an order {order[:60]!r}; they are like buyer0-3"
                )
            case "report.html":
                self._answer(show.report(), HTML, "there is no report yet: it is made when the run is over")
            case _:
                self._refuse(404, "there is no such page")

    def _push(self) -> None:
        self.close_connection = True
        self._begin(200, {"Content-Type": "text/event-stream"})
        self.wfile.write(b"retry: %d\n\n" % COME_BACK_MS)
        with contextlib.closing(self.server.show.news(self.client_address[0])) as news:
            for piece in news:
                self.wfile.write(b"data: %b\n\n" % piece if piece else b": still here\n\n")

    # ------------------------------------------------------------------------------------------- POST
    def do_POST(self) -> None:
        """Asks for a fault."""
        self.close_connection = True  # the body of a refused request is not read
        place = self._place()
        length = self.headers.get("Content-Length", "")
        if place is None:
            return
        if place != "fault":
            self._refuse(404, "there is no such page")
        elif self.server.ask is None:
            self._refuse(
                403, "this page only shows the run; the page of a run that was started with --serve has buttons"
            )
        elif not re.fullmatch("[0-9]{1,4}", length) or int(length) > MOST_BODY:
            self._refuse(400, f"a fault is JSON of at most {MOST_BODY} bytes, with its Content-Length")
        else:
            try:
                wish = msgspec.json.decode(self.rfile.read(int(length)), type=Wish)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._refuse(400, f'a fault is like {{"do":"kill","name":"buyer3"}}: {error}')
                return
            refused = self.server.ask(wish)
            self._refuse(409, refused) if refused else self._say(200, b"done", TEXT)

    # ------------------------------------------------------------------------------------------ shared
    def _place(self) -> str | None:
        """The path behind the token; None if the request was refused."""
        host = re.fullmatch(r"(?:\[([^\[\]]*)]|([^:\[\]]*))(?::[0-9]{1,5})?", self.headers.get("Host", ""))
        name = (host[1] or host[2] or "") if host else ""
        _, _, rest = self.path.partition("/")
        token, slash, place = rest.partition("/")
        if not (name.lower() in self.server.names or _is_address(name)):
            self._refuse(403, "this page is reached by its address or as localhost, not by another name")
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(
                403, "open the whole address that was printed: the part behind the first / says that you may look"
            )
        elif not slash:
            self._refuse(404, "the address ends with a /")
        else:
            return place
        return None

    def _answer(self, body: bytes | None, kind: str, refusal: str) -> None:
        self._say(200, body, kind) if body is not None else self._refuse(404, refusal)

    def _refuse(self, status: int, reason: str) -> None:
        self._say(status, reason.encode(), TEXT)

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self._begin(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, status: int, more: dict[str, str]) -> None:
        self.connection.settimeout(REPLY_PATIENCE_S)
        self.send_response(status)
        for name, value in {**HEADERS, **more, **({"Connection": "close"} if self.close_connection else {})}.items():
            self.send_header(name, value)
        self.end_headers()


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False
