"""What a fault cost, from hand-made histories."""

from __future__ import annotations

from typing import Any

import pytest

from bazaar.analysis.aftermath import faults_of
from bazaar.protocol.events import Event
from bazaar.runtime.history import Recorded
from tests.builders import a_line
from tests.trial import changed


def event(at: float, process: str, what: str, **facts: Any) -> Recorded[Event]:
    return a_line(at, process, 1, what, facts)


def a_fault(at: float, text: str, name: str, for_s: float = 0.0) -> Recorded[Event]:
    return event(at, "launcher", "fault", fault=text, kind=text.partition(":")[0], name=name, for_s=for_s)


def a_death(at: float, peer: str, by: str) -> Recorded[Event]:
    return event(at, by, "trader_died", peer=peer, traders=[by], left="alone")


def fell(at: float, name: str) -> Recorded[Event]:
    return event(at, "launcher", "fell", name=name)


ELECTED = [event(1.0, "buyer7", "elected", seat=0), event(2.0, "seller6", "elected", seat=1)]


def aftermath(*happenings: Recorded[Event]) -> list[tuple[str, float | None, float | None]]:
    """Of each fault: what, and after how many seconds it was noticed and trade went on. buyer7 and seller6 are traders."""
    histories: dict[str, list[Recorded[Event]]] = {}
    for happened in (*ELECTED, *happenings):
        histories.setdefault(happened.process, []).append(happened)
    told = [fault.told(0.0) for fault in faults_of(histories)]
    return [(fault["what"], fault["detected_s"], fault["recovered_s"]) for fault in told]


def test_a_traders_death_is_noticed_by_another_and_got_over_when_a_survivor_sells() -> None:
    assert aftermath(
        a_fault(105.0, "kill:trader0@4", "buyer7"),
        fell(105.1, "buyer7"),  # the launcher knows; the market does not
        event(105.5, "seller6", "traded"),  # goes on selling, but has not noticed yet
        a_death(107.25, "buyer7", by="seller6"),
        event(107.3, "buyer7", "traded"),  # its own last one, late
        event(108.0, "seller6", "traded"),
        event(109.0, "seller6", "traded"),
    ) == [("kill:trader0@4", 2.25, 3.0)]


def test_a_pause_that_nobody_noticed_stays_so_whatever_happens_to_the_same_peer_later() -> None:
    assert aftermath(
        a_fault(102.0, "pause:trader0@1+1", "buyer7", 1.0),
        event(102.5, "seller6", "traded"),
        event(103.25, "buyer7", "traded"),  # goes on itself
        a_fault(110.0, "kill:trader0@9", "buyer7"),
        a_death(112.0, "buyer7", by="seller6"),
        event(112.5, "seller6", "traded"),
    ) == [("pause:trader0@1+1", None, 1.25), ("kill:trader0@9", 2.0, 2.5)]


def test_a_pause_is_not_noticed_by_a_later_end_of_the_same_process_either() -> None:
    for name in ("buyer0", "buyer7"):
        assert aftermath(
            a_fault(102.0, f"pause:{name}@1+1", name, 1.0), fell(110.0, name), a_death(112.0, name, by="seller6")
        ) == [(f"pause:{name}@1+1", None, None)]


def test_a_pause_long_enough_is_noticed_and_got_over_by_a_survivor() -> None:
    assert aftermath(
        a_fault(102.0, "pause:trader1@1+9", "seller6", 9.0),
        a_death(104.0, "seller6", by="buyer7"),
        event(104.5, "buyer7", "traded"),
    ) == [("pause:trader1@1+9", 2.0, 2.5)]


def test_after_the_death_of_the_last_one_there_may_be_no_survivor_to_sell() -> None:
    assert aftermath(a_fault(102.0, "kill:trader0@1", "buyer7"), a_death(104.0, "buyer7", by="buyer0")) == [
        ("kill:trader0@1", 2.0, None)
    ]


def test_faults_are_told_in_their_order_each_with_its_own_death() -> None:
    assert aftermath(
        a_fault(102.0, "kill:trader0@1", "buyer7"),
        a_fault(110.0, "kill:trader1@9", "seller6"),
        a_death(104.0, "buyer7", by="buyer5"),
        a_death(113.0, "seller6", by="buyer5"),
    ) == [("kill:trader0@1", 2.0, None), ("kill:trader1@9", 3.0, None)]


def test_a_resignation_is_noticed_by_whoever_hears_of_it_first() -> None:
    assert aftermath(
        a_fault(102.0, "resign:trader0@1", "buyer7"),
        event(102.25, "buyer0", "heard_death", peer="buyer7", by="buyer7"),
        event(102.5, "seller6", "traded"),
    ) == [("resign:trader0@1", 0.25, 0.5)]


@pytest.mark.parametrize(
    ("name", "aftermath_of_it"),
    [
        ("warehouse", event(104.0, "warehouse", "shipped")),
        ("mongod", event(104.0, "warehouse", "shipped")),
        ("buyer0", event(104.0, "buyer0", "purchased")),
        ("buyer0", event(104.0, "buyer0", "found_unavailable")),
        ("seller1", event(104.0, "seller1", "sold")),
    ],
)
def test_the_end_of_any_other_process_is_noticed_by_the_launcher_and_got_over_when_it_goes_on(
    name: str, aftermath_of_it: Recorded[Event]
) -> None:
    too_early = changed(aftermath_of_it, at=102.0, clock=1)
    told = aftermath(
        a_fault(102.0, f"kill:{name}@1", name),
        too_early,
        fell(102.5, name),
        aftermath_of_it,
    )
    assert told == [(f"kill:{name}@1", 0.5, 2.0)]


@pytest.mark.parametrize(
    ("name", "what"), [("warehouse", "shipped"), ("mongod", "shipped"), ("buyer0", "purchased"), ("seller1", "sold")]
)
def test_a_pause_of_any_other_process_is_got_over_with_what_it_does_next(name: str, what: str) -> None:
    process = "warehouse" if name == "mongod" else name
    assert aftermath(
        a_fault(102.0, f"pause:{name}@1+2", name, 2.0),
        event(103.9, process, what),  # a line that was under way
        event(104.25, process, what),
    ) == [(f"pause:{name}@1+2", None, 2.25)]


def test_a_restart_is_a_fault_of_its_own_and_takes_what_comes_after_it() -> None:
    assert aftermath(
        a_fault(102.0, "kill:buyer0@1", "buyer0"),
        fell(102.1, "buyer0"),
        a_fault(103.0, "restart:buyer0@2", "buyer0"),
        event(103.5, "buyer0", "joined"),
        event(104.0, "buyer0", "purchased"),
    ) == [("kill:buyer0@1", 0.1, None), ("restart:buyer0@2", 0.5, 1.0)]


def test_a_pause_that_somebody_ends_early_lasts_until_then_and_its_end_is_no_fault() -> None:
    assert aftermath(
        a_fault(102.0, "pause:buyer0@1+9", "buyer0", 9.0),
        a_fault(103.0, "resume:buyer0@2", "buyer0"),
        event(103.25, "buyer0", "purchased"),
    ) == [("pause:buyer0@1+9", None, 1.25)]


def test_what_hits_several_at_once_is_noticed_by_the_death_of_any_of_them() -> None:
    cut = event(102.0, "launcher", "fault", fault="cut", kind="cut", names=["seller6", "buyer0"], for_s=5.0)
    told = aftermath(cut, a_death(104.0, "seller6", by="buyer7"), event(105.0, "buyer7", "traded"))
    assert told == [("cut", 2.0, 3.0)]


def test_without_faults_there_are_none() -> None:
    assert aftermath(a_death(104.0, "buyer7", by="buyer0")) == []
