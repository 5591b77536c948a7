"""What a process that is started again knows of its former lives."""

from __future__ import annotations

from bazaar.protocol.goods import Item, Record
from bazaar.protocol.messages import Deposit


class Unanswered(Record, frozen=True):
    """An order that a buyer is to ask for once more. `in_doubt`: it was answered, and the answer does not count any more."""

    item: Item
    in_doubt: bool


class FormerLife(Record, frozen=True):
    """What a process that is started again finds in its own history."""

    lives: int = 0
    """How often it was started before."""
    clock: int = 0
    """Where its Lamport clock had come to; its names for orders and deposits go on from there."""
    placed: int = 0
    """How many orders it had placed."""
    unanswered: dict[str, Unanswered] = {}  # noqa: RUF012  # msgspec copies it
    """The orders that it waits for, by name, in the order in which they were placed."""
    offered: tuple[Deposit, ...] = ()
    """The deposits that no trader has confirmed."""
    credited: frozenset[str] = frozenset()
    """The orders whose sale it was paid for."""
    seated: frozenset[int] = frozenset()
    """The tenures that it had begun, by ledger position: each of these has a journal."""


FIRST_LIFE = FormerLife()
