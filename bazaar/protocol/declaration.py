"""The declarations of a record's fields: type, bounds, default, docstring and command-line option.

Each setting is declared once, as a field of `Settings`. Its option, its `--help` text, its line in docs/reference and its
check are all made from that declaration.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import reprlib
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec.inspect import BoolType, FloatType, IntType, LiteralType, NoneType, StrType, StructType, UnionType

Kind = type[int] | type[float] | type[bool] | type[str]


class Option(NamedTuple):
    """The command-line option of a setting, such as `--window W`. A name without dashes is a positional argument."""

    name: str
    metavar: str = ""
    otherwise: str = ""
    """The value without the option, where the command line does not take the default of the field."""


class Declaration(NamedTuple):
    """One field."""

    name: str
    kind: Kind
    default: Any
    optional: bool
    """Whether the value can be None."""
    choices: tuple[str, ...]
    """The allowed texts; empty: any text is allowed."""
    least: float | None
    above: float | None
    """An exclusive lower bound: the value must be greater than this."""
    most: float | None
    option: Option | None
    """None: only `--set` can give the setting."""

    @property
    def label(self) -> str:
        """The name of the setting in a complaint."""
        return self.option.name if self.option is not None else self.name

    @property
    def range(self) -> str:
        """The bounds in words, such as `at least 1 and at most 10000`; empty without bounds."""
        bounds = {"at least": self.least, "above": self.above, "at most": self.most}
        return " and ".join(f"{word} {number}" for word, number in bounds.items() if number is not None)

    def complaint(self, value: Any) -> str:
        """One line that says what is wrong with this value, taken alone, and what to give instead. Empty if it is right."""
        if value is None or not self.range:
            return ""
        low_enough = self.most is None or value <= self.most  # NaN satisfies no comparison
        if low_enough and (self.least is None or value >= self.least) and (self.above is None or value > self.above):
            return ""
        what = "a number of seconds " if self.name.endswith("_s") else ""
        return f"{self.label} must be {what}{self.range}; you asked for {reprlib.repr(value)}"


@functools.cache
def declarations(record: type[msgspec.Struct]) -> dict[str, Declaration]:
    """The fields of a record of plain values, by name, in their order."""
    annotated, plain = get_type_hints(record, include_extras=True), get_type_hints(record)
    declared = {}
    for field in _struct_type(record).fields:
        types = field.type.types if isinstance(field.type, UnionType) else (field.type,)
        (kind,) = (one for one in types if not isinstance(one, NoneType))
        extras = getattr(annotated[field.name], "__metadata__", ())
        declared[field.name] = Declaration(
            field.name,
            KINDS[type(kind)],
            field.default,
            len(types) > 1,
            get_args(plain[field.name]) if isinstance(kind, LiteralType) else (),
            *((kind.ge, kind.gt, kind.le) if isinstance(kind, IntType | FloatType) else (None, None, None)),
            next((extra for extra in extras if isinstance(extra, Option)), None),
        )
    return declared


KINDS: dict[type, Kind] = {IntType: int, FloatType: float, BoolType: bool, StrType: str, LiteralType: str}


def _struct_type(record: type[msgspec.Struct]) -> StructType:
    described = msgspec.inspect.type_info(record)
    assert isinstance(described, StructType)
    return described


def docstrings(record: type) -> dict[str, str]:
    """The docstring below each field. Python keeps no docstrings of fields, so they are read from the source."""
    (declared,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(declared, ast.ClassDef)
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(declared.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
