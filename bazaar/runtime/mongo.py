"""The ledger in MongoDB. No other file of the bazaar uses pymongo.

In the collection `ledger`, `_id` is 0, 1, 2, … without a gap, so two writers cannot both succeed. The second one gets a
duplicate-key error, knows that it was replaced, and stops. Entries are written with majority and journal, so an acknowledged
entry survives a kill -9 of the server. (With `w=1`, the default of a standalone server, the entries of the last tenth of a
second are lost.) The collection `stock` mirrors the stock that is left, in the form of the original's figure, for people to
look at; nothing reads it. Its prices are decimals: money is never a binary fraction.

Data on a replica set's primary may still be lost with the primary: an insert that was not acknowledged in time is there, but
not durable. So before the warehouse relies on unacknowledged data, it makes a write of its own to the collection `fence`
durable. The fence comes later in the primary's oplog, so everything before it is durable with it. The reads that follow have
read concern `majority`, in a causally consistent session; what they return will not be lost. The session is needed because a
primary that was just elected does not know yet how much of its data is durable. The session makes it wait until it does.
(https://www.mongodb.com/docs/manual/core/read-isolation-consistency-recency/)
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

from bson.decimal128 import Decimal128
from bson.errors import BSONError
from msgspec import ValidationError
from pymongo import ASCENDING, MongoClient, ReadPreference, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    DuplicateKeyError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bazaar.protocol.entries import AnyEntry, Denial, Sale, document_to_entry, entry_to_document
from bazaar.protocol.goods import Item
from bazaar.protocol.settings import UsageError

SELECTION_TIMEOUT_MS = 3_000
PATIENCE_S = 60.0  # how long to wait for a server that has gone away
RETRY_AFTER_S = 0.05  # a server that is just starting refuses at once, and does not tell when it is ready
DURABLE = WriteConcern(w="majority", j=True, wtimeout=10_000)
DUPLICATE_KEY, NOT_DURABLE_IN_TIME = 11000, 64  # the server's codes
BY_POSITION = [("_id", ASCENDING)]
R = TypeVar("R")


class Replaced(Exception):
    """Another warehouse has written to this ledger: this one must not decide anything any more."""


class Damaged(ValueError):
    """The ledger holds what no warehouse writes: a gap, an order answered twice, a document of another shape."""


class Gone(Exception):
    """MongoDB was there, but could not do what was asked for `PATIENCE_S`. Writes that were not acknowledged may be lost."""


def without_password(uri: str) -> str:
    """A MongoDB URI without its password, so that it may be shown."""
    return re.sub(r"//.*@", "//***@", uri)


class MongoLedger:
    """The ledger of one run, in a database of its own."""

    def __init__(self, uri: str, database: str, known: bool = False) -> None:
        """Connects. Raises `UsageError`, in one line, if there is no MongoDB behind the URI that lets us write.

        `known`: the MongoDB was there before. It is waited for, because it may have been killed and be starting again.
        """
        shown = self._shown = without_password(uri)
        self._uri, self._database = uri, database
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # the driver only warns of a misspelt `tls=ture`
                self._connect()
            self._patiently(
                lambda: self._ledger.create_index([("order_id", ASCENDING)], unique=True, sparse=True),
                time.monotonic() + PATIENCE_S if known else 0.0,
            )
        except OSError as error:
            raise UsageError(
                f"a file that the MongoDB URI {shown} names cannot be used ({error}); mend BAZAAR_MONGO_URI"
            ) from None
        except (InvalidURI, ConfigurationError, ValueError, UserWarning) as error:
            raise UsageError(f"the MongoDB URI {shown} is wrong ({error}); mend BAZAAR_MONGO_URI") from None
        except ServerSelectionTimeoutError as error:
            raise UsageError(
                f"no MongoDB answers at {shown} as this URI asks it to ({_reason(error)}); "
                "start it, mend BAZAAR_MONGO_URI, or unset it to have one started"
            ) from None
        except DuplicateKeyError:
            raise Damaged("the ledger answers an order twice") from None
        except OperationFailure as error:
            if error.code == NOT_DURABLE_IN_TIME:
                raise UsageError(
                    f"the MongoDB at {shown} makes nothing durable: a majority of its replica set does not answer; "
                    "start its members, or unset BAZAAR_MONGO_URI to have one started"
                ) from None
            needs = "needs a user and password that may write" if error.code in (13, 18) else "refuses"
            raise UsageError(
                f"the MongoDB at {shown} {needs} ({error.details and error.details.get('codeName')}); "
                "give it in BAZAAR_MONGO_URI as mongodb://user:password@host/"
            ) from None
        except PyMongoError as error:
            raise UsageError(
                f"the MongoDB at {shown} cannot be used ({_reason(error)}); mend BAZAAR_MONGO_URI"
            ) from None

    def _connect(self) -> None:
        self._client: MongoClient[dict[str, object]] = MongoClient(
            self._uri, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS, retryWrites=False
        )
        # These options override those of the URI.
        self._ledger: Collection[dict[str, object]] = self._client[self._database].get_collection(
            "ledger",
            write_concern=DURABLE,
            read_concern=ReadConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        self._stock = self._client[self._database].get_collection("stock", write_concern=WriteConcern(w=1))
        self._fences = self._client[self._database]["fence"]
        self._session = self._client.start_session(causal_consistency=True)

    def _connect_anew(self) -> None:
        """Closes all connections, but keeps what the session has seen.

        A server that is just starting says, for some milliseconds, that it supports no sessions. The driver believes this for
        as long as it keeps a connection from that time, and would refuse all later commands.
        """
        client, seen = self._client, self._session.operation_time
        self._connect()
        if seen is not None:
            self._session.advance_operation_time(seen)
        client.close()

    def entries(self) -> Iterator[AnyEntry]:
        """All entries in order, all of them durable. Raises `Damaged`, `Gone`."""
        with self._given_up():
            position = 0
            deadline = time.monotonic() + PATIENCE_S
            self._patiently(self._fence, deadline)
            while True:
                try:
                    for document in self._ledger.find(sort=BY_POSITION, skip=position, session=self._session):
                        yield _entry_at(position, document)
                        position += 1
                        deadline = time.monotonic() + PATIENCE_S
                    return
                except BSONError as error:
                    raise Damaged(f"the ledger cannot be read from entry {position} on: {error}") from error
                except PyMongoError as error:
                    self._wait(deadline, error)

    def entry_of(self, order_id: str) -> Sale | Denial:
        """The entry that answered this order. Raises `LookupError` if there is none, `Damaged`, `Gone`."""
        with self._given_up():
            found = self._patiently(
                lambda: self._ledger.find_one({"order_id": order_id}, session=self._session),
                time.monotonic() + PATIENCE_S,
            )
        entry = _entry_at(found["_id"], found) if found is not None else None
        if not isinstance(entry, (Sale, Denial)):
            raise LookupError(f"the ledger has no answer to {order_id}")
        return entry

    def write(self, entries: Sequence[AnyEntry]) -> None:
        """Appends the entries; they are durable when this returns. Raises `Replaced`, `Gone`.

        If the server goes away, this waits for it. It is then unknown whether the last insert was carried out and will stay. A
        fence, and reading the ledger's tail behind it, settle that before the insert is tried again.
        """
        documents = [entry_to_document(entry) for entry in entries]
        deadline = time.monotonic() + PATIENCE_S
        with self._given_up():
            while documents:
                try:
                    self._insert(documents)
                    return
                except PyMongoError as error:
                    done = self._carried_out(documents, deadline)
                    if isinstance(error, DuplicateKeyError) and not done:
                        raise Replaced(f"the ledger has an entry {documents[0]['_id']} of another warehouse") from error
                    documents = documents[done:]
                    if documents:
                        self._wait(deadline, error)

    def _insert(self, documents: list[dict[str, object]]) -> None:
        """Sends what `insert_many` sends, in half the time: the other half serves only bulks of mixed writes."""
        self._durably("insert", self._ledger.name, documents=documents, ordered=True)

    def _fence(self) -> None:
        """When this returns, all that the server held before the call is durable, and `self._session` sees it."""
        self._durably(
            "update", self._fences.name, updates=[{"q": {"_id": 0}, "u": {"$inc": {"fences": 1}}, "upsert": True}]
        )

    def _durably(self, what: str, collection: str, **how: Any) -> None:
        """Carries out a write. Raises `OperationFailure` also if it was done but did not become durable in time."""
        done = self._ledger.database.command(
            what, collection, **how, writeConcern=DURABLE.document, session=self._session
        )
        for failure in (*done.get("writeErrors", ()), *filter(None, (done.get("writeConcernError"),))):
            kind = DuplicateKeyError if failure["code"] == DUPLICATE_KEY else OperationFailure
            raise kind(failure["errmsg"], failure["code"])

    def _carried_out(self, documents: list[dict[str, object]], deadline: float) -> int:
        """How many of these documents, from the first on, are durably in the ledger.

        Raises `Replaced` if the ledger has others in their place.
        """
        self._patiently(self._fence, deadline)
        tail = {"_id": {"$gte": documents[0]["_id"]}}
        held = self._patiently(lambda: list(self._ledger.find(tail, sort=BY_POSITION, session=self._session)), deadline)
        if held != documents[: len(held)]:
            raise Replaced(f"the ledger has an entry {documents[0]['_id']} of another warehouse")
        return len(held)

    def _patiently(self, act: Callable[[], R], deadline: float) -> R:
        while True:
            try:
                return act()
            except PyMongoError as error:
                self._wait(deadline, error)

    def _wait(self, deadline: float, error: PyMongoError) -> None:
        if time.monotonic() >= deadline:
            raise error
        time.sleep(RETRY_AFTER_S)
        if isinstance(error, ConfigurationError):
            self._connect_anew()

    @contextmanager
    def _given_up(self) -> Iterator[None]:
        try:
            yield
        except PyMongoError as error:
            raise Gone(
                f"the MongoDB at {self._shown} has made nothing durable and told nothing for {PATIENCE_S:g} s "
                f"({_reason(error)})"
            ) from error

    def mirror(self, stock: dict[tuple[str, Item], tuple[int, int]]) -> bool:
        """Writes the stock that is left into `stock`, for people to look at; False if the server cannot be reached."""
        updates = [
            UpdateOne(
                {"seller_id": seller, "item": item},
                {"$set": {"count": count, "price": Decimal128(Decimal(price_cents).scaleb(-2))}},
                upsert=True,
            )
            for (seller, item), (count, price_cents) in stock.items()
        ]
        if updates:
            try:
                self._stock.bulk_write(updates, ordered=False)
            except PyMongoError:
                return False  # the ledger is the truth; the mirror can wait for the next call
        return True

    def mirrored(self) -> dict[tuple[str, Item], int]:
        """How many of each product the mirror shows."""
        products: dict[tuple[str, Item], int] = {}
        for document in self._stock.find():
            seller, item, count = (document[field] for field in ("seller_id", "item", "count"))
            products[seller, item] = count  # type: ignore[index,assignment] # as `mirror` wrote them
        return products

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def _entry_at(position: object, document: dict[str, object]) -> AnyEntry:
    """Decodes an entry. Raises `Damaged` if the document is not the entry of that position."""
    if document["_id"] != position:
        raise Damaged(f"the ledger has no entry {position}")
    try:
        return document_to_entry(document)
    except ValidationError as error:
        raise Damaged(f"the ledger's entry {position} is none: {error}") from error


def _reason(error: PyMongoError) -> str:
    """The error in one line, without the driver's description of all its servers."""
    return re.split(r" \(configured timeouts|, Timeout: |, full error: |\n", str(error))[0][:200]


def server_version(uri: str) -> str:
    """The server's version, such as `6.0.5`."""
    with MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS) as client:
        return str(client.server_info()["version"])
