"""`python -m peers NAME RUN_FOLDER NAME_SERVER_PORT`: one peer as a process of its own, in its own directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bazaar.core.cache import POLICIES
from bazaar.core.routing.router import Terms
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.plan import load
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process
from bazaar.runtime.address import place
from bazaar.runtime.cache_client import CACHE_URI
from bazaar.runtime.copies import Copies
from bazaar.runtime.far_clock import FarClock, clock_here
from bazaar.runtime.history import History
from bazaar.runtime.host import Host
from bazaar.runtime.journal import Journal, journal_file, read_journal
from bazaar.runtime.key import read_key
from bazaar.runtime.naming import Directory
from bazaar.runtime.tls import papers_in
from bazaar.runtime.transport import Unreachable
from peers.faces import PeerFace
from peers.peer import Peer


def main() -> int:
    """Runs until the launcher says stop, or is gone. Returns 2 if it cannot listen, 1 if nobody can find it."""
    name, run_folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    plan = load(run_folder / "bazaar.json")
    key = read_key(run_folder / "key")
    folder = Path.cwd()
    history = History(folder, name)

    def journal_of(seat: Seat) -> Recovered:
        return read_journal(journal_file(run_folder / seat.peer, seat.since))

    known = (WAREHOUSE, *plan.members)
    try:
        copies = Copies(folder) if plan.settings.keeper else None
        peer = Peer(name, plan, history.former_life, () if copies is None else copies.records)
        here = place(plan.settings.host)
        papers = papers_in(run_folder, name) if plan.settings.tls else None
        directory = Directory(plan.settings.host, port, key, papers)
        clock = clock_here(run_folder, lambda: Directory(plan.settings.host, port, key, papers))
        host = Host(
            peer,
            copies or Journal(folder),
            history,
            clock,
            here,
            directory,
            key,
            known,
            Terms.of(plan),
            journal_of,
            papers,
        )
        if POLICIES[plan.settings.cache].remote:
            host.share_cache(os.environ[CACHE_URI])
        host.open_door(PeerFace(peer, plan, folder, host.visits.visit))
        if isinstance(clock, FarClock):
            clock.keep(host.note)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except Unreachable as error:
        print(f"{name} cannot enter its name: {error}", file=sys.stderr)
        return 1
    host.run()
    return 0


if __name__ == "__main__":
    process.run(main)
