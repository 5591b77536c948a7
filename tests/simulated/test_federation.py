"""Bazaars that trade with each other, simulated: what holds, and what the judge sees when something is broken on purpose."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from bazaar.analysis.audit.federation import CHECKS_TOGETHER
from bazaar.analysis.order_table import table_of
from bazaar.analysis.stories import Run, explain
from bazaar.analysis.summary import summarize
from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.entries import Sale
from bazaar.protocol.former_life import FormerLife
from bazaar.protocol.goods import buyer_of, embassy_of, name_at_home
from bazaar.protocol.messages import BuyAbroad, Purchased
from bazaar.protocol.settings import with_pace
from peers.buyer import Abroad, Buyer
from peers.embassy import Embassy
from tests.simulation.federation import Federation, Outcome, draw_federation
from tests.simulation.network import Network
from tests.simulation.world import World

SEEDS = range(12)
Patch = pytest.MonkeyPatch


def two(joins: bool = True, **settings: Any) -> Federation:
    """A bazaar whose sellers have next to nothing, and one that has plenty, with a buyer each."""
    poor = with_pace(
        "fast", peers=5, traders=1, buyers=2, requests=30, restock_count=1, name="north", seed=1, **settings
    )
    rich = with_pace(
        "fast", peers=5, traders=1, buyers=2, requests=30, restock_count=100, name="south", seed=2, **settings
    )
    south = World(2, rich, Network())
    north = World(1, poor, Network(), treaties=("south",) if joins else ())
    return Federation({"south": south, "north": north})


def south_dies() -> Federation:
    """The same two; the rich one perishes when the first order was sent to it."""
    federation = two(answer_timeout_s=0.5)
    north = federation.worlds["north"]

    def goes_abroad() -> bool:
        return any(isinstance(line.event, events.SentAbroad) for line in north.histories["embassy@north"])

    north.once(goes_abroad, lambda: federation.perish("south"))
    return federation


def die_again_and_again(world: World, name: str) -> None:
    for number in range(100):
        world.at(0.1 * number, partial(world.kill, name))
        world.at(0.1 * number + 0.03, partial(world.restart, name))
    world.quiet_after_s = 11.0


def told(outcome: Outcome, kind: type[events.Event], bazaar: str = "north") -> list[Any]:
    histories = outcome.evidence[bazaar].histories
    return [line.event for history in histories.values() for line in history if isinstance(line.event, kind)]


@pytest.mark.parametrize("seed", SEEDS)
def test_with_any_settings_and_any_faults_nothing_is_lost_and_nothing_bought_twice(seed: int) -> None:
    outcome = draw_federation(seed).run()
    assert outcome.violations == {}
    assert outcome.together.exercised["orders_abroad"] > 0


def test_what_is_sold_out_at_home_is_bought_abroad_in_the_ledger_whose_goods_it_takes() -> None:
    outcome = two().run()
    assert (outcome.violations, outcome.together.verdict) == ({}, "held")
    bought = {event.order_id: event for event in told(outcome, events.BoughtAbroad)}
    sales = {
        entry.order_id: entry
        for entry in outcome.evidence["south"].entries
        if isinstance(entry, Sale) and "@north" in entry.order_id
    }
    assert bought.keys() == sales.keys() != set()
    assert {event.seller.partition("@")[2] for event in bought.values()} == {"south"}
    assert not any("@north" in getattr(entry, "order_id", "") for entry in outcome.evidence["north"].entries)


def told_run(outcome: Outcome, bazaar: str) -> Run:
    evidence = outcome.evidence[bazaar]
    return Run(evidence.plan, evidence.entries, evidence.histories)


def rows_of(outcome: Outcome, bazaar: str) -> dict[str, dict[str, str]]:
    table = b"".join(table_of(told_run(outcome, bazaar))).decode()
    return {row["order"]: row for row in csv.DictReader(io.StringIO(table))}


@pytest.mark.parametrize("asked_by", ["its name at home", "its name abroad"])
def test_the_story_of_an_order_that_was_bought_abroad_is_told_in_both_runs(asked_by: str) -> None:
    outcome = two().run()
    bought = told(outcome, events.BoughtAbroad)[0]
    at_home = name_at_home(bought.order_id)
    story = explain(told_run(outcome, "north"), at_home if asked_by == "its name at home" else bought.order_id)
    assert story is not None
    assert (story.order, story.outcome) == (at_home, "bought abroad")
    texts = [moment.text for moment in story.moments]
    steps = ["orders", "is told: unavailable", f"asks for it abroad, as {bought.order_id}", "sends it to south",
             f"is told: bought abroad from {bought.seller}"]  # fmt: skip
    assert [next(n for n, text in enumerate(texts) if step in text) for step in steps] == sorted(
        next(n for n, text in enumerate(texts) if step in text) for step in steps
    )
    assert any("the embassy sent it to south" in why for why in story.why)
    there = explain(told_run(outcome, "south"), bought.order_id)
    assert there is not None
    assert (there.order, there.buyer, there.outcome) == (bought.order_id, buyer_of(bought.order_id), "purchased")
    texts = [moment.text for moment in there.moments]
    assert any(text.startswith("embassy@south orders it from trader0") and text.endswith("for north") for text in texts)
    assert any("the warehouse sells it" in text for text in texts)
    assert any("It is an order of north" in why for why in there.why)
    other = explain(told_run(outcome, "south"), at_home)  # an order of the same name, of a buyer of its own
    assert other is None or not any("abroad" in moment.text or "embassy" in moment.text for moment in other.moments)


def test_of_an_order_abroad_without_an_answer_the_story_says_that_nobody_knows() -> None:
    outcome = south_dies().run()
    unknown = told(outcome, events.UnknownAbroad)[0]
    story = explain(told_run(outcome, "north"), unknown.order_id)
    assert story is not None
    assert story.outcome == "unknown abroad"
    assert any("may have been bought all the same" in why for why in story.why)


@pytest.mark.parametrize("seed", SEEDS)
def test_table_and_summary_count_the_orders_abroad_that_the_judge_counts(seed: int) -> None:
    outcome = draw_federation(seed).run()
    counted: Counter[str] = Counter()
    for bazaar, evidence in outcome.evidence.items():
        rows = rows_of(outcome, bazaar).values()
        abroad = summarize(evidence, outcome.alone[bazaar], 0.0).abroad
        assert abroad is not None
        words = Counter(row["abroad"] for row in rows if row["abroad"])
        assert words == +Counter(bought=abroad.bought, unavailable=abroad.unavailable, unknown=abroad.unknown)
        assert words.total() == abroad.asked
        assert all(bool(row["abroad_seller"]) == (row["abroad"] == "bought") for row in rows)
        foreign = Counter(row["decision"] for row in rows if "@" in row["order"])
        assert (foreign["sold"], foreign["unavailable"]) == (abroad.sold, abroad.refused)
        counted.update(orders_abroad=abroad.asked, bought_abroad=abroad.bought, unavailable_abroad=abroad.unavailable)
    assert counted == +Counter({name: outcome.together.exercised[name] for name in counted})


def test_without_a_treaty_nobody_buys_abroad() -> None:
    outcome = two(joins=False).run()
    assert outcome.together.exercised["bought_abroad"] == 0
    assert outcome.together.exercised["unavailable_abroad"] > 0


@pytest.mark.parametrize("bazaar", ["north", "south"])
def test_an_embassy_may_die_in_the_middle_of_any_order(bazaar: str) -> None:
    federation = two(answer_timeout_s=0.3, think_s=0.1)
    die_again_and_again(federation.worlds[bazaar], embassy_of(bazaar))
    outcome = federation.run()
    assert (outcome.violations, outcome.together.verdict) == ({}, "held")
    assert outcome.together.exercised["repeated_abroad"] > 0


def test_when_the_other_bazaar_dies_home_goes_on_and_what_is_under_way_is_unknown() -> None:
    federation = south_dies()
    south, north = federation.worlds["south"], federation.worlds["north"]
    outcome = federation.run()
    assert south.now < north.now
    assert outcome.violations == {}
    assert outcome.together.exercised["unknown_abroad"] > 0
    answered = [*told(outcome, events.Purchased), *told(outcome, events.FoundUnavailable)]
    assert len(answered) == 30


# ------------------------------------------------------------------------------------- broken on purpose
def forgets_where_it_sent_an_order(patch: Patch) -> None:
    """With a third bazaar, an embassy that is started again sends an order elsewhere."""
    honest = Embassy.__init__

    def init(embassy: Embassy, plan: Any, treaties: Any, former: FormerLife) -> None:
        honest(embassy, plan, treaties, msgspec.structs.replace(former, sent_abroad={}))
        if former.lives % 2:
            embassy._abroad.reverse()

    patch.setattr(Embassy, "__init__", init)


def buys_under_a_new_name(patch: Patch) -> None:
    honest = Buyer._wait_abroad
    names = Counter[str]()

    def wait(buyer: Buyer, turn: Turn, order_id: str, order: Abroad) -> None:
        sent = len(turn.sends)
        honest(buyer, turn, order_id, order)
        for number, (to, letter) in enumerate(turn.sends[sent:], sent):
            if isinstance(letter.body, BuyAbroad):
                names[order_id] += 1
                another = msgspec.structs.replace(letter.body, order_id=f"{order_id}{names[order_id]}")
                turn.sends[number] = (to, msgspec.structs.replace(letter, body=another))

    patch.setattr(Buyer, "_wait_abroad", wait)


def says_unavailable_when_it_does_not_know(patch: Patch) -> None:
    patch.setattr(events, "UnknownAbroad", events.UnavailableAbroad)


def forgets_an_order(patch: Patch) -> None:
    patch.setattr(
        Buyer, "_answered_abroad", lambda buyer, turn, order_id: bool(buyer._abroad.pop(order_id, None)) and False
    )


def passes_on_what_it_has_not_bought(patch: Patch) -> None:
    honest = Embassy._ask

    def ask(embassy: Embassy, turn: Turn, order_id: str, order: Any) -> None:
        honest(embassy, turn, order_id, order)
        embassy.on_purchased(turn, "", Purchased(order_id, order.item, "seller1", 800, units=order.units))

    patch.setattr(Embassy, "_ask", ask)


def poor_beside_two_rich() -> Federation:
    """The embassy of the poor one dies again and again."""
    settings = {
        "peers": 5,
        "traders": 1,
        "buyers": 2,
        "requests": 300,
        "answer_timeout_s": 0.3,
        "think_s": 0.03,
        "window": 5,
    }
    worlds: dict[str, World] = {}
    for number, name in enumerate(("north", "south", "east")):
        rich = with_pace("fast", **settings, restock_count=1 if name == "east" else 100, name=name, seed=number)
        worlds[name] = World(number, rich, Network(delay_s=0.01), treaties=tuple(worlds))
    die_again_and_again(worlds["east"], "embassy@east")
    return Federation(worlds)


def test_an_order_is_repeated_where_it_was_sent_and_nowhere_else(monkeypatch: Patch) -> None:
    outcome = poor_beside_two_rich().run()
    assert (outcome.violations, outcome.together.verdict) == ({}, "held")
    assert outcome.together.exercised["repeated_abroad"] > 0
    forgets_where_it_sent_an_order(monkeypatch)
    assert "abroad_bought_once" in poor_beside_two_rich().run().together.violations


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (buys_under_a_new_name, "abroad_only_what_was_asked"),
        (says_unavailable_when_it_does_not_know, "abroad_told_the_truth"),
        (forgets_an_order, "abroad_no_order_lost"),
        (passes_on_what_it_has_not_bought, "abroad_told_the_truth"),
    ],
)
def test_the_judge_sees_each_of_these(spoil: Callable[[Patch], None], check: str, monkeypatch: Patch) -> None:
    spoil(monkeypatch)
    seen = Counter[str]()
    for seed in range(60):
        seen.update(draw_federation(seed, requests=30).run().together.violations)
        if seen[check]:
            break
    assert check in CHECKS_TOGETHER
    assert seen[check], seen
