"""A keeper, and a trader whose journal it keeps."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bazaar.core import keeper as keeping
from bazaar.core.copying import Copying
from bazaar.core.keeper import Keeper
from bazaar.core.turn import Turn
from bazaar.protocol.goods import WAREHOUSE, Copy, Order, Seat
from bazaar.protocol.journal_lines import Closed, Copied, Fenced, JournalLine, Queued, Snapshot
from bazaar.protocol.messages import Ask, Fetch, Fetched, Heartbeat, Keep, KeeperIs, Kept, NameKeeper
from bazaar.protocol.plan import check_keepers
from bazaar.protocol.settings import UsageError
from bazaar.runtime.copies import COPIES_FILE, Copies
from tests.builders import a_plan, a_turn, an_order, sent

SEAT = Seat("buyer7", 3)
COPY = Copy(SEAT, "seller1", 1)
ASK = Ask(1, ())


def order(number: int) -> Order:
    return an_order(f"buyer0-{number}")


def queued(*numbers: int) -> tuple[JournalLine, ...]:
    return tuple(Queued(order(number)) for number in numbers)


def heard(keeper: Keeper, *bodies: Keep | Fetch) -> Turn:
    turn = a_turn()
    for body in bodies:
        if isinstance(body, Keep):
            keeper.keep(turn, SEAT.peer, body)
        else:
            keeper.fetch(turn, "buyer6", body)
    return turn


# ------------------------------------------------------------------------------------------ the keeper
def test_a_keeper_confirms_what_it_keeps_in_the_same_turn() -> None:
    turn = heard(Keeper(), Keep(COPY, 0, queued(0)))
    assert turn.kept == [Copied(COPY, 0, queued(0))]
    assert sent(turn) == [(SEAT.peer, Kept(COPY, 1))]


def test_what_comes_twice_is_kept_once() -> None:
    keeper = Keeper([Copied(COPY, 0, queued(0))])
    turn = heard(keeper, Keep(COPY, 0, queued(0)))
    assert (turn.kept, sent(turn)) == ([], [(SEAT.peer, Kept(COPY, 1))])


def test_a_message_that_does_not_join_on_is_not_answered() -> None:
    turn = heard(Keeper([Copied(COPY, 0, queued(0))]), Keep(COPY, 2, queued(2)))
    assert (turn.kept, turn.sends) == ([], [])


def test_the_fence_is_durable_before_an_heir_learns_a_line_and_no_line_is_taken_after_it() -> None:
    keeper = Keeper([Copied(COPY, 0, queued(0, 1)), Copied(COPY, 1, (Closed("buyer0-0"),))])
    turn = heard(keeper, Fetch(COPY))
    assert turn.kept == [Fenced(SEAT)]
    assert sent(turn) == [("buyer6", Fetched(COPY, 0, queued(1), 1))]
    assert heard(keeper, Keep(COPY, 2, queued(2))).sends == []
    assert heard(Keeper([Fenced(SEAT)]), Keep(COPY, 0, queued(0))).sends == []  # in a further life, too


def test_no_copy_is_not_an_empty_copy() -> None:
    assert sent(heard(Keeper(), Fetch(COPY))) == [("buyer6", Fetched(COPY, 0, (), None))]
    assert sent(heard(Keeper(), Keep(COPY, 0), Fetch(COPY)))[1:] == [("buyer6", Fetched(COPY, 0, (), 0))]


def test_a_long_queue_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_FETCHED", 2)
    turn = heard(Keeper([Copied(COPY, 0, queued(0, 1, 2))]), Fetch(COPY), Fetch(COPY, 2))
    assert [body for _, body in sent(turn)] == [Fetched(COPY, 0, queued(0, 1), 3), Fetched(COPY, 2, queued(2), 3)]


def test_a_snapshot_is_as_good_as_all_records_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "COMPACT_ABOVE", 8)
    keeper, number = Keeper(), 0
    turn = a_turn()
    while not any(isinstance(record, Snapshot) for record in turn.kept):
        keeper.keep(turn, SEAT.peer, Keep(COPY, number, (*queued(number), Closed(f"buyer0-{number - 1}"))))
        number += 1
    snapshot = turn.kept[-1]
    assert isinstance(snapshot, Snapshot)
    assert snapshot.records == (Copied(COPY, number - 1, queued(number - 1)),)
    again = Keeper(snapshot.records)
    assert sent(heard(again, Keep(COPY, number, queued(number)))) == [(SEAT.peer, Kept(COPY, number + 1))]
    assert sent(heard(again, Fetch(COPY)))[0][1] == Fetched(COPY, 0, queued(number - 1, number), 2)


# ----------------------------------------------------------------------------------------- the trader
class Trader:
    """The copying of one tenure."""

    def __init__(self) -> None:
        self.copying = Copying(SEAT, ("seller1", "seller2"), patience_s=2.0)
        self.copying.begin()

    def turn(self, at: float, *lines: JournalLine, asks: bool = False) -> list[tuple[str, object]]:
        turn = a_turn(at)
        if asks:
            turn.send(WAREHOUSE, ASK)
            turn.send("buyer6", Heartbeat())
        self.copying.end_turn(turn, lines)
        return list(sent(turn))

    def kept(self, copy: Copy, upto: int, at: float = 0.0) -> None:
        self.copying.kept(at, Kept(copy, upto))

    def named(self) -> None:
        self.turn(0.0)
        self.kept(COPY, 1)
        assert self.turn(0.0) == [(WAREHOUSE, NameKeeper(COPY))]
        self.copying.named(KeeperIs(COPY))


def test_nothing_leaves_before_the_ledger_names_a_keeper_but_a_heartbeat_does() -> None:
    trader = Trader()
    assert trader.turn(0.0, asks=True) == [("buyer6", Heartbeat()), ("seller1", Keep(COPY, 0))]
    trader.kept(COPY, 1)
    assert trader.turn(0.0) == [(WAREHOUSE, NameKeeper(COPY))]
    trader.copying.named(KeeperIs(COPY))
    assert trader.turn(0.0) == [(WAREHOUSE, ASK)]


def test_a_question_leaves_when_the_keeper_has_the_lines() -> None:
    trader = Trader()
    trader.named()
    assert trader.turn(1.0, *queued(0), asks=True)[1:] == [("seller1", Keep(COPY, 1, queued(0)))]
    assert trader.turn(1.0) == []
    trader.kept(COPY, 2, at=1.1)
    assert trader.turn(1.1) == [(WAREHOUSE, ASK)]
    assert trader.turn(1.2, Closed("buyer0-0"), asks=True)[1:] == [(WAREHOUSE, ASK)]  # nobody waits for a closing line


def test_a_silent_keeper_is_replaced_and_both_must_have_a_line_until_the_answer() -> None:
    trader, second = Trader(), Copy(SEAT, "seller2", 2)
    trader.named()
    trader.turn(0.0, *queued(0))
    trader.kept(COPY, 2)
    trader.turn(0.0, *queued(1), asks=True)
    assert trader.copying.deadline == 2.0
    assert trader.turn(2.0) == [("seller2", Keep(second, 0, queued(0, 1)))]
    trader.kept(second, 1, at=2.1)
    assert trader.turn(2.1) == [
        (WAREHOUSE, NameKeeper(second))
    ]  # seller1 may be named still, and lacks the second order
    assert trader.copying.deadline == 4.1
    trader.copying.named(KeeperIs(second))
    assert trader.turn(2.2) == [(WAREHOUSE, ASK)]


def test_until_the_answer_the_former_keeper_alone_is_not_enough() -> None:
    trader, second = Trader(), Copy(SEAT, "seller2", 2)
    trader.named()
    trader.turn(0.0, *queued(0))
    trader.turn(2.0)  # seller1 is silent
    trader.kept(second, 1, at=2.1)
    trader.turn(2.1)  # the warehouse is asked
    trader.turn(2.2, *queued(1), asks=True)
    trader.kept(COPY, 3, at=2.3)
    assert trader.turn(2.3) == []
    trader.kept(second, 2, at=2.4)
    assert trader.turn(2.4) == [(WAREHOUSE, ASK)]


def test_a_new_keeper_is_named_only_with_all_that_something_released_follows_from() -> None:
    trader, second = Trader(), Copy(SEAT, "seller2", 2)
    trader.named()
    trader.turn(0.0, *queued(0))
    trader.turn(2.0)  # seller1 is silent
    trader.turn(2.0, *queued(1), asks=True)
    trader.kept(COPY, 3, at=2.1)  # and is not any more
    assert trader.turn(2.1) == [(WAREHOUSE, ASK)]
    trader.kept(second, 1, at=2.2)
    assert trader.turn(2.2) == []  # seller2 has the first order, and a question on the second has left
    trader.kept(second, 2, at=2.3)
    assert trader.turn(2.3) == [(WAREHOUSE, NameKeeper(second))]


def test_a_keeper_that_owes_nothing_is_asked_whether_it_is_there() -> None:
    trader = Trader()
    trader.named()
    assert trader.copying.deadline == 1.0
    assert trader.turn(1.0) == [("seller1", Keep(COPY, 1))]
    trader.kept(COPY, 1, at=1.1)
    assert trader.turn(1.1) == []


# ------------------------------------------------------------------------------------------- its disk
def test_what_was_kept_is_there_in_a_further_life_but_for_a_line_cut_short(tmp_path: Path) -> None:
    records = [Copied(COPY, 0, queued(0)), Copied(COPY, 1, queued(1))]
    Copies(tmp_path).write(records)
    with (tmp_path / COPIES_FILE).open("ab") as file:
        file.write(msgspec.json.encode(records[0])[:20])
    assert Copies(tmp_path).records == records
    Copies(tmp_path).write([Snapshot((records[1],)), Fenced(SEAT)])
    assert Copies(tmp_path).records == [records[1], Fenced(SEAT)]


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / COPIES_FILE).write_bytes(b'{"line":"copied"}\n')
    with pytest.raises(UsageError, match=r"line 1: .*cannot be believed any more"):
        Copies(tmp_path)


@pytest.mark.parametrize("placed", [{}, {"everybody": "10.0.0.1"}])
def test_too_few_machines_are_refused_in_one_line(placed: dict[str, str]) -> None:
    plan = a_plan(keeper=True)
    plan = msgspec.structs.replace(plan, placed=dict.fromkeys(plan.names, placed["everybody"]) if placed else {})
    with pytest.raises(UsageError, match=r"--keeper needs peers on two machines or more.*these are on 1: add --hosts"):
        check_keepers(plan)
