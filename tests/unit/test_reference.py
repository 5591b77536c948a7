"""The pages of docs/reference that are made from the code are those that the code makes now."""

from __future__ import annotations

import pytest

from bazaar.control.options import DECLARED
from bazaar.protocol.declaration import docstrings
from bazaar.protocol.settings import Settings
from tests.reference import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_makes_it(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run .venv/bin/python -m tests.reference"


def test_every_setting_is_on_its_page_with_its_option_and_its_meaning() -> None:
    lines = (FOLDER / "settings.md").read_text(encoding="utf-8").splitlines()
    for name, meaning in docstrings(Settings).items():
        (line,) = (line for line in lines if line.startswith(f"| `{name}` |"))
        option = DECLARED[name].option
        assert meaning in line
        assert option is None or option.name.upper() in line.upper()
