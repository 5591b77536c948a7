"""Who trades according to the ledger, and which trader has to take over the queue of a former trader."""

from __future__ import annotations

from bazaar.protocol.entries import AdoptEntry, AnyEntry, Appoint, DeposeEntry, KeeperEntry, SeatsEntry
from bazaar.protocol.goods import Bench, Copy, Seat, is_seller


class Seats:
    """The projection of appointments, deposals and adoptions."""

    def __init__(self, names: tuple[str, ...], seats: int, one_round: bool, most: int | None = None) -> None:
        """See `Ledger`."""
        self.position = 0
        """The position of the next entry."""
        self.bench = Bench(vacant=seats)
        self.orphans: dict[Seat, str | None] = {}
        """Ended tenures whose queue nobody has taken over yet, each with the trader that has to do so (None: nobody yet)."""
        self.adopted: dict[Seat, str] = {}
        """Ended tenures whose queue was taken over, each with the trader that did so."""
        self.copies: dict[Seat, Copy] = {}
        """Tenures whose queue nobody has taken over, each with the copy of its journal for an heir to read (`--keeper`)."""
        self._names = names
        self._seats = seats
        self._most = seats if most is None else most
        self._one_round = one_round
        self._fallen: set[str] = set()

    def is_trader(self, peer: str) -> bool:
        """Whether `peer` holds a seat now."""
        return peer in self.bench.traders

    def decide_seat(self, peer: str, election: int, seat: int) -> Appoint | None:
        """Gives a winner of this round this seat, or the lowest free one if it is taken. None if the round is over."""
        if election != self.bench.round or self.is_trader(peer) or not self.bench.vacant:
            return None
        free = self.bench.free(self._most)
        return Appoint(self.position, peer, seat if seat in free else free[0])

    def decide_fall(self, seat: Seat, by: str) -> DeposeEntry | None:
        """The entry that ends this tenure. None if the tenure is over already."""
        if seat not in self.bench.seats:
            return None
        return DeposeEntry(self.position, seat.peer, self.bench.seats.index(seat), seat.since, by)

    def decide_size(self, seats: int, position: int, by: str) -> SeatsEntry | None:
        """The entry for so many traders. None unless the youngest trader asks for one more or fewer, within the limits."""
        youngest, now = self.bench.youngest, len(self.bench.traders)
        if position != self.bench.position or self.bench.vacant or youngest is None or youngest.peer != by:
            return None
        if not (now < seats == now + 1 <= self._most or now > seats == now - 1 >= self._seats):
            return None
        return SeatsEntry(self.position, seats, by)

    def decide_adoption(self, seat: Seat, trader: str) -> AdoptEntry | None:
        """The entry for taking over this queue. None if that is done already, or another trader's task."""
        if self.orphans.get(seat) != trader:
            return None
        return AdoptEntry(self.position, seat.peer, seat.since, trader)

    def decide_keeper(self, copy: Copy) -> KeeperEntry | None:
        """The entry that names this copy. None if the tenure is over, or this copy or a later one is named already."""
        named = self.copies.get(copy.seat)
        if copy.seat not in self.bench.seats or (named is not None and copy.number <= named.number):
            return None
        return KeeperEntry(self.position, copy.seat.peer, copy.seat.since, copy.keeper, copy.number)

    def apply(self, entry: AnyEntry) -> None:
        """Folds in the next entry."""
        match entry:
            case Appoint():
                vacant = self.bench.vacant - 1
                goes_on = self._one_round and vacant > 0
                self._seat(entry.seat, Seat(entry.peer, entry.position), vacant, goes_on)
                self._fallen.discard(entry.peer)
                self._hand_on(None, entry.peer)
            case DeposeEntry():
                self._fallen.add(entry.peer)
                # Who has fallen stands for a free seat again. In the round under way nobody has counted with that.
                self._seat(entry.seat, None, self.bench.vacant, round_goes_on=False)
                heir = entry.by if self.is_trader(entry.by) else next(iter(self.bench.traders), None)
                self._hand_on(entry.peer, heir)
                self.orphans[Seat(entry.peer, entry.since)] = heir
            case SeatsEntry(seats=seats):
                further = seats > len(self.bench.traders)
                election = self.position if further else self.bench.round
                self.bench = Bench(self.bench.seats, int(further), self.position, election, further)
            case AdoptEntry():
                del self.orphans[Seat(entry.peer, entry.since)]
                self.adopted[Seat(entry.peer, entry.since)] = entry.trader
                self.copies.pop(Seat(entry.peer, entry.since), None)
            case KeeperEntry():
                seat = Seat(entry.peer, entry.since)
                self.copies[seat] = Copy(seat, entry.keeper, entry.copy)
        self.position += 1

    def _seat(self, number: int, seat: Seat | None, vacant: int, round_goes_on: bool) -> None:
        seats = [*self.bench.seats, *[None] * (number + 1 - len(self.bench.seats))]
        seats[number] = seat
        election = self.bench.round if round_goes_on else self.position
        if not vacant and not any(seats):
            vacant = self._seats_to_refill()
        further = self.bench.further and vacant > 0 and any(seats)
        self.bench = Bench(tuple(seats), vacant, self.position, election, further)

    def _seats_to_refill(self) -> int:
        """How many traders to elect when none is left: as many as at first.

        Fewer if else no buyer or no seller would remain below them; at least one.
        """
        names = [name for name in self._names if name not in self._fallen]
        for seats in range(self._seats, 1, -1):
            remaining = {is_seller(name) for name in names[: max(0, len(names) - seats)]}
            if len(remaining) == 2:
                return seats
        return 1

    def _hand_on(self, former: str | None, heir: str | None) -> None:
        """Gives `heir` the queues that `former` had to take over (None: those that nobody had to)."""
        for seat, trader in self.orphans.items():
            if trader == former:
                self.orphans[seat] = heir
