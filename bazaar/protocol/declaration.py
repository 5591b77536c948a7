"""What the fields of a record declare: type, bounds, default, docstring, and how the command line says them.

Each setting is declared once, as a field of `Settings`; its option, its `--help`, its page in docs/reference and its check
are all made from what is read here.
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
    """How the command line says a setting: `--window W`; a name without dashes is a position."""

    name: str
    metavar: str = ""
    otherwise: str = ""
    """What the command line takes without it, where that is not the default of the field."""


class Declaration(NamedTuple):
    """One field."""

    name: str
    kind: Kind
    default: Any
    optional: bool
    """Whether it can be None."""
    choices: tuple[str, ...]
    """All that a text can be; empty: any text."""
    least: float | None
    above: float | None
    """Like `least`, but it cannot be this number itself."""
    most: float | None
    option: Option | None
    """None: `--set` alone says it."""

    @property
    def label(self) -> str:
        """What a complaint calls it."""
        return self.option.name if self.option is not None else self.name

    @property
    def range(self) -> str:
        """`at least 1 and at most 10000`; empty without bounds."""
        bounds = {"at least": self.least, "above": self.above, "at most": self.most}
        return " and ".join(f"{word} {number}" for word, number in bounds.items() if number is not None)

    def complaint(self, value: Any) -> str:
        """What is wrong with this value, taken alone: a line that says what to give instead. Empty: nothing."""
        if value is None or not self.range:
            return ""
        low_enough = self.most is None or value <= self.most  # a value that is no number is neither low nor high enough
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
    """What stands below each field. Python keeps no docstrings of fields, so they are read from the source."""
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
