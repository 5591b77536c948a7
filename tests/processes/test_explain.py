"""`bash run.sh explain` (requirement I3) on a real run in which goods are scarce."""

from __future__ import annotations

import json
from pathlib import Path

from bazaar.analysis.stories import WORDS
from tests.processes.command import run


def test_why_an_order_of_a_real_run_was_over_sold(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    market = ("localhost", 8, 3, "--pace", "fast", "--cache", "weak", "--window", 64, "--requests", 2000)
    status, said, complained = run(tmp_path, mongo_uri, *market, "--restock-count", 3, "--seed", 7, "--out", out)
    assert (status, complained) == (0, "")
    order = json.loads((out / "summary.json").read_bytes())["examples"]["oversold"]
    assert f"over-sold: {order}; bash run.sh explain {order} {out} tells why" in said

    status, said, complained = run(tmp_path, mongo_uri, "explain", "--oversold", out)
    assert (status, complained) == (0, "")
    assert said.startswith(f"{order}, one ")
    cause = said.partition("\n")[0].partition("over-sold: ")[2]
    assert cause in set(WORDS.values()) - {WORDS["policy"], WORDS["not recorded"]}
    assert run(tmp_path, mongo_uri, "explain", order, out) == (0, said, "")
