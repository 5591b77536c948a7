"""The endpoint of an actor: which messages reach it, which effects its turns have, and in which order they are performed.

The endpoint is pure. A driver gives it the incoming deliveries, and performs the effects that it returns, one after the
other. The next effect is decided only when the one before is done. This module alone sets the order: *kept records are
durable and noted events are written before any message is sent*. `bazaar/runtime/host.py` performs the effects with sockets
and files, `tests/simulation/driver.py` with a simulated network and disk. (The shape is that of etcd-io/raft's `Ready`:
persist, then send, then go on.)
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from bazaar.core.channel import Channel
from bazaar.core.routing.link import Link
from bazaar.core.routing.router import Router, Terms
from bazaar.core.turn import NEVER, Actor, Noted, Turn
from bazaar.protocol.admission import admits
from bazaar.protocol.cache_server import Call, Fill, Take
from bazaar.protocol.events import Born
from bazaar.protocol.former_life import FormerLife
from bazaar.protocol.frames import Bundle
from bazaar.protocol.goods import WAREHOUSE, Seat, is_embassy
from bazaar.protocol.wire import Delivery, MalformedMessage, decode

FURTHER_LIFE = 10_000  # how far after its history a process sets its clock: it may have sent after its last line
MOST_FAILURES = 3  # after so many in a row, what is owed to another bazaar does not delay the end any more
BUSY_S = 0.05  # so long a channel waits when a relay has dropped a delivery, because its queue was full


class Outlet(Protocol):
    """What goes to one other process over one connection: a channel, or a link that carries the deliveries of many."""

    other: str
    repeated: int
    """How often the connection has failed since the other side was last heard."""
    held_until: float
    """Nothing can be sent before."""

    @property
    def closed(self) -> bool:
        """Whether nothing will be sent any more."""

    def delivery(self, now: float) -> Delivery | Bundle | None:
        """What to send now; None if there is nothing."""

    def again(self) -> None:
        """The connection is lost, and what was sent may be lost with it."""


class Read(NamedTuple):
    """The driver reads the journal of this tenure now, and passes what it found to `Actor.inherit` in a later turn."""

    seat: Seat


class Persist(NamedTuple):
    """The driver makes these records durable."""

    records: Sequence[Any]


class Note(NamedTuple):
    """The driver writes these events into the history."""

    noted: Sequence[Noted]


class Consult(NamedTuple):
    """The driver makes these calls to the cache server. `Actor.cached` later gets each result, or `Unreached`."""

    calls: Sequence[Call]


class Send(NamedTuple):
    """The driver sends what `outlet.delivery` returns, as far as that is possible without blocking."""

    outlet: Outlet


class Silent(NamedTuple):
    """The other side has acknowledged nothing for too long. The driver calls `channel.again`, as the letters are lost."""

    channel: Channel


class Close(NamedTuple):
    """Nothing more will be sent to a former neighbour. The driver ends the connection."""

    link: Link


Effect = Read | Persist | Note | Consult | Send | Silent | Close


class Endpoint:
    """One life of one actor. All times are seconds of its driver's monotonic clock."""

    def __init__(
        self,
        actor: Actor,
        known: Collection[str],
        former: FormerLife,
        repeat_after_s: float,
        terms: Terms | None = None,
    ) -> None:
        """`known`: the processes that may write to it. A letter not acknowledged for `repeat_after_s` is sent again.

        `terms`: how letters are relayed between neighbours; None: they go to their receivers directly.
        """
        self._actor = actor
        self._known = frozenset(known)
        self._peers = self._known - {WAREHOUSE}
        self._repeat_after_s = repeat_after_s
        self.life = former.lives + 1
        """The number of this life of the actor."""
        if former.clock:
            actor.clock.witness(former.clock + FURTHER_LIFE)
        self._channels: dict[str, Channel] = {}
        self._due: dict[Channel, float] = {}  # when something is to be done for a channel
        self._touched: dict[Channel, None] = {}  # channels whose due time may have changed in this turn
        self._afterwards = Afterwards()
        self._router = None if terms is None else Router(actor.name, self.life, terms)

    def born(self, turn: Turn) -> None:
        """Begins the first turn of a life. It is performed before all others, so every known life is in the history."""
        turn.note(Born(self.life))
        if self._router is not None:
            self._router.born(turn)

    def begin(self, turn: Turn) -> None:
        """Everybody is there: start."""
        if self._router is not None:
            self._router.begin(turn.now)
        self._actor.begin(turn)

    @property
    def deadline(self) -> float:
        """When the next turn is due, if nothing comes in before; infinity for never."""
        routed = NEVER if self._router is None else self._router.deadline
        return min((self._actor.deadline, routed, *self._due.values()))

    def owes(self, gone: Collection[str] = ()) -> bool:
        """Whether a letter that matters is not acknowledged by a process, except those that are `gone`."""
        return any(
            channel.owes
            for name, channel in self._channels.items()
            if name not in gone and not (self._is_abroad(name) and channel.repeated >= MOST_FAILURES)
        )

    def _is_abroad(self, name: str) -> bool:
        return is_embassy(name) and is_embassy(self._actor.name)

    def take_from_abroad(self, turn: Turn, data: bytes, embassy: str) -> int:
        """Like `take`, for what came with the key of a pair. It must be of the other embassy, which is known from then on."""
        if is_embassy(embassy) and embassy != self._actor.name:
            self._known |= {embassy}
        return self._receive(turn, data, embassy)

    def take(self, turn: Turn, data: bytes, by: str | None = None) -> int:
        """Gives the actor the new letters that are in this data. Returns how many of them were refused, because no honest
        process sends them; 1 for data that was refused as a whole. `by`: whose data it must be; None: anybody's.

        What is relayed names its source, and is believed: a relay knows nothing of certificates.
        """
        if self._router is None:
            return self._receive(turn, data, by)
        try:
            self._router.take(turn, data, by)
        except (MalformedMessage, ValueError):
            return 1
        return self._receive_arrived(self._router, turn)

    def _receive_arrived(self, router: Router, turn: Turn) -> int:
        return sum(self._receive(turn, delivery) for delivery in router.arrived_now())

    def _receive(self, turn: Turn, data: bytes, by: str | None = None) -> int:
        try:
            delivery = decode(data)
            if by not in (None, delivery.source):
                raise ValueError(f"{by} speaks in the name of {delivery.source}")
            letters = self._channel(delivery.source).accept(delivery, turn.now)
        except (MalformedMessage, ValueError):
            return 1
        refused = 0
        for letter in letters:
            if admits(delivery.source, self._actor.name, letter, self._actor.clock.time, self._peers):
                self._actor.receive(turn, delivery.source, letter)
            else:
                refused += 1
        return refused

    def hold(self, outlet: Outlet, until: float) -> None:
        """Nothing can be sent into this outlet before `until`."""
        outlet.held_until = until
        if isinstance(outlet, Channel):
            self._touched[outlet] = None

    def perform(self, turn: Turn, clock: Callable[[], float]) -> Iterator[Effect]:
        """Ends a turn. The driver performs the effects in this order. `clock` is read when the kept records are durable."""
        if self._router is not None:
            self._receive_arrived(self._router, turn)
            self._router.tick(turn)
            self._actor.tied(self._router.peers)
        turn.kept[:0] = self._afterwards.due()
        self._actor.tick(turn)
        return self._effects(turn, clock)

    def _effects(self, turn: Turn, clock: Callable[[], float]) -> Iterator[Effect]:
        for seat in turn.reads:  # before `Persist`, which creates the actor's own journal if there is none
            yield Read(seat)
        # Nothing has to be durable before a take: should the process end, its units wait for the end of the epoch.
        if takes := [call for call in turn.calls if isinstance(call, Take)]:
            yield Consult(takes)
        if turn.kept:
            yield Persist(turn.kept)
        if turn.events:
            yield Note(turn.events)
        if fills := [call for call in turn.calls if isinstance(call, Fill)]:
            yield Consult(fills)
        now = clock()
        self._put(turn, now)
        if self._router is not None:
            yield from self._route(self._router, now)
            return
        for channel in self._due_channels(now):
            yield Silent(channel) if channel.repeat_at <= now else Send(channel)
            self._due[channel] = channel.deadline

    def _due_channels(self, now: float) -> list[Channel]:
        for channel in self._touched:
            self._due[channel] = channel.deadline
        self._touched.clear()
        return [channel for channel, due in self._due.items() if due <= now]

    def _route(self, router: Router, now: float) -> Iterator[Effect]:
        """Has the channels send through the router, and the router through its links."""
        for link in router.given_up():
            yield Close(link)
        for name in router.dropped_now():
            self._repeat(self._channel(name), now + BUSY_S)
        if router.changed_now():
            for channel in self._channels.values():
                self._repeat(channel, 0.0)
        for channel in self._due_channels(now):
            if channel.repeat_at <= now:
                channel.again()
            router.carry(channel, now)
            self._due[channel] = channel.deadline
        sent = True
        while sent:  # as long as there is room where a channel waits for it
            sent = False
            for link in [*router.links.values()]:
                if link.deadline <= now:
                    yield Send(link)
                    sent = True
            for channel in router.waiting():
                router.carry(channel, now)
                self._due[channel] = channel.deadline

    def _repeat(self, channel: Channel, held_until: float) -> None:
        """What is under way in this channel may be lost."""
        if channel.under_way:
            channel.again()
        channel.held_until = held_until
        self._touched[channel] = None

    def _put(self, turn: Turn, now: float) -> None:
        """Puts what the turn sends into the channels."""
        channels: dict[Channel, None] = {}  # a dict keeps their order, so a simulated run is the same everywhere
        for target, letter in turn.sends_at(now):
            channel = self._channel(target)
            channel.put(letter)
            channels[channel] = None
        if turn.kept_afterwards:
            self._afterwards.put(channels, turn.kept_afterwards)

    def _channel(self, name: str) -> Channel:
        """The channel to `name`. Raises `ValueError` if there is nobody of this name.

        The channel counts as touched, because the caller is about to use it.
        """
        channel = self._channels.get(name)
        if channel is None:
            if name not in self._known:
                raise ValueError(f"there is no {name}")
            channel = Channel(self._actor.name, name, self.life, self._repeat_after_s)
            self._channels[name] = channel
        self._touched[channel] = None
        return channel


class Afterwards:
    """Records that are kept only when the letters sent along with them have been taken.

    A trader closes an order in its journal only after buyer and seller have been told. If it dies in between, its successor
    finds the order open, and tells them.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[Channel, deque[tuple[int, _Batch]]] = defaultdict(deque)  # mark and batch
        self._due: list[Any] = []

    def put(self, channels: Collection[Channel], records: Sequence[Any]) -> None:
        """Records to be kept after all letters now in these channels are taken. A silent receiver holds up only its own."""
        batch = _Batch(len(channels), records)
        if not channels:
            self._due += records
        for channel in channels:
            self._waiting[channel].append((channel.mark, batch))

    def due(self) -> list[Any]:
        """The records that can be kept now."""
        for channel, waiting in self._waiting.items():
            while waiting and waiting[0][0] <= channel.acked:
                batch = waiting.popleft()[1]
                batch.awaited -= 1
                if not batch.awaited:
                    self._due += batch.records
        due, self._due = self._due, []
        return due


class _Batch:
    """Records that are to be kept together."""

    def __init__(self, awaited: int, records: Sequence[Any]) -> None:
        self.awaited = awaited  # how many channels have yet to deliver
        self.records = records
