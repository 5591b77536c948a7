"""Injects the faults of a run into its processes, each at its time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

from bazaar.control.mongod import Mongod
from bazaar.protocol import events
from bazaar.protocol.faults import MONGOD, Fault
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import HistoryFile, by_time, only
from bazaar.runtime.process import Process


class Victim(Protocol):
    """What the faults are injected into: a run, or a stand-in for one."""

    plan: Plan
    out: Path
    processes: dict[str, Process]
    """The running ones, by name."""
    mongod: Mongod

    def restart(self, name: str) -> None:
        """Starts a killed peer again."""

    def note(self, event: events.Event) -> None:
        """Writes an event into the launcher's history."""


class Injector:
    """Call `schedule`, then `begin` when trading begins; `act` whenever there is time; `end` at the end of the run."""

    def __init__(self, run: Victim) -> None:
        self._run = run
        self._scheduled: list[Fault] = []  # their times count from `begin` on
        self._due: list[tuple[float, Fault]] = []  # each with its monotonic time
        self._paused: list[tuple[float, Callable[[], object]]] = []  # when the process is to go on, and how
        self.missed: list[str] = []
        """Faults that could not be carried out, each with the reason."""

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Adds faults that are to be injected while the bazaar trades."""
        self._scheduled += faults

    def begin(self) -> None:
        """Trading has begun: the times of the faults are counted from now on."""
        now = time.monotonic()
        self._due = sorted(((now + fault.at_s, fault) for fault in self._scheduled), key=lambda due: due[0])
        self._scheduled.clear()

    def act(self) -> None:
        """Injects the faults that are due, and continues the processes whose pause is over."""
        now = time.monotonic()
        for at, go_on in list(self._paused):
            if at <= now:
                self._paused.remove((at, go_on))
                go_on()
        while self._due and self._due[0][0] <= now:
            self.inflict(self._due.pop(0)[1])

    @property
    def waiting(self) -> bool:
        """Whether there is a fault that has yet to be injected."""
        return bool(self._due or self._scheduled)

    def end(self) -> None:
        """Drops the faults that have not been injected, and records them as missed."""
        for fault in [*(fault for _, fault in self._due), *self._scheduled]:
            self._miss(fault, "the run ended before")
        self._due.clear()
        self._scheduled.clear()

    def _miss(self, fault: Fault, reason: str) -> None:
        self.missed.append(f"{fault}: {reason}")
        self._run.note(events.Missed(str(fault), reason))

    def inflict(self, fault: Fault) -> None:
        """Injects the fault now. If that cannot be done, it is recorded in `missed` and in the launcher's history."""
        run = self._run
        name = self._peer_behind(fault.name)
        there = run.mongod.pid is not None if name == MONGOD else name in run.processes
        if there == (fault.kind == "restart"):
            self._miss(fault, f"{name} was {'there' if there else 'not there'}")
            return
        run.note(events.Fault(str(fault), fault.kind, name, fault.for_s))
        match fault.kind:
            case "restart":
                run.restart(name)
            case "resign":
                run.processes[name].tell("resign")
            case "kill":
                self._signaller(name)(signal.SIGKILL)
            case "pause":
                signaller = self._signaller(name)
                signaller(signal.SIGSTOP)
                self._paused.append((time.monotonic() + fault.for_s, partial(signaller, signal.SIGCONT)))

    def _signaller(self, name: str) -> Callable[[signal.Signals], object]:
        """Sends signals to the process that has this name now, even if another one takes the name later."""
        if name != MONGOD:
            return self._run.processes[name].signal
        pid = self._run.mongod.pid
        return partial(self._run.mongod.signal, pid) if pid is not None else lambda number: None

    def _peer_behind(self, name: str) -> str:
        """The peer that was last given the seat `traderI`; any other name is returned as it is."""
        if name in (WAREHOUSE, MONGOD, *self._run.plan.names):
            return name
        histories = [HistoryFile(self._run.out / peer) for peer in self._run.plan.names]
        elected = by_time(only(history, events.Elected) for history in histories)
        return {f"trader{line.event.seat}": line.process for line in elected}[name]
