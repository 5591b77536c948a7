"""What is in a run's folder before its first process starts: the plan, the key, the papers, the treaties, an empty ledger."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bazaar.control.authority import write_papers
from bazaar.protocol import plan as plans
from bazaar.protocol.goods import NAME_SERVER, WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.runtime import run_folder, treaty
from bazaar.runtime.address import addresses_of
from bazaar.runtime.history import LAUNCHER
from bazaar.runtime.key import PAPERS, VISITOR, make_key
from bazaar.runtime.ledger_file import LEDGER_FILE


def furnish(out: Path, plan: Plan, joined: Iterable[treaty.Treaty]) -> int | None:
    """Writes these files into an empty folder. `joined`: the bazaars that this one joins.

    Returns the descriptor of the lock that says that the run goes on; None where files cannot be locked. Raises `OSError`,
    `UsageError`.
    """
    plans.save(plan, out / "bazaar.json")
    make_key(out / "key")
    if plan.settings.tls:
        everybody = (NAME_SERVER, WAREHOUSE, *plan.names, VISITOR, LAUNCHER)
        write_papers(out / PAPERS, everybody, [*addresses_of(plan.settings), *sorted(set(plan.placed.values()))])
    folder = out / treaty.TREATIES
    for other in joined:
        folder.mkdir(exist_ok=True)
        treaty.save(other, folder / f"{other.name}.json")
    (out / LEDGER_FILE).touch()  # an empty file is a ledger: the warehouse may never start
    return run_folder.lock(out)
