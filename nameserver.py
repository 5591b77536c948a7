"""The name server of a run, as a process of its own: `python nameserver.py HOST PORT KEY_FILE [tls]`.

At each change it prints a JSON line: the port that it serves on, and how many strangers it has refused. It serves until its
standard input ends.
"""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

from bazaar.protocol.goods import NAME_SERVER
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process
from bazaar.runtime.address import place_of_name_server
from bazaar.runtime.key import read_key
from bazaar.runtime.naming import NameServer
from bazaar.runtime.process import Status
from bazaar.runtime.tls import papers_in


def main() -> int:
    """Returns 2, with one line on standard error, if the host or port cannot be had."""
    host, port, key_file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    refused = itertools.count(1)
    try:
        papers = papers_in(key_file.parent, NAME_SERVER) if "tls" in sys.argv[4:] else None
        here, key = place_of_name_server(host), read_key(key_file)
        server = NameServer(here, port, key, lambda: _say(server, next(refused)), papers)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    _say(server, 0)
    threading.Thread(target=server.serve, daemon=True).start()
    sys.stdin.read()
    return 0


def _say(server: NameServer, refused: int) -> None:
    Status(ready=True, port=server.port, refused=refused).say()


if __name__ == "__main__":
    process.run(main)
