"""One process's part in the routing: hellos, reports, and the relaying of deliveries.

The router stands between the channels of an endpoint and its links. A delivery leaves in a relayed frame to the next
neighbour on a shortest way (breadth first), and is passed on by the neighbours until it arrives. Relays promise nothing:
they may drop a frame when a neighbour dies, or when a queue is full, and then the channel sends the letters again. They keep
order on one way, and a channel restores it over several.

A full queue never blocks a relay, since relays that wait for each other in a circle would wait for ever (Merlin and
Schweitzer, "Deadlock avoidance in store-and-forward networks", IEEE Trans. Comm. 28(3), 1980). It drops the frame and tells
the sender so, which then waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from bazaar.core.channel import Channel
from bazaar.core.detector import Detector
from bazaar.core.routing.link import Link
from bazaar.core.routing.linkstate import LinkState
from bazaar.core.routing.overlay import Overlay, overlay
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.frames import Busy, Hello, News, Relay, Report, decode_bundle
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.protocol.wire import encode

HELLOS = 4  # in the time after which a silent neighbour is missed


class Terms(NamedTuple):
    """What all routers of a run know from the beginning."""

    plan: Mapping[str, Collection[str]]
    """The plan's graph: each peer's neighbours."""
    doors: int
    """How many peers have an edge to the warehouse."""
    missed_after_s: float
    """A neighbour that is silent for so long is missed. It is less than the time after which a trader is taken for dead, so
    that the letters of a living trader have found another way by then."""

    @classmethod
    def of(cls, plan: Plan) -> Terms | None:
        """The terms of this run; None if its processes write to each other directly."""
        if plan.settings.routing == "direct":
            return None
        return cls(plan.neighbours, plan.settings.traders, plan.settings.suspect_after_s / 2)


class Router:
    """One life of one process's router. All times are seconds of its driver's monotonic clock."""

    def __init__(self, me: str, life: int, terms: Terms) -> None:
        self._me = me
        self._life = life
        self._terms = terms
        self._known = frozenset((*terms.plan, WAREHOUSE)) - {me}
        self._most_hops = len(self._known)
        self._state = LinkState()
        self._state.alive(me, life)
        self._detector = Detector(terms.missed_after_s)
        self._hello_at = NEVER
        self.links: dict[str, Link] = {}
        """The links to the neighbours, by name."""
        self.peers: tuple[str, ...] = ()
        """The neighbours that are peers, without one that is only called. What they send is passed on to all others."""
        self._given_up: list[Link] = []
        self._overlay = Overlay({}, frozenset())
        self._next: dict[str, str] = {}  # by target: the neighbour on the way to it
        self._waiting: dict[Channel, None] = {}  # for room in a link, or for a way
        self._noted: events.Neighbours | None = None
        self._carried = events.Carried(0, 0, 0, 0, 0)
        self._told = self._carried
        self._bundles: Counter[str] = Counter()  # by neighbour: how many were sent to it
        self._arrived: list[bytes] = []
        self._dropped: list[str] = []
        self._changed = False

    def born(self, turn: Turn) -> None:
        """The plan's graph holds until something else is reported."""
        self._follow(turn)

    def begin(self, now: float) -> None:
        """Everybody is there: from now on neighbours say hello, and are missed if they do not."""
        self._hello_at = now
        self._detector.watch(self.links, now)

    @property
    def deadline(self) -> float:
        """When `tick` is due, a link has something to send, or this process has sent something to itself."""
        if self._arrived:
            return 0.0
        return min(self._hello_at, self._detector.deadline, *(link.deadline for link in self.links.values()), NEVER)

    def tick(self, turn: Turn) -> None:
        """Says hello, and reports who is silent."""
        turn.unprompted()
        for name in self._detector.suspects(turn.now):
            turn.note(events.LostNeighbour(name))
            self._report(turn, name, misses=True)
        if turn.now >= self._hello_at:
            self._hello_at = turn.now + self._terms.missed_after_s / HELLOS
            for link in self.links.values():
                self._greet(link)
            if self._carried != self._told:
                self._told = self._carried
                turn.note(msgspec.structs.replace(self._carried, bundles=tuple(self._bundles.items())))

    # ------------------------------------------------------------------------------------ what comes in
    def take(self, turn: Turn, data: bytes, by: str | None = None) -> None:
        """Handles the frames of a neighbour, or of a process that takes this one for a neighbour. `by`: see `Endpoint.take`.

        Raises `MalformedMessage`, or `ValueError` if they come from no other process of this run.
        """
        bundle = decode_bundle(data)
        if bundle.source not in self._known or by not in (None, bundle.source):
            raise ValueError(f"a bundle from {bundle.source} reached {self._me}")
        turn.unprompted()
        self._detector.heard(bundle.source, turn.now)
        for frame in bundle.frames:
            match frame:
                case Relay() if frame.target == self._me:
                    self._arrived.append(frame.data)
                    hops = self._most_hops - frame.hops + 1
                    self._count(arrived=1, hops=hops)
                case Busy() if frame.target == self._me:
                    self._dropped.append(frame.about)
                case Relay() | Busy():
                    self._pass_on(frame)
                case Hello():
                    self._hear(turn, bundle.source, frame)
                case News(reports):
                    self._learn(turn, bundle.source, reports)

    def _hear(self, turn: Turn, source: str, hello: Hello) -> None:
        news = self._state.alive(source, hello.life)
        if news or self._state.misses(self._me, source):
            turn.note(events.FoundNeighbour(source))
            self._report(turn, source, misses=False)
        link = self.links.get(source)
        if link is not None:
            link.digest = hello.digest
            link.repeated = 0

    def _report(self, turn: Turn, other: str, misses: bool) -> None:
        self._learn(turn, self._me, [self._state.next(self._me, self._life, other, misses)])

    def _learn(self, turn: Turn, source: str, reports: Collection[Report]) -> None:
        """Floods what is new, and has the graph follow it."""
        new = [report for report in reports if self._state.merge(report)]
        if not new:
            return
        contradiction = self._state.contradiction(self._me, self._life)
        if contradiction is not None and self._state.merge(contradiction):
            new.append(contradiction)
        for name, link in self.links.items():
            if name != source or contradiction is not None:
                link.say(News(tuple(new)))
        self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        """Has the links and the ways follow from what is reported."""
        before, self._overlay = self._overlay, overlay(self._terms.plan, self._state, self._me, self._terms.doors)
        self._changed = self._changed or before.ties != self._overlay.ties
        self._next = self._overlay.next_hops(self._me)
        neighbours = self._overlay.neighbours(self._me)
        if neighbours != self.links.keys():
            self._relink(turn, neighbours)
        trying = min(neighbours - set(self._overlay.ties.get(self._me, ())), default="")
        now = events.Neighbours(tuple(sorted(neighbours)), trying)
        if now != self._noted:
            turn.note(now)
            self._noted = now
        ties = self._overlay.ties.get(self._me, ())
        self.peers = tuple(sorted(name for name in ties if name != WAREHOUSE))
        stranded = [link for link in (*self._given_up, *self.links.values()) if link.closed or link.other not in ties]
        for frame in [frame for link in stranded for frame in link.take_back()]:
            self._pass_on(frame)

    def _relink(self, turn: Turn, neighbours: frozenset[str]) -> None:
        """Gives up the links to former neighbours, and makes those to new ones."""
        for name in [name for name in self.links if name not in neighbours]:
            self._given_up.append(self.links.pop(name))
            self._given_up[-1].closed = True
        for name in sorted(neighbours - self.links.keys()):
            self.links[name] = Link(self._me, name, self._bundles)
            if self._hello_at < NEVER:
                self._greet(self.links[name])
        if self._hello_at < NEVER:
            self._detector.watch(self.links, turn.now)

    # ------------------------------------------------------------------------ what the endpoint asks for, each once
    def arrived_now(self) -> list[bytes]:
        """The deliveries for this process that have come in."""
        arrived, self._arrived = self._arrived, []
        return arrived

    def dropped_now(self) -> list[str]:
        """The processes for which a relay has dropped a delivery of this one."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def changed_now(self) -> bool:
        """Whether the graph has changed: what is under way may be lost."""
        changed, self._changed = self._changed, False
        return changed

    def given_up(self) -> list[Link]:
        """The links to former neighbours."""
        given_up, self._given_up = self._given_up, []
        return given_up

    # ------------------------------------------------------------------------------------ what goes out
    def _greet(self, link: Link) -> None:
        """Says hello, and tells a neighbour all reports as long as it does not know the same ones."""
        link.say(Hello(self._life, self._state.digest))
        if link.digest != self._state.digest and self._state.reports:
            link.say(News(self._state.reports))

    def carry(self, channel: Channel, now: float) -> None:
        """Sends what a channel has to deliver, as far as there is a way to its other end, and room on it."""
        link = self.links.get(self._next.get(channel.other, ""))
        while (link is not None and link.room) or channel.other == self._me:
            delivery = channel.delivery(now)
            if delivery is None:
                return
            if link is None:
                self._arrived.append(encode(delivery))
                continue
            link.relay(Relay(self._me, channel.other, self._most_hops, encode(delivery)))
            self._count(sent=1)
        channel.held_until = NEVER
        self._waiting[channel] = None

    def waiting(self) -> list[Channel]:
        """The channels that waited for room or for a way, and may go on now."""
        waiting, self._waiting = [*self._waiting], {}
        for channel in waiting:
            channel.held_until = 0.0
        return waiting

    def _pass_on(self, frame: Relay | Busy) -> None:
        """Sends a frame to the next neighbour on its way. It is dropped if there is none, or after too many edges."""
        link = self.links.get(self._next.get(frame.target, ""))
        if link is None or not frame.hops:
            self._count(dropped=1)
        elif link.relay(msgspec.structs.replace(frame, hops=frame.hops - 1)):
            self._count(relayed=1)
        else:
            self._count(dropped=1)
            if isinstance(frame, Relay):
                self._pass_on(Busy(frame.source, self._most_hops, frame.target))

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self._carried, name) + count for name, count in more.items()}
        self._carried = msgspec.structs.replace(self._carried, **counts)
