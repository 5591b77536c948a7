"""The breaks that `tests/mutants.py` makes: one place each, the tests about that part, and the worlds that lead there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.simulation.federation import FEDERATED


class Break(NamedTuple):
    """`old` stands in `file` exactly once."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    worlds: Mapping[str, Any] = MappingProxyType({})
    """Settings of the worlds that are judged, beside those of all."""
    kind: str = ""
    """Of the worlds that are judged. Empty: brisk ones, half of them with faults."""

    def __hash__(self) -> int:
        return hash(self.name)


LONG: dict[str, Any] = {"requests": 100, "think_s": 0.05, "restock_every_s": 0.2}
IMPATIENT: dict[str, Any] = {**LONG, "cache": "none", "answer_timeout_s": 0.02}
"""Nearly every order is repeated with another trader."""
GRANTED: dict[str, Any] = {"cache": "escrow", "restock_count": 10, "requests": 200, "think_s": 0.02}
"""Most orders are promised under a lease."""
SHARED: dict[str, Any] = {
    "cache": "shared",
    "peers": 8,
    "buyers": 5,
    "traders": 3,
    "window": 5,
    "units": "1",
    "restock_count": 20,
    "restock_every_s": 0.2,
    "think_s": 0.001,
    "requests": 600,
}
"""Many orders are promised from the shared cache, and now and then goods run out, which ends an epoch."""
BY_LOAD: dict[str, Any] = {
    "peers": 7,
    "buyers": 4,
    "traders": 1,
    "traders_max": 3,
    "window": 5,
    "think_s": 2.0,
    "requests": None,
    "duration_s": 15.0,
    "scale_up_after_ms": 3.0,
    "scale_down_after_s": 3.0,
    "load": "step:0.01@5+10",
}
"""Orders wait some 3 ms in many of these worlds, so further traders are seated. Later hardly any come, and the traders go."""

BREAKS = (
    Break(
        "the seller's share is 79 %",
        "bazaar/protocol/goods.py",
        "SELLER_SHARE_PERCENT = 80",
        "SELLER_SHARE_PERCENT = 79",
        ("tests/unit/test_seller.py", "tests/unit/test_wire.py"),
    ),
    Break(
        "a seller is credited as often as it is told",
        "peers/seller.py",
        "if body.order_id in self._credited:",
        "if not body.order_id:",
        ("tests/unit/test_seller.py",),
        IMPATIENT,
    ),
    Break(
        "the highest clock is served first",
        "bazaar/core/orders.py",
        "(_, _, order_id, order), lane = min(heads)",
        "(_, _, order_id, order), lane = max(heads)",
        ("tests/unit/test_orders.py",),
        {"window": 5},
    ),
    Break(
        "the lot with the highest clock is sold first",
        "bazaar/core/shelf.py",
        "return lot.clock, index_of(lot.seller), lot.deposit_id",
        "return -lot.clock, index_of(lot.seller), lot.deposit_id",
        ("tests/unit/test_shelf.py",),
    ),
    Break(
        "a deposit is booked one unit short",
        "bazaar/core/ledger/stock.py",
        "lot.item, lot.count, lot.price_cents, lot.clock, trader",
        "lot.item, lot.count - 1, lot.price_cents, lot.clock, trader",
        ("tests/unit/test_ledger.py",),
    ),
    Break(
        "an order that is asked again is decided again",
        "bazaar/core/ledger/stock.py",
        "if order.order_id in self._answered:\n            return None",
        "if not order.order_id:\n            return None",
        ("tests/unit/test_ledger.py",),
        IMPATIENT,
    ),
    Break(
        "a seat is given twice",
        "bazaar/core/ledger/seats.py",
        "seat if seat in free else free[0])",
        "seat)",
        ("tests/unit/test_ledger.py",),
        {"peers": 8, "traders": 3, "election": "simultaneous"},
    ),
    Break(
        "what a deposed trader asks is done",
        "bazaar/core/warehouse.py",
        "if not self.ledger.seats.is_trader(source):",
        "if not source:",
        ("tests/unit/test_warehouse.py",),
        LONG,
    ),
    Break(
        "an heir reads before the lease ends",
        "bazaar/core/warehouse.py",
        "if self._over_at(seat) <= turn.now:\n                turn.send(trader",
        "if turn.now >= 0.0:\n                turn.send(trader",
        ("tests/unit/test_warehouse.py",),
        {**GRANTED, "requests": 400},
    ),
    Break(
        "what others hold is refused, not called back",
        "bazaar/core/warehouse.py",
        "if undecided and self.ledger.stock.holders(order.item) and self.ledger.stock.free(order.item) < order.units:",
        "if not order.item:",
        ("tests/unit/test_warehouse.py",),
        {**GRANTED, "traders": 2, "restock_count": 40, "restock_every_s": 1000.0, "requests": 600},
    ),
    Break(
        "a granted unit is promised and not counted",
        "bazaar/core/cache/escrow.py",
        "self._add(lot, -units)",
        "self._add(lot, 0)",
        ("tests/unit/test_cache.py",),
        GRANTED,
    ),
    Break(
        "what is pledged is forgotten when grants are read",
        "bazaar/core/cache/escrow.py",
        "lot.count - self._pledged[lot.deposit_id])))\n\n    def recalled",
        "lot.count)))\n\n    def recalled",
        ("tests/unit/test_cache.py",),
        GRANTED,
    ),
    Break(
        "of two counts the higher is kept",
        "bazaar/core/cache/weak.py",
        "lot.count < known.count",
        "lot.count > known.count",
        ("tests/unit/test_cache.py",),
        {"cache": "weak"},
    ),
    Break(
        "a buyer is told though the lease has run out",
        "peers/trader/__init__.py",
        "before = self._lease_until if self._cache.leased else None",
        "before = None",
        ("tests/unit/test_trader.py", "tests/simulated/test_escrow.py"),
        {**GRANTED, "requests": 400},
    ),
    Break(
        "an order is closed before it is told",
        "peers/trader/outcomes.py",
        "turn.keep_afterwards(Closed(order.order_id))",
        "turn.keep(Closed(order.order_id))",
        ("tests/unit/test_trader.py",),
        {"cache": "none", "think_s": 0.01, "requests": 1000, "restock_count": 50, "window": 5},
    ),
    Break(
        "a promise is lost in a take-over",
        "peers/trader/__init__.py",
        "            if order_id in promises:\n                turn.keep(promises[order_id])",
        "            if order_id in promises and seat == self.seat:\n                turn.keep(promises[order_id])",
        ("tests/unit/test_trader.py",),
        {**GRANTED, "requests": 400},
    ),
    Break(
        "an order is repeated under a new name",
        "peers/buyer.py",
        "        self._send(turn, order_id, item, units, again=True)",
        "        self._order(turn)",
        ("tests/unit/test_buyer.py",),
        IMPATIENT,
    ),
    Break(
        "a peer goes on trading when it is elected",
        "peers/buyer.py",
        "        while self._thinking and self._serial < self._quota and not self.retired:",
        "        while self._thinking and self._serial < self._quota:",
        ("tests/unit/test_buyer.py", "tests/unit/test_peer.py"),
        LONG,
    ),
    Break(
        "the clock of a message is not heeded",
        "bazaar/core/clock.py",
        "max(self.time, clock) + 1",
        "max(self.time, 0) + 1",
        ("tests/unit/test_clock.py",),
    ),
    Break(
        "the last words of a former life count",
        "bazaar/core/channel.py",
        "if delivery.life < self._their_life:",
        "if delivery.life < 0:",
        ("tests/unit/test_channel.py",),
        LONG,
    ),
    Break(
        "letters leave before what they depend on is durable",
        "bazaar/core/endpoint.py",
        "        if turn.kept:",
        "        self._put(turn, clock())\n"
        "        yield from map(Send, [*self._touched])\n        turn.sends, turn.kept_afterwards = [], []\n"
        "        if turn.kept:",
        ("tests/unit/test_endpoint.py",),
        {**LONG, "cache": "none"},
    ),
    Break(
        "what is kept afterwards waits for no acknowledgement",
        "bazaar/core/endpoint.py",
        "while waiting and waiting[0][0] <= channel.acked:",
        "while waiting:",
        ("tests/unit/test_endpoint.py",),
        {"cache": "none", "think_s": 0.01, "requests": 1000, "restock_count": 50, "window": 5},
    ),
    Break(
        "a further life has the number of the first",
        "bazaar/core/endpoint.py",
        "self.life = former.lives + 1",
        "self.life = 1",
        ("tests/unit/test_endpoint.py",),
        LONG,
    ),
    Break(
        "the journal is not synced",
        "bazaar/runtime/journal.py",
        'getattr(os, "fdatasync", os.fsync)(file)',
        "os.fstat(file)",
        ("tests/unit/test_journal.py",),
    ),
    Break(
        "a journal that is written anew drops the promises",
        "bazaar/runtime/journal.py",
        "for lines in self._live.values() for line in lines]",
        "for lines in self._live.values() for line in lines[:1]]",
        ("tests/unit/test_journal.py",),
    ),
    Break(
        "orders that were refused rightly count as under-sold",
        "bazaar/analysis/summary.py",
        "undersold += left[entry.item] >= entry.units",
        "undersold += left[entry.item] >= 0",
        ("tests/unit/test_summary.py",),
    ),
    Break(
        "the time to an answer runs to the last one",
        "bazaar/analysis/summary.py",
        "waits.append(at - open_since.pop(order))",
        "waits.append(at - open_since[order])",
        ("tests/unit/test_summary.py",),
    ),
    Break(
        "a trader is taken for dead four times too soon",
        "bazaar/core/detector.py",
        "if now >= at + self.timeout_s]",
        "if now >= at + self.timeout_s / 4]",
        ("tests/unit/test_detector.py",),
        LONG,
    ),
    Break(
        "a seller that is started again forgets what it was paid for",
        "bazaar/runtime/history.py",
        "credited.add(order_id)",
        "credited.discard(order_id)",
        ("tests/unit/test_history.py",),
        IMPATIENT,
    ),
    Break(
        "a buyer that is started again forgets what it waits for",
        "bazaar/runtime/history.py",
        "unanswered[order_id] = Unanswered(item, order_id in answered, units)",
        "unanswered.pop(order_id, None)",
        ("tests/unit/test_history.py",),
        LONG,
    ),
    Break(
        "an order abroad is repeated under a new name",
        "peers/buyer.py",
        "turn.send(embassy_of(self._settings.name), BuyAbroad(order_id, order.item, order.units))",
        'turn.send(embassy_of(self._settings.name), BuyAbroad(f"{order_id}{turn.now:.0f}", order.item, order.units))',
        ("tests/simulated/test_federation.py",),
        kind=FEDERATED,
    ),
    Break(
        "what nobody has answered abroad is called unavailable",
        "peers/buyer.py",
        "turn.note(events.UnknownAbroad(order_id, order.item, units=order.units))\n            self._think(",
        "turn.note(events.UnavailableAbroad(order_id, order.item, units=order.units))\n            self._think(",
        ("tests/simulated/test_federation.py",),
        kind=FEDERATED,
    ),
    Break(
        "traders come and go without a cool-down",
        "bazaar/core/load.py",
        "if now < self._changed_at + self._low_for_s:",
        "if now < self._changed_at:",
        ("tests/unit/test_load.py",),
        BY_LOAD,
    ),
    Break(
        "the eldest trader resigns by load",
        "bazaar/core/warehouse.py",
        "seat = self.ledger.seats.bench.youngest\n",
        "seat = next(filter(None, self.ledger.seats.bench.seats))\n",
        ("tests/simulated/test_scaling.py",),
        BY_LOAD,
    ),
    Break(
        "a unit of an epoch that is over is promised",
        "peers/trader/takes.py",
        "if take.epoch == self._epoch:\n                    return order, lot",
        "if take.epoch >= 0:\n                    return order, lot",
        ("tests/unit/test_shared_cache.py",),
        SHARED,
    ),
    Break(
        "an epoch is over before all traders have said so",
        "bazaar/core/epochs.py",
        "or not seats <= self._ended:",
        "or not seats:",
        ("tests/unit/test_shared_cache.py",),
        SHARED,
    ),
    Break(
        "an epoch is over while a queue waits for its heir",
        "bazaar/core/epochs.py",
        "self._ending is None or self._ledger.seats.orphans or",
        "self._ending is None or",
        ("tests/unit/test_shared_cache.py",),
        SHARED,
    ),
    Break(
        "what the keeper does not have yet leaves",
        "bazaar/core/copying.py",
        "while self._held and self._held[0][0] <= upto:",
        "while self._held and self._held[0][0] >= 0:",
        ("tests/unit/test_keeper.py",),
        kind="brisk-kept",
    ),
    Break(
        "a keeper puts up no fence before an heir reads",
        "bazaar/core/keeper.py",
        "        if seat not in self._fenced:\n            self._record",
        "        if not seat:\n            self._record",
        ("tests/unit/test_keeper.py",),
        kind="kept-behind",
    ),
    Break(
        "until the answer the keeper to come alone is enough",
        "bazaar/core/copying.py",
        "upto = min(upto, self._next.state)",
        "upto = self._next.state",
        ("tests/unit/test_keeper.py",),
        kind="brisk-kept",
    ),
)
