"""The questions (`Ask`) that a trader has under way to the warehouse; one that is not answered in time is repeated."""

from __future__ import annotations

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.admission import fits
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.messages import Answer, Ask
from bazaar.protocol.requests import Request


class Questions:
    """The questions under way, in the order in which they were asked."""

    def __init__(self, number: int, repeat_after_s: float) -> None:
        """`number`: where to begin numbering, beyond the questions of a former life."""
        self._number = number
        self._repeat_after_s = repeat_after_s
        self._asked: dict[int, tuple[Ask, float]] = {}  # with the time of its asking
        self.repeat_at = NEVER

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, turn: Turn, requests: tuple[Request, ...]) -> None:
        """Puts these requests to the warehouse, as one question."""
        turn.note(events.Asked(requests=len(requests)))
        self._number += 1
        ask = Ask(self._number, requests)
        self._asked[ask.number] = ask, turn.now
        self.repeat_at = turn.now + self._repeat_after_s
        turn.send(WAREHOUSE, ask)

    def repeat(self, turn: Turn) -> None:
        """Repeats all questions under way."""
        for ask, _ in self._asked.values():
            turn.send(WAREHOUSE, ask)
        self.repeat_at = turn.now + self._repeat_after_s if self._asked else NEVER

    def under_way(self, request: Request) -> bool:
        """Whether this request is in a question under way."""
        return any(request in ask.requests for ask, _ in self._asked.values())

    def answered(self, turn: Turn, answer: Answer) -> tuple[tuple[Request, ...], float] | None:
        """The answered requests, and when they were asked. None if no such question is under way or its replies do not fit."""
        if answer.number not in self._asked:
            return None  # a second answer, as the question was repeated
        ask, asked_at = self._asked[answer.number]
        if not fits(ask.requests, answer.replies):
            turn.note(events.Unexpected("Answer"))
            return None
        del self._asked[answer.number]
        if not self._asked:
            self.repeat_at = NEVER
        return ask.requests, asked_at
