"""`ledger.jsonl`, which grows along: torn, behind MongoDB, ahead of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.protocol.entries import AnyEntry, Appoint
from bazaar.runtime.ledger_file import LEDGER_FILE, Behind, KeptLedger, LedgerFile

ENTRIES: list[AnyEntry] = [Appoint(position, f"buyer{position}", position) for position in range(5)]


def left(run: Path, entries: list[AnyEntry]) -> Path:
    """A file with these entries, whose writer has gone."""
    file = LedgerFile(run)
    file.write(entries)
    file.close()
    return run / LEDGER_FILE


def test_what_is_written_can_be_read_while_it_grows(tmp_path: Path) -> None:
    assert list(KeptLedger(tmp_path)) == []
    file = LedgerFile(tmp_path)
    for number in range(len(ENTRIES)):
        file.write(ENTRIES[number : number + 1])
        assert list(KeptLedger(tmp_path)) == ENTRIES[: number + 1]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_passed_over_and_completed(cut: int, tmp_path: Path) -> None:
    path = left(tmp_path, ENTRIES[:2])
    path.write_bytes(path.read_bytes()[:-cut])
    sound = list(KeptLedger(tmp_path))
    assert sound == ENTRIES[: len(sound)]
    assert len(sound) < 2
    file = LedgerFile(tmp_path)
    assert list(file.completed(iter(ENTRIES))) == ENTRIES
    assert list(KeptLedger(tmp_path)) == ENTRIES
    assert file.length == 5


def test_who_starts_again_goes_on_where_the_file_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bazaar.runtime.ledger_file.BATCH", 2)
    left(tmp_path, ENTRIES[:3])
    file = LedgerFile(tmp_path)
    assert list(file.completed(ENTRIES[:3])) == ENTRIES[:3]
    file.write(ENTRIES[3:])
    assert list(KeptLedger(tmp_path)) == ENTRIES


def test_a_mongodb_that_has_less_has_lost_it(tmp_path: Path) -> None:
    left(tmp_path, ENTRIES)
    with pytest.raises(Behind, match=r"MongoDB has 3 entries of the ledger, ledger\.jsonl 5"):
        list(LedgerFile(tmp_path).completed(ENTRIES[:3]))
    assert list(KeptLedger(tmp_path)) == ENTRIES


def test_any_other_bad_line_is_passed_over(tmp_path: Path) -> None:
    path = left(tmp_path, ENTRIES)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'{"kind":"gift"}\n', b"\xff\n", *lines[2:]]))
    assert list(KeptLedger(tmp_path)) == ENTRIES
