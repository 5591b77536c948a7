"""The ledger, recounted from its lines: the stock, the seats, and the decision on each order.

This module judges, in one pass, everything that the ledger alone shows. The histories are then compared with the recount.
"""

from __future__ import annotations

import heapq
import re
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Set
from typing import NamedTuple

from bazaar.analysis.audit.findings import Findings
from bazaar.analysis.audit.lines import (
    Adopt,
    AnyEntry,
    Appoint,
    Denial,
    Depose,
    Deposit,
    Grant,
    Keeper,
    Part,
    Return,
    Sale,
    Seats,
)
from bazaar.analysis.audit.orders import DECIDED, DENIED, OVERSOLD, PROMISED, SOLD, Orders, Share

ITEMS = ("fish", "salt", "boar")  # requirement A4
DEAREST_CENTS, CHEAPEST_CENTS, DOLLAR = 1000, 500, 100  # requirement C1
CACHE = "cache"  # who holds what any trader may take from the shared cache
Key = tuple[int, int, str]


def rank(peer: str) -> int:
    """The number in a peer's name, by which peers are compared (requirement A4)."""
    digits = re.fullmatch(r"[^@]*?([0-9]{1,9})", peer)
    return int(digits[1]) if digits else -1


class Tenure:
    """A trader's time in its seat, from one position in the ledger to another. `heir`: who has taken over its queue."""

    __slots__ = ("by", "heir", "peer", "seat", "since", "until")

    def __init__(self, peer: str, seat: int, since: int) -> None:
        self.peer = peer
        self.seat = seat
        self.since = since
        self.until: int | None = None
        self.by = ""
        self.heir: str | None = None


class Left(NamedTuple):
    """How much of a product was left: `counts[i]` units from the ledger position `positions[i]` on."""

    positions: array[int]
    counts: array[int]


class Books:
    """The recount. `read` takes each entry once, in the order of the file."""

    def __init__(self, strong: bool, orders: Orders, findings: Findings) -> None:
        self._strong = strong
        self._orders = orders
        self._findings = findings
        self._expected = 0
        self.deposits: dict[str, Deposit] = {}
        self.left: dict[tuple[str, str], Left] = {}
        """By product: a seller and an item."""
        self.tenures: list[Tenure] = []
        self._seated: dict[str, Tenure] = {}
        self._open: dict[tuple[str, int], Tenure] = {}  # deposed tenures that no heir has taken over
        self._stock: Counter[str] = Counter()  # by item
        self._free: Counter[str] = Counter()  # by lot
        self._granted: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by trader, then by lot
        self._fallen: dict[tuple[str, int], Counter[str]] = {}  # by tenure: the grants that its heir will take over
        self._shelves: defaultdict[str, list[Key]] = defaultdict(list)  # by item: lots that were free, lowest first
        self._handlers = {
            Deposit: self._deposit,
            Sale: self._sale,
            Denial: self._denial,
            Appoint: self._appoint,
            Depose: self._depose,
            Seats: self._seats,
            Adopt: self._adopt,
            Keeper: self._keeper,
            Grant: self._grant,
            Return: self._return,
        }

    def read(self, entry: AnyEntry) -> None:
        """Takes in the next entry of the ledger."""
        if entry.position != self._expected:
            self._tell("ledger_unbroken", entry, f"stands where {self._expected} should be")
        self._expected = entry.position + 1
        self._handlers[type(entry)](entry)  # type: ignore[operator] # each handler takes its own kind

    def skip(self) -> None:
        """Counts an entry that cannot be read."""
        self._expected += 1

    def finish(self, mirror: Mapping[tuple[str, str], int] | None, dead: Set[str]) -> None:
        """Judges the end. `mirror`: the rest of each product that the warehouse reported as it stopped, or None."""
        for product, said in sorted((mirror or {}).items()):
            if product not in self.left and said:
                self._findings.violated(
                    "goods_add_up", f"{product[0]} never deposited {product[1]}, but {said} are left"
                )
        for (seller, item), left in sorted(self.left.items()):
            said = (mirror or {}).get((seller, item), 0)
            if mirror is not None and said != left.counts[-1]:
                self._findings.violated(
                    "goods_add_up",
                    f"{seller} should have {left.counts[-1]} {item} left by the ledger, but the warehouse says {said}",
                )
        for tenure in self._open.values():
            if self._seated.keys() - dead:
                self._findings.violated(
                    "queues_were_taken_over",
                    f"nobody took over the queue of {tenure.peer} (trader since {tenure.since}), "
                    f"deposed by ledger entry {tenure.until}",
                )

    def tenure(self, trader: str, position: int) -> Tenure | None:
        """The tenure of this trader to which an entry at this position belongs."""
        return next(
            (t for t in self.tenures if t.peer == trader and t.since <= position and (t.until or position) >= position),
            None,
        )

    def left_after(self, product: tuple[str, str], position: int, said: int) -> int | None:
        """The count right after `position`, or `said` if the count was that at any later time.

        None if the product had no deposit by then.
        """
        left = self.left.get(product)
        if left is None:
            return None
        now = bisect_right(left.positions, position) - 1
        if now < 0:
            return None
        try:
            return said if left.counts[now] == said else left.counts[left.counts.index(said, now)]
        except ValueError:
            return left.counts[now]

    def _tell(self, check: str, entry: AnyEntry, story: str) -> None:
        self._findings.violated(check, f"ledger entry {entry.position} {story}")

    # -------------------------------------------------------------------------------------------- goods
    def _deposit(self, entry: Deposit) -> None:
        self._by_a_trader(entry, entry.trader)
        self._known_item(entry, entry.item)
        if entry.count < 1:
            self._tell(
                "entries_make_sense", entry, f"books a deposit of {entry.count} {entry.item} ({entry.deposit_id})"
            )
        if not CHEAPEST_CENTS <= entry.price_cents <= DEAREST_CENTS or entry.price_cents % DOLLAR:
            self._tell("entries_make_sense", entry, f"books {entry.deposit_id} at a price of {entry.price_cents} cents")
        if entry.deposit_id in self.deposits:
            before = self.deposits[entry.deposit_id].position
            self._tell("deposits_are_booked_as_offered", entry, f"books {entry.deposit_id} again, after entry {before}")
        self.deposits.setdefault(entry.deposit_id, entry)
        self._put_on_shelf(entry.item, entry.deposit_id)
        self._free[entry.deposit_id] += entry.count
        self._stock[entry.item] += entry.count
        self._count(entry, entry.seller, entry.item, entry.count)

    def _sale(self, entry: Sale) -> None:
        self._by_a_trader(entry, entry.trader)
        parts = entry.parts
        if (row := self._decide(entry, SOLD | PROMISED if entry.cached else SOLD)) is not None:
            self._orders.trader[row] = self._orders.code(entry.trader)
            shares: dict[str, Share] = {}
            for part in parts:
                units, price = shares.get(part.seller, (0, 0))
                shares[part.seller] = Share(units + part.units, price + part.units * part.price_cents)
            self._orders.units[row] = sum(part.units for part in parts)
            self._orders.sold(row, shares)
        for part in parts:
            self._take(entry, part)

    def _take(self, entry: Sale, part: Part) -> None:
        """Takes what an order needs out of one lot."""
        lot = self.deposits.get(part.deposit_id)
        if lot is None:
            self._tell(
                "no_product_below_zero", entry, f"sells {entry.order_id} from {part.deposit_id}, which does not exist"
            )
        elif (lot.seller, lot.item, lot.price_cents) != (part.seller, entry.item, part.price_cents) or part.units < 1:
            self._tell(
                "entries_make_sense",
                entry,
                f"sells {part.units} {entry.item} of {part.seller} for {part.price_cents} cents ({entry.order_id}), but "
                f"{part.deposit_id} is {lot.item} of {lot.seller} for {lot.price_cents}",
            )
        if not entry.cached:
            self._lowest_first(entry, entry.item, part.deposit_id, entry.order_id)
        holders = (self._granted[entry.trader], self._granted[CACHE]) if entry.cached else ()
        # A trader without a grant promises free units.
        pool = next((held for held in holders if held[part.deposit_id] > 0), self._free)
        pool[part.deposit_id] -= part.units
        if pool[part.deposit_id] < 0 and lot is not None:
            what = f"{part.units} to {entry.buyer} ({entry.order_id})"
            self._none_left(entry, entry.item, f"{entry.trader} sold {what}", part.deposit_id)
        self._stock[entry.item] -= part.units
        self._count(entry, part.seller, entry.item, -part.units)

    def _grant(self, entry: Grant) -> None:
        self._by_a_holder(entry)
        self._of_its_lot(entry)
        self._lowest_first(entry, entry.item, entry.deposit_id, f"a grant to {entry.trader}")
        self._free[entry.deposit_id] -= entry.count
        self._granted[entry.trader][entry.deposit_id] += entry.count
        if self._free[entry.deposit_id] < 0:
            self._none_left(entry, entry.item, f"{entry.count} are granted to {entry.trader}")

    def _return(self, entry: Return) -> None:
        self._by_a_holder(entry)
        self._of_its_lot(entry)
        self._put_on_shelf(entry.item, entry.deposit_id)
        self._free[entry.deposit_id] += entry.count
        self._granted[entry.trader][entry.deposit_id] -= entry.count
        if self._granted[entry.trader][entry.deposit_id] < 0:
            self._none_left(entry, entry.item, f"{entry.trader} gives {entry.count} back")

    def _none_left(self, entry: Sale | Grant | Return, item: str, what: str, deposit_id: str = "") -> None:
        lot = deposit_id or entry.deposit_id
        self._tell("no_product_below_zero", entry, f"takes {item} out of {lot}, where none was left: {what}")

    def _of_its_lot(self, entry: Grant | Return) -> None:
        lot = self.deposits.get(entry.deposit_id)
        if lot is None:
            self._tell("no_product_below_zero", entry, f"is about {entry.deposit_id}, which does not exist")
        elif lot.item != entry.item or entry.count < 1:
            self._tell(
                "entries_make_sense", entry, f"moves {entry.count} {entry.item} of {entry.deposit_id} ({lot.item})"
            )

    def _known_item(self, entry: Deposit | Denial, item: str) -> None:
        if item not in ITEMS:
            self._tell("entries_make_sense", entry, f"is about {item}, which nobody trades in")

    def _count(self, entry: Deposit | Sale, seller: str, item: str, change: int) -> None:
        left = self.left.get((seller, item))
        if left is None:
            left = self.left[seller, item] = Left(array("q"), array("q"))
        left.counts.append((left.counts[-1] if left.counts else 0) + change)
        left.positions.append(max(entry.position, left.positions[-1] if left.positions else 0))

    def _put_on_shelf(self, item: str, deposit_id: str) -> None:
        """Puts a lot back on the shelf. Called before its units are counted as free."""
        if self._free[deposit_id] <= 0 and (lot := self.deposits.get(deposit_id)) is not None:
            heapq.heappush(self._shelves[item], (lot.clock, rank(lot.seller), deposit_id))

    def _lowest_first(self, entry: Sale | Grant, item: str, deposit_id: str, what: str) -> None:
        shelf = self._shelves[item]
        while shelf and self._free[shelf[0][2]] <= 0:
            heapq.heappop(shelf)
        if not shelf or shelf[0][2] != deposit_id:
            first = f"{shelf[0][2]} (clock {shelf[0][0]})" if shelf else "nothing"
            self._tell("lowest_deposit_first", entry, f": {what} was taken from {deposit_id}, first was {first}")

    # ------------------------------------------------------------------------------------------- orders
    def _denial(self, entry: Denial) -> None:
        self._by_a_trader(entry, entry.trader)
        self._known_item(entry, entry.item)
        row = self._decide(entry, DENIED | OVERSOLD if entry.reason == "oversold" else DENIED)
        if row is not None:
            self._orders.units[row] = entry.units
            self._orders.trader[row] = self._orders.code(entry.trader)
        if self._strong and self._stock[entry.item] >= entry.units:
            self._tell(
                "strong_caches_refuse_nothing_in_stock",
                entry,
                f"refuses {entry.order_id} ({entry.reason}) although there was stock: "
                f"{self._stock[entry.item]} {entry.item}, and {entry.units} were asked for; the policy lost count, or "
                "promised one unit twice",
            )

    def _decide(self, entry: Sale | Denial, decision: int) -> int | None:
        """The order's row if this is its first decision, else None. The first is final: the market is judged by it."""
        orders = self._orders
        row = orders.row(entry.order_id)
        if orders.flags[row] & DECIDED:
            self._findings.violated(
                "each_order_decided_once",
                f"{entry.order_id} was decided by ledger entry {orders.position[row]} and again by {entry.position}",
            )
            return None
        orders.flags[row] |= decision
        orders.position[row] = entry.position
        orders.item[row] = orders.code(entry.item)
        orders.buyer[row] = orders.code(entry.buyer)
        return row

    # -------------------------------------------------------------------------------------------- seats
    def _by_a_trader(self, entry: AnyEntry, trader: str) -> None:
        if trader not in self._seated:
            self._tell("only_traders_trade", entry, f"is by {trader}, who held no seat then ({self._bench()})")

    def _by_a_holder(self, entry: Grant | Return) -> None:
        if entry.trader != CACHE:
            self._by_a_trader(entry, entry.trader)

    def _bench(self) -> str:
        return ", ".join(f"trader{t.seat} {peer}" for peer, t in self._seated.items()) or "nobody did"

    def _appoint(self, entry: Appoint) -> None:
        if entry.peer in self._seated or any(entry.seat == tenure.seat for tenure in self._seated.values()):
            self._tell(
                "only_traders_trade", entry, f"gives seat {entry.seat} to {entry.peer}; seated were {self._bench()}"
            )
        tenure = Tenure(entry.peer, entry.seat, entry.position)
        self.tenures.append(tenure)
        self._seated[entry.peer] = tenure

    def _depose(self, entry: Depose) -> None:
        tenure = self._seated.pop(entry.peer, None)
        if tenure is None or (tenure.seat, tenure.since) != (entry.seat, entry.since):
            had = f"seat {tenure.seat} since {tenure.since}" if tenure is not None else "none"
            self._tell(
                "only_traders_trade",
                entry,
                f"deposes {entry.peer} from seat {entry.seat} (since {entry.since}), but it had {had}",
            )
        if tenure is None:
            return
        tenure.until, tenure.by = entry.position, entry.by
        self._open[entry.peer, entry.since] = tenure
        self._fallen[entry.peer, entry.since] = self._granted.pop(entry.peer, Counter())

    def _seats(self, entry: Seats) -> None:
        """Nothing: `scaling.py` judges how many there are."""

    def _keeper(self, entry: Keeper) -> None:
        tenure = self._seated.get(entry.peer)
        if tenure is None or tenure.since != entry.since:
            self._tell("only_traders_trade", entry, f"names a keeper for {entry.peer}, who held no such seat then")

    def _adopt(self, entry: Adopt) -> None:
        self._by_a_trader(entry, entry.trader)
        tenure = self._open.pop((entry.peer, entry.since), None)
        if tenure is None:
            self._tell(
                "queues_were_taken_over", entry, f": {entry.trader} takes over from {entry.peer} what was not open"
            )
        else:
            tenure.heir = entry.trader
        self._granted[entry.trader].update(self._fallen.pop((entry.peer, entry.since), Counter()))
