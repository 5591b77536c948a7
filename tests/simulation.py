"""The simulated driver: the same `Peer` and `Warehouse` objects as in the processes, in one thread, on virtual time.

The network delays, reorders, loses and duplicates deliveries and acknowledgements, all drawn from one seed; so the same
seed gives the same history, byte for byte, and a failing one is replayed by

    python -m tests.simulation --seed N --tell

which prints every sentence of the run and each violation. `--seeds 1000` runs the seeds from `--seed` on.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from rich.progress import track

from bazaar.audit import Evidence, Report, judge
from bazaar.core.channel import Inbox, Outbox
from bazaar.core.turn import Actor, Turn
from bazaar.history import Happening, encode_line, happening
from bazaar.narration import Narrator
from bazaar.plan import Plan, draw_plan
from bazaar.records import WAREHOUSE, AnyEntry, Delivery, decode, encode
from bazaar.settings import Settings, with_pace
from bazaar.warehouse import Warehouse
from peers.peer import Peer

LONGEST_S = 600.0  # of virtual time: a run that is not over by then never will be


class Network(msgspec.Struct, frozen=True):
    """How bad the network is. Times in seconds of virtual time."""

    loss: float = 0.0
    """The chance that a delivery is lost; and the chance that its acknowledgement is."""
    duplication: float = 0.0
    """The chance that a delivery arrives once more, long after."""
    delay_s: float = 0.002
    """The mean delay of a delivery; exponentially distributed, so deliveries overtake each other."""
    repeat_after_s: float = 0.05


class World:
    """One bazaar in one thread."""

    def __init__(self, seed: int, settings: Settings, network: Network) -> None:
        self.now = 0.0
        self.plan: Plan = draw_plan(settings)
        self.entries: list[AnyEntry] = []
        self.histories: dict[str, list[Happening]] = {name: [] for name in (WAREHOUSE, *self.plan.names)}
        self.warehouse = Warehouse(settings.traders)
        self.actors: dict[str, Actor] = {name: Peer(name, self.plan) for name in self.plan.names}
        self.actors[WAREHOUSE] = self.warehouse
        self._network = network
        self._rng = random.Random(f"network/{seed}")
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._outboxes: dict[tuple[str, str], Outbox] = {}
        self._under_way: set[tuple[str, str]] = set()
        self._inboxes = {name: Inbox(name) for name in self.actors}
        self._wakes: defaultdict[str, float] = defaultdict(lambda: float("inf"))

    def run(self) -> Evidence:
        """From the beginning to the end of the last order."""
        for name, actor in self.actors.items():
            self._at(self._rng.random() * 0.01, partial(self._turn, name, actor.begin))
        self._until(lambda: all(self.actors[name].idle for name in self.plan.names if name.startswith("buyer")))
        for name, actor in self.actors.items():
            self._turn(name, actor.finish)
        self._until(lambda: all(actor.idle for actor in self.actors.values()) and not any(self._outboxes.values()))
        stock = {product: left for product, (left, _) in self.warehouse.ledger.stock().items()}
        return Evidence(self.plan, self.entries, self.histories, stock)

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and self._agenda and self.now < LONGEST_S:
            self.now, _, act = heapq.heappop(self._agenda)
            act()

    def _at(self, delay_s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._number, act))

    # ------------------------------------------------------------------------------------------- turns
    def _turn(self, name: str, act: Callable[[Turn], None]) -> None:
        actor = self.actors[name]
        turn = Turn(self.now, actor.clock)
        act(turn)
        actor.tick(turn)
        if name == WAREHOUSE:
            self.entries += turn.kept
        self.histories[name] += [happening(self.now, name, event) for event in turn.events]
        for target, letter in turn.sends:
            outbox = self._outboxes.setdefault((name, target), Outbox(name, target, 1))
            outbox.put(letter)
            self._send(name, target)
        if actor.deadline < self._wakes[name]:
            self._wakes[name] = actor.deadline
            self._at(max(0.0, actor.deadline - self.now), lambda: self._wake(name))

    def _wake(self, name: str) -> None:
        self._wakes[name] = float("inf")
        self._turn(name, lambda turn: None)

    # ----------------------------------------------------------------------------------------- network
    def _send(self, source: str, target: str) -> None:
        way = (source, target)
        if way in self._under_way or not self._outboxes[way]:
            return
        self._under_way.add(way)
        delivery = decode(encode(self._outboxes[way].delivery()))
        if self._rng.random() >= self._network.loss:
            self._at(self._delay(), lambda: self._arrive(delivery))
        else:
            self._at(self._network.repeat_after_s, lambda: self._repeat(source, target))
        if self._rng.random() < self._network.duplication:
            self._at(self._delay() * 20, lambda: self._accept(delivery))

    def _arrive(self, delivery: Delivery) -> None:
        self._accept(delivery)
        source, target = delivery.source, delivery.target
        if self._rng.random() >= self._network.loss:
            self._at(self._delay(), lambda: self._acknowledge(delivery))
        else:
            self._at(self._network.repeat_after_s, lambda: self._repeat(source, target))

    def _accept(self, delivery: Delivery) -> None:
        letters = self._inboxes[delivery.target].accept(delivery)
        actor = self.actors[delivery.target]

        def receive(turn: Turn) -> None:
            for letter in letters:
                actor.receive(turn, delivery.source, letter)

        if letters:
            self._turn(delivery.target, receive)

    def _acknowledge(self, delivery: Delivery) -> None:
        self._outboxes[delivery.source, delivery.target].acknowledged(delivery)
        self._repeat(delivery.source, delivery.target)

    def _repeat(self, source: str, target: str) -> None:
        self._under_way.discard((source, target))
        self._send(source, target)

    def _delay(self) -> float:
        return self._rng.expovariate(1 / self._network.delay_s)


def draw_world(seed: int, **fixed: Any) -> World:
    """A bazaar and a network drawn from the seed; `fixed` settings override what was drawn."""
    rng = random.Random(f"world/{seed}")
    peers = rng.randint(4, 9)
    drawn: dict[str, Any] = {
        "peers": peers,
        "traders": rng.randint(1, min(4, peers - 2)),
        "cache": rng.choice(["none", "weak"]),
        "window": rng.choice([1, 1, 2, 5]),
        "requests": 30,
        "restock_count": rng.choice([1, 2, 3, 10]),
        "restock_every_s": 0.5,
        "seed": seed,
        **fixed,
    }
    network = Network(
        loss=rng.choice([0, 0.05, 0.2]), duplication=rng.choice([0, 0.1]), delay_s=rng.choice([0.001, 0.01])
    )
    return World(seed, with_pace("fast", **drawn), network)


def simulate(seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """Runs the world of this seed and judges it."""
    evidence = draw_world(seed, **fixed).run()
    return evidence, judge(evidence)


def replay_command(seed: int, **fixed: Any) -> str:
    """The one command that shows what happened under this seed."""
    options = "".join(f" --set {name}={value}" for name, value in fixed.items())
    return f".venv/bin/python -m tests.simulation --seed {seed} --tell{options}"


def history_bytes(evidence: Evidence) -> bytes:
    """Every history, line by line: equal if and only if the runs were."""
    return b"".join(encode_line(line) for history in evidence.histories.values() for line in history)


def main(arguments: Sequence[str]) -> int:
    """1 if any seed was violated, or exercised nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--tell", action="store_true", help="print every sentence")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="fix a setting")
    options = parser.parse_args(arguments)
    fixed = {name: int(value) if value.isdecimal() else value for name, value in (s.split("=", 1) for s in options.set)}
    failed = 0
    seeds = range(options.seed, options.seed + options.seeds)
    for seed in track(seeds, "seeds", disable=not sys.stderr.isatty() or options.seeds == 1):
        evidence, report = simulate(seed, **fixed)
        if options.tell:
            for sentence in Narrator().tell(h for history in evidence.histories.values() for h in history):
                print(f"{sentence.at:9.4f} : {sentence.text}")
            print(report.exercised)
        if report.verdict != "held":
            failed += 1
            print(f"seed {seed}: {report.verdict}; replay with {replay_command(seed, **fixed)}")
            for check, stories in report.violations.items():
                print(f"  {check}: {stories[0]}")
    print(f"{len(seeds) - failed} of {len(seeds)} seeds held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
