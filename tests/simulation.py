"""The simulated driver: the same `Peer` and `Warehouse` objects as in the processes, in one thread, on virtual time.

The network delays, loses and duplicates deliveries, all drawn from one seed; so the same seed gives the same history,
byte for byte, and a failing one is replayed by

    python -m tests.simulation --seed N --tell

which prints every sentence of the run and each violation. `--seeds 1000` runs the seeds from `--seed` on, on all
processors.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import multiprocessing
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from rich.progress import track

from bazaar.audit import Evidence, Report, judge
from bazaar.core.cache import POLICIES
from bazaar.core.channel import Afterwards, Channel
from bazaar.core.ledger import Ledger
from bazaar.core.turn import Actor, Turn
from bazaar.history import Happening, encode_line, happening, recall
from bazaar.narration import Narrator
from bazaar.plan import Plan, draw_plan
from bazaar.records import (
    WAREHOUSE,
    AnyEntry,
    Delivery,
    Denial,
    JournalLine,
    Opened,
    Recovered,
    Sale,
    Seat,
    decode,
    encode,
)
from bazaar.settings import Settings, with_pace
from bazaar.warehouse import Warehouse
from peers.host import FURTHER_LIFE
from peers.peer import Peer

TICK_S = 1e-6  # a wake-up comes a moment after its time, never before
LOOK_EVERY_S = 0.0005
JOURNAL_READ_S = 0.02  # as on a busy disk: letters come in before it is read
LONGEST_S = 600.0  # of virtual time: a run that is not over by then never will be


class Network(msgspec.Struct, frozen=True):
    """How bad the network is. Times in seconds of virtual time."""

    loss: float = 0.0
    """The chance that a delivery is lost."""
    duplication: float = 0.0
    """The chance that a delivery arrives once more, long after."""
    delay_s: float = 0.002
    """The mean delay of a delivery, exponentially distributed. Those from different processes overtake each other; of
    those between the same two only late duplicates do, as on a connection that is made anew."""
    repeat_after_s: float = 0.1


class World:
    """One bazaar in one thread."""

    def __init__(self, seed: int, settings: Settings, network: Network) -> None:
        self.now = 0.0
        self.quiet_after_s = 0.0
        """When the last of the scheduled faults is over."""
        self.plan: Plan = draw_plan(settings)
        self.entries: list[AnyEntry] = []
        self.histories: dict[str, list[Happening]] = {name: [] for name in (WAREHOUSE, *self.plan.names)}
        self.journals: defaultdict[Seat, list[JournalLine]] = defaultdict(list)
        self.killed: set[str] = set()
        self.actors: dict[str, Actor] = {}
        self._network = network
        self._rng = random.Random(f"network/{seed}")
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._channels: defaultdict[str, dict[str, Channel]] = defaultdict(dict)  # by owner, then by the other side
        self._channel_wakes: defaultdict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
        self._arrivals: defaultdict[tuple[str, str], float] = defaultdict(float)  # of the newest delivery on its way
        self._wakes: defaultdict[str, float] = defaultdict(lambda: float("inf"))
        self._lives: Counter[str] = Counter()
        self._doomed: set[str] = set()  # their next turn is their last, cut off somewhere in the middle
        self._paused_until: dict[str, float] = {}
        self._apart: frozenset[str] = frozenset()  # cut off from the rest by a partition
        self._stops: dict[str, tuple[int, float, Callable[[Turn], bool]]] = {}
        self.rates: defaultdict[str, float] = defaultdict(lambda: 1.0)
        """How fast a process's clock goes."""
        self._tenures: dict[str, Seat] = {}
        self._afterwards: dict[str, Afterwards] = {}
        for name in (WAREHOUSE, *self.plan.names):
            self._create(name)

    def run(self) -> Evidence:
        """From the beginning to the end of the last order."""
        settings = self.plan.settings
        for name, actor in self.actors.items():
            self._at(self._rng.random() * 0.01, partial(self._turn, name, actor.begin))
        self._until(lambda: self.now > self.quiet_after_s and all(buyer.idle for buyer in self._living("buyer")))
        for name in list(self.actors):
            self._turn(name, self.actors[name].finish)
        self._until(lambda: all(actor.idle for actor in self._living("")) and not any(self._unsent()))
        ledger = Ledger(self.plan.names, settings.traders)
        for entry in self.entries:
            ledger.apply(entry)
        stock = {product: left for product, (left, _) in ledger.stock().items()}
        return Evidence(self.plan, self.entries, self.histories, stock, frozenset(self.killed - self.actors.keys()))

    # ---------------------------------------------------------------------------------------- faults
    def kill(self, name: str) -> None:
        """kill -9 in the middle of what the process does next."""
        if name in self.actors:
            self._doomed.add(name)

    def restart(self, name: str) -> None:
        """Starts a killed process again, on its own files."""
        if name in self._doomed:  # it has had no turn since it was to die
            self._doomed.discard(name)
            self._die(name)
        if name not in self.actors:
            self._create(name)
            self._turn(name, self.actors[name].begin)

    def pause(self, name: str, for_s: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        self._paused_until[name] = self.now + for_s

    def stop_at(self, name: str, step: int, for_s: float, when: Callable[[Turn], bool]) -> None:
        """SIGSTOP within a turn, the first for which `when` holds: before it is durable (0), before its history is
        written (1), before anything is sent (2), or when all is done (3). SIGCONT later."""
        self._stops[name] = (step, for_s, when)

    def part(self, names: frozenset[str], for_s: float) -> None:
        """Nothing passes between these and the others for a while."""
        self._apart = names
        self._at(for_s, lambda: setattr(self, "_apart", frozenset()))

    def resign(self, name: str) -> None:
        """Asks a peer to give up its seat."""
        if name in self.actors:
            self._turn(name, self.actors[name].resign)

    def at(self, time_s: float, act: Callable[[], None]) -> None:
        """Schedules a fault."""
        self._at(time_s - self.now, act)

    def once(self, condition: Callable[[], bool], act: Callable[[], None]) -> None:
        """Schedules a fault for as soon as `condition` is seen to hold."""
        if condition():
            act()
        else:
            self._at(LOOK_EVERY_S, lambda: self.once(condition, act))

    def _create(self, name: str) -> None:
        settings = self.plan.settings
        former = recall(self.histories[name])
        self._lives[name] += 1
        self._wakes.pop(name, None)
        for way in [way for way in self._channel_wakes if way[0] == name]:
            del self._channel_wakes[way]
        self._afterwards[name] = Afterwards()
        if name == WAREHOUSE:
            self.actors[name] = Warehouse(self.plan.names, settings, self.entries, self._entry_of)
        else:
            self.actors[name] = Peer(name, self.plan, former)
        if former.clock:
            self.actors[name].clock.witness(former.clock + FURTHER_LIFE)

    def _entry_of(self, order_id: str) -> Sale | Denial:
        answers = (entry for entry in self.entries if isinstance(entry, (Sale, Denial)))
        return next(entry for entry in answers if entry.order_id == order_id)

    def _die(self, name: str) -> None:
        self.killed.add(name)
        del self.actors[name]
        self._paused_until.pop(name, None)
        self._channels.pop(name, None)

    def _living(self, prefix: str) -> Iterator[Actor]:
        return (actor for name, actor in self.actors.items() if name.startswith(prefix))

    def _unsent(self) -> Iterator[Channel]:
        return (
            channel
            for channels in self._channels.values()
            for target, channel in channels.items()
            if target in self.actors and channel
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and self._agenda and self.now < LONGEST_S:
            self.now, _, act = heapq.heappop(self._agenda)
            act()

    def _at(self, delay_s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._number, act))

    # ------------------------------------------------------------------------------------------- turns
    def _turn(self, name: str, act: Callable[[Turn], None]) -> None:
        life = self._lives[name]
        if self._postponed(name, lambda: self._turn(name, act) if self._lives[name] == life else None):
            return
        if name not in self.actors:
            return
        actor = self.actors[name]
        turn = Turn(self.now * self.rates[name], actor.clock)
        act(turn)
        actor.tick(turn)
        steps: list[Callable[[], None]] = [
            lambda: self._keep(name, turn),
            lambda: self._write_down(name, turn),
            lambda: self._dispatch(name, turn),
            lambda: self._look_ahead(name, actor, turn),
        ]
        stop, for_s, when = self._stops.get(name, (0, 0.0, lambda turn: False))
        if name in self._doomed:
            for step in steps[: self._rng.randint(0, 3)]:
                step()
            self._doomed.discard(name)
            self._die(name)
        elif when(turn):
            del self._stops[name]
            self._go_on(name, life, steps[:stop])
            self.pause(name, for_s)
            self._at(for_s, lambda: self._go_on(name, life, steps[stop:]))
        else:
            self._go_on(name, life, steps)

    def _go_on(self, name: str, life: int, steps: Sequence[Callable[[], None]]) -> None:
        if self._lives[name] == life and name in self.actors:
            for step in steps:
                step()

    def _look_ahead(self, name: str, actor: Actor, turn: Turn) -> None:
        """What the process has still to do by itself: read a journal, and wake up."""
        for seat in turn.reads:
            self._at(JOURNAL_READ_S, partial(self._turn, name, partial(self._inherit, actor, seat)))
        deadline = actor.deadline
        if deadline < self._wakes[name]:
            self._wakes[name] = deadline
            life = self._lives[name]
            delay_s = deadline / self.rates[name] - self.now
            self._at(max(0.0, delay_s) + TICK_S, lambda: self._wake(name, life, deadline))

    def _write_down(self, name: str, turn: Turn) -> None:
        self.histories[name] += [happening(self.now, name, event) for event in turn.events]

    def _keep(self, name: str, turn: Turn) -> None:
        for record in [*self._afterwards[name].due(), *turn.kept]:
            if name == WAREHOUSE:
                self.entries.append(record)
            elif isinstance(record, Opened):
                self._tenures[name] = Seat(name, record.since)
            else:
                self.journals[self._tenures[name]].append(record)

    def _inherit(self, actor: Actor, seat: Seat, turn: Turn) -> None:
        actor.inherit(turn, seat, Recovered(list(self.journals[seat])))

    def _dispatch(self, name: str, turn: Turn) -> None:
        sends = turn.sends_at(self.now * self.rates[name])
        cut = name in self._doomed
        if cut:
            sends = sends[: self._rng.randint(0, len(sends))]
        for target, letter in sends:
            self._channel(name, target).put(letter)
        if turn.kept_afterwards and not cut:
            channels = [self._channel(name, target) for target in {target for target, _ in sends}]
            self._afterwards[name].put(channels, turn.kept_afterwards)
        for target in dict.fromkeys(target for target, _ in sends):
            self._send(name, target)

    def _wake(self, name: str, life: int, deadline: float) -> None:
        if self._lives[name] == life and self._wakes[name] == deadline:  # else an earlier one took its place
            self._wakes[name] = float("inf")
            self._turn(name, lambda turn: None)

    def _postponed(self, name: str, act: Callable[[], None]) -> bool:
        """Whether the process is stopped: then `act` happens when it goes on."""
        until = self._paused_until.get(name, 0.0)
        if until > self.now:
            self._at(until - self.now, act)
        return until > self.now

    # ----------------------------------------------------------------------------------------- network
    def _channel(self, name: str, other: str) -> Channel:
        channels = self._channels[name]
        if other not in channels:
            channels[other] = Channel(name, other, self._lives[name], self._network.repeat_after_s)
        return channels[other]

    def _send(self, source: str, target: str) -> None:
        """Sends what the channel has to say now, and sees to it that it is asked again in time."""
        channel = self._channel(source, target)
        if channel.repeat_at <= self.now:
            channel.again()
        while (delivery := channel.delivery(self.now)) is not None:
            self._transmit(decode(encode(delivery)))
        way, deadline = (source, target), channel.deadline
        if deadline < self._channel_wakes[way]:
            self._channel_wakes[way] = deadline
            life = self._lives[source]
            self._at(deadline - self.now + TICK_S, lambda: self._send_later(way, life, deadline))

    def _send_later(self, way: tuple[str, str], life: int, deadline: float) -> None:
        if self._lives[way[0]] != life or way[0] not in self.actors or self._channel_wakes[way] != deadline:
            return
        if not self._postponed(way[0], lambda: self._send_later(way, life, deadline)):
            self._channel_wakes[way] = float("inf")
            self._send(*way)

    def _transmit(self, delivery: Delivery) -> None:
        way = (delivery.source, delivery.target)
        parted = (delivery.source in self._apart) != (delivery.target in self._apart)
        if self._rng.random() >= self._network.loss and not parted:
            self._arrivals[way] = max(self._arrivals[way] + TICK_S, self.now + self._delay())
            self._at(self._arrivals[way] - self.now, lambda: self._arrive(delivery))
        if self._rng.random() < self._network.duplication and not parted:
            self._at(self._delay() * 20, lambda: self._arrive(delivery))

    def _arrive(self, delivery: Delivery) -> None:
        name = delivery.target
        if self._postponed(name, lambda: self._arrive(delivery)) or name not in self.actors:
            return
        letters = self._channel(name, delivery.source).accept(delivery, self.now)
        actor = self.actors[name]

        def receive(turn: Turn) -> None:
            for letter in letters:
                actor.receive(turn, delivery.source, letter)

        if letters:
            self._turn(name, receive)
        if name in self.actors:
            self._send(name, delivery.source)

    def _delay(self) -> float:
        return self._rng.expovariate(1 / self._network.delay_s)


def draw_world(seed: int, **fixed: Any) -> World:
    """A bazaar and a network drawn from the seed; `fixed` settings override what was drawn."""
    rng = random.Random(f"world/{seed}")
    peers = rng.randint(4, 9)
    drawn: dict[str, Any] = {
        "peers": peers,
        "traders": rng.randint(1, min(4, peers - 2)),
        "cache": rng.choice(list(POLICIES)),
        "election": rng.choice(["rounds", "rounds", "simultaneous"]),
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


def draw_faults(world: World, seed: int) -> None:
    """Schedules one to four faults, drawn from the seed, while the market trades."""
    rng = random.Random(f"faults/{seed}")
    peers = world.plan.names
    for _ in range(rng.randint(1, 4)):
        start_s = rng.uniform(0.1, 3.0)
        # Mostly the highest peers, who are the traders.
        name = rng.choice([peers[-1], peers[-1], peers[-2], rng.choice(peers), WAREHOUSE])
        match rng.choice(["kill", "kill and restart", "pause", "part", "resign"]):
            case "kill" if name != WAREHOUSE and len(world.killed) < len(peers) - 3:
                world.at(start_s, partial(world.kill, name))
            case "pause":
                for_s = rng.choice([0.5, 3.0, 8.0])
                world.at(start_s, partial(world.pause, name, for_s))
                start_s += for_s
            case "part":
                for_s = rng.choice([0.5, 3.0, 8.0])
                world.at(start_s, partial(world.part, frozenset(rng.sample(peers, rng.randint(1, 2))), for_s))
                start_s += for_s
            case "resign" if name != WAREHOUSE:
                world.at(start_s, partial(world.resign, name))
            case _:
                world.at(start_s, partial(world.kill, name))
                start_s += rng.uniform(0.0, 4.0)
                world.at(start_s, partial(world.restart, name))
        world.quiet_after_s = max(world.quiet_after_s, start_s)


def simulate_faults(seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """Like `simulate`, slower, and with faults."""
    world = draw_world(seed, **{"think_s": 0.1, "requests": 60, **fixed})
    draw_faults(world, seed)
    evidence = world.run()
    return evidence, judge(evidence)


def simulate(seed: int, **fixed: Any) -> tuple[Evidence, Report]:
    """Runs the world of this seed and judges it."""
    evidence = draw_world(seed, **fixed).run()
    return evidence, judge(evidence)


def replay_command(seed: int, faults: bool = False, **fixed: Any) -> str:
    """The one command that shows what happened under this seed."""
    options = " --faults" * faults + "".join(f" --set {name}={value}" for name, value in fixed.items())
    return f".venv/bin/python -m tests.simulation --seed {seed} --tell{options}"


def history_bytes(evidence: Evidence) -> bytes:
    """Every history, line by line: equal if and only if the runs were."""
    return b"".join(encode_line(line) for history in evidence.histories.values() for line in history)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def main(arguments: Sequence[str]) -> int:
    """1 if any seed was violated. Of an unlucky few nothing is shown: all of their buyers died, or became traders."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds")
    parser.add_argument("--faults", action="store_true", help="with faults")
    parser.add_argument("--tell", action="store_true", help="print every sentence")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="fix a setting")
    options = parser.parse_args(arguments)
    fixed = {name: _number(value) for name, value in (text.split("=", 1) for text in options.set)}
    run = simulate_faults if options.faults else simulate
    if options.tell:
        for sentence in Narrator().tell(*run(options.seed, **fixed)[0].histories.values()):
            print(f"{sentence.at:9.4f} : {sentence.text}")
    verdicts: Counter[str] = Counter()
    seeds = range(options.seed, options.seed + options.seeds)
    exercised: Counter[str] = Counter()
    with multiprocessing.Pool(min(len(seeds), multiprocessing.cpu_count())) as pool:
        reports = pool.imap(partial(_report, run, fixed), seeds, chunksize=min(20, 1 + len(seeds) // 20))
        for seed, report in track(
            zip(seeds, reports, strict=True), "seeds", len(seeds), disable=not sys.stderr.isatty()
        ):
            exercised.update(report.exercised)
            verdicts[report.verdict] += 1
            if report.violations:
                print(f"seed {seed}: violated; replay with {replay_command(seed, options.faults, **fixed)}")
                for check, stories in report.violations.items():
                    print(f"  {check}: {stories[0]}")
    print(", ".join(f"{count} {what.replace('_', ' ')}" for what, count in exercised.items() if count))
    print(f"of {len(seeds)} seeds {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    return 1 if verdicts["violated"] else 0


def _report(run: Callable[..., tuple[Evidence, Report]], fixed: dict[str, Any], seed: int) -> Report:
    return run(seed, **fixed)[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
