"""A channel between two processes: first in, first out, and exactly once while both of them live.

Letters are numbered and pipelined: the sender does not wait for the acknowledgement of one before it sends the next. Every
delivery carries a cumulative acknowledgement, that is how many letters of the other side have been taken. If there is
nothing to send for a while, a delivery without letters carries it. Unacknowledged letters are repeated in order, from the
first one on (go-back-N). The receiver drops duplicates, and letters that would leave a gap. Loss, duplication and
reordering in the network thus become delay, and protocol code need not handle them. When a process dies, letters may be
lost; the protocols repeat them under the same name.

A queued letter is never dropped, however long the other side takes nothing: a seller would not be paid. The number of
letters for one receiver is bounded by what can be owed to it: a buyer's window, the goods that a seller has on sale, a
trader's seat.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from bazaar.core.turn import NEVER
from bazaar.protocol.messages import BATCHABLE, Heartbeat
from bazaar.protocol.wire import Delivery, Letter

MOST_LETTERS = 500  # in one delivery: some 30 kB, far below the wire's limit
MOST_UNDER_WAY = 2_000  # letters that are sent and not acknowledged
A_QUEUE = 100  # letters; if so many wait, a heartbeat is not queued
TELL_AFTER_S = 0.05  # an acknowledgement goes with the next letters, or without any after this time
COMPANY_S = 0.05  # for so long after a delivery, letters that nobody waits for cause no further one


class Channel:
    """One end of a channel: the letters to be sent to the other side, and how many of the other side's letters have come."""

    closed = False  # a channel never closes

    def __init__(self, me: str, other: str, life: int, repeat_after_s: float) -> None:
        """`life`: the number of this life of the process, higher than that of any former life."""
        self._me = me
        self.other = other
        self._life = life
        self._repeat_after_s = repeat_after_s
        self._letters: deque[Letter] = deque()  # not yet acknowledged, sent or not
        self._sent = 0  # the number of the first letter that was not sent yet
        self._send_at = NEVER  # when that letter is to be sent
        self._patient_until = 0.0  # letters that nobody waits for are not sent before this time
        self.acked = 0
        """How many letters the other side has taken, which is also the number of the first one that it has not taken."""
        self.repeat_at = NEVER
        """When the letters that were sent are taken for lost."""
        self.repeated = 0
        """How often that has happened since the other side last acknowledged a letter."""
        self.held_until = 0.0
        """Before this time nothing can be sent."""
        self._their_life = -1
        self._taken = 0  # the number of the other side's next letter
        self._told = 0  # how much of that the other side was told
        self._tell_at = NEVER

    def __len__(self) -> int:
        """How many letters are not acknowledged."""
        return len(self._letters)

    @property
    def owes(self) -> bool:
        """Whether a letter that matters is not acknowledged. Heartbeats do not matter here: they go on for ever."""
        return any(not isinstance(letter.body, Heartbeat) for letter in self._letters)

    @property
    def under_way(self) -> bool:
        """Whether a letter was sent that is not acknowledged."""
        return self._sent > self.acked

    @property
    def mark(self) -> int:
        """The value of `acked` when all letters that were queued so far have been taken."""
        return self.acked + len(self._letters)

    @property
    def deadline(self) -> float:
        """When `delivery` has something to send, or letters are to be repeated; 0.0: at once."""
        unsent = self._sent - self.acked < min(len(self._letters), MOST_UNDER_WAY)
        return max(self.held_until, min(self._send_at if unsent else NEVER, self._tell_at, self.repeat_at))

    def put(self, letter: Letter) -> None:
        """Queues a letter. A heartbeat is left out if many letters wait already: they are as good a sign of life."""
        if len(self._letters) >= A_QUEUE and isinstance(letter.body, Heartbeat):
            return
        self._letters.append(letter)
        self._send_at = min(self._send_at, self._patient_until if isinstance(letter.body, BATCHABLE) else 0.0)

    def delivery(self, now: float) -> Delivery | None:
        """The delivery to send now: the next letters, or an acknowledgement alone. None if there is nothing to send."""
        begin = self._sent - self.acked
        end = min(begin + MOST_LETTERS, len(self._letters), MOST_UNDER_WAY)
        if (begin >= end or now < self._send_at) and now < self._tell_at:
            return None
        letters = tuple(islice(self._letters, begin, end))
        number, self._sent = self._sent, self._sent + len(letters)
        if letters:
            self.repeat_at = min(self.repeat_at, now + self._repeat_after_s)
            self._patient_until = now + COMPANY_S
        if self._sent - self.acked == len(self._letters):
            self._send_at = NEVER
        self._told = self._taken
        self._tell_at = NEVER
        return Delivery(self._me, self.other, self._life, number, self.acked, self._their_life, self._taken, letters)

    def again(self) -> None:
        """Sends the unacknowledged letters once more: they are taken for lost."""
        self._sent = self.acked
        self._send_at = 0.0
        self.repeat_at = NEVER
        self.repeated += 1

    def accept(self, delivery: Delivery, now: float) -> tuple[Letter, ...]:
        """The letters of `delivery` that are new. Raises `ValueError` if it is not for this end of this channel."""
        if (delivery.source, delivery.target) != (self.other, self._me):
            raise ValueError(f"a delivery from {delivery.source} for {delivery.target} reached {self._me}")
        if delivery.life < self._their_life:
            return ()  # a late delivery of a life that is over
        if delivery.of == self._life:
            self._acknowledged(delivery.taken, now)
        if not delivery.letters:
            return ()
        if delivery.life > self._their_life:
            self._their_life = delivery.life
            self._taken = self._told = 0
        if delivery.number > self._taken:
            if delivery.number != delivery.acked:
                return ()  # earlier letters are still under way, or lost
            self._taken = self._told = delivery.number  # a former life of this process has taken the earlier letters
        new = delivery.letters[self._taken - delivery.number :]
        self._taken += len(new)
        known = not new or self._taken - self._told > MOST_UNDER_WAY // 2
        self._tell_at = now if known else min(self._tell_at, now + TELL_AFTER_S)
        return new

    def _acknowledged(self, taken: int, now: float) -> None:
        if not self.acked < taken <= self.mark:
            return
        for _ in range(taken - self.acked):
            self._letters.popleft()
        self.acked = taken
        self._sent = max(self._sent, taken)
        self.repeat_at = now + self._repeat_after_s if self._sent > taken else NEVER
        self.repeated = 0
