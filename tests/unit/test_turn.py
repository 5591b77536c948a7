from __future__ import annotations

from bazaar.protocol.messages import Freed
from tests.builders import a_turn


def test_sends_leave_in_their_order_with_rising_clocks() -> None:
    turn = a_turn()
    turn.send("buyer1", Freed("salt"))
    turn.send("buyer0", Freed("fish"))
    assert [(to, letter.body) for to, letter in turn.sends_at(0.0)] == [
        ("buyer1", Freed("salt")),
        ("buyer0", Freed("fish")),
    ]
    assert turn.sends_at(0.0)[0][1].clock < turn.sends_at(0.0)[1][1].clock


def test_what_may_only_leave_before_a_time_does_not_leave_after_it() -> None:
    turn = a_turn()
    turn.send("buyer0", Freed("salt"), before=5.0)
    turn.send("buyer1", Freed("fish"))
    turn.send("buyer2", Freed("boar"), before=7.0)
    assert [to for to, _ in turn.sends_at(4.9)] == ["buyer0", "buyer1", "buyer2"]
    assert [to for to, _ in turn.sends_at(5.0)] == ["buyer1", "buyer2"]
    assert [to for to, _ in turn.sends_at(9.0)] == ["buyer1"]
