"""The rows of an experiment: a cell of its grid, and the CSV that keeps the values measured in the cells.

A row holds all that is needed to repeat it: its labels, its seed, the full settings and the faults. It also says where and
when it was measured. With every row the file is written anew and renamed into place, so a kill leaves only whole rows.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from bazaar.protocol.settings import Settings, UsageError

AFTER_VALUES = ("faults", "settings", "machine", "measured")


class Cell(NamedTuple):
    """One run of a grid. `expected_s` is a guess, used only by the progress bar."""

    labels: Mapping[str, str]
    seed: int
    settings: Settings
    """Their seed may differ from the cell's: it is then derived from the cell's (see `experiment.peopled`)."""
    expected_s: float
    faults: tuple[str, ...] = ()
    distance_s: float = 0.0
    """How much farther away MongoDB is, in each direction. One of the labels says so."""


class Row(NamedTuple):
    """The measurements of a cell."""

    labels: Mapping[str, str]
    seed: int
    values: Mapping[str, float]
    settings: Settings
    faults: tuple[str, ...]
    machine: str
    measured: str
    """The day of the measurement."""


def name_of(one: Cell | Row) -> str:
    """A name such as `traders=2,cache=weak,seed=3`. `--only` chooses a cell by it; no two rows of a file have the same."""
    return ",".join([*(f"{label}={value}" for label, value in one.labels.items()), f"seed={one.seed}"])


class Missing(Exception):
    """A text or a table needs rows that have not been measured yet."""


class Table:
    """The CSV of one experiment."""

    def __init__(self, path: Path, labels: Sequence[str], values: Sequence[str]) -> None:
        """Reads the file if there is one. Raises `UsageError` if somebody's editing has broken it."""
        self.path = path
        self._labels = tuple(labels)
        self._values = tuple(values)
        self._header = [*labels, "seed", *values, *AFTER_VALUES]
        self.rows: list[Row] = []
        self._lines: dict[str, int] = {}
        if path.exists():
            self._read()

    def has(self, cell: Cell) -> bool:
        """Whether this cell is measured. Raises `UsageError` if it was measured with other settings."""
        name = name_of(cell)
        row = next((row for row in self.rows if name_of(row) == name), None)
        if row is not None and (row.settings, row.faults) != (cell.settings, cell.faults):
            raise self._wrong(
                self._lines[name],
                f"{name} was measured with other settings than it would be now",
                "delete the file, or name another folder with --out",
            )
        return row is not None

    def add(self, row: Row) -> None:
        """Adds this row to the file."""
        self.rows.append(row)
        self._lines[name_of(row)] = len(self.rows) + 1
        half_made = self.path.with_name(self.path.name + ".part")
        with half_made.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._header)
            for kept in self.rows:
                writer.writerow(self._fields(kept))
        os.replace(half_made, self.path)  # noqa: PTH105 # clearer than `Path.replace`

    def _fields(self, row: Row) -> list[str]:
        return [
            *(row.labels[label] for label in self._labels),
            str(row.seed),
            *(f"{row.values[name]:.6g}" for name in self._values),
            " ".join(row.faults),
            msgspec.json.encode(row.settings).decode(),
            row.machine,
            row.measured,
        ]

    # ---------------------------------------------------------------------------------------- reading
    def _wrong(self, line: int, what: str, remedy: str = "") -> UsageError:
        remedy = remedy or "delete the line to have it measured again"
        return UsageError(f"{self.path}, line {line}: {what}; {remedy}")

    def _read(self) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path} cannot be read ({error}); delete it to measure anew") from None
        lines = csv.reader(text.splitlines(), strict=True)
        try:
            for fields in lines:
                if lines.line_num == 1:
                    self._check_header(fields)
                else:
                    self._take(lines.line_num, fields)
        except csv.Error as error:
            raise self._wrong(lines.line_num, f"is no CSV ({error})") from None
        if not lines.line_num:
            raise UsageError(f"{self.path} is empty; delete it to measure anew")

    def _check_header(self, fields: Sequence[str]) -> None:
        if fields == self._header:
            return
        lost = [name for name in self._header if name not in fields]
        strange = [name for name in fields if name not in self._header]
        said = [f"{what} {', '.join(names)}" for what, names in (("without", lost), ("with", strange)) if names]
        raise self._wrong(
            1,
            f"the columns are not this experiment's ({' and '.join(said) or 'in another order'})",
            f"the line must be {','.join(self._header)}; or delete the file to measure anew",
        )

    def _take(self, line: int, fields: Sequence[str]) -> None:
        if len(fields) != len(self._header):
            raise self._wrong(line, f"has {len(fields)} fields instead of {len(self._header)}")
        by_name = dict(zip(self._header, fields, strict=True))
        values = {name: self._number(line, name, by_name[name]) for name in self._values}
        if not by_name["seed"].isdecimal():
            raise self._wrong(line, f"the seed is {by_name['seed']!r} instead of a number")
        try:
            settings = msgspec.json.decode(by_name["settings"], type=Settings)
        except msgspec.DecodeError as error:
            raise self._wrong(line, f"the settings cannot be read ({error})") from None
        labels = {label: by_name[label] for label in self._labels}
        faults = tuple(by_name["faults"].split())
        row = Row(labels, int(by_name["seed"]), values, settings, faults, by_name["machine"], by_name["measured"])
        if name_of(row) in self._lines:
            raise self._wrong(line, f"is of the same cell as line {self._lines[name_of(row)]}")
        for other in self.rows:
            if other.labels == labels and not _alike(other, row):
                raise self._wrong(line, f"has the labels of line {self._lines[name_of(other)]} but other settings")
        self._lines[name_of(row)] = line
        self.rows.append(row)

    def _number(self, line: int, name: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._wrong(line, f"{name} is {text!r} instead of a number")
        return number


def _alike(one: Row, other: Row) -> bool:
    """Whether two rows have the same faults, and settings that differ in the seed only."""
    return one.faults == other.faults and one.settings == msgspec.structs.replace(
        other.settings, seed=one.settings.seed
    )


# ------------------------------------------------------------------------------------------- looking at rows
def chosen(rows: Sequence[Row], **labels: str) -> list[Row]:
    """The rows with these labels. Raises `Missing` if there is none."""
    found = [row for row in rows if all(row.labels[name] == value for name, value in labels.items())]
    if not found:
        raise Missing(", ".join(f"{name}={value}" for name, value in labels.items()))
    return found


def values(rows: Sequence[Row], name: str, **labels: str) -> list[float]:
    """The values of this name in the rows with these labels. Raises `Missing` if there is no such row."""
    return [row.values[name] for row in chosen(rows, **labels)]


def middle(rows: Sequence[Row], name: str, **labels: str) -> float:
    """The median of `values`."""
    return median(values(rows, name, **labels))


def kinds(rows: Sequence[Row], label: str) -> list[str]:
    """The different values of a label: numbers in ascending order, then words in the order of the grid."""
    different = list(dict.fromkeys(row.labels[label] for row in rows))
    return sorted(different, key=lambda text: float(text) if _is_number(text) else math.inf)


def groups(rows: Sequence[Row], *labels: str) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """The rows grouped by their values of these labels, in the order of `kinds`."""
    order = {label: {value: place for place, value in enumerate(kinds(rows, label))} for label in labels}
    by_labels: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_labels.setdefault(tuple(row.labels[label] for label in labels), []).append(row)
    for key in sorted(
        by_labels, key=lambda key: [order[label][value] for label, value in zip(labels, key, strict=True)]
    ):
        yield key, by_labels[key]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def spread(numbers: Sequence[float], unit: str = "") -> str:
    """The median, with the lowest and the highest if they differ: `42 (40..45) ms`. Raises `Missing` if there is no number."""
    if not numbers:
        raise Missing("what is to be compared")
    low, mid, high = (number_text(number) for number in (min(numbers), median(numbers), max(numbers)))
    return f"{mid}{f' ({low}..{high})' if low != high else ''}{unit}"


def trend(before: Sequence[float], after: Sequence[float]) -> str:
    """Whether the numbers fell or rose by more than their spread, in words."""
    if max(after) < min(before):
        return "falls"
    return "rises" if min(after) > max(before) else "stays within the spread of the seeds"


def number_text(number: float) -> str:
    """The number with three significant digits, without an exponent."""
    if number == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    text = f"{number:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines))
