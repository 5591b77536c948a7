"""Ctrl-C comes between two things (`bazaar/control/interrupts.py`)."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from pathlib import Path
from types import FrameType

import pytest
from rich.console import Console

from bazaar.control import interrupts
from bazaar.control.interrupts import deferred
from bazaar.control.launcher import Bazaar
from bazaar.protocol.settings import with_pace


@pytest.fixture(autouse=True)
def _heeded() -> None:
    for number in interrupts.NUMBERS:  # the tests may run in a script's background, where they are deaf to some
        signal.signal(number, signal.SIG_DFL)
    interrupts.heed()


@pytest.mark.parametrize("number", interrupts.NUMBERS, ids=lambda number: number.name)
def test_it_comes_at_once(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_what_is_whole_is_done_to_its_end_first() -> None:
    done = []

    def interrupted() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["all of it"]
    with deferred():
        done.append("and it is over")
    assert len(done) == 2


def test_what_is_whole_may_be_part_of_something_whole() -> None:
    done = []

    def interrupted() -> None:
        with deferred():
            with deferred():
                signal.raise_signal(signal.SIGINT)
                done.append("a part")
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["a part", "all of it"]


def test_an_exception_goes_first_and_the_interrupt_is_not_forgotten() -> None:
    def interrupted() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        interrupted()
    with pytest.raises(KeyboardInterrupt), deferred():
        pass


def test_who_was_started_deaf_stays_deaf() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts.heed()
    signal.raise_signal(signal.SIGHUP)


def test_a_look_at_the_run_is_whole(tmp_path: Path) -> None:
    shown: list[str] = []

    def watch(bazaar: Bazaar) -> None:
        signal.raise_signal(signal.SIGINT)
        shown.append("a sentence")

    with Bazaar(with_pace("fast"), tmp_path / "run", watch=watch) as bazaar, pytest.raises(KeyboardInterrupt):
        bazaar.wait_until(lambda: False, timeout_s=10.0)
    assert shown == ["a sentence"]


# --------------------------------------------------------------------------- why: a console that is cut off in a line
def _interrupted_at(step: int, cut: contextlib.AbstractContextManager[object]) -> tuple[str, bool]:
    """What a console shows that is interrupted at its `step`th line of code, and then goes on; and whether it came so far."""
    shown = io.StringIO()
    console = Console(file=shown)
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal steps
        steps += event == "line" and "rich" in frame.f_code.co_filename
        if steps == step:
            sys.settrace(None)
            steps += 1
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    with contextlib.suppress(KeyboardInterrupt), cut:
        sys.settrace(trace)  # type: ignore[arg-type]
        console.print("one")
    sys.settrace(before)
    console.print("two")
    return shown.getvalue(), steps > step


def test_a_console_goes_on_after_an_interrupt_wherever_it_comes() -> None:
    silenced = 0
    for step in range(1, 2000):
        text, came_so_far = _interrupted_at(step, deferred())
        assert text == "one\ntwo\n"
        if not came_so_far:
            break
        silenced += not _interrupted_at(step, contextlib.nullcontext())[0].endswith("two\n")
    assert not came_so_far
    assert silenced > 0  # otherwise rich has mended it, and this test shows nothing
