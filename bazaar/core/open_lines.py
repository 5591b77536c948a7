"""The lines of a journal that still matter: those of every order that is not closed."""

from __future__ import annotations

from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued


class OpenLines:
    """What is open after the lines that were added."""

    def __init__(self) -> None:
        self._lines: dict[str, list[JournalLine]] = {}

    @property
    def lines(self) -> list[JournalLine]:
        """The open lines, order by order."""
        return [line for lines in self._lines.values() for line in lines]

    def add(self, line: JournalLine) -> None:
        """Adds the next line."""
        match line:
            case Queued(order):
                self._lines[order.order_id] = [line]
            case Promised(order):
                self._lines.setdefault(order.order_id, []).append(line)
            case Closed(order_id):
                self._lines.pop(order_id, None)
            case Opened():
                pass
