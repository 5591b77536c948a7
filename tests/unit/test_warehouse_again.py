"""Where the launcher starts a warehouse again: where it was, or at home if its machine is lost or does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bazaar.control.launcher import Bazaar
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.settings import UsageError, with_pace

THERE = {WAREHOUSE: "10.0.0.2", "buyer0": "10.0.0.2"}


class Deaf:
    """Machines of which none starts anything."""

    def without(self, name: str) -> Mapping[str, str]:
        return {other: where for other, where in THERE.items() if other != name}


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """A run whose warehouse was on another machine, and where it was started since."""
    bazaar: Any = Bazaar(with_pace("fast"), tmp_path / "run", "mongodb://there")
    bazaar.plan = msgspec.structs.replace(bazaar.plan, placed=THERE)
    bazaar._machines, bazaar._begun = Deaf(), True
    where: list[str] = []

    def start() -> None:
        where.append(bazaar.plan.placed.get(WAREHOUSE, "here"))
        if where[-1] != "here":
            raise UsageError("cannot start warehouse on 10.0.0.2: no route")

    monkeypatch.setattr(bazaar, "_start_warehouse", start)
    return bazaar, where


@pytest.mark.parametrize(("lost", "tried"), [(True, ["here"]), (False, ["10.0.0.2", "here"])])
def test_it_comes_home_from_a_machine_that_is_lost_or_does_not_answer(
    lost: bool, tried: list[str], started: tuple[Any, list[str]]
) -> None:
    bazaar, where = started
    bazaar._start_warehouse_again(lost)
    assert where == tried
    assert bazaar.plan.placed == {"buyer0": "10.0.0.2"}


def test_before_the_bazaar_has_opened_a_machine_that_does_not_answer_is_a_usage_error(
    started: tuple[Any, list[str]],
) -> None:
    bazaar, where = started
    bazaar._begun = False
    with pytest.raises(UsageError, match="no route"):
        bazaar._start_warehouse_again(lost=False)
    assert where == ["10.0.0.2"]
