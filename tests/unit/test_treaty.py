"""Joining another bazaar: each file that cannot be used is refused in one line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bazaar import __version__
from bazaar.protocol.settings import UsageError, with_pace
from bazaar.runtime.treaty import Treaty, join, save

GOOD = Treaty("south", "1", __version__, "127.0.0.1", 1, "ab")  # nobody listens on port 1


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    save(GOOD, tmp_path / "treaty.json")
    assert (tmp_path / "treaty.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "own", "changed", "complaint"),
    [
        ("south", None, {}, "add --name"),
        ("east", "north", {}, "is of south"),
        ("south", "south", {}, "is called south itself"),
        ("south", "north", {"release": "0.0.1"}, "runs release 0.0.1"),
        ("south", "north", {}, "its run may be over"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    tmp_path: Path, name: str, own: str | None, changed: dict[str, str], complaint: str
) -> None:
    save(msgspec.structs.replace(GOOD, **changed), tmp_path / "treaty.json")
    with pytest.raises(UsageError, match=complaint) as refused:
        join(name, tmp_path / "treaty.json", own)
    assert "\n" not in str(refused.value)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for content in (None, b"", b"{}", b"\xff"):
        if content is not None:
            (tmp_path / "treaty.json").write_bytes(content)
        with pytest.raises(UsageError, match=r"treaty\.json"):
            join("south", tmp_path / "treaty.json", "north")


@pytest.mark.parametrize("name", ["North", "n@s", "", "n-1", "a" * 17])
def test_a_name_is_small_letters_and_digits(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a bazaar"):
        with_pace("fast", name=name)
