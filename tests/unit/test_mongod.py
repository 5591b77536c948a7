"""What needs no server of the MongoDB that belongs to a run: the name of its database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bazaar.mongod import database_of

MOST_BYTES = 63  # what MongoDB takes


NAMES = ["run", "базар-эксперимент-" * 4, "市" * 80, "a" * 255, "a.b c$d", "\u0130", "\u017f", "\u0663", "\udcff"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_folder_gives_a_name_that_mongodb_takes(name: str) -> None:
    database = database_of(Path("/runs") / name)
    assert re.fullmatch("[0-9A-Za-z_]+", database)
    assert len(database.encode()) <= MOST_BYTES


def test_two_runs_in_folders_of_the_same_name_do_not_meet() -> None:
    assert len({database_of(Path("run")).lower() for _ in range(1000)}) == 1000
