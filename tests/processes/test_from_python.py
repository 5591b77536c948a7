"""The pages on the use from Python, and the notebook, are run as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.processes.command import processes_of
from tests.processes.market import ROOT

PAGE = ROOT / "docs" / "how-to" / "use-from-python.md"
NOTEBOOK = ROOT / "docs" / "tutorial" / "weak-or-escrow.ipynb"


def execute(source: str, name: str, namespace: dict[str, Any]) -> None:
    exec(compile(source, name, "exec"), namespace)


@pytest.mark.timeout(240)
def test_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    said: list[str] = []
    here: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        execute(block, f"{PAGE.name}, block {number}", here)
        said.append(capsys.readouterr().out)
    market, fault, told, pandas_says, duckdb_says = said
    assert market.startswith("held ")
    assert fault.startswith("[('kill:trader1@1', ")
    assert told.endswith("held Born(life=1)\n")
    orders = here["orders"]
    assert len(orders) == 400
    assert orders.wait_ms.dtype.kind == "f"
    assert orders.by_hand.dtype == bool
    assert (orders.decision == "sold").sum() == here["ledger"].kind.value_counts()["sale"]
    assert set(here["facts"].columns) >= {"order", "item", "count", "seller"}
    assert "sale" in pandas_says
    assert "purchased" in pandas_says
    shipped = dict(re.findall(r"│ (fish|salt|boar) +│ +(\d+) │", duckdb_says))
    assert sum(map(int, shipped.values())) == (orders.decision == "sold").sum()
    assert processes_of(tmp_path) == {}


@pytest.mark.timeout(240)
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code is run, cell by cell, where Jupyter runs it. Only the pictures are not shown."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(NOTEBOOK.parent)
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    here: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        execute("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", here)
    weak, escrow = here["summaries"]["weak"], here["summaries"]["escrow"]
    assert (weak.verdict, escrow.verdict) == ("held", "held")
    assert escrow.requests.oversold == 0 < weak.requests.oversold
    assert len(here["orders"]) == 2400
    assert here["story"].cause in capsys.readouterr().out
    assert len(here["oversold"]) == min(20, weak.requests.oversold)
    assert processes_of(tmp_path) == {}
