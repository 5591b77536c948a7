"""The door, in whole markets: it refuses nothing that an honest process says, and nothing that it lets in ends anybody.

Forged letters come from anybody to anybody, in the midst of elections, deaths and restarts: each is of a message's declared
form, with names and numbers of this market, or at the edges of what the form allows.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import partial
from typing import Any

import msgspec
import pytest

from bazaar.protocol.admission import RULES, admits
from bazaar.protocol.goods import WAREHOUSE, home_of, is_embassy
from bazaar.protocol.messages import AnyMessage, BoughtAbroad, BuyAbroad, UnavailableAbroad
from bazaar.protocol.wire import Letter, MalformedMessage, decode, encode
from tests.builders import a_delivery
from tests.simulation import World, draw_faults, draw_world
from tests.simulation.federation import draw_federation

LONG_ENOUGH_S = 3.0  # of virtual time, with forged letters from some time in its first second on
MESSAGES = msgspec.inspect.type_info(AnyMessage)
assert isinstance(MESSAGES, msgspec.inspect.UnionType)


class Guarded(World):
    """A market in which something comes in besides, if there are `forgeries`."""

    forgeries: random.Random | None = None
    heard: list[AnyMessage]
    forged_from: float
    let_in: Counter[str]

    def _arrive(self, name: str, data: bytes, is_late: bool) -> None:
        if self.forgeries is not None and name in self.actors:
            self.heard = [*self.heard[-30:], *(letter.body for letter in decode(data).letters)]
            if self.now > self.forged_from and self.forgeries.random() < 0.2:
                self._forge(name, self.forgeries)
        super()._arrive(name, data, is_late)

    def _forge(self, target: str, rng: random.Random) -> None:
        """What the door lets in of some forgeries: fresh ones, and such as were said with one thing changed."""
        for _ in range(3):
            if self.heard and rng.random() < 0.7:
                body = changed(rng.choice(self.heard), self, rng)
            else:
                body = made(MESSAGES, self, rng, "")
            if "bench" in body.__struct_fields__ and rng.random() < 0.95:
                continue  # after a few false benches nobody trades any more
            abroad = self.abroad if is_embassy(target) else ()
            who = [name for name in (WAREHOUSE, *self.plan.names, *abroad) if RULES[type(body)][0](name)]
            if who:  # else only an embassy says it, and this market has none
                self._try(rng.choice(who), target, body, rng.choice([-5, 0, 1, 10_000, 2**30]))

    def _try(self, source: str, target: str, body: AnyMessage, ahead: int) -> None:
        actor = self.actors.get(target)
        if actor is None:
            return
        clock = max(0, actor.clock.time + ahead)
        try:
            (letter,) = decode(encode(a_delivery(source, target, Letter(clock, body)))).letters
        except MalformedMessage:
            return
        if admits(source, target, letter, actor.clock.time, frozenset(self.plan.names)):
            self.let_in[type(letter.body).__name__] += 1
            self._turn(target, lambda turn: actor.receive(turn, source, letter))


def changed(body: Any, world: World, rng: random.Random) -> Any:
    """The same message with one field made anew, somewhere within."""
    info = msgspec.inspect.type_info(type(body))
    assert isinstance(info, msgspec.inspect.StructType)
    if not info.fields:
        return body
    field = rng.choice(info.fields)
    value = getattr(body, field.name)
    if isinstance(value, msgspec.Struct):
        value = changed(value, world, rng)
    elif isinstance(value, tuple) and rng.random() < 0.7 and any(isinstance(one, msgspec.Struct) for one in value):
        at = rng.choice([at for at, one in enumerate(value) if isinstance(one, msgspec.Struct)])
        value = (*value[:at], changed(value[at], world, rng), *value[at + 1 :])
    else:
        value = made(field.type, world, rng, field.name)
    return msgspec.structs.replace(body, **{field.name: value})


def made(info: msgspec.inspect.Type, world: World, rng: random.Random, field: str) -> Any:
    """Some value of this form."""
    match info:
        case msgspec.inspect.StructType(cls, fields):
            return cls(*[made(each.type, world, rng, each.name) for each in fields])
        case msgspec.inspect.UnionType(types):
            return made(rng.choice(types), world, rng, field)
        case msgspec.inspect.VarTupleType(item):
            return tuple(made(item, world, rng, field) for _ in range(rng.choice([0, 1, 1, 2, 3])))
        case msgspec.inspect.LiteralType(values):
            return rng.choice(values)
        case msgspec.inspect.IntType(ge=least, le=most):
            edges = [n for n in (least, most, 10**9) if n is not None]
            return rng.choice([*map(int, edges), *range(8), len(world.entries)])
        case msgspec.inspect.StrType():
            name = rng.choice(world.plan.names)
            homes = [home_of(embassy) for embassy in (*world.abroad, *world.plan.names) if is_embassy(embassy)]
            if homes and rng.random() < 0.5:
                name = f"{name}@{rng.choice(homes)}"
            orders = {"order_id": f"{name}-{rng.randint(0, 20)}", "deposit_id": f"{name}-d{rng.randint(0, 20)}"}
            return orders.get(field, name) if rng.random() < 0.95 else rng.choice([WAREHOUSE, "buyer99", "x", "-"])
        case msgspec.inspect.BoolType():
            return rng.random() < 0.5
        case msgspec.inspect.NoneType():
            return None
    raise NotImplementedError(f"{info}: say here how to make one")


def guarded(world: World, seed: int) -> Guarded:
    world.__class__ = Guarded
    assert isinstance(world, Guarded)
    world.heard, world.let_in = [], Counter()
    world.forged_from = random.Random(seed).uniform(0.0, 1.0)
    return world


def a_guarded_world(seed: int) -> Guarded:
    world = guarded(draw_world(seed, think_s=0.1), seed)
    draw_faults(world, seed)
    return world


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_an_honest_process_says_is_refused(seed: int) -> None:
    world = a_guarded_world(seed)
    world.run()
    assert world.hits["refused"] == 0


def is_over(world: World) -> bool:
    return world.now > LONG_ENOUGH_S


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_nothing_that_is_let_in_ends_anybody(first: int) -> None:
    let_in: Counter[str] = Counter()
    for seed in range(first, first + 10):
        world = a_guarded_world(seed)
        world.forgeries = random.Random(f"forgeries/{seed}")
        for name, actor in list(world.actors.items()):
            world.at(0.001, partial(world._turn, name, actor.begin))
        world.until(partial(is_over, world))
        let_in += world.let_in
    assert sum(let_in.values()) > 100, let_in


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_nothing_that_is_let_in_ends_anybody_of_a_federation(first: int) -> None:
    let_in: Counter[str] = Counter()
    for seed in range(first, first + 5):
        federation = draw_federation(seed, think_s=0.1)
        worlds = [guarded(world, seed) for world in federation.worlds.values()]
        for world in worlds:
            world.forgeries = random.Random(f"forgeries/{seed}/{world.plan.settings.name}")
            world.longest_s = 2 * LONG_ENOUGH_S  # embassies meet later than peers do
        federation.run()
        let_in += sum((world.let_in for world in worlds), Counter())
    assert min(let_in[message.__name__] for message in (BuyAbroad, BoughtAbroad, UnavailableAbroad)) > 0, let_in
