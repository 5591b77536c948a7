"""A link: what waits to cross one edge of the graph, in one direction.

Hellos and reports go first. Relayed deliveries wait in a bounded queue. What is lost with a connection is not sent again
here: the channels repeat it, end to end.
"""

from __future__ import annotations

from collections import Counter, deque

from bazaar.core.turn import NEVER
from bazaar.protocol.frames import AnyFrame, Bundle, Busy, Relay

MOST_WAITING = 1_000  # relayed frames; a further one is refused
ROOM = 20
"""A process's own deliveries wait in their channels while so many frames wait here: there they grow together. So they are
never refused, and most of the queue is left to what others relay."""
MOST_BYTES = 200_000  # of the deliveries in one bundle


class Link:
    """What one process sends to one neighbour."""

    def __init__(self, me: str, other: str, bundles: Counter[str]) -> None:
        """`bundles` counts, by neighbour, what is handed out to be sent."""
        self._me = me
        self._bundles = bundles
        self.other = other
        self._first: deque[AnyFrame] = deque()
        self._waiting: deque[Relay | Busy] = deque()
        self.held_until = 0.0
        """Before this time nothing can be sent."""
        self.repeated = 0
        """How often connecting has failed since the neighbour was last heard."""
        self.digest = -1
        """What the neighbour's last hello said about its reports; -1: nothing yet."""
        self.closed = False
        """Whether nothing will be sent any more."""

    @property
    def deadline(self) -> float:
        """When `delivery` has something to send; 0.0: at once."""
        return self.held_until if self._first or self._waiting else NEVER

    @property
    def room(self) -> bool:
        """Whether this process may add a delivery of its own."""
        return len(self._waiting) < ROOM

    def say(self, *frames: AnyFrame) -> None:
        """Queues hellos and reports."""
        self._first += frames

    def relay(self, frame: Relay | Busy) -> bool:
        """Queues a frame on its way to somebody else. False if there are too many."""
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append(frame)
        return True

    def delivery(self, now: float) -> Bundle | None:
        """The next bundle to send; None if nothing waits."""
        if not self._first and not self._waiting:
            return None
        frames: list[AnyFrame] = [*self._first]
        size = 0
        self._first.clear()
        while self._waiting and size < MOST_BYTES:
            frame = self._waiting.popleft()
            size += len(frame.data) if isinstance(frame, Relay) else 0
            frames.append(frame)
        self._bundles[self.other] += 1
        return Bundle(self._me, tuple(frames))

    def again(self) -> None:
        """The connection is lost, or could not be made. Hellos of that time would be stale."""
        self._first.clear()
        self.digest = -1
        self.repeated += 1

    def take_back(self) -> list[Relay | Busy]:
        """Returns the frames that were on their way to somebody else: they have to take another way."""
        rest, self._waiting = [*self._waiting], deque()
        return rest
