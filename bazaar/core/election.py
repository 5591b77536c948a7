"""The Bully election (Garcia-Molina, "Elections in a Distributed Computing System", IEEE Trans. Comp. 31(1), 1982).

Bully gives liveness, the ledger gives safety. The winner of an election asks the warehouse for the seat, and only the peer
that is given the seat says `won`. So two winners of one seat are impossible, however late a message comes.

    idle --start/election--> calling --enough oks--> waiting --(not all won in time)--> calling
                               |
                               +--(too few above, or too few oks in time)--> claiming --(bench)--> idle

With one seat to win this is the algorithm of the paper: a peer drops out after one `ok`. If several seats are filled at
once, a peer drops out after as many oks as there are seats: then so many peers above it are alive. The other peers have
won. The number of live peers above a winner says which seat it gets.
"""

from __future__ import annotations

from typing import Literal

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, index_of
from bazaar.protocol.messages import Claim, Election, Ok

NEVER_CALLED = -2  # rounds are numbered from -1


class Bully:
    """One peer's part in the elections."""

    def __init__(self, me: str, timeout_s: float) -> None:
        self.phase: Literal["idle", "calling", "waiting", "claiming"] = "idle"
        self.deadline = NEVER
        self._me = me
        self._timeout_s = timeout_s
        self._candidates: tuple[str, ...] = ()
        self._seats: list[int] = []
        self._round = -1
        self._called_for = NEVER_CALLED  # the newest round that a lower peer has called for
        self._oks: set[str] = set()

    def round(self, turn: Turn, number: int, candidates: tuple[str, ...], seats: list[int]) -> None:
        """Begins a round: its candidates, and the numbers of the seats to be won."""
        self._round = number
        self._candidates = candidates
        self._seats = seats
        self._enter("idle", NEVER)
        self._answer_call(turn)

    def start(self, turn: Turn) -> None:
        """Calls all higher candidates. If there are none, the election is won."""
        if self.phase in ("calling", "claiming"):
            return
        self._oks.clear()
        for name in self._above():
            turn.send(name, Election(self._round))
        self._enter("calling", turn.now + self._timeout_s)
        self._count(turn)

    def called(self, turn: Turn, source: str, number: int) -> None:
        """A lower peer calls: tells it to drop out, and holds an election of its own (as soon as the round is known)."""
        turn.send(source, Ok(number))
        self._called_for = max(self._called_for, number)
        self._answer_call(turn)

    def heard_ok(self, turn: Turn, source: str, number: int) -> None:
        """A higher peer is alive."""
        if self.phase == "calling" and number == self._round:
            self._oks.add(source)
            self._count(turn)

    def tick(self, turn: Turn) -> None:
        """Decides when the time to answer has run out."""
        if turn.now < self.deadline:
            return
        if self.phase == "waiting":  # no higher peer has announced that it won
            self._enter("idle", NEVER)
            self.start(turn)
        else:
            self._claim(turn)

    def _above(self) -> list[str]:
        return [name for name in self._candidates if index_of(name) > index_of(self._me)]

    def _count(self, turn: Turn) -> None:
        """Drops out, or wins, as soon as either is certain. Until then the silent peers have time to answer."""
        if len(self._oks) >= len(self._seats):
            self._enter("waiting", turn.now + 2 * self._timeout_s)
        elif len(self._oks) == len(self._above()):
            self._claim(turn)

    def _answer_call(self, turn: Turn) -> None:
        if self.phase == "idle" and self._called_for == self._round and self._me in self._candidates:
            self.start(turn)

    def _claim(self, turn: Turn) -> None:
        turn.send(WAREHOUSE, Claim(self._round, self._seats[len(self._oks)]))
        self._enter("claiming", turn.now + self._timeout_s)

    def _enter(self, phase: Literal["idle", "calling", "waiting", "claiming"], deadline: float) -> None:
        self.phase = phase
        self.deadline = deadline
