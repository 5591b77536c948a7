"""`bazaar.json`, as it is written and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.protocol.plan import load, save
from tests.builders import a_plan


def test_a_plan_is_read_as_it_was_saved(tmp_path: Path) -> None:
    plan = a_plan(peers=12, traders=2, buyers=5, requests=40, seed=7)
    save(plan, tmp_path / "bazaar.json")
    assert load(tmp_path / "bazaar.json") == plan


def test_the_saved_plan_holds_the_adjacency_list_for_people_to_read(tmp_path: Path) -> None:
    save(a_plan(), tmp_path / "bazaar.json")
    text = (tmp_path / "bazaar.json").read_text()
    assert '"neighbours": {\n' in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"names": 3}'])
def test_a_damaged_file_is_no_plan(text: str, tmp_path: Path) -> None:
    (tmp_path / "bazaar.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):  # msgspec's DecodeError is one
        load(tmp_path / "bazaar.json")
