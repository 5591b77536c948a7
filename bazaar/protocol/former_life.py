"""What a restarted process knows of its former lives."""

from __future__ import annotations

from bazaar.protocol.goods import Item, Record
from bazaar.protocol.messages import Deposit


class Unanswered(Record, frozen=True):
    """An order that a buyer has to send once more. `in_doubt`: it was answered, but the answer does not count any more."""

    item: Item
    in_doubt: bool
    units: int = 1


class FormerLife(Record, frozen=True):
    """What a restarted process finds in its own history."""

    lives: int = 0
    """How often it was started before."""
    clock: int = 0
    """The last value of its Lamport clock. The numbers in the names of its orders and deposits go on from there."""
    placed: int = 0
    """How many orders it had placed."""
    unanswered: dict[str, Unanswered] = {}  # noqa: RUF012  # msgspec copies it
    """The orders without an answer that counts, by name, in the order in which they were placed."""
    offered: tuple[Deposit, ...] = ()
    """The deposits that no trader has confirmed."""
    credited: frozenset[str] = frozenset()
    """The orders whose sale it was paid for."""
    abroad: dict[str, Unanswered] = {}  # noqa: RUF012
    """A buyer's orders abroad without an answer."""
    sent_abroad: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
    """By order, the bazaars that an embassy has asked, in this order."""
    met: tuple[str, ...] = ()
    """The bazaars that an embassy has heard of."""
    seated: frozenset[int] = frozenset()
    """The tenures that it had begun, by ledger position: each of these has a journal."""


FIRST_LIFE = FormerLife()
