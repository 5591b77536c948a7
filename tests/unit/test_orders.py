from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bazaar.core.orders import TradeQueue
from bazaar.protocol.goods import Order, index_of
from tests.builders import an_order

LANES = ("fish", "salt", "sure")


def a_queue(*orders: Order) -> TradeQueue:
    """All in one lane, in the order of their arrival."""
    queue = TradeQueue()
    for order in orders:
        queue.put("salt", order)
    return queue


def taken(queue: TradeQueue, *lanes: str) -> list[str]:
    """The names of all orders in these lanes, in the order in which they come out."""
    names = []
    while one := queue.pop(lanes or queue.first()):
        names.append(one[1].order_id)
    return names


def test_the_lowest_clock_comes_first_not_the_first_arrival() -> None:
    queue = a_queue(an_order("buyer0-0", clock=30), an_order("buyer1-0", clock=10), an_order("buyer2-0", clock=20))
    assert taken(queue) == ["buyer1-0", "buyer2-0", "buyer0-0"]


def test_of_two_with_the_same_clock_the_lower_index_comes_first_as_a_number() -> None:
    queue = a_queue(an_order("buyer10-0", clock=5), an_order("buyer9-0", clock=5))
    assert taken(queue) == ["buyer9-0", "buyer10-0"]


def test_with_several_lanes_open_the_lowest_clock_of_all_comes_first() -> None:
    queue = TradeQueue()
    queue.put("fish", an_order("buyer0-0", clock=20))
    queue.put("salt", an_order("buyer1-0", clock=10))
    assert taken(queue, "fish", "salt") == ["buyer1-0", "buyer0-0"]


def test_a_closed_lane_waits() -> None:
    queue = TradeQueue()
    queue.put("fish", an_order("buyer0-0", clock=20))
    queue.put("salt", an_order("buyer1-0", clock=10))
    assert taken(queue, "fish") == ["buyer0-0"]
    assert list(queue.first()) == ["salt"]
    assert "buyer1-0" in queue


def test_an_order_is_queued_once_whatever_the_lane() -> None:
    queue = a_queue(an_order("buyer0-0", clock=5))
    queue.put("sure", an_order("buyer0-0", clock=9))
    assert len(queue) == 1
    assert taken(queue) == ["buyer0-0"]


def test_an_order_that_was_taken_can_be_queued_again() -> None:
    queue = a_queue(an_order("buyer0-0"))
    taken(queue)
    assert "buyer0-0" not in queue
    queue.put("sure", an_order("buyer0-0"))
    assert taken(queue) == ["buyer0-0"]


def test_nothing_comes_out_of_an_empty_queue_or_an_unknown_lane() -> None:
    assert a_queue().pop(["salt"]) is None
    assert a_queue(an_order()).pop(["boar"]) is None
    assert a_queue(an_order()).pop([]) is None


PUTS = st.tuples(st.sampled_from(LANES), st.integers(0, 12), st.integers(0, 5), st.integers(0, 3))
POPS = st.sets(st.sampled_from(LANES))


@given(st.lists(PUTS | POPS, max_size=80))
def test_it_behaves_like_a_sorted_list(steps: list[tuple[str, int, int, int] | set[str]]) -> None:
    queue = TradeQueue()
    model: list[tuple[int, int, str, str]] = []  # clock, index, name, lane
    for step in steps:
        if isinstance(step, tuple):
            lane, buyer, serial, clock = step
            order = an_order(f"buyer{buyer}-{serial}", clock=clock)
            queue.put(lane, order)
            if all(name != order.order_id for _, _, name, _ in model):
                model.append((clock, index_of(order.buyer), order.order_id, lane))
        else:
            due = min((waiting for waiting in model if waiting[3] in step), default=None)
            popped = queue.pop(step)
            assert (popped and (popped[1].order_id, popped[0])) == (due and (due[2], due[3]))
            if due is not None:
                model.remove(due)
        assert len(queue) == len(model)
        assert sorted(queue.first()) == sorted({lane for _, _, _, lane in model})
