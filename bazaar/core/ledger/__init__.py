"""The rules of the ledger. The ledger is the truth; everything here is a projection of it.

`decide_*` reads a projection and returns the entry to append. `apply` folds an appended entry in. A projection that is
thrown away and rebuilt from the same entries is the same projection. There are two projections, independent of each
other: `seats.py` (who trades) and `stock.py` (what is in stock). Each of them is given every entry.
"""

from __future__ import annotations

from collections.abc import Callable

from bazaar.core.ledger.seats import Seats
from bazaar.core.ledger.stock import Stock, nowhere
from bazaar.protocol.entries import AnyEntry, Denial, Sale


class Ledger:
    """All that follows from the entries so far."""

    def __init__(
        self,
        names: tuple[str, ...],
        seats: int,
        one_round: bool = False,
        entry_of: Callable[[str], Sale | Denial] = nowhere,
        most: int | None = None,
    ) -> None:
        """A market of these peers, who elect `seats` traders: one in each round of an election, or all in `one_round`.

        `entry_of` finds, in the store, the entry by which an order was answered. `most`: how many traders there can be by
        load (None: no more than at first).
        """
        self.seats = Seats(names, seats, one_round, most)
        self.stock = Stock(entry_of)

    @property
    def position(self) -> int:
        """The position of the next entry."""
        return self.seats.position

    def apply(self, entry: AnyEntry) -> None:
        """Folds in the next entry. Raises `ValueError` if it is not the next one, or sells what is not there."""
        if entry.position != self.position:
            raise ValueError(f"the ledger goes on at {self.position}, not at {entry.position}")
        self.stock.apply(entry)
        self.seats.apply(entry)
