"""The shared cache in simulated bazaars: it holds with any faults, also of its server, and the judge sees what is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from bazaar.core.epochs import Epochs
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.cache_server import Call, Given, Result, Take
from bazaar.protocol.entries import Sale
from bazaar.protocol.goods import Lot, Order
from bazaar.protocol.messages import Unavailable
from peers.trader.takes import Takes
from tests.breaks import SHARED
from tests.simulation.cache_server import CacheServer
from tests.simulation.draw import draw_world
from tests.simulation.trial import judged, run
from tests.simulation.world import World

Patch = pytest.MonkeyPatch
SEEDS = range(12)


def the_events(world: World, kind: type[events.Event]) -> list[Any]:
    return [line.event for line in world.histories["warehouse"] if isinstance(line.event, kind)]


@pytest.mark.parametrize("seed", range(40))
def test_with_any_settings_and_any_faults_it_keeps_every_promise(seed: int) -> None:
    report = run("shared", seed)[2]
    assert report.violations == {}


def busy(seed: int, **fixed: Any) -> World:
    return draw_world(seed, **{**SHARED, **fixed})


def test_many_orders_are_promised_from_it() -> None:
    world = busy(1)
    _, report = judged(world)
    cached = [entry.cached for entry in world.entries if isinstance(entry, Sale)]
    assert report.verdict == "held"
    assert sum(cached) > len(cached) / 3


def test_when_the_server_dies_the_warehouse_answers_and_a_new_epoch_begins_when_it_is_back() -> None:
    world = busy(1)
    begun = lambda: bool(the_events(world, events.EpochBegun))  # noqa: E731

    def dies() -> None:
        world.kill_cache()
        world.at(world.now + 1.0, world.restart_cache)
        world.quiet_after_s = world.now + 3.0

    world.quiet_after_s = 5.0
    world.at(0.0, lambda: world.once(begun, dies))
    _, report = judged(world)
    assert (report.verdict, report.exercised["orders_asked"]) == ("held", report.exercised["orders_answered"])
    assert world.hits["cache: Unreached"]
    assert len(the_events(world, events.EpochBegun)) > 1


def test_a_server_that_forgets_ends_the_epoch() -> None:
    world = busy(1)
    world.quiet_after_s = 5.0
    world.at(0.0, lambda: world.once(lambda: bool(the_events(world, events.EpochBegun)), world.empty_cache))
    _, report = judged(world)
    assert report.verdict == "held"
    assert "lost" in [event.why for event in the_events(world, events.EpochEnding)]


def test_without_a_server_all_orders_go_to_the_warehouse() -> None:
    world = busy(1)
    world.kill_cache()
    _, report = judged(world)
    assert report.verdict == "held"
    assert not the_events(world, events.EpochBegun)
    assert not any(entry.cached for entry in world.entries if isinstance(entry, Sale))


# -------------------------------------------------------------------------------------- broken on purpose
Spoil = Callable[[Patch], None]
SPOILS: list[tuple[Spoil, str, int]] = []
"""Each with the check that has to tell of it, and in how many of the worlds at least."""


def control(check: str, at_least: int) -> Callable[[Spoil], Spoil]:
    def enlist(spoil: Spoil) -> Spoil:
        SPOILS.append((spoil, check, at_least))
        return spoil

    return enlist


@control("strong_caches_take_nothing_back", 6)
def the_server_gets_first_and_sets_later(patch: Patch) -> None:
    """Not one script: between a trader's GET and its SET another trader gets the same count."""
    honest = CacheServer.do
    kept_back: list[tuple[CacheServer, Call]] = []

    def do(server: CacheServer, call: Call) -> Result:
        lot = None
        if isinstance(call, Take) and call.epoch == server.epoch:
            lot = server._shelves[call.item].one_with(call.units)
        if lot is None or not isinstance(call, Take):
            return honest(server, call)
        while kept_back:
            honest(*kept_back.pop())
        kept_back.append((server, call))
        return Given(lot, lot.count)

    patch.setattr(CacheServer, "do", do)


@control("strong_caches_take_nothing_back", 3)
def an_epoch_is_over_before_the_traders_have_said_so(patch: Patch) -> None:
    """What is filled in anew forgets what is promised, and not told to the warehouse yet."""
    honest = Epochs.settle

    def settle(epochs: Epochs, turn: Turn) -> None:
        epochs._ended = {seat for seat in epochs._ledger.seats.bench.seats if seat is not None}
        honest(epochs, turn)

    patch.setattr(Epochs, "settle", settle)


@control("strong_caches_take_nothing_back", 1)
def units_of_an_epoch_that_has_ended_are_promised(patch: Patch) -> None:
    honest = Takes.taken

    def taken(takes: Takes, turn: Turn, take: Take, result: Result) -> tuple[Order, Lot] | None:
        epoch, takes._epoch = takes._epoch, take.epoch
        given = honest(takes, turn, take, result)
        takes._epoch = epoch
        return given

    patch.setattr(Takes, "taken", taken)


@control("buyers_were_told_the_truth", 6)
def a_miss_is_taken_for_a_denial(patch: Patch) -> None:
    honest = Takes.taken

    def taken(takes: Takes, turn: Turn, take: Take, result: Result) -> tuple[Order, Lot] | None:
        order = takes._under_way.get(take.order_id)
        given = honest(takes, turn, take, result)
        if given is None and order is not None:
            turn.send(order.buyer, Unavailable(order.order_id, order.item, order.units))
        return given

    patch.setattr(Takes, "taken", taken)


def violated() -> Counter[str]:
    checks: Counter[str] = Counter()
    for seed in SEEDS:
        world = busy(seed)
        if seed % 2:
            for at in (0.2, 0.4, 0.6, 0.8):
                world.at(at, world.empty_cache)
        checks.update(judged(world)[1].violations.keys())
    return checks


@pytest.mark.parametrize(("spoil", "check", "at_least"), SPOILS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_broken_is_seen(spoil: Spoil, check: str, at_least: int, monkeypatch: Patch) -> None:
    spoil(monkeypatch)
    told = violated()
    print(spoil.__name__, dict(told))
    assert told[check] >= at_least


def test_what_is_not_broken_holds() -> None:
    assert violated() == {}
