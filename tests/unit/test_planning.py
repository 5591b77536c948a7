from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bazaar.control.planning import draw_plan
from bazaar.core.cache import POLICIES
from bazaar.protocol.goods import ITEMS, index_of, is_seller
from bazaar.protocol.plan import MOST_NEIGHBOURS, Plan
from bazaar.protocol.settings import UsageError, check
from bazaar.views.places import graph_of
from tests.builders import a_plan, some_settings

SIZES = st.integers(3, 80)
SEEDS = st.integers(0, 2**31)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Of any size, with any number of traders, and with or without exact numbers of roles."""
    peers = draw(SIZES)
    values = {"peers": peers, "traders": draw(st.integers(1, peers - 2)), "seed": draw(SEEDS)}
    fixed = draw(st.sampled_from(["nothing", "buyers", "sellers", "both"]))
    buyers = draw(st.integers(1, peers - 1))
    if fixed in ("buyers", "both"):
        values["buyers"] = buyers
    if fixed in ("sellers", "both"):
        values["sellers"] = peers - buyers
    return a_plan(**values)


# ------------------------------------------------------------------------------------------ the graph
@given(plans())
def test_the_graph_is_connected_and_nobody_has_more_than_three_neighbours(plan: Plan) -> None:
    graph = graph_of(plan)
    assert set(graph) == set(plan.names)
    assert nx.is_connected(graph)
    assert max(degree for _, degree in graph.degree()) <= MOST_NEIGHBOURS == 3
    assert nx.number_of_selfloops(graph) == 0


@given(plans())
def test_neighbours_are_each_others_neighbours(plan: Plan) -> None:
    for name, neighbours in plan.neighbours.items():
        assert len(set(neighbours)) == len(neighbours)
        assert all(name in plan.neighbours[neighbour] for neighbour in neighbours)


def test_the_graph_is_not_just_a_tree() -> None:
    assert any(graph_of(a_plan(peers=20, seed=seed)).number_of_edges() > 19 for seed in range(5))


# ------------------------------------------------------------------------------------------- the roles
@given(plans())
def test_peers_are_called_by_role_and_index(plan: Plan) -> None:
    assert [index_of(name) for name in plan.names] == list(range(plan.settings.peers))


@given(plans())
def test_a_buyer_and_a_seller_are_among_those_whom_no_election_makes_traders(plan: Plan) -> None:
    remaining = plan.names[: plan.settings.peers - plan.settings.traders]
    assert {is_seller(name) for name in remaining} == {True, False}


@given(plans())
def test_numbers_of_buyers_and_sellers_that_were_asked_for_are_kept(plan: Plan) -> None:
    sellers = sum(map(is_seller, plan.names))
    assert plan.settings.sellers in (None, sellers)
    assert plan.settings.buyers in (None, len(plan.names) - sellers)


@given(plans())
def test_everybody_begins_with_some_good(plan: Plan) -> None:
    assert set(plan.goods) == set(plan.names)
    assert set(plan.goods.values()) <= set(ITEMS)


def test_roles_and_goods_are_drawn_at_random() -> None:
    drawn = [a_plan(peers=10, seed=seed) for seed in range(40)]
    assert len({sum(map(is_seller, plan.names)) for plan in drawn}) > 2
    assert len({tuple(plan.goods.values()) for plan in drawn}) > 30
    assert {is_seller(plan.names[0]) for plan in drawn} == {True, False}


def test_a_good_that_nobody_sells_can_be_drawn() -> None:
    def sold(seed: int) -> set[str]:
        plan = a_plan(peers=4, traders=1, seed=seed)
        return {good for name, good in plan.goods.items() if is_seller(name)}

    assert any(sold(seed) != set(ITEMS) for seed in range(20))


# -------------------------------------------------------------------------------------------- the seed
@given(plans())
def test_the_same_seed_gives_the_same_plan(plan: Plan) -> None:
    assert draw_plan(plan.settings) == plan


def test_another_seed_gives_another_plan() -> None:
    assert a_plan(seed=1).neighbours != a_plan(seed=2).neighbours


def test_each_peer_has_chances_of_its_own_that_the_seed_fixes() -> None:
    first = a_plan(seed=1)
    assert first.random_for("buyer0").random() == a_plan(seed=1).random_for("buyer0").random()
    assert first.random_for("buyer0").random() != first.random_for("seller1").random()
    assert first.random_for("buyer0").random() != a_plan(seed=2).random_for("buyer0").random()


def test_the_smallest_bazaar_can_be_drawn() -> None:
    settings = some_settings(peers=3, traders=1)
    check(settings)
    assert len(draw_plan(settings).names) == 3


# ------------------------------------------------------------------------------------- the cache policy
def test_a_plan_says_what_its_cache_policy_promises() -> None:
    assert {cache: a_plan(cache=cache).promises for cache in POLICIES} == {
        "none": "strong",
        "weak": "weak",
        "escrow": "strong",
        "shared": "strong",
    }


@pytest.mark.parametrize(
    ("cache", "complaint"),
    [
        ("weka", "--cache can be none, weak, escrow, shared; you asked for 'weka' (did you mean weak?)"),
        ("Escrow", "--cache can be none, weak, escrow, shared; you asked for 'Escrow' (did you mean escrow?)"),
        ("redis", "--cache can be none, weak, escrow, shared; you asked for 'redis'"),
        ("", "--cache can be none, weak, escrow, shared; you asked for ''"),
    ],
)
def test_an_unknown_cache_policy_is_refused_with_those_that_there_are(cache: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        a_plan(cache=cache)
    assert str(caught.value) == complaint
