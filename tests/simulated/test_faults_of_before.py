"""Each protocol fault that was once in the market, put back: the worlds that are drawn from all settings find it again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from bazaar.core.channel import Channel
from bazaar.core.detector import Detector
from bazaar.core.turn import Turn
from bazaar.core.warehouse import Warehouse
from bazaar.protocol.goods import Bench, Seat
from bazaar.protocol.journal_lines import Recovered
from peers.membership import Membership
from peers.trader import Trader
from tests.simulation import draw_any_faults, draw_any_world, judged
from tests.simulation.world import World

Patch = pytest.MonkeyPatch
MOST_SEEDS = 300


LEASED: dict[str, Any] = {
    "cache": "escrow", "peers": 7, "traders": 2, "buyers": 5, "pace": "fast", "window": 30, "requests": 600, "think_s": 2.0,
    "restock_count": 300, "restock_every_s": 1.0, "lease_s": 4.0, "suspect_after_s": 2.0, "heartbeat_s": 0.5,
    "opening_delay_s": 0.0, "registration_delay_s": 0.0, "duration_s": 15.0, "answer_timeout_s": 60.0,
}  # fmt: skip


class Former(NamedTuple):
    spoil: Callable[[Patch], None]
    faults: tuple[str, ...]
    """Of which kinds the worlds are in which it is to be found; none: nothing befalls them."""
    fixed: dict[str, Any]


FORMER: list[Former] = []


def former(*faults: str, **fixed: Any) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """With these settings fixed."""

    def put_down(spoil: Callable[[Patch], None]) -> Callable[[Patch], None]:
        FORMER.append(Former(spoil, faults, fixed))
        return spoil

    return put_down


@former("owing")
def a_restarted_trader_takes_its_old_seat_for_a_new_one(patch: Patch) -> None:
    """And does not read its journal."""
    patch.setattr(Membership, "elected", property(lambda self: self.seat is not None))
    start = Trader.start

    def without_journal(self: Trader, turn: Turn, elected: bool) -> None:
        start(self, turn, elected)
        if elected:
            self._succession._reading.clear()
            turn.reads.clear()

    patch.setattr(Trader, "start", without_journal)


@former("in its election")
def an_old_bench_is_not_corrected(patch: Patch) -> None:
    adopt = Membership._adopt

    def mute(self: Membership, turn: Turn, source: str, bench: Bench) -> bool:
        sends = list(turn.sends)
        elected = adopt(self, turn, source, bench)
        if bench.position < self.bench.position:
            turn.sends[:] = sends
        return elected

    patch.setattr(Membership, "_adopt", mute)


@former("behind its back", **LEASED)
def a_lease_is_over_before_the_warehouse_has_begun(patch: Patch) -> None:
    init = Warehouse.__init__

    def at_zero(self: Warehouse, *arguments: Any) -> None:
        init(self, *arguments)
        self._began_at = 0.0

    patch.setattr(Warehouse, "__init__", at_zero)


@former("behind its back", **{**LEASED, "cache": "weak"})
def nobody_reads_what_a_trader_promised_that_was_deposed_unawares(patch: Patch) -> None:
    patch.setattr(Warehouse, "finish", lambda self, turn: None)


@former("pause", window=20, requests=200)
def a_channel_drops_what_is_too_much(patch: Patch) -> None:
    put = Channel.put
    patch.setattr(Channel, "put", lambda self, letter: put(self, letter) if len(self) < 12 else None)


@former("resign")
def who_is_no_trader_resigns_for_good(patch: Patch) -> None:
    resign = Membership.resign

    def for_good(self: Membership, turn: Turn) -> None:
        resign(self, turn)
        self._resigned = True

    patch.setattr(Membership, "resign", for_good)


@former()
def a_new_trader_keeps_old_signs_of_life(patch: Patch) -> None:
    def watch(self: Detector, names: Any, now: float, timeout_s: float | None = None) -> None:
        self._heard = {name: self._heard.get(name, now) for name in names}
        self.timeout_s = self.timeout_s if timeout_s is None else timeout_s

    patch.setattr(Detector, "watch", watch)


@former("lives", "clock set")
def a_life_is_numbered_by_a_clock_on_the_wall_that_is_set(patch: Patch) -> None:
    create = World._create

    def by_the_wall(self: World, name: str) -> None:
        create(self, name)
        self.endpoints[name].life = int(1e9 * (1e6 + self.now + self.wall_ahead_s))

    patch.setattr(World, "_create", by_the_wall)


@former("owing", cache="weak")
def a_journal_that_cannot_be_read_is_taken_for_an_empty_one(patch: Patch) -> None:
    inherit = Trader.inherit

    def trusting(self: Trader, turn: Turn, seat: Seat, found: Recovered) -> None:
        inherit(self, turn, seat, Recovered(found.lines or ()))

    patch.setattr(Trader, "inherit", trusting)


@pytest.mark.parametrize("fault", FORMER, ids=lambda fault: fault.spoil.__name__)
def test_it_is_found(fault: Former, monkeypatch: Patch) -> None:
    monkeypatch.setattr("tests.simulation.draw.LONGEST_S", 60.0)
    fault.spoil(monkeypatch)
    for seed in range(MOST_SEEDS):
        world = draw_any_world(seed, **fault.fixed)
        if fault.faults:
            draw_any_faults(world, seed, fault.faults)
        violations = judged(world)[1].violations
        if violations:
            print(f"{fault.spoil.__name__}: seed {seed}", {check: stories[0] for check, stories in violations.items()})
            return
    pytest.fail(f"not found in {MOST_SEEDS} worlds")
