"""A peer as a trader: the order of its queue, its trades, and that it neither buys nor sells (requirements B5, C4, C5)."""

from __future__ import annotations

import heapq
from collections import defaultdict

from bazaar.analysis.audit.books import Key, rank
from bazaar.analysis.audit.evidence import Case, Handler
from bazaar.analysis.audit.lines import (
    Line,
    OfItem,
    Placed,
    Seated,
    Sought,
    Taken,
    TookOver,
    Traded,
    Unreadable,
    Waiting,
)
from bazaar.analysis.audit.orders import KEPT, SOLD

SURE = "sure "  # prefix of a lane of orders that only the warehouse may answer


class Trader:
    """Judges the trader's part of one history."""

    def __init__(self, name: str, case: Case) -> None:
        self._name = name
        self._case = case
        self._is_trader = False
        self._forget()
        self.handlers: dict[str, Handler] = {
            "elected": self._elected,
            "seated": self._seated,
            "stepped_down": self._begin_anew,
            "joined": self._begin_anew,
            "ordered": self._trades_itself,
            "picked": self._trades_itself,
            "queued": self._put,
            "inherited": self._put,
            "requeued": self._put,
            "sought_in_vain": self._put,
            "sought": self._seek,
            "taken": self._take,
            "scarce": self._scarce_now,
            "freed": self._freed,
            "took_over": self._took_over,
            "traded": self._traded,
            "unreadable": self._unreadable,
            "nothing_to_resign": self._nothing_to_resign,
        }

    def _forget(self) -> None:
        """Begins a new queue. Orders of the old one come back only by inheritance from the journal."""
        self._waiting: dict[str, tuple[Key, str]] = {}  # by order: its key, and its lane
        self._heaps: defaultdict[str, list[Key]] = defaultdict(list)  # by lane
        self._scarce: set[str] = set()  # lanes that wait until other traders return granted units
        self._taken: set[str] = set()  # orders that are being carried out
        self._promised = 0  # promises that were taken over from others; their trades need no `taken` event

    # --------------------------------------------------------------------------------------- its tenures
    def _elected(self, line: Line, facts: None) -> None:
        self._is_trader = True

    def _seated(self, line: Line, facts: Seated) -> None:
        self._case.seated.add((self._name, facts.since))

    def _begin_anew(self, line: Line, facts: None) -> None:
        """The peer has lost its seat, or begins a life."""
        self._is_trader = False
        self._forget()

    def _trades_itself(self, line: Line, facts: Placed | OfItem) -> None:
        if self._is_trader and not self._case.incomplete(self._name):
            what = facts.order if isinstance(facts, Placed) else facts.item
            self._violated(
                "traders_neither_buy_nor_sell",
                f"{self._name} is a trader, but {line.what} {what} at clock {line.clock}",
            )

    # ---------------------------------------------------------------------------------------- its queue
    def _put(self, line: Line, facts: Waiting) -> None:
        key = (facts.clock, rank(facts.buyer), facts.order)
        self._waiting[facts.order] = key, facts.lane
        heapq.heappush(self._heaps[facts.lane], key)

    def _take(self, line: Line, facts: Taken) -> None:
        """Checks that the taken order is the lowest: of all waiting orders for the warehouse, of its lane for the cache.

        Orders of a lane that waits for returned units (from `scarce` to `freed`) cannot be taken, so they may be passed over.
        """
        self._taken.add(facts.order)
        self._leave(line, facts.order, facts.to == "cache")

    def _seek(self, line: Line, facts: Sought) -> None:
        """An order leaves its lane when the shared cache is asked. What the cache gives is judged when it is promised."""
        self._leave(line, facts.order, of_its_lane=True)

    def _leave(self, line: Line, order: str, of_its_lane: bool) -> None:
        own = self._waiting.pop(order, None)
        first = own[0] if own is not None else None
        for lane, heap in self._heaps.items():
            if (own is None or lane != own[1]) and (of_its_lane or lane in self._scarce):
                continue
            while heap and self._waiting.get(heap[0][2]) != (heap[0], lane):
                heapq.heappop(heap)  # this order was taken, or waits in another lane by now
            passed_over = heap and (first is None or heap[0] < first)
            if passed_over and not self._case.incomplete(self._name):
                self._violated(
                    "lowest_clock_served_first",
                    f"{self._name} took {order} at clock {line.clock} while {heap[0][2]} (clock {heap[0][0]}) was waiting",
                )
                return

    def _scarce_now(self, line: Line, facts: OfItem) -> None:
        self._scarce |= {facts.item, SURE + facts.item}

    def _freed(self, line: Line, facts: OfItem) -> None:
        self._scarce -= {facts.item, SURE + facts.item}

    # ------------------------------------------------------------------------------------------ its trade
    def _took_over(self, line: Line, facts: TookOver) -> None:
        self._promised += facts.promised

    def _traded(self, line: Line, facts: Traded) -> None:
        orders = self._case.orders
        order = facts.order
        row = orders.row(order)
        who = f"{self._name} (clock {line.clock}, {order}) traded it"
        if order in self._taken:
            self._taken.discard(order)
        elif self._promised > 0:
            self._promised -= 1
        elif not self._case.incomplete(self._name):
            self._violated("money_adds_up", f"{who}, and kept its share, without having taken it, or once more")
        flags = orders.flags[row]
        orders.flags[row] = flags | KEPT
        if not flags & SOLD:
            self._violated("money_adds_up", f"{who}, but the ledger has not sold it")
        elif (facts.units, facts.item, facts.price, facts.seller, *facts.others) != (
            orders.units[row],
            orders.text(orders.item[row]),
            orders.price[row],
            *orders.sellers(row),
        ):
            self._violated(
                "money_adds_up",
                f"{who} as {facts.units} {facts.item} of {' and '.join((facts.seller, *facts.others))} for {facts.price} "
                f"cents, but ledger entry {orders.position[row]} sells {orders.units[row]} "
                f"{orders.text(orders.item[row])} of {' and '.join(orders.sellers(row))} for {orders.price[row]}",
            )

    def _unreadable(self, line: Line, facts: Unreadable) -> None:
        self._case.unread[facts.peer, facts.since] = (
            f"{self._name} could not read the queue of {facts.peer} (trader since {facts.since}): {facts.reason}"
        )

    def _nothing_to_resign(self, line: Line, facts: None) -> None:
        self._case.missed.append(f"resign:{self._name}: it had no seat to give up (clock {line.clock})")

    def finish(self) -> None:
        """Does nothing: a trader's obligations are judged by the ledger (`judging.py`)."""

    def _violated(self, check: str, story: str) -> None:
        self._case.findings.violated(check, story)
