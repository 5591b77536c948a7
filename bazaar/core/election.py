"""The Bully election (Garcia-Molina, "Elections in a Distributed Computing System", IEEE Trans. Comp. 31(1), 1982).

Bully gives liveness, the ledger gives safety: whoever has won asks the warehouse for the seat, and only who was
given it says `won`. So two winners of one seat are impossible, however late a message comes.

    idle --start/election--> calling --ok--> waiting --(no won in time)--> calling
                               |
                               +--(nobody above, or no ok in time)--> claiming --(bench)--> idle
"""

from __future__ import annotations

from typing import Literal

from bazaar.core.turn import Turn
from bazaar.records import WAREHOUSE, Claim, Election, Ok, index_of

FOREVER = float("inf")


class Bully:
    """One peer's part in the election of the next trader."""

    def __init__(self, me: str, candidates: tuple[str, ...], timeout_s: float) -> None:
        self.phase: Literal["idle", "calling", "waiting", "claiming"] = "idle"
        self.deadline = FOREVER
        self.stood = False
        """Whether this peer has ever claimed a seat."""
        self._me = me
        self._timeout_s = timeout_s
        self._candidates = candidates
        self._position = -1
        self._called_at = -2  # the newest round that somebody below has called for

    def round(self, turn: Turn, candidates: tuple[str, ...], position: int) -> None:
        """A new round: those without a seat, who stand against the bench as of `position`."""
        self._candidates = candidates
        self._position = position
        self._enter("idle", FOREVER)
        self._answer_call(turn)

    def start(self, turn: Turn) -> None:
        """Calls everybody above; with nobody above the election is won."""
        if self.phase in ("calling", "claiming"):
            return
        above = [name for name in self._candidates if index_of(name) > index_of(self._me)]
        for name in above:
            turn.send(name, Election(self._position))
        if above:
            self._enter("calling", turn.now + self._timeout_s)
        else:
            self._claim(turn)

    def called(self, turn: Turn, source: str, position: int) -> None:
        """Somebody below asks: tell it to drop out, and hold an election of one's own (as soon as the round is known)."""
        turn.send(source, Ok(position))
        self._called_at = max(self._called_at, position)
        self._answer_call(turn)

    def heard_ok(self, turn: Turn, position: int) -> None:
        """Somebody above is alive: drop out, and give it time to win."""
        if self.phase == "calling" and position == self._position:
            self._enter("waiting", turn.now + 2 * self._timeout_s)

    def tick(self, turn: Turn) -> None:
        """Silence decides."""
        if turn.now < self.deadline:
            return
        if self.phase == "waiting":  # whoever was above has not come forward
            self._enter("idle", FOREVER)
            self.start(turn)
        else:
            self._claim(turn)

    def _answer_call(self, turn: Turn) -> None:
        if self.phase == "idle" and self._called_at == self._position and self._me in self._candidates:
            self.start(turn)

    def _claim(self, turn: Turn) -> None:
        self.stood = True
        turn.send(WAREHOUSE, Claim(self._position))
        self._enter("claiming", turn.now + self._timeout_s)

    def _enter(self, phase: Literal["idle", "calling", "waiting", "claiming"], deadline: float) -> None:
        self.phase = phase
        self.deadline = deadline
