"""The operations that bound a bazaar, each measured alone: a Pyro4 call, an insert into MongoDB, a line on the disk.

No other file of the experiments uses Pyro4 and pymongo: they must be measured without any code of ours in between. Each
measurement takes a fraction of a second, so that it can be made right before the run with which it is compared. The speed of a
machine changes from minute to minute.

`measure` starts two programs. `python -m experiments.framework.yardsticks echo` serves, and prints its URI. `... calls URI`
waits for a line on its standard input, and prints how many calls a second it made.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import Pyro4
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from bazaar.protocol.entries import Sale, entry_to_document
from bazaar.protocol.messages import Purchased
from bazaar.protocol.wire import Delivery, Letter, encode
from bazaar.runtime.journal import to_disk
from bazaar.runtime.process import ROOT

CALLS_S, INSERTS_S, SYNCS_S = 0.6, 0.4, 0.2
CLIENTS = 6
BATCH = 100
PURCHASE = Purchased("buyer0-1234", "fish", "seller3", 700)
PAYLOAD = encode(Delivery("seller9", "buyer0", 1, 1234, 1234, 1, 1234, (Letter(123_456, PURCHASE),)))
"""A purchase as it is on our wire: msgpack, some 80 bytes."""
LINE = b'{"line":"queued","order":["buyer0-1234","buyer0","fish",123456]}\n'
VALUES = ("calls_per_s", "calls_of_six_per_s", "inserts_per_s", "inserts_by_100_per_s", "syncs_per_s")

Pyro4.config.SERVERTYPE = "multiplex"
Pyro4.config.SERIALIZER = "marshal"  # Pyro4's fastest serialiser, and the bazaar's
Pyro4.config.SOCK_NODELAY = True


def measure(mongo_uri: str, folder: Path) -> Mapping[str, float]:
    """All measurements (`VALUES`), per second. `folder`: a folder on the disk of the bazaar's journals."""
    with _started("echo") as echo:
        assert echo.stdout is not None
        uri = echo.stdout.readline().strip()
        one, six = _calls(uri, 1), _calls(uri, CLIENTS)
        echo.kill()
    return {
        "calls_per_s": one,
        "calls_of_six_per_s": six,
        "inserts_per_s": _inserts(mongo_uri, 1),
        "inserts_by_100_per_s": _inserts(mongo_uri, BATCH),
        "syncs_per_s": _syncs(folder),
    }


def _started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "experiments.framework.yardsticks", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, bufsize=1, start_new_session=True)


def _calls(uri: str, clients: int) -> float:
    started = [_started("calls", uri) for _ in range(clients)]
    for client in started:  # waits until all are ready
        assert client.stdout is not None
        client.stdout.readline()
    for client in started:
        assert client.stdin is not None
        client.stdin.write("go\n")
    return sum(float(client.communicate()[0]) for client in started)


def _a_second(act: Callable[[], Any], for_s: float, each: int = 1) -> float:
    began = time.perf_counter()
    times = 0
    while (passed := time.perf_counter() - began) < for_s:
        act()
        times += 1
    return each * times / passed


def _inserts(uri: str, batch: int) -> float:
    """Inserted documents per second, as durable as our ledger's."""
    with MongoClient[dict[str, Any]](uri, retryWrites=False) as client:
        sales = client["yardsticks"].get_collection("sales", write_concern=WriteConcern(w="majority", j=True))
        inserted = 0

        def insert() -> None:
            nonlocal inserted
            documents = []
            for number in range(inserted, inserted + batch):
                sale = Sale(
                    number, f"buyer0-{number}", "buyer0", "fish", "seller3-d1", "seller3", 700, 1, "seller9", False
                )
                documents.append(entry_to_document(sale))
            sales.insert_many(documents, ordered=True)
            inserted += batch

        insert()
        rate = _a_second(insert, INSERTS_S, batch)
        client.drop_database("yardsticks")
    return rate


def _syncs(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:

        def sync() -> None:
            file.write(LINE)
            to_disk(file.fileno())

        return _a_second(sync, SYNCS_S)


class _Echo:
    @Pyro4.expose  # type: ignore[untyped-decorator] # Pyro4 has no types
    def echo(self, data: bytes) -> bytes:
        return data


def _main(what: str, *arguments: str) -> None:
    if what == "echo":
        daemon = Pyro4.Daemon(host="localhost")
        print(daemon.register(_Echo()), flush=True)
        daemon.requestLoop()
        return
    with Pyro4.Proxy(*arguments) as proxy:
        proxy.echo(PAYLOAD)
        print("ready", flush=True)
        sys.stdin.readline()
        print(_a_second(lambda: proxy.echo(PAYLOAD), CALLS_S))


if __name__ == "__main__":
    _main(*sys.argv[1:])
