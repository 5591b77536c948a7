"""Faults that can be injected into a running bazaar, and how the command line writes them (`--fault`, requirement H).

`kill:trader1@5` kills a process with SIGKILL five seconds after trading began. `pause:buyer7@5+8` stops a process for eight
seconds. `restart:NAME@AT` starts a killed process again; the warehouse and mongod are always restarted at once, by
themselves. `resign:trader0@5` asks a trader to give up its seat. `random:N` stands for N faults, drawn from the run's seed.
NAME is a peer, `traderI` (the peer that was given that seat last), `warehouse` or `mongod`; in a bazaar with a name, also
`embassy`, and with a shared cache `cache`, its server, which are restarted at once, too.

With `--hosts` machines can suffer, too: `kill-host:10.0.0.2@5`, `slow:10.0.0.2@5+8`, and links between two of them,
`cut:10.0.0.1|10.0.0.2@5+8`, or with `>` in one direction. The launcher's machine is called `launcher`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from bazaar.protocol.goods import CACHE, EMBASSY
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import UsageError

MONGOD = "mongod"
LAUNCHER = "launcher"
SHARED = "shared"  # the policy whose traders use a cache server
Kind = Literal["kill", "pause", "restart", "resign", "kill-host", "cut", "slow"]
SECONDS = r"[0-9]{1,6}(?:\.[0-9]{1,9})?"
FORM = "kill:NAME@AT, pause:NAME@AT+FOR, restart:NAME@AT, resign:NAME@AT or random:N"
OF_MACHINES = "kill-host:MACHINE@AT, slow:MACHINE@AT+FOR, cut:MACHINE|MACHINE@AT+FOR or cut:MACHINE>MACHINE@AT+FOR"


class Fault(msgspec.Struct, frozen=True):
    """One thing done to one process, `at_s` seconds after trading began."""

    kind: Kind
    name: str
    at_s: float
    for_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}@{self.at_s:g}" + (f"+{self.for_s:g}" if self.for_s else "")

    @property
    def machines(self) -> list[str]:
        """The machines that it names; none if it is a fault of one process."""
        return re.split("[|>]", self.name) if self.kind in ("kill-host", "cut", "slow") else []


def parse_faults(texts: list[str], plan: Plan) -> list[Fault]:
    """The faults in the order of their time. Raises `UsageError` for a fault that is impossible in this plan's bazaar."""
    faults: list[Fault] = []
    for text in texts:
        if drawn := re.fullmatch(r"random:([0-9]{1,3})", text):
            faults += _draw(int(drawn[1]), plan)
        else:
            faults.append(parse_fault(text, plan))
    faults.sort(key=lambda fault: fault.at_s)
    dead: set[str] = set()
    for fault in faults:
        if fault.kind == "kill" and fault.name in dead:
            raise UsageError(f"--fault {fault}: {fault.name} is dead already; restart it before you kill it again")
        if fault.kind == "restart" and fault.name not in dead:
            raise UsageError(f"--fault {fault}: {fault.name} was not killed; there is nothing to restart")
        if fault.name in plan.names:
            (dead.add if fault.kind == "kill" else dead.discard)(fault.name)
    return faults


def parse_fault(text: str, plan: Plan) -> Fault:
    """The fault of this text. Raises `UsageError` for a fault that is impossible in this plan's bazaar."""
    if text.startswith(("kill-host:", "cut:", "slow:")):
        return _of_machines(text, plan)
    match = re.fullmatch(
        r"(kill|pause|restart|resign):(\w{1,60})@([0-9]{1,6}(?:\.[0-9]{1,9})?)(?:\+([0-9]{1,6}(?:\.[0-9]{1,9})?))?",
        text,
    )
    if match is None:
        raise UsageError(f"--fault {text[:100]}: give {FORM}, with times below 1,000,000 s and up to 999 random ones")
    kind, name, at_s, for_s = match[1], match[2], float(match[3]), float(match[4] or 0)
    settings = plan.settings
    seat = re.fullmatch(r"trader([0-9]+)", name)
    if seat and int(seat[1]) >= settings.traders:
        raise UsageError(
            f"--fault {text}: there will be {settings.traders} traders, trader0 to trader{settings.traders - 1}"
        )
    others = (*(() if plan.embassy is None else (EMBASSY,)), *((CACHE,) if plan.settings.cache == SHARED else ()))
    if not seat and name not in (*plan.names, "warehouse", MONGOD, *others):
        raise UsageError(
            f"--fault {text}: there is no {name}; there are "
            f"{', '.join((*plan.names, 'traderI', 'warehouse', MONGOD, *others))}"
        )
    if (kind == "pause") != bool(for_s):
        raise UsageError(f"--fault {text}: a pause, and only a pause, has a length: pause:{name}@{at_s:g}+SECONDS")
    if kind in ("restart", "resign") and name in ("warehouse", MONGOD, EMBASSY, CACHE):
        raise UsageError(f"--fault {text}: {name} cannot {kind}; after a kill it is restarted by itself")
    if kind == "restart" and seat:
        raise UsageError(f"--fault {text}: who was {name} is known only by its own name then; give that")
    if settings.duration_s is not None and at_s >= settings.duration_s:
        raise UsageError(f"--fault {text}: the run is over after {settings.duration_s:g} s")
    return Fault(kind, name, at_s, for_s)  # type: ignore[arg-type] # the pattern lets no other kind through


def _of_machines(text: str, plan: Plan) -> Fault:
    """Which machines there are is known only when the run starts (`check_machines`)."""
    machine = r"[\w.:-]{1,100}"
    match = re.fullmatch(
        rf"(?:(kill-host|slow):({machine})|(cut):({machine}[|>]{machine}))@({SECONDS})(?:\+({SECONDS}))?", text
    )
    if match is None:
        raise UsageError(f"--fault {text[:100]}: give {OF_MACHINES}, with times below 1,000,000 s")
    kind, name, at_s, for_s = match[1] or match[3], match[2] or match[4], float(match[5]), float(match[6] or 0)
    fault = Fault(kind, name, at_s, for_s)  # type: ignore[arg-type] # the pattern lets no other kind through
    if plan.settings.hosts is None:
        raise UsageError(f"--fault {text}: there is one machine only; add --hosts")
    if (kind != "kill-host") != bool(for_s):
        raise UsageError(
            f"--fault {text}: a cut and slowness, and only they, have a length: {kind}:{name}@{at_s:g}+SECONDS"
        )
    if len(set(fault.machines)) < len(fault.machines):
        raise UsageError(f"--fault {text}: there is no link to cut between a machine and itself; give two")
    if kind != "cut" and name == LAUNCHER:
        raise UsageError(f"--fault {text}: the launcher's machine can only be cut from others; give another")
    if plan.settings.duration_s is not None and at_s >= plan.settings.duration_s:
        raise UsageError(f"--fault {text}: the run is over after {plan.settings.duration_s:g} s")
    return fault


def check_machines(faults: Iterable[Fault], placed: Collection[str]) -> None:
    """Refuses faults of machines that have no peer. Raises `UsageError`."""
    for fault in faults:
        for machine in fault.machines:
            if machine not in (LAUNCHER, *placed):
                raise UsageError(
                    f"--fault {fault}: no peer is on {machine}; the machines are {', '.join((*placed, LAUNCHER))}"
                )


def _draw(count: int, plan: Plan) -> list[Fault]:
    """Random faults, mostly of traders, spread over the run (over ten seconds, if it has no end)."""
    rng = random.Random(f"faults/{plan.settings.seed}")
    end_s = plan.settings.duration_s or 10.0
    traders = [f"trader{seat}" for seat in range(plan.settings.traders)]
    faults: list[Fault] = []
    for number in range(count):
        at_s = round(end_s * (number + rng.random()) / (count + 1), 2)
        name = rng.choice([*traders, *traders, "warehouse", MONGOD])
        if name in traders and rng.random() < 0.5:
            faults.append(Fault("kill", name, at_s))
            traders.remove(name)
            traders = traders or ["warehouse"]
        elif rng.random() < 0.5 and name not in ("warehouse", MONGOD):
            faults.append(Fault("pause", name, at_s, round(rng.uniform(0.5, 2.5) * plan.settings.suspect_after_s, 2)))
        else:
            kind: Kind = "kill" if name in ("warehouse", MONGOD) else "resign"
            faults.append(Fault(kind, name, at_s))
    return faults
