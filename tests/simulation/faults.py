"""The faults of a simulated market: one table of generators. Each draws its victim, its moment and its duration."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bazaar.protocol.cache_server import PATIENCE_S
from bazaar.protocol.entries import Appoint, KeeperEntry
from bazaar.protocol.goods import WAREHOUSE, is_seller
from tests.simulation.driver import Failure
from tests.simulation.world import World

SHORT_S, FOR_GOOD_S = 1.5, 1e9  # how long a journal is unreadable: readers wait longer than SHORT_S (requirement E2)


class Draft:
    """Draws moments, victims and durations that suit a world. It counts how many peers may still be lost for good."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        settings = world.plan.settings
        rounds = settings.traders if settings.election == "rounds" else 1
        self._election_s = 0.1 + settings.election_delay_s + (rounds - 1) * (settings.reelection_delay_s + 0.05)
        self._opening_s = self._election_s + max(settings.opening_delay_s, settings.registration_delay_s)
        orders = (settings.requests or 30) / (settings.window * 2)
        self._trading_s = 0.3 + min(30.0, orders * settings.think_s)
        self.gone: set[str] = set()
        """The peers whose machine will be lost."""
        self.losses = max(0, settings.peers - settings.traders - 2)
        """The number of peers that may be lost for good, so that all traders, a buyer and a seller can remain."""

    def moment(self) -> float:
        """A moment in the first election, before the opening, or while the market trades."""
        since, until = self.rng.choice(
            [(0.0, self._election_s), (self._election_s, self._opening_s)]
            + 2 * [(self._opening_s, self._opening_s + self._trading_s)]
        )
        return self.rng.uniform(since, until)

    def peer(self) -> str:
        """A peer: mostly one of the highest, which are the traders, sometimes one that starts elections."""
        names = self.world.plan.names
        return self.rng.choice(
            [names[-1], names[-self.world.plan.settings.traders], names[2], names[0], self.rng.choice(names)]
        )

    def trader(self) -> str:
        """A peer that becomes a trader if no fault hits it before."""
        return self.rng.choice(self.world.plan.names[-self.world.plan.settings.traders :])

    def anybody(self) -> str:
        """A peer, or the warehouse."""
        return self.rng.choice([self.peer(), self.peer(), WAREHOUSE])

    def while_s(self) -> float:
        """A duration shorter than any timeout, about as long, or longer."""
        settings = self.world.plan.settings
        patience_s = self.rng.choice([settings.suspect_after_s, settings.election_timeout_s, settings.lease_s])
        return patience_s * self.rng.choice([0.05, 0.3, 0.9, 1.5, 4.0, 4.0])

    def lasts(self, until: float) -> None:
        """Keeps the world going until this time, and two seconds more."""
        self.world.quiet_after_s = max(self.world.quiet_after_s, until + 2.0)


def _kill(draft: Draft) -> None:
    if draft.losses:
        draft.losses -= 1
        at = draft.moment()
        draft.world.at(at, partial(draft.world.kill, draft.peer()))
        draft.lasts(at)
    else:
        _lives(draft)


def _lives(draft: Draft) -> None:
    """A process dies and returns, once or twice."""
    name, at = draft.anybody(), draft.moment()
    for _ in range(draft.rng.choice([1, 1, 2])):
        at = _die_and_return(draft, [name], at)


def _two_at_once(draft: Draft) -> None:
    _die_and_return(draft, [draft.peer(), draft.anybody()], draft.moment())


def _die_and_return(draft: Draft, names: Sequence[str], at: float) -> float:
    """Kills processes and restarts them. Returns a time at which the next life may end."""
    ends = []
    for name in dict.fromkeys(names):
        draft.world.at(at, partial(draft.world.kill, name))
        ends.append(at + draft.while_s())
        draft.world.at(ends[-1], partial(draft.world.restart, name))
    draft.lasts(max(ends))
    return max(ends) + draft.rng.choice([0.001, draft.while_s()])


def _in_its_election(draft: Draft) -> None:
    """A newly appointed peer dies before or just after it learns of its seat. It is restarted later."""
    world, name = draft.world, draft.peer()
    later_s, away_s = draft.rng.choice([0.0, 0.003, 0.03]), draft.while_s()

    def appointed() -> bool:
        return any(isinstance(entry, Appoint) and entry.peer == name for entry in world.entries)

    def die() -> None:
        world.hits["in its election"] += name in world.actors
        world.kill(name)
        world.at(world.now + away_s, partial(world.restart, name))

    world.once(appointed, lambda: world.at(world.now + later_s, die))
    draft.lasts(draft.moment() + away_s)


def _pause(draft: Draft) -> None:
    at, for_s = draft.moment(), draft.while_s()
    draft.world.at(at, partial(draft.world.pause, draft.anybody(), for_s))
    draft.lasts(at + for_s)


def _stall(draft: Draft) -> None:
    """A process stops within a turn: before anything is durable, or when all is durable but nothing is sent yet."""
    world, name, at, for_s = draft.world, draft.anybody(), draft.moment(), draft.while_s()
    step = draft.rng.randint(0, 2)
    world.at(at, lambda: world.stop_at(name, step, for_s, lambda turn: bool(turn.kept)))
    draft.lasts(at + for_s)


def _part(draft: Draft) -> None:
    """One or two partitions, which may overlap."""
    world = draft.world
    everybody = [WAREHOUSE, *world.plan.names]
    for _ in range(draft.rng.choice([1, 2])):
        at, for_s = draft.moment(), draft.while_s()
        names = {draft.peer(), *draft.rng.sample(everybody, draft.rng.randint(0, 2))}
        world.at(at, partial(world.part, frozenset(names), for_s))
        draft.lasts(at + for_s)


def _one_way(draft: Draft) -> None:
    world, at, for_s = draft.world, draft.moment(), draft.while_s()
    one = draft.peer()
    others = frozenset({WAREHOUSE, *world.plan.names}) - {one}
    if draft.rng.random() < 0.5:
        others = frozenset({draft.rng.choice(sorted(others))})
    ways = (frozenset({one}), others) if draft.rng.random() < 0.5 else (others, frozenset({one}))
    world.at(at, partial(world.cut, *ways, for_s))
    draft.lasts(at + for_s)


def _slow_link(draft: Draft) -> None:
    world, at, for_s = draft.world, draft.moment(), draft.while_s()
    one, other = draft.rng.sample([WAREHOUSE, *world.plan.names], 2)
    by_s = min(2.0, world.plan.settings.suspect_after_s) * draft.rng.choice([0.1, 0.5, 1.2])
    world.at(at, partial(world.slow, one, other, by_s, for_s))
    draft.lasts(at + for_s + by_s)


def _machine_lost(draft: Draft) -> None:
    """A trader and one or two other peers die at once, with their machine: nobody can read their journals any more."""
    world, rng = draft.world, draft.rng
    others = [name for name in world.plan.names if name != (trader := draft.trader())]
    names = [trader, *rng.sample(others, min(len(others), rng.randint(1, 2)))]
    if draft.losses < len(names):
        _part(draft)
        return
    draft.losses -= len(names)
    at = draft.moment()

    def die() -> None:
        world.hits["machine lost"] += 1
        for name in names:
            world.kill(name)
            world.hide_journals(name, FOR_GOOD_S)

    world.at(at, die)
    draft.lasts(at)


def _resign(draft: Draft) -> None:
    """A trader resigns, or peers without a seat are asked to, which must have no effect."""
    world, name, at = draft.world, draft.peer(), draft.moment()
    if draft.losses and draft.rng.random() < 0.5:
        draft.losses -= 1
        world.at(at, partial(world.resign, name))
    else:
        names = draft.rng.choice([world.plan.names, (name,)])
        world.at(at, partial(_ask_civils_to_resign, world, names))
    draft.lasts(at)


def _ask_civils_to_resign(world: World, names: Sequence[str]) -> None:
    for name in names:
        if not world.is_seated(name):
            world.resign(name)


def _disk_full(draft: Draft) -> None:
    """The disk is full, so a process ends. Later there is room again, and the process is restarted."""
    _fail(draft, draft.anybody(), "full")


def _reply_lost(draft: Draft) -> None:
    """The ledger has the warehouse's last append, but the reply is lost. The warehouse ends, and is restarted."""
    _fail(draft, WAREHOUSE, "reply lost")


def _fail(draft: Draft, name: str, failure: Failure) -> None:
    world, at = draft.world, draft.moment()
    back_at = at + draft.while_s()
    world.at(at, partial(world.fail, name, failure))
    world.at(back_at, partial(world.mend, name))
    draft.lasts(back_at)


def _clock_set(draft: Draft) -> None:
    """The wall clock is set by seconds to about an hour, mostly back."""
    at = draft.moment()
    draft.world.at(
        at, partial(draft.world.set_clock, draft.rng.choice([-1.0, -1.0, 1.0]) * draft.rng.uniform(10.0, 4000.0))
    )
    draft.lasts(at)


def _owing(draft: Draft) -> None:
    """A trader dies while only its journal knows of something begun. The journal may be unreadable, briefly or for good."""
    world, name, at, away_s = draft.world, draft.trader(), draft.moment(), draft.while_s()
    is_slow = draft.rng.random() < 0.5
    unreadable_s = draft.rng.choice([0.0, 0.0, draft.rng.random() * SHORT_S, draft.rng.random() * SHORT_S, FOR_GOOD_S])

    def die() -> None:
        world.hits["owing"] += name in world.actors
        world.kill(name)
        if unreadable_s:
            world.hide_journals(name, unreadable_s)
        world.at(world.now + away_s, partial(world.restart, name))

    if is_slow:  # with a slow link more is begun and unfinished
        world.at(at, partial(world.slow, WAREHOUSE, name, draft.world.plan.settings.suspect_after_s / 4, away_s))
    world.at(at, lambda: world.once(partial(world.disk.owes, name), die))
    draft.lasts(at + away_s)


def _behind_its_back(draft: Draft) -> None:
    """A trader and some buyers are cut off for longer than a lease.

    When the trader is suspected the warehouse is dead, or has just been restarted. The trader may die before anybody tells it
    that it was deposed, with a promise of which only its journal knows. It may come back.
    """
    world, settings, rng = draft.world, draft.world.plan.settings, draft.rng
    name, at = draft.trader(), draft.moment()
    for_s = settings.suspect_after_s + 2 * settings.lease_s
    customers = [peer for peer in world.plan.names if peer != name and peer.startswith("buyer")]
    world.at(at, partial(world.part, frozenset({name, *customers[::2]}), for_s))
    world.at(at + settings.suspect_after_s * rng.uniform(0.4, 0.9), partial(world.kill, WAREHOUSE))
    world.at(at + settings.suspect_after_s * rng.uniform(0.9, 1.6), partial(world.restart, WAREHOUSE))
    if rng.random() < 0.5:
        dies_at = at + settings.suspect_after_s + rng.uniform(0.5, 1.0) * (for_s - settings.suspect_after_s)

        def die() -> None:
            world.hits["cut off and owing"] += name in world.actors
            world.kill(name)

        # Later it would be told, and nothing would be left to find.
        world.at(dies_at, lambda: world.once(lambda: world.disk.owes(name) or world.now >= at + for_s, die))
        if rng.random() < 0.5:
            world.at(at + for_s + draft.while_s(), partial(world.restart, name))
    draft.lasts(at + for_s)


def _neighbourhood(draft: Draft) -> None:
    """A peer and one or two of its neighbours in the plan's graph die at once, and return."""
    world, name = draft.world, draft.rng.choice(draft.world.plan.names)
    near = world.plan.neighbours[name]
    _die_and_return(draft, [name, *draft.rng.sample(near, min(len(near), draft.rng.randint(1, 2)))], draft.moment())


def _edge(draft: Draft) -> None:
    """An edge of the plan's graph is cut for a while, in one direction or in both."""
    world, at, for_s = draft.world, draft.moment(), draft.while_s()
    one = draft.rng.choice(world.plan.names)
    other = draft.rng.choice(world.plan.neighbours[one])
    ways = [(one, other), (other, one)][: draft.rng.randint(1, 2)]
    for source, target in ways:
        world.at(at, partial(world.cut, frozenset({source}), frozenset({target}), for_s))
    draft.lasts(at + for_s)


def _cache(draft: Draft) -> None:
    """The cache server dies and returns, is emptied, hangs, or is slow; maybe several times."""
    world, at = draft.world, draft.moment()
    for _ in range(draft.rng.choice([1, 2, 4])):
        for_s = draft.rng.choice([0.05, 0.5, 3.0, draft.while_s()])
        match draft.rng.choice(["kill", "empty", "hang", "slow"]):
            case "kill":
                world.at(at, world.kill_cache)
                world.at(at + for_s, world.restart_cache)
            case "empty":
                world.at(at, world.empty_cache)
            case "hang":
                world.at(at, partial(world.hang_cache, for_s))
            case "slow":
                world.at(at, partial(world.slow_cache, draft.rng.choice([0.05, PATIENCE_S, 2 * PATIENCE_S])))
                world.at(at + for_s, partial(world.slow_cache, 0.0))
        draft.lasts(at + for_s)
        at += for_s + draft.rng.choice([0.001, 0.1, 1.0])


def _lost_machine(draft: Draft) -> None:
    """A trader's machine is lost for good, mostly while its keeper has something open of it.

    The way to the warehouse is slow, so more is begun and unfinished. The way to the keeper may be slow, too. The keeper may
    die at the same time, and return.
    """
    at = draft.moment()
    if not _lose_trader(draft, lambda begin: draft.world.at(at, begin), ends_at=at + draft.while_s()):
        _owing(draft)


def lose_a_trader(world: World, seed: int) -> None:
    """Schedules the loss of a trader's machine in a brisk market, some time after it has opened."""
    draft = Draft(world, random.Random(f"lose a trader/{seed}"))
    after_s = draft.rng.uniform(0.3, 2.5)

    def later(begin: Callable[[], None]) -> None:
        world.once(lambda: world.opened, lambda: world.at(world.now + after_s, begin))

    _lose_trader(draft, later, ends_at=10.0)


def cut_off_a_trader(world: World, seed: int) -> None:
    """A trader and some buyers are cut off from all others, but not from its keeper. The trader is deposed behind its back,
    and goes on promising. Then its machine is lost, before anybody can tell it."""
    rng = random.Random(f"cut off a trader/{seed}")
    settings, name = world.plan.settings, world.plan.names[-1]
    dies_after_s = settings.suspect_after_s + rng.uniform(0.2, 2.0)

    def named() -> list[str]:
        return [entry.keeper for entry in world.entries if isinstance(entry, KeeperEntry) and entry.peer == name]

    def begin() -> None:
        buyers = [peer for peer in world.plan.names if peer.startswith("buyer") and peer not in (name, *named())]
        island = frozenset({name, *buyers[::2]})
        others = frozenset({WAREHOUSE, *world.plan.names}) - island - {*named()}
        for ways in ((island, others), (others, island)):
            world.cut(*ways, dies_after_s + 2.0)
        world.at(world.now + dies_after_s, partial(world.lose, world.plan.placed[name]))

    world.once(lambda: world.opened and bool(named()), lambda: world.at(world.now + rng.uniform(0.5, 1.0), begin))
    world.quiet_after_s = 10.0


def _lose_trader(draft: Draft, when: Callable[[Callable[[], None]], None], ends_at: float) -> bool:
    """`when` schedules its beginning. False if no machine can be lost."""
    world, rng, slower_s = draft.world, draft.rng, draft.world.plan.settings.suspect_after_s / 4
    name, away_s = draft.trader(), draft.while_s()
    if not _can_be_lost(draft, machine := world.plan.placed[name]):
        return False
    befalls_keeper = rng.choice(["nothing", "slow", "slow", "death", "death"])

    def slow() -> None:
        world.slow(WAREHOUSE, name, slower_s, away_s)
        if befalls_keeper == "slow":
            world.slow(name, keepers()[-1], slower_s, away_s)
        world.at(world.now + rng.random() * slower_s, lambda: world.once(open_or_late, lose))

    def keepers() -> list[str]:
        return [entry.keeper for entry in world.entries if isinstance(entry, KeeperEntry) and entry.peer == name]

    def open_or_late() -> bool:
        return world.disk.is_open(name) or world.now >= ends_at

    def lose() -> None:
        world.hits["lost and kept"] += world.disk.is_open(name)
        if befalls_keeper == "death" and keepers():
            world.kill(keepers()[-1])
            back_s = min(away_s, 4 * world.plan.settings.suspect_after_s) * rng.random()
            world.at(world.now + back_s, partial(world.restart, keepers()[-1]))
        world.at(world.now + rng.choice([0.0, 0.01, slower_s]), partial(world.lose, machine))

    when(lambda: world.once(lambda: bool(keepers()), slow))
    draft.lasts(ends_at + away_s)
    return True


def _can_be_lost(draft: Draft, machine: str) -> bool:
    """Whether enough peers on two machines remain without this one: all traders, a buyer and a seller. If so, counts it."""
    placed, settings = draft.world.plan.placed, draft.world.plan.settings
    there = {name for name in draft.world.plan.names if placed[name] == machine}
    left = [name for name in draft.world.plan.names if name not in there | draft.gone]
    remain = {is_seller(name) for name in left[: len(left) - settings.traders]}
    if draft.losses < len(there) or len({placed[name] for name in left}) < 2 or len(remain) < 2:
        return False
    draft.losses -= len(there)
    draft.gone |= there
    return True


FAULTS: dict[str, Callable[[Draft], None]] = {
    "kill": _kill,
    "lives": _lives,
    "two at once": _two_at_once,
    "in its election": _in_its_election,
    "pause": _pause,
    "stall": _stall,
    "part": _part,
    "one way": _one_way,
    "slow link": _slow_link,
    "resign": _resign,
    "disk full": _disk_full,
    "reply lost": _reply_lost,
    "clock set": _clock_set,
    "owing": _owing,
    "behind its back": _behind_its_back,
}
LIVES = ("lives", "two at once", "in its election", "owing")
OF_THE_CACHE: dict[str, Callable[[Draft], None]] = {"cache": _cache}
OF_KEEPERS: dict[str, Callable[[Draft], None]] = {"lost machine": _lost_machine}
OF_THE_GRAPH: dict[str, Callable[[Draft], None]] = {"neighbourhood": _neighbourhood, "edge": _edge}
OF_MACHINES: dict[str, Callable[[Draft], None]] = {"machine lost": _machine_lost, "part": _part, "one way": _one_way}


def draw_any_faults(world: World, seed: int, kinds: Sequence[str] = tuple(FAULTS)) -> list[str]:
    """Schedules one to three faults of these kinds, and returns which."""
    draft = Draft(world, random.Random(f"any faults/{seed}"))
    drawn = [draft.rng.choice(kinds) for _ in range(draft.rng.choice([1, 1, 2, 3]))]
    for kind in drawn:
        (FAULTS | OF_THE_GRAPH | OF_MACHINES | OF_KEEPERS | OF_THE_CACHE)[kind](draft)
    return drawn


def draw_faults(world: World, seed: int) -> None:
    """Schedules one to four faults in a brisk market, drawn from the seed, while it trades."""
    rng: Any = random.Random(f"faults/{seed}")
    peers = world.plan.names
    for _ in range(rng.randint(1, 4)):
        start_s = rng.uniform(0.1, 3.0)
        # Mostly one of the highest peers, which are the traders.
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
