from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bazaar.runtime.history
from bazaar.core.turn import Noted
from bazaar.protocol import events
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife, Unanswered
from bazaar.protocol.messages import Deposit
from bazaar.runtime.history import (
    HISTORY_FILE,
    History,
    HistoryFile,
    by_time,
    decode_line,
    encode_line,
    mentioning,
    only,
    recall,
    recorded,
)
from tests.builders import a_line

STARTED = Noted(4, events.Ordered("buyer0-0", "salt", "buyer7"))
HEARD = Noted(9, events.Purchased("buyer0-0", "salt", "seller1", 800, True), "buyer7", 8)


def left_behind(folder: Path, *noted: Noted) -> Path:
    """The history of a process that is gone."""
    history = History(folder, "buyer0")
    history.write(12.5, noted)
    history.close()
    return folder / HISTORY_FILE


def test_what_happened_is_read_as_it_was_written(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    assert list(HistoryFile(tmp_path)) == [
        recorded(12.5, "buyer0", STARTED),
        recorded(12.5, "buyer0", HEARD),
    ]


def test_a_line_is_as_scripts_know_it() -> None:
    """Names of keys and kinds; what is not there, and what an event has not, is left out."""
    lines = [
        (STARTED, {"what": "ordered", "clock": 4, "facts": {"order": "buyer0-0", "item": "salt", "trader": "buyer7"}}),
        (
            HEARD,
            {
                "what": "purchased",
                "clock": 9,
                "facts": {"order": "buyer0-0", "item": "salt", "seller": "seller1", "price": 800, "final": True},
                "source": "buyer7",
                "sent": 8,
            },
        ),
        (Noted(5, events.SellerLoop()), {"what": "seller_loop", "clock": 5}),
        (
            Noted(6, events.Ordered("buyer0-1", "fish", "buyer7", by_hand=True)),
            {
                "what": "ordered",
                "clock": 6,
                "facts": {"order": "buyer0-1", "item": "fish", "trader": "buyer7", "by_hand": True},
            },
        ),
    ]
    for noted, line in lines:
        assert json.loads(encode_line(recorded(12.5, "buyer0", noted))) == {"at": 12.5, "process": "buyer0", **line}


def test_any_event_of_the_catalogue_is_read_as_it_was_written() -> None:
    for kind in events.KINDS:
        for source, sent in ((None, None), ("buyer7", 3)):
            facts = {"left": "none"} if kind == "trader_died" else {}
            line = a_line(12.5, "buyer0", 4, kind, facts, source, sent)
            assert decode_line(encode_line(line)) == line


def test_only_what_a_message_brought_about_has_a_source() -> None:
    assert (recorded(0.0, "buyer0", STARTED).source, recorded(0.0, "buyer0", STARTED).sent) == (None, None)
    assert (recorded(0.0, "buyer0", HEARD).source, recorded(0.0, "buyer0", HEARD).sent) == ("buyer7", 8)


def test_it_is_with_the_operating_system_when_write_returns(tmp_path: Path) -> None:
    history = History(tmp_path, "buyer0")
    history.write(12.5, [STARTED])
    assert len(list(HistoryFile(tmp_path))) == 1
    history.close()


def test_a_second_life_goes_on_and_knows_how_far_the_first_came(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    history = History(tmp_path, "buyer0")
    assert history.former_life.clock == 9
    history.close()
    left_behind(tmp_path, STARTED)
    assert [happened.clock for happened in HistoryFile(tmp_path)] == [4, 9, 4]


@pytest.mark.parametrize(("known", "lives"), [(0, 1), (1, 1), (3, 3)])
def test_whoever_started_it_may_know_of_more_lives_than_its_history(known: int, lives: int, tmp_path: Path) -> None:
    left_behind(tmp_path, Noted(1, events.Born(1)))
    history = History(tmp_path, "warehouse", known)
    history.close()
    assert (history.former_life.lives, history.former_life.clock) == (lives, 1)


def test_a_first_life_begins_at_zero(tmp_path: Path) -> None:
    history = History(tmp_path, "buyer0")
    history.close()
    assert history.former_life == FIRST_LIFE
    assert list(HistoryFile(tmp_path)) == []


class Growing(io.RawIOBase):
    """A file that is being written: it ends, and when one looks again there is more."""

    def __init__(self, *writes: bytes) -> None:
        self._reads = [read for write in writes for read in (write, b"")]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._reads.pop(0) if self._reads else b""
        buffer[: len(data)] = data
        return len(data)


def test_it_can_be_read_while_a_line_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, half = (encode_line(recorded(12.5, "buyer0", noted)) for noted in (STARTED, HEARD))
    left_behind(tmp_path)
    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(Growing(whole + half[:20], half[20:])))
    assert [line.event for line in HistoryFile(tmp_path)] == [STARTED.event, HEARD.event]
    assert [line.event for line in HistoryFile(tmp_path).only(events.Purchased)] == [HEARD.event]


@pytest.mark.parametrize("size", [1, 7, 100, 1_000])
def test_it_is_the_same_in_whatever_pieces_it_is_read(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, *[STARTED, HEARD] * 9)
    monkeypatch.setattr(bazaar.runtime.history, "BLOCK_BYTES", size)
    assert [happened.clock for happened in HistoryFile(tmp_path)] == [4, 9] * 9
    assert [happened.clock for happened in HistoryFile(tmp_path).only(events.Purchased)] == [9] * 9
    assert [happened.clock for happened in HistoryFile(tmp_path).sound()] == [4, 9] * 9


def test_a_process_without_a_folder_has_no_history(tmp_path: Path) -> None:
    assert list(HistoryFile(tmp_path / "nobody")) == []


@pytest.mark.parametrize("cut", [1, 5])
def test_a_last_line_that_a_kill_cut_short_is_left_out_and_then_cut_off(cut: int, tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED, HEARD)
    path.write_bytes(path.read_bytes()[:-cut])
    assert [happened.clock for happened in HistoryFile(tmp_path)] == [4]
    left_behind(tmp_path, HEARD)
    assert [happened.clock for happened in HistoryFile(tmp_path)] == [4, 9]


DAMAGE = [
    b"\n",
    b"{}\n",
    b'{"at":"now"}\n',
    b"\0\0\0\n",
    b'{"at":1,"process":"buyer0","clock":1,"what":"orderd","facts":{"order":"x","item":"salt","trader":"buyer7"}}\n',
    b'{"at":1,"process":"buyer0","clock":1,"what":"ordered","facts":{"ordr":"x","item":"salt","trader":"buyer7"}}\n',
    b'{"at":1,"process":"buyer0","clock":1,"what":"ordered","facts":{"order":"x","item":"gold","trader":"buyer7"}}\n',
    b'{"at":1,"process":"buyer0","clock":1,"what":"pulled","facts":{"item":"salt"}}\n',
    b'{"at":1,"process":"buyer0","clock":1,"what":"pulled","more":1}\n',
]
"""Rubbish, and lines that the catalogue does not know."""


@pytest.mark.parametrize("line", DAMAGE)
def test_damage_in_the_middle_is_not_passed_over(line: bytes, tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED)
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(msgspec.DecodeError):
        list(HistoryFile(tmp_path))
    assert [number for number, _ in HistoryFile(tmp_path).damage()] == [1]
    assert [line.event for line in HistoryFile(tmp_path).sound()] == [STARTED.event]


def test_a_line_can_be_encoded_and_decoded() -> None:
    happened = recorded(12.5, "buyer0", HEARD)
    assert decode_line(encode_line(happened)) == happened
    assert encode_line(happened).endswith(b"}\n")


def test_histories_are_told_as_one_by_time_then_by_clock() -> None:
    first, last = a_line(1.0, "buyer0", 7, "ordered"), a_line(2.0, "buyer0", 8, "ordered")
    tie, before_it = (
        a_line(1.5, "buyer7", 9, "queued", {"clock": 7, "lane": "salt"}),
        a_line(1.5, "seller1", 2, "picked"),
    )
    assert list(by_time([[first, last], [tie], [before_it]])) == [first, before_it, tie, last]


def test_a_history_can_be_read_again_and_again(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    history = HistoryFile(tmp_path)
    assert list(history) == list(history) != []


def test_one_may_ask_for_some_kinds_of_events_of_what_is_recorded_and_of_what_is_held(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD, STARTED)
    file = HistoryFile(tmp_path)
    for history in (file, list(file)):
        assert [h.clock for h in only(history, events.Purchased)] == [9]
        assert [h.clock for h in only(history, events.Ordered, events.Purchased)] == [4, 9, 4]
        assert list(only(history)) == []


def test_a_fact_that_looks_like_a_kind_is_none(tmp_path: Path) -> None:
    left_behind(tmp_path, Noted(4, events.Missed("purchased", reason='"what":"purchased"')))
    assert list(only(HistoryFile(tmp_path), events.Purchased)) == []


# ------------------------------------------------------------------------------------- a former life
def lived(*noted: tuple[str, dict[str, Any]]) -> FormerLife:
    """What a process finds that has noted these."""
    return recall(a_line(0.0, "x", clock, kind, facts) for clock, (kind, facts) in enumerate(noted, start=1))


@pytest.mark.parametrize("others", [0, 50])
def test_one_may_ask_for_what_mentions_some_names_however_many(others: int, tmp_path: Path) -> None:
    lines = [
        a_line(1.0, "buyer7", 1, "unreadable", {"reason": 'Expected " at the end'}),  # a quote in a string
        a_line(2.0, "buyer7", 2, "ordered", {"order": "buyer7-1"}),
        a_line(3.0, "buyer7", 3, "ordered", {"order": "buyer7-11"}),
        a_line(4.0, "buyer7", 4, "learned", {"lots": (("seller1-d0", 2),)}),
    ]
    (tmp_path / "history.jsonl").write_bytes(b"".join(map(encode_line, lines)))
    words = ["buyer7-1", "seller1-d0", *(f"seller2-d{number}" for number in range(others))]
    for history in (HistoryFile(tmp_path), lines):
        assert [line.clock for line in mentioning(history, *words)] == [2, 4]


def test_each_life_is_counted() -> None:
    assert lived(("born", {"life": 1}), ("joined", {}), ("born", {"life": 2})).lives == 2


@pytest.mark.parametrize(
    ("kinds", "unanswered"),
    [
        ((), {"buyer0-0": Unanswered("salt", False)}),
        (("repeated",), {"buyer0-0": Unanswered("salt", False)}),
        (("purchased",), {}),
        (("found_unavailable",), {}),
        (("purchased", "revoked"), {}),
        (("purchased", "doubted"), {"buyer0-0": Unanswered("salt", True)}),
        (("purchased", "doubted", "repeated"), {"buyer0-0": Unanswered("salt", True)}),
        (("purchased", "doubted", "repeated", "purchased"), {}),
    ],
)
def test_a_buyer_remembers_what_it_waits_for(kinds: tuple[str, ...], unanswered: dict[str, Unanswered]) -> None:
    order = {"order": "buyer0-0", "item": "salt"}
    former = lived(("ordered", order), *((kind, order) for kind in kinds))
    assert (former.placed, former.unanswered) == (1, unanswered)


def test_a_seller_remembers_what_nobody_has_confirmed_and_what_it_was_paid_for() -> None:
    def goods(deposit_id: str) -> dict[str, Any]:
        return {"deposit": deposit_id, "item": "salt", "count": 3, "price": 800, "trader": "buyer7"}

    booked = {"deposit": "seller1-d0", "item": "salt", "trader": "buyer7"}

    former = lived(
        ("offered", goods("seller1-d0")),
        ("offered", goods("seller1-d1")),
        ("registered", booked),
        ("sold", {"order": "buyer0-3"}),
    )
    assert former.offered == (Deposit("seller1-d1", "salt", 3, 800),)
    assert former.credited == {"buyer0-3"}


def test_a_trader_remembers_which_of_its_tenures_had_begun() -> None:
    assert lived(("seated", {"since": 4}), ("born", {"life": 2}), ("seated", {"since": 9})).seated == {4, 9}


def test_a_former_life_is_remembered_from_what_is_sound(tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED, HEARD)
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    history = History(tmp_path, "buyer0")
    assert (history.former_life.clock, history.former_life.placed) == (9, 1)
    history.close()
