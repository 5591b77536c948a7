"""`bash run.sh view [RUN]`: shows a run in a browser, one that is over or one that goes on, until Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bazaar.analysis.judgement import plan_of
from bazaar.control.live_page import Address
from bazaar.control.options import Parser
from bazaar.protocol.settings import UsageError
from bazaar.runtime import run_folder
from bazaar.views.feed import LOOK_EVERY_S
from bazaar.views.live.server import Server
from bazaar.views.live.show import Show


class View(NamedTuple):
    """What the user wants to see, and where the page is to be."""

    run: Path | None
    """None for the newest run."""
    port: str


def parse(arguments: Sequence[str]) -> View:
    """Parses the arguments. Raises `UsageError`."""
    parser = Parser(
        prog="bash run.sh view",
        description="Shows a run in a browser until Ctrl-C: one that is over, or one that goes on.",
    )
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run's folder (default runs/latest)")
    parser.add_argument(
        "--port", default="0", metavar="PORT", help="PORT or ADDRESS:PORT (default: a free port, on loopback)"
    )
    return View(**parser.read(arguments))


def serve(run: Path, port: str, announce: Callable[[str], object]) -> None:
    """Serves the page of a run; `announce` is told its address. Ends by an exception only. Raises `UsageError`."""
    plan = plan_of(run)
    address = Address(port, "--port")
    with address.listening:
        over = not run_folder.is_going_on(run)
        try:
            show = Show(run, plan, over=over)
        except (OSError, msgspec.MsgspecError) as error:
            raise UsageError(f"{run} cannot be shown: {getattr(error, 'strerror', None) or error}") from None
        if not over:
            for work in (show.follow, lambda: _end(show, run)):
                threading.Thread(target=work, daemon=True).start()
        announce(address.url)
        Server(address.listening, address.name, address.token, show).serve_forever()


def _end(show: Show, run: Path) -> None:
    """Ends the show as soon as the run has ended."""
    while run_folder.is_going_on(run):
        time.sleep(LOOK_EVERY_S)
    show.end(0.0)
