"""What the turns of an actor do to the world, and in which order: for an actor that does what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bazaar.core.channel import TELL_AFTER_S
from bazaar.core.clock import LamportClock
from bazaar.core.endpoint import FURTHER_LIFE, Afterwards, Effect, Endpoint, Note, Persist, Read, Send, Silent
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.admission import FURTHEST_AHEAD
from bazaar.protocol.cache_server import Call, Result
from bazaar.protocol.events import Born, Fell
from bazaar.protocol.former_life import FIRST_LIFE, FormerLife
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.journal_lines import Recovered
from bazaar.protocol.messages import Claim, Heartbeat, WhoTrades
from bazaar.protocol.wire import Delivery, Letter, encode
from tests.builders import a_delivery
from tests.unit.test_channel import a_channel, letters, traders_end

REPEAT_AFTER_S = 3.0
SEAT = Seat("seller1", 4)
FELL = Fell("seller1")
KNOWN = (WAREHOUSE, "buyer0", "seller1", "buyer7")


class Puppet:
    """An actor that does nothing but what a test has it do when all that has come in is received."""

    def __init__(self, name: str = "buyer7") -> None:
        self.name = name
        self.clock = LamportClock()
        self.deadline = NEVER
        self.answered, self.done, self.idle = 0, False, True
        self.received: list[tuple[str, Letter]] = []
        self.when_all_is_received: Callable[[Turn], None] = lambda turn: None

    def begin(self, turn: Turn) -> None: ...

    def finish(self, turn: Turn) -> None: ...

    def tied(self, neighbours: tuple[str, ...]) -> None: ...

    def resign(self, turn: Turn) -> None: ...

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None: ...

    def receive(self, turn: Turn, source: str, letter: Letter) -> None:
        self.received.append((source, letter))

    def cached(self, turn: Turn, call: Call, result: Result) -> None:
        raise AssertionError("it asks no cache")

    def tick(self, turn: Turn) -> None:
        self.when_all_is_received(turn)


class Stage:
    """One endpoint, its driver and the time: effects are done as they come, and written down."""

    def __init__(self, former: FormerLife = FIRST_LIFE) -> None:
        self.actor = Puppet()
        self.endpoint = Endpoint(self.actor, KNOWN, former, REPEAT_AFTER_S)
        self.now = 10.0
        self.sent: list[Delivery] = []

    def begun(self, *acts: Callable[[Turn], object]) -> Iterator[Effect]:
        """The effects of a turn in which the actor does this."""
        turn = Turn(self.now, self.actor.clock)
        for act in acts:
            act(turn)
        return self.endpoint.perform(turn, lambda: self.now)

    def turn(self, *acts: Callable[[Turn], object]) -> list[Effect]:
        """The same, with all of the effects done."""
        effects = []
        for effect in self.begun(*acts):
            effects.append(effect)
            self.perform(effect)
        return effects

    def perform(self, effect: Effect) -> None:
        match effect:
            case Send(outlet):
                while isinstance(delivery := outlet.delivery(self.now), Delivery):
                    self.sent.append(delivery)
            case Silent(channel):
                channel.again()

    def hears(self, delivery: Delivery) -> list[Effect]:
        return self.turn(lambda turn: self.endpoint.take(turn, encode(delivery)))


def sells(turn: Turn) -> None:
    """Tells buyer and seller, and closes the order when they know."""
    turn.send("buyer0", WhoTrades())
    turn.send("seller1", WhoTrades())
    turn.keep("sold")
    turn.keep_afterwards("closed")
    turn.note(FELL)


def kinds(effects: list[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


# ------------------------------------------------------------------------------------------ the order of effects
def test_nothing_is_sent_before_what_it_depends_on_is_durable_and_written_down() -> None:
    stage = Stage()
    effects = stage.begun(sells)
    assert next(effects) == Persist(["sold"])
    first = next(effects)
    assert isinstance(first, Note)
    assert [noted.event for noted in first.noted] == [FELL]
    assert not stage.endpoint.owes()  # until then nothing is where it could leave from
    further = list(effects)
    assert [effect.outlet.other for effect in further if isinstance(effect, Send)] == ["buyer0", "seller1"]
    assert stage.endpoint.owes()


def test_a_turn_that_is_cut_off_has_sent_nothing() -> None:
    for done in (0, 1, 2):
        stage = Stage()
        effects = stage.begun(sells)
        for _ in range(done):
            stage.perform(next(effects))
        assert stage.sent == []
        assert not stage.endpoint.owes()


def test_a_journal_is_read_before_anything_is_kept() -> None:
    """Its own, if there is none, would be begun by that."""
    effects = Stage().turn(lambda turn: turn.keep("opened"), lambda turn: turn.read(SEAT))
    assert effects == [Read(SEAT), Persist(["opened"])]


def test_what_is_to_be_sent_before_a_time_is_not_if_it_took_too_long_to_become_durable() -> None:
    for took_s, told in ((0.5, 1), (2.0, 0)):
        stage = Stage()
        before = stage.now + 1.0
        effects = stage.begun(
            lambda turn, before=before: turn.send("buyer0", WhoTrades(), before=before),  # type: ignore[misc]
            lambda turn: turn.keep("promised"),
        )
        assert next(effects) == Persist(["promised"])
        stage.now += took_s
        for effect in effects:
            stage.perform(effect)
        assert len(stage.sent) == told


def test_what_the_actor_decides_when_all_is_received_is_of_the_same_turn() -> None:
    stage = Stage()
    stage.actor.when_all_is_received = sells
    assert kinds(stage.hears(a_delivery("buyer0", "buyer7", *letters(1)))) == ["Persist", "Note", "Send", "Send"]
    assert stage.actor.received == [("buyer0", *letters(1))]
    assert stage.sent[0].taken == 1


def test_a_turn_without_effects_has_none() -> None:
    assert Stage().turn() == []


def test_nobody_sends_to_whom_nobody_knows() -> None:
    with pytest.raises(ValueError, match="there is no buyer99"):
        Stage().turn(lambda turn: turn.send("buyer99", WhoTrades()))


# ------------------------------------------------------------------------------------------ deferred writes
def acknowledgement(source: str, taken: int, of: int = 1) -> Delivery:
    return a_delivery(source, "buyer7", of=of, taken=taken)


def test_what_is_kept_afterwards_is_kept_when_all_receivers_have_acknowledged() -> None:
    stage = Stage()
    stage.turn(sells)
    assert stage.turn() == []
    assert stage.hears(acknowledgement("buyer0", 1)) == []
    assert stage.hears(acknowledgement("seller1", 1)) == [Persist(["closed"])]
    assert stage.turn() == []


def test_it_is_kept_before_what_the_turn_of_the_last_acknowledgement_keeps() -> None:
    stage = Stage()
    stage.turn(sells)
    stage.hears(acknowledgement("buyer0", 1))
    stage.actor.when_all_is_received = lambda turn: turn.keep("queued")
    assert stage.hears(acknowledgement("seller1", 1)) == [Persist(["closed", "queued"])]


def test_a_letter_that_came_too_late_to_be_sent_is_not_waited_for() -> None:
    stage = Stage()
    stage.turn(
        lambda turn: turn.send("buyer0", WhoTrades(), before=stage.now), lambda turn: turn.keep_afterwards("closed")
    )
    assert stage.turn() == [Persist(["closed"])]


def acknowledge(end: Any, taken: int) -> None:
    end.accept(a_delivery(end.other, end._me, of=1, taken=taken), 0.0)


def test_what_is_sent_later_is_not_waited_for() -> None:
    end, afterwards = traders_end(1), Afterwards()
    afterwards.put([end], ["closed"])
    end.put(*letters(2))
    acknowledge(end, 1)
    assert afterwards.due() == ["closed"]


def test_what_was_put_behind_letters_that_wait_is_waited_for_with_them() -> None:
    end, afterwards = traders_end(1, 2), Afterwards()
    afterwards.put([end], ["closed"])
    acknowledge(end, 1)
    assert afterwards.due() == []
    acknowledge(end, 2)
    assert afterwards.due() == ["closed"]


def test_who_takes_nothing_holds_up_only_what_is_for_it() -> None:
    slow, quick, afterwards = traders_end(1), a_channel("buyer7", "seller1", 1), Afterwards()
    afterwards.put([slow], ["first"])
    afterwards.put([quick], ["second", "third"])
    acknowledge(quick, 1)
    assert afterwards.due() == ["second", "third"]
    acknowledge(slow, 1)
    assert afterwards.due() == ["first"]


# ---------------------------------------------------------------------------------------------- what comes in
def test_what_comes_twice_is_received_once() -> None:
    stage = Stage()
    for _ in range(2):
        stage.hears(a_delivery("buyer0", "buyer7", *letters(1, 2)))
    assert stage.actor.received == [("buyer0", letter) for letter in letters(1, 2)]
    assert stage.sent == [a_delivery("buyer7", "buyer0", of=1, taken=2)]  # its sender cannot have known


def test_a_partner_that_was_started_again_is_heard_from_the_beginning_and_its_former_life_no_more() -> None:
    stage = Stage()
    stage.hears(a_delivery("buyer0", "buyer7", *letters(1, 2)))
    stage.hears(a_delivery("buyer0", "buyer7", *letters(8), life=2))
    stage.hears(a_delivery("buyer0", "buyer7", *letters(3), number=2))
    assert [letter.clock for _, letter in stage.actor.received] == [1, 2, 8]


def test_an_acknowledgement_of_a_former_life_closes_nothing() -> None:
    stage = Stage(FormerLife(lives=1, clock=500))
    stage.turn(sells)
    for name in ("buyer0", "seller1"):
        assert stage.hears(acknowledgement(name, 1, of=1)) == []
    stage.hears(acknowledgement("buyer0", 1, of=2))
    assert stage.hears(acknowledgement("seller1", 1, of=2)) == [Persist(["closed"])]


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b"rubbish", 1),
        (encode(a_delivery("buyer99", "buyer7", *letters(1))), 1),
        (encode(a_delivery("buyer0", "seller1", *letters(1))), 1),
        (encode(a_delivery("buyer0", "buyer7", Letter(1, Claim(0, 0)), Letter(FURTHEST_AHEAD + 9, Heartbeat()))), 2),
        (encode(a_delivery("buyer0", "buyer7", *letters(1))), 0),
    ],
)
def test_what_no_honest_process_says_does_not_reach_the_actor(data: bytes, refused: int) -> None:
    stage = Stage()
    assert stage.endpoint.take(Turn(0.0, stage.actor.clock), data) == refused
    assert bool(stage.actor.received) == (not refused)


# ------------------------------------------------------------------------------------------- what is due when
def test_the_next_turn_is_due_when_the_actor_or_a_channel_says() -> None:
    stage = Stage()
    assert stage.endpoint.deadline == NEVER
    stage.actor.deadline = 12.0
    assert stage.endpoint.deadline == 12.0
    stage.hears(a_delivery("buyer0", "buyer7", *letters(1)))
    assert stage.endpoint.deadline == 10.0 + TELL_AFTER_S
    stage.now = stage.endpoint.deadline
    assert kinds(stage.turn()) == ["Send"]
    assert stage.sent == [a_delivery("buyer7", "buyer0", of=1, taken=1)]
    assert stage.endpoint.deadline == 12.0


def test_what_is_not_acknowledged_in_time_is_lost_and_sent_again() -> None:
    stage = Stage()
    stage.turn(lambda turn: turn.send("buyer0", WhoTrades()))
    assert stage.endpoint.deadline == 10.0 + REPEAT_AFTER_S
    stage.now = stage.endpoint.deadline - 0.1
    assert stage.turn() == []
    stage.now = stage.endpoint.deadline
    assert kinds(stage.turn()) == ["Silent"]
    assert stage.endpoint.deadline <= stage.now
    assert kinds(stage.turn()) == ["Send"]
    assert stage.sent[0] == stage.sent[1]


def test_where_nothing_can_be_sent_nothing_is_due() -> None:
    """While it is connected, or its buffers are full: what waits there leaves together, when it can."""
    stage = Stage()
    (effect,) = stage.begun(lambda turn: turn.send("buyer0", WhoTrades()))
    assert isinstance(effect, Send)
    stage.endpoint.hold(effect.outlet, NEVER)
    assert stage.turn(lambda turn: turn.send("buyer0", WhoTrades())) == []
    assert stage.endpoint.deadline == NEVER
    stage.endpoint.hold(effect.outlet, stage.now)
    assert stage.turn() == [effect]
    (delivery,) = stage.sent
    assert len(delivery.letters) == 2


def test_who_is_owed_something_is_waited_for_unless_it_is_gone() -> None:
    stage = Stage()
    stage.turn(sells)
    stage.hears(acknowledgement("buyer0", 1))
    assert stage.endpoint.owes()
    assert not stage.endpoint.owes({"seller1"})


# ----------------------------------------------------------------------------------------------------- lives
def test_each_life_says_so_before_all_else_and_numbers_on_from_the_former_one() -> None:
    for former, life in ((FIRST_LIFE, 1), (FormerLife(lives=2, clock=500), 3)):
        stage = Stage(former)
        (effect,) = stage.turn(stage.endpoint.born)
        assert isinstance(effect, Note)
        (noted,) = effect.noted
        assert noted.event == Born(life)
        assert noted.clock > (500 + FURTHER_LIFE if former.clock else 0)
        stage.turn(lambda turn: turn.send("buyer0", WhoTrades()))
        assert stage.sent[0].life == life
