from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from bazaar.protocol.declaration import Option, declarations, docstrings
from bazaar.protocol.settings import Settings

Share = Annotated[float, Meta(gt=0, le=1)]


class Sample(msgspec.Struct, kw_only=True):
    """A record as somebody may write it."""

    plain: str = "so"
    """Anything."""
    number: Annotated[int, Meta(ge=2, le=9), Option("--number", "N")] = 3
    """How many
    of them."""
    share: Annotated[Share | None, Option("--share")] = None
    mood: Annotated[Literal["sad", "glad"], Option("mood")] = "glad"
    wait_s: Annotated[float, Meta(ge=0)] = 0.0
    loud: bool = False


SAMPLE = declarations(Sample)


def test_a_field_declares_its_kind_its_choices_and_whether_it_can_be_none() -> None:
    assert [(d.name, d.kind, d.default, d.optional, d.choices) for d in SAMPLE.values()] == [
        ("plain", str, "so", False, ()),
        ("number", int, 3, False, ()),
        ("share", float, None, True, ()),
        ("mood", str, "glad", False, ("sad", "glad")),
        ("wait_s", float, 0.0, False, ()),
        ("loud", bool, False, False, ()),
    ]


def test_a_field_may_have_an_option_and_is_called_by_it() -> None:
    assert {name: d.option for name, d in SAMPLE.items() if d.option is not None} == {
        "number": Option("--number", "N"),
        "share": Option("--share"),
        "mood": Option("mood"),
    }
    assert [d.label for d in SAMPLE.values()] == ["plain", "--number", "--share", "mood", "wait_s", "loud"]


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("number", 1, "--number must be at least 2 and at most 9; you asked for 1"),
        ("number", 2, ""),
        ("number", 9, ""),
        ("number", 10, "--number must be at least 2 and at most 9; you asked for 10"),
        ("share", 0.0, "--share must be above 0 and at most 1; you asked for 0.0"),
        ("share", 1.0, ""),
        ("share", None, ""),
        ("share", float("nan"), "--share must be above 0 and at most 1; you asked for nan"),
        ("wait_s", 0.0, ""),
        ("wait_s", -0.5, "wait_s must be a number of seconds at least 0; you asked for -0.5"),
        ("plain", "", ""),
        ("loud", True, ""),
    ],
)
def test_a_value_is_checked_by_the_bounds_of_its_field(name: str, value: Any, complaint: str) -> None:
    assert SAMPLE[name].complaint(value) == complaint


def test_what_stands_below_a_field_is_its_docstring() -> None:
    assert docstrings(Sample) == {"plain": "Anything.", "number": "How many of them."}


def test_every_setting_has_a_docstring_that_is_one_or_more_sentences() -> None:
    assert list(docstrings(Settings)) == list(declarations(Settings))
    assert all(text[0].isupper() and text.endswith(".") for text in docstrings(Settings).values())


def test_every_setting_that_is_a_number_has_bounds() -> None:
    unbounded = [d.name for d in declarations(Settings).values() if d.kind in (int, float) and d.most is None]
    assert unbounded == []


def test_the_unit_of_a_time_is_in_its_name() -> None:
    assert all(d.name.endswith(("_s", "_ms")) for d in declarations(Settings).values() if d.kind is float)
