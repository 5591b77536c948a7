"""What escrow promises, it keeps: whatever is stopped, cut off or late, and between whichever two steps of a sale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bazaar.analysis.audit import judge
from bazaar.core import warehouse
from bazaar.core.ledger.stock import Stock
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.entries import Return
from bazaar.protocol.goods import WAREHOUSE
from bazaar.protocol.journal_lines import Promised
from bazaar.runtime.history import only
from peers.trader import Trader
from tests.simulation import World, draw_world

Patch = pytest.MonkeyPatch
SEEDS = range(12)
LEASE_S = 4.0
STOCKED_S = 6.0  # by then there is some of everything: an order for what nobody sells waits for the warehouse
STEPS = {0: "before the journal", 1: "before the history", 2: "before the answer", 3: "after it"}


def a_world(seed: int, **fixed: Any) -> World:
    """Two traders and five others, of whom one side by side with the highest trader can be cut off from the rest.

    Orders are for one unit: one that needs several lots is a question to the warehouse, whatever was granted.
    """
    settings = {
        "cache": "escrow", "peers": 7, "traders": 2, "buyers": 5, "window": 2, "think_s": 0.05, "requests": 300,
        "restock_count": 20, "restock_every_s": 1.0, "lease_s": LEASE_S, "answer_timeout_s": 60.0, "election": "rounds",
        "units": "1",
    }  # fmt: skip
    return draw_world(seed, **{**settings, **fixed})


def promises(turn: Turn) -> bool:
    return any(isinstance(record, Promised) for record in turn.kept)


def stopped_in_a_sale(seed: int, step: int, for_s: float) -> World:
    """The first trader is stopped within a sale. Meanwhile it and a buyer are cut off, so that nobody tells them."""
    world = a_world(seed)
    name = world.plan.names[-1]

    def when(turn: Turn) -> bool:
        if turn.now < 1.0 or not promises(turn):
            return False
        buyers = frozenset(record.order.buyer for record in turn.kept if isinstance(record, Promised))
        world.part(buyers | {name}, for_s + 1.0)
        return True

    world.stop_at(name, step, for_s, when)
    world.quiet_after_s = for_s + 3.0
    return world


@pytest.mark.parametrize("for_s", [0.5, LEASE_S - 0.5, 3 * LEASE_S])
@pytest.mark.parametrize("step", STEPS, ids=STEPS.get)
def test_stopped_between_any_two_steps_of_a_sale(step: int, for_s: float) -> None:
    deposed = 0
    for seed in SEEDS:
        world = stopped_in_a_sale(seed, step, for_s)
        report = judge(world.run())
        assert report.violations == {}, f"seed {seed}"
        assert world.plan.names[-1] not in world._stops  # it was stopped
        deposed += report.exercised["traders_deposed"]
    if for_s > LEASE_S:
        assert deposed >= len(SEEDS)


@pytest.mark.parametrize("rate", [1.0, 0.85])
def test_a_trader_that_is_deposed_behind_its_back_sells_to_the_end_of_its_lease(rate: float) -> None:
    """Also if its clock goes late, by less than the margin."""
    sold_after = 0
    for seed in SEEDS:
        world, name = cut_off_with_its_buyers(seed)
        world.rates[name] = rate
        report = judge(world.run())
        assert report.violations == {}, f"seed {seed}"
        sold_after += sales_from_grants_after_deposal(world, name)
    assert sold_after > 0


def cut_off_with_its_buyers(seed: int) -> tuple[World, str]:
    """The first trader and three buyers on one side, the rest on the other, for longer than a lease.

    Half of what the buyers order waits for the other trader, so they need wide windows to go on for so long.
    """
    world = a_world(seed, restock_count=300, think_s=2.0, window=60, requests=1500)
    name = world.plan.names[-1]
    buyers = [peer for peer in world.plan.names[:-2] if peer.startswith("buyer")][:3]
    world.at(STOCKED_S, lambda: world.part(frozenset({name, *buyers}), 4 * LEASE_S))
    world.quiet_after_s = STOCKED_S + 5 * LEASE_S
    return world, name


def sales_from_grants_after_deposal(world: World, name: str) -> int:
    deposed_at = min((line.at for line in only(world.histories[WAREHOUSE], events.Deposed)), default=float("inf"))
    taken = only(world.histories[name], events.Taken)
    return sum(line.event.to == "cache" and line.at > deposed_at for line in taken)


def test_while_the_warehouse_is_away_what_was_granted_is_sold() -> None:
    """Orders come at random, some forty a second: so all seeds together are compared, not each on its own."""
    before = away = 0
    for seed in SEEDS:
        world = a_world(seed, restock_count=500, requests=1500, buyers=4)
        world.at(STOCKED_S, lambda world=world: world.kill(WAREHOUSE))  # type: ignore[misc]
        world.at(STOCKED_S + LEASE_S / 2, lambda world=world: world.restart(WAREHOUSE))  # type: ignore[misc]
        world.quiet_after_s = STOCKED_S + LEASE_S
        report = judge(world.run())
        assert report.violations == {}, f"seed {seed}"
        before += orders_taken(world, STOCKED_S - LEASE_S / 2)
        away += orders_taken(world, STOCKED_S)
    print(f"{before} orders before, {away} while the warehouse was away")
    assert away > 0.9 * before


def orders_taken(world: World, since: float) -> int:
    """By the two traders, within half a lease."""
    taken = (line.at for name in world.plan.names[-2:] for line in only(world.histories[name], events.Taken))
    return sum(since < at <= since + LEASE_S / 2 for at in taken)


def test_scarce_goods_are_called_back_and_nobody_is_refused_what_another_holds(monkeypatch: Patch) -> None:
    recalled = 0
    monkeypatch.setattr(warehouse, "LEAST_SHARE", 1)  # so that it comes to that more often
    for seed in SEEDS:
        world = short_of_everything(seed)
        report = judge(world.run())
        assert report.violations == {}, f"seed {seed}"
        recalled += sum(isinstance(entry, Return) for entry in world.entries)
    assert recalled > len(SEEDS)


def killed_while_it_owes(seed: int) -> World:
    """The first trader is killed six times with promises not yet confirmed, and soon started again. Goods are scarce."""
    world = a_world(
        seed, restock_count=30, restock_every_s=0.5, window=20, think_s=0.5, requests=500, answer_timeout_s=2.0
    )
    name = world.plan.names[-1]
    away_s, again_s = 0.1, 0.3

    def owes() -> bool:
        trader: Any = world.actors[name]._trader  # type: ignore[attr-defined] # of a Peer
        return trader is not None and bool(trader._promises.untold)

    def die(deaths: int) -> None:
        world.kill(name)
        world.at(world.now + away_s, lambda: world.restart(name))
        if deaths > 1:
            world.at(world.now + away_s + again_s, lambda: world.once(owes, lambda: die(deaths - 1)))

    world.at(0.5, lambda: world.once(owes, lambda: die(6)))
    world.quiet_after_s = 5.0
    return world


def test_started_again_it_gives_back_nothing_that_it_promised_in_a_former_life(monkeypatch: Patch) -> None:
    monkeypatch.setattr(warehouse, "LEAST_SHARE", 1)  # goods are called back more often
    owed: list[int] = []

    def taken_back(seed: int) -> bool:
        world = killed_while_it_owes(seed)
        report = judge(world.run())
        lives = [line.event for line in only(world.histories[world.plan.names[-1]], events.TookOver)]
        owed.append(sum(event.promised for event in lives))
        return "strong_caches_take_nothing_back" in report.violations

    assert sum(map(taken_back, SEEDS)) == 0
    assert sum(owed) > 10 * len(SEEDS)
    monkeypatch.setattr(Trader, "_may_ask", property(lambda trader: not trader._questions))  # its journal unread or not
    assert sum(map(taken_back, SEEDS)) >= len(SEEDS) / 6


# -------------------------------------------------------------------------------------- broken on purpose
def the_lease_is_not_checked(patch: Patch) -> None:
    """The buyer is told without a look at the clock after the journal is written."""
    patch.setattr(Turn, "sends_at", lambda self, now: self.sends)


def the_successor_does_not_wait(patch: Patch) -> None:
    """The queue is handed on at once."""
    patch.setattr(warehouse, "LEASE_MARGIN", 0.0)


def what_is_given_back_is_free_twice(patch: Patch) -> None:
    apply = Stock.apply

    def generous(self: Stock, entry: Any) -> None:
        apply(self, entry)
        if isinstance(entry, Return):
            shelf = self._shelves[entry.item]
            lot = shelf.get(entry.deposit_id)
            assert lot is not None
            self._give(shelf, lot)

    patch.setattr(Stock, "apply", generous)


def nobody_is_called_back(patch: Patch) -> None:
    """What is granted to others counts as gone."""
    patch.setattr(Stock, "holders", lambda self, item: [])


def stopped_before_the_journal(seed: int) -> World:
    return stopped_in_a_sale(seed, 0, 3 * LEASE_S)


def cut_off(seed: int) -> World:
    return cut_off_with_its_buyers(seed)[0]


def short_of_everything(seed: int) -> World:
    return a_world(seed, restock_count=20, restock_every_s=3.0, traders=3)


@pytest.mark.parametrize(
    ("spoil", "make", "check"),
    [
        (the_lease_is_not_checked, stopped_before_the_journal, "buyers_were_told_the_truth"),
        (the_successor_does_not_wait, cut_off, "strong_caches_take_nothing_back"),
        (nobody_is_called_back, short_of_everything, "strong_caches_refuse_nothing_in_stock"),
        (what_is_given_back_is_free_twice, short_of_everything, "no_product_below_zero"),
    ],
)
def test_the_audit_sees_it(
    spoil: Callable[[Patch], None], make: Callable[[int], World], check: str, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(warehouse, "LEAST_SHARE", 1)  # goods are called back more often

    def caught(seed: int) -> bool:
        return check in judge(make(seed).run()).violations

    assert sum(map(caught, SEEDS)) == 0, "seen though nothing is broken"
    monkeypatch.setattr("tests.simulation.world.LONGEST_S", 20.0)  # what is refused is repeated in vain
    spoil(monkeypatch)
    seen = sum(map(caught, SEEDS))
    print(f"{spoil.__name__}: {check} tells of {seen} seeds of {len(SEEDS)}")
    assert seen > len(SEEDS) / 2


def test_a_clock_that_goes_later_than_is_allowed_for_is_seen() -> None:
    """So the margin is no decoration."""
    seen = 0
    for seed in SEEDS:
        world, name = cut_off_with_its_buyers(seed)
        world.rates[name] = 0.2
        seen += "strong_caches_take_nothing_back" in judge(world.run()).violations
    assert seen > len(SEEDS) / 3
