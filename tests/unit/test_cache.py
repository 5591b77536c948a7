"""The rules of requirements D2 to D6, one by one."""

from __future__ import annotations

from bazaar.core.cache import POLICIES, Cache, EscrowCache, WeakCache
from bazaar.core.shelf import with_count
from bazaar.protocol.goods import ITEMS, Item, Lot
from bazaar.protocol.requests import Acquire, GiveBack, Read
from tests.builders import a_lot, some_settings


def a_cache(*lots: Lot, pull_every: int = 5, push: bool = True) -> WeakCache:
    cache = WeakCache(pull_every, push)
    cache.learn(ITEMS, lots)
    return cache


def count_of(cache: Cache, item: Item = "salt") -> int:
    """What the cache would promise from."""
    lot = cache.offer(item)
    return lot.count if lot else 0


def promise(cache: Cache, item: Item = "salt") -> Lot:
    """Sells one unit from the cache; the lot as it was offered."""
    lot = cache.offer(item)
    assert lot is not None
    cache.promised(lot)
    cache.served()
    return lot


# ----------------------------------------------------------------------------------------- D2: no cache
def test_none_answers_nothing_itself_reads_nothing_and_tells_nobody() -> None:
    cache = POLICIES["none"].of(some_settings(cache="none"))
    cache.learn(ITEMS, [a_lot()])
    cache.hear(a_lot())
    cache.sold(a_lot())
    for _ in range(10):
        cache.served()
    assert [cache.offer(item) for item in ITEMS] == [None, None, None]
    assert cache.wants(["salt"], 0.0) == ()
    assert cache.news() == ()


def test_each_policy_declares_what_it_promises() -> None:
    declared = {name: (policy.promises, policy.leased) for name, policy in POLICIES.items()}
    strong = {"none": ("strong", False), "escrow": ("strong", True), "shared": ("strong", True)}
    assert declared == {"weak": ("weak", False), **strong}


# ------------------------------------------------------------------------------------ D3: hit and miss
def test_a_count_above_zero_is_a_hit() -> None:
    assert a_cache(a_lot(count=1)).offer("salt") == a_lot(count=1)


def test_an_unknown_item_is_a_miss() -> None:
    assert a_cache(a_lot(item="salt")).offer("fish") is None
    assert WeakCache(5, True).offer("salt") is None


def test_a_zero_is_a_miss() -> None:
    assert a_cache(a_lot(count=0)).offer("salt") is None


def test_each_promise_takes_one_until_nothing_is_left() -> None:
    cache = a_cache(a_lot(count=2))
    promise(cache)
    assert count_of(cache) == 1
    promise(cache)
    assert cache.offer("salt") is None


def test_the_lot_with_the_lowest_deposit_clock_is_offered_first() -> None:
    early, late = a_lot("seller2-d0", count=1, clock=1), a_lot("seller1-d0", count=1, clock=2)
    cache = a_cache(late, early)
    assert promise(cache) == early
    assert promise(cache) == late


def test_a_miss_refreshes_the_item_and_only_that() -> None:
    cache = a_cache()
    assert cache.wants(["salt", "fish", "salt"], 0.0) == (Read(("fish", "salt")),)
    assert cache.wants([], 0.0) == ()


def test_what_is_read_replaces_what_was_known_of_these_items() -> None:
    cache = a_cache(a_lot("seller1-d0"), a_lot("seller2-d0", item="fish"))
    cache.learn(["salt"], [a_lot("seller3-d0", count=7)])
    assert cache.offer("salt") == a_lot("seller3-d0", count=7)
    assert cache.offer("fish") == a_lot("seller2-d0", item="fish")
    cache.learn(["fish"], [])
    assert cache.offer("fish") is None


def test_what_the_warehouse_sold_is_known() -> None:
    cache = a_cache(a_lot(count=5))
    cache.sold(a_lot(count=2))
    assert count_of(cache) == 2


# --------------------------------------------------------------------------------------------- D4: pull
def test_everything_is_read_anew_after_every_k_served_orders() -> None:
    cache = a_cache(pull_every=3)
    for round_ in range(3):
        cache.served()
        cache.served()
        assert cache.wants([], 0.0) == (), round_
        cache.served()
        assert cache.wants(["salt"], 0.0) == (Read(ITEMS),), round_


def test_zero_means_no_pull() -> None:
    cache = a_cache(pull_every=0)
    for _ in range(100):
        cache.served()
    assert cache.wants([], 0.0) == ()


# --------------------------------------------------------------------------------------------- D5: push
def test_after_a_sale_the_others_are_told_the_new_count_once() -> None:
    cache = a_cache(a_lot(count=3))
    promise(cache)
    promise(cache)
    assert cache.news() == (a_lot(count=1),)
    assert cache.news() == ()


def test_a_sale_by_the_warehouse_is_told_as_well() -> None:
    cache = a_cache(a_lot(count=3))
    cache.sold(a_lot(count=2))
    assert cache.news() == (a_lot(count=2),)


def test_without_push_nobody_is_told() -> None:
    cache = a_cache(a_lot(count=3), push=False)
    promise(cache)
    assert cache.news() == ()


def test_of_two_counts_the_lower_is_kept() -> None:
    cache = a_cache(a_lot(count=3))
    cache.hear(a_lot(count=2))
    assert count_of(cache) == 2
    cache.hear(a_lot(count=9))
    assert count_of(cache) == 2
    cache.hear(a_lot(count=0))
    assert count_of(cache) == 0
    cache.hear(a_lot(count=1))
    assert count_of(cache) == 0


def test_a_lot_that_was_unknown_is_taken_over() -> None:
    cache = a_cache()
    cache.hear(a_lot(count=4))
    assert count_of(cache) == 4


def test_what_is_heard_is_not_told_on() -> None:
    cache = a_cache()
    cache.hear(a_lot(count=4))
    cache.learn(["fish"], [a_lot("seller3-d0", item="fish")])
    assert cache.news() == ()


# --------------------------------------------------------------------- D6: promises and the warehouse
def test_what_is_promised_and_not_yet_decided_is_not_offered_again_by_a_read() -> None:
    cache = a_cache(a_lot(count=2))
    promise(cache)
    cache.learn(ITEMS, [a_lot(count=2)])  # the warehouse does not know of the promise yet
    assert count_of(cache) == 1


def test_nor_by_a_sale_of_the_warehouse() -> None:
    cache = a_cache(a_lot(count=3))
    promise(cache)
    cache.sold(a_lot(count=2))
    assert count_of(cache) == 1


def test_a_promise_that_was_shipped_is_counted_once() -> None:
    cache = a_cache(a_lot(count=2))
    cache.settled(promise(cache), shipped=True)
    assert count_of(cache) == 1
    cache.learn(ITEMS, [a_lot(count=1)])
    assert count_of(cache) == 1


def test_a_promise_that_was_denied_shows_that_nothing_is_left() -> None:
    cache = a_cache(a_lot(count=9))
    cache.settled(promise(cache), shipped=False)
    assert cache.offer("salt") is None
    assert cache.news() == (with_count(a_lot(), 0),)


def test_more_promises_than_the_warehouse_has_is_a_miss_not_a_negative_count() -> None:
    cache = a_cache(a_lot(count=3))
    for _ in range(3):
        promise(cache)
    cache.learn(ITEMS, [a_lot(count=1)])
    assert cache.offer("salt") is None
    cache.sold(a_lot(count=0))
    assert [lot.count for lot in cache.news()] == [0]


# --------------------------------------------------------------------------------------------- escrow
LEASE_S = 10.0


def granted(*lots: Lot) -> EscrowCache:
    cache = EscrowCache(LEASE_S)
    cache.learn(ITEMS, lots)
    return cache


def sell(cache: EscrowCache, count: int = 1) -> None:
    for _ in range(count):
        lot = cache.offer("salt")
        assert lot is not None
        cache.promised(lot)


def test_escrow_offers_what_it_was_granted_and_no_more() -> None:
    cache = granted(a_lot(count=2))
    sell(cache, 2)
    assert cache.offer("salt") is None
    assert cache.offer("fish") is None


def test_escrow_heeds_no_neighbour() -> None:
    cache = granted()
    cache.hear(a_lot(count=9))
    assert cache.offer("salt") is None
    assert cache.news() == ()


def test_escrow_asks_for_nothing_that_nobody_ordered() -> None:
    assert granted().wants([], 0.0) == ()


def test_escrow_asks_for_twice_what_it_has_sold_and_then_for_what_it_sells_in_a_lease() -> None:
    cache = granted(a_lot(count=1))
    cache.wants([], 0.0)
    sell(cache)
    assert cache.wants(["salt", "salt"], 1.0) == (Acquire("salt", 6),)
    cache.learn(["salt"], [a_lot(count=8)])
    assert cache.wants([], 2.0) == ()  # more than half of it is there
    sell(cache, 4)
    assert cache.wants([], 3.0) == (Acquire("salt", 14),)
    assert cache.wants([], 4.0) == ()  # nothing was sold since it asked
    sell(cache)
    assert cache.wants([], LEASE_S) == (Acquire("salt", 8),)  # a new period, and eight in the one before
    sell(cache)
    assert cache.wants([], 3 * LEASE_S) == ()  # nothing for a whole one


def test_escrow_does_not_take_what_it_has_promised_for_free() -> None:
    cache = granted(a_lot(count=3))
    sell(cache, 2)
    cache.learn(["salt"], [a_lot(count=3)])  # the ledger has not seen the sales yet
    assert count_of(cache) == 1
    cache.settled(a_lot(), shipped=True)
    cache.learn(["salt"], [a_lot(count=2)])
    assert count_of(cache) == 1


def test_escrow_may_sell_again_what_another_trader_had_decided() -> None:
    cache = granted(a_lot(count=1))
    sell(cache)
    cache.settled(a_lot(), shipped=False)
    assert count_of(cache) == 1


def test_escrow_gives_back_what_is_called_back_and_asks_for_it_only_if_it_is_missed() -> None:
    cache = granted(a_lot(count=5))
    cache.wants(["salt"] * 4, 0.0)
    cache.recalled("salt")
    assert cache.wants([], 1.0) == (GiveBack("salt"),)
    assert cache.offer("salt") is None
    cache.learn(["salt"], [])
    assert cache.wants([], 2.0) == ()
    assert cache.wants(["salt"], 3.0) == (Acquire("salt", 4),)


def test_escrow_looks_at_what_it_has_inherited() -> None:
    cache = granted()
    cache.inherited()
    assert cache.wants([], 0.0) == tuple(Acquire(item, 0) for item in ITEMS)
    assert cache.wants([], 0.0) == ()


# -------------------------------------------------------------------------------------- several units
def test_a_weak_cache_promises_several_units_of_its_first_lot_alone() -> None:
    cache = a_cache(a_lot(count=2), a_lot("seller3-d0", count=9, clock=2))
    assert cache.offer("salt", 3) is None
    assert cache.offer("salt", 2) == a_lot(count=2)
    cache.promised(a_lot(count=2), 2)
    assert cache.offer("salt", 3) == a_lot("seller3-d0", count=9, clock=2)


def test_escrow_counts_every_unit_of_a_promise() -> None:
    cache = EscrowCache(LEASE_S)
    cache.learn(["salt"], [a_lot(count=5)])
    cache.promised(a_lot(count=5), 3)
    assert (cache.offer("salt", 3), cache.offer("salt", 2)) == (None, a_lot(count=2))
    cache.settled(a_lot(count=5), shipped=False, units=3)
    assert cache.offer("salt", 5) == a_lot(count=5)
