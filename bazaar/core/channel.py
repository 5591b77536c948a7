"""A channel between two processes: first in, first out, and exactly once while both of them live.

The sender repeats a delivery until it is acknowledged; the receiver drops what it has seen, by the sender's
incarnation and the letters' consecutive sequence numbers. Loss, duplication and reordering in the network so become
delay, and protocol code need not think of them. What a death loses, the protocols repeat under the same name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from bazaar.records import Delivery, Letter

MOST_LETTERS = 500  # in one delivery: some 30 kB, far below the wire's limit
MOST_WAITING = 100_000  # letters for one receiver that does not take them


class Outbox:
    """The sender's end. Letters that wait while a delivery is under way are the next delivery."""

    def __init__(self, source: str, target: str, incarnation: int) -> None:
        self._source = source
        self._target = target
        self._incarnation = incarnation
        self._letters: deque[Letter] = deque()
        self.acked = 0
        """How many letters the receiver has taken; the sequence number of the first that it has not."""
        self.given_up = False
        """Whether the receiver has not been reached for so long that nobody waits for it any more."""

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def mark(self) -> int:
        """What `acked` will be when all that was put so far has been taken."""
        return self.acked + len(self._letters)

    def put(self, letter: Letter) -> bool:
        """Queues a letter; False, and the letter is dropped, if the receiver has taken nothing for far too long."""
        if len(self._letters) >= MOST_WAITING:
            return False
        self._letters.append(letter)
        return True

    def delivery(self) -> Delivery:
        """The next delivery: the letters not yet acknowledged, oldest first. Asked again, it may have grown."""
        letters = tuple(self._letters[i] for i in range(min(MOST_LETTERS, len(self._letters))))
        return Delivery(self._source, self._target, self._incarnation, self.acked, letters)

    def acknowledged(self, delivery: Delivery) -> None:
        """The receiver has `delivery`."""
        self.acked += len(delivery.letters)
        for _ in delivery.letters:
            self._letters.popleft()


class Afterwards:
    """What is to be kept only when the letters sent along with it have been taken.

    A trader closes an order in its journal when buyer and seller have been told, and not before: if it dies in between,
    its successor finds the order open, and tells them.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[tuple[tuple[Outbox, int], ...], Sequence[Any]]] = deque()

    def put(self, outboxes: Iterable[Outbox], records: Sequence[Any]) -> None:
        """To be kept after all that these outboxes hold now."""
        self._waiting.append((tuple((outbox, outbox.mark) for outbox in outboxes), records))

    def due(self) -> list[Any]:
        """What can be kept now, in its order."""
        records: list[Any] = []
        while self._waiting and all(outbox.acked >= mark or outbox.given_up for outbox, mark in self._waiting[0][0]):
            records += self._waiting.popleft()[1]
        return records


class Inbox:
    """The receiver's end, for all senders."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._next: dict[str, tuple[int, int]] = {}  # sender -> its incarnation, the sequence number expected next

    def accept(self, delivery: Delivery) -> tuple[Letter, ...]:
        """The letters of `delivery` that are new. Raises `ValueError` if it is meant for somebody else."""
        if delivery.target != self._target:
            raise ValueError(f"a delivery for {delivery.target} reached {self._target}")
        incarnation, expected = self._next.get(delivery.source, (delivery.incarnation, 0))
        if delivery.incarnation < incarnation:
            return ()  # the last words of a life that is over
        if delivery.incarnation > incarnation:
            expected = 0
        end = delivery.sequence + len(delivery.letters)
        if end <= expected:
            return ()
        self._next[delivery.source] = (delivery.incarnation, end)
        return delivery.letters[max(0, expected - delivery.sequence) :]
