"""The pages of docs/reference that are made from the code are those that the code makes now."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest

from bazaar.control.options import DECLARED
from bazaar.protocol.declaration import docstrings
from bazaar.protocol.entries import AnyEntry
from bazaar.protocol.events import KINDS
from bazaar.protocol.messages import AnyMessage
from bazaar.protocol.requests import Reply, Request
from bazaar.protocol.settings import Settings
from bazaar.views.narration import SENTENCES
from tests.reference import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_makes_it(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run .venv/bin/python -m tests.reference"


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("messages.md", [message.__name__ for message in get_args(AnyMessage)]),
        ("messages.md", [one.__name__ for one in get_args(Request | Reply)]),
        ("events.md", list(KINDS)),
        ("ledger-entries.md", [entry.__struct_config__.tag for entry in get_args(AnyEntry)]),
        ("sentences.md", [(told[0] if isinstance(told, tuple) else told).kind for told in SENTENCES]),
    ],
)
def test_each_is_on_its_page_as_often_as_there_is_something_to_say(page: str, names: list[str]) -> None:
    lines = (FOLDER / page).read_text(encoding="utf-8").splitlines()
    found = Counter(re.findall(r"^\| `(\w+)` \|", "\n".join(lines), re.MULTILINE))
    assert {name: found[name] for name in names} == Counter(names)


def test_every_setting_is_on_its_page_with_its_option_and_its_meaning() -> None:
    lines = (FOLDER / "settings.md").read_text(encoding="utf-8").splitlines()
    for name, meaning in docstrings(Settings).items():
        (line,) = (line for line in lines if line.startswith(f"| `{name}` |"))
        option = DECLARED[name].option
        assert meaning in line
        assert option is None or option.name.upper() in line.upper()
