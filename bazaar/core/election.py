"""The Bully election (Garcia-Molina, "Elections in a Distributed Computing System", IEEE Trans. Comp. 31(1), 1982).

Bully gives liveness, the ledger gives safety: whoever has won asks the warehouse for the seat, and only who was
given it says `won`. So two winners of one seat are impossible, however late a message comes.

    idle --start/election--> calling --enough oks--> waiting --(not all won in time)--> calling
                               |
                               +--(too few above, or too few oks in time)--> claiming --(bench)--> idle

With one seat to win this is the algorithm of the paper: one `ok` is enough to drop out. Electing several at once, a peer
drops out when it has heard as many oks as there are seats: then so many are above it, and alive. The others have won, and
how many are above each says which seat is whose.
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
        self._called_for = NEVER_CALLED  # the newest round that somebody below has called for
        self._oks: set[str] = set()

    def round(self, turn: Turn, number: int, candidates: tuple[str, ...], seats: list[int]) -> None:
        """A new round: who stands, and the numbers of the seats to be won."""
        self._round = number
        self._candidates = candidates
        self._seats = seats
        self._enter("idle", NEVER)
        self._answer_call(turn)

    def start(self, turn: Turn) -> None:
        """Calls everybody above; with nobody above the election is won."""
        if self.phase in ("calling", "claiming"):
            return
        self._oks.clear()
        for name in self._above():
            turn.send(name, Election(self._round))
        self._enter("calling", turn.now + self._timeout_s)
        self._count(turn)

    def called(self, turn: Turn, source: str, number: int) -> None:
        """Somebody below asks: tell it to drop out, and hold an election of one's own (as soon as the round is known)."""
        turn.send(source, Ok(number))
        self._called_for = max(self._called_for, number)
        self._answer_call(turn)

    def heard_ok(self, turn: Turn, source: str, number: int) -> None:
        """Somebody above is alive."""
        if self.phase == "calling" and number == self._round:
            self._oks.add(source)
            self._count(turn)

    def tick(self, turn: Turn) -> None:
        """Silence decides."""
        if turn.now < self.deadline:
            return
        if self.phase == "waiting":  # whoever was above has not come forward
            self._enter("idle", NEVER)
            self.start(turn)
        else:
            self._claim(turn)

    def _above(self) -> list[str]:
        return [name for name in self._candidates if index_of(name) > index_of(self._me)]

    def _count(self, turn: Turn) -> None:
        """Drops out, or wins, as soon as either is certain; until then the silent have time to speak."""
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
