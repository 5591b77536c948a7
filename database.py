"""The warehouse process over MongoDB: `python database.py RUN_FOLDER NAME_SERVER_PORT DATABASE` (URI in BAZAAR_MONGO_URI)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bazaar.history import History
from bazaar.mongo import MongoLedger, Replaced
from bazaar.plan import load
from bazaar.records import WAREHOUSE, AnyEntry
from bazaar.rpc import Directory, read_key
from bazaar.runclock import clock_of
from bazaar.settings import UsageError
from bazaar.warehouse import Warehouse
from peers.host import Host

MIRROR_EVERY_S = 1.0


class MirroredLedger:
    """The warehouse's store: the ledger, and now and then the stock that follows from it, for people to look at."""

    def __init__(self, ledger: MongoLedger, warehouse: Warehouse) -> None:
        self._ledger = ledger
        self._warehouse = warehouse
        self._mirror_at = 0.0

    def write(self, entries: Sequence[AnyEntry]) -> None:
        """Appends, durably. Raises `Replaced`."""
        self._ledger.write(entries)
        if time.monotonic() >= self._mirror_at:
            self._ledger.mirror(self._warehouse.ledger.stock())
            self._mirror_at = time.monotonic() + MIRROR_EVERY_S

    def close(self) -> None:
        """Mirrors the last state (a server that was just started again may need a moment), and lets go."""
        deadline = time.monotonic() + MIRROR_EVERY_S
        while not self._ledger.mirror(self._warehouse.ledger.stock()) and time.monotonic() < deadline:
            pass  # the driver waits for the server by itself
        self._ledger.close()


def main() -> int:
    """2, with one line on standard error, if the MongoDB cannot be used; 3 if another warehouse took over."""
    run_folder, port, database = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    plan = load(run_folder / "bazaar.json")
    key = read_key(run_folder / "key")
    history = History(Path.cwd(), WAREHOUSE)
    try:
        ledger = MongoLedger(os.environ["BAZAAR_MONGO_URI"], database, known=history.former_life.clock > 0)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    warehouse = Warehouse(plan.names, plan.settings, ledger.entries(), ledger.entry_of)
    store = MirroredLedger(ledger, warehouse)
    directory = Directory(plan.settings.host, port, key)
    try:
        Host(warehouse, store, history, clock_of(run_folder), plan.settings.host, directory, key, plan.names).run()
    except Replaced as error:
        print(f"this warehouse was replaced and stops: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the pool may be waiting for a peer that has gone; nobody waits for its answer any more
