"""All orders of a run, with a few numbers each: the ledger's decision, and what the histories have said of it so far.

An order's name consists of its buyer's name and a serial number. The names are not stored: each buyer's serial numbers
index rows of common columns, so that millions of orders fit into memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

NOBODY = -1
MOST_SKIPPED = 1 << 16  # serials of a buyer that may be skipped at once; orders further ahead are stored by name

SOLD, DENIED, OVERSOLD, ASKED, CREDITED, KEPT, PROMISED = 1, 2, 4, 8, 16, 32, 64
DECIDED = SOLD | DENIED


class Share(NamedTuple):
    """What one seller has part in an order: its units, and their price."""

    units: int
    price: int


class Orders:
    """The columns, and the row of each order."""

    def __init__(self) -> None:
        self._rows: dict[str, array[int]] = {}  # by buyer: the row of each serial
        self._others: dict[str, int] = {}  # by name: orders whose names do not have that form
        self._codes: dict[str, int] = {}
        self._texts: list[str] = []
        self.flags = bytearray()
        self.position = array("q")
        self.price = array("q")
        """Of all units."""
        self.units = array("q")
        self._shares: dict[int, dict[str, Share]] = {}  # of the orders that several sellers have part in
        self._credited: set[tuple[int, str]] = set()  # of these orders
        self.item = array("i")
        self.seller = array("i")
        self.trader = array("i")
        self.buyer = array("i")

    def row(self, order: str) -> int:
        """The row of this order, or a new row if the order is not known yet."""
        buyer, _, serial = order.rpartition("-")
        if not (len(serial) < 10 and serial.isascii() and serial.isdigit()) or (serial[0] == "0" and serial != "0"):
            return self._other(order)
        rows = self._rows.get(buyer)
        if rows is None:
            rows = self._rows[buyer] = array("i")
        number = int(serial)
        if number < len(rows):
            row = rows[number]
            if row != NOBODY:
                return row
        elif number - len(rows) > MOST_SKIPPED:
            return self._other(order)
        if order in self._others:
            return self._others[order]
        rows.extend([NOBODY] * (number + 1 - len(rows)))
        rows[number] = row = self._new()
        return row

    def _other(self, order: str) -> int:
        row = self._others.get(order)
        if row is None:
            row = self._others[order] = self._new()
        return row

    def _new(self) -> int:
        row = len(self.flags)
        self.flags.append(0)
        self.position.append(NOBODY)
        self.price.append(0)
        self.units.append(1)
        self.item.append(NOBODY)
        self.seller.append(NOBODY)
        self.trader.append(NOBODY)
        self.buyer.append(NOBODY)
        return row

    def sold(self, row: int, shares: dict[str, Share]) -> None:
        """The ledger has sold the order, to the account of these sellers, in the order of the lots."""
        self.price[row] = sum(share.price for share in shares.values())
        self.seller[row] = self.code(next(iter(shares)))
        if len(shares) > 1:
            self._shares[row] = shares

    def shares(self, row: int) -> dict[str, Share]:
        """By seller, its part in this sold order."""
        return self._shares.get(row) or {self.text(self.seller[row]): Share(self.units[row], self.price[row])}

    def sellers(self, row: int) -> tuple[str, ...]:
        """Who has part in this sold order, in the order of the lots."""
        return tuple(self.shares(row))

    def credit(self, row: int, seller: str) -> bool:
        """This seller was credited. Returns False if it was before. `CREDITED` is set once everybody was."""
        if row not in self._shares:
            before = self.flags[row] & CREDITED
            self.flags[row] |= CREDITED
            return not before
        before = (row, seller) in self._credited
        self._credited.add((row, seller))
        if not self.uncredited(row):
            self.flags[row] |= CREDITED
        return not before

    def uncredited(self, row: int) -> list[str]:
        """The sellers of a sold order who were not credited."""
        if self.flags[row] & CREDITED:
            return []
        return [seller for seller in self.shares(row) if (row, seller) not in self._credited]

    def code(self, text: str) -> int:
        """A number for the name of a peer or an item."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._texts)
            self._texts.append(text)
        return code

    def text(self, code: int) -> str:
        """The name that belongs to this number."""
        return self._texts[code] if code != NOBODY else "nobody"

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Each order and its row."""
        for buyer, rows in self._rows.items():
            for serial, row in enumerate(rows):
                if row != NOBODY:
                    yield f"{buyer}-{serial}", row
        yield from self._others.items()
