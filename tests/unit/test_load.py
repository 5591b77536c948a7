"""Whether a trader more or fewer is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.control.planning import draw_plan
from bazaar.core.load import Load
from bazaar.protocol.settings import UsageError, with_pace
from bazaar.protocol.workload import workload

BY_LOAD = {"traders": 1, "traders_max": 3, "scale_up_after_ms": 100.0, "scale_down_after_s": 10.0}


def changes(*waits_ms: int, start: float = 100.0) -> list[int]:
    """What is decided at each second, when orders wait so long at the one of two traders that is slower."""
    load = Load(100.0, 3.0)
    load.changed(start)
    load.report("buyer1", 0)
    decided = []
    for second, wait_ms in enumerate(waits_ms):
        load.report("buyer2", wait_ms)
        decided.append(load.change(start + second, ("buyer1", "buyer2")))
    return decided


def test_a_trader_more_if_orders_wait_too_long_twice_and_the_pause_is_over() -> None:
    assert changes(100, 100, 100, 100) == [0, 0, 0, 1]
    assert changes(30, 30, 30, 30, 100, 100) == [0, 0, 0, 0, 0, 1]


def test_one_long_wait_is_no_load() -> None:
    assert changes(30, 30, 30, 100, 30, 100) == [0] * 6


def test_a_trader_fewer_if_orders_wait_little_for_long_and_between_the_two_nothing_changes() -> None:
    assert changes(25, 25, 25, 25) == [0, 0, 0, -1]
    assert changes(25, 25, 26, 25, 25, 25, 25) == [0, 0, 0, 0, 0, 0, -1]
    assert changes(*[99, 26] * 5) == [0] * 10


def test_a_step_and_a_wave_say_by_how_much_buyers_think_less() -> None:
    step, wave = workload("step:5@10+20"), workload("wave:4/60")
    assert [step(second) for second in (9.9, 10, 29.9, 30)] == [1, 5, 5, 1]
    assert [wave(second) for second in (0, 15, 30, 60)] == pytest.approx([1, 2, 4, 1])


@pytest.mark.parametrize(
    "word", ["", "step:5", "step:0@1+1", "step:5@1+0", "wave:5/0", "wave:x/9", "ramp:1/2", "step:5@1+2x", "trace:"]
)
def test_a_workload_that_nobody_can_read_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--load must be step:FACTOR@START"):
        with_pace("fast", load=word)


def test_a_trace_is_read_from_its_file_once(tmp_path: Path) -> None:
    file = tmp_path / "day.txt"
    file.write_text("# a day\n1 1.5\n\n10\t5 # noon\n20 0.5")
    load = draw_plan(with_pace("fast", load=f"trace:{file}")).settings.load
    assert load == "trace:1=1.5,10=5,20=0.5"
    factor = workload(load)
    assert [factor(second) for second in (0, 1, 9.9, 10, 19.9, 20, 999)] == [1, 1.5, 1.5, 5, 5, 0.5, 0.5]
    assert draw_plan(with_pace("fast", load=load)).settings.load == load


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"", "has no line; give a second"),
        (b"# nothing\n", "has no line; give a second"),
        (b"0 1\n5", "line 2 of"),
        (b"0 1 2\n", "line 1 of"),
        (b"0 1\n5 0\n", "line 2 of"),
        (b"0 -1\n", "line 1 of"),
        (b"0 1,5=2 \n", "line 1 of"),
        (b"5 2\n5 3\n", "line 2 of"),
        (b"soon 3\n", "line 1 of"),
    ],
)
def test_a_trace_that_nobody_can_read_is_refused(tmp_path: Path, said: bytes, complaint: str) -> None:
    file = tmp_path / "day.txt"
    file.write_bytes(said)
    with pytest.raises(UsageError, match=complaint) as refused:
        draw_plan(with_pace("fast", load=f"trace:{file}"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"traders_max": 7}, "--traders-max can be 1"),
        ({"traders": 3, "traders_max": 2}, "--traders-max can be 3"),
        ({"scale_up_after_ms": None}, "give the others"),
        ({"traders_max": None}, "give the others"),
        ({"scale_down_after_s": 0.9}, "two heartbeats"),
    ],
)
def test_thresholds_that_cannot_work_are_refused(values: dict[str, float | None], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        with_pace("fast", **{**BY_LOAD, **values})
