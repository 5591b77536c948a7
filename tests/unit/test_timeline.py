"""What the picture of a run over time shows, from hand-made histories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bazaar.analysis.aftermath import faults_of
from bazaar.protocol.events import Event
from bazaar.protocol.plan import save
from bazaar.runtime.history import HISTORY_FILE, Recorded, encode_line
from bazaar.views import timeline
from bazaar.views.timeline import (
    ELECTION,
    FAULT,
    PAUSE,
    POINT,
    Bins,
    bins_for,
    draw,
    elections,
    fault_shades,
    orders_of,
    rates,
    unanswered,
    waits,
)
from tests.builders import a_line, a_plan
from tests.unit.test_topology import size_of


def event(at: float, what: str, process: str = "buyer7", **facts: Any) -> Recorded[Event]:
    return a_line(at, process, 1, what, facts)


def fault(at: float, fault: str, name: str, for_s: float = 0.0) -> Recorded[Event]:
    return event(at, "fault", "launcher", fault=fault, kind=fault.partition(":")[0], name=name, for_s=for_s)


def test_goods_are_counted_by_bin_and_told_a_second() -> None:
    assert rates([10.1, 10.4, 11.2], Bins(10.0, 0.5, 4)) == [4.0, 0.0, 2.0, 0.0]
    assert rates([], Bins(10.0, 0.5, 2)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("seconds", "goods", "bins"),
    [
        (24.0, 10**6, Bins(100.0, 0.1, 240)),  # as many as can be seen
        (6.0, 10**6, Bins(100.0, 0.05, 120)),  # none shorter than a twentieth of a second
        (10.0, 80, Bins(100.0, 0.5, 20)),  # four goods each
        (10.0, 1, Bins(100.0, 1.0, 10)),  # but ten of them
        (0.0, 0, Bins(100.0, 0.05, 1)),
    ],
)
def test_bins_are_as_many_as_there_is_something_to_show(seconds: float, goods: int, bins: Bins) -> None:
    assert bins_for(100.0, 100.0 + seconds, goods) == bins


def test_an_order_is_counted_where_it_is_first_answered_and_waits_until_then() -> None:
    first = [
        event(10.0, "ordered", order="buyer0-0"),
        event(10.0, "ordered", order="buyer0-1"),
        event(10.75, "purchased", order="buyer0-0"),
        event(11.5, "found_unavailable", order="buyer0-1"),
        event(12.5, "revoked", order="buyer0-0"),
        event(12.6, "ordered", order="buyer0-2"),
    ]
    second = [event(10.25, "ordered", order="buyer2-0"), event(10.5, "purchased", order="buyer2-0")]
    orders, bins = orders_of([first, second]), Bins(10.0, 1.0, 4)
    assert [list(times) for times in waits(orders, bins)] == [[0.25, 0.75], [1.5], [], []]
    assert unanswered(orders, bins) == [(0, 3), (0, 1), (0, 1), (1, 1)]


def test_an_election_is_shaded_until_somebody_is_elected() -> None:
    happenings = [event(1.0, "election_started"), event(2.0, "elected"), event(3.0, "election_started")]
    assert [shade[:3] for shade in elections(happenings)] == [(1.0, 2.0, ELECTION), (3.0, 3.0, ELECTION)]


def test_a_pause_is_shaded_as_long_as_it_lasts_and_a_kill_until_it_is_noticed() -> None:
    launcher = [
        fault(5.0, "kill:trader0@3", "buyer7"),
        event(5.1, "fell", "launcher", name="buyer7"),
        fault(8.0, "pause:seller1@6+2", "seller1", 2.0),
        fault(11.0, "pause:trader1@9+4", "buyer6", 4.0),
        fault(20.0, "resign:buyer0@18", "buyer0"),
    ]
    histories = {
        "launcher": launcher,
        "buyer7": [event(1.0, "elected", seat=0)],
        "buyer6": [event(2.0, "elected", "buyer6", seat=1), event(5.5, "trader_died", "buyer6", peer="buyer7")],
        "buyer5": [event(2.5, "elected", "buyer5", seat=2), event(13.0, "trader_died", "buyer5", peer="buyer6")],
    }
    assert fault_shades(faults_of(histories)) == [
        (5.0, 5.5, FAULT, "kill:trader0@3"),
        (8.0, 10.0, PAUSE, "pause:seller1@6+2"),  # nobody noticed
        (11.0, 15.0, PAUSE, "pause:trader1@9+4, noticed after 2.0 s"),
        (20.0, 20.0, POINT, "resign:buyer0@18"),
    ]


def test_a_pause_ends_with_a_kill() -> None:
    launcher = [fault(5.0, "pause:seller1@3+9", "seller1", 9.0), fault(6.0, "kill:seller1@4", "seller1")]
    assert fault_shades(faults_of({"launcher": launcher}))[0][:3] == (5.0, 6.0, PAUSE)


def test_a_change_of_the_number_of_traders_is_a_line_in_all_panels_with_the_number_above_the_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(peers=4, traders=1)
    drawn: list[Any] = []
    save(plan, tmp_path / "bazaar.json")
    trader = plan.names[-1]
    happened = {
        "launcher": [event(99.0, "started", "launcher", name=trader)],
        trader: [event(100.0, "elected", trader, seat=0), event(101.0, "opened", trader, traders=(trader,))],
        "warehouse": [
            event(103.0, "resized", "warehouse", seats=2, by=trader, wait_ms=40),
            event(105.5, "resized", "warehouse", seats=1, by=trader, wait_ms=2),
        ],
    }
    for name in ("launcher", "warehouse", *plan.names):
        (tmp_path / name).mkdir()
        (tmp_path / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, happened.get(name, []))))
    monkeypatch.setattr("bazaar.views.timeline.pyplot.close", drawn.append)
    draw(tmp_path)
    (figure,) = drawn
    dotted = timeline.NUMBER["color"]
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.lines if line.get_color() == dotted] == [2.0, 4.5]
    assert [text.get_text() for text in figure.axes[-1].texts if text.get_fontweight() == "bold"] == ["2", "1"]
    assert "so many traders from here on, by load" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("orders", [0, 1, 3000])
def test_it_is_drawn_of_much_and_of_little(orders: int, tmp_path: Path) -> None:
    plan = a_plan(peers=4, traders=1)
    save(plan, tmp_path / "bazaar.json")
    buyer = next(name for name in plan.names if name.startswith("buyer"))
    histories: dict[str, list[Recorded[Event]]] = {name: [] for name in ("launcher", "warehouse", *plan.names)}
    histories["launcher"] = [event(99.0, "started", "launcher", name=buyer), fault(101.0, "pause:x@1+1", buyer, 1.0)]
    for number in range(orders):
        at = 100.0 + number / 300
        histories[buyer] += [event(at, "ordered", buyer, order=f"{buyer}-{number}")]
        histories["warehouse"] += [event(at + 0.001, "shipped", "warehouse", order=f"{buyer}-{number}")]
        histories[buyer] += [event(at + 0.002, "purchased", buyer, order=f"{buyer}-{number}")]
    for name, history in histories.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, history)))
    draw(tmp_path)
    assert size_of(tmp_path / "timeline.png") > (0, 0)
