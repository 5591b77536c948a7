"""The page of the settings."""

from __future__ import annotations

from bazaar.control.options import DECLARED, choices_of, default_of
from bazaar.protocol.declaration import Declaration, docstrings
from bazaar.protocol.settings import Settings
from tests.reference.writing import page, table


def settings_page() -> str:
    """Every setting: what says it, what it can be, and what it means."""
    meanings = docstrings(Settings)
    header = ("setting", "option", "default", "can be", "meaning")
    rows = [
        (f"`{name}`", _option(declaration), default_of(declaration), _values(declaration), meanings[name])
        for name, declaration in DECLARED.items()
    ]
    return page("Settings", "\n".join(ABOUT), table(header, rows))


ABOUT = [
    "Everything that a run can be told. `--set NAME=VALUE` says any of these settings, and can be given several times:",
    "`bash run.sh localhost 8 3 --set think_s=0.2 --set push=false`. Those that are changed most have an option or a position",
    "as well. A setting that is given twice is refused. A name that ends with `_s` is a time in seconds. `none` takes a limit",
    "away. A default that differs between the paces is that of `demo`, then those of the others.",
    "",
    "`python -m tests.simulation` takes `--set` for all of them; the experiments take it for what their grids do not vary.",
]


def _option(declaration: Declaration) -> str:
    if declaration.option is None:
        return "HOST" if declaration.name == "host" else "HOST:PORT" if declaration.name == "port" else ""
    name, metavar, _ = declaration.option
    return f"`{name} {metavar}`" if metavar else f"`{name}`" if name.startswith("-") else name.upper()


def _values(declaration: Declaration) -> str:
    words = choices_of(declaration) or (("true", "false") if declaration.kind is bool else ())
    return ", ".join(words) or declaration.range.replace("at least ", "from ").replace("at most", "to").replace(
        " and ", " "
    )
