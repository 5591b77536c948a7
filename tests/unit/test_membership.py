from __future__ import annotations

import pytest

from bazaar.core.turn import Turn
from bazaar.records import WAREHOUSE, AnyMessage, Bench, BenchIs, Claim, Election, Heartbeat, Ok, WhoTrades, Won
from bazaar.settings import Settings
from peers.membership import Membership
from peers.role import FOREVER
from tests.builders import Stage, a_bench, noted, sent

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")
SETTINGS = Settings(peers=5, traders=2, election_delay_s=1.0, reelection_delay_s=2.0, election_timeout_s=5.0)


class Member(Stage):
    """A peer that has begun at 0."""

    role: Membership

    def __init__(self, me: str, names: tuple[str, ...] = NAMES) -> None:
        super().__init__(Membership(me, names, SETTINGS))
        self.begun = Turn(0.0, self.clock)
        self.role.begin(self.begun)


def started_at(member: Member) -> float:
    """When this peer starts an election if nothing at all comes in; FOREVER for never, or not in two minutes."""
    while member.role.deadline < 120.0:
        if noted(member.waits_until(member.role.deadline), "election_started"):
            return member.now
    return FOREVER


def starters(bench: Bench) -> list[str]:
    """The peers in the order in which they would start the next round, the others being silent."""
    members = {name: Member(name) for name in NAMES}
    for member in members.values():
        member.hears(WAREHOUSE, BenchIs(bench))
    times = {name: started_at(member) for name, member in members.items()}
    return sorted((name for name in NAMES if times[name] < FOREVER), key=times.__getitem__)


def said(turn: Turn) -> list[tuple[str, AnyMessage]]:
    """What the turn sends, but for the heartbeats."""
    return [(to, body) for to, body in sent(turn) if not isinstance(body, Heartbeat)]


# ---------------------------------------------------------------------------------------- who starts
def test_everybody_asks_at_first_who_trades() -> None:
    assert sent(Member("seller1").begun) == [(WAREHOUSE, WhoTrades())]


def test_peer2_starts_the_first_election_the_lowest_of_the_others_if_it_is_silent() -> None:
    assert starters(Bench(vacant=2)) == ["buyer2", "buyer0", "seller1", "seller3", "buyer4"]


def test_peer0_starts_each_further_one() -> None:
    assert starters(a_bench("buyer4", vacant=1)) == ["buyer0", "seller1", "buyer2", "seller3"]


def test_the_lowest_peer_starts_where_there_is_none_of_that_index() -> None:
    assert starters(a_bench("buyer0", vacant=1)) == ["seller1", "buyer2", "seller3", "buyer4"]


def test_nobody_starts_when_no_seat_is_free() -> None:
    assert starters(a_bench("buyer4", "seller3")) == []


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
    member.hears("buyer4", Won(a_bench("buyer4", vacant=1)), at=10.0)
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
    assert sent(asked) == [("buyer2", Ok(-1)), (WAREHOUSE, Claim(-1, 0))]
    turn = member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1)))
    assert said(turn) == [(name, Won(a_bench("buyer4", vacant=1))) for name in NAMES[:-1]]
    assert noted(turn, "elected") == [{"seat": 0}]


def test_whoever_was_not_given_the_seat_does_not_say_won() -> None:
    member = Member("seller3")
    member.hears("buyer2", Election(-1))
    member.waits_until(5.0)
    turn = member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1)))
    assert sent(turn) == []
    assert noted(turn, "elected") == []
    assert member.role.bench.traders == ("buyer4",)


def test_won_is_recognised_by_everybody() -> None:
    member = Member("buyer0")
    turn = member.hears("buyer4", Won(a_bench("buyer4", vacant=1)))
    assert noted(turn, "recognized") == [{"coordinator": "buyer4"}]
    assert (member.role.bench.traders, member.role.complete) == (("buyer4",), False)
    member.hears("seller3", Won(a_bench("buyer4", "seller3")))
    assert member.role.complete


def test_a_won_that_overtook_the_warehouses_answer_elects_as_well() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    turn = member.hears("seller3", Won(a_bench("buyer4", "seller3")))
    assert noted(turn, "elected") == [{"seat": 0}]
    assert noted(member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1))), "elected") == []


def test_a_trader_of_a_former_life_is_not_elected_anew() -> None:
    member = Member("buyer4")
    turn = member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    assert noted(turn, "elected") == []
    assert said(turn) == []
    assert member.role.bench.traders == ("buyer4", "seller3")


def test_an_empty_seat_is_no_trader_and_as_long_as_there_is_another_it_stays_empty() -> None:
    member = Member("buyer0")
    member.hears(WAREHOUSE, BenchIs(a_bench(None, "seller3", position=4)))
    assert member.role.bench.traders == ("seller3",)
    assert member.role.complete
    assert starters(a_bench(None, "seller3", position=4)) == []


# ---------------------------------------------------------------------------------------- what is late
@pytest.mark.parametrize("position", [0, 1])
def test_an_older_bench_is_ignored(position: int) -> None:
    member = Member("buyer0")
    member.hears("seller3", Won(a_bench("buyer4", "seller3")))
    member.hears("buyer4", Won(a_bench("buyer4", vacant=1, position=position)))
    member.hears(WAREHOUSE, BenchIs(Bench(vacant=2)))
    assert member.role.bench == a_bench("buyer4", "seller3")


@pytest.mark.parametrize("late", [Ok(-1), Election(-1)])
@pytest.mark.parametrize("me", ["buyer0", "buyer4"])
def test_the_last_words_of_an_election_that_is_over_start_nothing(me: str, late: AnyMessage) -> None:
    member = Member(me)
    member.hears("seller3", Won(a_bench("buyer4", "seller3")))
    turn = member.hears("buyer2", late)
    assert not [body for _, body in sent(turn) if isinstance(body, (Election, Claim))]
    assert started_at(member) == FOREVER


def test_whoever_holds_an_election_that_is_over_is_told_the_bench() -> None:
    member = Member("seller3")
    member.hears("buyer4", Won(a_bench("buyer4", "seller3")))
    assert sent(member.hears("buyer2", Election(-1))) == [("buyer2", BenchIs(a_bench("buyer4", "seller3")))]


def test_a_trader_takes_no_part_in_a_later_round() -> None:
    member = Member("buyer4")
    member.hears("seller3", Won(a_bench("buyer4", vacant=1)))
    assert sent(member.hears("buyer0", Election(-1))) == [("buyer0", BenchIs(a_bench("buyer4", vacant=1)))]


def test_a_claim_against_an_old_bench_ends_with_the_new_one() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    member.hears("seller3", Won(a_bench("seller3", vacant=1)))
    turn = member.hears("buyer2", Election(0))
    assert sent(turn) == [("buyer2", Ok(0)), (WAREHOUSE, Claim(0, 1))]
