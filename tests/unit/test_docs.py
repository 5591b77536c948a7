"""The documentation says nothing of files that are not there: links, paths and diagrams of all pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = ("bazaar", "peers", "experiments", "tests", "docs", ".ci", ".github")
DIAGRAMS = ("flowchart", "sequenceDiagram", "stateDiagram-v2", "classDiagram")
MOST_WORDS = 1_100  # of the README: what is longer belongs into docs/

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(text: str) -> str:
    """Without the blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def missing_links(page: Path, text: str) -> list[str]:
    """The relative links of `text`, as it stands in `page`, that lead to no file, or to no heading of that file."""
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        path, _, anchor = link.partition("#")
        if ":" in path:  # another site's
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            missing.append(link)
    return missing


def anchors(text: str) -> set[str]:
    """The names by which the headings of a page can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_paths(text: str) -> list[str]:
    """What stands in backticks, looks like a path in the repository, and is none, nor one that the page tells to make."""
    paths = re.findall(rf"`((?:{'|'.join(map(re.escape, ROOMS))})/[\w./-]*)`", prose(text))
    made = re.findall(r"A new file,\s`([^`]+)`", text)
    return [path for path in paths if not (ROOT / path).exists() and path not in made]


def wrong_diagrams(text: str) -> list[str]:
    """Mermaid's blocks that are empty or of no type that GitHub draws."""
    blocks = re.findall(r"^```mermaid\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if not block.startswith(DIAGRAMS) or len(block.splitlines()) < 2]


def uneven_rows(text: str) -> list[str]:
    """The rows of tables with more or fewer cells than the row above: a bar within a cell ends it, also within backticks."""
    lines = text.splitlines()
    cells = [len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0 for line in lines]
    return [
        line for line, above, here in zip(lines[1:], cells, cells[1:], strict=False) if above and here not in (0, above)
    ]


@each_page
def test_each_row_of_a_table_has_its_cells(page: Path) -> None:
    assert uneven_rows(page.read_text(encoding="utf-8")) == []


@each_page
def test_each_link_and_path_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert missing_links(page, text) == []
    if page.name != "CHANGELOG.md":  # it tells of files as they were then
        assert missing_paths(text) == []


@each_page
def test_each_diagram_is_one(page: Path) -> None:
    assert wrong_diagrams(page.read_text(encoding="utf-8")) == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) < MOST_WORDS


def test_a_bar_that_ends_a_cell_is_found() -> None:
    assert uneven_rows("| a | b |\n| --- | --- |\n| `x\\|y` | 1 |\n| `x|y` | 1 |\n") == ["| `x|y` | 1 |"]


def test_what_is_not_there_is_found() -> None:
    assert missing_links(
        README, "[a](docs/nowhere.md) [b](docs/README.md#nowhere) [c](docs/README.md#how-to) [d](https://x.y/z)"
    ) == [
        "docs/nowhere.md",
        "docs/README.md#nowhere",
    ]
    assert missing_paths("`bazaar/core/nowhere.py` `bazaar/core/` `tests/unit/test_docs.py` `and/or`") == [
        "bazaar/core/nowhere.py"
    ]
    assert wrong_diagrams(
        "```mermaid\npoem\n  a\n```\n```mermaid\nflowchart\n```\n```mermaid\nflowchart\n  a --> b\n```\n"
    ) == [
        "poem\n  a\n",
        "flowchart\n",
    ]
