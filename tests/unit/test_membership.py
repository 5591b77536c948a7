from __future__ import annotations

import msgspec
import pytest

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, Bench, Seat, Wave
from bazaar.protocol.messages import (
    AnyMessage,
    BenchIs,
    Call,
    Chosen,
    Claim,
    Depose,
    Deposed,
    Echo,
    Election,
    Heartbeat,
    Ok,
    TraderDead,
    WhoTrades,
    Won,
)
from bazaar.protocol.settings import Settings
from peers.membership import Membership
from tests.builders import Stage, a_bench, a_turn, noted, sent

NAMES = ("buyer0", "seller1", "buyer2", "seller3", "buyer4")
SETTINGS = Settings(peers=5, traders=2, election_delay_s=1.0, reelection_delay_s=2.0, election_timeout_s=5.0)

NOBODY_YET = Bench(vacant=2)


class Member(Stage):
    """A peer that has begun at 0, and was told then who trades: at first nobody. `told` None: not yet."""

    role: Membership

    def __init__(
        self,
        me: str,
        names: tuple[str, ...] = NAMES,
        told: Bench | None = NOBODY_YET,
        settings: Settings = SETTINGS,
    ) -> None:
        super().__init__(Membership(me, names, settings, lambda now: (0, 0)))
        self.begun = Turn(0.0, self.clock)
        self.role.begin(self.begun)
        if told is not None:
            self.hears(WAREHOUSE, BenchIs(told))


def started_at(member: Member) -> float:
    """When this peer starts an election if nothing at all comes in; NEVER for never, or not in two minutes."""
    while member.role.deadline < 120.0:
        if noted(member.waits_until(member.role.deadline), "election_started"):
            return member.now
    return NEVER


def starters(bench: Bench) -> list[str]:
    """The peers in the order in which they would start the next round, the others being silent."""
    members = {name: Member(name, told=bench) for name in NAMES}
    times = {name: started_at(member) for name, member in members.items()}
    return sorted((name for name in NAMES if times[name] < NEVER), key=times.__getitem__)


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


def test_of_its_own_seat_a_peer_believes_the_warehouse_alone_and_asks_it() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    turn = member.hears("seller3", Won(a_bench("buyer4", "seller3")))
    assert (noted(turn, "elected"), sent(turn)) == ([], [(WAREHOUSE, WhoTrades())])
    assert member.role.seat is None
    assert noted(member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1))), "elected") == [{"seat": 0}]


@pytest.mark.parametrize("claims_first", [False, True])
def test_a_trader_of_a_former_life_is_not_elected_anew(claims_first: bool) -> None:
    member = Member("buyer4", told=None)
    if claims_first:  # it is called before it knows that it trades
        assert sent(member.hears("buyer2", Election(1))) == [("buyer2", Ok(1))]
    turn = member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    assert noted(turn, "elected") == []
    assert said(turn) == []
    assert member.role.bench.traders == ("buyer4", "seller3")
    assert not member.role.elected


def test_nobody_takes_part_before_it_knows_who_trades() -> None:
    member = Member("buyer4", told=None)
    member.hears("buyer2", Election(-1))
    assert started_at(member) == NEVER
    assert member.role.unsure


def test_who_trades_is_asked_again_until_there_is_an_answer() -> None:
    member = Member("buyer0", told=None)
    assert sent(member.waits_until(SETTINGS.election_timeout_s)) == [(WAREHOUSE, WhoTrades())]
    member.hears(WAREHOUSE, BenchIs(NOBODY_YET))
    assert not member.role.unsure
    assert WhoTrades() not in [body for _, body in sent(member.waits_until(2 * SETTINGS.election_timeout_s))]


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


def test_whoever_still_has_an_older_bench_is_told_the_newer_one() -> None:
    member = Member("buyer0")
    newer, older = a_bench("buyer4", "seller3"), a_bench("buyer4", vacant=1)
    member.hears("seller3", Won(newer))
    assert sent(member.hears("buyer2", BenchIs(older))) == [("buyer2", BenchIs(newer))]
    assert sent(member.hears("buyer2", BenchIs(newer))) == []
    assert sent(member.hears(WAREHOUSE, BenchIs(older))) == []


@pytest.mark.parametrize("late", [Ok(-1), Election(-1)])
@pytest.mark.parametrize("me", ["buyer0", "buyer4"])
def test_the_last_words_of_an_election_that_is_over_start_nothing(me: str, late: AnyMessage) -> None:
    member = Member(me)
    member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    turn = member.hears("buyer2", late)
    assert not [body for _, body in sent(turn) if isinstance(body, (Election, Claim))]
    assert started_at(member) == NEVER


def test_whoever_holds_an_election_that_is_over_is_told_the_bench() -> None:
    member = Member("seller3")
    member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    assert sent(member.hears("buyer2", Election(-1))) == [("buyer2", BenchIs(a_bench("buyer4", "seller3")))]


def test_a_trader_takes_no_part_in_a_later_round() -> None:
    member = Member("buyer4")
    member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", vacant=1)))
    assert sent(member.hears("buyer0", Election(-1))) == [("buyer0", BenchIs(a_bench("buyer4", vacant=1)))]


def test_a_claim_against_an_old_bench_ends_with_the_new_one() -> None:
    member = Member("buyer4")
    member.hears("buyer2", Election(-1))
    member.hears("seller3", Won(a_bench("seller3", vacant=1)))
    turn = member.hears("buyer2", Election(0))
    assert sent(turn) == [("buyer2", Ok(0)), (WAREHOUSE, Claim(0, 1))]


# ---------------------------------------------------------------------------------------- along a tree
ALONG_TREE = msgspec.structs.replace(SETTINGS, election="tree", routing="neighbours")
FIRST_WON = a_bench("buyer4", vacant=1)


def tied(me: str, *neighbours: str) -> Member:
    """A peer with these neighbours, which holds elections along a tree."""
    member = Member(me, settings=ALONG_TREE)
    member.role.tied(neighbours)
    return member


def test_along_a_tree_the_winner_tells_its_neighbours_and_beats_for_all_only_later() -> None:
    member = tied("buyer4", "buyer0", "seller1")
    asked = member.hears("buyer0", Call(-1, Wave(1, "buyer2")))
    assert sent(asked) == [("seller1", Call(-1, Wave(1, "buyer2")))]
    member.hears("seller1", Echo(-1, Wave(1, "buyer2"), ("seller1",)))
    assert sent(member.hears("buyer2", Chosen(-1, 0))) == [(WAREHOUSE, Claim(-1, 0))]
    turn = member.hears(WAREHOUSE, BenchIs(FIRST_WON))
    assert sent(turn) == [(name, Won(FIRST_WON, "buyer4")) for name in ("buyer0", "seller1")]
    beats = member.waits_until(ALONG_TREE.heartbeat_s)
    assert {to for to, _ in sent(beats)} == {*NAMES} - {"buyer4"}


def test_along_a_tree_the_word_of_a_victory_is_passed_on_once_and_names_the_winner() -> None:
    member = tied("seller1", "buyer0", "buyer2")
    turn = member.hears("buyer2", Won(FIRST_WON, "buyer4"))
    assert sent(turn) == [("buyer0", Won(FIRST_WON, "buyer4"))]
    assert noted(turn, "recognized") == [{"coordinator": "buyer4"}]
    again = member.hears("buyer0", Won(FIRST_WON, "buyer4"))
    assert (sent(again), again.events) == ([], [])


def test_along_a_tree_a_call_of_a_round_that_is_over_is_answered_with_its_outcome() -> None:
    member = tied("seller1", "buyer0", "buyer2")
    member.hears("buyer2", Won(FIRST_WON, "buyer4"))
    assert sent(member.hears("buyer2", Call(-1, Wave(1, "buyer2")))) == [("buyer2", BenchIs(FIRST_WON))]


def test_along_a_tree_who_has_resigned_passes_calls_on_but_does_not_stand() -> None:
    member = tied("buyer4", "buyer0")
    member.hears("buyer0", Call(-1, Wave(1, "buyer2")))
    member.hears("buyer2", Chosen(-1, 0))
    member.hears(WAREHOUSE, BenchIs(FIRST_WON))
    member.role.resign(a_turn())
    member.hears(WAREHOUSE, Deposed(Seat("buyer4", 0), Bench((None,), 2, 1, 1)))
    assert sent(member.hears("buyer0", Call(1, Wave(1, "buyer0")))) == [("buyer0", Echo(1, Wave(1, "buyer0"), ()))]


# --------------------------------------------------------------------------------------------- deaths
THREE = a_bench("buyer4", "seller3", "buyer2")
FALLEN = Bench((None, Seat("seller3", 1), Seat("buyer2", 2)), 0, 3, 3)


def seated(me: str) -> Member:
    """A peer that has known since 10 that buyer4, seller3 and buyer2 trade."""
    member = Member(me)
    member.hears(WAREHOUSE, BenchIs(THREE), at=10.0)
    return member


def goes_on(member: Member, until: float, heard: tuple[str, ...] = ()) -> list[tuple[float, str, AnyMessage]]:
    """Lives from deadline to deadline and hears heartbeats of `heard` all the time; what it sends, and when."""
    said_: list[tuple[float, str, AnyMessage]] = []
    while (now := min(member.role.deadline, until)) < until:
        for name in heard:
            member.role.heard(Turn(now, member.clock), name)
        said_ += [(now, to, body) for to, body in sent(member.waits_until(now))]
    return said_


def test_a_trader_beats_for_the_other_traders_and_now_and_then_for_everybody() -> None:
    beats = [(to, now) for now, to, _ in goes_on(seated("buyer4"), 16.0, ("seller3", "buyer2"))]
    assert [now for to, now in beats if to == "seller3"] == [11.0, 12.0, 13.0, 14.0, 15.0]
    assert [now for to, now in beats if to == "buyer0"] == [15.0]


def test_a_trader_suspects_another_that_is_silent_and_asks_the_warehouse_to_depose_it() -> None:
    suspected = [
        (now, to, body) for now, to, body in goes_on(seated("seller3"), 19.0, ("buyer2",)) if isinstance(body, Depose)
    ]
    assert suspected == [(15.0, WAREHOUSE, Depose(Seat("buyer4", 0)))]


def test_who_is_no_trader_leaves_it_to_the_traders_as_long_as_it_can() -> None:
    suspected = [(now, body) for now, _, body in goes_on(seated("buyer0"), 29.0, ("seller3", "buyer2"))]
    assert suspected == [(25.0, Depose(Seat("buyer4", 0)))]


def test_any_letter_is_a_sign_of_life() -> None:
    member = seated("seller3")
    for now in range(11, 40):
        turn = Turn(float(now), member.clock)
        for name in ("buyer4", "buyer2"):
            member.role.heard(turn, name)
        member.role.tick(turn)
        assert noted(turn, "suspected") == []


def test_a_deposal_without_an_answer_is_asked_for_again() -> None:
    deposals = [now for now, _, body in goes_on(seated("seller3"), 26.0, ("buyer2",)) if isinstance(body, Depose)]
    assert deposals == [15.0, 20.0, 25.0]


def test_whose_deposal_came_first_announces_the_death() -> None:
    turn = seated("seller3").hears(WAREHOUSE, Deposed(Seat("buyer4", 0), FALLEN))
    assert said(turn) == [(name, TraderDead("buyer4", FALLEN)) for name in NAMES if name != "seller3"]
    assert noted(turn, "trader_died") == [{"peer": "buyer4", "traders": ["seller3", "buyer2"], "left": "several"}]


@pytest.mark.parametrize(("me", "left"), [("seller3", "alone"), ("buyer0", "several")])
def test_a_trader_that_is_left_alone_says_so(me: str, left: str) -> None:
    alone = Bench((None, Seat("seller3", 1)), 0, 4, 4)
    (died,) = noted(seated(me).hears(WAREHOUSE, Deposed(Seat("buyer4", 0), alone)), "trader_died")
    assert (died["left"], died["traders"]) == (left, ["seller3"])


def test_when_the_last_one_dies_there_is_none_and_an_election_follows() -> None:
    member = seated("buyer0")
    nobody = Bench((None, None, None), 1, 6, 6)
    turn = member.hears(WAREHOUSE, Deposed(Seat("buyer2", 2), nobody), at=20.0)
    assert noted(turn, "trader_died")[0]["left"] == "none"
    assert not member.role.complete
    assert started_at(member) == 22.0


def test_whoever_hears_of_a_death_drops_the_trader() -> None:
    member = seated("buyer0")
    turn = member.hears("seller3", TraderDead("buyer4", FALLEN))
    assert noted(turn, "heard_death") == [{"peer": "buyer4", "by": "seller3"}]
    assert member.role.bench.traders == ("seller3", "buyer2")
    assert member.role.complete


def test_who_asked_second_learns_the_bench_and_announces_nothing() -> None:
    turn = seated("buyer2").hears(WAREHOUSE, BenchIs(FALLEN))
    assert said(turn) == []
    assert noted(turn, "trader_died") == []


def test_a_death_that_is_told_late_changes_nothing() -> None:
    member = seated("buyer0")
    newer = Bench((Seat("buyer4", 5), Seat("seller3", 1), Seat("buyer2", 2)), 0, 5, 5)
    member.hears("buyer4", Won(newer))
    member.hears("seller3", TraderDead("buyer4", FALLEN))
    assert member.role.bench == newer


def test_a_trader_that_has_slept_through_its_deposal_is_told_at_its_first_heartbeat() -> None:
    member = seated("seller3")
    member.hears(WAREHOUSE, Deposed(Seat("buyer4", 0), FALLEN))
    assert said(member.hears("buyer4", Heartbeat())) == [("buyer4", BenchIs(FALLEN))]
    assert said(member.hears("buyer2", Heartbeat())) == []


def test_a_trader_that_learns_of_its_deposal_is_an_ordinary_peer() -> None:
    member = seated("buyer4")
    assert member.role.seat == Seat("buyer4", 0)
    turn = member.hears("seller3", BenchIs(FALLEN), at=40.0)
    assert member.role.seat is None
    assert said(turn) == []
    assert not [body for _, _, body in goes_on(member, 54.0, ("seller3", "buyer2")) if isinstance(body, Heartbeat)]


# ----------------------------------------------------------------------------------------- resignation
def test_a_trader_that_resigns_asks_for_its_own_deposal() -> None:
    member = seated("buyer4")
    turn = Turn(11.0, member.clock)
    member.role.resign(turn)
    assert sent(turn) == [(WAREHOUSE, Depose(Seat("buyer4", 0)))]
    assert noted(turn, "resigned") == [{}]


def test_that_it_has_resigned_it_announces_itself_and_does_not_call_itself_dead() -> None:
    turn = seated("buyer4").hears(WAREHOUSE, Deposed(Seat("buyer4", 0), FALLEN))
    assert said(turn) == [(name, TraderDead("buyer4", FALLEN)) for name in NAMES[:-1]]
    assert noted(turn, "trader_died") == []


def test_who_has_resigned_stands_for_no_other_seat() -> None:
    member = seated("buyer4")
    member.role.resign(Turn(11.0, member.clock))
    nobody = Bench((None, None, None), 1, 6, 6)
    member.hears("seller3", TraderDead("seller3", nobody), at=12.0)
    assert said(member.hears("buyer0", Election(6))) == []
    assert started_at(member) == NEVER


def test_who_has_no_seat_has_none_to_give_up() -> None:
    member = seated("buyer0")
    turn = Turn(11.0, member.clock)
    member.role.resign(turn)
    assert turn.sends == []
    assert noted(turn, "nothing_to_resign") == [{}]
    assert sent(member.hears("seller3", Election(2))) != []  # and it stands for a seat as before


# ------------------------------------------------------------------------------------------- the end
def test_at_the_end_it_waits_for_a_sign_of_life_of_every_trader() -> None:
    member = Member("buyer0")
    member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    turn = a_turn()
    member.role.finish(turn)
    assert said(turn) == [("buyer4", WhoTrades()), ("seller3", WhoTrades())]
    assert not member.role.idle
    member.hears("seller3", BenchIs(member.role.bench))
    assert not member.role.idle
    member.hears("buyer4", Heartbeat())  # it may have sent that before
    assert not member.role.idle
    member.hears("buyer4", BenchIs(member.role.bench))
    assert member.role.idle


def test_or_for_its_deposal() -> None:
    member = Member("buyer0")
    member.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    member.role.finish(a_turn())
    member.hears("seller3", BenchIs(member.role.bench))
    member.hears("seller3", TraderDead("buyer4", a_bench("seller3", position=7)))
    assert member.role.idle


def test_a_trader_that_is_asked_says_who_trades() -> None:
    trader = Member("buyer4")
    trader.hears(WAREHOUSE, BenchIs(a_bench("buyer4", "seller3")))
    assert (("buyer0", BenchIs(trader.role.bench))) in said(trader.hears("buyer0", WhoTrades()))


def test_the_only_trader_waits_for_nobody() -> None:
    trader = Member("buyer4")
    trader.hears(WAREHOUSE, BenchIs(a_bench("buyer4")))
    trader.role.finish(a_turn())
    assert trader.role.idle
