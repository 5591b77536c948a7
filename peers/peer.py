"""A peer: a clock, a view of who trades, and the roles that follow from it.

A peer is a pure object: letters and time go in, effects come out through the `Turn`. One function, `_follow`, makes the peer
a trader or ends that, according to its membership view.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bazaar.core.clock import LamportClock
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Call, Result, Take
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife
from bazaar.protocol.goods import Item, Seat, is_seller
from bazaar.protocol.journal_lines import KeeperRecord, Recovered
from bazaar.protocol.plan import Plan
from bazaar.protocol.wire import Letter
from peers.buyer import Buyer, ByHand
from peers.keeping import Keeping
from peers.membership import NOBODY, Membership
from peers.role import Role, Trading
from peers.seller import Seller
from peers.trader import Trader

MOST_AWAITING_SEAT = 1_000


class Peer:
    """One participant."""

    def __init__(
        self, name: str, plan: Plan, former: FormerLife = FIRST_LIFE, records: Iterable[KeeperRecord] = ()
    ) -> None:
        """`former`: what it knows of its former lives, if it is started again. `records`: what it has kept for others."""
        self.name = name
        self.clock = LamportClock()
        self.membership = Membership(name, plan.names, plan.settings, self._waits)
        self._plan = plan
        rng = plan.random_for(name)
        self._civil: Trading
        if is_seller(name):
            self._civil = Seller(name, plan.goods[name], plan.settings, rng, former)
        else:
            self._civil = Buyer(name, plan.goods[name], plan.settings, _quota(name, plan), rng, former)
        self._trader: Trader | None = None
        self._keeping: Keeping | None = None
        if plan.settings.keeper:
            self._keeping = Keeping(plan.elsewhere(name), plan.settings, lambda: self.membership.bench, records)
        self._seated = former.seated  # the tenures that have begun
        self._position = NOBODY
        self._awaiting_seat: list[
            tuple[str, Letter]
        ] = []  # letters for a trader; this peer does not know yet whether it is one
        self._begun = False
        self._awaiting_begin: list[tuple[str, Letter]] = []  # letters that came in before it has begun

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles of this peer now. A trader's civil role only finishes what it had begun."""
        if self._keeping is not None:
            return (*self._played, self._keeping)
        return self._played

    @property
    def _played(self) -> tuple[Role, ...]:
        if self._trader is None:
            return (self.membership, self._civil)
        return (self.membership, self._trader, self._civil)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest."""
        return min([role.deadline for role in self.roles])

    @property
    def answered(self) -> int:
        """How many orders of this peer have their answer."""
        return self._civil.answered

    @property
    def done(self) -> bool:
        """Whether this peer has no further order to place, and all of its own are answered."""
        return self._civil.done

    @property
    def idle(self) -> bool:
        """Whether this peer waits for nothing and owes nothing."""
        return all(role.idle for role in self.roles)

    def begin(self, turn: Turn) -> None:
        """Everybody is there."""
        item = self._plan.goods[self.name]
        seller, buyer = events.Joined("seller", "selling", item), events.Joined("buyer", "looking for", item)
        turn.note(seller if is_seller(self.name) else buyer)
        self.membership.begin(turn)
        self._begun = True
        before, self._awaiting_begin = self._awaiting_begin, []
        for source, letter in before:
            self.receive(turn, source, letter)

    def finish(self, turn: Turn) -> None:
        """Begin nothing new."""
        turn.unprompted()
        for role in self.roles:
            role.finish(turn)

    def tied(self, neighbours: tuple[str, ...]) -> None:
        """These are its neighbours in the graph now."""
        self.membership.tied(neighbours)

    def resign(self, turn: Turn) -> None:
        """Give up the trader's seat."""
        turn.unprompted()
        self.membership.resign(turn)

    def order(self, turn: Turn, item: Any, units: Any = 1) -> ByHand:
        """Places an order by hand. If it raises `ValueError` or `RuntimeError`, it has changed nothing."""
        turn.unprompted()
        if not isinstance(self._civil, Buyer):
            raise RuntimeError(f"{self.name} is a seller, and does not buy; ask one of the buyers")
        self._as_civil("buyers")
        return self._civil.order(item, units)

    def deposit(self, turn: Turn, item: Any, count: Any, price: Any) -> events.Offered:
        """Deposits goods by hand. If it raises `ValueError` or `RuntimeError`, it has changed nothing."""
        turn.unprompted()
        if not isinstance(self._civil, Seller):
            raise RuntimeError(f"{self.name} is a buyer, and deposits nothing; ask one of the sellers")
        self._as_civil("sellers")
        return self._civil.offer(turn, item, count, price)

    def _as_civil(self, others: str) -> None:
        if self._trader is not None:
            raise RuntimeError(
                f"{self.name} is a trader now, and a trader neither buys nor sells (requirement B5); ask one of the {others}"
            )

    @property
    def trader(self) -> Trader | None:
        """What this peer does as a trader, if it is one now."""
        return self._trader

    @property
    def stock(self) -> dict[Item, list[int]]:
        """See `Seller.stock`; empty for a buyer."""
        return self._civil.stock if isinstance(self._civil, Seller) else {}

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        """Passes the journal of a tenure to the trader that asked for it."""
        turn.unprompted()
        if self._trader is not None:
            self._trader.inherit(turn, seat, found)

    def cached(self, turn: Turn, call: Call, result: Result) -> None:
        """Passes what came of asking the cache server to the trader that asked."""
        turn.unprompted()
        if self._trader is not None and isinstance(call, Take):
            self._trader.cached(turn, call, result)

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """Gives the message to the role that handles it."""
        if not self._begun:
            self._awaiting_begin.append((source, letter))
            return
        turn.witness(source, letter)
        self.membership.heard(turn, source)
        kind = type(letter.body)
        for role in self.roles:
            handler = role.handles.get(kind)
            if handler is not None:
                handler(role, turn, source, letter.body)
                self._follow(turn)
                self._hand_over_awaiting_seat(turn)
                return
        if self.membership.unsure and len(self._awaiting_seat) < MOST_AWAITING_SEAT:
            self._awaiting_seat.append((source, letter))
        else:
            turn.note(events.Unexpected(kind.__name__))

    def tick(self, turn: Turn) -> None:
        """Does what is due."""
        turn.unprompted()
        if self._keeping is not None and self._trader is not None:
            self._keeping.hand_over(turn, self._trader)
        for role in self.roles:
            role.tick(turn)
        self._follow(turn)
        if self._keeping is not None:
            self._keeping.end_turn(turn, {} if self._trader is None else self._trader.copies)

    def _hand_over_awaiting_seat(self, turn: Turn) -> None:
        """Handles the letters for a trader that had to wait, once this peer knows whether it is a trader."""
        if self._awaiting_seat and not self.membership.unsure:
            letters, self._awaiting_seat = self._awaiting_seat, []
            for source, letter in letters:
                self.receive(turn, source, letter)

    def _waits(self, now: float) -> tuple[int, int]:
        return self._trader.waits(now) if self._trader is not None else (0, 0)

    def _follow(self, turn: Turn) -> None:
        """Makes the roles follow a bench that has changed (requirement B5: a trader neither buys nor sells)."""
        bench = self.membership.bench
        if self._position == bench.position:
            return
        self._position, seat = bench.position, self.membership.seat
        if self._trader is not None and self._trader.seat != seat:
            self._trader.step_down(turn)
            self._trader = None
            if self._keeping is not None:
                self._keeping.leave_seat(turn)
        if seat is not None and self._trader is None and (self._keeping is None or self.membership.elected):
            if self._keeping is not None:
                self._keeping.take_seat(seat)
            begun = seat.since in self._seated
            self._seated |= {seat.since}
            self._trader = Trader(seat, self._plan.names, self._plan.settings, self.clock.time, begun)
            self._trader.start(turn, elected=self.membership.elected)
        self._civil.retired = seat is not None
        traders = bench.traders if self.membership.trading else ()
        self._civil.traders_changed(turn, traders)
        if self._trader is not None:
            self._trader.traders_changed(turn, traders)
        if self._keeping is not None and traders:
            self._keeping.trading_begins()


def _quota(name: str, plan: Plan) -> float:
    """This buyer's share of the run's orders. The shares are equal; a remainder goes to the lowest buyers, one order each."""
    if plan.settings.requests is None:
        return NEVER
    # The peers that are not elected if no fault occurs. If one of them is elected after all, its share is not ordered.
    buyers = [n for n in plan.names[: plan.settings.peers - plan.settings.traders] if not is_seller(n)]
    if name not in buyers:
        return 0
    share, rest = divmod(plan.settings.requests, len(buyers))
    return share + (buyers.index(name) < rest)
