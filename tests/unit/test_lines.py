"""The short files that a user writes are read line by line, whoever they are for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bazaar.control.graph_file import read_graph
from bazaar.control.hosts_file import read_hosts
from bazaar.control.lines import MOST_BYTES, lines_of
from bazaar.control.planning import draw_plan
from bazaar.protocol.settings import UsageError, with_pace


def test_empty_lines_and_remarks_do_not_count_but_are_numbered(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("# mine\n\n0 1  # one\r\n   \n\t2 3", encoding="utf-8")
    assert lines_of(file, "it") == [(3, "0 1"), (5, "2 3")]


def test_a_mark_at_the_beginning_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("0 1\n", encoding="utf-8-sig")
    assert lines_of(file, "it") == [(1, "0 1")]


READERS: dict[str, Callable[[Path], object]] = {
    "a graph": lambda path: read_graph(path, ("buyer0", "seller1", "seller2")),
    "machines": lambda path: read_hosts(str(path)),
    "a workload": lambda path: draw_plan(with_pace("fast", load=f"trace:{path}")),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe\x00", "it is no text"),
        ("\u00e9".encode() * (MOST_BYTES // 2) + b"#", "it is longer than"),
    ],
    ids=["nothing", "no text", "too long"],
)
def test_what_cannot_be_read_is_one_line(reader: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=f"cannot be read: {says}") as refused:
        READERS[reader](file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it cannot be read: Is a directory"):
        lines_of(tmp_path, "it")
