from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bazaar.core import channel
from bazaar.core.channel import COMPANY_S, TELL_AFTER_S, Channel
from bazaar.core.turn import NEVER
from bazaar.protocol.messages import Heartbeat, Sold, WhoTrades
from bazaar.protocol.wire import Delivery, Letter
from tests.builders import a_delivery

REPEAT_AFTER_S = 3.0


def letters(*clocks: int) -> tuple[Letter, ...]:
    return tuple(Letter(clock, WhoTrades()) for clock in clocks)


def a_channel(me: str, other: str, *clocks: int, life: int = 1) -> Channel:
    """These letters wait in it."""
    made = Channel(me, other, life, REPEAT_AFTER_S)
    for letter in letters(*clocks):
        made.put(letter)
    return made


def buyers_end(*clocks: int, life: int = 1) -> Channel:
    return a_channel("buyer0", "buyer7", *clocks, life=life)


def traders_end(*clocks: int, life: int = 1) -> Channel:
    return a_channel("buyer7", "buyer0", *clocks, life=life)


def sent(by: Channel, now: float = 0.0) -> Delivery:
    delivery = by.delivery(now)
    assert delivery is not None
    return delivery


def exchange(one: Channel, other: Channel, now: float) -> list[Letter]:
    """Delivers all that `one` has to say; what the other took of it."""
    taken: list[Letter] = []
    while (delivery := one.delivery(now)) is not None:
        taken += other.accept(delivery, now)
    return taken


# ------------------------------------------------------------------------------------- exactly once, in order
class Side:
    """One end, what it was given and has received, and all deliveries that it has ever made."""

    def __init__(self, end: Channel) -> None:
        self.end = end
        self.put: list[Letter] = []
        self.received: list[Letter] = []
        self.made: list[Delivery] = []


STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["put", "arrives", "is lost", "again"]) | st.integers(0, 20)), max_size=60
)


@given(STEPS)
def test_first_in_first_out_exactly_once_whatever_the_network_does(steps: list[tuple[bool, str | int]]) -> None:
    """Both ways. A number is the late arrival of an earlier delivery: a duplicate, or one that others have overtaken."""
    sides = Side(buyers_end()), Side(traders_end())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "MOST_LETTERS", 2)
        patch.setattr(channel, "MOST_UNDER_WAY", 5)
        to_the_end = [
            (way, step) for _ in range(len(steps) + 2) for step in ("again", "arrives") for way in (True, False)
        ]
        for now, (way, step) in enumerate([*steps, *to_the_end]):
            here, there = sides if way else sides[::-1]
            if step == "put":
                here.put += letters(len(here.put))
                here.end.put(here.put[-1])
            elif step == "again":
                here.end.again()
            elif isinstance(step, int):
                if here.made:
                    there.received += there.end.accept(here.made[step % len(here.made)], now)
            elif (delivery := here.end.delivery(now)) is not None:
                here.made.append(delivery)
                if step == "arrives":
                    there.received += there.end.accept(delivery, now)
            assert there.received == here.put[: len(there.received)]
    for here, there in (sides, sides[::-1]):
        assert there.received == here.put
        assert not here.end


# -------------------------------------------------------------------------------------------------- sending
def test_letters_do_not_wait_for_those_before_them() -> None:
    end = buyers_end(1)
    assert sent(end) == a_delivery("buyer0", "buyer7", *letters(1))
    for letter in letters(2, 3):
        end.put(letter)
    assert sent(end) == Delivery("buyer0", "buyer7", 1, 1, 0, -1, 0, letters(2, 3))
    assert end.delivery(0.0) is None


def test_one_delivery_holds_no_more_than_the_wire_takes() -> None:
    end = buyers_end(*range(channel.MOST_LETTERS + 1))
    assert len(sent(end).letters) == channel.MOST_LETTERS
    assert sent(end).letters == letters(channel.MOST_LETTERS)


def test_no_more_is_under_way_than_the_other_side_may_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MOST_UNDER_WAY", 3)
    here, there = buyers_end(1, 2, 3, 4, 5), traders_end()
    first = sent(here)
    assert first.letters == letters(1, 2, 3)
    assert here.delivery(0.0) is None
    assert here.deadline > 0.0
    there.accept(first, 0.0)
    here.accept(sent(there), 0.0)  # of so many it is told at once
    assert here.deadline == 0.0
    assert sent(here).letters == letters(4, 5)


def test_what_was_put_is_never_dropped_but_no_heartbeats_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "A_QUEUE", 2)
    end = buyers_end(1)
    end.put(Letter(2, Heartbeat()))
    end.put(Letter(3, Heartbeat()))  # the two before are as good a sign of life
    end.put(*letters(4))
    assert sent(end).letters == (*letters(1), Letter(2, Heartbeat()), *letters(4))


def test_something_to_send_is_due_at_once_and_nothing_never() -> None:
    end = buyers_end()
    assert end.deadline == NEVER
    end.put(*letters(1))
    assert end.deadline == 0.0


# ------------------------------------------------------------------------------- letters that nobody waits for
def sold(clock: int) -> Letter:
    return Letter(clock, Sold(f"buyer0-{clock}", "fish", "buyer0", 700, 9))


def test_what_nobody_waits_for_leaves_at_once_if_it_is_alone() -> None:
    end = traders_end()
    end.put(sold(1))
    assert end.deadline <= 10.0
    assert sent(end, 10.0).letters == (sold(1),)


def test_where_there_is_much_that_nobody_waits_for_it_travels_together() -> None:
    end = traders_end()
    end.put(sold(1))
    sent(end, 10.0)
    for clock in (2, 3):
        end.put(sold(clock))
        assert end.delivery(10.0 + COMPANY_S / 2) is None
    assert end.deadline == 10.0 + COMPANY_S
    assert sent(end, end.deadline).letters == (sold(2), sold(3))
    assert end.deadline == 10.0 + REPEAT_AFTER_S


def test_what_somebody_waits_for_takes_it_along_and_does_not_overtake_it() -> None:
    end = traders_end()
    end.put(sold(1))
    sent(end, 10.0)
    end.put(sold(2))
    end.put(*letters(3))
    assert end.deadline <= 10.0
    assert sent(end, 10.0).letters == (sold(2), *letters(3))


def test_an_acknowledgement_takes_it_along() -> None:
    seller, trader = a_channel("seller1", "buyer7", 1), a_channel("buyer7", "seller1")
    trader.put(sold(1))
    sent(trader, 10.0)
    trader.accept(sent(seller), 10.0 + COMPANY_S - TELL_AFTER_S - 0.01)
    trader.put(sold(2))
    assert trader.deadline < 10.0 + COMPANY_S
    told = sent(trader, trader.deadline)
    assert (told.letters, told.taken) == ((sold(2),), 1)


def test_what_was_lost_is_sent_again_at_once() -> None:
    end = traders_end()
    end.put(sold(1))
    sent(end, 10.0)
    end.again()
    assert sent(end, 10.0).letters == (sold(1),)


# ------------------------------------------------------------------------------------------ acknowledgements
def test_what_was_taken_is_told_along_with_the_next_letters() -> None:
    buyer, trader = buyers_end(1, 2), traders_end()
    exchange(buyer, trader, 10.0)
    trader.put(*letters(7))
    assert sent(trader, 10.0) == a_delivery("buyer7", "buyer0", *letters(7), of=1, taken=2)
    assert trader.deadline == 10.0 + REPEAT_AFTER_S


def test_what_was_taken_is_told_without_letters_when_there_are_none_for_a_while() -> None:
    buyer, trader = buyers_end(1, 2), traders_end()
    exchange(buyer, trader, 10.0)
    assert trader.delivery(10.0) is None
    assert trader.deadline == 10.0 + TELL_AFTER_S
    told = sent(trader, trader.deadline)
    assert told == a_delivery("buyer7", "buyer0", of=1, taken=2)
    assert trader.deadline == NEVER
    assert buyer.accept(told, 11.0) == ()
    assert not buyer
    assert buyer.deadline == NEVER


def test_an_acknowledgement_is_not_acknowledged() -> None:
    buyer, trader = buyers_end(1), traders_end()
    exchange(buyer, trader, 0.0)
    exchange(trader, buyer, TELL_AFTER_S)
    assert buyer.delivery(100.0) is None


def test_what_comes_again_was_not_known_to_be_taken_so_it_is_told_at_once() -> None:
    buyer, trader = buyers_end(1), traders_end()
    first = sent(buyer)
    trader.accept(first, 0.0)
    sent(trader, TELL_AFTER_S)  # is lost
    assert trader.accept(first, 5.0) == ()
    assert trader.deadline == 5.0


def test_an_acknowledgement_for_a_former_life_does_not_count() -> None:
    reborn = buyers_end(1, 2, life=2)
    sent(reborn)
    reborn.accept(a_delivery("buyer7", "buyer0", of=1, taken=2), 0.0)
    assert len(reborn) == 2


def test_nobody_can_acknowledge_what_was_not_sent() -> None:
    end = buyers_end(1)
    sent(end)
    end.accept(a_delivery("buyer7", "buyer0", of=1, taken=2), 0.0)
    assert len(end) == 1


# --------------------------------------------------------------------------------------------- repetitions
def test_what_is_not_acknowledged_in_time_is_taken_for_lost_and_sent_again_from_the_first_on() -> None:
    buyer, trader = buyers_end(1, 2), traders_end()
    trader.accept(sent(buyer, 10.0), 10.0)
    buyer.accept(sent(trader, 10.0 + TELL_AFTER_S), 11.0)
    for clock in (3, 4):
        buyer.put(*letters(clock))
        sent(buyer, 20.0 + clock)
    assert buyer.deadline == buyer.repeat_at == 23.0 + REPEAT_AFTER_S
    buyer.again()
    assert sent(buyer, 30.0) == Delivery("buyer0", "buyer7", 1, 2, 2, -1, 0, letters(3, 4))
    assert buyer.repeat_at == 30.0 + REPEAT_AFTER_S


def test_every_word_of_progress_gives_the_rest_more_time() -> None:
    buyer, trader = buyers_end(1), traders_end()
    trader.accept(sent(buyer, 10.0), 10.0)
    buyer.put(*letters(2))
    sent(buyer, 12.0)
    buyer.accept(sent(trader, 12.5), 12.5)
    assert buyer.repeat_at == 12.5 + REPEAT_AFTER_S


def test_repetitions_are_counted_until_something_is_taken() -> None:
    buyer, trader = buyers_end(1), traders_end()
    for _ in range(2):
        delivery = sent(buyer)
        buyer.again()
    assert buyer.repeated == 2
    trader.accept(delivery, 0.0)
    buyer.accept(sent(trader, TELL_AFTER_S), 1.0)
    assert buyer.repeated == 0


def test_a_delivery_that_has_grown_in_its_repetition_brings_only_what_is_new() -> None:
    trader = traders_end()
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(1, 2)), 0.0) == letters(1, 2)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(1, 2, 3)), 0.0) == letters(3)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(1, 2, 3)), 0.0) == ()


def test_what_would_leave_a_gap_is_not_taken() -> None:
    trader = traders_end()
    trader.accept(a_delivery("buyer0", "buyer7", *letters(1)), 0.0)
    assert trader.accept(Delivery("buyer0", "buyer7", 1, 2, 0, -1, 0, letters(3)), 0.0) == ()
    assert trader.accept(Delivery("buyer0", "buyer7", 1, 1, 0, -1, 0, letters(2, 3)), 0.0) == letters(2, 3)


# --------------------------------------------------------------------------------------------- further lives
def test_a_sender_that_was_started_again_begins_anew() -> None:
    trader = traders_end()
    trader.accept(a_delivery("buyer0", "buyer7", *letters(1, 2)), 0.0)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(1), life=2), 0.0) == letters(1)
    again = a_delivery("buyer0", "buyer7", *letters(2), life=2, number=1)
    assert trader.accept(again, 0.0) == letters(2)


def test_the_last_words_of_a_life_that_is_over_are_dropped() -> None:
    trader = traders_end(9)
    sent(trader)
    trader.accept(a_delivery("buyer0", "buyer7", *letters(1), life=2), 0.0)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(9), number=5, of=1, taken=1), 0.0) == ()
    assert len(trader) == 1


def test_a_receiver_that_was_started_again_takes_up_where_the_sender_is() -> None:
    assert traders_end().accept(a_delivery("buyer0", "buyer7", *letters(8, 9), number=40), 0.0) == letters(8, 9)


def test_a_receiver_that_was_started_again_does_not_begin_behind_what_is_still_under_way() -> None:
    buyer, trader = buyers_end(1), traders_end()
    first = sent(buyer)
    buyer.put(*letters(2))
    assert trader.accept(sent(buyer), 0.0) == ()
    assert trader.accept(first, 0.0) == letters(1)


def test_an_old_delivery_that_comes_late_to_a_new_life_does_not_hold_up_what_follows() -> None:
    trader = traders_end()
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(3), number=2), 0.0) == letters(3)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(8), number=7), 0.0) == letters(8)


def test_a_delivery_that_is_not_for_this_end_is_refused_and_changes_nothing() -> None:
    trader = traders_end()
    with pytest.raises(ValueError, match="from buyer0 for buyer6 reached buyer7"):
        trader.accept(a_delivery("buyer0", "buyer6", *letters(1)), 0.0)
    with pytest.raises(ValueError, match="from seller1 for buyer7 reached buyer7"):
        trader.accept(a_delivery("seller1", "buyer7", *letters(1)), 0.0)
    assert trader.accept(a_delivery("buyer0", "buyer7", *letters(1)), 0.0) == letters(1)


# ------------------------------------------------------------------------------------------ for its driver
def test_before_what_it_is_held_until_nothing_is_due() -> None:
    end = buyers_end(1)
    end.held_until = 5.0
    assert end.deadline == 5.0
    assert sent(end, 5.0).letters == letters(1)
    assert end.deadline == 5.0 + REPEAT_AFTER_S


def test_a_channel_owes_what_matters_and_no_heartbeats() -> None:
    end = buyers_end()
    end.put(Letter(1, Heartbeat()))
    assert not end.owes
    end.put(*letters(2))
    assert end.owes
