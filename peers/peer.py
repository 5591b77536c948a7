"""A peer: a clock, a view of who trades, and the role that follows from it.

A pure object: letters and time go in, effects come out through the `Turn`. Becoming and ceasing to be a trader is one
function of the membership view (`roles`).
"""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.clock import LamportClock
from bazaar.core.turn import Turn
from bazaar.plan import Plan
from bazaar.records import JournalLine, Letter, is_seller
from peers.buyer import Buyer
from peers.membership import NOBODY, Membership
from peers.role import Role, Trading
from peers.seller import Seller
from peers.trader import Trader


class Peer:
    """One participant. `journal` holds the lines that a former life of this peer left behind."""

    def __init__(self, name: str, plan: Plan, journal: Iterable[JournalLine] = ()) -> None:
        self.name = name
        self.clock = LamportClock()
        self.membership = Membership(name, plan.names, plan.settings)
        self._goods = plan.goods[name]
        rng = plan.random_for(name)
        self._civil: Trading
        if is_seller(name):
            self._civil = Seller(name, self._goods, plan.settings, rng)
        else:
            self._civil = Buyer(name, self._goods, plan.settings, _quota(name, plan), rng)
        self._trader = Trader(name, plan.names, plan.settings, journal)
        self._position = NOBODY

    @property
    def playing(self) -> Trading:
        """What this peer does besides being a member: a trader neither buys nor sells (SPEC B5)."""
        return self._trader if self.name in self.membership.bench else self._civil

    @property
    def roles(self) -> tuple[Role, ...]:
        """The parts that this peer plays now."""
        return (self.membership, self.playing)

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest."""
        return min(role.deadline for role in self.roles)

    @property
    def answered(self) -> int:
        """How many orders of this peer have their answer."""
        return self._civil.answered

    @property
    def idle(self) -> bool:
        """Whether this peer waits for nothing and owes nothing."""
        return self.playing.idle

    def begin(self, turn: Turn) -> None:
        """Everybody is there."""
        verb = "selling" if is_seller(self.name) else "looking for"
        turn.note("joined", role="seller" if is_seller(self.name) else "buyer", verb=verb, item=self._goods)
        self.membership.begin(turn)

    def finish(self, turn: Turn) -> None:
        """Begin nothing new."""
        turn.unprompted()
        self.playing.finish(turn)

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        """Gives the message to the role that understands it."""
        turn.witness(source, letter)
        kind = type(letter.body)
        for role in self.roles:
            handler = role.handles.get(kind)
            if handler is not None:
                handler(role, turn, source, letter.body)
                self._follow(turn)
                return
        turn.note("unexpected", message=kind.__name__)

    def tick(self, turn: Turn) -> None:
        """Does what is due."""
        turn.unprompted()
        for role in self.roles:
            role.tick(turn)
        self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        """Tells the role that is played now of a bench that has changed."""
        if self._position == self.membership.position:
            return
        self._position = self.membership.position
        if self.playing is self._trader and self.membership.stood:
            self._trader.elected(turn, self.membership.bench.index(self.name))
        if self.membership.complete:
            self.playing.trade(turn, self.membership.traders)


def _quota(name: str, plan: Plan) -> float:
    """This buyer's share of the run's orders: equal shares, one more for the lowest where they do not divide."""
    if plan.settings.requests is None:
        return float("inf")
    # The peers that no live-and-well election makes traders; should one of them be elected, its share stays unasked.
    buyers = [n for n in plan.names[: plan.settings.peers - plan.settings.traders] if not is_seller(n)]
    if name not in buyers:
        return 0
    share, rest = divmod(plan.settings.requests, len(buyers))
    return share + (buyers.index(name) < rest)
