"""The type of an order's story: its outcome, what happened when, and why."""

from __future__ import annotations

from typing import Literal

import msgspec

from bazaar.protocol.goods import Item

Outcome = Literal["purchased", "unavailable", "over-sold", "unanswered", "bought abroad", "unknown abroad"]
Cause = Literal[
    # over-sold: why a trader promised a unit that was not there
    "stale pull",
    "push on its way",
    "answer on its way",
    "sold at once",
    "take-over",
    "late push",
    "crossed pushes",
    "late deposit",
    "old journal",
    "pushes are off",
    "not told",
    "policy",
    # unanswered
    "buyer is gone",
    "run was cut short",
    # unanswered or slow: where the order waited longest
    "fail-over",
    "stood still",
    "scarce",
    "queue",
    "on its way",
    "warehouse",
    "repeated",
    "nothing happened",
    "not recorded",
]
WORDS: dict[Cause, str] = {
    "stale pull": "a stale pull overwrote what a newer push had said",
    "push on its way": "the push about a sale was still on its way",
    "answer on its way": "the warehouse's answer about a sale was still on its way",
    "sold at once": "two traders sold the last unit at once",
    "take-over": "a trader's queue was taken over between the promise and the sale",
    "late push": "an older push came after a newer pull, and brought a lot back that was sold out",
    "crossed pushes": "pushes crossed: each said what its sender believed, without the other's sale",
    "late deposit": "a deposit was registered once more, and its whole count believed",
    "old journal": "an heir took a count in the journal of a former tenure for true",
    "pushes are off": "traders do not push, and the last pull was too old",
    "not told": "whoever sold it never told this trader",
    "policy": "the cache policy promised more than it had been told",
    "buyer is gone": "its buyer is gone",
    "run was cut short": "the run was cut short",
    "fail-over": "the trader that had it lost its seat",
    "stood still": "a process stood still",
    "scarce": "what there was of the item was granted to other traders",
    "queue": "it waited in a trader's queue",
    "on its way": "a message was on its way",
    "warehouse": "the warehouse was being asked",
    "repeated": "nobody answered, and the buyer asked again",
    "nothing happened": "nothing more is noted of it",
    "not recorded": "the histories do not tell",
}
"""What each cause means. An order that was simply purchased or refused has none."""


class Moment(msgspec.Struct, frozen=True):
    """Something that happened, in a sentence. `at_s`: seconds since the market opened."""

    at_s: float
    clock: int
    process: str
    text: str


class Story(msgspec.Struct, frozen=True):
    """The story of one order."""

    order: str
    buyer: str
    item: Item
    outcome: Outcome
    cause: Cause | None
    """The cause of what had to be explained; None if nothing had to be."""
    moments: tuple[Moment, ...]
    why: tuple[str, ...]
    """The explanation in sentences."""
    units: int = 1
    """How many units of the item it is for."""
