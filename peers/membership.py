"""Who trades: every peer's view of the bench, and the elections that fill it (SPEC B1 to B4).

The warehouse's ledger says who holds a seat; a view is a copy of it with a position, and the higher position wins. A
round of the election is held until no seat is free: `peer2` starts the first, `peer0` each further one, the lowest
peer without a seat where there is none of that index. Should a starter be silent, the others start in its stead, the
lowest first.
"""

from __future__ import annotations

from typing import ClassVar

from bazaar.core.election import Bully
from bazaar.core.turn import Turn
from bazaar.records import WAREHOUSE, Bench, BenchIs, Election, Ok, WhoTrades, Won, index_of
from bazaar.settings import Settings
from peers.role import FOREVER, Role

FIRST_STARTER = 2
FURTHER_STARTER = 0
NOBODY = -1  # the position of the empty bench


class Membership(Role):
    """The part that every peer plays all the time."""

    def __init__(self, me: str, names: tuple[str, ...], settings: Settings) -> None:
        self._me = me
        self._names = names
        self._settings = settings
        self._bully = Bully(me, names, settings.election_timeout_s)
        self._start_at = FOREVER
        self.bench: Bench = ()
        self.position = NOBODY

    @property
    def deadline(self) -> float:
        return min(self._start_at, self._bully.deadline)

    @property
    def traders(self) -> tuple[str, ...]:
        """Those who hold a seat."""
        return tuple(name for name in self.bench if name is not None)

    @property
    def stood(self) -> bool:
        """Whether this peer has stood for election in this life."""
        return self._bully.stood

    @property
    def complete(self) -> bool:
        """Whether no seat is free."""
        return len(self.traders) == self._settings.traders

    def begin(self, turn: Turn) -> None:
        """Takes the bench to be empty, and asks: it is not if this peer was started again."""
        turn.send(WAREHOUSE, WhoTrades())
        self._plan_start(turn)

    def tick(self, turn: Turn) -> None:
        self._bully.tick(turn)
        if turn.now >= self._start_at:
            if self._bully.phase == "idle":
                if self.position != NOBODY:
                    turn.note("reelection", traders=list(self.traders))
                turn.note("election_started")
                self._bully.start(turn)
            self._postpone(turn)

    # ------------------------------------------------------------------------------------ the messages
    def on_bench(self, turn: Turn, source: str, body: BenchIs) -> None:
        if self._adopt(turn, body.bench, body.position):
            for name in self._names:
                if name != self._me:
                    turn.send(name, Won(self.bench, self.position))

    def on_won(self, turn: Turn, source: str, body: Won) -> None:
        turn.note("recognized", coordinator=source)
        self._adopt(turn, body.bench, body.position)

    def on_election(self, turn: Turn, source: str, body: Election) -> None:
        turn.note("called", by=source)
        if body.position < self.position:
            turn.send(source, BenchIs(self.bench, self.position))  # it holds an election that is over
            return
        self._bully.called(turn, source, body.position)
        self._postpone(turn)

    def on_ok(self, turn: Turn, source: str, body: Ok) -> None:
        turn.note("heard_ok", above=source)
        self._bully.heard_ok(turn, body.position)

    handles: ClassVar = {BenchIs: on_bench, Won: on_won, Election: on_election, Ok: on_ok}

    # -------------------------------------------------------------------------------------- the rounds
    def _adopt(self, turn: Turn, bench: Bench, position: int) -> bool:
        """Takes over a view if it is newer; True if by it this peer was elected."""
        if position <= self.position:
            return False
        # In the bench without having stood for it in this life: it was elected in a former one.
        elected = self._me in bench and self._me not in self.bench and self._bully.stood
        self.bench, self.position = bench, position
        if elected:
            turn.note("elected", seat=bench.index(self._me))
        self._plan_start(turn)
        self._bully.round(turn, self._candidates(), position)
        if self._bully.phase != "idle":
            self._postpone(turn)
        return elected

    def _plan_start(self, turn: Turn) -> None:
        """When to start the next round, if it comes to that: at once, or after those before have been silent for long."""
        candidates = self._candidates()
        self._start_at = FOREVER
        if self._me in candidates and not self.complete:
            first = self.position == NOBODY
            delay = self._settings.election_delay_s if first else self._settings.reelection_delay_s
            rank = self._turns_to_wait(candidates, FIRST_STARTER if first else FURTHER_STARTER)
            self._start_at = turn.now + delay + rank * 2 * self._settings.election_timeout_s

    def _postpone(self, turn: Turn) -> None:
        """An election is under way: start another only if it comes to nothing for very long."""
        if self._me not in self._candidates():
            return  # an election that this peer was called to, and whose outcome it does not know yet
        rank = 1 + self._candidates().index(self._me)
        self._start_at = turn.now + (4 + rank) * self._settings.election_timeout_s

    def _candidates(self) -> tuple[str, ...]:
        return tuple(name for name in self._names if name not in self.bench)

    def _turns_to_wait(self, candidates: tuple[str, ...], starter: int) -> int:
        """0 for the peer that starts the round; else how many would have to be silent before it is this one's turn."""
        chosen = next((name for name in candidates if index_of(name) == starter), candidates[0])
        order = [chosen, *(name for name in candidates if name != chosen)]
        return order.index(self._me)
