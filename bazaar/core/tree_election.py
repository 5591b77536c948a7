"""The election along a tree: a wave over the edges of the graph finds the highest living candidates.

    a starter calls its neighbours ->  each joins, and calls its other neighbours  ->  a call comes back on every other edge
    the starter tells the winners  <-  each answers its parent with the highest that it knows: an echo

A peer's parent is the neighbour whose call came first. A call crosses each edge, and an echo goes back along the edges to the
parents, which form a tree. The word of the victory goes along the same tree. So a round takes some 2 letters for each edge,
and 1 for each peer, instead of Bully's square (Chang, "Echo algorithms", IEEE Trans. Software Eng. 8(4), 1982; Segall,
"Distributed network protocols", IEEE Trans. Inf. Theory 29(1), 1983: propagation of information with feedback).

Several peers may start. A peer belongs to the highest wave that it was called to, and a lower one becomes extinct there, so
one starter alone is answered by all (Tel, "Introduction to Distributed Algorithms", 2nd ed. 2000, section 7.3.1: echo with
extinction). Whoever dies in the middle answers nobody. The starter then begins a further wave, along the graph that has healed
meanwhile, and gives it more time.

As with Bully, the election gives liveness and the ledger gives safety: a winner asks the warehouse for the seat, and a wrong
winner is a trader like any other.
"""

from __future__ import annotations

from typing import Literal

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, Wave, index_of
from bazaar.protocol.messages import Call, Chosen, Claim, Echo

Phase = Literal["idle", "calling", "waiting", "claiming"]
NOT_TOLD = -2  # rounds are numbered from -1
NO_WAVE = Wave(0, "")


class TreeElection:
    """One peer's part in the elections. Only starters and winners leave the phase `idle`."""

    def __init__(self, me: str, timeout_s: float) -> None:
        self.phase: Phase = "idle"
        self.deadline = NEVER
        self.neighbours: tuple[str, ...] = ()
        """This peer's neighbours in the graph as it is now. A wave keeps to those at its beginning."""
        self._me = me
        self._timeout_s = timeout_s
        self._round = NOT_TOLD
        self._stands = False
        self._seats: list[int] = []
        self._seat = 0  # the seat that this peer claims
        self._wave = NO_WAVE
        self._parent = ""
        self._called: tuple[str, ...] = ()
        self._awaited: set[str] = set()  # called neighbours that have neither called nor answered yet
        self._crossed: set[str] = set()  # called neighbours that have another parent
        self._highest: tuple[str, ...] = ()
        self._early: dict[str, Call] = {}  # by neighbour: its call for a round that this peer does not know yet

    @property
    def tree(self) -> tuple[str, ...]:
        """The neighbours to which the word of this round's victory goes; all of them, if this peer was not called."""
        if self._wave == NO_WAVE:
            return self.neighbours
        above = () if self._parent == self._me else (self._parent,)
        return (*above, *(name for name in self._called if name not in self._crossed))

    def round(self, turn: Turn, number: int, candidates: tuple[str, ...], seats: list[int]) -> None:
        """Begins a round: its candidates, and the numbers of the seats to be won."""
        self._round = number
        self._stands = self._me in candidates
        self._seats = seats
        self._wave = NO_WAVE
        self._enter("idle", NEVER)
        early, self._early = self._early, {}
        for source, call in early.items():
            self.called(turn, source, call)

    def start(self, turn: Turn) -> None:
        """Begins a wave that is higher than all that this peer was called to in this round."""
        if self.phase in ("calling", "claiming"):
            return
        wave = Wave(self._wave.number + 1, self._me)
        self._enter("calling", turn.now + self._timeout_s * wave.number)
        self._join(turn, wave, self._me)

    def called(self, turn: Turn, source: str, call: Call) -> None:
        """A neighbour calls: it is this peer's parent in a higher wave, or has another one in the same wave."""
        if call.round > self._round:
            self._early[source] = call
        elif call.round == self._round and _rank(call.wave) > _rank(self._wave):
            if self.phase != "claiming":
                self._enter("idle", NEVER)  # the wave that this peer has started, if any, is extinct
            self._join(turn, call.wave, source)
        elif call.round == self._round and call.wave == self._wave and source != self._parent:
            if source in self._awaited:
                self._crossed.add(source)
                self._answered(turn, source)
            else:  # it took this peer for its neighbour before this peer did, and would wait for ever
                turn.send(source, Echo(call.round, call.wave, ()))

    def heard_echo(self, turn: Turn, source: str, echo: Echo) -> None:
        """A child tells the highest candidates of its part of the tree."""
        if echo.round == self._round and echo.wave == self._wave and source in self._awaited:
            highest = sorted({*self._highest, *echo.highest}, key=index_of, reverse=True)
            self._highest = tuple(highest[: len(self._seats)])
            self._answered(turn, source)

    def chosen(self, turn: Turn, number: int, seat: int) -> None:
        """A starter has found that this peer has won."""
        if number == self._round and self._stands:
            self._seat = seat
            self._claim(turn)

    def tick(self, turn: Turn) -> None:
        """Begins a further wave if this one was not answered by all in time, or its winner has not announced itself."""
        if turn.now < self.deadline:
            return
        if self.phase == "claiming":
            self._claim(turn)
        else:
            self._enter("idle", NEVER)
            self.start(turn)

    def _join(self, turn: Turn, wave: Wave, parent: str) -> None:
        self._wave, self._parent = wave, parent
        self._called = tuple(name for name in self.neighbours if name != parent)
        self._awaited = set(self._called)
        self._crossed = set()
        self._highest = (self._me,) if self._stands else ()
        for name in self._called:
            turn.send(name, Call(self._round, wave))
        self._conclude(turn)

    def _answered(self, turn: Turn, source: str) -> None:
        self._awaited.discard(source)
        self._conclude(turn)

    def _conclude(self, turn: Turn) -> None:
        """Answers the parent once all others have answered. The starter has no parent, and tells the winners."""
        if self._awaited:
            return
        if self._parent != self._me:
            turn.send(self._parent, Echo(self._round, self._wave, self._highest))
            return
        self._enter("waiting", turn.now + 2 * self._timeout_s)
        for name, seat in zip(self._highest, self._seats, strict=False):
            if name == self._me:
                self.chosen(turn, self._round, seat)
            else:
                turn.send(name, Chosen(self._round, seat))

    def _claim(self, turn: Turn) -> None:
        turn.send(WAREHOUSE, Claim(self._round, self._seat))
        self._enter("claiming", turn.now + self._timeout_s)

    def _enter(self, phase: Phase, deadline: float) -> None:
        self.phase = phase
        self.deadline = deadline


def _rank(wave: Wave) -> tuple[int, int]:
    """Later waves are higher; of two first ones, that of the higher starter."""
    return wave.number, index_of(wave.starter) if wave.starter else -1
