"""Faults that viewers ask for, on their way to the launcher and back: a line each on standard output and standard input."""

from __future__ import annotations

import itertools
import sys
import threading

import msgspec

from bazaar.control.live_page import Answer, Asked, Wish

ANSWER_PATIENCE_S = 3.0
MOST_AT_A_TIME = 4


class Wishes:
    """Several threads may `ask` at a time; one calls `hear` for each answer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._answers: dict[int, Answer | None] = {}  # of the wishes under way

    def ask(self, wish: Wish) -> str:
        """Has the fault injected by the launcher. Returns why it was refused; empty if it was injected."""
        with self._changed:
            if len(self._answers) >= MOST_AT_A_TIME:
                return "too much is asked for at a time"
            number = next(self._numbers)
            self._answers[number] = None
            sys.stdout.write(msgspec.json.encode(Asked(number, wish)).decode() + "\n")
            sys.stdout.flush()
            self._changed.wait_for(lambda: self._answers[number] is not None, ANSWER_PATIENCE_S)
            answer = self._answers.pop(number)
            return "the launcher does not answer" if answer is None else answer.refused

    def hear(self, answer: Answer) -> None:
        """Takes an answer of the launcher; the one who asked may have given up."""
        with self._changed:
            if answer.number in self._answers:
                self._answers[answer.number] = answer
                self._changed.notify_all()
