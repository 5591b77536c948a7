"""Who trades, according to the ledger, and whose task the queues of those are who do not trade any more."""

from __future__ import annotations

from bazaar.protocol.entries import AdoptEntry, AnyEntry, Appoint, DeposeEntry
from bazaar.protocol.goods import Bench, Seat, is_seller


class Seats:
    """The projection of appointments, falls and adoptions."""

    def __init__(self, names: tuple[str, ...], seats: int, one_round: bool) -> None:
        """See `Ledger`."""
        self.position = 0
        """Where the next entry goes."""
        self.bench = Bench(vacant=seats)
        self.orphans: dict[Seat, str | None] = {}
        """Tenures that have ended and whose queue nobody has taken over yet, with the trader whose task it is."""
        self._names = names
        self._seats = seats
        self._one_round = one_round
        self._fallen: set[str] = set()

    def is_trader(self, peer: str) -> bool:
        """Whether `peer` holds a seat now."""
        return peer in self.bench.traders

    def decide_seat(self, peer: str, election: int, seat: int) -> Appoint | None:
        """This seat, or if it is taken the lowest, for a winner of this round of an election; None if that is over."""
        if election != self.bench.round or self.is_trader(peer) or not self.bench.vacant:
            return None
        free = self.bench.free(self._seats)
        return Appoint(self.position, peer, seat if seat in free else free[0])

    def decide_fall(self, seat: Seat, by: str) -> DeposeEntry | None:
        """None if that tenure is over already."""
        if seat not in self.bench.seats:
            return None
        return DeposeEntry(self.position, seat.peer, self.bench.seats.index(seat), seat.since, by)

    def decide_adoption(self, seat: Seat, trader: str) -> AdoptEntry | None:
        """None if it is done, or somebody else's task."""
        if self.orphans.get(seat) != trader:
            return None
        return AdoptEntry(self.position, seat.peer, seat.since, trader)

    def apply(self, entry: AnyEntry) -> None:
        """Folds in the next entry."""
        match entry:
            case Appoint():
                self._seat(entry.seat, Seat(entry.peer, entry.position), self.bench.vacant - 1)
                self._fallen.discard(entry.peer)
                self._hand_on(None, entry.peer)
            case DeposeEntry():
                self._fallen.add(entry.peer)
                self._seat(entry.seat, None, self.bench.vacant)
                heir = entry.by if self.is_trader(entry.by) else next(iter(self.bench.traders), None)
                self._hand_on(entry.peer, heir)
                self.orphans[Seat(entry.peer, entry.since)] = heir
            case AdoptEntry():
                del self.orphans[Seat(entry.peer, entry.since)]
        self.position += 1

    def _seat(self, number: int, seat: Seat | None, vacant: int) -> None:
        seats = [*self.bench.seats, *[None] * (number + 1 - len(self.bench.seats))]
        seats[number] = seat
        election = self.bench.round if self._one_round and vacant else self.position
        if not vacant and not any(seats):
            vacant = self._seats_to_refill()
        self.bench = Bench(tuple(seats), vacant, self.position, election)

    def _seats_to_refill(self) -> int:
        """Nobody is left: elect as many as at first, as far as a buyer and a seller remain below them; one at least."""
        names = [name for name in self._names if name not in self._fallen]
        for seats in range(self._seats, 1, -1):
            remaining = {is_seller(name) for name in names[: max(0, len(names) - seats)]}
            if len(remaining) == 2:
                return seats
        return 1

    def _hand_on(self, former: str | None, heir: str | None) -> None:
        """What was the task of `former` (None: nobody's) is the heir's."""
        for seat, trader in self.orphans.items():
            if trader == former:
                self.orphans[seat] = heir
