"""The promises of a trader's cache to buyers that the warehouse has not decided yet."""

from __future__ import annotations

from collections.abc import Iterator

from bazaar.core.turn import NEVER
from bazaar.protocol.goods import Lot
from bazaar.protocol.journal_lines import Promised
from bazaar.protocol.requests import Ship

SETTLE_AFTER_S = 0.05  # under a lease, how long a sale waits for others to share its question: nobody waits for it


class Promises:
    """All promises, in the order in which they were made, and which of them were not put to the warehouse yet."""

    def __init__(self, leased: bool) -> None:
        """`leased`: they are made under a lease, so that none is taken back."""
        self._settle_after_s = SETTLE_AFTER_S if leased else 0.0
        self._made: dict[str, Promised] = {}
        self._untold: dict[str, Ship] = {}  # the warehouse has not been told of these
        self._asked_again: set[str] = set()  # orders whose buyer accepts only the ledger's answer
        self._told_before: dict[str, float] = {}  # under a lease: the buyer was told if the time was before this
        self.settle_at = NEVER
        """When the warehouse is to be told at the latest."""

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[Promised]:
        return iter(self._made.values())

    @property
    def untold(self) -> tuple[Ship, ...]:
        """The promises that were not put to the warehouse yet."""
        return tuple(self._untold.values())

    def add(self, now: float, promised: Promised, told_before: float | None = None) -> None:
        """Adds a promise, which the next question is to contain. `told_before`: when the lease ends, if there is one."""
        order_id = promised.order.order_id
        if not self._untold:
            self.settle_at = now + self._settle_after_s
        if told_before is not None:
            self._told_before[order_id] = told_before
        self._made[order_id] = promised
        self._untold[order_id] = Ship(promised.order, promised.lot.deposit_id)

    def told(self) -> None:
        """All promises are in a question to the warehouse now."""
        self._untold.clear()
        self.settle_at = NEVER

    def decided(self, order_id: str) -> Lot:
        """The warehouse has decided this promise. Returns the lot that it was made from."""
        return self._made.pop(order_id).lot

    def ask_again(self, order_id: str) -> None:
        """The buyer has asked again, here or elsewhere. Now it accepts only the ledger's answer."""
        self._asked_again.add(order_id)

    def was_asked_again(self, order_id: str) -> bool:
        """Whether the buyer accepts only the ledger's answer."""
        return order_id in self._asked_again

    def may_be_unheard(self, now: float, order_id: str) -> bool:
        """Whether the lease has ended meanwhile, so that the promise may have been too late to be sent."""
        return now >= self._told_before.get(order_id, NEVER)

    def close(self, order_id: str) -> None:
        """The order is done with."""
        self._asked_again.discard(order_id)
        self._told_before.pop(order_id, None)
