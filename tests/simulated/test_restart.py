"""A trader that dies and is started again on its own journal, at moments and in networks drawn from the seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from bazaar.audit import Report, judge
from bazaar.core.channel import Inbox, Outbox
from bazaar.core.turn import Turn
from bazaar.records import Closed, Delivery, Denial, JournalLine, Queued, Sale
from peers.host import FURTHER_LIFE
from peers.peer import Peer
from tests.simulation import World, draw_world

SEEDS = 200
CHUNK = 50
PROMISING: dict[str, Any] = {"cache": "weak", "window": 5, "restock_count": 10}
"""The cache promises much that the warehouse has yet to confirm."""


class Mortal(World):
    """A world in which the highest peer, which is trader0, dies now and then, and is back a little later.

    What it had journaled and noted is there; what it had not yet delivered is lost, and what reaches it meanwhile is
    refused, so that it is sent again.
    """

    journals: defaultdict[str, list[JournalLine]]
    lives: int
    dead: bool
    restored: int
    with_journal: bool

    @classmethod
    def draw(cls, seed: int, deaths: int, with_journal: bool, **fixed: Any) -> Mortal:
        world = draw_world(seed, answer_timeout_s=0.3, restock_every_s=0.2, **fixed)
        world.__class__ = cls
        assert isinstance(world, Mortal)
        world.journals, world.lives, world.dead, world.restored = defaultdict(list), 1, False, 0
        world.with_journal = with_journal
        world.deaths = deaths
        world.rng = random.Random(f"deaths/{seed}")
        return world

    deaths: int
    rng: random.Random

    @property
    def mortal(self) -> str:
        return self.plan.names[-1]

    def _turn(self, name: str, act: Callable[[Turn], None]) -> None:
        if name == self.mortal and self.dead:
            return
        turns: list[Turn] = []

        def act_and_tell(turn: Turn) -> None:
            turns.append(turn)
            act(turn)

        super()._turn(name, act_and_tell)
        self.journals[name] += turns[0].kept
        taken_in = any(isinstance(line, Queued) for line in turns[0].kept)
        if name == self.mortal and taken_in and self.deaths and self.rng.random() < 0.3:
            self.deaths -= 1
            self.dead = True
            self._at(0.0, self._die)

    def _die(self) -> None:
        name = self.mortal
        self.lives += 1
        lines = self.journals[name] if self.with_journal else []
        self.restored += len({line.order.order_id for line in lines if isinstance(line, Queued)}) - len(
            {line.order_id for line in lines if isinstance(line, Closed)}
        )
        peer = Peer(name, self.plan, lines)
        peer.clock.witness(self.actors[name].clock.time + FURTHER_LIFE)
        self.actors[name] = peer
        self._inboxes[name] = Inbox(name)
        self._wakes[name] = float("inf")
        for target in self.actors:
            self._outboxes[name, target] = Outbox(name, target, self.lives)
            self._under_way.discard((name, target))
        self._at(self.rng.random(), self._live)

    def _live(self) -> None:
        self.dead = False
        self._turn(self.mortal, self.actors[self.mortal].begin)

    def _arrive(self, delivery: Delivery) -> None:
        if self.dead and self.mortal == delivery.target:
            self._at(0.05, lambda: self._repeat(delivery.source, delivery.target))
        elif not self._of_a_former_life(delivery):
            super()._arrive(delivery)

    def _accept(self, delivery: Delivery) -> None:
        if not (self.dead and self.mortal == delivery.target):
            super()._accept(delivery)

    def _acknowledge(self, delivery: Delivery) -> None:
        if self._of_a_former_life(delivery):
            return
        # A repetition that was due in the former life may have sent the same letters twice at a time.
        if delivery.sequence == self._outboxes[delivery.source, delivery.target].delivery().sequence:
            super()._acknowledge(delivery)

    def _of_a_former_life(self, delivery: Delivery) -> bool:
        """What it sent died with it: at the latest when its connection was cut."""
        return delivery.source == self.mortal and delivery.incarnation != self.lives


def lived(seed: int, with_journal: bool = True, **fixed: Any) -> tuple[Mortal, Report]:
    world = Mortal.draw(seed, 3, with_journal, **fixed)
    evidence = world.run()
    return world, judge(evidence)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
@pytest.mark.parametrize("fixed", [{}, PROMISING], ids=["drawn", "promising"])
def test_a_trader_that_is_started_again_carries_on(fixed: dict[str, Any], first: int) -> None:
    stories = []
    deaths = restored = 0
    for seed in range(first, first + CHUNK):
        world, report = lived(seed, **fixed)
        deaths += world.lives - 1
        restored += world.restored
        decided = Counter(entry.order_id for entry in world.entries if isinstance(entry, (Sale, Denial)))
        assert set(decided.values()) <= {1}, f"seed {seed}: {decided.most_common(3)}"
        journaled = {line.order.order_id for line in world.journals[world.mortal] if isinstance(line, Queued)}
        assert journaled <= set(decided), f"seed {seed}: {journaled - set(decided)} stood in the journal"
        stories += [f"seed {seed}: {check}: {told[0]}" for check, told in report.violations.items()]
    assert deaths > CHUNK
    assert restored > CHUNK
    assert not stories, f"{len(stories)}\n" + "\n".join(stories)


def test_without_its_journal_it_would_be_seen() -> None:
    """The negative control: promises of the former life come to nothing, and the audit tells of it."""
    violated = Counter(
        check for seed in range(100) for check in lived(seed, with_journal=False, **PROMISING)[1].violations
    )
    print(dict(violated))
    assert violated["buyers_were_told_the_truth"] >= 10
