"""Somebody at the door, and the loop that does what he asks for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bazaar.core.clock import LamportClock
from bazaar.core.turn import Turn
from bazaar.protocol.events import Asked
from bazaar.runtime.visits import Visits
from tests.waiting import wait_until


class Loop:
    """Goes round when the test says so."""

    def __init__(self) -> None:
        self.to_do: deque[Callable[[Turn], None]] = deque()
        self.visits = Visits("buyer0", self.to_do.append)

    def turn(self) -> Turn:
        turn = Turn(0.0, LamportClock())
        while self.to_do:
            self.to_do.popleft()(turn)
        return turn


def ask(turn: Turn) -> int:
    turn.note(Asked(1))
    return 7


def test_a_visitor_is_told_when_the_turn_is_performed_and_not_before() -> None:
    loop = Loop()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(loop.visits.visit, ask)
        assert wait_until(lambda: bool(loop.to_do))
        assert [noted.event for noted in loop.turn().events] == [Asked(1)]
        assert not answer.done()
        loop.visits.tell()
        assert answer.result(10) == 7


def test_a_visitor_waits_until_the_answer_is_there() -> None:
    loop = Loop()
    outcome: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(loop.visits.visit, lambda turn: outcome, bool)
        assert wait_until(lambda: bool(loop.to_do))
        loop.turn()
        loop.visits.tell()
        assert not answer.done()
        outcome.append("purchased")
        loop.visits.tell()
        assert answer.result(10) == ["purchased"]


def test_who_has_waited_too_long_goes_and_is_forgotten() -> None:
    loop = Loop()
    looked: list[int] = []

    def never(result: int) -> bool:
        looked.append(result)
        return False

    with pytest.raises(TimeoutError, match=r"buyer0 has no answer within 0.01 s"):
        loop.visits.visit(ask, never, 0.01)
    loop.turn()
    for _ in range(3):
        loop.visits.tell()
    assert looked == [7]


@pytest.mark.parametrize("refusal", [ValueError("no"), RuntimeError("not now")])
def test_a_refusal_is_the_visitors(refusal: Exception) -> None:
    def refuse(turn: Turn) -> None:
        raise refusal

    loop = Loop()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(loop.visits.visit, refuse)
        assert wait_until(lambda: bool(loop.to_do))
        loop.turn()
        assert answer.exception(10) is refusal


def test_a_mistake_of_ours_ends_the_process() -> None:
    def fail(turn: Turn) -> None:
        raise KeyError("ours")

    loop = Loop()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(loop.visits.visit, fail, s=0.1)
        assert wait_until(lambda: bool(loop.to_do))
        with pytest.raises(KeyError):
            loop.turn()
