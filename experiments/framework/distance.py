"""A longer way to MongoDB: a relay that delays all data, in both directions.

`python -m experiments.framework.distance HOST PORT DELAY_S` listens on loopback, prints its port, and ends when its standard
input ends. It is a process of its own, so that it does not delay the process that measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from bazaar.protocol.settings import UsageError
from bazaar.runtime.process import ROOT

MONGODB_PORT = 27017


@contextlib.contextmanager
def farther(mongo_uri: str, delay_s: float) -> Iterator[str]:
    """The URI of the same MongoDB, this much farther away in each direction. Raises `UsageError` unless it names one host."""
    parts = urlsplit(mongo_uri)
    user, at, address = parts.netloc.rpartition("@")
    if parts.scheme != "mongodb" or "," in address:
        raise UsageError("BAZAAR_MONGO_URI: a longer way can be put before one host only: give mongodb://HOST:PORT/...")
    host, _, port = address.partition(":")
    command = [sys.executable, "-m", "experiments.framework.distance", host, port or str(MONGODB_PORT), str(delay_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as relay:
        assert relay.stdin is not None
        assert relay.stdout is not None
        try:
            here = f"{user}{at}127.0.0.1:{relay.stdout.readline().strip()}"
            # Otherwise the driver would ask the server for its address, and connect there directly.
            query = (
                parts.query
                if "directConnection=" in parts.query
                else f"{parts.query}&directConnection=true".lstrip("&")
            )
            yield parts._replace(netloc=here, path=parts.path or "/", query=query).geturl()
        finally:
            relay.stdin.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay_s: float) -> None:
    clock = asyncio.get_running_loop().time
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        data = b"?"
        with contextlib.suppress(OSError):
            while data:
                due, data = await on_the_way.get()
                await asyncio.sleep(due - clock())
                sink.write(data)
                await sink.drain()
            sink.write_eof()

    delivering = asyncio.create_task(deliver())
    data = b"?"
    while data:
        try:
            data = await source.read(65536)
        except OSError:
            data = b""
        on_the_way.put_nowait((clock() + delay_s, data))
    await delivering


async def _serve(host: str, port: int, delay_s: float) -> None:
    async def connected(near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        try:
            far, far_end = await asyncio.open_connection(host, port)
        except OSError:
            near_end.close()
            return
        with contextlib.closing(near_end), contextlib.closing(far_end):
            await asyncio.gather(_pass_on(near, far_end, delay_s), _pass_on(far, near_end, delay_s))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)  # drops the data that are still on the way


if __name__ == "__main__":
    # The loop's default selector rounds every wait up to a millisecond.
    exact = asyncio.SelectorEventLoop(selectors.SelectSelector())
    exact.run_until_complete(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
