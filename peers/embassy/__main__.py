"""The embassy of a bazaar that has a name, as a process of its own: `python -m peers.embassy RUN_FOLDER NAME_SERVER_PORT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bazaar.protocol.goods import WAREHOUSE, embassy_of
from bazaar.protocol.plan import load
from bazaar.protocol.settings import UsageError
from bazaar.runtime import process, treaty
from bazaar.runtime.address import place
from bazaar.runtime.history import History
from bazaar.runtime.host import Host
from bazaar.runtime.key import read_key
from bazaar.runtime.naming import Directory
from bazaar.runtime.runclock import clock_of
from bazaar.runtime.transport import Unreachable
from peers.embassy import Embassy


class NoStore:
    """An embassy keeps nothing but its history."""

    def write(self, records: Sequence[Any]) -> None:
        """Never called with any record."""

    def close(self) -> None:
        """Nothing."""


def main() -> int:
    """Returns 2 if it cannot listen, 1 if nobody can find it."""
    run_folder, port = Path(sys.argv[1]), int(sys.argv[2])
    plan = load(run_folder / "bazaar.json")
    key = read_key(run_folder / "key")
    joined = [treaty.load(path) for path in sorted((run_folder / treaty.TREATIES).glob("*.json"))]
    names = [other.name for other in joined]
    name = embassy_of(str(plan.settings.name))
    history = History(Path.cwd(), name)
    former = history.former_life
    actor = Embassy(plan, names, former)
    known = {WAREHOUSE, *plan.members, *map(embassy_of, (*names, *former.met))}
    try:
        here, directory = place(plan.settings.host), Directory(plan.settings.host, port, key)
        host = Host(actor, NoStore(), history, clock_of(run_folder), here, directory, key, known)
        abroad = treaty.Abroad(name, here, run_folder, plan.settings, joined, host.count_refused)
        host.trade_abroad(abroad)
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
