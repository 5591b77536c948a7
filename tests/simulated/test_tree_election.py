"""Elections along a tree in simulated bazaars: the winners are Bully's, the letters are few; and controls."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest

from bazaar.core import tree_election
from bazaar.core.endpoint import Endpoint
from bazaar.core.tree_election import TreeElection
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, Wave
from bazaar.protocol.messages import BenchIs, Call, Chosen, Echo, Election, Ok, WhoTrades, Won
from bazaar.protocol.settings import with_pace
from peers.membership import Membership
from peers.peer import Peer
from tests.simulation import draw_world
from tests.simulation.network import Network
from tests.simulation.trial import judged
from tests.simulation.world import World

Patch = pytest.MonkeyPatch
TRADERS, PATIENCE_S = 3, 30.0
SEEDS = range(10)
OF_AN_ELECTION = (Election, Ok, Call, Echo, Chosen, Won, BenchIs, WhoTrades)


class Outcome(NamedTuple):
    """Who was elected, how many letters between peers that took, and when the last peer knew it (infinity: not in time)."""

    traders: tuple[str, ...]
    letters: int
    at_s: float


def elect(peers: int, election: str, seed: int = 0, dead: str = "") -> Outcome:
    """Holds the first elections of a market. `dead`: a peer that dies before them."""
    settings = with_pace(
        "fast",
        **{"peers": peers, "traders": TRADERS, "seed": seed, "requests": 1, "routing": "neighbours"},
        **{"election": election, "election_delay_s": 2.5 * PATIENCE_S if dead else 0.0},
        **{"election_timeout_s": PATIENCE_S, "suspect_after_s": PATIENCE_S, "heartbeat_s": PATIENCE_S / 3},
    )
    world = World(seed, settings, Network())
    letters: Counter[type] = Counter()
    honest = Endpoint._put

    def counted(endpoint: Endpoint, turn: Turn, now: float) -> None:
        if endpoint._actor.name != WAREHOUSE:
            letters.update(type(letter.body) for to, letter in turn.sends_at(now) if to != WAREHOUSE)
        honest(endpoint, turn, now)

    def complete() -> bool:
        return all(actor.membership.complete for actor in world.actors.values() if isinstance(actor, Peer))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Endpoint, "_put", counted)
        for name in world.actors:
            world._begin_later(name, 0.001)
        if dead:
            world.at(1.0, lambda: world.kill(dead))
        over = world.until(complete)
    told = next(actor for actor in world.actors.values() if isinstance(actor, Peer)).membership.bench.traders
    return Outcome(told, sum(letters[kind] for kind in OF_AN_ELECTION), world.now if over else NEVER)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_peers_win_as_with_bully(seed: int) -> None:
    assert elect(12, "tree", seed).traders == elect(12, "rounds", seed).traders


@pytest.mark.parametrize("seed", SEEDS)
def test_they_do_so_when_the_highest_is_dead(seed: int) -> None:
    dead = World(seed, with_pace("fast", peers=12, seed=seed), Network()).plan.names[-1]
    tree, rounds = (elect(12, election, seed, dead) for election in ("tree", "rounds"))
    assert tree.traders == rounds.traders
    assert dead not in tree.traders


@pytest.mark.parametrize("peers", [10, 20, 40, 80])
def test_the_letters_grow_with_the_peers_and_not_with_their_square(peers: int) -> None:
    tree, rounds = elect(peers, "tree"), elect(peers, "rounds")
    print(f"{peers} peers: {tree.letters} letters along the tree, {rounds.letters} in rounds of Bully")
    assert tree.letters <= 15 * peers
    assert rounds.letters > peers**2


# ------------------------------------------------------------------------------------------------- broken on purpose
def test_broken_is_seen_whoever_forgets_a_subtree_makes_a_lower_one_win(monkeypatch: Patch) -> None:
    """The winners differ from Bully's. The market is none the worse for it: any peer can be a trader."""
    honest = TreeElection.heard_echo

    def forgetful(election: TreeElection, turn: Turn, source: str, echo: Echo) -> None:
        honest(election, turn, source, Echo(echo.round, echo.wave, ()))

    rounds = [elect(12, "rounds", seed).traders for seed in SEEDS]
    monkeypatch.setattr(TreeElection, "heard_echo", forgetful)
    trees = [elect(12, "tree", seed).traders for seed in SEEDS]
    assert sum(tree != bully for tree, bully in zip(trees, rounds, strict=True)) > len(SEEDS) // 2
    assert all(judged(brisk(seed))[1].verdict == "held" for seed in SEEDS)


def brisk(seed: int, **fixed: Any) -> World:
    sparse = {"peers": 9, "requests": 40, "buyers": 5, "traders": 2}
    return draw_world(seed, **{"routing": "neighbours", "election": "tree", **sparse, **fixed})


def counting(patch: Patch, dead: str, waves: float) -> None:
    """In its first `waves` waves a starter counts a dead peer, which is higher than all others."""
    honest = TreeElection._join

    def mistaken(election: TreeElection, turn: Turn, wave: Wave, parent: str) -> None:
        honest(election, turn, wave, parent)
        if parent == election._me and wave.number <= waves:
            election._highest = (dead,)

    patch.setattr(TreeElection, "_join", mistaken)


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_counts_a_dead_peer_in_one_wave_loses_time(seed: int, monkeypatch: Patch) -> None:
    """The dead peer claims nothing, so the starter begins a further wave."""
    dead = World(seed, with_pace("fast", peers=12, seed=seed), Network()).plan.names[-1]
    right = elect(12, "tree", seed, dead)
    counting(monkeypatch, dead, waves=1)
    late = elect(12, "tree", seed, dead)
    assert late.traders == right.traders
    assert late.at_s > right.at_s + 2 * PATIENCE_S


def test_broken_is_seen_whoever_always_counts_a_dead_peer_elects_nobody() -> None:
    """No order is answered, so the verdict is never that the run held."""
    for seed in SEEDS:
        world = brisk(seed, election_delay_s=3.0)
        world.longest_s = 60.0
        dead = world.plan.names[-1]
        world.at(0.5, lambda world=world, dead=dead: world.kill(dead))  # type: ignore[misc]
        with pytest.MonkeyPatch.context() as patch:
            counting(patch, dead, waves=NEVER)
            report = judged(world)[1]
        assert report.exercised["elections_won"] == 0
        assert report.verdict != "held"


def test_broken_is_seen_without_extinction_starters_wait_for_each_other_in_vain(monkeypatch: Patch) -> None:
    """All start at once. The highest wave is answered by all, or else none is, until a time-out. The market holds."""
    monkeypatch.setattr(Membership, "_turns_to_wait", lambda *of: 0)
    right = [elect(12, "tree", seed) for seed in SEEDS]
    assert all(outcome.at_s < PATIENCE_S for outcome in right)
    monkeypatch.setattr(tree_election, "_rank", lambda wave: wave.number)
    late = [elect(12, "tree", seed) for seed in SEEDS]
    assert sum(outcome.at_s > PATIENCE_S for outcome in late) > len(SEEDS) // 2
    assert all(judged(brisk(seed))[1].verdict == "held" for seed in SEEDS)
