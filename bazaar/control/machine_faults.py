"""Faults of machines and of the links between them. The processes there carry them out, so they need no rights on any machine.

A machine dies by the kill of everything that was started there, the worker, too. A slow machine lets its peers run a tenth of
the time. While a link is cut, a process sends nothing to those on the other side; it does so afterwards, as TCP does. What is
under way at the beginning of a cut arrives. A cut from the launcher's machine also holds up the leashes of the peers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bazaar.control.remote import RemoteProcess
from bazaar.protocol import events
from bazaar.protocol.faults import LAUNCHER, Fault
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.runtime.leash import Die, Hold, Slow
from bazaar.runtime.process import Process


class Run(Protocol):
    """What suffers."""

    plan: Plan
    processes: dict[str, Process]
    """The running ones, by name."""

    def note(self, event: events.Event) -> None:
        """Writes an event into the launcher's history."""


def inflict_on_machines(run: Run, fault: Fault) -> str:
    """Injects the fault now, and notes it. Returns why it cannot be done; empty if it was done."""
    machines = fault.machines
    names = [name for machine in machines for name in _names_on(run, machine)]
    for machine in machines:
        if machine != LAUNCHER and not any(name in run.processes for name in _names_on(run, machine)):
            return f"nobody was on {machine} any more"
    # For the judge, the death of a machine is that of its processes.
    kind = "kill" if fault.kind == "kill-host" else fault.kind
    run.note(events.Fault(str(fault), kind, names[0], fault.for_s, tuple(names)))
    match fault.kind:
        case "kill-host":
            for process in _far(run, machines[0]):
                process.suffer(Die())
        case "slow":
            for process in _far(run, machines[0]):
                process.suffer(Slow(fault.for_s))
        case "cut":
            one, other = machines
            _cut(run, one, other, fault.for_s)
            if "|" in fault.name:
                _cut(run, other, one, fault.for_s)
            for inwards, machine in _leashes(fault):
                for process in _far(run, machine):
                    process.suffer(Hold(inwards, fault.for_s))
    return ""


def _names_on(run: Run, machine: str) -> list[str]:
    here = [WAREHOUSE] if machine == LAUNCHER and WAREHOUSE not in run.plan.placed else []
    return here + [name for name, placed in run.plan.placed.items() if placed == machine]


def _far(run: Run, machine: str) -> Iterable[RemoteProcess]:
    found = (run.processes.get(name) for name in _names_on(run, machine))
    return [process for process in found if isinstance(process, RemoteProcess)]


def _cut(run: Run, source: str, target: str, for_s: float) -> None:
    word = " ".join(["cut", str(for_s), *_names_on(run, target)])
    for name in _names_on(run, source):
        if name in run.processes:
            run.processes[name].tell(word)


def _leashes(fault: Fault) -> list[tuple[bool, str]]:
    """The directions, seen from the agents (inwards or not), in which the leashes of a machine are cut."""
    one, other = fault.machines
    both = [(True, other)] * (one == LAUNCHER) + [(False, one)] * (other == LAUNCHER)
    return both + [(not inwards, machine) for inwards, machine in both if "|" in fault.name]
