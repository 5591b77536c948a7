"""One peer's part in an election along a tree: whom it calls, when it answers, and which wave it belongs to."""

from __future__ import annotations

import pytest

from bazaar.core.tree_election import TreeElection
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, Wave
from bazaar.protocol.messages import AnyMessage, Call, Chosen, Claim, Echo
from tests.builders import a_turn, sent

#   buyer0 (parent) - seller1 (me) - buyer2, seller3;  buyer4 is farther away
ME, NAMES, TIMEOUT_S, ROUND = "seller1", ("buyer0", "seller1", "buyer2", "seller3", "buyer4"), 5.0, 7
WAVE, OWN = Wave(1, "buyer0"), Wave(1, ME)


def a_peer(candidates: tuple[str, ...] = NAMES, seats: list[int] | None = None) -> TreeElection:
    peer = TreeElection(ME, TIMEOUT_S)
    peer.neighbours = ("buyer0", "buyer2", "seller3")
    peer.round(a_turn(), ROUND, candidates, [0] if seats is None else seats)
    return peer


def hears(peer: TreeElection, source: str, body: Call | Echo, at: float = 0.0) -> list[tuple[str, AnyMessage]]:
    turn = a_turn(at)
    if isinstance(body, Call):
        peer.called(turn, source, body)
    else:
        peer.heard_echo(turn, source, body)
    return sent(turn)


def started(peer: TreeElection, at: float = 0.0) -> Turn:
    turn = a_turn(at)
    peer.start(turn)
    return turn


def call(wave: Wave = WAVE, number: int = ROUND) -> Call:
    return Call(number, wave)


def echo(*highest: str, wave: Wave = WAVE, number: int = ROUND) -> Echo:
    return Echo(number, wave, highest)


# ------------------------------------------------------------------------------------------ in somebody's wave
def test_the_first_to_call_is_the_parent_and_all_other_neighbours_are_called() -> None:
    assert hears(a_peer(), "buyer0", call()) == [("buyer2", call()), ("seller3", call())]


def test_the_parent_is_answered_when_all_others_have_answered_or_called() -> None:
    peer = a_peer()
    hears(peer, "buyer0", call())
    assert hears(peer, "buyer2", echo("buyer4")) == []
    assert hears(peer, "seller3", call()) == [("buyer0", echo("buyer4"))]
    assert peer.tree == ("buyer0", "buyer2")  # the edge to seller3 belongs to no parent


def test_the_echo_names_as_many_of_the_highest_as_there_are_seats() -> None:
    peer = a_peer(seats=[0, 1])
    hears(peer, "buyer0", call())
    hears(peer, "buyer2", echo("buyer2"))
    assert hears(peer, "seller3", echo("seller3", "buyer0")) == [("buyer0", echo("seller3", "buyer2"))]


def test_a_leaf_answers_at_once() -> None:
    peer = a_peer()
    peer.neighbours = ("buyer0",)
    assert hears(peer, "buyer0", call()) == [("buyer0", echo(ME))]


def test_who_is_no_candidate_passes_on_and_names_others_only() -> None:
    peer = a_peer(candidates=("buyer0",))
    peer.neighbours = ("buyer0",)
    assert hears(peer, "buyer0", call()) == [("buyer0", echo())]


def test_an_answer_counts_once() -> None:
    peer = a_peer()
    hears(peer, "buyer0", call())
    hears(peer, "buyer2", echo("buyer2"))
    assert hears(peer, "buyer2", echo("buyer4")) == []
    assert hears(peer, "seller3", echo("seller3")) == [("buyer0", echo("seller3"))]


@pytest.mark.parametrize("stale", [echo("buyer4", wave=Wave(2, "buyer0")), echo("buyer4", number=ROUND - 1)])
def test_an_answer_in_another_wave_or_round_does_not_count(stale: Echo) -> None:
    peer = a_peer()
    hears(peer, "buyer0", call())
    hears(peer, "buyer2", stale)
    assert hears(peer, "seller3", echo("seller3")) == []


def test_whoever_calls_without_having_been_called_is_not_kept_waiting() -> None:
    """The graph heals: for some milliseconds only one of the two knows that they are neighbours."""
    peer = a_peer()
    hears(peer, "buyer0", call())
    assert hears(peer, "buyer4", call()) == [("buyer4", echo())]


def test_the_parent_is_never_told_that_nobody_is_here() -> None:
    peer = a_peer()
    hears(peer, "buyer0", call())
    assert hears(peer, "buyer0", call()) == []


def test_a_call_for_a_round_that_is_not_known_yet_waits_for_it() -> None:
    peer, known = a_peer(), a_turn(1.0)
    assert hears(peer, "buyer0", call(number=8)) == []
    peer.round(known, 8, NAMES, [1])
    assert sent(known) == [("buyer2", call(number=8)), ("seller3", call(number=8))]


def test_before_the_warehouse_has_told_who_trades_every_call_waits() -> None:
    peer, told = TreeElection(ME, TIMEOUT_S), a_turn()
    peer.neighbours = ("buyer0",)
    assert hears(peer, "buyer0", call(number=-1)) == []
    peer.round(told, -1, NAMES, [0])
    assert sent(told) == [("buyer0", echo(ME, number=-1))]


def test_the_word_of_a_victory_goes_to_all_neighbours_of_a_peer_that_was_not_called() -> None:
    assert a_peer().tree == ("buyer0", "buyer2", "seller3")


# --------------------------------------------------------------------------------------------- as the starter
def test_the_starter_calls_all_neighbours_and_tells_the_winner() -> None:
    peer = a_peer()
    assert sent(started(peer)) == [(name, call(OWN)) for name in peer.neighbours]
    hears(peer, "buyer0", echo("buyer0", wave=OWN))
    hears(peer, "buyer2", echo("buyer4", wave=OWN))
    assert hears(peer, "seller3", call(OWN)) == [("buyer4", Chosen(ROUND, 0))]
    assert peer.phase == "waiting"


def test_every_winner_is_told_its_seat_and_the_starter_may_be_one() -> None:
    peer = a_peer(seats=[0, 2])
    peer.neighbours = ("buyer2",)
    started(peer)
    told = hears(peer, "buyer2", echo("buyer2", "buyer0", wave=OWN))
    assert told == [("buyer2", Chosen(ROUND, 0)), (WAREHOUSE, Claim(ROUND, 2))]
    assert peer.phase == "claiming"


def test_starting_twice_calls_once() -> None:
    peer = a_peer()
    started(peer)
    assert sent(started(peer)) == []


def test_a_wave_that_is_not_answered_in_time_is_followed_by_one_with_more_time() -> None:
    peer = a_peer()
    started(peer)
    assert peer.deadline == TIMEOUT_S
    peer.neighbours = ("buyer0",)  # the graph has healed meanwhile
    turn = a_turn(TIMEOUT_S)
    peer.tick(turn)
    assert sent(turn) == [("buyer0", call(Wave(2, ME)))]
    assert peer.deadline == 3 * TIMEOUT_S


def test_if_the_winner_then_falls_silent_the_election_is_held_again() -> None:
    peer = a_peer()
    peer.neighbours = ("buyer2",)
    started(peer)
    hears(peer, "buyer2", echo("buyer4", wave=OWN))
    early, late = a_turn(2 * TIMEOUT_S - 0.1), a_turn(2 * TIMEOUT_S)
    peer.tick(early)
    peer.tick(late)
    assert sent(early) == []
    assert sent(late) == [("buyer2", call(Wave(2, ME)))]


# ------------------------------------------------------------------------------------------------- extinction
def test_of_two_starters_the_higher_one_has_its_wave_answered() -> None:
    peer, higher = a_peer(), Wave(1, "buyer2")
    started(peer)
    assert hears(peer, "buyer2", call(higher)) == [("buyer0", call(higher)), ("seller3", call(higher))]
    assert (peer.phase, peer.deadline) == ("idle", NEVER)


def test_a_lower_wave_is_not_answered() -> None:
    peer = a_peer()
    started(peer)
    assert hears(peer, "buyer0", call(WAVE)) == []
    assert peer.phase == "calling"


def test_a_later_wave_is_higher_whoever_starts_it() -> None:
    peer, later = a_peer(), Wave(2, "buyer0")
    started(peer)
    assert hears(peer, "buyer0", call(later)) == [("buyer2", call(later)), ("seller3", call(later))]


def test_who_starts_after_a_wave_of_this_round_starts_a_higher_one() -> None:
    peer = a_peer()
    hears(peer, "buyer0", call(Wave(4, "buyer0")))
    assert sent(started(peer))[0] == ("buyer0", call(Wave(5, ME)))


# ---------------------------------------------------------------------------------------------------- winning
def test_the_chosen_claims_its_seat_and_repeats_the_claim() -> None:
    peer, turn, later = a_peer(), a_turn(), a_turn(TIMEOUT_S)
    peer.chosen(turn, ROUND, 2)
    peer.tick(later)
    assert sent(turn) == sent(later) == [(WAREHOUSE, Claim(ROUND, 2))]


def test_who_claims_goes_on_claiming_while_a_further_wave_passes() -> None:
    peer = a_peer()
    peer.chosen(a_turn(), ROUND, 0)
    hears(peer, "buyer0", call())
    assert (peer.phase, peer.deadline) == ("claiming", TIMEOUT_S)


@pytest.mark.parametrize(("candidates", "number"), [(NAMES, ROUND - 1), (("buyer0", "buyer2"), ROUND)])
def test_who_is_chosen_in_an_earlier_round_or_does_not_stand_claims_nothing(
    candidates: tuple[str, ...], number: int
) -> None:
    peer, turn = a_peer(candidates), a_turn()
    peer.chosen(turn, number, 0)
    assert sent(turn) == []
