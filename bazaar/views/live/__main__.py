"""`python -m bazaar.views.live RUN SOCKET NAME` serves the page of a run that goes on, at a socket that it inherits.

It ends when its standard input does: the run is over then.
"""

from __future__ import annotations

import os

os.nice(10)  # before the imports, which take processor time that the run needs

import socket  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from pathlib import Path  # noqa: E402

import msgspec  # noqa: E402

from bazaar.control.live_page import TOKEN_VARIABLE, Answer  # noqa: E402
from bazaar.protocol import plan as plans  # noqa: E402
from bazaar.runtime import process  # noqa: E402
from bazaar.views.live.server import Server  # noqa: E402
from bazaar.views.live.show import Show  # noqa: E402
from bazaar.views.live.wishes import Wishes  # noqa: E402

LAST_WORDS_S = 3.0  # for the viewers to take the verdict and the report


def main() -> int:
    """Serves until standard input ends, and lets the viewers know the verdict."""
    run, listening, name = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), sys.argv[3]
    show, wishes = Show(run, plans.load(run / "bazaar.json"), acts=True), Wishes()
    server = Server(listening, name, os.environ[TOKEN_VARIABLE], show, wishes.ask)
    for work in (show.follow, server.serve_forever):
        threading.Thread(target=work, daemon=True).start()
    for line in sys.stdin:
        wishes.hear(msgspec.json.decode(line, type=Answer))
    show.end(LAST_WORDS_S)
    return 0


if __name__ == "__main__":
    process.run(main)
