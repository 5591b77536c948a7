"""Visits: the calls at a process's door, which the process's own loop carries out between two turns of the market."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Any, NamedTuple, TypeVar

from bazaar.core.turn import Turn

ANSWER_S = 10.0  # an answer takes milliseconds, unless the process is stopped

T = TypeVar("T")


class _Visit(NamedTuple):
    answer: Future[Any]
    result: Any
    is_there: Callable[[Any], bool]


class Visits:
    """The calls that wait at the door of one process."""

    def __init__(self, name: str, do: Callable[[Callable[[Turn], None]], None]) -> None:
        """`do` schedules an action for the next turn; it may be called in any thread."""
        self._name = name
        self._do = do
        self._waiting: list[_Visit] = []

    def visit(
        self, act: Callable[[Turn], T], is_there: Callable[[T], bool] = lambda result: True, s: float = ANSWER_S
    ) -> T:
        """Has `act` done in the next turn. Returns its result when that turn was performed and `is_there` holds of the result.

        Called by the door's threads. Raises the `ValueError` or `RuntimeError` of `act`, and `TimeoutError` after `s` seconds.
        """
        answer: Future[T] = Future()
        self._do(partial(self._receive, answer, act, is_there))
        try:
            return answer.result(s)
        except NotYet:
            answer.cancel()
            raise TimeoutError(f"{self._name} has no answer within {s:g} s") from None

    def _receive(self, answer: Future[T], act: Callable[[Turn], T], is_there: Callable[[T], bool], turn: Turn) -> None:
        try:
            result = act(turn)
        except (ValueError, RuntimeError) as refusal:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(refusal)
        else:
            self._waiting.append(_Visit(answer, result, is_there))

    def tell(self) -> None:
        """Answers the visits whose answer is there: their turn was performed, and all that it says is durable."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for visit in waiting:
            if not visit.is_there(visit.result):
                if not visit.answer.cancelled():
                    self._waiting.append(visit)
            elif visit.answer.set_running_or_notify_cancel():
                visit.answer.set_result(visit.result)
