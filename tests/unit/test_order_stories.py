"""Which orders are chosen to be told, and what is told of one: only what names it, from all histories, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bazaar.protocol.events import Event
from bazaar.runtime.history import HISTORY_FILE, HistoryFile, Recorded, encode_line
from bazaar.views.stories import MOST_OF_A_REASON, MOST_STEPS, Chooser, stories
from tests.builders import a_line


def event(at: float, what: str, process: str = "buyer7", **facts: Any) -> Recorded[Event]:
    return a_line(at, process, int(at * 10), what, facts)


def files(folder: Path, **histories: list[Recorded[Event]]) -> dict[str, HistoryFile]:
    for name, lines in histories.items():
        (folder / name).mkdir()
        (folder / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, lines)))
    return {name: HistoryFile(folder / name) for name in histories}


def test_those_are_chosen_that_one_would_ask_about() -> None:
    chooser = Chooser()
    for line in (
        event(1.0, "stocked", "warehouse", item="salt", count=2, seller="seller1"),
        *(event(1.0, "ordered", "buyer0", order=f"buyer0-{number}") for number in range(5)),
        event(2.0, "oversold", "warehouse", order="buyer0-0", item="fish", buyer="buyer0"),
        event(2.1, "unavailable", "warehouse", order="buyer0-1", item="salt", buyer="buyer0"),
        event(2.2, "unavailable", "warehouse", order="buyer0-2", item="boar", buyer="buyer0"),
        event(2.3, "inherited", "buyer7", order="buyer0-3"),
        *(event(3.0 + number, "revoked", "buyer0", order=f"buyer0-{number}") for number in range(4)),
    ):
        chooser.look(line)
    assert chooser.chosen() == {
        "buyer0-4": ["without an answer"],
        "buyer0-0": ["over-sold", "slowest"],
        "buyer0-1": ["under-sold", "slowest"],
        "buyer0-3": ["taken over", "slowest"],
        "buyer0-2": ["slowest", "unavailable"],
    }


def test_of_one_reason_there_are_few() -> None:
    chooser = Chooser()
    for number in range(1000):
        chooser.look(event(1.0, "oversold", "warehouse", order=f"buyer0-{number}", item="fish", buyer="buyer0"))
    assert len(chooser.chosen()) == MOST_OF_A_REASON


def test_a_story_is_what_names_the_order_and_nothing_else(tmp_path: Path) -> None:
    histories = files(
        tmp_path,
        buyer0=[event(1.0, "ordered", "buyer0", order="buyer0-1", item="fish", trader="buyer7"),
                event(1.1, "ordered", "buyer0", order="buyer0-11", item="fish", trader="buyer7")],
        buyer7=[event(1.5, "queued", order="buyer0-1", item="fish"),
                event(1.4, "pushed", to="buyer6")],
    )  # fmt: skip
    (story,) = stories(histories, {"buyer0-1": ["over-sold"], "buyer9-9": []}, 1.0, lambda order: [f"why {order}"])
    assert (story.order, story.why, story.told) == ("buyer0-1", ["over-sold"], ["why buyer0-1"])
    assert [(step.t, step.who, step.kind) for step in story.steps] == [
        (0.0, "buyer0", "ordered"),
        (0.5, "buyer7", "queued"),
    ]
    assert story.steps[0].text == "buyer0 orders fish of buyer7"


def test_a_story_without_end_is_cut_in_the_middle(tmp_path: Path) -> None:
    repeated = [event(1.0 + n, "repeated", "buyer0", order="buyer0-1", trader="buyer7") for n in range(500)]
    (story,) = stories(files(tmp_path, buyer0=repeated), {"buyer0-1": []}, 1.0, lambda order: [])
    assert (len(story.steps), story.left_out) == (MOST_STEPS, 500 - MOST_STEPS)
    assert (story.steps[0].t, story.steps[-1].t) == (0.0, 499.0)


def test_the_longer_the_histories_the_fewer_orders_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["buyer0-1", "buyer0-2", "buyer0-3"]
    ordered = [event(1.0, "ordered", "buyer0", order=name, item="fish", trader="buyer7") for name in names]
    histories = files(tmp_path, buyer0=ordered)
    size = sum(map(len, map(encode_line, ordered)))
    for budget, explained in ((3 * size, names), (3 * size - 1, names[:2]), (size - 1, [])):
        monkeypatch.setattr("bazaar.views.stories.MOST_READ_BYTES", budget)
        told = stories(histories, {name: [] for name in names}, 1.0, lambda order: [f"why {order}"])
        assert [story.order for story in told] == names
        assert [story.order for story in told if story.told] == explained
