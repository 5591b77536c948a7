"""The texts of a run: the same bytes at the end, whether they were written while the histories grew or afterwards."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

import bazaar.views.texts
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.plan import save
from bazaar.runtime.history import HISTORY_FILE, Recorded, encode_line, only
from bazaar.runtime.runclock import start_clock
from bazaar.views.caches import MOST_A_SECOND
from bazaar.views.narration import SENTENCES, VARIANTS, Told
from bazaar.views.texts import (
    CREDIT_S,
    LOOK_EVERY_S,
    SETTLED_S,
    SHARE,
    UNFINISHED,
    Following,
    Launcher,
    Mark,
    Throttle,
    follow,
    main,
    narrate,
)
from tests.builders import a_line, a_plan
from tests.simulation import draw_world

Histories = Mapping[str, list[Recorded[Event]]]
SOON_S = SETTLED_S / 3


@pytest.fixture(scope="module")
def told_histories() -> Histories:
    """Of a whole run, with elections, pushes, pulls and refusals."""
    world = draw_world(7, cache="weak", peers=6, traders=2, requests=90, units="1-3")
    world.run()
    assert sum(len(history) for history in world.histories.values()) > 500
    return world.histories


def peers_of(histories: Histories) -> list[str]:
    return [name for name in histories if name not in ("launcher", "warehouse")]


def write_down(histories: Histories, run: Path) -> None:
    for name, history in histories.items():
        (run / name).mkdir(exist_ok=True)
        (run / name / HISTORY_FILE).write_bytes(b"".join(map(encode_line, history)))


def texts_in(run: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in run.glob("*.txt")}


def narrated(histories: Histories, run: Path) -> dict[str, str]:
    run.mkdir()
    write_down(histories, run)
    narrate(run, peers_of(histories))
    return texts_in(run)


# ------------------------------------------------------------------------------------------------ at the end
class Plain(dict[str, Any]):
    """The words of a sentence, made one by one when they are asked for."""

    def __init__(self, happened: Recorded[Event], labels: dict[str, str], cache: str) -> None:
        super().__init__(msgspec.structs.asdict(happened.event), me=happened.process, cache=cache)
        if "traders" in self:
            self["traders"] = list(self["traders"])
        if self.get("units", 1) > 1:
            self["item"] += f" x{self['units']}"
        self.labels = labels

    def __missing__(self, word: str) -> Any:
        match word:
            case "Me":
                return self.labels.get(self["me"], self["me"]).capitalize()
            case "count":
                return len(self["traders"])
            case "seconds":
                return f"{self['for_s']:g}"
            case "dollars":
                return f"{self['earned_cents'] / 100:g}"
            case "sellers":
                return " and ".join([self["seller"], *self["others"]])
        names = {fact: self.labels.get(name, name) for fact, name in self.items() if isinstance(name, str)}
        return names if word == "label" else {fact: name.capitalize() for fact, name in names.items()}


class PlainCaches:
    """The print-outs of the caches, from all that has happened so far, gone through anew for each."""

    def __init__(self) -> None:
        self._past: list[Recorded[Event]] = []
        self._printed: Counter[tuple[str, int]] = Counter()

    def after(self, happened: Recorded[Event]) -> str:
        self._past.append(happened)
        match happened.event:
            case events.Learned() | events.Taken(to="cache"):
                self._printed[happened.process, int(happened.at)] += 1
                if self._printed[happened.process, int(happened.at)] <= MOST_A_SECOND:
                    return json.dumps(list(self._lots(happened.process)))
        return ""

    def _lots(self, trader: str) -> Iterator[dict[str, Any]]:
        left: dict[str, int] = {}
        for h in self._past:
            match h.event if h.process == trader else None:
                case events.Learned(lots=lots) | events.Pushed(lots=lots):
                    changes = dict(lots)
                case events.HeardPush(lots=lots):
                    changes = {lot: count for lot, count in lots if lot not in left or count < left[lot]}
                case events.Taken(to="cache", deposit_id=deposit_id, count=count, units=units):
                    changes = {deposit_id: count - units}
                case _:
                    continue
            for lot, count in changes.items():
                if count and not left.get(lot):
                    left.pop(lot, None)  # it is the newest
                left[lot] = count
        offered = [(h.process, h.event) for h in self._past if isinstance(h.event, events.Offered)]
        for lot, count in left.items():
            for seller, offer in offered:
                if count and offer.deposit_id == lot:
                    price = offer.price_cents // 100
                    yield {"seller_id": seller, "count": count, "price": price, "item": offer.item}


def plainly(happenings: Iterable[Recorded[Event]]) -> Iterator[tuple[str, str]]:
    """Process and line, told as slowly as one would without thinking of time."""
    labels: dict[str, str] = {}
    caches = PlainCaches()
    for h in sorted(happenings, key=lambda h: (h.at, h.clock)):
        if isinstance(h.event, events.Elected):
            labels[h.process] = f"trader{h.event.seat}"
        told: Told = type(h.event)
        if isinstance(h.event, events.Unavailable):
            told = (events.Unavailable, "warehouse" if h.process == "warehouse" else "trader")
        elif (variant := VARIANTS.get(type(h.event))) is not None:
            told = (type(h.event), getattr(h.event, variant))
        cache = caches.after(h)
        for template in SENTENCES.get(told, ()):
            if "{cache}" not in template or cache:
                moment = datetime.fromtimestamp(h.at)
                yield h.process, f"{moment:%Y-%m-%d %H:%M:%S.%f} : {template.format_map(Plain(h, labels, cache))}\n"


def test_a_whole_run_is_told_as_if_told_plainly_and_in_pieces(
    told_histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bazaar.views.texts, "EVENTS_A_PIECE", 10)
    texts = narrated(told_histories, tmp_path / "run")
    lines = list(plainly(itertools.chain(*told_histories.values())))
    elected = (line for history in told_histories.values() for line in only(history, events.Elected))
    seats = {line.process: f"trader{line.event.seat}" for line in elected}
    assert len(seats) == 2
    assert sum(" cache: [{" in line for _, line in lines) > 10
    assert texts == {
        "output.txt": "".join(line for _, line in lines),
        **{
            f"{name}.txt": "".join(line for teller, line in lines if teller == process)
            for process, name in {**seats, "warehouse": "warehouse"}.items()
        },
    }


# ------------------------------------------------------------------------------------- while the run goes on
class Meanwhile:
    """A run that goes on whenever somebody waits: each line is written some time after its time stamp."""

    def __init__(
        self, histories: Histories, run: Path, delay_s: float = SOON_S, late: Mapping[str, float] = {}
    ) -> None:
        """`late`: by kind of event, another delay for the first of it; what follows in the same history comes later, too."""
        run.mkdir()
        self.run, self.peers, self.time = run, peers_of(histories), 0.0
        self.seen: list[tuple[float, dict[str, str]]] = []
        """The texts at each moment."""
        self._to_write: dict[str, list[tuple[float, Recorded[Event]]]] = {}
        late = dict(late)
        for name, history in histories.items():
            (run / name).mkdir()
            written_at = 0.0
            self._to_write[name] = []
            for line in history:
                written_at = max(written_at, line.at + late.pop(type(line.event).kind, delay_s))
                self._to_write[name].append((written_at, line))

    def now(self) -> float:
        return self.time

    def over(self) -> bool:
        return not any(self._to_write.values())

    def wait(self, seconds: float) -> None:
        assert 0 < seconds <= SETTLED_S + LOOK_EVERY_S
        self.seen.append((self.time, texts_in(self.run)))
        self.time += seconds
        for name, lines in self._to_write.items():
            while lines and lines[0][0] <= self.time:
                with (self.run / name / HISTORY_FILE).open("ab") as file:
                    file.write(encode_line(lines.pop(0)[1]))

    def follow(self) -> bool:
        return follow(self.run, self.peers, self.now, self.over, self.wait, rest_s=lambda: LOOK_EVERY_S / 2)


def test_what_is_told_meanwhile_has_the_bytes_of_what_is_told_at_the_end(
    told_histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bazaar.views.texts, "BLOCK_BYTES", 300)  # some lines are longer
    meanwhile = Meanwhile(told_histories, tmp_path / "meanwhile")
    assert meanwhile.follow()
    whole = narrated(told_histories, tmp_path / "whole")
    assert texts_in(meanwhile.run) == whole
    sizes = [len(seen.get("output.txt", "")) for _, seen in meanwhile.seen]
    assert sizes == sorted(sizes)
    assert len({size for size in sizes if 0 < size < len(whole["output.txt"])}) > 5
    for _, seen in meanwhile.seen:
        assert all(whole[name].startswith(text) for name, text in seen.items())


def test_a_line_is_told_soon_after_it_was_written(told_histories: Histories, tmp_path: Path) -> None:
    """A second or so later at the most: so much is there when somebody kills everything."""
    meanwhile = Meanwhile(told_histories, tmp_path / "meanwhile")
    meanwhile.follow()
    told = narrated(told_histories, tmp_path / "whole")["output.txt"].splitlines(keepends=True)
    at = [datetime.fromisoformat(line[:26]).timestamp() for line in told]
    for moment, seen in meanwhile.seen:
        past = "".join(
            line for line, stamp in zip(told, at, strict=True) if stamp < moment - SETTLED_S - 2 * LOOK_EVERY_S
        )
        assert seen.get("output.txt", "").startswith(past)


@pytest.mark.parametrize("kind", ["purchased", "shipped"])
def test_a_line_that_came_late_is_told_and_makes_the_texts_not_whole(
    kind: str, told_histories: Histories, tmp_path: Path
) -> None:
    """Its process was stopped just before it wrote the line."""
    meanwhile = Meanwhile(told_histories, tmp_path / "meanwhile", late={kind: 3.0})
    assert not meanwhile.follow()
    whole, told = narrated(told_histories, tmp_path / "whole"), texts_in(meanwhile.run)
    assert told.keys() == whole.keys()
    assert told["output.txt"] != whole["output.txt"]
    said, said_in_order = (
        [line for line in texts["output.txt"].splitlines() if " cache: " not in line] for texts in (told, whole)
    )
    assert said != said_in_order
    assert sorted(said) == sorted(said_in_order)
    narrate(meanwhile.run, meanwhile.peers)
    assert texts_in(meanwhile.run) == whole


def elected(at: float, name: str, seat: int) -> Recorded[Event]:
    return a_line(at, name, int(at), "elected", {"seat": seat})


def looping(name: str, *times: float) -> list[Recorded[Event]]:
    return [a_line(at, name, int(at), "seller_loop") for at in times]


@pytest.mark.parametrize(
    ("histories", "in_place"),
    [
        ({"seller5": [*looping("seller5", 1, 2), elected(3, "seller5", 0), *looping("seller5", 4)]}, True),
        (  # another one has the seat later
            {
                "seller5": [*looping("seller5", 1), elected(3, "seller5", 0), *looping("seller5", 4)],
                "seller4": [*looping("seller4", 2), elected(6, "seller4", 0), *looping("seller4", 7)],
            },
            False,
        ),
        (  # the same one has another seat later
            {"seller5": [elected(3, "seller5", 1), *looping("seller5", 4), elected(6, "seller5", 0)]},
            False,
        ),
        (  # and the same seat again
            {"seller5": [elected(3, "seller5", 0), *looping("seller5", 4), elected(6, "seller5", 0)]},
            True,
        ),
    ],
)
def test_a_seats_text_has_what_its_holder_said_before(
    histories: dict[str, list[Recorded[Event]]], in_place: bool, tmp_path: Path
) -> None:
    meanwhile = Meanwhile(histories, tmp_path / "meanwhile")
    assert meanwhile.follow() == in_place
    whole = narrated(histories, tmp_path / "whole")
    assert len(whole["trader0.txt"].splitlines()) == sum(map(len, histories.values()))
    assert whole.keys() == {"output.txt", "trader0.txt"}
    if not in_place:
        assert texts_in(meanwhile.run) != whole
        narrate(meanwhile.run, meanwhile.peers)
    assert texts_in(meanwhile.run) == whole


def test_a_history_that_is_behind_is_waited_for(tmp_path: Path) -> None:
    """Nobody says that it is complete up to now before it was read to its end."""
    histories = {"buyer0": looping("buyer0", *range(1, 200)), "buyer1": looping("buyer1", 150)}
    write_down(histories, tmp_path)
    following = iter(Following(tmp_path, histories, now=lambda: 500.0, over=lambda: False))
    told = list(itertools.takewhile(lambda line: not isinstance(line, Mark), following))
    assert [line.at for line in told] == sorted([*range(1, 200), 150])


def test_it_takes_only_its_share_of_a_processor_but_what_it_saved_it_may_use() -> None:
    clock = {"used": 0.0, "now": 100.0}
    throttle = Throttle(lambda: clock["used"], lambda: clock["now"])

    def works(seconds: float) -> None:
        clock["used"] += seconds
        clock["now"] += seconds

    works(0.01)
    assert throttle.rest_s() == pytest.approx(0.01 / SHARE - 0.01)
    clock["now"] += throttle.rest_s()
    assert throttle.rest_s() == pytest.approx(0.0)
    clock["now"] += 1000.0  # nothing to do for a long time
    works(CREDIT_S * SHARE)
    assert throttle.rest_s() <= 0
    works(CREDIT_S * SHARE)
    assert throttle.rest_s() > CREDIT_S / 2


# ---------------------------------------------------------------------------------------------- the process
class Disk:
    """A disk that is full from some moment on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        opened = Path.open

        def open_(path: Path, mode: str = "r", *more: Any, **others: Any) -> Any:
            if self.full and mode in ("a", "w"):
                raise OSError(28, "No space left on device")
            return opened(path, mode, *more, **others)

        monkeypatch.setattr(Path, "open", open_)


def test_no_text_stays_that_was_cut_off(
    told_histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bazaar.views.texts, "EVENTS_A_PIECE", 10)
    meanwhile, disk = Meanwhile(told_histories, tmp_path / "meanwhile"), Disk(monkeypatch)
    wait = meanwhile.wait

    def wait_until_full(seconds: float) -> None:
        wait(seconds)
        disk.full = len(texts_in(meanwhile.run).get("trader0.txt", "")) > 1000

    with pytest.raises(OSError, match="No space"):
        follow(meanwhile.run, meanwhile.peers, meanwhile.now, meanwhile.over, wait_until_full, rest_s=lambda: 0.0)
    assert texts_in(meanwhile.run) == {}
    disk.full = False
    write_down(told_histories, meanwhile.run)
    (meanwhile.run / "output.txt").write_text("cut off")
    disk.full = True
    with pytest.raises(OSError, match="No space"):
        narrate(meanwhile.run, meanwhile.peers)
    assert [path for path in meanwhile.run.iterdir() if path.is_file()] == []


def test_what_comes_before_damage_is_told(tmp_path: Path) -> None:
    histories = {"buyer0": looping("buyer0", 1, 2, 3)}
    write_down(histories, tmp_path)
    with (tmp_path / "buyer0" / HISTORY_FILE).open("ab") as file:
        file.write(b"oops\n")
    with pytest.raises(msgspec.DecodeError):
        narrate(tmp_path, ["buyer0"])
    assert len((tmp_path / "output.txt").read_text().splitlines()) == 3


@pytest.mark.parametrize(("said", "unfinished"), [(b"\n", False), (b"", True)])
def test_the_process_finishes_when_it_is_told_to_and_not_when_the_launcher_is_gone(
    said: bytes, unfinished: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = a_plan(peers=4, traders=1)
    save(plan, tmp_path / "bazaar.json")
    clock = start_clock(tmp_path)
    write_down({plan.names[0]: looping(plan.names[0], clock.now())}, tmp_path)
    inside, outside = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(inside))
    monkeypatch.setattr(sys, "argv", ["texts", str(tmp_path)])
    waited = Launcher.wait

    def wait(launcher: Launcher, patience_s: float) -> None:
        if patience_s > 0 and not launcher.said:
            assert (tmp_path / UNFINISHED).exists()
            os.write(outside, said)
            os.close(outside)
        waited(launcher, patience_s)

    monkeypatch.setattr(Launcher, "wait", wait)
    assert main() == 0
    assert "Executing seller loop" in (tmp_path / "output.txt").read_text()
    assert (tmp_path / UNFINISHED).exists() == unfinished
