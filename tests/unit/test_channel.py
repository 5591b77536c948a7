from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bazaar.core import channel
from bazaar.core.channel import Afterwards, Inbox, Outbox
from bazaar.records import Delivery, Letter, WhoTrades


def letters(*clocks: int) -> tuple[Letter, ...]:
    return tuple(Letter(clock, WhoTrades()) for clock in clocks)


def an_outbox(*clocks: int, incarnation: int = 1) -> Outbox:
    outbox = Outbox("buyer0", "buyer7", incarnation)
    for letter in letters(*clocks):
        outbox.put(letter)
    return outbox


def a_delivery(sequence: int, *clocks: int, incarnation: int = 1, target: str = "buyer7") -> Delivery:
    return Delivery("buyer0", target, incarnation, sequence, letters(*clocks))


STEPS = st.lists(st.sampled_from(["put", "arrives", "lost", "acknowledgement lost"]) | st.integers(0, 20), max_size=60)


@given(STEPS)
def test_first_in_first_out_exactly_once_whatever_the_network_does(steps: list[str | int]) -> None:
    """A number is the late arrival of an earlier delivery: a duplicate, or one that others have overtaken."""
    outbox, inbox = Outbox("buyer0", "buyer7", 1), Inbox("buyer7")
    put: list[Letter] = []
    received: list[Letter] = []
    made: list[Delivery] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "MOST_LETTERS", 3)
        for step in (*steps, *["arrives"] * len(steps)):
            if step == "put":
                put.append(Letter(len(put), WhoTrades()))
                outbox.put(put[-1])
            elif isinstance(step, int):
                if made:
                    received += inbox.accept(made[step % len(made)])
            else:
                made.append(outbox.delivery())
                if step != "lost":
                    received += inbox.accept(made[-1])
                if step == "arrives":
                    outbox.acknowledged(made[-1])
            assert received == put[: len(received)]
    assert received == put
    assert not outbox


def test_letters_that_wait_for_an_acknowledgement_go_together() -> None:
    outbox = an_outbox(1)
    first = outbox.delivery()
    for letter in letters(2, 3):
        outbox.put(letter)
    outbox.acknowledged(first)
    assert outbox.delivery() == a_delivery(1, 2, 3)


def test_a_delivery_that_has_grown_in_its_repetition_brings_only_what_is_new() -> None:
    inbox = Inbox("buyer7")
    assert inbox.accept(a_delivery(0, 1, 2)) == letters(1, 2)
    assert inbox.accept(a_delivery(0, 1, 2, 3)) == letters(3)
    assert inbox.accept(a_delivery(0, 1, 2, 3)) == ()


def test_a_sender_that_was_started_again_begins_anew() -> None:
    inbox = Inbox("buyer7")
    inbox.accept(a_delivery(0, 1, 2, incarnation=1))
    assert inbox.accept(a_delivery(0, 1, incarnation=2)) == letters(1)
    assert inbox.accept(a_delivery(1, 2, incarnation=2)) == letters(2)


def test_the_last_words_of_a_life_that_is_over_are_dropped() -> None:
    inbox = Inbox("buyer7")
    inbox.accept(a_delivery(0, 1, incarnation=2))
    assert inbox.accept(a_delivery(5, 9, incarnation=1)) == ()
    assert inbox.accept(a_delivery(1, 2, incarnation=2)) == letters(2)


def test_a_receiver_that_was_started_again_takes_up_where_the_sender_is() -> None:
    assert Inbox("buyer7").accept(a_delivery(40, 8, 9)) == letters(8, 9)


def test_senders_are_told_apart() -> None:
    inbox = Inbox("buyer7")
    inbox.accept(a_delivery(0, 1))
    assert inbox.accept(Delivery("seller1", "buyer7", 1, 0, letters(1))) == letters(1)


def test_a_delivery_for_somebody_else_is_refused_and_changes_nothing() -> None:
    inbox = Inbox("buyer7")
    with pytest.raises(ValueError, match="buyer6 reached buyer7"):
        inbox.accept(a_delivery(0, 1, target="buyer6"))
    assert inbox.accept(a_delivery(0, 1)) == letters(1)


def test_one_delivery_holds_no_more_than_the_wire_takes() -> None:
    outbox = an_outbox(*range(channel.MOST_LETTERS + 1))
    assert len(outbox.delivery().letters) == channel.MOST_LETTERS
    outbox.acknowledged(outbox.delivery())
    assert outbox.delivery() == a_delivery(channel.MOST_LETTERS, channel.MOST_LETTERS)


def test_an_outbox_that_nobody_empties_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MOST_WAITING", 2)
    outbox = an_outbox(1, 2)
    assert not outbox.put(*letters(3))
    assert outbox.delivery() == a_delivery(0, 1, 2)
    outbox.acknowledged(outbox.delivery())
    assert outbox.put(*letters(4))
    assert outbox.delivery() == a_delivery(2, 4)


# ------------------------------------------------------------------------------------------ afterwards
def test_what_is_to_be_kept_afterwards_waits_until_all_that_was_sent_along_was_taken() -> None:
    buyer, seller, afterwards = an_outbox(1), an_outbox(2, 3), Afterwards()
    afterwards.put([buyer, seller], ["closed"])
    assert afterwards.due() == []
    buyer.acknowledged(buyer.delivery())
    assert afterwards.due() == []
    seller.acknowledged(seller.delivery())
    assert afterwards.due() == ["closed"]
    assert afterwards.due() == []


def test_what_is_sent_later_is_not_waited_for() -> None:
    outbox, afterwards = an_outbox(1), Afterwards()
    first = outbox.delivery()
    afterwards.put([outbox], ["closed"])
    outbox.put(*letters(2))
    outbox.acknowledged(first)
    assert afterwards.due() == ["closed"]


def test_what_was_put_behind_letters_that_wait_is_waited_for_with_them() -> None:
    outbox, afterwards = an_outbox(1), Afterwards()
    first = outbox.delivery()
    outbox.put(*letters(2))
    afterwards.put([outbox], ["closed"])
    outbox.acknowledged(first)
    assert afterwards.due() == []
    outbox.acknowledged(outbox.delivery())
    assert afterwards.due() == ["closed"]


def test_records_are_kept_in_their_order() -> None:
    slow, quick, afterwards = an_outbox(1), an_outbox(1), Afterwards()
    afterwards.put([slow], ["first"])
    afterwards.put([quick], ["second", "third"])
    quick.acknowledged(quick.delivery())
    assert afterwards.due() == []
    slow.acknowledged(slow.delivery())
    assert afterwards.due() == ["first", "second", "third"]


def test_nobody_waits_for_a_receiver_that_is_dead() -> None:
    dead, living, afterwards = an_outbox(1), an_outbox(1), Afterwards()
    afterwards.put([dead, living], ["closed"])
    dead.given_up = True
    assert afterwards.due() == []
    living.acknowledged(living.delivery())
    assert afterwards.due() == ["closed"]


def test_with_nothing_to_send_there_is_nothing_to_wait_for() -> None:
    afterwards = Afterwards()
    afterwards.put([], ["closed"])
    assert afterwards.due() == ["closed"]
