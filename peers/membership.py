"""Membership: a peer's view of the bench, the elections that fill it, and the deaths (requirements B1 to B4, E1, E3 to E5).

The warehouse's ledger says who holds a seat. A view is a copy of that, with a ledger position; of two views the one with the
higher position wins. Rounds of the election are held until no seat is free. The peer with index 2 starts the first round,
the peer with index 0 each further one. If no peer without a seat has that index, the lowest peer without a seat starts the
round. If a starter is silent, the other peers start in its place, the lowest first. No peer takes part before the warehouse
has told it who trades, because a peer that is started again still holds its old seat. A seat is newly won if it is later
than the bench that the warehouse told first.

Traders send heartbeats to each other, and now and then to everybody. A peer that misses a trader's heartbeats suspects the
trader, and asks the warehouse to depose it. The peer whose `Depose` comes first announces the death. A peer that is no
trader waits longer before it suspects, so that the traders do this as long as there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

from bazaar.core.detector import Detector
from bazaar.core.election import Bully
from bazaar.core.tree_election import TreeElection
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.goods import WAREHOUSE, Bench, Seat, index_of
from bazaar.protocol.messages import (
    BenchIs,
    Call,
    Chosen,
    Depose,
    Deposed,
    Echo,
    Election,
    Heartbeat,
    Ok,
    TraderDead,
    WhoTrades,
    Won,
)
from bazaar.protocol.settings import Settings
from peers.role import Role
from peers.scaling import Scaling

FIRST_STARTER = 2
FURTHER_STARTER = 0
NOBODY = -1  # the position of the empty bench
PATIENCE_OF_OTHERS = 3  # the timeout of a peer that is no trader, in multiples of a trader's


class Membership(Role):
    """The role that every peer has all the time."""

    def __init__(
        self, me: str, names: tuple[str, ...], settings: Settings, waits: Callable[[float], tuple[int, int]]
    ) -> None:
        """`waits`: as in `Scaling`."""
        self._me = me
        self._names = names
        self._settings = settings
        self._tree = TreeElection(me, settings.election_timeout_s)
        self._bully = Bully(me, settings.election_timeout_s)
        self._election = self._tree if settings.election == "tree" else self._bully
        self._passed_on = NOBODY  # the position of the newest bench in a `Won` that went along the tree
        self._scaling = Scaling(me, settings, waits)
        self._finished = False
        self._detector = Detector(settings.suspect_after_s)
        self._start_at = NEVER
        self._beat_at = NEVER
        self._tell_all_at = NEVER
        self._ask_at = NEVER
        self._told_first: int | None = None
        self._resigned = False
        self._awaited: set[str] = set()  # traders that have to give a sign of life before the end
        self.bench = Bench(vacant=settings.traders)

    @property
    def deadline(self) -> float:
        return min(self._ask_at, self._start_at, self._election.deadline, self._beat_at, self._detector.deadline)

    @property
    def seat(self) -> Seat | None:
        """This peer's tenure, if it is a trader."""
        return self.bench.seat_of(self._me)

    @property
    def elected(self) -> bool:
        """Whether this peer's seat, if it has one, was won in this life."""
        return self.seat is not None and self._told_first is not None and self.seat.since > self._told_first

    @property
    def unsure(self) -> bool:
        """Whether this peer may hold a seat without knowing it: the warehouse has yet to answer."""
        return self._told_first is None or self._election.phase == "claiming"

    @property
    def complete(self) -> bool:
        """Whether all traders are elected."""
        return self.bench.vacant == 0

    @property
    def trading(self) -> bool:
        """Whether orders are served: also while a further trader is elected by load."""
        return self.complete or self.bench.further

    @property
    def idle(self) -> bool:
        return self._awaited.isdisjoint(self.bench.traders)

    def finish(self, turn: Turn) -> None:
        """Asks each trader for a sign of life, and waits until each has given one or is deposed.

        A trader that has died unnoticed may still owe an answer.
        """
        self._finished = True
        self._awaited = {name for name in self.bench.traders if name != self._me}
        for name in sorted(self._awaited):
            turn.send(name, WhoTrades())

    def tied(self, neighbours: tuple[str, ...]) -> None:
        """These are the neighbours in the graph now."""
        self._tree.neighbours = neighbours

    def begin(self, turn: Turn) -> None:
        """Asks the warehouse who trades. `tick` repeats the question, since a warehouse that is killed does not answer."""
        turn.send(WAREHOUSE, WhoTrades())
        self._ask_at = turn.now + self._settings.election_timeout_s

    def tick(self, turn: Turn) -> None:
        if turn.now >= self._ask_at:
            self.begin(turn)
        self._election.tick(turn)
        if turn.now >= self._start_at:
            if self._election.phase == "idle":
                if self.bench.position != NOBODY:
                    turn.note(events.Reelection(self.bench.traders))
                turn.note(events.ElectionStarted())
                self._election.start(turn)
            self._postpone(turn)
        if turn.now >= self._beat_at:
            self._beat(turn)
        for name in self._detector.suspects(turn.now):
            seat = self.bench.seat_of(name)
            if seat is not None:
                turn.note(events.Suspected(name))
                turn.send(WAREHOUSE, Depose(seat))

    def heard(self, turn: Turn, source: str) -> None:
        """Any letter is a sign of life."""
        self._detector.heard(source, turn.now)

    def resign(self, turn: Turn) -> None:
        """Gives up the seat (requirement E5), and stands for no other one. A peer without a seat has nothing to give up."""
        if self.seat is None:
            turn.note(events.NothingToResign())
            return
        self._resigned = True
        turn.note(events.Resigned())
        turn.send(WAREHOUSE, Depose(self.seat))

    def _beat(self, turn: Turn) -> None:
        everybody = turn.now >= self._tell_all_at
        beat = self._scaling.heartbeat(turn.now)
        for name in self._names if everybody else self.bench.traders:
            if name != self._me:
                turn.send(name, beat)
        self._beat_at = turn.now + self._settings.heartbeat_s
        if everybody:
            self._tell_all_at = turn.now + self._settings.suspect_after_s
        if not self._finished:
            self._scaling.follow(turn, self.bench)

    # ------------------------------------------------------------------------------------ the messages
    def on_who_trades(self, turn: Turn, source: str, body: WhoTrades) -> None:
        turn.send(source, BenchIs(self.bench))

    def on_bench(self, turn: Turn, source: str, body: BenchIs) -> None:
        self._awaited.discard(source)
        if source == WAREHOUSE and self._told_first is None:
            self._told_first = body.bench.position
            turn.note(events.Informed())
            self._plan_start(turn)
            self._new_round(turn)
        if source == WAREHOUSE:
            self._ask_at = NEVER
        if body.bench.further and body.bench.position > self.bench.position and source == WAREHOUSE:
            self._tell_everybody(turn, body)
        tree = self._tree.tree  # of the round that may be over now
        if self._adopt(turn, source, body.bench):
            if self._election is self._tree:
                self._pass_on(turn, Won(self.bench, self._me), tree)
            else:
                self._tell_everybody(turn, Won(self.bench))
        if source == WAREHOUSE and self._settings.keeper and self.seat is not None and not self.elected:
            turn.send(WAREHOUSE, Depose(self.seat))  # its queue is with its keeper, for an heir
            self._ask_at = turn.now + self._settings.election_timeout_s

    def on_won(self, turn: Turn, source: str, body: Won) -> None:
        if body.peer is not None:
            if body.bench.position <= self._passed_on:
                return
            self._pass_on(turn, body, [name for name in self._tree.tree if name != source])
        turn.note(events.Recognized(body.peer or source))
        self._adopt(turn, source, body.bench)

    def on_deposed(self, turn: Turn, source: str, body: Deposed) -> None:
        dead = body.seat.peer
        if dead != self._me:
            left = body.bench.traders
            how_many: Literal["none", "alone", "several"]
            how_many = "none" if not left else "alone" if left == (self._me,) else "several"
            turn.note(events.TraderDied(dead, left, how_many))
        self._tell_everybody(turn, TraderDead(dead, body.bench))
        self._adopt(turn, source, body.bench)

    def on_trader_dead(self, turn: Turn, source: str, body: TraderDead) -> None:
        turn.note(events.HeardDeath(body.peer, by=source))
        self._adopt(turn, source, body.bench)

    def on_heartbeat(self, turn: Turn, source: str, body: Heartbeat) -> None:
        self._scaling.heard(source, body)
        if self.bench.seat_of(source) is None:
            turn.send(source, BenchIs(self.bench))  # it does not know that it was deposed (or has a newer view)

    def on_election(self, turn: Turn, source: str, body: Election) -> None:
        if self._is_called(turn, source, body.round) and not self._resigned:
            self._bully.called(turn, source, body.round)
            self._postpone(turn)

    def on_ok(self, turn: Turn, source: str, body: Ok) -> None:
        turn.note(events.HeardOk(above=source))
        self._bully.heard_ok(turn, source, body.round)

    def on_call(self, turn: Turn, source: str, body: Call) -> None:
        if self._is_called(turn, source, body.round):
            self._tree.called(turn, source, body)
            self._postpone(turn)

    def on_echo(self, turn: Turn, source: str, body: Echo) -> None:
        turn.note(events.Echoed(source, body.highest))
        self._tree.heard_echo(turn, source, body)

    def on_chosen(self, turn: Turn, source: str, body: Chosen) -> None:
        turn.note(events.Chosen(by=source))
        self._tree.chosen(turn, body.round, body.seat)

    def _is_called(self, turn: Turn, source: str, number: int) -> bool:
        """Notes a call, and answers it if its round is over."""
        turn.note(events.Called(by=source))
        if number < self.bench.round:
            turn.send(source, BenchIs(self.bench))
        return number >= self.bench.round

    handles: ClassVar = {
        WhoTrades: on_who_trades,
        BenchIs: on_bench,
        Won: on_won,
        Election: on_election,
        Ok: on_ok,
        Call: on_call,
        Echo: on_echo,
        Chosen: on_chosen,
        Deposed: on_deposed,
        TraderDead: on_trader_dead,
        Heartbeat: on_heartbeat,
    }

    # -------------------------------------------------------------------------------------- the rounds
    def _adopt(self, turn: Turn, source: str, bench: Bench) -> bool:
        """Takes over a view if it is newer. True if this peer was elected according to it.

        A peer that sends an older view is told this one, because nobody else might ever tell it. About a seat of its own a
        peer believes the warehouse alone, which has told it before which seat it held already.
        """
        if bench.position < self.bench.position and source != WAREHOUSE:
            turn.send(source, BenchIs(self.bench))
        is_news = bench.seat_of(self._me) not in (None, self.seat)
        if bench.position <= self.bench.position:
            return False
        if is_news and source != WAREHOUSE:
            turn.send(WAREHOUSE, WhoTrades())
            return False
        new_round = bench.round != self.bench.round
        self.bench = bench
        self._scaling.changed(turn.now)
        elected = is_news and self.elected
        if elected:
            turn.note(events.Elected(bench.number_of(self._me)))
        self._watch(turn)
        if self._told_first is not None and (new_round or self.complete or self.seat is not None):
            self._plan_start(turn)
            self._new_round(turn)
        if self._election.phase != "idle":
            self._postpone(turn)
        return elected

    def _new_round(self, turn: Turn) -> None:
        free = self.bench.free(self._settings.traders_max or self._settings.traders)
        at_once = self.bench.vacant if self._settings.election == "simultaneous" else 1
        self._election.round(turn, self.bench.round, self._candidates(), free[:at_once])

    def _watch(self, turn: Turn) -> None:
        """A trader watches the other traders and sends them heartbeats. Others watch the traders with a longer timeout."""
        trader = self.seat is not None
        patience_s = self._settings.suspect_after_s * (1 if trader else PATIENCE_OF_OTHERS)
        self._detector.watch([name for name in self.bench.traders if name != self._me], turn.now, patience_s)
        self._beat_at = turn.now if trader else NEVER
        along_tree_s = self._settings.heartbeat_s if self._election is self._tree else 0.0
        self._tell_all_at = turn.now + along_tree_s if trader else NEVER

    def _pass_on(self, turn: Turn, won: Won, tree: Iterable[str]) -> None:
        """Sends the word of a victory along the tree. Whoever it does not reach learns it from the new trader's heartbeats."""
        self._passed_on = won.bench.position
        for name in tree:
            turn.send(name, won)

    def _tell_everybody(self, turn: Turn, body: Won | TraderDead | BenchIs) -> None:
        for name in self._names:
            if name != self._me:
                turn.send(name, body)

    def _plan_start(self, turn: Turn) -> None:
        """Sets when this peer starts the next round: at once, or when the peers before it have been silent for long."""
        candidates = self._candidates()
        self._start_at = NEVER
        if self._me in candidates and not self.complete:
            first = self.bench.position == NOBODY
            delay = self._settings.election_delay_s if first else self._settings.reelection_delay_s
            rank = self._turns_to_wait(candidates, FIRST_STARTER if first else FURTHER_STARTER)
            self._start_at = turn.now + delay + rank * 2 * self._settings.election_timeout_s

    def _postpone(self, turn: Turn) -> None:
        """An election is under way: this peer starts another one only if that has no result for very long."""
        candidates = self._candidates()
        self._start_at = NEVER
        if self._told_first is None or self._me not in candidates:
            return  # an election that this peer was called to, and whose outcome it does not know yet
        rank = 1 + candidates.index(self._me)
        self._start_at = turn.now + (4 + rank) * self._settings.election_timeout_s

    def _candidates(self) -> tuple[str, ...]:
        gone = (*self.bench.traders, self._me) if self._resigned else self.bench.traders
        return tuple(name for name in self._names if name not in gone)

    def _turns_to_wait(self, candidates: tuple[str, ...], starter: int) -> int:
        """How many peers have to be silent before it is this peer's turn to start the round; 0 for the starter."""
        chosen = next((name for name in candidates if index_of(name) == starter), candidates[0])
        order = [chosen, *(name for name in candidates if name != chosen)]
        return order.index(self._me)
