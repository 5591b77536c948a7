from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bazaar.protocol.settings import Settings, UsageError, with_pace
from experiments.framework.rows import (
    Cell,
    Missing,
    Row,
    Table,
    chosen,
    groups,
    kinds,
    markdown,
    middle,
    name_of,
    spread,
    values,
)

LABELS, VALUES = ("traders", "cache"), ("per_s", "p50_ms")


def a_cell(traders: int = 2, cache: str = "weak", seed: int = 0, faults: tuple[str, ...] = ()) -> Cell:
    settings = with_pace("fast", peers=traders + 5, traders=traders, cache=cache, seed=seed)
    return Cell({"traders": str(traders), "cache": cache}, seed, settings, 1.0, faults)


def a_row(per_s: float = 400.0, cell: Cell | None = None) -> Row:
    cell = cell or a_cell()
    measured = {"per_s": per_s, "p50_ms": 4.0}
    return Row(cell.labels, cell.seed, measured, cell.settings, cell.faults, "a machine, with a comma", "2026-11-22")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiment.csv"


def a_table(path: Path) -> Table:
    return Table(path, LABELS, VALUES)


# ------------------------------------------------------------------------------------------- the file
def test_rows_come_back_as_they_were(path: Path) -> None:
    rows = [a_row(cell=a_cell(seed=seed, faults=("kill:trader1@3",))) for seed in range(3)]
    table = a_table(path)
    for row in rows:
        table.add(row)
    assert a_table(path).rows == rows


def test_a_row_is_in_the_file_at_once_and_nothing_else_is_in_the_folder(path: Path) -> None:
    table = a_table(path)
    for count in (1, 2, 3):
        table.add(a_row(cell=a_cell(seed=count)))
        assert len(a_table(path).rows) == count
        assert list(path.parent.iterdir()) == [path]


def test_a_kill_while_a_row_is_written_leaves_the_rows_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = a_table(path)
    table.add(a_row())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.framework.rows.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        table.add(a_row(cell=a_cell(seed=1)))
    assert a_table(path).rows == [a_row()]


def test_a_cell_is_measured_if_labels_and_seed_are_there(path: Path) -> None:
    a_table(path).add(a_row())
    table = a_table(path)
    assert table.has(a_cell())
    assert not table.has(a_cell(seed=1))
    assert not table.has(a_cell(traders=3))


def test_a_cell_that_was_measured_with_other_settings_is_not_taken_for_the_same(path: Path) -> None:
    a_table(path).add(a_row())
    cell = a_cell()
    for other in (
        cell._replace(settings=msgspec.structs.replace(cell.settings, requests=7)),
        cell._replace(faults=("kill:trader0@1",)),
    ):
        with pytest.raises(UsageError, match=r"experiment\.csv, line 2: .*other settings"):
            a_table(path).has(other)


def test_settings_that_are_new_since_have_their_default(path: Path) -> None:
    """A later version of the bazaar has more of them; what was measured before stays."""
    a_table(path).add(a_row())
    path.write_text(path.read_text().replace('""push"":true,', ""))
    assert Settings().push
    assert a_table(path).has(a_cell())


# ------------------------------------------------------------------------------------- edited by hand
Edit = Callable[[str], str]
EDITED: dict[str, tuple[Edit, str]] = {
    "a value that is no number": (lambda text: text.replace("400,", "fast,"), "line 2: per_s is 'fast'"),
    "a value that is left out": (lambda text: text.replace("400,", ","), "line 2: per_s is ''"),
    "a value that is not finite": (lambda text: text.replace("400,", "nan,"), "line 2: per_s is 'nan'"),
    "a seed that is no number": (lambda text: text.replace("weak,0,", "weak,zero,"), "line 2: the seed is 'zero'"),
    "a field too few": (lambda text: text.replace("400,", ""), "line 2: has 8 fields instead of 9"),
    "a field too many": (lambda text: text.replace("400,", "400,1,"), "line 2: has 10 fields"),
    "settings that are no settings": (lambda text: text.replace('""peers"":7', '""peers"":x'), "line 2: the settings"),
    "settings that do not exist": (lambda text: text.replace('""peers""', '""pears""'), "line 2: the settings"),
    "another column": (lambda text: text.replace("per_s", "per_h", 1), "line 1: .*without per_s and with per_h"),
    "columns in another order": (lambda text: text.replace("per_s,p50_ms", "p50_ms,per_s"), "line 1: .*another order"),
    "no header": (lambda text: text.partition("\n")[2], "line 1: the columns"),
    "a row twice": (lambda text: text + text.splitlines()[-1] + "\n", "line 3: is of the same cell as line 2"),
    "a row of other settings": (
        lambda text: text + text.splitlines()[-1].replace("weak,0,", "weak,1,").replace('""peers"":7', '""peers"":8') + "\n",
        "line 3: has the labels of line 2 but other settings",
    ),
    "a quotation mark left out": (lambda text: text.replace('comma"', "comma"), "is no CSV"),
    "nothing": (lambda text: "", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "complaint"), EDITED.values(), ids=EDITED)
def test_a_file_that_was_edited_by_hand_is_refused_in_one_line(edit: Edit, complaint: str, path: Path) -> None:
    """It names the file and the line, and says what to do."""
    a_table(path).add(a_row())
    text = path.read_text()
    assert edit(text) != text
    path.write_text(edit(text))
    with pytest.raises(UsageError, match=complaint) as refused:
        a_table(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    assert "delete" in str(refused.value)


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"traders\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        a_table(path)


def test_a_row_that_is_deleted_by_hand_is_measured_again(path: Path) -> None:
    table = a_table(path)
    for seed in range(3):
        table.add(a_row(cell=a_cell(seed=seed)))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], *lines[3:]]))
    assert [a_table(path).has(a_cell(seed=seed)) for seed in range(3)] == [True, False, True]


# ------------------------------------------------------------------------------------- looking at rows
ROWS = [
    a_row(per_s, a_cell(traders, seed=seed)) for traders, seed, per_s in ((10, 0, 1), (2, 0, 5), (2, 1, 7), (2, 2, 6))
]


def test_rows_are_chosen_by_their_labels() -> None:
    assert values(ROWS, "per_s", traders="2") == [5, 7, 6]
    assert middle(ROWS, "per_s", traders="2", cache="weak") == 6
    with pytest.raises(Missing, match="traders=3, cache=weak"):
        chosen(ROWS, traders="3", cache="weak")


def test_numbers_are_sorted_as_numbers_and_words_stay_in_their_order() -> None:
    assert kinds(ROWS, "traders") == ["2", "10"]
    assert [key for key, _ in groups(ROWS, "traders", "cache")] == [("2", "weak"), ("10", "weak")]
    words = [a_row(cell=a_cell(cache=cache)) for cache in ("weak", "none", "weak")]
    assert kinds(words, "cache") == ["weak", "none"]


def test_a_name_chooses_a_cell() -> None:
    assert name_of(a_cell(3, seed=4)) == name_of(a_row(cell=a_cell(3, seed=4))) == "traders=3,cache=weak,seed=4"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([5.0], "5 s"),
        ([3, 1, 2], "2 (1..3) s"),
        ([0.0, 0.0], "0 s"),
        ([1234.56], "1,235 s"),
        ([0.012345, 12.345], "6.18 (0.0123..12.3) s"),
        ([-50.04], "-50 s"),
        ([100.0, 100.2], "100 s"),
    ],
)
def test_a_spread_has_three_digits_and_shows_what_differs(numbers: list[float], text: str) -> None:
    assert spread(numbers, " s") == text


def test_a_markdown_table() -> None:
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
