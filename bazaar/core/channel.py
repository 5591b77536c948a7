"""A channel between two processes: first in, first out, and exactly once while both of them live.

The sender repeats a delivery until it is acknowledged; the receiver drops what it has seen, by the sender's
incarnation and the letters' consecutive sequence numbers. Loss, duplication and reordering in the network so become
delay, and protocol code need not think of them. What a death loses, the protocols repeat under the same name.
"""

from __future__ import annotations

from collections import deque

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
        self._sequence = 0  # of the first letter that is not yet acknowledged

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> bool:
        """Queues a letter; False, and the letter is dropped, if the receiver has taken nothing for far too long."""
        if len(self._letters) >= MOST_WAITING:
            return False
        self._letters.append(letter)
        return True

    def delivery(self) -> Delivery:
        """The next delivery: the letters not yet acknowledged, oldest first. Asked again, it may have grown."""
        letters = tuple(self._letters[i] for i in range(min(MOST_LETTERS, len(self._letters))))
        return Delivery(self._source, self._target, self._incarnation, self._sequence, letters)

    def acknowledged(self, delivery: Delivery) -> None:
        """The receiver has `delivery`."""
        self._sequence += len(delivery.letters)
        for _ in delivery.letters:
            self._letters.popleft()


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
