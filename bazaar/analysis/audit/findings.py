"""The judge's findings: the checks and the stories of each. A verdict says what the run exercised and what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

MOST_STORIES = 20  # of one check; further stories are only counted

CHECKS: dict[str, str] = {  # (C1) and the like: docs/reference/requirements.md
    "ledger_unbroken": "The ledger's positions are 0, 1, 2, … without a gap, and nothing stands in it twice.",
    "entries_make_sense": "Known items, positive counts, 5 to 10 whole dollars (C1), each sale at its lot's price.",
    "no_product_below_zero": "At every prefix of the ledger, no more of a lot is sold or granted than there is (D1).",
    "goods_add_up": "What the warehouse says is left of a product is what was deposited and not sold.",
    "deposits_are_booked_as_offered": "A seller's deposit is in the ledger once, with its item, count and price.",
    "lowest_deposit_first": "Where no cache had promised another, the free lot with the lowest clock is sold (C4).",
    "money_adds_up": "A buyer pays the price, once; the seller is credited 80 % of it, the trader keeps the rest (C5).",
    "each_order_decided_once": "No order is sold twice, nor both sold and denied.",
    "buyers_were_told_the_truth": "What a buyer was told last is what the ledger says.",
    "only_what_was_asked": "Nothing is decided that no buyer asked for, and each order has a name of its own.",
    "no_order_lost": "Every order is answered, by the end of a run, to every buyer that is there then.",
    "strong_caches_take_nothing_back": "Of a policy that promises to be strong, a promise is one: nothing is over-sold.",
    "strong_caches_refuse_nothing_in_stock": "Of a policy that promises to be strong: nothing is under-sold.",
    "one_stock_explains_all_answers": "Of a policy that promises to be strong: one stock of an item can have told clients so.",
    "window_kept": "No buyer has more orders outstanding than its window: a retry under a new name would be one more.",
    "only_traders_trade": "Every entry is by a peer that held a seat at that point; every seat is taken once.",
    "queues_were_taken_over": "The queue of each tenure that ended is taken over once, if a trader was left to do it.",
    "the_living_keep_their_seats": "Nobody is deposed by another with whom, and with whose accuser, nothing was wrong.",
    "seats_follow_the_load": "The traders are as many as the ledger says, change one at a time, the youngest goes (L1).",
    "traders_neither_buy_nor_sell": "While it holds a seat a peer places no new order and picks no new goods (B5).",
    "clocks_increase": "Lamport (C8): strictly increasing in a process; a message is received after it was sent.",
    "lowest_clock_served_first": "A trader passes over no lower clock that it could have taken (C4).",
    "three_neighbours_at_most": "A peer has at most three neighbours at any time, besides the warehouse (A1).",
    "only_along_edges": "Nobody sends anything to another that is not its neighbour then (K1).",
    "the_graph_heals": "The graph of those that live does not stay in parts when nothing hinders it (K2).",
}
OF_THE_GRAPH = frozenset(("three_neighbours_at_most", "only_along_edges", "the_graph_heals"))
"""These checks are judged only if the peers speak with their neighbours only."""
NEED_THE_WHOLE_LEDGER = frozenset(CHECKS) - {
    "ledger_unbroken",
    "entries_make_sense",
    "each_order_decided_once",
    "one_stock_explains_all_answers",
    "window_kept",
    "traders_neither_buy_nor_sell",
    "clocks_increase",
    "lowest_clock_served_first",
    *OF_THE_GRAPH,
}
"""If entries of the ledger cannot be read these checks are not judged: they would accuse the innocent."""


class Report(msgspec.Struct, frozen=True):
    """`audit.json`."""

    verdict: Literal["held", "violated", "unknown"]
    audit: dict[str, bool]
    """Whether each check holds. Checks that could not be judged are left out."""
    violations: dict[str, list[str]]
    exercised: dict[str, int]
    missed: Sequence[str] = ()
    """Planned faults that were not done. Such a run does not show what it was meant to show: its verdict is not "held"."""
    unknown: Sequence[str] = ()
    """What could not be known, each with the reason. This excuses no violation, but the verdict cannot be "held"."""
    notes: Sequence[str] = ()
    """Facts that are no violation, but that a reader of the verdict should know."""
    counter_examples: Sequence[str] = ()
    """Answers of a weak policy that one stock cannot have given. They are no violation either."""


class Stories:
    """At most `MOST_STORIES` different stories of a kind. Further ones are only counted."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def tell(self, story: str) -> None:
        if story not in self._told:
            if len(self._told) < MOST_STORIES:
                self._told.append(story)
            else:
                self._more += 1

    def __len__(self) -> int:
        return len(self._told) + self._more

    def all(self) -> list[str]:
        return [*self._told, f"and {self._more} more"] if self._more else list(self._told)


class Findings:
    """Collects the violations by check, and the other findings."""

    def __init__(self) -> None:
        self._violations: dict[str, Stories] = {}
        self.unknown = Stories()
        self.notes = Stories()
        self.counter_examples = Stories()
        self.exercised: Counter[str] = Counter()
        self.ledger_is_whole = True

    def violated(self, check: str, story: str) -> None:
        """Notes that a check does not hold. `story`: a sentence that says who, which and when."""
        self._violations.setdefault(check, Stories()).tell(story)

    def judged(self, routing: str) -> list[str]:
        """The checks that could be judged."""
        checks = [check for check in CHECKS if routing == "neighbours" or check not in OF_THE_GRAPH]
        return [check for check in checks if self.ledger_is_whole or check not in NEED_THE_WHOLE_LEDGER]

    def violations(self) -> dict[str, list[str]]:
        """The stories of the violations by check, in the order of `CHECKS`."""
        return {
            check: self._violations[check].all() for check in self.judged("neighbours") if check in self._violations
        }
