"""Where a process listens and what it announces: by default, when it was told, and when that is impossible."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from bazaar.protocol.settings import Settings, UsageError
from bazaar.runtime.address import Place, environment_of, is_ours, joined, place, place_of_name_server, towards
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.transport import Arrival, Mailbox, Sender
from tests.needs import need
from tests.unit.conftest import serving
from tests.waiting import wait_until

KEY = b"a key"
NOT_OURS = "192.0.2.7"  # RFC 5737: nobody's


def needs_ipv6() -> None:
    need(is_ours("::1"), "IPv6 on its loopback", "sysctl net.ipv6.conf.lo.disable_ipv6=0")


def told(listen: str = "", announce: str = "") -> dict[str, str]:
    return environment_of(Settings(listen=listen or None, announce=announce or None))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
def test_on_the_name_servers_machine_all_listen_on_its_address(host: str) -> None:
    assert place(host, {}) == place_of_name_server(host, {}) == Place(host, host)


def test_ipv6_is_no_other() -> None:
    needs_ipv6()
    assert place("::1", {}) == Place("::1", "::1")
    assert towards("::1") == "::1"
    assert place("::1", told("::")) == Place("::", "::1")


def test_on_another_machine_a_process_listens_on_its_address_towards_the_name_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bazaar.runtime.address.is_ours", lambda host: False)
    assert place("127.0.0.2", {}) == Place("127.0.0.1", "127.0.0.1")


def test_who_listens_everywhere_announces_its_address_towards_the_name_server() -> None:
    assert place("127.0.0.1", told("0.0.0.0")) == Place("0.0.0.0", "127.0.0.1")
    assert place_of_name_server("127.0.0.3", told("0.0.0.0")) == Place("0.0.0.0", "127.0.0.3")


def test_what_is_announced_need_not_be_ours() -> None:
    assert place("127.0.0.1", told("127.0.0.2", NOT_OURS)) == Place("127.0.0.2", NOT_OURS)
    assert place("127.0.0.1", told("", NOT_OURS)) == Place("127.0.0.1", NOT_OURS)


def test_a_name_that_has_both_means_its_ipv4_address(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_ipv6()
    ask = socket.getaddrinfo
    both = [*ask("::1", 9, type=socket.SOCK_STREAM), *ask("127.0.0.2", 9, type=socket.SOCK_STREAM)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert towards("both") == "127.0.0.1"


@pytest.mark.parametrize(
    ("listen", "announce", "said"),
    [
        ("127.0.0.1:9090", "", "BAZAAR_LISTEN: '127.0.0.1:9090' is no address; give it without port and brackets"),
        ("", "[::1]", "BAZAAR_ANNOUNCE: '\\[::1\\]' is no address"),
        ("", "0.0.0.0", "nobody can connect to 0.0.0.0; announce the address under which others reach this machine"),
        ("", "nobody.invalid", "there is no host nobody.invalid to announce"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(listen: str, announce: str, said: str) -> None:
    for where in (place, place_of_name_server):
        with pytest.raises(UsageError, match=f"^{said}[^\n]*$"):
            where("127.0.0.1", told(listen, announce))


def test_a_name_server_that_nobody_can_reach_is_said_by_whoever_looks_for_it() -> None:
    with pytest.raises(UsageError, match=r"no way to the name server's host nobody\.invalid .*; start the run with an"):
        place("nobody.invalid", {})


def test_a_name_server_that_listens_elsewhere_than_its_address_leads_to_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^nobody can connect to 127\.0\.0\.3.*, or listen where it leads to[^\n]*$"):
        NameServer(Place("127.0.0.2", "127.0.0.3"), 0, KEY, lambda: None)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (NOT_OURS, r"cannot listen on host 192\.0\.2\.7: .*is it this machine\?"),
        ("nobody.invalid", r"there is no host nobody\.invalid"),
        ("::1:9090", r"a port stands behind brackets: \[::1\]:9090"),
    ],
)
def test_where_one_cannot_listen_is_said(host: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Mailbox(Place(host, host), "seller1", KEY, lambda: None)


@pytest.mark.parametrize(
    "here", [Place("127.0.0.2", "127.0.0.2"), Place("0.0.0.0", "127.0.0.3"), Place("::1", "::1"), Place("::", "::1")]
)
def test_a_mailbox_is_found_and_reached_where_it_announces(here: Place) -> None:
    if ":" in here.listen:
        needs_ipv6()
    with serving(NameServer(here, 0, KEY, lambda: None)) as server:
        directory = Directory(here.announce, server.port, KEY)
        mailbox = Mailbox(here, "seller1", KEY, lambda: None)
        directory.register("seller1", mailbox.uri)
        uri = directory.lookup("seller1")
        assert uri == f"PYRO:seller1@{joined(here.announce, int(uri.rpartition(':')[2]))}"
        with ThreadPoolExecutor(1) as pool:

            def say() -> None:
                sender = Sender(uri, KEY)
                sender.deliver(b"a word")
                sender.close()

            said = pool.submit(say)
            assert wait_until(lambda: mailbox.wait(0.05)) == [Arrival(b"a word", None)]
            said.result()
        mailbox.close()
