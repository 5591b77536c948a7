"""A ledger in memory that keeps the contract of `bazaar.runtime.mongo.MongoLedger`. Two that share a `Shelf` are two
processes at one database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bazaar.protocol.entries import AnyEntry, Denial, Sale, document_to_entry, entry_to_document
from bazaar.protocol.goods import Item
from bazaar.runtime.mongo import Damaged, Replaced

Stock = dict[tuple[str, Item], tuple[int, int]]


class Shelf:
    """What the server would keep."""

    def __init__(self) -> None:
        self.documents: dict[int, dict[str, object]] = {}
        self.stock: dict[tuple[str, Item], dict[str, object]] = {}


class MemoryLedger:
    """One connection to it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.closed = False

    def entries(self) -> Iterator[AnyEntry]:
        for position, (held, document) in enumerate(sorted(self._shelf.documents.items())):
            if held != position:
                raise Damaged(f"the ledger has no entry {position}")
            yield document_to_entry(document)

    def entry_of(self, order_id: str) -> Sale | Denial:
        for entry in self.entries():
            if isinstance(entry, (Sale, Denial)) and entry.order_id == order_id:
                return entry
        raise LookupError(order_id)

    def write(self, entries: Sequence[AnyEntry]) -> None:
        for document in map(entry_to_document, entries):
            position, order_id = document["_id"], document.get("order_id")
            orders = {held["order_id"] for held in self._shelf.documents.values() if "order_id" in held}
            if position in self._shelf.documents or (order_id is not None and order_id in orders):
                raise Replaced(f"the ledger has an entry {position} of another warehouse")
            self._shelf.documents[position] = document

    def mirror(self, stock: Stock) -> bool:
        for (seller, item), (count, price_cents) in stock.items():
            shown = {"seller_id": seller, "item": item, "count": count, "price_cents": price_cents}
            self._shelf.stock[seller, item] = shown
        return True

    def mirrored(self) -> dict[tuple[str, Item], int]:
        return {product: int(str(shown["count"])) for product, shown in self._shelf.stock.items()}

    def close(self) -> None:
        self.closed = True
