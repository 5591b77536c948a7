"""The pages of docs/reference that are made from the code.

    .venv/bin/python -m tests.reference

writes them. A test compares the pages with what this would write.
"""

from collections.abc import Callable

from tests.reference.entries import entries_page
from tests.reference.events import events_page
from tests.reference.messages import messages_page
from tests.reference.sentences import sentences_page
from tests.reference.settings import settings_page
from tests.reference.writing import FOLDER

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "messages.md": messages_page,
    "events.md": events_page,
    "ledger-entries.md": entries_page,
    "sentences.md": sentences_page,
}

__all__ = ["FOLDER", "PAGES"]
