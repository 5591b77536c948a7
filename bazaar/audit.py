"""Judging a run: goods, money, orders and clocks are accounted for, from the ledger and the histories alone.

Pure and linear in their length. Nothing of the code that ran the market is used to judge it (but for its records): the
stock is counted again here. Every violation is told as a short story; a verdict says what it exercised, and of a run in
which nothing was, it is "unknown".
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from bazaar.history import Happening, by_time, only
from bazaar.plan import Plan
from bazaar.records import (
    AdoptEntry,
    AnyEntry,
    Appoint,
    Denial,
    DeposeEntry,
    DepositEntry,
    Grant,
    Item,
    Return,
    Sale,
    buyer_of,
    index_of,
    sellers_share,
)

Histories = Mapping[str, Iterable[Happening]]  # gone through several times
Stock = Mapping[tuple[str, Item], int]
MOST_STORIES = 20  # of one check
ANSWERS = ("purchased", "found_unavailable", "revoked")
QUEUEING = ("queued", "inherited", "requeued", "taken", "scarce", "freed", "stepped_down", "joined")


class Evidence(msgspec.Struct, frozen=True):
    """What a run left behind. `stock`: what the warehouse said was left at the end, by product."""

    plan: Plan
    entries: Sequence[AnyEntry]
    histories: Histories
    stock: Stock
    killed: frozenset[str] = frozenset()
    """Processes that were killed, once or more: what they had heard and not yet written down is lost."""
    missed: Sequence[str] = ()
    """Faults that were to be done and could not be, each with the reason."""


class Report(msgspec.Struct, frozen=True):
    """`audit.json`."""

    verdict: Literal["held", "violated", "unknown"]
    audit: dict[str, bool]
    violations: dict[str, list[str]]
    exercised: dict[str, int]
    missed: Sequence[str] = ()
    """Faults that were not done: the run does not show what it was to show, so it cannot have held."""


def judge(evidence: Evidence) -> Report:
    """Runs every check."""
    violations: dict[str, list[str]] = {}
    for name, check in CHECKS.items():
        stories = [story for story, _ in zip(check(evidence), range(MOST_STORIES), strict=False)]
        if stories:
            violations[name] = stories
    exercised = _exercised(evidence)
    verdict: Literal["held", "violated", "unknown"]
    shown = exercised["orders_answered"] and not evidence.missed
    verdict = "violated" if violations else "held" if shown else "unknown"
    return Report(verdict, {name: name not in violations for name in CHECKS}, violations, exercised, evidence.missed)


def _exercised(evidence: Evidence) -> dict[str, int]:
    under_way = list(_under_way_at_faults(evidence))
    kinds = Counter(type(entry).__name__ for entry in evidence.entries)
    whats: Counter[str] = Counter()
    messages, unanswered = 0, set()
    for happened in itertools.chain.from_iterable(evidence.histories.values()):
        whats[happened.what] += 1
        messages += happened.sent is not None
        if happened.what == "ordered":
            unanswered.add(happened.facts["order"])
        elif happened.what in ANSWERS:
            unanswered.discard(happened.facts["order"])
    return {
        "deposits": kinds["DepositEntry"],
        "sales": kinds["Sale"],
        "denials": kinds["Denial"],
        "elections_won": kinds["Appoint"],
        "traders_deposed": kinds["DeposeEntry"],
        "queues_taken_over": kinds["AdoptEntry"],
        "orders_asked": whats["ordered"],
        "orders_answered": whats["purchased"] + whats["found_unavailable"],
        "orders_repeated": whats["repeated"],
        "sales_from_cache": sum(isinstance(entry, Sale) and entry.cached for entry in evidence.entries),
        "orders_unanswered": len(unanswered),
        "faults": len(under_way),
        "faults_that_hit_the_busy": sum(concerned > 0 for concerned in under_way),
        "orders_hit_by_faults": sum(under_way),
        "messages_checked": messages,
    }


def _under_way_at_faults(evidence: Evidence) -> Iterator[int]:
    """For each fault, how many orders without an answer its victim had to do with at that moment."""
    handling: dict[str, str] = {}  # order -> the trader that it was sent to last
    whats = ("ordered", "repeated", "purchased", "found_unavailable", "fault")
    for happened in by_time(only(history, *whats) for history in evidence.histories.values()):
        match happened.what:
            case "ordered" | "repeated":
                handling[happened.facts["order"]] = happened.facts["trader"]
            case "fault":
                hit = happened.facts["name"]
                all_pass_it = hit not in evidence.plan.names  # the warehouse, mongod
                yield sum(all_pass_it or hit in (trader, buyer_of(order)) for order, trader in handling.items())
            case _:
                handling.pop(happened.facts["order"], None)


def _events(evidence: Evidence, *whats: str) -> Iterator[Happening]:
    for history in evidence.histories.values():
        yield from only(history, *whats)


# ----------------------------------------------------------------------------------------------- goods
class Pools:
    """By deposit, what is free and what is granted to whom, counted again from the ledger."""

    def __init__(self) -> None:
        self.free: Counter[str] = Counter()
        self.granted: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by trader
        self.fallen: dict[tuple[str, int], Counter[str]] = {}  # by tenure: what waits for whoever takes over

    def apply(self, entry: AnyEntry) -> Counter[str] | None:
        """Counts the entry in; the pool that it took from, if it took from any."""
        match entry:
            case DepositEntry():
                self.free[entry.deposit_id] += entry.count
            case Grant():
                self.granted[entry.trader][entry.deposit_id] += entry.count
                self.free[entry.deposit_id] -= entry.count
                return self.free
            case Return():
                self.free[entry.deposit_id] += entry.count
                self.granted[entry.trader][entry.deposit_id] -= entry.count
                return self.granted[entry.trader]
            case Sale():
                pool = self.granted[entry.trader] if entry.cached else self.free
                if pool[entry.deposit_id] <= 0:  # the weak cache promises what is free
                    pool = self.free
                pool[entry.deposit_id] -= 1
                return pool
            case DeposeEntry():
                self.fallen[entry.peer, entry.since] = self.granted.pop(entry.peer, Counter())
            case AdoptEntry():
                self.granted[entry.trader].update(self.fallen.pop((entry.peer, entry.since), Counter()))
        return None


def no_product_below_zero(evidence: Evidence) -> Iterator[str]:
    """At every prefix of the ledger, no more of a deposit is sold or granted than is free, or granted to the seller."""
    pools = Pools()
    for entry in evidence.entries:
        pool = pools.apply(entry)
        if pool is not None and isinstance(entry, (Sale, Grant, Return)) and pool[entry.deposit_id] < 0:
            what = (
                f"{entry.trader} sold it to {entry.buyer} ({entry.order_id})" if isinstance(entry, Sale) else str(entry)
            )
            yield f"ledger entry {entry.position} takes {entry.item} out of {entry.deposit_id}, where none was left: {what}"


def goods_add_up(evidence: Evidence) -> Iterator[str]:
    """Deposited = sold + left, by product."""
    left: Counter[tuple[str, Item]] = Counter()
    for entry in evidence.entries:
        if isinstance(entry, DepositEntry):
            left[entry.seller, entry.item] += entry.count
        elif isinstance(entry, Sale):
            left[entry.seller, entry.item] -= 1
    for seller, item in sorted({*left, *evidence.stock}):
        counted, said = left[seller, item], evidence.stock.get((seller, item), 0)
        if counted != said:
            yield f"{seller} should have {counted} {item} left by the ledger, but the warehouse says {said}"


def lowest_deposit_first(evidence: Evidence) -> Iterator[str]:
    """Where no cache had promised another, the lot sold or granted from is the free one with the lowest clock (SPEC C4)."""
    pools = Pools()
    keys: dict[str, tuple[int, int, str]] = {}
    waiting: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for entry in evidence.entries:
        if isinstance(entry, DepositEntry):
            keys[entry.deposit_id] = (entry.clock, index_of(entry.seller), entry.deposit_id)
        if isinstance(entry, Grant) or (isinstance(entry, Sale) and not entry.cached):
            queue = waiting[entry.item]
            while queue and pools.free[queue[0][2]] <= 0:
                heapq.heappop(queue)
            if not queue or queue[0][2] != entry.deposit_id:
                first = f"{queue[0][2]} (clock {queue[0][0]})" if queue else "nothing"
                what = entry.order_id if isinstance(entry, Sale) else f"a grant to {entry.trader}"
                yield f"ledger entry {entry.position}: {what} was taken from {entry.deposit_id}, first was {first}"
        if isinstance(entry, (DepositEntry, Return)) and pools.free[entry.deposit_id] <= 0:
            heapq.heappush(waiting[entry.item], keys[entry.deposit_id])
        pools.apply(entry)


# ----------------------------------------------------------------------------------------------- money
def money_adds_up(evidence: Evidence) -> Iterator[str]:
    """What the buyers paid is what the sellers earned and the traders kept, to the cent, order by order."""
    paid: dict[str, int] = {}
    earned: Counter[str] = Counter()
    kept: dict[str, int] = {}
    for happened in _events(evidence, "purchased", "revoked", "found_unavailable", "sold", "traded"):
        order = happened.facts["order"]
        match happened.what:
            case "purchased":
                paid[order] = happened.facts["price"]
            case "revoked" | "found_unavailable":
                paid[order] = 0
            case "sold":
                earned[order] += happened.facts["earned"]
            case "traded":  # a retry may be carried out by a second trader, for nothing
                kept[order] = happened.facts["price"] - sellers_share(happened.facts["price"])
    sales = {entry.order_id: entry for entry in evidence.entries if isinstance(entry, Sale)}
    for order in sorted({*paid, *earned, *kept, *sales}):
        sale = sales.get(order)
        price, share = (sale.price_cents, sellers_share(sale.price_cents)) if sale else (0, 0)
        # What a process that was killed had heard and not written down is lost.
        accounts = (
            ("the buyer paid", paid.get(order, 0), price, buyer_of(order)),
            ("the seller earned", earned[order], share, sale and sale.seller),
            ("the trader kept", kept.get(order, 0), price - share, sale and sale.trader),
        )
        for what, amount, right, who in accounts:
            if amount != right and who not in evidence.killed:
                yield f"{order} is worth {price} cents in the ledger, but {what} {amount} instead of {right} ({who})"


# ---------------------------------------------------------------------------------------------- orders
def each_order_decided_once(evidence: Evidence) -> Iterator[str]:
    """No order is sold twice, nor both sold and denied."""
    decided: dict[str, int] = {}
    for entry in evidence.entries:
        if isinstance(entry, (Sale, Denial)):
            if entry.order_id in decided:
                yield f"{entry.order_id} was decided by ledger entry {decided[entry.order_id]} and again by {entry.position}"
            decided[entry.order_id] = entry.position


def buyers_were_told_the_truth(evidence: Evidence) -> Iterator[str]:
    """What a buyer was told is what the ledger says, or was revoked."""
    decisions = {entry.order_id: entry for entry in evidence.entries if isinstance(entry, (Sale, Denial))}
    last = {happened.facts["order"]: happened for happened in _events(evidence, *ANSWERS)}
    for order, happened in last.items():
        facts, decision = happened.facts, decisions.get(order)
        who = f"{happened.process} (clock {happened.clock}, {order})"
        if happened.process in evidence.killed:
            continue  # a correction may have found it dead
        if decision is None:
            yield f"{who} was told {happened.what} by {happened.source}, but the ledger does not know the order"
        elif isinstance(decision, Sale):
            told = (facts["item"], facts.get("seller"), facts.get("price"))
            if happened.what != "purchased" or told != (decision.item, decision.seller, decision.price_cents):
                yield f"{who} was last told {happened.what} {told}; ledger entry {decision.position} is {decision}"
        elif happened.what == "purchased":
            yield f"{who} was last told {happened.what}, but ledger entry {decision.position} denied it ({decision.reason})"


def only_what_was_asked(evidence: Evidence) -> Iterator[str]:
    """Nothing is in the ledger that no buyer asked for."""
    asked = {
        happened.facts["order"]: (happened.process, happened.facts["item"]) for happened in _events(evidence, "ordered")
    }
    for entry in evidence.entries:
        if isinstance(entry, (Sale, Denial)) and asked.get(entry.order_id) != (entry.buyer, entry.item):
            yield (
                f"ledger entry {entry.position} decides {entry.order_id} ({entry.item} for {entry.buyer}), "
                f"but what was asked under this name is {asked.get(entry.order_id)}"
            )


def no_order_lost(evidence: Evidence) -> Iterator[str]:
    """Every order that was placed is answered, by the end of a run that was allowed to end; but for killed buyers'."""
    unanswered: dict[str, Happening] = {}
    for happened in _events(evidence, "ordered", *ANSWERS):
        if happened.what == "ordered":
            unanswered[happened.facts["order"]] = happened
        else:
            unanswered.pop(happened.facts["order"], None)
    for order, happened in unanswered.items():
        if happened.process not in evidence.killed:
            yield f"{order}, sent to {happened.facts['trader']} at clock {happened.clock}, has no answer"


def strong_caches_take_nothing_back(evidence: Evidence) -> Iterator[str]:
    """Unless its policy promises less, a purchase that a buyer was told of is one: nothing is over-sold."""
    if evidence.plan.promises == "weak":
        return
    sold = {entry.order_id for entry in evidence.entries if isinstance(entry, Sale)}
    for happened in _events(evidence, "purchased", "revoked"):
        order = happened.facts["order"]
        if happened.what == "revoked" or order not in sold:
            yield f"{happened.process} was told {happened.what} of {order} at clock {happened.clock}; it is not for it to keep"


def strong_caches_refuse_nothing_in_stock(evidence: Evidence) -> Iterator[str]:
    """Unless its policy promises less, an order is refused only if there is nothing of the item: nothing is under-sold."""
    if evidence.plan.promises == "weak":
        return
    left: Counter[Item] = Counter()
    for entry in evidence.entries:
        match entry:
            case DepositEntry():
                left[entry.item] += entry.count
            case Sale():
                left[entry.item] -= 1
            case Denial() if left[entry.item] > 0:
                yield f"ledger entry {entry.position} refuses {entry.order_id} though there is {left[entry.item]} {entry.item}"


def window_kept(evidence: Evidence) -> Iterator[str]:
    """No buyer has more orders outstanding than its window: a retry under a new name would be one more."""
    window = evidence.plan.settings.window
    for process, history in evidence.histories.items():
        outstanding: set[str] = set()
        for happened in only(history, "ordered", *ANSWERS, "joined"):
            if happened.what == "ordered":
                outstanding.add(happened.facts["order"])
                if len(outstanding) > window:
                    yield f"{process} had {sorted(outstanding)} outstanding at clock {happened.clock}; its window is {window}"
            elif happened.what in ANSWERS:
                outstanding.discard(happened.facts["order"])
            elif happened.what == "joined":  # in a further life it does not remember
                outstanding.clear()


# ------------------------------------------------------------------------------------- traders, clocks
def only_traders_trade(evidence: Evidence) -> Iterator[str]:
    """Every entry is by a peer that held a seat at that point of the ledger; every seat is taken once."""
    seated: dict[str, int] = {}
    for entry in evidence.entries:
        match entry:
            case Appoint():
                if entry.peer in seated or entry.seat in seated.values():
                    yield f"ledger entry {entry.position} gives seat {entry.seat} to {entry.peer}; seated were {seated}"
                seated[entry.peer] = entry.seat
            case DeposeEntry():
                if seated.pop(entry.peer, None) != entry.seat:
                    yield f"ledger entry {entry.position} deposes {entry.peer} from seat {entry.seat}, which it had not"
            case _:
                if entry.trader not in seated:
                    yield f"ledger entry {entry.position} is by {entry.trader}, who held no seat then ({seated})"


def queues_were_taken_over(evidence: Evidence) -> Iterator[str]:
    """The queue of each tenure that ended is taken over once, if there was a trader left to do it."""
    open_tenures: dict[tuple[str, int], int] = {}
    traders = 0
    for entry in evidence.entries:
        match entry:
            case Appoint():
                traders += 1
            case DeposeEntry():
                traders -= 1
                open_tenures[entry.peer, entry.since] = entry.position
            case AdoptEntry():
                if open_tenures.pop((entry.peer, entry.since), None) is None:
                    yield f"ledger entry {entry.position}: {entry.trader} takes over from {entry.peer} what was not open"
    for (peer, since), position in open_tenures.items():
        if traders:
            yield f"nobody took over the queue of {peer} (trader since {since}), deposed by ledger entry {position}"


def traders_neither_buy_nor_sell(evidence: Evidence) -> Iterator[str]:
    """While it holds a seat a peer places no new order and picks no new goods (SPEC B5)."""
    for process, history in evidence.histories.items():
        elected = False
        for happened in only(history, "elected", "stepped_down", "joined", "ordered", "picked"):
            elected = happened.what == "elected" or (elected and happened.what not in ("stepped_down", "joined"))
            if elected and happened.what in ("ordered", "picked"):
                yield f"{process} is a trader, but {happened.what} at clock {happened.clock}: {happened.facts}"


def clocks_increase(evidence: Evidence) -> Iterator[str]:
    """Lamport (SPEC C8): strictly increasing in a process, and a message is received after it was sent."""
    for process, history in evidence.histories.items():
        before = 0
        for happened in history:
            if happened.clock <= before:
                yield f"{process}: the clock went from {before} to {happened.clock} ({happened.what})"
            before = happened.clock
            if happened.sent is not None and happened.clock <= happened.sent:
                yield (
                    f"{process} acted at {happened.clock} ({happened.what}) on a message that {happened.source} "
                    f"sent at {happened.sent}"
                )


def lowest_clock_served_first(evidence: Evidence) -> Iterator[str]:
    """A trader never passes over a lower clock: for the warehouse of all that wait, for the cache of the same lane.

    What waits for others to give something back (`scarce`, until `freed`) cannot be taken, and is not passed over.
    """
    for process, history in evidence.histories.items():
        waiting: dict[str, tuple[int, int, str]] = {}  # order -> its key
        heaps: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)  # by lane
        lanes: dict[str, str] = {}
        scarce: set[str] = set()  # lanes that wait for others to give something back
        lives = 0
        for happened in only(history, *QUEUEING):
            order = happened.facts.get("order", "")
            if happened.what in ("queued", "inherited", "requeued"):
                key = (happened.facts["clock"], index_of(happened.facts["buyer"]), order)
                waiting[order], lanes[order] = key, happened.facts["lane"]
                heapq.heappush(heaps[lanes[order]], key)
            elif happened.what == "scarce":
                scarce |= {happened.facts["item"], f"sure {happened.facts['item']}"}
            elif happened.what == "freed":
                scarce -= {happened.facts["item"], f"sure {happened.facts['item']}"}
            elif happened.what in ("stepped_down", "joined"):
                lives += happened.what == "joined"
                if (
                    lives > 1 or happened.what == "stepped_down"
                ):  # the queue is inherited from the journal, or not at all
                    scarce.clear()
                    waiting.clear()
            elif happened.what == "taken":
                to_warehouse = happened.facts["to"] == "warehouse"
                heads = []
                for lane, heap in heaps.items():
                    while heap and (waiting.get(heap[0][2]) != heap[0] or lanes[heap[0][2]] != lane):
                        heapq.heappop(heap)
                    if heap and ((to_warehouse and lane not in scarce) or lane == lanes.get(order)):
                        heads.append(heap[0])
                if heads and min(heads)[2] != order:
                    clock, _, first = min(heads)
                    yield f"{process} took {order} at clock {happened.clock} while {first} (clock {clock}) was waiting"
                waiting.pop(order, None)


CHECKS: dict[str, Callable[[Evidence], Iterable[str]]] = {
    check.__name__: check
    for check in (
        no_product_below_zero,
        goods_add_up,
        lowest_deposit_first,
        money_adds_up,
        each_order_decided_once,
        buyers_were_told_the_truth,
        only_what_was_asked,
        no_order_lost,
        strong_caches_take_nothing_back,
        strong_caches_refuse_nothing_in_stock,
        window_kept,
        only_traders_trade,
        queues_were_taken_over,
        traders_neither_buy_nor_sell,
        clocks_increase,
        lowest_clock_served_first,
    )
}
