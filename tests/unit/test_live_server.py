"""The live page's server, over real sockets: who may look, who may act, and what a client cannot do to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bazaar.control.live_page import Wish
from bazaar.protocol.plan import save
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER
from bazaar.runtime.runclock import start_clock
from bazaar.views.live import server as serving
from bazaar.views.live.server import MOST_BODY, Server
from bazaar.views.live.show import Show
from tests.builders import a_plan
from tests.waiting import wait_until

TOKEN = "a-token"
PLAN = a_plan(peers=4, traders=1)
KILL = b'{"do":"kill","name":"buyer0"}'


class Site:
    """A server that runs, and somebody who uses it. `wishes` are the faults that were asked for."""

    def __init__(self, run: Path, acts: bool = True) -> None:
        self.wishes: list[Wish] = []
        self.refusal = ""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = self.listening.getsockname()
        self.show = Show(run, PLAN, acts)
        self.server = Server(self.listening, "testhost", TOKEN, self.show, self._ask if acts else None)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _ask(self, wish: Wish) -> str:
        self.wishes.append(wish)
        return self.refusal

    def asks(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        host, port = self.address
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        said = response.read().decode()
        connection.close()
        return response.status, said, response.headers

    def sends(self, data: bytes) -> bytes:
        """Raw bytes, and all that comes back until the server closes."""
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    start_clock(tmp_path)
    save(PLAN, tmp_path / "bazaar.json")
    for name in (LAUNCHER, *PLAN.names):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def open_site(run: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(**options: Any) -> Site:
        sites.append(Site(run, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.show.end(0.0)
        site.server.shutdown()
        site.server.server_close()


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    return open_site()


# ----------------------------------------------------------------------------------------------- looking
def test_who_has_the_address_gets_the_page_which_nobody_may_frame_or_keep(site: Site) -> None:
    status, said, headers = site.asks("GET", f"/{TOKEN}/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert said.encode() == site.show.page
    assert (headers["X-Frame-Options"], headers["Cache-Control"]) == ("DENY", "no-store")
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


PLACES = ["", "events", "story?order=buyer0-0", "report.html", "fault"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "prefix", ["/", "/wrong/", "/a-toke/", "/a-token2/", "/x/a-token/", "/%61-token/", "/a-token\xff/"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_token_there_is_nothing(method: str, prefix: str, place: str, site: Site) -> None:
    head = f"{method} {prefix}{place} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(KILL)}"
    answer = site.sends(head.encode("latin-1") + b"\r\n\r\n" + KILL)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"open the whole address that was printed" in answer
    assert site.wishes == []


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example", "[::1", "a:b:c", "localhost.", "testhost2"],
)
@pytest.mark.parametrize(("method", "place"), [("GET", ""), ("GET", "events"), ("POST", "fault")])
def test_another_name_is_refused_so_that_it_cannot_be_rebound(method: str, place: str, host: str, site: Site) -> None:
    status, said, _ = site.asks(method, f"/{TOKEN}/{place}", KILL if method == "POST" else None, Host=host)
    assert (status, site.wishes) == (403, [])
    assert "not by another name" in said


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7", "testhost:5"]
)
def test_its_address_localhost_and_the_hosts_own_name_are_heeded(host: str, site: Site) -> None:
    assert site.asks("GET", f"/{TOKEN}/", Host=host)[0] == 200


@pytest.mark.parametrize("place", ["nowhere", "../etc/passwd", "events/", "%2e%2e", "fault"])
def test_what_is_not_there_is_404(place: str, site: Site) -> None:
    assert site.asks("GET", f"/{TOKEN}/{place}")[0] == 404


def test_an_address_without_its_last_stroke_is_told_so(site: Site) -> None:
    assert site.asks("GET", f"/{TOKEN}")[:2] == (404, "the address ends with a /")


def test_stories_and_the_report_come_when_they_are_there(site: Site, run: Path) -> None:
    (run / "buyer0" / HISTORY_FILE).write_text(
        '{"what":"ordered","at":1.0,"process":"buyer0","clock":1,"facts":{"order":"buyer0-0","item":"fish","trader":"buyer7"}}\n'
    )
    status, said, headers = site.asks("GET", f"/{TOKEN}/story?order=buyer0-0")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(said)["order"] == "buyer0-0"
    for query in ("?order=buyer0-1", "", "?order=%ff%00<script>", "?" + "&".join(["order=x"] * 2_000)):
        status, said, headers = site.asks("GET", f"/{TOKEN}/story{query}")
        assert (status, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert site.asks("GET", f"/{TOKEN}/report.html")[0] == 404
    site.show.end(0.0)
    (run / "report.html").write_text("<p>all of it")
    assert site.asks("GET", f"/{TOKEN}/report.html")[:2] == (200, "<p>all of it")


def test_what_is_new_is_pushed_until_the_run_is_over(site: Site) -> None:
    with socket.create_connection(site.address, timeout=10) as connection:
        connection.sendall(f"GET /{TOKEN}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stream = connection.makefile("rb")
        head = b"".join(iter(stream.readline, b"\r\n"))
        assert b"Content-Type: text/event-stream\r\n" in head
        assert stream.readline() == b"retry: 2000\n"
        stream.readline()
        assert json.loads(stream.readline().removeprefix(b"data: "))["over"] is False
        site.show.end(0.0)
        rest = [line for line in stream if line.startswith(b"data: ")]
        assert [json.loads(line.removeprefix(b"data: "))["over"] for line in rest] == [True]


# ------------------------------------------------------------------------------------------------ acting
def test_who_has_the_address_can_have_a_fault_injected(site: Site) -> None:
    assert site.asks("POST", f"/{TOKEN}/fault", b'{"do":"pause","name":"buyer0","for_s":2}')[:2] == (200, "done")
    assert site.wishes == [Wish("pause", "buyer0", 2.0)]
    site.refusal = "buyer0 was not there"
    assert site.asks("POST", f"/{TOKEN}/fault", KILL)[:2] == (409, "buyer0 was not there")


RUBBISH = [
    b"",
    b"kill buyer0",
    b"[]",
    b'{"do":"kill"}',
    b'{"do":"kill","name":7}',
    b'{"do":"kill","name":"buyer0","sudo":true}',
    b'{"do":"kill","name":"\xff"}',
    KILL + b" " * MOST_BODY,
]


@pytest.mark.parametrize("body", RUBBISH)
def test_rubbish_is_no_fault(body: bytes, site: Site) -> None:
    assert site.asks("POST", f"/{TOKEN}/fault", body)[0] == 400
    assert site.wishes == []


@pytest.mark.parametrize("length", ["-1", "x", "9" * 5_000, "1e2", "\u0663"])
def test_a_body_has_a_length(length: str, site: Site) -> None:
    answer = site.sends(
        f"POST /{TOKEN}/fault HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode() + KILL
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert site.sends(f"POST /{TOKEN}/fault HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert site.wishes == []


def test_where_nobody_acts_it_can_only_be_looked_at(open_site: Callable[..., Site]) -> None:
    site = open_site(acts=False)
    status, said, _ = site.asks("POST", f"/{TOKEN}/fault", KILL)
    assert status == 403
    assert "only shows the run" in said


# ------------------------------------------------------------------------------------ hostile and clumsy
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody tries TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW /a-token/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"HEAD /a-token/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /a-token/",
    ],
    ids=range(11),
)
def test_what_is_no_request_is_closed_and_the_next_one_is_served(
    data: bytes, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_PATIENCE_S", 0.3)
    with contextlib.suppress(ConnectionResetError):  # it did not read all of it
        assert b" 200 " not in site.sends(data)[:20]
    assert site.asks("GET", f"/{TOKEN}/")[0] == 200


def test_who_sends_a_byte_now_and_then_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: each byte comes in time, and the request never."""
    monkeypatch.setattr(serving, "REQUEST_PATIENCE_S", 0.4)
    with socket.create_connection(site.address, timeout=10) as connection:
        connection.settimeout(0.05)

        def let_go() -> bool:
            try:
                connection.sendall(b"X")
                return connection.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(let_go, 5.0)


def test_a_viewer_that_takes_nothing_is_let_go_and_keeps_nobody_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REPLY_PATIENCE_S", 0.3)
    pieces = b"x" * 500_000
    monkeypatch.setattr(site.show, "_piece", lambda *_: pieces)
    with socket.create_connection(site.address, timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.sendall(f"GET /{TOKEN}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: len(site.show._viewers) == 1)

        def gone() -> bool:
            with site.show._changed:
                site.show._renew()
            return not site.show._viewers

        wait_until(gone)
    assert site.asks("GET", f"/{TOKEN}/")[0] == 200


def test_one_connection_too_many_is_closed_and_the_others_stay(
    run: Path, monkeypatch: pytest.MonkeyPatch, open_site: Callable[..., Site]
) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    site = open_site()
    held = [socket.create_connection(site.address, timeout=10) for _ in range(3)]
    assert site.sends(b"") == b""
    held[0].sendall(f"GET /{TOKEN}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert held[0].recv(12) == b"HTTP/1.1 200"
    for connection in held:
        connection.close()
    wait_until(lambda: site.sends(f"GET /{TOKEN}/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()))
