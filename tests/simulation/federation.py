"""Bazaars that trade with each other, side by side on one virtual time, each a world of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from bazaar.analysis.audit import Evidence, Report, judge
from bazaar.analysis.audit.evidence import Charter
from bazaar.analysis.audit.federation import Run, Together, judge_together
from bazaar.protocol.goods import embassy_of
from tests.simulation.draw import draw_settings
from tests.simulation.faults import LIVES, draw_any_faults
from tests.simulation.network import Network
from tests.simulation.world import LONGEST_S, World

FEDERATED = "federated"
"""The word for these worlds on the command line, beside those of `trial.KINDS`."""
NAMES = ("north", "south", "east")
MOST_PEERS = 6
WORST_FIRST: tuple[Literal["violated", "unknown"], ...] = ("violated", "unknown")


class Outcome(NamedTuple):
    """What came of a federation."""

    evidence: dict[str, Evidence]
    alone: dict[str, Report]
    together: Together
    perished: frozenset[str]

    @property
    def violations(self) -> dict[str, list[str]]:
        """All violations, of each bazaar alone and of all together."""
        alone = {
            f"{check} ({name})": told
            for name, report in self.alone.items()
            for check, told in report.violations.items()
        }
        return alone | self.together.violations

    @property
    def report(self) -> Report:
        """All judgements as one: the worst verdict of all, and what the orders abroad have exercised."""
        verdicts = [self.together.verdict, *(report.verdict for report in self.alone.values())]
        verdict: Literal["held", "violated", "unknown"] = next(
            (worst for worst in WORST_FIRST if worst in verdicts), "held"
        )
        missed = [story for report in self.alone.values() for story in report.missed]
        unknown = [*self.together.unknown, *(story for report in self.alone.values() for story in report.unknown)]
        return Report(verdict, {}, self.violations, self.together.exercised, missed, unknown)


class Federation:
    """Some bazaars. A later one joins all before it: its people were given their files."""

    def __init__(self, worlds: dict[str, World]) -> None:
        self.worlds = worlds
        self.perished: set[str] = set()
        for name, world in worlds.items():
            world.abroad = {embassy_of(other): there for other, there in worlds.items() if other != name}
            world.may_close = self._all_answered

    def _all_answered(self) -> bool:
        return all(world.answered for name, world in self.worlds.items() if name not in self.perished)

    def run(self) -> Outcome:
        """Runs all of them to their ends. The world whose next event is the earliest goes on."""
        courses: dict[str, Iterator[None]] = {name: world.course() for name, world in self.worlds.items()}
        for course in courses.values():
            next(course)  # up to the first event
        while courses:
            name = min(courses, key=lambda name: self.worlds[name].next_at)
            if name in self.perished or next(courses[name], courses) is courses:
                del courses[name]
                self.worlds[name].actors.clear()  # its processes are ended
        evidence = {name: world.evidence() for name, world in self.worlds.items()}
        runs = [
            Run(msgspec.convert(each.plan, Charter, from_attributes=True), each.entries, each.histories)
            for each in evidence.values()
        ]
        alone = {name: self._judged(name, each) for name, each in evidence.items()}
        return Outcome(evidence, alone, judge_together(runs), frozenset(self.perished))

    def _judged(self, name: str, evidence: Evidence) -> Report:
        report, world = judge(evidence), self.worlds[name]
        if not world.ended and name not in self.perished:
            story = f"at {world.now:.0f} s somebody still waits or owes something"
            report = msgspec.structs.replace(
                report, verdict="violated", violations={**report.violations, "runs_end": [story]}
            )
        return report

    def perish(self, name: str) -> None:
        """Kills a whole bazaar, with its launcher."""
        self.worlds[name].perish()
        self.perished.add(name)


def draw_federation(seed: int, faults: bool = True, **fixed: Any) -> Federation:
    """Two or three bazaars with any settings, each on a network of its own, and faults in them and between them."""
    rng = random.Random(f"federation/{seed}")
    worlds: dict[str, World] = {}
    for number, name in enumerate(NAMES[: rng.choice([2, 2, 3])]):
        settings = draw_settings(
            rng,
            seed + number,
            MOST_PEERS,
            {"name": name, "pace": "fast", "requests": rng.randint(20, 60), "duration_s": None, **fixed},
        )
        patience_s = min(settings.suspect_after_s, settings.election_timeout_s, settings.answer_timeout_s)
        delay_s = min(rng.choice([0.0005, 0.002, 0.01]), patience_s / 50)
        network = Network(
            loss=rng.choice([0, 0, 0.1]),
            duplication=rng.choice([0, 0.1]),
            delay_s=delay_s,
            repeat_after_s=min(0.1, patience_s / 40),
        )
        worlds[name] = World(seed + number, settings, network, treaties=tuple(worlds))
        worlds[name].longest_s = LONGEST_S
    federation = Federation(worlds)
    if faults:
        _draw_faults(federation, rng, seed)
    return federation


def _draw_faults(federation: Federation, rng: random.Random, seed: int) -> None:
    names = list(federation.worlds)
    for name, world in federation.worlds.items():
        if rng.random() < 0.5:
            draw_any_faults(world, seed, LIVES)
        embassy = embassy_of(name)
        for _ in range(rng.choice([0, 1, 3])):
            at_s = rng.uniform(0.1, 20.0)
            world.at(at_s, partial(world.kill, embassy))
            world.at(at_s + rng.uniform(0.05, 3.0), partial(world.restart, embassy))
        if rng.random() < 0.4:
            other = embassy_of(rng.choice([other for other in names if other != name]))
            cut = partial(world.cut, frozenset({embassy}), frozenset({other}), rng.uniform(0.1, 20.0))
            world.at(rng.uniform(0.1, 15.0), cut)
        world.quiet_after_s = max(world.quiet_after_s, 25.0)
    if rng.random() < 0.2:
        lost = rng.choice(names)
        federation.worlds[lost].at(rng.uniform(0.5, 20.0), lambda: federation.perish(lost))
