"""The live page of a real run: it shows what happens, and does what is asked for; the run does not depend on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bazaar.control.live_page import Address, LivePage
from bazaar.protocol.plan import save
from bazaar.runtime.runclock import start_clock
from tests.builders import a_plan
from tests.processes.command import Command, ended, launched, processes_of
from tests.waiting import wait_until

PATIENCE_S = 60.0
ARGUMENTS = ("localhost", 5, 2, "--pace", "fast", "--seed", 5)


def address_of(command: Command) -> str:
    """The address that a command prints in its first line."""
    assert command.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{24}/$", command.stdout.readline().strip())
    assert found is not None
    return found[0]


def asks(url: str, body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def news_of(url: str) -> Iterator[dict[str, Any]]:
    """What the page is sent, until the stream ends."""
    with urllib.request.urlopen(f"{url}events", timeout=PATIENCE_S) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def asks_for(url: str, **wish: object) -> tuple[int, str]:
    return asks(f"{url}fault", json.dumps(wish).encode())


def assert_nothing_left(tmp_path: Path, url: str) -> None:
    wait_until(lambda: not processes_of(tmp_path), 20.0)
    port = int(url.split("/")[2].rpartition(":")[2])

    def free() -> bool:
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return True
        return False

    wait_until(free, 20.0)


def verdict(out: Path) -> str:
    return str(json.loads((out / "summary.json").read_text())["verdict"])


@pytest.mark.timeout(240)
def test_a_trader_that_is_killed_from_the_page_falls_and_the_run_is_judged_all_the_same(
    tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *ARGUMENTS, "--serve", "--out", out) as command:
        url = address_of(command)
        assert "id=" in asks(url)[1]
        assert (
            asks(url.replace(url.split("/")[3], "wrong-token") + "fault", b'{"do":"kill","name":"trader0"}')[0] == 403
        )
        dead: dict[str, str] = {}  # who fell, and from which seat
        seats: dict[str, str] = {}
        asked: list[object] = []
        interrupted = False  # a second interrupt would abandon the run; and at the end queues are read once more
        last: dict[str, Any] = {}
        for last in news_of(url):
            if "state" not in last:
                continue
            for change in last["state"]["changes"]:
                if change["now"].startswith("trader"):
                    seats[change["who"]] = change["now"]
                elif change["now"] == "dead":
                    dead[change["who"]] = seats[change["who"]]
            if not asked and last["state"]["columns"]["shipped"] and sum(last["state"]["columns"]["shipped"]) > 50:
                asked = [asks_for(url, do="kill", name="trader1"), asks_for(url, do="kill", name="nobody")]
            took_over = [change for change in last["state"]["changes"] if change["now"] == "took over"]
            if took_over and not interrupted:
                assert took_over[0]["of"] in dead
                command.send_signal(signal.SIGINT)
                interrupted = True
        status, said, complained = ended(command)
    assert asked[0] == (200, "done")
    assert asked[1][0] == 409  # type: ignore[index]
    assert list(dead.values()) == ["trader1"]
    assert (last["over"], last["summary"]["verdict"]) == (True, "held")
    assert (status, complained, verdict(out)) == (0, "", "held"), said
    (fault,) = json.loads((out / "summary.json").read_text())["faults"]
    assert re.fullmatch(r"kill:trader1@\d+(\.\d+)?", fault["what"])
    assert fault["detected_s"] is not None
    assert_nothing_left(tmp_path, url)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_run_goes_on_without_its_page(number: signal.Signals, tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *ARGUMENTS, "--requests", 300, "--serve", "--out", out) as command:
        url = address_of(command)
        asks(url)  # it is there
        (pid,) = [pid for pid, line in processes_of(out).items() if "bazaar.views.live" in line]
        os.kill(pid, number)
        status, _, complained = ended(command)
    assert (status, verdict(out)) == (0, "held")
    killed = "bazaar: the live page has ended before the run: it was killed\n"
    assert complained == (killed if number == signal.SIGKILL else "")
    assert_nothing_left(tmp_path, url)


def test_ctrl_c_ends_the_page_with_the_run_whoever_looks(tmp_path: Path, mongo_uri: str) -> None:
    """One viewer reads, another has stopped reading."""
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *ARGUMENTS, "--serve", "--out", out) as command:
        url = address_of(command)
        deaf = socket.create_connection(("127.0.0.1", int(url.split("/")[2].rpartition(":")[2])))
        deaf.sendall(f"GET /{url.split('/')[3]}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for news in news_of(url):
            if not news["over"] and news["state"]["opening"] is not None and news["state"]["columns"]["shipped"]:
                command.send_signal(signal.SIGINT)
                break
        status, _, complained = ended(command)
        deaf.close()
    assert (status, complained) == (0, "")
    assert_nothing_left(tmp_path, url)


def test_a_launcher_that_is_killed_takes_the_page_with_it(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *ARGUMENTS, "--serve", "--out", out) as command:
        url = address_of(command)
        asks(url)
        command.kill()
        ended(command)
    assert_nothing_left(tmp_path, url)


def test_a_run_that_goes_on_can_be_viewed_from_elsewhere_and_so_can_one_that_is_over(
    tmp_path: Path, mongo_uri: str
) -> None:
    out = tmp_path / "run"
    with launched(tmp_path, mongo_uri, *ARGUMENTS, "--out", out) as run:
        wait_until(lambda: (out / "warehouse" / "history.jsonl").exists(), PATIENCE_S)
        with launched(tmp_path, None, "view", out) as view:
            url = address_of(view)
            assert asks_for(url, do="kill", name="trader0")[0] == 403
            last: dict[str, Any] = {}
            stopped = False
            for last in news_of(url):
                if not stopped and last["state"]["opening"] is not None:
                    run.send_signal(signal.SIGINT)
                    stopped = True
            assert (last["over"], last["summary"]["verdict"]) == (True, "held")
            assert ended(run)[0] == 0
            assert asks(f"{url}report.html")[1] == (out / "report.html").read_text(encoding="utf-8")
            view.send_signal(signal.SIGINT)
            assert ended(view)[::2] == (0, "")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with launched(tmp_path, None, "view", out) as view:
        url = address_of(view)
        assert '"verdict":"held"' in asks(url)[1]
        view.send_signal(signal.SIGINT)
        assert ended(view)[::2] == (0, "")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert_nothing_left(tmp_path, url)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "is no run's folder"),
        (["a", "b"], "unrecognized arguments: b"),
        (["--prot", "1"], "(did you mean --port?)"),
        (["run", "--port", "x"], "--port x: give it a PORT or ADDRESS:PORT"),
    ],
)
def test_a_view_of_nothing_is_one_line_and_status_2(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    save(a_plan(peers=4, traders=1), tmp_path / "run" / "bazaar.json")
    with launched(tmp_path, None, "view", *arguments) as command:
        status, said, complained = ended(command)
    assert (status, said, complained.count("\n")) == (2, "", 1)
    assert complaint in complained


class Shown:
    """As much of a run as the page's other side needs."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.injector: Any = None


def test_a_page_that_cannot_be_started_is_told_at_the_end(tmp_path: Path) -> None:
    start_clock(tmp_path)  # but there is no plan to show
    complaints: list[str] = []
    with LivePage(Address("0", "--serve"), complaints.append) as page:

        def told() -> str:
            page.look(Shown(tmp_path))
            return page._problem

        wait_until(told, 20.0)
    assert len(complaints) == 1
    assert complaints[0].startswith("the live page has ended before the run: ")
    assert "bazaar.json" in complaints[0]
