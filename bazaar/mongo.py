"""MongoDB: where the ledger is kept, and the only file that knows pymongo.

Collection `ledger`: `_id` 0, 1, 2, … without a gap, so two writers cannot both succeed: the second hits a duplicate
key, knows that it was replaced, and stops. Written with majority and journal, so an acknowledged entry survives a
kill -9 of the server (with `w=1`, the default for one that stands alone, the last tenth of a second's are lost).
Collection `stock` mirrors what is left, in the shape that the seed's figure shows, for people to look at; nothing
reads it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from pymongo import ASCENDING, MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.write_concern import WriteConcern

from bazaar.records import AnyEntry, Denial, Item, Sale, document_to_entry, entry_to_document
from bazaar.settings import UsageError

SELECTION_TIMEOUT_MS = 3_000
PATIENCE_S = 60.0  # how long to wait for a server that was there and has gone
RETRY_AFTER_S = 0.05  # one that is just starting refuses at once, and says nothing when it is ready
DURABLE = WriteConcern(w="majority", j=True, wtimeout=10_000)
DUPLICATE_KEY = 11000
R = TypeVar("R")


class Replaced(Exception):
    """Another warehouse has written to this ledger: this one must not decide anything any more."""


def without_password(uri: str) -> str:
    """A MongoDB URI that may be shown."""
    return re.sub(r"//.*@", "//***@", uri)


class MongoLedger:
    """The ledger of one run, in a database of its own."""

    def __init__(self, uri: str, database: str, known: bool = False) -> None:
        """Connects. Raises `UsageError`, in one line, if there is no MongoDB behind the URI that lets us write.

        One that is `known` to be there is waited for: it may have been killed, and be starting again.
        """
        shown = without_password(uri)
        try:
            self._client: MongoClient[dict[str, object]] = MongoClient(
                uri, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS, retryWrites=False
            )
            self._ledger: Collection[dict[str, object]] = self._client[database].get_collection(
                "ledger", write_concern=DURABLE
            )
            self._stock = self._client[database].get_collection("stock", write_concern=WriteConcern(w=1))
            index = partial(self._ledger.create_index, [("order_id", ASCENDING)], unique=True, sparse=True)
            _patiently(index, time.monotonic() + PATIENCE_S if known else 0.0)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise UsageError(f"the MongoDB URI {shown} is wrong ({error}); mend BAZAAR_MONGO_URI") from None
        except ServerSelectionTimeoutError:
            raise UsageError(
                f"no MongoDB answers at {shown}; start it, or unset BAZAAR_MONGO_URI to have one started"
            ) from None
        except OperationFailure as error:
            needs = "needs a user and password that may write" if error.code in (13, 18) else "refuses"
            raise UsageError(
                f"the MongoDB at {shown} {needs} ({error.details and error.details.get('codeName')}); "
                "give it in BAZAAR_MONGO_URI as mongodb://user:password@host/"
            ) from None
        except PyMongoError as error:
            raise UsageError(f"the MongoDB at {shown} cannot be used: {error}") from None

    def entries(self) -> Iterator[AnyEntry]:
        """All entries in their order. Raises `ValueError` at a gap: the ledger was tampered with."""
        documents = _patiently(
            lambda: list(self._ledger.find(sort=[("_id", ASCENDING)])), time.monotonic() + PATIENCE_S
        )
        for position, document in enumerate(documents):
            if document["_id"] != position:
                raise ValueError(f"the ledger has no entry {position}")
            yield document_to_entry(document)

    def entry_of(self, order_id: str) -> Sale | Denial:
        """The entry by which this order was answered. Raises `LookupError` if it was not."""
        found = _patiently(lambda: self._ledger.find_one({"order_id": order_id}), time.monotonic() + PATIENCE_S)
        entry = document_to_entry(found) if found is not None else None
        if not isinstance(entry, (Sale, Denial)):
            raise LookupError(f"the ledger has no answer to {order_id}")
        return entry

    def write(self, entries: Sequence[AnyEntry]) -> None:
        """Appends the entries; they are durable when this returns. Raises `Replaced`.

        A server that goes away is waited for. Whether an insert that it took with it was carried out is settled by
        reading the ledger's tail before it is tried again.
        """
        documents = [entry_to_document(entry) for entry in entries]
        deadline = time.monotonic() + PATIENCE_S
        while documents:
            try:
                self._insert(documents)
                break
            except DuplicateKeyError as error:
                raise Replaced(f"the ledger has an entry {documents[0]['_id']} of another warehouse") from error
            except PyMongoError as error:
                _wait(deadline, error)
            documents = documents[self._carried_out(documents, deadline) :]

    def _insert(self, documents: list[dict[str, object]]) -> None:
        """What `insert_many` sends, without the half of its time that goes into what only bulks of mixed writes need."""
        done = self._ledger.database.command(
            "insert", self._ledger.name, documents=documents, ordered=True, writeConcern=DURABLE.document
        )
        for failure in (*done.get("writeErrors", ()), *filter(None, (done.get("writeConcernError"),))):
            kind = DuplicateKeyError if failure["code"] == DUPLICATE_KEY else OperationFailure
            raise kind(failure["errmsg"], failure["code"])

    def _carried_out(self, documents: list[dict[str, object]], deadline: float) -> int:
        """How many of these documents, from the first on, the ledger holds. Raises `Replaced` if it holds others."""
        tail = {"_id": {"$gte": documents[0]["_id"]}}
        held = _patiently(lambda: list(self._ledger.find(tail, sort=[("_id", ASCENDING)])), deadline)
        if held != documents[: len(held)]:
            raise Replaced(f"the ledger has an entry {documents[0]['_id']} of another warehouse")
        return len(held)

    def mirror(self, stock: dict[tuple[str, Item], tuple[int, int]]) -> bool:
        """Writes what is left into `stock`, for people to look at; False if the server is not there for it."""
        updates = [
            UpdateOne(
                {"seller_id": seller, "item": item},
                {"$set": {"count": count, "price": price_cents / 100}},
                upsert=True,
            )
            for (seller, item), (count, price_cents) in stock.items()
        ]
        if updates:
            try:
                self._stock.bulk_write(updates, ordered=False)
            except PyMongoError:
                return False  # the ledger is the truth; this picture of it can wait for the next occasion
        return True

    def mirrored(self) -> dict[tuple[str, Item], int]:
        """How many of each product the mirror shows."""
        products: dict[tuple[str, Item], int] = {}
        for document in self._stock.find():
            seller, item, count = (document[field] for field in ("seller_id", "item", "count"))
            products[seller, item] = count  # type: ignore[index,assignment] # as `mirror` wrote them
        return products

    def close(self) -> None:
        """Lets go of the server."""
        self._client.close()


def _patiently(act: Callable[[], R], deadline: float) -> R:
    while True:
        try:
            return act()
        except PyMongoError as error:
            _wait(deadline, error)


def _wait(deadline: float, error: PyMongoError) -> None:
    if time.monotonic() >= deadline:
        raise error
    time.sleep(RETRY_AFTER_S)


def server_version(uri: str) -> str:
    """Such as `6.0.5`."""
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS) as client:
        return str(client.server_info()["version"])
