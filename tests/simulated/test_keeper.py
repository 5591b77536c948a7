"""With `--keeper` a queue outlives the machine of its trader; and what is seen when one rule of that is broken.

Each control breaks one rule. The worlds are some in which a violation is seen then; unbroken, the same worlds hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from bazaar.core.copying import Copying
from bazaar.core.keeper import Keeper
from bazaar.core.turn import Turn
from bazaar.protocol.entries import AdoptEntry, KeeperEntry
from bazaar.protocol.goods import Seat
from bazaar.protocol.journal_lines import Copied
from bazaar.protocol.messages import Keep
from tests.simulation import World, replay_command, run

Patch = pytest.MonkeyPatch
LOST = "brisk-kept", (7, 13, 26, 27, 30, 34, 35)
BEHIND = "kept-behind", (4, 5, 6)
ENDLESS = "brisk-kept", (23, 62, 76, 83)
"""In these, orders of the last lines were decided by others, also as promises that an heir kept or took back.

Kinds of worlds, with seeds."""


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind, seeds in (LOST, BEHIND) for seed in seeds])
def test_a_queue_outlives_the_machine_of_its_trader(kind: str, seed: int) -> None:
    world, _, report = run(kind, seed)
    assert report.violations == {}, replay_command(seed, kind=kind)
    assert not report.unknown
    assert world.hits["lost machine"]
    taken_over = {Seat(entry.peer, entry.since) for entry in world.entries if isinstance(entry, AdoptEntry)}
    kept = {Seat(entry.peer, entry.since) for entry in world.entries if isinstance(entry, KeeperEntry)}
    assert any(seat.peer in world.lost for seat in taken_over & kept)


@pytest.mark.parametrize("seed", ENDLESS[1])
def test_the_last_lines_of_a_lost_machine_are_excused_and_counted(seed: int) -> None:
    world, _, report = run(ENDLESS[0], seed)
    assert (report.verdict, report.violations) == ("held", {}), replay_command(seed, kind=ENDLESS[0])
    assert world.hits["lines lost"]
    notes = [note for note in report.notes if "lost with its machine" in note]
    assert len(notes) == len(world.lost)
    assert any(re.search(r"known from others: \d+ orders?", note) for note in notes)


@pytest.mark.parametrize("seed", range(4))
def test_any_world_with_keepers_holds(seed: int) -> None:
    assert run("kept", seed)[2].violations == {}, replay_command(seed, kind="kept")


def lets_go_before_it_is_kept(patch: Patch) -> None:
    """A trader lets promises and questions go before its keeper has what they follow from."""

    def release(self: Copying, turn: Turn) -> None:
        while self._held:
            _, (to, body, before) = self._held.popleft()
            turn.send(to, body, before)

    patch.setattr(Copying, "_release", release)


def confirms_before_it_is_on_disk(patch: Patch) -> None:
    """A keeper confirms what is not on its disk yet: when it dies the last lines are gone."""
    die = World._die

    def dies(self: World, name: str) -> None:
        if (records := self.disk.copies[name]) and isinstance(records[-1], Copied):
            records.pop()
        die(self, name)

    patch.setattr(World, "_die", dies)


def takes_lines_after_an_heir_has_read(patch: Patch) -> None:
    """An heir reads before the fence: the keeper goes on taking lines, and the trader goes on promising."""
    keep = Keeper.keep

    def keeps(self: Keeper, turn: Turn, source: str, body: Keep) -> None:
        self._fenced.discard(body.copy.seat)
        keep(self, turn, source, body)

    patch.setattr(Keeper, "keep", keeps)


@pytest.mark.parametrize(
    ("breaks", "kind", "seeds"),
    [
        (lets_go_before_it_is_kept, *LOST),
        (confirms_before_it_is_on_disk, *LOST),
        (takes_lines_after_an_heir_has_read, *BEHIND),
    ],
)
def test_what_is_broken_is_seen(
    breaks: Callable[[Patch], None], kind: str, seeds: tuple[int, ...], monkeypatch: Patch
) -> None:
    breaks(monkeypatch)
    seen = Counter(check for seed in seeds for check in run(kind, seed)[2].violations)
    print(f"{breaks.__name__}: {dict(seen)} on {len(seeds)} seeds")
    assert seen["buyers_were_told_the_truth"]
