"""The page of the ledger's entries."""

from __future__ import annotations

from typing import get_args

from bazaar.protocol.entries import AnyEntry, Entry
from tests.reference.writing import fields_of, page, sentences_of, table


def entries_page() -> str:
    """Each kind of entry, and its fields."""
    rows = [(f"`{_kind(entry)}`", sentences_of(entry), fields_of(entry)) for entry in get_args(AnyEntry)]
    return page("Ledger entries", ABOUT, table(("kind", "what it says", "fields"), rows))


def _kind(entry: type[Entry]) -> str:
    return str(entry.__struct_config__.tag)


ABOUT = """\
The warehouse decides, and writes each decision into the ledger before it tells anybody. A run's `ledger.jsonl` has one
entry a line, as a JSON object with its `kind`; in MongoDB's collection `ledger` the `position` is the `_id`. Entries are
never changed. What is in stock, who holds which seat and what became of each order all follow from them.

An item is `fish`, `salt` or `boar`. `clock` is the Lamport clock of the message that brought the order or the deposit.
`trader` is the trader that asked for the decision."""
