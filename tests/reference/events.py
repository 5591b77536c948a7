"""The page of the events that stand in the histories."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from bazaar.protocol import events
from bazaar.protocol.events import KINDS, Event
from bazaar.views.narration import SENTENCES
from tests.reference.writing import ROOT, fields_of, groups_of, page, sentences_of, table

WHO_NOTE = ("peers", "bazaar/core", "bazaar/runtime", "bazaar/control")


def noted_by(code: str) -> Iterator[str]:
    """The names of the events that this code makes: not those of patterns, tests and annotations, by which they are read."""
    tree = ast.parse(code)
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == events.__name__
        for alias in node.names
    }
    for name in _mentioned(tree):
        module, _, event = name.rpartition(".")
        if module == "events" or (not module and event in imported):
            yield event


def _mentioned(tree: ast.AST) -> Iterator[str]:
    for field, node in ((field, node) for field, value in ast.iter_fields(tree) for node in _nodes(value)):
        is_read = isinstance(node, ast.MatchClass | ast.arg) or field in ("annotation", "returns")
        is_asked_for = isinstance(node, ast.Call) and ast.unparse(node.func) in ("only", "isinstance")
        if is_read or is_asked_for:
            continue
        if isinstance(node, ast.Attribute | ast.Name):
            yield ast.unparse(node)
        else:
            yield from _mentioned(node)


def _nodes(value: object) -> list[ast.AST]:
    return [node for node in (value if isinstance(value, list) else [value]) if isinstance(node, ast.AST)]


def noted_in() -> dict[str, list[str]]:
    """By the name of an event's class: the files whose code notes it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(file for room in WHO_NOTE for file in (ROOT / room).rglob("*.py")):
        for name in dict.fromkeys(noted_by(file.read_text(encoding="utf-8"))):
            found[name].append(str(file.relative_to(ROOT)))
    return found


def events_page() -> str:
    """Every event, by who notes it."""
    told = {told[0] if isinstance(told, tuple) else told for told in SENTENCES}
    files = noted_in()

    def row(event: type[Event]) -> tuple[str, ...]:
        where = "<br>".join(f"`{file}`" for file in files[event.__name__])
        sentences = "[yes](sentences.md)" if event in told else "no"
        return f"`{event.kind}`", sentences_of(event), fields_of(event), where, sentences

    header = ("event", "what happened", "facts", "noted in", "told")
    parts = [
        f"## {heading.capitalize()}\n\n{table(header, [row(event) for event in group if event in KINDS.values()])}"  # type: ignore[arg-type]
        for heading, group in groups_of(events)
        if heading
    ]
    return page("Events", ABOUT, *parts)


ABOUT = """\
Every process writes what happens to it into its history, `<process>/history.jsonl`: one JSON object a line, in the order
of the process's own Lamport clock. These are all events that there are. A line with any other is damaged, and the judge
names it.

| key of a line | what it is |
| --- | --- |
| `what` | the event, by the name in the tables below |
| `at` | when: seconds since the epoch |
| `process` | who wrote the line |
| `clock` | the Lamport clock of the process |
| `facts` | the fields of the event; left out if it has none |
| `source`, `sent` | of the message that the event follows from: who sent it, at which Lamport clock; left out without one |

An item is `fish`, `salt` or `boar`. `clock` is a Lamport clock, `since` a position of the ledger."""
