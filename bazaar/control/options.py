"""The settings on a command line, `--window 3`, `--set think_s=0.2`, and the complaints about them.

Everything is made from the declarations in `Settings`. A command line is a `Parser`. `add_options` gives it an option for each
setting that has one, and `--set` for all settings; `add_set` gives it `--set` alone. `take_settings` returns the settings that
were given.
"""

from __future__ import annotations

import argparse
import re
import reprlib
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from bazaar.control.spelling import did_you_mean
from bazaar.core.cache import POLICIES
from bazaar.protocol.declaration import Declaration, Kind, Option, declarations, docstrings
from bazaar.protocol.settings import PACES, Settings, UsageError

DECLARED = declarations(Settings)
NOTHING = "none"
TRUTHS = {"true": True, "false": False}
FORMS: dict[Kind, str] = {int: "a whole number", float: "a number", bool: "true or false"}
LONGEST_COMPLAINT, SHOWN_OF_IT, MOST_SHOWN = 300, 200, 100
NARROWEST = 40


# -------------------------------------------------------------------------------------- texts and values
def read_value(declaration: Declaration, text: str) -> Any:
    """Reads a value; `check` checks its bounds. Raises `ValueError`, which says what to give instead."""
    if declaration.optional and text.lower() == NOTHING:
        return None
    if declaration.kind is str:
        if declaration.choices and text not in declaration.choices:
            hint = did_you_mean(text, declaration.choices)
            raise ValueError(
                f"invalid choice: {reprlib.repr(text)}; choose from {', '.join(declaration.choices)}{hint}"
            )
        return text
    try:
        if not text.isascii():  # int() and float() take the digits of any script
            raise ValueError(text)
        return TRUTHS[text.lower()] if declaration.kind is bool else declaration.kind(text)
    except (ValueError, KeyError):
        said = f"invalid {declaration.kind.__name__} value: {reprlib.repr(text)}"
        raise ValueError(f"{said}; give {FORMS[declaration.kind]}") from None


def text_of(value: Any) -> str:
    """The text that `read_value` reads as this value."""
    if value is None:
        return NOTHING
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_setting(text: str) -> tuple[str, Any]:
    """The name and the value of `NAME=VALUE`, as `--set` takes it. Raises `UsageError`."""
    name, _, value = text.partition("=")
    complaint = f"--set {_quoted(text)}"
    if not name:
        raise UsageError(f"{complaint}: give NAME=VALUE, such as window=3")
    if name not in DECLARED:
        raise UsageError(
            f"{complaint}: there is no such setting{did_you_mean(name, DECLARED) or '; --help lists them'}"
        )
    declaration = DECLARED[name]
    if not value:
        example = 10 if declaration.default is None else declaration.default
        raise UsageError(f"{complaint}: give NAME=VALUE, such as {name}={text_of(example)}")
    try:
        return name, read_value(declaration, value)
    except ValueError as error:
        raise UsageError(f"{complaint}: {error}") from None


def _quoted(text: str) -> str:
    """The text on one line, shortened so that it can be read."""
    return repr(text[:MOST_SHOWN] + " ..." * (len(text) > MOST_SHOWN))[1:-1]


# -------------------------------------------------------------------------------------------- the parser
class Parser(argparse.ArgumentParser):
    """Raises a `UsageError` of one line for every mistake, also for an option that is only mistyped."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=_wrapped(description),
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Called by argparse for anything that it cannot read."""
        if len(message) >= LONGEST_COMPLAINT:
            message = f"{message[:SHOWN_OF_IT]} ..."
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def read(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The values of the arguments, by name. Raises `UsageError`; after `--help` and `--version`, `SystemExit`."""
        for argument in arguments:  # before argparse, which would take the value of a mistyped option for a position
            if argument == "--":
                break
            option = argument.partition("=")[0]
            if re.match("--?[A-Za-z]", argument) and option not in self._option_string_actions:
                self.error(f"unrecognized arguments: {_quoted(argument)}{self._meant(option)}")
        return vars(self.parse_args(arguments))

    def _meant(self, option: str) -> str:
        name = option.lstrip("-").replace("-", "_")
        if "--set" in self._option_string_actions and name in DECLARED and DECLARED[name].option is None:
            return f" (did you mean --set {name}=VALUE?)"
        return did_you_mean(option, self._option_string_actions)


def _wrapped(text: str, indent: str = "") -> str:
    width = max(NARROWEST, shutil.get_terminal_size().columns - 2)  # COLUMNS=1 says that the terminal has one column
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def add_options(parser: Parser) -> None:
    """Gives the parser the positional arguments and options of all settings that have one, and `--set`."""
    meanings = docstrings(Settings)
    for declaration in DECLARED.values():
        if declaration.option is None:
            continue
        parser.add_argument(
            declaration.option.name,
            **_shape(declaration, declaration.option),
            help=_meaning(declaration, meanings).replace("%", "%%"),
        )
    add_set(parser, "any setting, also those below; repeatable")
    others = [name for name, declaration in DECLARED.items() if declaration.option is None]
    lines = [f"  {name}: {_meaning(DECLARED[name], meanings)}" for name in others]
    parser.epilog = "\n".join(["settings for --set:", *(_wrapped(line, " " * 6) for line in lines)])


def _shape(declaration: Declaration, option: Option) -> dict[str, Any]:
    """What argparse is told of this option. One that is true or false stands alone, and makes it true."""
    if declaration.kind is bool:
        return {"dest": declaration.name, "action": "store_const", "const": True}
    return {
        **({"dest": declaration.name} if option.name.startswith("-") else {"nargs": "?"}),
        "type": partial(_read_option, declaration),
        "metavar": option.metavar or "|".join(choices_of(declaration)) or None,
    }


def add_set(parser: Parser, meaning: str = "") -> None:
    """Gives the parser `--set`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=read_setting,
        metavar="NAME=VALUE",
        help=meaning or f"a setting; repeatable: {', '.join(DECLARED)}",
    )


def _read_option(declaration: Declaration, text: str) -> Any:
    try:
        return read_value(declaration, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def choices_of(declaration: Declaration) -> tuple[str, ...]:
    """The words that the setting can be; empty if it can be others, too."""
    return tuple(POLICIES) if declaration.name == "cache" else declaration.choices


def _meaning(declaration: Declaration, meanings: Mapping[str, str]) -> str:
    default = default_of(declaration)
    return meanings[declaration.name].rstrip(".") + (f" (default {default})" if default else "")


def default_of(declaration: Declaration) -> str:
    """The default as a text for people, with the defaults of the paces that differ; empty if there is none."""
    if declaration.option is not None and declaration.option.otherwise:
        return declaration.option.otherwise
    if declaration.default is None:
        return ""
    others = [f"{pace} {values[declaration.name]:g}" for pace, values in PACES.items() if declaration.name in values]
    default = text_of(declaration.default) if declaration.kind is not float else f"{declaration.default:g}"
    return "; ".join((default, *others))


def take_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Removes the settings that were given from `options`, and returns them. Raises `UsageError`."""
    said = {name: options.pop(name) for name in DECLARED if name in options}
    given = {name: value for name, value in said.items() if value is not None}
    for name, value in options.pop("set"):
        if name in given:
            raise UsageError(f"--set {name}={text_of(value)}: {name} is {text_of(given[name])} already; give it once")
        given[name] = value
    return given
