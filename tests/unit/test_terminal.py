"""What the terminal says of a run that is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.analysis.judgement import judged
from bazaar.views.terminal import Terminal
from create_bazaar import HELD, main
from tests.builders import leave_behind
from tests.trial import NAMES, a_market, entry


def test_a_violation_names_the_command_that_explains_its_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = entry(3, price_cents=700)(a_market())
    everybody = {name: market.histories.get(name, []) for name in ("launcher", "warehouse", *NAMES)}
    out = leave_behind(tmp_path, market.plan, market.entries, everybody)
    terminal = Terminal()
    terminal.conclude(out, judged(out))
    terminal.close()
    command = f"bash run.sh explain buyer0-0 {out} tells the story of the first of these orders"
    said = capsys.readouterr().out
    assert "violated: entries_make_sense\n  ledger entry 3 " in said
    assert command in said
    assert main(["explain", "buyer0-0", str(out)]) == HELD
