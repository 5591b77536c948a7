"""What needs no server of the MongoDB that belongs to a run: the name of its database, and how long it is waited for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bazaar.control import mongod
from bazaar.control.mongod import Mongod, database_of
from bazaar.protocol.settings import UsageError
from tests.waiting import wait_until

MOST_BYTES = 63  # what MongoDB takes


NAMES = ["run", "базар-эксперимент-" * 4, "市" * 80, "a" * 255, "a.b c$d", "\u0130", "\u017f", "\u0663", "\udcff"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_folder_gives_a_name_that_mongodb_takes(name: str) -> None:
    database = database_of(Path("/runs") / name)
    assert re.fullmatch("[0-9A-Za-z_]+", database)
    assert len(database.encode()) <= MOST_BYTES


def test_two_runs_in_folders_of_the_same_name_do_not_meet() -> None:
    assert len({database_of(Path("run")).lower() for _ in range(1000)}) == 1000


# ------------------------------------------------------------------------------------- how long it is waited for
FETCHES = "for done in 1 2 3 4 5 6; do echo setup_db.sh: Fetching the image: $done of 6 MB >&2; sleep 0.4; done; "


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Mongod]]:
    """A `setup_db.sh` that does this, and is waited for for a second."""
    mongods = []
    monkeypatch.setattr(mongod, "START_PATIENCE_S", 1.0)

    def setup(does: str) -> Mongod:
        script = tmp_path / "setup_db.sh"
        script.write_text(f"[[ $1 != stop ]] || exit 0; {does}")
        monkeypatch.setattr(mongod, "SETUP", ["bash", str(script)])
        mongods.append(Mongod(tmp_path / "mongodb"))
        mongods[-1].start()
        return mongods[-1]

    yield setup
    for started in mongods:
        started.stop()


def test_an_image_that_takes_long_is_waited_for_as_long_as_something_comes(setup: Callable[[str], Mongod]) -> None:
    fetching = setup(f"{FETCHES} echo mongodb://it/")
    assert wait_until(lambda: fetching.fetching) == "setup_db.sh: Fetching the image: 1 of 6 MB"
    assert fetching.uri() == "mongodb://it/"
    assert fetching.fetching == ""


STILL = ["", "echo setup_db.sh: Fetching the image: 1 of 6 MB >&2;", "while sleep 0.1; do echo x >&2; done;"]


@pytest.mark.parametrize("says", STILL)
def test_what_does_not_go_on_is_not_waited_for_for_ever(setup: Callable[[str], Mongod], says: str) -> None:
    with pytest.raises(UsageError, match="not ready within 1 s, and nothing was fetched"):
        setup(f"{says} sleep 600").uri()


def test_of_what_it_said_the_last_line_is_the_reason(setup: Callable[[str], Mongod]) -> None:
    with pytest.raises(UsageError) as caught:
        setup(f"{FETCHES} echo setup_db.sh: docker pull failed >&2; exit 2").uri()
    assert str(caught.value) == "setup_db.sh: docker pull failed"
