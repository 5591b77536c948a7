from __future__ import annotations

import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bazaar.control.injector import Injector
from bazaar.control.remote import RemoteProcess
from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.faults import Fault
from bazaar.protocol.goods import WAREHOUSE
from bazaar.runtime.history import History
from bazaar.runtime.leash import Die, Hold
from tests.builders import a_plan

PLAN = a_plan(peers=6, traders=2)


class Market:
    """As much of a bazaar as an injector meets; `done` is what was done to its peers."""

    def __init__(self, out: Path) -> None:
        self.out, self.plan, self.mongod = out, PLAN, SimpleNamespace(pid=None)
        self.done: list[tuple[str, str]] = []
        self.lost: dict[str, str] = {}
        self.noted: list[events.Event] = []
        self.processes: dict[str, Any] = {name: SimpleNamespace(signal=self._signaller(name)) for name in PLAN.names}

    def _signaller(self, name: str) -> Any:
        return lambda number: self.done.append((name, signal.Signals(number).name))

    def note(self, event: events.Event) -> None:
        self.noted.append(event)

    def restart(self, name: str) -> None:
        self.done.append((name, "restart"))

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


def test_who_was_lost_with_its_machine_is_not_restarted(market: Market) -> None:
    gone = PLAN.names[0]
    del market.processes[gone]
    market.lost[gone] = "10.0.0.2"
    injector = Injector(market)  # type: ignore[arg-type]  # all of a bazaar that it needs
    injector.inflict(Fault("restart", gone, 0.0))
    assert injector.missed == [f"restart:{gone}@0: {gone} was lost with its machine, 10.0.0.2"]
    assert market.done == []


# --------------------------------------------------------------------------------------------- machines
HERE, THERE = PLAN.names[:4], PLAN.names[4:]
PLACED = {**dict.fromkeys(HERE, "10.0.0.1"), **dict.fromkeys(THERE, "10.0.0.2")}


def a_far_one(market: Market, name: str) -> RemoteProcess:
    """Notes in `done` what it is told, and what its agent is to do."""
    far = RemoteProcess.__new__(RemoteProcess)
    far.name = name
    far.tell = lambda word: market.done.append((name, word))  # type: ignore[method-assign]
    far.suffer = lambda fault: market.done.append((name, str(fault)))  # type: ignore[method-assign]
    return far


@pytest.fixture
def machines(market: Market) -> Market:
    """A run on two machines and the launcher's."""
    market.plan = msgspec.structs.replace(PLAN, placed=PLACED)
    market.processes = {name: a_far_one(market, name) for name in (*PLAN.names, WAREHOUSE)}
    return market


def word(names: tuple[str, ...]) -> str:
    return " ".join(["cut", "3.0", *names])


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("10.0.0.1>10.0.0.2", [(name, word(THERE)) for name in HERE]),
        ("10.0.0.2>10.0.0.1", [(name, word(HERE)) for name in THERE]),
        ("10.0.0.1|10.0.0.2", [(name, word(THERE)) for name in HERE] + [(name, word(HERE)) for name in THERE]),
        (
            "launcher>10.0.0.2",
            [(WAREHOUSE, word(THERE)), *((name, str(Hold(inwards=True, for_s=3.0))) for name in THERE)],
        ),
        (
            "10.0.0.2>launcher",
            [(name, word((WAREHOUSE,))) for name in THERE]
            + [(name, str(Hold(inwards=False, for_s=3.0))) for name in THERE],
        ),
    ],
)
def test_a_cut_holds_up_those_who_send_over_it(name: str, done: list[tuple[str, str]], machines: Market) -> None:
    Injector(machines).inflict(Fault("cut", name, 1.0, 3.0))  # type: ignore[arg-type]  # all of a bazaar that it needs
    assert machines.done == done
    (noted,) = machines.noted
    assert isinstance(noted, events.Fault)
    assert (noted.fault, noted.fault_kind) == (f"cut:{name}@1+3", "cut")
    assert set(noted.names) == {name for name, _ in done} | {
        word for _, said in done for word in said.split()[2:] if word in PLACED or word == WAREHOUSE
    }


def test_the_death_of_a_machine_is_that_of_its_peers(machines: Market) -> None:
    Injector(machines).inflict(Fault("kill-host", "10.0.0.2", 1.0))  # type: ignore[arg-type]  # all of a bazaar that it needs
    assert machines.done == [(name, str(Die())) for name in THERE]
    assert machines.noted == [events.Fault("kill-host:10.0.0.2@1", "kill", THERE[0], 0.0, THERE)]


def test_a_machine_on_which_nobody_is_left_has_no_faults(machines: Market) -> None:
    for name in THERE:
        del machines.processes[name]
    injector = Injector(machines)  # type: ignore[arg-type]  # all of a bazaar that it needs
    injector.inflict(Fault("slow", "10.0.0.2", 1.0, 3.0))
    assert injector.missed == ["slow:10.0.0.2@1+3: nobody was on 10.0.0.2 any more"]
    assert machines.done == []


# ---------------------------------------------------------------------------------------------- by hand
PEER = PLAN.names[2]


@pytest.fixture
def injector(market: Market) -> Injector:
    injector = Injector(market)  # type: ignore[arg-type]  # all of a bazaar that it needs
    injector.begin()
    return injector


@pytest.mark.parametrize(("kind", "done"), [("kill", "SIGKILL"), ("pause", "SIGSTOP")])
def test_a_fault_by_hand_is_injected_at_once_and_noted_like_any_other(
    kind: str, done: str, injector: Injector, market: Market
) -> None:
    assert injector.by_hand(kind, PEER, 60.0 if kind == "pause" else 0.0) == ""
    assert market.done == [(PEER, done)]
    (noted,) = market.noted
    assert isinstance(noted, events.Fault)
    assert re.fullmatch(rf"{kind}:{PEER}@0(\.0\d)?(\+60)?", noted.fault)
    assert (noted.fault_kind, noted.name) == (kind, PEER)


def test_a_pause_can_be_ended_early_and_only_once(injector: Injector, market: Market) -> None:
    assert injector.by_hand("resume", PEER) == f"{PEER} is not paused"
    injector.by_hand("pause", PEER, 60.0)
    assert injector.by_hand("resume", PEER) == ""
    assert injector.by_hand("resume", PEER) == f"{PEER} is not paused"
    injector.act()
    assert market.done == [(PEER, "SIGSTOP"), (PEER, "SIGCONT")]
    assert [getattr(noted, "fault_kind") for noted in market.noted] == ["pause", "resume"]  # noqa: B009 # of any event


def test_what_was_killed_while_it_was_paused_is_restarted_not_resumed(injector: Injector, market: Market) -> None:
    injector.by_hand("pause", PEER, 60.0)
    del market.processes[PEER]
    assert injector.by_hand("resume", PEER) == f"{PEER} was not there"
    assert injector.by_hand("restart", PEER) == ""
    assert market.done[-1] == (PEER, "restart")


REFUSED = [
    ("kill", "nobody", 0.0, "there is no nobody"),
    ("kill", "trader7", 0.0, "there will be 2 traders"),
    ("kill", "trader0", 0.0, "nobody was elected trader0 yet"),
    ("pause", PEER, 0.0, "a pause, and only a pause, has a length"),
    ("pause", PEER, -1.0, "give kill:NAME@AT"),
    ("kill", PEER, 3.0, "a pause, and only a pause, has a length"),
    ("restart", PEER, 0.0, f"{PEER} was there"),
    ("kill", "mongod", 0.0, "mongod was not there"),
    ("resign", "warehouse", 0.0, "warehouse cannot resign"),
    ("poem", PEER, 0.0, "give kill:NAME@AT"),
    ("kill", PEER + "@1+1\n", 0.0, "give kill:NAME@AT"),
]


@pytest.mark.parametrize(("kind", "name", "for_s", "reason"), REFUSED)
def test_what_cannot_be_done_by_hand_is_refused_and_counts_for_nothing(
    kind: str, name: str, for_s: float, reason: str, injector: Injector, market: Market
) -> None:
    assert reason in injector.by_hand(kind, name, for_s)
    assert (market.done, market.noted, injector.missed) == ([], [], [])


def test_nothing_is_done_by_hand_before_the_market_opens_or_after_it_has_closed(market: Market) -> None:
    injector = Injector(market)  # type: ignore[arg-type]  # all of a bazaar that it needs
    before = injector.by_hand("kill", PEER)
    injector.begin()
    injector.end()
    after = injector.by_hand("kill", PEER)
    assert before == after == "faults can be injected only while the bazaar trades"
    assert market.done == []
