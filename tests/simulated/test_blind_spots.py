"""What the audit once did not see: each is done to the market on purpose, and the verdict must say so.

Every case breaks one rule of the product, in the tests alone; unbroken, the same worlds hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from bazaar.analysis.audit import judge
from bazaar.core.detector import Detector
from bazaar.core.ledger.stock import Stock
from bazaar.core.turn import Turn
from bazaar.protocol import goods
from bazaar.protocol.entries import DepositEntry
from bazaar.protocol.former_life import FIRST_LIFE
from bazaar.protocol.goods import Lot
from bazaar.protocol.messages import Purchased
from peers import seller
from peers.buyer import Buyer
from peers.seller import Seller
from tests.simulation import World, draw_world

SEEDS = range(8)
Patch = pytest.MonkeyPatch
LONG: dict[str, Any] = {"requests": 100, "think_s": 0.05, "window": 3, "restock_every_s": 0.2}
"""Trading goes on for some seconds."""
IMPATIENT: dict[str, Any] = {**LONG, "cache": "none", "answer_timeout_s": 0.02}
"""Nearly every order is repeated with another trader, so that the seller hears of most sales twice."""


def nothing(world: World) -> None:
    """Nothing befalls this world, and its launcher says so."""
    world.histories["launcher"] = []


def restarted(role: str, world: World) -> None:
    """The lowest peer of this role, which is never elected, dies and comes back, twice."""
    name = next(name for name in world.plan.names if name.startswith(role))
    for at in (0.5, 1.0, 1.5):
        world.at(at, partial(world.kill, name))
        world.at(at + 0.02, partial(world.restart, name))
    world.quiet_after_s = 2.0


# ------------------------------------------------------------------------------------------ the breaks
def booked(change: Callable[[DepositEntry], DepositEntry | None]) -> Callable[[Patch], None]:
    """The warehouse books something else than what it was brought, or nothing, and acknowledges it all the same."""

    def spoil(patch: Patch) -> None:
        decide = Stock.decide_deposit

        def decide_deposit(stock: Stock, lot: Lot, trader: str) -> DepositEntry | None:
            entry = decide(stock, lot, trader)
            return entry and change(entry)

        patch.setattr(Stock, "decide_deposit", decide_deposit)

    return spoil


def with_fields(**fields: Any) -> Callable[[DepositEntry], DepositEntry]:
    return lambda entry: msgspec.structs.replace(entry, **fields)


def the_share_is_less(patch: Patch) -> None:
    patch.setattr(goods, "SELLER_SHARE_PERCENT", 79)


def prices_are_too_high(patch: Patch) -> None:
    patch.setattr(seller, "LOWEST_PRICE", 11)
    patch.setattr(seller, "HIGHEST_PRICE", 15)


def the_seller_forgets_what_it_was_paid_for(patch: Patch) -> None:
    init: Any = Seller.__init__

    def forgetful(self: Seller, *args: Any) -> None:
        *others, former = args
        arguments: Any = (*others, msgspec.structs.replace(former, credited=frozenset()))
        init(self, *arguments)

    patch.setattr(Seller, "__init__", forgetful)


def the_buyer_mistakes_its_answers_in_its_further_lives(patch: Patch) -> None:
    init: Any = Buyer.__init__
    purchased = Buyer.on_purchased

    def remember(self: Buyer, *args: Any) -> None:
        self.__dict__["lived_before"] = args[-1] != FIRST_LIFE
        init(self, *args)

    def mistake(self: Buyer, turn: Turn, source: str, body: Purchased) -> None:
        wrong = msgspec.structs.replace(body, seller="seller99")
        purchased(self, turn, source, wrong if self.__dict__["lived_before"] else body)

    patch.setattr(Buyer, "__init__", remember)
    patch.setitem(Buyer.handles, Purchased, mistake)


def everybody_is_suspected_once(patch: Patch) -> None:
    suspects = Detector.suspects

    def rash(self: Detector, now: float) -> list[str]:
        if self._heard and "rash" not in self.__dict__:
            self.__dict__["rash"] = True
            return list(self._heard)
        return suspects(self, now)

    patch.setattr(Detector, "suspects", rash)


CASES: list[tuple[str, Callable[[Patch], None], Callable[[World], None], dict[str, Any]]] = [
    (
        "deposits_are_booked_as_offered",
        booked(lambda entry: with_fields(count=entry.count - 1)(entry)),
        nothing,
        {"restock_count": 5},
    ),
    (
        "deposits_are_booked_as_offered",
        booked(lambda entry: with_fields(price_cents=entry.price_cents + 500)(entry)),
        nothing,
        {},
    ),
    ("deposits_are_booked_as_offered", booked(with_fields(item="salt")), nothing, {}),
    (
        "deposits_are_booked_as_offered",
        booked(lambda entry: None if entry.deposit_id.endswith("d0") else entry),
        nothing,
        {},
    ),
    ("entries_make_sense", prices_are_too_high, nothing, {}),
    ("money_adds_up", the_share_is_less, nothing, {}),
    ("money_adds_up", the_seller_forgets_what_it_was_paid_for, partial(restarted, "seller"), IMPATIENT),
    (
        "buyers_were_told_the_truth",
        the_buyer_mistakes_its_answers_in_its_further_lives,
        partial(restarted, "buyer"),
        LONG,
    ),
    ("the_living_keep_their_seats", everybody_is_suspected_once, nothing, {"traders": 2, "peers": 6}),
]


def seen(befalls: Callable[[World], None], fixed: dict[str, Any]) -> Counter[str]:
    """By check, of how many seeds it tells something."""
    told: Counter[str] = Counter()
    for seed in SEEDS:
        world = draw_world(seed, **fixed)
        befalls(world)
        told.update(judge(world.run()).violations.keys())
    return told


@pytest.mark.parametrize(("check", "spoil", "befalls", "fixed"), CASES)
def test_it_is_seen(
    check: str,
    spoil: Callable[[Patch], None],
    befalls: Callable[[World], None],
    fixed: dict[str, Any],
    monkeypatch: Patch,
) -> None:
    assert seen(befalls, fixed) == {}, "seen though nothing is broken"
    monkeypatch.setattr("tests.simulation.world.LONGEST_S", 60.0)
    spoil(monkeypatch)
    told = seen(befalls, fixed)
    print(f"{check}: {told[check]} of {len(SEEDS)} seeds; {dict(told)}")
    assert told[check] > len(SEEDS) / 2, dict(told)
