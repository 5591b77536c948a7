"""Injects the faults of a run into its processes, each at its time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from bazaar.control.machine_faults import inflict_on_machines
from bazaar.control.mongod import Mongod
from bazaar.protocol import events
from bazaar.protocol.faults import MONGOD, Fault, check_machines, parse_fault
from bazaar.protocol.goods import CACHE, EMBASSY, WAREHOUSE
from bazaar.protocol.plan import Plan
from bazaar.protocol.settings import UsageError
from bazaar.runtime.history import HistoryFile, by_time, only
from bazaar.runtime.process import Process


class Victim(Protocol):
    """What the faults are injected into: a run, or a stand-in for one."""

    plan: Plan
    out: Path
    processes: dict[str, Process]
    """The running ones, by name."""
    mongod: Mongod
    lost: dict[str, str]
    """Processes that were lost with their machine, and which machine that was."""

    def restart(self, name: str) -> None:
        """Starts a killed peer again."""

    def note(self, event: events.Event) -> None:
        """Writes an event into the launcher's history."""


class _Pause(NamedTuple):
    """A pause under way. `until`: the monotonic time of its end."""

    until: float
    name: str
    go_on: Callable[[], object]


class Injector:
    """Call `schedule`, then `begin` when trading begins; `act` whenever there is time; `end` at the end of the run."""

    def __init__(self, run: Victim) -> None:
        self._run = run
        self._scheduled: list[Fault] = []  # their times count from `begin` on
        self._due: list[tuple[float, Fault]] = []  # each with its monotonic time
        self._pauses: list[_Pause] = []
        self._began: float | None = None  # the monotonic time when trading began; None when no trade goes on
        self.missed: list[str] = []
        """Faults that could not be carried out, each with the reason."""

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Adds faults that are to be injected while the bazaar trades."""
        self._scheduled += faults

    def check(self, placed: Mapping[str, str]) -> None:
        """Refuses what cannot be done to these machines. Raises `UsageError`."""
        check_machines(self._scheduled, list(dict.fromkeys(placed.values())))

    def begin(self) -> None:
        """Trading has begun: the times of the faults are counted from now on."""
        self._began = now = time.monotonic()
        self._due = sorted(((now + fault.at_s, fault) for fault in self._scheduled), key=lambda due: due[0])
        self._scheduled.clear()

    def act(self) -> None:
        """Injects the faults that are due, and continues the processes whose pause is over."""
        now = time.monotonic()
        self._end_pauses(lambda pause: pause.until <= now)
        while self._due and self._due[0][0] <= now:
            self.inflict(self._due.pop(0)[1])

    @property
    def waiting(self) -> bool:
        """Whether there is a fault that has yet to be injected."""
        return bool(self._due or self._scheduled)

    def end(self) -> None:
        """Drops the faults that have not been injected, and records them as missed."""
        self._began = None
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
        if fault.machines:
            if obstacle := inflict_on_machines(run, fault):
                self._miss(fault, obstacle)
            return
        name = self._peer_behind(fault.name)
        if obstacle := self._obstacle(fault, name):
            self._miss(fault, obstacle)
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
                go_on = partial(signaller, signal.SIGCONT)
                self._pauses.append(_Pause(time.monotonic() + fault.for_s, name, go_on))

    def _obstacle(self, fault: Fault, name: str) -> str:
        """Why the fault cannot be injected into the process of this name; empty if it can."""
        if fault.kind == "restart" and name in self._run.lost:
            return f"{name} was lost with its machine, {self._run.lost[name]}"
        there = self._run.mongod.pid is not None if name == MONGOD else name in self._run.processes
        return f"{name} was {'there' if there else 'not there'}" if there == (fault.kind == "restart") else ""

    def by_hand(self, kind: str, name: str, for_s: float = 0.0) -> str:
        """Injects a fault that somebody asks for while the bazaar trades. Returns why it was refused; empty if it was done.

        It is noted like any other fault. A refused one is not `missed`, because the settings did not ask for it. There is one
        more kind here: `resume` ends the pauses of a process early.
        """
        if self._began is None:
            return "faults can be injected only while the bazaar trades"
        at_s = time.monotonic() - self._began
        if kind == "resume":
            return self._resume(name, at_s)
        try:
            fault = parse_fault(f"{kind}:{name}@{at_s:.2f}" + (f"+{for_s:.2f}" if for_s else ""), self._run.plan)
            obstacle = self._obstacle(fault, self._peer_behind(fault.name))
        except UsageError as error:
            return str(error).removeprefix("--fault ")
        except LookupError:
            return f"nobody was elected {name} yet"
        if not obstacle:
            self.inflict(fault)
        return obstacle

    def _resume(self, name: str, at_s: float) -> str:
        if all(pause.name != name for pause in self._pauses):
            return f"{name} is not paused"
        if obstacle := self._obstacle(Fault("pause", name, at_s), name):
            return obstacle
        self._run.note(events.Fault(f"resume:{name}@{at_s:.2f}", "resume", name, 0.0))
        self._end_pauses(lambda pause: pause.name == name)
        return ""

    def _end_pauses(self, which: Callable[[_Pause], bool]) -> None:
        for pause in filter(which, list(self._pauses)):
            self._pauses.remove(pause)
            pause.go_on()

    def _signaller(self, name: str) -> Callable[[signal.Signals], object]:
        """Sends signals to the process that has this name now, even if another one takes the name later."""
        if name != MONGOD:
            return self._run.processes[name].signal
        pid = self._run.mongod.pid
        return partial(self._run.mongod.signal, pid) if pid is not None else lambda number: None

    def _peer_behind(self, name: str) -> str:
        """The peer that was last given the seat `traderI`; any other name is returned as it is."""
        if name == EMBASSY and self._run.plan.embassy is not None:
            return self._run.plan.embassy
        if name in (WAREHOUSE, MONGOD, CACHE, *self._run.plan.names):
            return name
        histories = [HistoryFile(self._run.out / peer) for peer in self._run.plan.names]
        elected = by_time(only(history, events.Elected) for history in histories)
        return {f"trader{line.event.seat}": line.process for line in elected}[name]
