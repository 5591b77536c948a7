from __future__ import annotations

import json
import threading

import pytest

from bazaar.control.live_page import Answer, Wish
from bazaar.views.live import wishes as wishing
from bazaar.views.live.wishes import MOST_AT_A_TIME, Wishes
from tests.waiting import wait_until

KILL = Wish("kill", "buyer0")


def said_by(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    """Waits for so many lines on standard output."""
    lines: list[str] = []

    def there() -> bool:
        lines.extend(capsys.readouterr().out.splitlines())
        return len(lines) == count

    wait_until(there)
    return lines


def test_a_wish_is_a_line_and_its_answer_reaches_the_one_who_asked(capsys: pytest.CaptureFixture[str]) -> None:
    wishes, said = Wishes(), {}
    asking = [
        threading.Thread(target=lambda wish=wish: said.update({wish.name: wishes.ask(wish)}))
        for wish in (KILL, Wish("pause", "buyer1", 2.0))
    ]
    for one in asking:
        one.start()
    for line in said_by(capsys, 2):
        asked = json.loads(line)
        wishes.hear(Answer(asked["number"], f"no {asked['wish']['do']} today"))
    for one in asking:
        one.join(10.0)
    assert said == {"buyer0": "no kill today", "buyer1": "no pause today"}


def test_a_launcher_that_does_not_answer_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishing, "ANSWER_PATIENCE_S", 0.01)
    wishes = Wishes()
    assert wishes.ask(KILL) == "the launcher does not answer"
    wishes.hear(Answer(0, ""))  # too late
    assert wishes.ask(KILL) == "the launcher does not answer"


def test_only_few_can_ask_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    wishes = Wishes()
    asking = [threading.Thread(target=wishes.ask, args=(KILL,)) for _ in range(MOST_AT_A_TIME)]
    for one in asking:
        one.start()
    said_by(capsys, MOST_AT_A_TIME)
    assert wishes.ask(KILL) == "too much is asked for at a time"
    for number in range(MOST_AT_A_TIME):
        wishes.hear(Answer(number, ""))
    for one in asking:
        one.join(10.0)
