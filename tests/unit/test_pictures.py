"""The process that draws a run: the graph at once, the run over time when it is told that all is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import save
from bazaar.runtime.history import History
from tests.builders import a_plan
from tests.unit.test_topology import size_of


@pytest.mark.parametrize(("told", "drawn"), [("", ["network.png"]), ("\n", ["network.png", "timeline.png"])])
def test_it_draws_what_there_is_to_draw(told: str, drawn: list[str], tmp_path: Path) -> None:
    plan = a_plan(peers=4, traders=1)
    save(plan, tmp_path / "bazaar.json")
    for name in ("launcher", WAREHOUSE, *plan.names):
        (tmp_path / name).mkdir()
        history = History(tmp_path / name, name)
        history.write(1.0, [Noted(1, events.Shipped("buyer0-0", "fish"))])
        history.close()
    command = [sys.executable, "-m", "bazaar.views.pictures", str(tmp_path)]
    subprocess.run(command, input=told, text=True, check=True, timeout=60)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == drawn
    assert all(size_of(tmp_path / name) > (0, 0) for name in drawn)
