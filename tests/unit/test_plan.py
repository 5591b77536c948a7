from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bazaar.protocol.goods import ITEMS, index_of, is_seller
from bazaar.protocol.plan import MOST_NEIGHBOURS, Plan, draw_plan, load, save
from bazaar.protocol.settings import check
from bazaar.views.topology import graph_of
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


# -------------------------------------------------------------------------------------------- the file
def test_a_plan_is_read_as_it_was_saved(tmp_path: Path) -> None:
    plan = a_plan(peers=12, traders=2, buyers=5, requests=40, seed=7)
    save(plan, tmp_path / "bazaar.json")
    assert load(tmp_path / "bazaar.json") == plan


def test_the_saved_plan_holds_the_adjacency_list_for_people_to_read(tmp_path: Path) -> None:
    save(a_plan(), tmp_path / "bazaar.json")
    text = (tmp_path / "bazaar.json").read_text()
    assert '"neighbours": {\n' in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("text", ["", "{}", "[1", '{"names": 3}'])
def test_a_damaged_file_is_no_plan(text: str, tmp_path: Path) -> None:
    (tmp_path / "bazaar.json").write_text(text)
    with pytest.raises(ValueError, match=r"."):  # msgspec's DecodeError is one
        load(tmp_path / "bazaar.json")


def test_the_smallest_bazaar_can_be_drawn() -> None:
    settings = some_settings(peers=3, traders=1)
    check(settings)
    assert len(draw_plan(settings).names) == 3
