from __future__ import annotations

import pytest

from bazaar.core.election import Bully
from bazaar.core.turn import NEVER
from bazaar.protocol.goods import WAREHOUSE, index_of
from bazaar.protocol.messages import Claim, Election, Ok
from tests.builders import a_turn, sent

NAMES = ("buyer0", "seller1", "buyer2", "seller9", "buyer10")
TIMEOUT_S = 5.0


def a_candidate(me: str) -> Bully:
    bully = Bully(me, TIMEOUT_S)
    bully.round(a_turn(), 7, NAMES, [0])
    return bully


def test_whoever_starts_calls_everybody_above_and_nobody_else() -> None:
    turn = a_turn()
    a_candidate("buyer2").start(turn)
    assert sent(turn) == [("seller9", Election(7)), ("buyer10", Election(7))]


def test_indexes_are_compared_as_numbers_so_ten_outranks_nine() -> None:
    turn = a_turn()
    a_candidate("seller9").start(turn)
    assert sent(turn) == [("buyer10", Election(7))]


def test_with_nobody_above_the_seat_is_claimed_at_once() -> None:
    turn, bully = a_turn(), a_candidate("buyer10")
    bully.start(turn)
    assert sent(turn) == [(WAREHOUSE, Claim(7, 0))]
    assert bully.phase == "claiming"


def test_somebody_below_gets_an_ok_and_is_overruled() -> None:
    turn, bully = a_turn(), a_candidate("seller9")
    bully.called(turn, "buyer2", 7)
    assert sent(turn) == [("buyer2", Ok(7)), ("buyer10", Election(7))]


def test_in_the_midst_of_an_election_another_call_gets_only_its_ok() -> None:
    bully = a_candidate("seller9")
    bully.start(a_turn())
    turn = a_turn()
    bully.called(turn, "buyer2", 7)
    assert sent(turn) == [("buyer2", Ok(7))]


def test_an_ok_ends_the_candidacy() -> None:
    bully = a_candidate("buyer2")
    bully.start(a_turn())
    bully.heard_ok(a_turn(1.0), "seller9", 7)
    turn = a_turn(TIMEOUT_S)
    bully.tick(turn)
    assert sent(turn) == []
    assert bully.phase == "waiting"


def test_hearing_neither_ok_nor_won_in_time_wins() -> None:
    bully = a_candidate("buyer2")
    bully.start(a_turn(100.0))
    early, late = a_turn(104.9), a_turn(105.0)
    bully.tick(early)
    bully.tick(late)
    assert sent(early) == []
    assert sent(late) == [(WAREHOUSE, Claim(7, 0))]


def test_if_the_one_above_then_falls_silent_the_election_is_held_again() -> None:
    bully = a_candidate("buyer2")
    bully.start(a_turn())
    bully.heard_ok(a_turn(1.0), "seller9", 7)
    turn = a_turn(bully.deadline)
    bully.tick(turn)
    assert sent(turn) == [("seller9", Election(7)), ("buyer10", Election(7))]
    assert bully.phase == "calling"


def test_a_claim_without_an_answer_is_repeated() -> None:
    bully = a_candidate("buyer10")
    bully.start(a_turn())
    turn = a_turn(TIMEOUT_S)
    bully.tick(turn)
    assert sent(turn) == [(WAREHOUSE, Claim(7, 0))]
    assert bully.deadline == 2 * TIMEOUT_S


@pytest.mark.parametrize("me", ["buyer2", "buyer10"])
def test_an_ok_that_comes_too_late_changes_nothing(me: str) -> None:
    bully = a_candidate(me)
    bully.start(a_turn())
    bully.tick(a_turn(TIMEOUT_S))
    bully.heard_ok(a_turn(TIMEOUT_S), "seller9", 7)
    assert bully.phase == "claiming"


def test_starting_twice_calls_once() -> None:
    bully = a_candidate("buyer2")
    bully.start(a_turn())
    turn = a_turn(1.0)
    bully.start(turn)
    assert sent(turn) == []
    assert bully.deadline == TIMEOUT_S


def test_a_new_round_ends_the_old_one_and_is_without_those_who_won() -> None:
    bully = a_candidate("seller9")
    bully.start(a_turn())
    bully.round(a_turn(), 8, NAMES[:-1], [1])
    assert (bully.phase, bully.deadline) == ("idle", NEVER)
    turn = a_turn(1.0)
    bully.start(turn)
    assert sent(turn) == [(WAREHOUSE, Claim(8, 1))]


def test_an_ok_from_an_earlier_round_does_not_count() -> None:
    bully = a_candidate("buyer2")
    bully.start(a_turn())
    bully.heard_ok(a_turn(), "seller9", 6)
    assert bully.phase == "calling"


def test_a_call_for_a_round_that_is_not_known_yet_is_answered_when_it_is() -> None:
    bully = a_candidate("seller9")
    early, known = a_turn(), a_turn(1.0)
    bully.called(early, "buyer2", 8)
    bully.round(known, 8, NAMES, [1])
    assert sent(early) == [("buyer2", Ok(8))]
    assert sent(known) == [("buyer10", Election(8))]


def test_a_call_for_a_round_that_this_peer_has_won_starts_nothing() -> None:
    bully = a_candidate("seller9")
    bully.called(a_turn(), "buyer2", 8)
    turn = a_turn()
    bully.round(turn, 8, ("buyer0", "buyer2"), [1])
    assert sent(turn) == []


@pytest.mark.parametrize("name", ["warehouse", "buyer", "buyer-1", "trader0", "buyer1x", ""])
def test_what_is_no_peers_name_has_no_index(name: str) -> None:
    with pytest.raises(ValueError, match="is no peer"):
        index_of(name)
