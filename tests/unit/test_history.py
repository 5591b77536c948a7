from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bazaar.runtime.history
from bazaar.core.turn import Event
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife, Unanswered
from bazaar.protocol.messages import Deposit
from bazaar.runtime.history import (
    HISTORY_FILE,
    Happening,
    History,
    Recorded,
    by_time,
    decode_line,
    encode_line,
    happening,
    only,
    recall,
)

STARTED = Event(4, "ordered", None, 0, {"order": "buyer0-0", "item": "salt"})
HEARD = Event(9, "purchased", "buyer7", 8, {"order": "buyer0-0", "price": 800, "traders": ["buyer7"]})


def left_behind(folder: Path, *events: Event) -> Path:
    """The history of a process that is gone."""
    history = History(folder, "buyer0")
    history.write(12.5, events)
    history.close()
    return folder / HISTORY_FILE


def test_what_happened_is_read_as_it_was_written(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    assert list(Recorded(tmp_path)) == [
        Happening(12.5, "buyer0", 4, "ordered", {"order": "buyer0-0", "item": "salt"}),
        Happening(
            12.5, "buyer0", 9, "purchased", {"order": "buyer0-0", "price": 800, "traders": ["buyer7"]}, "buyer7", 8
        ),
    ]


def test_only_what_a_message_brought_about_has_a_source() -> None:
    assert (happening(0.0, "buyer0", STARTED).source, happening(0.0, "buyer0", STARTED).sent) == (None, None)
    assert (happening(0.0, "buyer0", HEARD).source, happening(0.0, "buyer0", HEARD).sent) == ("buyer7", 8)


def test_it_is_with_the_operating_system_when_write_returns(tmp_path: Path) -> None:
    history = History(tmp_path, "buyer0")
    history.write(12.5, [STARTED])
    assert len(list(Recorded(tmp_path))) == 1
    history.close()


def test_a_second_life_goes_on_and_knows_how_far_the_first_came(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    history = History(tmp_path, "buyer0")
    assert history.former_life.clock == 9
    history.close()
    left_behind(tmp_path, STARTED)
    assert [happened.clock for happened in Recorded(tmp_path)] == [4, 9, 4]


def test_a_first_life_begins_at_zero(tmp_path: Path) -> None:
    history = History(tmp_path, "buyer0")
    history.close()
    assert history.former_life == FIRST_LIFE
    assert list(Recorded(tmp_path)) == []


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
    whole, half = (encode_line(happening(12.5, "buyer0", event)) for event in (STARTED, HEARD))
    left_behind(tmp_path)
    monkeypatch.setattr(Path, "open", lambda *_: io.BufferedReader(Growing(whole + half[:20], half[20:])))
    assert [happened.what for happened in Recorded(tmp_path)] == ["ordered", "purchased"]
    assert [happened.what for happened in Recorded(tmp_path).only("purchased")] == ["purchased"]


@pytest.mark.parametrize("size", [1, 7, 100, 1_000])
def test_it_is_the_same_in_whatever_pieces_it_is_read(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, *[STARTED, HEARD] * 9)
    monkeypatch.setattr(bazaar.runtime.history, "BLOCK_BYTES", size)
    assert [happened.clock for happened in Recorded(tmp_path)] == [4, 9] * 9
    assert [happened.clock for happened in Recorded(tmp_path).only("purchased")] == [9] * 9
    assert [happened.clock for happened in Recorded(tmp_path).sound()] == [4, 9] * 9


def test_a_process_without_a_folder_has_no_history(tmp_path: Path) -> None:
    assert list(Recorded(tmp_path / "nobody")) == []


@pytest.mark.parametrize("cut", [1, 5])
def test_a_last_line_that_a_kill_cut_short_is_left_out_and_then_cut_off(cut: int, tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED, HEARD)
    path.write_bytes(path.read_bytes()[:-cut])
    assert [happened.clock for happened in Recorded(tmp_path)] == [4]
    left_behind(tmp_path, HEARD)
    assert [happened.clock for happened in Recorded(tmp_path)] == [4, 9]


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"at":"now"}\n', b"\0\0\0\n"])
def test_damage_in_the_middle_is_not_passed_over(line: bytes, tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED)
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(msgspec.DecodeError):
        list(Recorded(tmp_path))


def test_a_line_can_be_encoded_and_decoded() -> None:
    happened = happening(12.5, "buyer0", HEARD)
    assert decode_line(encode_line(happened)) == happened
    assert encode_line(happened).endswith(b"}\n")


def test_histories_are_told_as_one_by_time_then_by_clock() -> None:
    first, last = Happening(1.0, "buyer0", 7, "sent"), Happening(2.0, "buyer0", 8, "sent")
    tie, before_it = Happening(1.5, "buyer7", 9, "received"), Happening(1.5, "seller1", 2, "else")
    assert list(by_time([[first, last], [tie], [before_it]])) == [first, before_it, tie, last]


def test_a_history_can_be_read_again_and_again(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD)
    recorded = Recorded(tmp_path)
    assert list(recorded) == list(recorded) != []


def test_one_may_ask_for_some_kinds_of_events_of_what_is_recorded_and_of_what_is_held(tmp_path: Path) -> None:
    left_behind(tmp_path, STARTED, HEARD, STARTED)
    recorded = Recorded(tmp_path)
    for history in (recorded, list(recorded)):
        assert [h.clock for h in only(history, "purchased")] == [9]
        assert [h.clock for h in only(history, "ordered", "purchased")] == [4, 9, 4]
        assert list(only(history)) == []


def test_a_fact_that_looks_like_a_kind_is_none(tmp_path: Path) -> None:
    left_behind(tmp_path, Event(4, "ordered", None, 0, {"what": "purchased", "text": '"what":"purchased"'}))
    assert list(only(Recorded(tmp_path), "purchased")) == []


# ------------------------------------------------------------------------------------- a former life
def lived(*events: tuple[str, dict[str, Any]]) -> FormerLife:
    """What a process finds that has noted these."""
    return recall(Happening(0.0, "x", clock, what, facts) for clock, (what, facts) in enumerate(events, start=1))


def test_each_life_is_counted() -> None:
    assert lived(("born", {"life": 1}), ("joined", {}), ("born", {"life": 2})).lives == 2


@pytest.mark.parametrize(
    ("events", "unanswered"),
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
def test_a_buyer_remembers_what_it_waits_for(events: tuple[str, ...], unanswered: dict[str, Unanswered]) -> None:
    order = {"order": "buyer0-0", "item": "salt"}
    former = lived(("ordered", order), *((event, order) for event in events))
    assert (former.placed, former.unanswered) == (1, unanswered)


def test_a_seller_remembers_what_nobody_has_confirmed_and_what_it_was_paid_for() -> None:
    def goods(deposit_id: str) -> dict[str, Any]:
        return {"deposit": deposit_id, "item": "salt", "count": 3, "price": 800, "trader": "buyer7"}

    former = lived(
        ("offered", goods("seller1-d0")),
        ("offered", goods("seller1-d1")),
        ("registered", goods("seller1-d0")),
        ("sold", {"order": "buyer0-3"}),
    )
    assert former.offered == (Deposit("seller1-d1", "salt", 3, 800),)
    assert former.credited == {"buyer0-3"}


def test_a_former_life_is_remembered_from_what_is_sound(tmp_path: Path) -> None:
    path = left_behind(tmp_path, STARTED, HEARD)
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    history = History(tmp_path, "buyer0")
    assert (history.former_life.clock, history.former_life.placed) == (9, 1)
    history.close()
