"""A graph of one's own: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.control.graph_file import read_graph
from bazaar.protocol.settings import UsageError

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")
RING = "0 1 4\n1 0 2\n2 1 3\n3 2 4\n4 3 0\n"


def read(tmp_path: Path, text: str) -> dict[str, tuple[str, ...]]:
    path = tmp_path / "graph.txt"
    path.write_text(text)
    return read_graph(path, NAMES)


def test_a_ring_by_numbers_by_names_and_with_remarks(tmp_path: Path) -> None:
    ring = {
        "buyer0": ("seller1", "buyer4"),
        "seller1": ("buyer0", "buyer2"),
        "buyer2": ("seller1", "seller3"),
        "seller3": ("buyer2", "buyer4"),
        "buyer4": ("buyer0", "seller3"),
    }
    assert read(tmp_path, RING) == ring
    named = "\n# a ring\nbuyer0: seller1, buyer4\nseller1: 0 2  # mixed\n2: 1 3\n3: 2 4\n\nbuyer4: seller3 buyer0"
    assert read(tmp_path, named) == ring


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no neighbours for buyer0"),
        (RING.replace("2 1 3\n", ""), "not seller1 as one of buyer2"),
        (RING.replace("0 1 4", "0 1"), "but not buyer4 as one of buyer0"),
        (RING.replace("3 2 4", "3 2 4 5"), "no such peer: they are 0 to 4"),
        (RING.replace("3 2 4", "3 2 trader1"), "'trader1'"),
        (RING.replace("3 2 4", "3 2 4 -1"), "'-1'"),
        (RING + "0 1\n", "a second time"),
        (RING.replace("0 1 4", "0 1 4 1"), "twice"),
        (RING.replace("0 1 4", "0 0 1 4"), "twice, or buyer0 itself"),
        ("0 1 2 3 4\n1 0\n2 0\n3 0\n4 0\n", "gives buyer0 4 neighbours; 3 are the most"),
        ("0 1\n1 0\n2 3 4\n3 2 4\n4 2 3\n", "in parts: no way leads from buyer0 to buyer2"),
    ],
)
def test_what_is_no_graph_of_three_neighbours_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
