from __future__ import annotations

import pytest

from bazaar.core.turn import Turn
from bazaar.records import WAREHOUSE, AnyMessage, Bench, BenchIs, Claim, Election, Ok, WhoTrades, Won
from bazaar.settings import Settings
from peers.membership import Membership
from peers.role import FOREVER
from tests.builders import Stage, noted, sent

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")
SETTINGS = Settings(peers=5, traders=2, election_delay_s=1.0, reelection_delay_s=2.0, election_timeout_s=5.0)


class Member(Stage):
    """A peer that has begun at 0."""

    role: Membership

    def __init__(self, me: str, names: tuple[str, ...] = NAMES) -> None:
        super().__init__(Membership(me, names, SETTINGS))
        self.begun = Turn(0.0, self.clock)
        self.role.begin(self.begun)


def starters(bench: Bench, position: int) -> list[str]:
    """The peers in the order in which they would start the next round, the others being silent."""
    members = {name: Member(name) for name in NAMES}
    for member in members.values():
        if bench:
            member.hears(WAREHOUSE, BenchIs(bench, position))
    deadlines = {name: member.role.deadline for name, member in members.items()}
    return sorted((name for name in NAMES if deadlines[name] < FOREVER), key=deadlines.__getitem__)


# ---------------------------------------------------------------------------------------- who starts
def test_everybody_asks_at_first_who_trades() -> None:
    assert sent(Member("seller1").begun) == [(WAREHOUSE, WhoTrades())]


def test_peer2_starts_the_first_election_the_lowest_of_the_others_if_it_is_silent() -> None:
    assert starters((), -1) == ["buyer2", "buyer0", "seller1", "seller3", "buyer4"]


def test_peer0_starts_each_further_one() -> None:
    assert starters(("buyer4",), 0) == ["buyer0", "seller1", "buyer2", "seller3"]


def test_the_lowest_peer_starts_where_there_is_none_of_that_index() -> None:
    assert starters(("buyer0",), 0) == ["seller1", "buyer2", "seller3", "buyer4"]


def test_nobody_starts_when_no_seat_is_free() -> None:
    assert starters(("buyer4", "seller3"), 1) == []


def test_the_first_election_starts_after_its_delay_and_says_so() -> None:
    member = Member("buyer2")
    assert member.role.deadline == SETTINGS.election_delay_s
    assert sent(member.waits_until(0.9)) == []
    turn = member.waits_until(1.0)
    assert sent(turn) == [("seller3", Election(-1)), ("buyer4", Election(-1))]
    assert noted(turn, "election_started") == [{}]
    assert noted(turn, "reelection") == []


def test_a_further_election_names_the_traders_elected_till_now() -> None:
    member = Member("buyer0")
    member.hears("buyer4", Won(("buyer4",), 0), at=10.0)
    turn = member.waits_until(12.0)
    assert noted(turn, "reelection") == [{"traders": ["buyer4"]}]
    called = [to for to, body in sent(turn) if isinstance(body, Election)]
    assert called == ["seller1", "buyer2", "seller3"]  # a trader takes no part in later rounds


def test_a_silent_starter_is_replaced_by_the_next() -> None:
    member = Member("buyer0")  # peer2 should have started
    assert sent(member.waits_until(1.0 + 2 * 5.0 - 0.1)) == []
    assert ("buyer4", Election(-1)) in sent(member.waits_until(1.0 + 2 * 5.0))


def test_an_election_that_is_seen_to_be_under_way_is_not_started_again() -> None:
    member = Member("seller1")
    before = member.role.deadline
    member.hears("buyer0", Election(-1), at=before - 0.1)
    assert noted(member.waits_until(before), "election_started") == []


# ------------------------------------------------------------------------------------------- winning
def test_the_winner_tells_everybody_once_it_holds_the_seat() -> None:
    member = Member("buyer4")
    asked = member.hears("buyer2", Election(-1))
    assert sent(asked) == [("buyer2", Ok(-1)), (WAREHOUSE, Claim(-1))]
    turn = member.hears(WAREHOUSE, BenchIs(("buyer4",), 0))
    assert sent(turn) == [(name, Won(("buyer4",), 0)) for name in NAMES[:-1]]
    assert noted(turn, "elected") == [{"seat": 0}]


def test_whoever_was_not_given_the_seat_does_not_say_won() -> None:
    member = Member("seller3")
    member.hears("buyer2", Election(-1))
    member.waits_until(5.0)
    turn = member.hears(WAREHOUSE, BenchIs(("buyer4",), 0))
    assert sent(turn) == []
    assert noted(turn, "elected") == []
    assert member.role.traders == ("buyer4",)


def test_won_is_recognised_by_everybody() -> None:
    member = Member("buyer0")
    turn = member.hears("buyer4", Won(("buyer4",), 0))
    assert noted(turn, "recognized") == [{"coordinator": "buyer4"}]
    assert (member.role.traders, member.role.complete) == (("buyer4",), False)
    member.hears("seller3", Won(("buyer4", "seller3"), 1))
    assert member.role.complete


def test_a_won_that_overtook_the_warehouses_answer_elects_as_well() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    turn = member.hears("seller3", Won(("buyer4", "seller3"), 1))
    assert noted(turn, "elected") == [{"seat": 0}]
    assert noted(member.hears(WAREHOUSE, BenchIs(("buyer4",), 0)), "elected") == []


def test_a_trader_of_a_former_life_is_not_elected_anew() -> None:
    member = Member("buyer4")
    turn = member.hears(WAREHOUSE, BenchIs(("buyer4", "seller3"), 1))
    assert noted(turn, "elected") == []
    assert sent(turn) == []
    assert member.role.traders == ("buyer4", "seller3")


def test_an_empty_seat_is_no_trader() -> None:
    member = Member("buyer0")
    member.hears(WAREHOUSE, BenchIs((None, "seller3"), 4))
    assert member.role.traders == ("seller3",)
    assert not member.role.complete


# ---------------------------------------------------------------------------------------- what is late
@pytest.mark.parametrize("position", [0, 1])
def test_an_older_bench_is_ignored(position: int) -> None:
    member = Member("buyer0")
    member.hears("seller3", Won(("buyer4", "seller3"), 1))
    member.hears("buyer4", Won(("buyer4",), position))
    member.hears(WAREHOUSE, BenchIs((), -1))
    assert member.role.bench == ("buyer4", "seller3")
    assert member.role.position == 1


@pytest.mark.parametrize("late", [Ok(-1), Election(-1)])
@pytest.mark.parametrize("me", ["buyer0", "buyer4"])
def test_the_last_words_of_an_election_that_is_over_start_nothing(me: str, late: AnyMessage) -> None:
    member = Member(me)
    member.hears("seller3", Won(("buyer4", "seller3"), 1))
    member.hears("buyer2", late)
    assert member.role.deadline == FOREVER


def test_whoever_holds_an_election_that_is_over_is_told_the_bench() -> None:
    member = Member("seller3")
    member.hears("buyer4", Won(("buyer4", "seller3"), 1))
    assert sent(member.hears("buyer2", Election(-1))) == [("buyer2", BenchIs(("buyer4", "seller3"), 1))]


def test_a_trader_takes_no_part_in_a_later_round() -> None:
    member = Member("buyer4")
    member.hears("seller3", Won(("buyer4",), 0))
    assert sent(member.hears("buyer0", Election(-1))) == [("buyer0", BenchIs(("buyer4",), 0))]


def test_a_claim_against_an_old_bench_ends_with_the_new_one() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    member.hears("seller3", Won(("seller3",), 0))
    turn = member.hears("buyer2", Election(0))
    assert sent(turn) == [("buyer2", Ok(0)), (WAREHOUSE, Claim(0))]
