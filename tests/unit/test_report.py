"""The report is one file that asks nobody for anything, and in which nothing of the data can be more than text."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import Plan, save
from bazaar.protocol.settings import UsageError
from bazaar.runtime import run_folder
from bazaar.runtime.history import HISTORY_FILE, History
from bazaar.views.page import page
from bazaar.views.report import REPORT_FILE, make_report
from tests.builders import a_plan

HOSTILE = "</script><script>alert(1)</script><!--\u2028@@SCRIPT@@"


def a_run(folder: Path, plan: Plan) -> None:
    save(plan, folder / "bazaar.json")
    for name in ("launcher", WAREHOUSE, *plan.names):
        (folder / name).mkdir()
        history = History(folder / name, name)
        history.write(1.0, [Noted(1, events.Shipped("buyer0-0", "fish"))])
        history.close()


def data_of(text: str) -> Any:
    blocks = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert len(blocks) == 1
    return json.loads(blocks[0])


def test_no_tag_in_the_data_is_one() -> None:
    text = page({"name": HOSTILE})
    assert data_of(text) == {"name": HOSTILE}
    assert text.count("</script>") == 2  # the data's, and our own
    assert "alert(1)</script>" not in text


def test_only_our_own_script_and_style_may_run_and_nobody_is_asked() -> None:
    text = page({})
    policy = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)[0]
    for tag in ("script", "style"):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"<(?:link|img|iframe|script)[^>]*(?:src|href)=", text)
    assert "innerHTML" not in text.replace("e.innerHTML=l", "")  # uPlot's own, for its titles, of which we give it none


def test_the_licence_of_what_is_not_ours_lies_beside_it() -> None:
    import bazaar.views.page as package

    assert "MIT License" in (package.PARTS / "uPlot.LICENSE").read_text()


def test_it_is_made_of_a_run_that_nobody_has_judged(tmp_path: Path) -> None:
    plan = a_plan(peers=4, traders=1)
    a_run(tmp_path, plan)
    made = make_report(tmp_path)
    data = data_of(made.read_text(encoding="utf-8"))
    assert made == tmp_path / REPORT_FILE
    assert [peer["name"] for peer in data["scene"]["peers"]] == list(plan.names)
    assert sum(data["state"]["columns"]["shipped"]) == 6
    assert data["summary"] is None


@pytest.mark.parametrize("told", ["", "\n"])
def test_it_waits_until_the_run_is_judged_or_cannot_be(told: str, tmp_path: Path) -> None:
    a_run(tmp_path, a_plan(peers=4, traders=1))
    command = [sys.executable, "-m", "bazaar.views.report", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        assert not (tmp_path / REPORT_FILE).exists()
        process.communicate(told, timeout=30)
    assert process.returncode == 0
    assert (tmp_path / REPORT_FILE).exists() == bool(told)


def test_no_report_of_a_run_that_goes_on(tmp_path: Path) -> None:
    a_run(tmp_path, a_plan(peers=4, traders=1))
    descriptor = run_folder.lock(tmp_path)
    assert descriptor is not None
    with pytest.raises(UsageError, match="still going on"):
        make_report(tmp_path)
    os.close(descriptor)


def test_of_a_damaged_history_there_is_what_can_be_read(tmp_path: Path) -> None:
    a_run(tmp_path, a_plan(peers=4, traders=1))
    with (tmp_path / WAREHOUSE / HISTORY_FILE).open("ab") as file:
        file.write(b'{"what":"poem","at":2.0}\n\xff\n')
    data = data_of(make_report(tmp_path).read_text(encoding="utf-8"))
    assert sum(data["state"]["columns"]["shipped"]) == 6
