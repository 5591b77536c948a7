"""The plan of a run: the peers' names with their civil roles, the first item of each, and the graph.

The plan is drawn (`bazaar/control/planning.py`) and written to `bazaar.json` before anything starts. It is all that a peer
needs to know beforehand.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from bazaar.protocol.goods import Item, embassy_of
from bazaar.protocol.settings import Settings, UsageError

Promise = Literal["strong", "weak"]
MOST_NEIGHBOURS = 3
"""Of a peer in the graph (requirement A1)."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The contents of `bazaar.json`."""

    settings: Settings
    names: tuple[str, ...]
    goods: dict[str, Item]
    """What each peer first looks for (a buyer) or sells (a seller)."""
    neighbours: dict[str, tuple[str, ...]]
    promises: Promise
    """What the cache policy of this run promises, and is judged by."""
    placed: Mapping[str, str] = {}
    """The machine of each process that is not on the launcher's (`--hosts`)."""

    @property
    def embassy(self) -> str | None:
        """The process through which this bazaar trades with others; None if it has no name and trades with none."""
        return None if self.settings.name is None else embassy_of(self.settings.name)

    @property
    def members(self) -> tuple[str, ...]:
        """Who writes to peers and to the warehouse: all peers, and the embassy."""
        return self.names if self.embassy is None else (*self.names, self.embassy)

    def elsewhere(self, name: str) -> tuple[str, ...]:
        """The peers on other machines than this one's, beginning with the next one after it."""
        at = self.names.index(name)
        others = (*self.names[at:], *self.names[:at])
        return tuple(other for other in others if self.placed.get(other) != self.placed.get(name))

    def random_for(self, name: str) -> random.Random:
        """The only source of randomness for this peer: same seed, same choices."""
        return random.Random(f"{self.settings.seed}/{name}")


def check_keepers(plan: Plan) -> None:
    """Refuses `keeper` on too few machines. Raises `UsageError`."""
    machines = len({plan.placed.get(name) for name in plan.names})
    if plan.settings.keeper and machines < 2:
        raise UsageError(
            "--keeper needs peers on two machines or more, since a trader's journal is kept on another machine than its own; "
            f"these are on {machines}: add --hosts with more machines, or leave out --keeper"
        )


def save(plan: Plan, path: Path) -> None:
    """Writes `bazaar.json`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")


def load(path: Path) -> Plan:
    """Reads `bazaar.json`. Raises `OSError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
