"""A trader's journal is kept by another peer, its keeper, on another machine (`--keeper`).

What follows from a line of the journal is held until the keeper *that the ledger names* has the line on its disk. These are a
promise to a buyer, and a question to the warehouse; all else that a trader says follows from an answer to such a question.

A keeper that is silent is replaced: the next peer gets a new copy of all that is open. When it has every line from which
something has left, the warehouse is asked to name it. From then until the answer the ledger may name either of the two, so
both must have what a held message follows from. As long as no keeper is named nothing leaves, and an heir finds nothing to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from bazaar.core.open_lines import OpenLines
from bazaar.core.turn import NEVER, Turn, Withheld
from bazaar.protocol.goods import WAREHOUSE, Copy, Seat
from bazaar.protocol.journal_lines import Closed, JournalLine, Opened
from bazaar.protocol.messages import AnyMessage, Ask, Keep, KeeperIs, Kept, NameKeeper, Purchased

MOST_IN_MESSAGE = 50  # lines: a delivery has up to 500 letters, and must stay below the limit of the wire


def follows(body: AnyMessage) -> bool:
    """Whether a trader says this because of what stands in its journal alone."""
    return isinstance(body, Ask) or (isinstance(body, Purchased) and not body.final)


class Stream:
    """One copy, from the trader's side. A state is the number of a turn that has written: the copy has all until then."""

    def __init__(self, copy: Copy, now: float) -> None:
        self.copy = copy
        self.state = -1
        """The newest state that is on the keeper's disk."""
        self._sent = self._kept = 0  # messages
        self._states: deque[tuple[int, int]] = deque()  # how many messages make which state
        self._heard_at = now
        self._asked_at = NEVER  # since when the keeper owes an answer

    def send(self, turn: Turn, lines: Sequence[JournalLine], state: int) -> None:
        """Sends lines, with which the copy has this state; an empty journal, too."""
        for first in range(0, len(lines) or 1, MOST_IN_MESSAGE):
            part = tuple(lines[first : first + MOST_IN_MESSAGE])
            turn.send(self.copy.keeper, Keep(self.copy, self._sent, part))
            self._sent += 1
        self._states.append((self._sent, state))
        self._asked_at = min(self._asked_at, turn.now)

    def hear(self, now: float, upto: int) -> None:
        """The keeper has the messages below `upto`."""
        self._kept = max(self._kept, min(upto, self._sent))
        while self._states and self._states[0][0] <= self._kept:
            self.state = self._states.popleft()[1]
        self._heard_at = now
        self._asked_at = NEVER if self._kept == self._sent else now

    def lost_at(self, patience_s: float) -> float:
        """When the keeper is taken for lost, unless it answers; infinity: it owes no answer."""
        return self._asked_at + patience_s

    def probe_at(self, patience_s: float) -> float:
        """When the keeper is to be asked whether it is there."""
        return self._heard_at + patience_s / 2 if self._asked_at == NEVER else NEVER

    def probe(self, turn: Turn) -> None:
        """Asks the keeper whether it is there."""
        turn.send(self.copy.keeper, Keep(self.copy, self._sent))
        self._asked_at = turn.now


class Copying:
    """The copies of the journal of one tenure."""

    def __init__(self, seat: Seat, keepers: Sequence[str], patience_s: float) -> None:
        """`keepers`: the peers on other machines. One that is silent for `patience_s` is replaced."""
        self._seat = seat
        self._keepers = keepers
        self._patience_s = patience_s
        self._begun = False
        self._open = OpenLines()
        self._unsent: list[JournalLine] = []  # lines that close orders, for which nobody waits
        self._state = 0  # how many turns have written
        self._held: deque[tuple[int, Withheld]] = deque()  # messages, with the state that they follow from
        self._released = 0  # the newest state from which something has left
        self._number = 0  # of copies
        self._named: Stream | None = None  # the ledger names this copy
        self._next: Stream | None = None  # the copy that the ledger is to name
        self._ask_at = NEVER  # when the warehouse is asked again to name the next copy; it may have done so

    @property
    def deadline(self) -> float:
        """When `end_turn` has something to do, if nothing comes before."""
        if self._ask_at < NEVER:
            return self._ask_at
        stream = self._next or self._named
        return NEVER if stream is None else min(stream.lost_at(self._patience_s), stream.probe_at(self._patience_s))

    def begin(self) -> None:
        """The market trades: a keeper may be chosen. (Before, the ledger has nothing but appointments.)"""
        self._begun = True

    def kept(self, now: float, body: Kept) -> None:
        """A keeper has lines on its disk."""
        for stream in self._streams:
            if stream.copy == body.copy:
                stream.hear(now, body.upto)

    def named(self, body: KeeperIs) -> None:
        """The ledger names this copy."""
        if self._next is not None and body.copy == self._next.copy:
            self._named, self._next, self._ask_at = self._next, None, NEVER

    def end_turn(self, turn: Turn, lines: Sequence[JournalLine]) -> None:
        """Copies the lines that were written in this turn, holds what follows from them, and lets go what may leave."""
        self._write(turn, lines)
        self._held += ((self._state, message) for message in turn.withhold(follows))
        self._watch(turn)
        self._release(turn)

    @property
    def _streams(self) -> list[Stream]:
        return [stream for stream in (self._named, self._next) if stream is not None]

    def _write(self, turn: Turn, lines: Sequence[JournalLine]) -> None:
        new = [line for line in lines if not isinstance(line, Opened)]
        for line in new:
            self._open.add(line)
        self._unsent += new
        if any(not isinstance(line, Closed) for line in new) or len(self._unsent) >= MOST_IN_MESSAGE:
            self._state += 1
            for stream in self._streams:
                stream.send(turn, self._unsent, self._state)
            self._unsent = []

    def _watch(self, turn: Turn) -> None:
        """Sees that there is a keeper, and that it answers."""
        if self._ask_at < NEVER:
            if turn.now >= self._ask_at:
                self._ask(turn, self._next)
            return
        stream = self._next or self._named
        if self._begun and (stream is None or turn.now >= stream.lost_at(self._patience_s)):
            self._choose(turn)
        elif stream is not None and turn.now >= stream.probe_at(self._patience_s):
            stream.probe(turn)
        if self._next is not None and self._next.state >= self._released:
            self._ask(turn, self._next)

    def _choose(self, turn: Turn) -> None:
        """Begins a copy at the next peer."""
        keeper = self._keepers[self._number % len(self._keepers)]
        self._number += 1
        self._next = Stream(Copy(self._seat, keeper, self._number), turn.now)
        self._next.send(turn, self._open.lines, self._state)

    def _ask(self, turn: Turn, stream: Stream | None) -> None:
        if stream is not None:
            turn.send(WAREHOUSE, NameKeeper(stream.copy))
            self._ask_at = turn.now + self._patience_s

    def _release(self, turn: Turn) -> None:
        if self._named is None:
            return
        upto = self._named.state
        if self._ask_at < NEVER and self._next is not None:
            upto = min(upto, self._next.state)
        while self._held and self._held[0][0] <= upto:
            self._released, (to, body, before) = self._held.popleft()
            turn.send(to, body, before)
