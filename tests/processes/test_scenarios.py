"""The scenarios of the original's test cases 1, 2, 4 and 5 (requirement F2), asserted on the sentences and on the ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from bazaar.control.launcher import Bazaar
from bazaar.control.planning import draw_plan
from bazaar.protocol import events
from bazaar.protocol.entries import Appoint
from bazaar.protocol.events import Event
from bazaar.protocol.goods import ITEMS, Item, is_seller
from bazaar.protocol.settings import Settings
from bazaar.runtime.history import Recorded, only
from tests.processes.market import Traded, in_order, quick, trade

SYNC_WITH_DATABASE = r"Trader\d is syncing their cache with database"
SYNC_WITH_NEIGHBOR = r"Trader\d is syncing its cache with neighbor Trader\d"


# ------------------------------------------------------------------------------------------ test case 1
def test_several_traders_are_elected_and_trade(tmp_path: Path, mongo_uri: str) -> None:
    run = trade(quick(peers=8, traders=3, cache="none", requests=60, seed=7), tmp_path / "run", mongo_uri)
    run.assert_held()
    names = run.plan.names
    elected = names[:4:-1]
    assert len(elected) == 3

    assert [(entry.peer, entry.seat) for entry in run.entries if isinstance(entry, Appoint)] == [
        (name, seat) for seat, name in enumerate(elected)
    ]
    assert run.summary.traders == list(elected)
    assert {sale.trader for sale in run.sales} == set(elected)

    for name in names:
        role = "seller selling" if is_seller(name) else "buyer looking for"
        assert run.told(f"{name} joined the bazaar as {role} {run.plan.goods[name]}")
        for winner in elected:
            expected = 0 if name == winner else 1
            won = f"{name} received message won from {winner} and recognizes {winner} as the new coordinator of the bazaar"
            assert len(run.told(won)) == expected, won
    in_order(
        run.sentences,
        "Showing the graphical representation of the bazaar",
        f"{names[2]} has started the election",
        f"Dear buyers and sellers, My ID is {elected[0]}, and I am the new coordinator",
        "Trader0 is ready for product registration",
        rf"Start re-election!! Traders elected till now \['{elected[0]}'\]",
        f"{names[0]} has started the election",
        f"Dear buyers and sellers, My ID is {elected[1]}, and I am the new coordinator",
        "Trader1 is ready for product registration",
        rf"Start re-election!! Traders elected till now \['{elected[0]}', '{elected[1]}'\]",
        f"{names[0]} has started the election",
        f"Dear buyers and sellers, My ID is {elected[2]}, and I am the new coordinator",
        "Trader2 is ready for product registration",
        r"seller\d registered their product (fish|salt|boar) with trader[012]",
        r"3 trader\(s\) in the bazaar, trading can begin!!!",
    )
    for seat, name in enumerate(elected):
        in_order(
            run.sentences,
            "Connected successfully to the database",
            f"Trader{seat} aka {name} - is ready to trade",
            rf"All traders in the bazaar \['{elected[0]}', '{elected[1]}', '{elected[2]}'\]",
            rf"Trader{seat} got a purchase request for item (fish|salt|boar) from buyer\d",
            r"Item (fish|salt|boar) is shipped from inventory",
            rf"(fish|salt|boar) is served from database by Trader{seat}",
            f"Current Trader{seat} of the bazaar is {name}",
            r"seller\d has sold (fish|salt|boar) to buyer\d and earned (4|4\.8|5\.6|6\.4|7\.2|8) \$",
            r"seller\d has \d (fish|salt|boar) left",
            r"buyer\d purchased (fish|salt|boar) from seller\d",
        )
    assert len(run.told(r"Item \w+ is shipped from inventory")) == len(run.sales) == run.summary.goods_shipped
    assert len(run.told(r"buyer\d purchased \w+ from seller\d")) == len(run.sales) == run.summary.requests.purchased
    assert len(run.told(r"\w+ is not available for sell in the bazaar right now")) == len(run.denials)
    assert not any(name in elected for sale in run.sales for name in (sale.buyer, sale.seller))


# ------------------------------------------------------------------------------------------ test case 2
def test_sellers_bring_another_item_every_while(tmp_path: Path, mongo_uri: str) -> None:
    """Seed: `N_g` goods of an item other than the last one, every `T_g`; several products of a seller on sale at once."""

    def enough(bazaar: Bazaar) -> bool:
        looped = [bazaar.out / name / "history.jsonl" for name in sellers]
        return all(path.read_text().count('"what":"registered"') >= 4 for path in looped)

    settings = quick(
        peers=6, traders=2, buyers=2, sellers=4, seed=2, restock_every_s=0.4, restock_count=10, think_s=0.2
    )
    plan = draw_plan(settings)
    sellers = [name for name in plan.names[:4] if is_seller(name)]
    run = trade(settings, tmp_path / "run", mongo_uri, enough)
    run.assert_held()

    for seller in sellers:
        deposits = sorted(
            (d for d in run.deposits if d.seller == seller), key=lambda d: int(d.deposit_id.split("-d")[1])
        )
        assert len(deposits) >= 4
        assert deposits[0].item == plan.goods[seller]
        assert {deposit.count for deposit in deposits} == {10}
        assert all(500 <= deposit.price_cents <= 1000 for deposit in deposits)
        assert all(before.item != after.item for before, after in pairwise(deposits))
        for deposit in deposits:
            seat = run.summary.traders.index(deposit.trader)
            assert run.told(f"{seller} registered their product {deposit.item} with trader{seat}")
        picked = [line.event.item for line in only(run.history(seller), events.Picked)]
        assert picked[: len(deposits) - 1] == [deposit.item for deposit in deposits[1:]]
        assert len(run.told(f"{seller} has picked item (fish|salt|boar) to sell")) == len(picked)
        # the products that were on sale at once, as the original's snapshot of the database shows them
        assert len({item for owner, item in _left(run) if owner == seller}) >= 2
    assert len(run.told("Executing seller loop")) == sum(
        1 for seller in sellers for _ in only(run.history(seller), events.SellerLoop)
    )
    assert len(run.told("Executing seller loop")) >= 2 * len(sellers)


def _left(run: Traded) -> Counter[tuple[str, Item]]:
    left: Counter[tuple[str, Item]] = Counter()
    for deposit in run.deposits:
        left[deposit.seller, deposit.item] += deposit.count
    left.subtract((sale.seller, sale.item) for sale in run.sales)
    return +left


def test_a_seller_that_is_sold_out_picks_another_item(tmp_path: Path, mongo_uri: str) -> None:
    """requirement C7, without waiting for `T_g`."""
    settings = quick(
        peers=5,
        traders=1,
        buyers=2,
        sellers=3,
        cache="none",
        requests=40,
        restock_count=2,
        restock_every_s=1000,
        seed=3,
    )
    run = trade(settings, tmp_path / "run", mongo_uri)
    run.assert_held()
    for seller in {sale.seller for sale in run.sales}:
        kinds: tuple[type[Event], ...] = (events.OutOfStock, events.Picked)
        history = list(only(run.history(seller), *kinds))
        for before, after in pairwise(history):
            if isinstance(before.event, events.OutOfStock):
                assert isinstance(after.event, events.Picked)
        for gone in (line.event.item for line in only(history, events.OutOfStock)):
            in_order(
                run.sentences,
                f"{seller} has 0 {gone} left",
                f"{seller} is out of stock for item {gone}",
                f"{seller} has picked item (fish|salt|boar) to sell",
            )
    assert run.told(r"seller\d is out of stock for item (fish|salt|boar)")


# ------------------------------------------------------------------------------------------ test case 4
def test_a_cache_is_pulled_from_the_database(tmp_path: Path, mongo_uri: str) -> None:
    settings = quick(
        peers=7, traders=3, buyers=4, sellers=3, cache="weak", requests=150, pull_every=5, push=False, seed=4
    )
    run = trade(settings, tmp_path / "run", mongo_uri)
    run.assert_held()
    assert run.told(SYNC_WITH_DATABASE)
    assert not run.told(SYNC_WITH_NEIGHBOR)
    assert {sale.cached for sale in run.sales} == {True, False}

    for seat, name in enumerate(run.summary.traders):
        served = 0
        for happened in run.history(name):
            if isinstance(happened.event, events.Pulled):
                assert served >= 5, f"{name} pulled after {served} orders"
                served = 0
            served += _serves(happened)
        in_order(
            run.sentences,
            rf"Trader{seat} got a purchase request for item (fish|salt|boar) from buyer\d",
            f"Trader{seat} is syncing their cache with database",
        )
        in_order(
            run.sentences,
            f"(fish|salt|boar) is served from cache by Trader{seat}",
            f"Current Trader{seat} of the bazaar is {name}",
            r"seller\d has sold (fish|salt|boar) to buyer\d and earned (4|4\.8|5\.6|6\.4|7\.2|8) \$",
        )
    for seat, name in enumerate(run.summary.traders):
        kept = sum(sale.cached for sale in run.sales if sale.trader == name)
        broken = sum(denial.reason == "oversold" for denial in run.denials if denial.trader == name)
        assert len(run.told(f"(fish|salt|boar) is served from cache by Trader{seat}")) == kept + broken


def _serves(happened: Recorded[Event]) -> bool:
    """Whether by this event a trader's order has its answer."""
    match happened.event:
        case events.Taken(to="cache") | events.Traded(by="warehouse") | events.Unavailable():
            return True
    return False


def test_a_cache_that_is_never_pulled_says_so(tmp_path: Path, mongo_uri: str) -> None:
    settings = quick(peers=5, traders=2, cache="weak", requests=60, pull_every=0, push=False, seed=4)
    run = trade(settings, tmp_path / "run", mongo_uri)
    run.assert_held()
    assert not run.told(SYNC_WITH_DATABASE)


# ------------------------------------------------------------------------------------------ test case 5
def test_a_cache_is_pushed_to_the_neighbors(tmp_path: Path, mongo_uri: str) -> None:
    """What a trader could only have learnt from a neighbor, it sells from its cache; without the push it does not."""
    knobs = {"peers": 7, "traders": 3, "buyers": 4, "sellers": 3, "cache": "weak", "pull_every": 0, "seed": 5}
    run = trade(quick(**knobs, requests=200, push=True), tmp_path / "with push", mongo_uri)
    run.assert_held()
    for seat, name in enumerate(run.summary.traders):
        others = [number for number in range(3) if number != seat]
        for other in others:
            assert run.told(f"Trader{seat} is syncing its cache with neighbor Trader{other}")
            neighbor = run.summary.traders[other]
            assert any(line.event.neighbor == name for line in only(run.history(neighbor), events.HeardPush))
        in_order(
            run.sentences,
            f"(fish|salt|boar) is served from (cache|database) by Trader{seat}",
            f"Trader{seat} is syncing its cache with neighbor Trader{others[0]}",
            f"Trader{seat} is syncing its cache with neighbor Trader{others[1]}",
        )
    assert not run.told(SYNC_WITH_DATABASE)
    assert _learnt_from_neighbors(run)

    run = trade(quick(**knobs, requests=200, push=False), tmp_path / "without push", mongo_uri)
    run.assert_held()
    assert not run.told(SYNC_WITH_NEIGHBOR)
    assert not _learnt_from_neighbors(run)


def _learnt_from_neighbors(run: Traded) -> list[str]:
    """Orders that a cache answered from a deposit which came in elsewhere, and after its trader last read the item."""
    deposits = {deposit.deposit_id: deposit for deposit in run.deposits}
    lots = {sale.order_id: deposits[sale.deposit_id] for sale in run.sales}
    last_read: defaultdict[str, dict[Item, int]] = defaultdict(dict)
    learnt = []
    for name in run.summary.traders:
        reading: dict[str, Item] = {}
        for happened in run.history(name):
            match happened.event:
                case events.Taken(order, item, to="warehouse"):
                    reading[order] = item
                case events.Traded(order) | events.Unavailable(order) if order in reading:
                    last_read[name][reading.pop(order)] = happened.clock
                case events.Taken(order) if order in lots:
                    lot = lots[order]
                    read_at = last_read[name].get(lot.item)
                    if lot.trader != name and read_at is None:
                        learnt.append(order)
    return learnt


# --------------------------------------------------------------------------- beyond the original's test cases
def test_an_item_that_nobody_sells(tmp_path: Path, mongo_uri: str) -> None:
    """requirement A4: the corner case that some good has no seller at all."""

    def unsold(seed: int) -> set[Item]:
        plan = draw_plan(quick(peers=6, traders=2, seed=seed))
        sold = {plan.goods[name] for name in plan.names[:4] if is_seller(name)}
        wanted = {plan.goods[name] for name in plan.names[:4] if not is_seller(name)}
        return (set(ITEMS) - sold) & wanted if len(sold) == 2 else set()

    seed = next(seed for seed in range(1000) if unsold(seed))
    (item,) = unsold(seed)
    for cache in ("none", "weak"):
        settings = quick(
            peers=6, traders=2, cache=cache, requests=60, restock_count=1000, restock_every_s=1000, seed=seed
        )
        run = trade(settings, tmp_path / cache, mongo_uri)
        run.assert_held()
        assert run.summary.requests.unavailable == len(run.denials) > 0
        assert {denial.item for denial in run.denials} == {item}
        assert item not in {deposit.item for deposit in run.deposits}
        assert run.sales
        in_order(
            run.sentences,
            rf"Trader\d got a purchase request for item {item} from buyer\d",
            f"Item {item} is unavailable",
            f"{item} is not available for sell in the bazaar right now",
        )
        # requirement C6: who is told so picks another
        for buyer in {denial.buyer for denial in run.denials}:
            story = only(run.history(buyer), events.Ordered, events.FoundUnavailable)
            for refused, after in pairwise(story):
                if isinstance(refused.event, events.FoundUnavailable):
                    assert after.event.item != item


def test_none_never_oversells(tmp_path: Path, mongo_uri: str) -> None:
    run = trade(_scarce("none"), tmp_path / "run", mongo_uri)
    run.assert_held()
    assert not any(sale.cached for sale in run.sales)
    assert {denial.reason for denial in run.denials} == {"unavailable"}
    assert run.summary.requests.oversold == 0
    assert not run.told(r".*(oversold|from cache|syncing).*")


def test_weak_oversells_scarce_goods_and_says_so(tmp_path: Path, mongo_uri: str) -> None:
    run = trade(_scarce("weak"), tmp_path / "run", mongo_uri)
    run.assert_held()
    oversold = [denial for denial in run.denials if denial.reason == "oversold"]
    assert run.summary.requests.oversold == len(oversold) > 0
    rejected = r"Warehouse rejected buy request for {} from {} because inventory was oversold"
    for denial in oversold:
        assert run.told(rejected.format(denial.item, denial.buyer))
    assert len(run.told(rejected.format(r"\w+", r"buyer\d"))) == len(oversold)
    revoked = {line.event.order_id for name in run.plan.names for line in only(run.history(name), events.Revoked)}
    assert revoked == {denial.order_id for denial in oversold}


def _scarce(cache: str) -> Settings:
    return quick(
        peers=9, traders=3, buyers=6, sellers=3, cache=cache, requests=400, restock_count=2, window=5,
        restock_every_s=0.2, seed=6,
    )  # fmt: skip
