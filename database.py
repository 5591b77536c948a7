"""The warehouse process over MongoDB: `python database.py RUN_FOLDER NAME_SERVER_PORT DATABASE [known] [LIVES]`.

The URI is in BAZAAR_MONGO_URI. `known` says that the MongoDB was there before: the process waits for it if it does not answer.
LIVES: how often it was started before. On several machines the last lines of its history, which tell of that, may be lost.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bazaar.core.cache import POLICIES
from bazaar.core.routing.router import Terms
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.entries import AnyEntry, DepositEntry, Sale
from bazaar.protocol.goods import WAREHOUSE, Item
from bazaar.protocol.plan import Plan, load
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process
from bazaar.runtime.address import place
from bazaar.runtime.cache_client import CACHE_URI
from bazaar.runtime.far_clock import FarClock, clock_here
from bazaar.runtime.history import History
from bazaar.runtime.host import Host
from bazaar.runtime.key import read_key
from bazaar.runtime.ledger_file import Behind, LedgerFile
from bazaar.runtime.mongo import Damaged, Gone, MongoLedger, Replaced
from bazaar.runtime.naming import Directory
from bazaar.runtime.tls import papers_in
from bazaar.runtime.transport import Unreachable
from peers.faces import WarehouseFace

MIRROR_EVERY_S = 1.0


class MirroredLedger:
    """The warehouse's store: the ledger in MongoDB, its copy in a file, and a mirror of the stock.

    The mirror follows the ledger within a second. It is for people to look at. A thread of its own writes it, so no decision
    waits for it.
    """

    def __init__(self, ledger: MongoLedger, file: LedgerFile, stock: dict[tuple[str, Item], tuple[int, int]]) -> None:
        """`stock`: for each product, how many units the ledger leaves so far, and their price in cents."""
        self._ledger = ledger
        self._file = file
        self._stock = dict(stock)
        self._changed = set(stock)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._mirror = threading.Thread(target=self._go_on_mirroring, name="mirror", daemon=True)
        self._mirror.start()

    def write(self, entries: Sequence[AnyEntry]) -> None:
        """Appends the entries durably. Raises `Replaced`, `Gone`."""
        self._ledger.write(entries)
        self._file.write(entries)
        with self._lock:
            for entry in entries:
                match entry:
                    case DepositEntry():
                        self._count(entry.seller, entry.item, entry.count, entry.price_cents)
                    case Sale():
                        for part in entry.parts:
                            self._count(part.seller, entry.item, -part.units)

    def _count(self, seller: str, item: Item, more: int, price_cents: int | None = None) -> None:
        left, before_cents = self._stock.get((seller, item), (0, 0))
        self._stock[seller, item] = left + more, before_cents if price_cents is None else price_cents
        self._changed.add((seller, item))

    def close(self) -> None:
        """Mirrors the last state, and closes everything.

        A server that was just started again may need a moment for the mirror.
        """
        self._closing.set()
        self._mirror.join()
        deadline = time.monotonic() + MIRROR_EVERY_S
        while not self._show() and time.monotonic() < deadline:
            pass  # the driver waits for the server by itself
        self._ledger.close()
        self._file.close()

    def _go_on_mirroring(self) -> None:
        while not self._closing.wait(MIRROR_EVERY_S):
            self._show()

    def _show(self) -> bool:
        """Mirrors what has changed; False if it has to be tried again."""
        with self._lock:
            changed, self._changed = self._changed, set()
            products = {product: self._stock[product] for product in changed}
        shown = self._ledger.mirror(products)
        if not shown:
            with self._lock:
                self._changed |= changed
        return shown


def rebuilt(plan: Plan, ledger: MongoLedger, file: LedgerFile) -> Warehouse:
    """Rebuilds the warehouse from its ledger, and writes the entries that the file lacks. Raises `Damaged`, `Gone`."""
    warehouse = Warehouse(plan.names, plan.settings, entry_of=ledger.entry_of)
    try:
        for entry in file.completed(ledger.entries()):
            try:
                warehouse.ledger.apply(entry)
            except (LookupError, ValueError) as error:
                raise Damaged(
                    f"the ledger's entry {entry.position} does not follow from those before: {error}"
                ) from error
    except Behind as error:
        raise Damaged(str(error)) from error
    return warehouse


def main() -> int:
    """Returns the exit status. If it is not 0, one line on standard error says why.

    1: the name server cannot be reached; 2: the MongoDB cannot be used; 3: another warehouse took over; 4: the ledger holds
    what no warehouse has written; 5: MongoDB has gone.
    """
    run_folder, port, database = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    plan = load(run_folder / "bazaar.json")
    key = read_key(run_folder / "key")
    lives = next((int(word) for word in sys.argv[4:] if word.isdecimal()), 0)
    history = History(Path.cwd(), WAREHOUSE, lives)
    try:
        known = "known" in sys.argv[4:] or history.former_life.clock > 0
        ledger = MongoLedger(os.environ["BAZAAR_MONGO_URI"], database, known=known)
        file = LedgerFile(run_folder)
        warehouse = rebuilt(plan, ledger, file)
        store = MirroredLedger(ledger, file, warehouse.ledger.stock.products())
        papers = papers_in(run_folder, WAREHOUSE) if plan.settings.tls else None
        directory = Directory(plan.settings.host, port, key, papers)
        clock = clock_here(run_folder, lambda: Directory(plan.settings.host, port, key, papers))
        here = place(plan.settings.host)
        terms = Terms.of(plan)
        host = Host(warehouse, store, history, clock, here, directory, key, plan.members, terms, papers=papers)
        if POLICIES[plan.settings.cache].remote:
            host.share_cache(os.environ[CACHE_URI])
        host.open_door(WarehouseFace(warehouse, run_folder, Path.cwd(), host.visits.visit))
        if isinstance(clock, FarClock):
            clock.keep(host.note)
        host.run()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except Unreachable as error:
        print(f"the warehouse cannot enter its name: {error}", file=sys.stderr)
        return 1
    except Replaced as error:
        print(f"this warehouse was replaced and stops: {error}", file=sys.stderr)
        return 3
    except Damaged as error:
        print(f"this warehouse cannot go on, its ledger is damaged: {error}", file=sys.stderr)
        return 4
    except Gone as error:
        print(f"this warehouse cannot go on: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    process.run(main)
