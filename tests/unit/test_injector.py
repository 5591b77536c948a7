from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bazaar.control.injector import Injector
from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.faults import Fault
from bazaar.runtime.history import History
from tests.builders import a_plan

PLAN = a_plan(peers=6, traders=2)


class Market:
    """As much of a bazaar as an injector meets; `done` is what was done to its peers."""

    def __init__(self, out: Path) -> None:
        self.out, self.plan, self.mongod = out, PLAN, SimpleNamespace(pid=None)
        self.done: list[tuple[str, str]] = []
        self.processes = {name: SimpleNamespace(signal=self._signaller(name)) for name in PLAN.names}

    def _signaller(self, name: str) -> Any:
        return lambda number: self.done.append((name, signal.Signals(number).name))

    def note(self, what: str, **facts: Any) -> None:
        """Nobody reads it here."""

    def elects(self, at: float, peer: str, seat: int) -> None:
        (self.out / peer).mkdir(exist_ok=True)
        history = History(self.out / peer, peer)
        history.write(at, [Noted(int(at), events.Elected(seat))])
        history.close()


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return Market(tmp_path)


def test_a_fault_of_a_seat_is_done_to_whoever_was_given_it_last(market: Market) -> None:
    first, last = PLAN.names[-1], PLAN.names[0]
    market.elects(1.0, first, 0)
    market.elects(1.5, PLAN.names[-2], 1)
    market.elects(9.0, last, 0)
    injector = Injector(market)  # type: ignore[arg-type]  # all of a bazaar that it needs
    for fault in (Fault("kill", "trader0", 0.0), Fault("kill", "trader1", 0.0), Fault("kill", first, 0.0)):
        injector.inflict(fault)
    assert market.done == [(last, "SIGKILL"), (PLAN.names[-2], "SIGKILL"), (first, "SIGKILL")]
    assert injector.missed == []


def test_what_is_not_there_cannot_be_killed_and_what_is_there_not_restarted(market: Market) -> None:
    gone, there = PLAN.names[:2]
    del market.processes[gone]
    injector = Injector(market)  # type: ignore[arg-type]  # all of a bazaar that it needs
    injector.inflict(Fault("kill", gone, 0.0))
    injector.inflict(Fault("restart", there, 0.0))
    assert injector.missed == [f"kill:{gone}@0: {gone} was not there", f"restart:{there}@0: {there} was there"]
    assert market.done == []
