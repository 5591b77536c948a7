"""How a page is written: tables, types in words, and what the source says of a record beside its fields."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from bazaar.protocol.declaration import docstrings
from bazaar.protocol.goods import ITEMS, Bench, Lot, Order, Seat

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
MADE = "<!-- Made by `python -m tests.reference`. Change the code instead. -->"
PLAIN: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
MANY = {"text": "texts", "an item": "items"}
VALUES: tuple[type[msgspec.Struct], ...] = (Order, Lot, Seat, Bench)
"""Records that are fields of others; messages.md has a section for each."""


def page(title: str, *paragraphs: str) -> str:
    """A page that says where it comes from."""
    return "\n\n".join([MADE, f"# {title}", *paragraphs]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As Markdown has it. A bar within a cell would end the cell, also within backticks."""
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *escaped))


def sentences_of(record: type) -> str:
    """The record's docstring in one line; what it cites of the requirements is a link."""
    return _linked(" ".join((inspect.getdoc(record) or "").split()))


def _linked(sentence: str) -> str:
    return re.sub(r"requirement ([A-Z]\d\w*)", r"[requirement \1](requirements.md)", sentence)


def in_words(hint: Any) -> str:
    """A type, for people who read no Python."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return in_words(arguments[0])
    if origin is Literal:
        choices = [f"`{choice}`" for choice in arguments]
        return "an item" if arguments == ITEMS else f"{', '.join(choices[:-1])} or {choices[-1]}"
    if origin is tuple and ... not in arguments:
        return f"pair of {' and '.join(map(in_words, arguments))}"
    if origin is tuple:
        each = in_words(arguments[0])
        return f"list of {MANY.get(each, each.replace('pair of', 'pairs of', 1))}"
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if one is type(None) else in_words(one) for one in arguments)
    if hint in VALUES:
        return f"[{hint.__name__}](messages.md#{hint.__name__.lower()})"
    return PLAIN.get(hint) or f"`{hint.__name__}`"


def fields_of(record: type[msgspec.Struct], besides: Mapping[str, str] | None = None) -> str:
    """All fields, each with its name in JSON, its type, and what the source says below it; a line each, in a table's cell.

    `besides`: what is said in the place of a type, by field.
    """
    hints = get_type_hints(record, include_extras=True)
    said: dict[str, str] = {}
    for base in reversed(record.__mro__):
        if base.__module__.startswith("bazaar."):
            said |= docstrings(base)
    lines = []
    for field in msgspec.structs.fields(record):
        kind = (besides or {}).get(field.name) or in_words(hints[field.name])
        optional = "" if field.required else " (may be left out)"
        if field.default is None:  # left out, it is nothing
            kind = kind.removesuffix(" or nothing")
        lines.append(f"`{field.encode_name}`: {kind}{_unit(field.name)}{optional}" + _more(said.get(field.name)))
    return "<br>".join(lines) or "none"


def _unit(name: str) -> str:
    return ", in cents" if name.endswith("_cents") else ", in seconds" if name.endswith("_s") else ""


def _more(sentence: str | None) -> str:
    return f". {_linked(sentence).rstrip('.')}" if sentence else ""


def groups_of(module: ModuleType) -> Iterator[tuple[str, list[type[msgspec.Struct]]]]:
    """The records that a module defines, by the headings (`# ---- buyers`) under which they stand in its source."""
    heading, group = "", list[type[msgspec.Struct]]()
    for line in inspect.getsource(module).splitlines():
        if found := re.match(r"# -{20,} (.+)", line):
            yield heading, group
            heading, group = found[1], []
        elif found := re.match(r"class (\w+)\(", line):
            group.append(getattr(module, found[1]))
    yield heading, group
