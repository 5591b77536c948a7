from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued
from bazaar.runtime import journal as journal_module
from bazaar.runtime.journal import Journal, journal_file, read_journal, to_disk
from tests.builders import a_lot, an_order

SINCE = 4
JOURNAL_FILE = f"queue-{SINCE}.jsonl"


def queued(order_id: str) -> Queued:
    return Queued(an_order(order_id))


def promised(order_id: str) -> Promised:
    return Promised(an_order(order_id), a_lot())


def a_journal(folder: Path, since: int = SINCE) -> Journal:
    """In the hands of a process in whose tenure it is, for the first time or again."""
    journal = Journal(folder)
    journal.write([Opened(since)])
    return journal


def left_behind(folder: Path, *lines: JournalLine) -> Path:
    """A journal with these lines, of a process that is gone."""
    journal = a_journal(folder)
    journal.write(lines)
    journal.close()
    return folder / JOURNAL_FILE


def read(folder: Path) -> tuple[JournalLine, ...]:
    """What the next life of the process finds."""
    a_journal(folder).close()
    return lines_of(journal_file(folder, SINCE))


def lines_of(path: Path) -> tuple[JournalLine, ...]:
    """The lines of a journal that is there and undamaged."""
    found = read_journal(path)
    assert found.lines is not None
    assert found.damage == []
    return tuple(found.lines)


def test_a_new_journal_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


def test_what_is_open_comes_back_in_its_order(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"), queued("buyer2-0"), promised("buyer0-0"))
    assert read(tmp_path) == (queued("buyer0-0"), promised("buyer0-0"), queued("buyer2-0"))


def test_what_is_closed_does_not(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"), promised("buyer0-0"), queued("buyer2-0"), Closed("buyer0-0"))
    assert read(tmp_path) == (queued("buyer2-0"),)


def test_an_order_that_was_closed_can_be_queued_again(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"), promised("buyer0-0"), Closed("buyer0-0"), queued("buyer0-0"))
    assert read(tmp_path) == (queued("buyer0-0"),)


def test_a_journal_goes_on_after_it_was_read(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"))
    left_behind(tmp_path, queued("buyer2-0"))
    assert read(tmp_path) == (queued("buyer0-0"), queued("buyer2-0"))


# ------------------------------------------------------------------------------------------- durability
@pytest.mark.parametrize(
    ("lines", "waits"),
    [
        ([queued("buyer0-1")], True),
        ([promised("buyer0-0")], True),
        ([Closed("buyer0-0"), queued("buyer0-1")], True),
        ([Closed("buyer0-0")], False),
    ],
)
def test_what_must_not_be_lost_is_on_the_disk_before_write_returns(
    lines: list[JournalLine], waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost `Closed` only makes the warehouse give the same answer again, so it costs no wait."""
    journal = a_journal(tmp_path)
    journal.write([queued("buyer0-0")])
    size_when_synced = []
    monkeypatch.setattr(os, "fdatasync", lambda file: size_when_synced.append(os.fstat(file).st_size))
    journal.write(lines)
    journal.close()
    whole = (tmp_path / JOURNAL_FILE).stat().st_size
    assert size_when_synced == ([whole] if waits else [])


@pytest.mark.parametrize("known", [True, False])
def test_on_macos_the_drives_own_cache_is_emptied_where_the_file_system_knows_how(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []

    def control(file: int, what: int) -> None:
        done.append(what)
        if not known:
            raise OSError(errno.ENOTSUP, "not on this file system")

    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr(os, "fsync", lambda file: done.append("fsync"))
    with (tmp_path / "file").open("w") as file:
        to_disk(file.fileno())
    assert done == ([51] if known else [51, "fsync"])


@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_last_line_that_a_kill_cut_short_is_dropped(cut: int, tmp_path: Path) -> None:
    path = left_behind(tmp_path, queued("buyer0-0"), queued("buyer2-0"))
    os.truncate(path, path.stat().st_size - cut)
    assert read(tmp_path) == (queued("buyer0-0"),)
    left_behind(tmp_path, queued("buyer4-0"))  # and the next line does not grow out of it
    assert read(tmp_path) == (queued("buyer0-0"), queued("buyer4-0"))


def test_a_file_of_nothing_but_a_torn_line_is_empty(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes(b'{"line":"que')
    assert read(tmp_path) == ()


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\0\0\0\0", b'{"line":"queued"', b'{"line":"stolen"}', b'{"line":"closed","order_id":"\xff"}', b"[]"],
)
def test_damage_in_the_middle_is_told_with_its_place_and_the_rest_is_used(damaged: bytes, tmp_path: Path) -> None:
    path = left_behind(tmp_path, queued("buyer0-0"), queued("buyer2-0"), queued("buyer4-0"))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damaged, *lines[2:]]))
    sound = [queued("buyer0-0"), queued("buyer4-0")]
    for further in ([], [queued("buyer6-0")]):
        left_behind(tmp_path, *further)  # its owner goes on with it, and whoever reads it later is told all the same
        found, (damage,) = read_journal(path)
        assert found == [*sound, *further]
        assert damage.startswith(f"{tmp_path.name}/{JOURNAL_FILE}, line 2: ")


def test_a_damaged_journal_with_a_torn_end_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    path = left_behind(tmp_path, queued("buyer0-0"))
    path.write_bytes(b"rubbish\n" + path.read_bytes() + b'{"line":"que')
    left_behind(tmp_path, queued("buyer2-0"))
    lines, damage = read_journal(path)
    assert lines == [queued("buyer0-0"), queued("buyer2-0")]
    assert len(damage) == 1


def test_a_journal_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    path = left_behind(tmp_path, queued("buyer0-0"))
    path.rename(tmp_path / "elsewhere")
    lines, (reason,) = read_journal(path)
    assert lines is None
    assert reason == f"{tmp_path.name}/{JOURNAL_FILE}: No such file or directory"
    path.mkdir()
    assert read_journal(path).lines is None


# ------------------------------------------------------------------------------------------- compaction
def test_a_journal_of_mostly_closed_orders_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_ABOVE", 20)
    journal = a_journal(tmp_path)
    journal.write([queued("seller9-0"), promised("seller9-0")])
    most = 0
    for serial in range(60):
        journal.write([queued(f"buyer0-{serial}")])
        journal.write([Closed(f"buyer0-{serial}")])
        most = max(most, (tmp_path / JOURNAL_FILE).read_bytes().count(b"\n"))
    journal.close()
    assert most <= 21
    assert read(tmp_path) == (queued("seller9-0"), promised("seller9-0"))
    assert [file.name for file in tmp_path.iterdir()] == [JOURNAL_FILE]


def test_a_journal_of_mostly_open_orders_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_ABOVE", 20)
    journal = a_journal(tmp_path)
    before = (tmp_path / JOURNAL_FILE).stat().st_ino
    journal.write([queued(f"buyer0-{serial}") for serial in range(60)])
    journal.close()
    assert (tmp_path / JOURNAL_FILE).stat().st_ino == before


def test_a_rewriting_that_a_kill_cut_short_leaves_the_old_file(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"))
    (tmp_path / JOURNAL_FILE).with_suffix(".new").write_bytes(b'{"line":"que')
    assert read(tmp_path) == (queued("buyer0-0"),)


# ------------------------------------------------------------------------------------------- tenures
def test_every_tenure_has_a_journal_of_its_own(tmp_path: Path) -> None:
    journal = a_journal(tmp_path, 4)
    journal.write([queued("buyer0-0")])
    journal.write([Opened(9), queued("buyer2-0")])
    journal.close()
    assert lines_of(journal_file(tmp_path, 4)) == (queued("buyer0-0"),)
    assert lines_of(journal_file(tmp_path, 9)) == (queued("buyer2-0"),)


def test_a_tenure_that_goes_on_in_another_life_goes_on_in_its_journal(tmp_path: Path) -> None:
    left_behind(tmp_path, queued("buyer0-0"))
    journal = Journal(tmp_path)
    journal.write([Opened(SINCE), queued("buyer2-0")])
    journal.close()
    assert lines_of(journal_file(tmp_path, SINCE)) == (queued("buyer0-0"), queued("buyer2-0"))


def test_a_journal_can_be_read_while_its_owner_is_paused_in_the_midst_of_a_line(tmp_path: Path) -> None:
    path = left_behind(tmp_path, queued("buyer0-0"), queued("buyer2-0"))
    os.truncate(path, path.stat().st_size - 3)
    before = path.read_bytes()
    assert lines_of(path) == (queued("buyer0-0"),)
    assert path.read_bytes() == before  # it is not the reader's to mend


def test_what_is_kept_before_a_tenure_begins_belongs_to_the_former_one(tmp_path: Path) -> None:
    """Orders that are closed by letters of the former tenure, which were delivered only now."""
    journal = a_journal(tmp_path, 4)
    journal.write([queued("buyer0-0")])
    journal.write([Closed("buyer0-0"), Opened(9), queued("buyer0-0")])
    journal.close()
    assert lines_of(journal_file(tmp_path, 4)) == (queued("buyer0-0"), Closed("buyer0-0"))
    assert lines_of(journal_file(tmp_path, 9)) == (queued("buyer0-0"),)
