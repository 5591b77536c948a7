"""Joining another bazaar: each file that cannot be used is refused in one line."""

from __future__ import annotations

import contextlib
import queue
from pathlib import Path

import msgspec
import pytest

from bazaar import __version__
from bazaar.control.planning import draw_plan
from bazaar.core.endpoint import Endpoint
from bazaar.protocol.former_life import FIRST_LIFE
from bazaar.protocol.goods import WAREHOUSE, embassy_of
from bazaar.protocol.messages import BuyAbroad, Heartbeat
from bazaar.protocol.settings import UsageError, with_pace
from bazaar.protocol.wire import Letter, encode
from bazaar.runtime.address import Place
from bazaar.runtime.transport import Sender, Unreachable
from bazaar.runtime.treaty import Abroad, Treaty, join, load, save, treaty_file
from peers.embassy import Embassy
from tests.builders import a_delivery, a_turn

GOOD = Treaty("south", "north", "1", __version__, "127.0.0.1", 1, "ab")  # nobody listens on port 1


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    save(GOOD, tmp_path / "treaty.json")
    assert (tmp_path / "treaty.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "own", "changed", "complaint"),
    [
        ("south", None, {}, "add --name"),
        ("east", "north", {}, "is of south"),
        ("south", "south", {}, "is called south itself"),
        ("south", "north", {"partner": "east"}, "is for east, not for north"),
        ("south", "north", {"release": "0.0.1"}, "runs release 0.0.1"),
        ("south", "north", {}, "its run may be over"),
    ],
)
def test_what_cannot_be_joined_is_refused(
    tmp_path: Path, name: str, own: str | None, changed: dict[str, str], complaint: str
) -> None:
    save(msgspec.structs.replace(GOOD, **changed), tmp_path / "treaty.json")
    with pytest.raises(UsageError, match=complaint) as refused:
        join(name, tmp_path / "treaty.json", own)
    assert "\n" not in str(refused.value)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    for content in (None, b"", b"{}", b"\xff"):
        if content is not None:
            (tmp_path / "treaty.json").write_bytes(content)
        with pytest.raises(UsageError, match=r"treaty\.json"):
            join("south", tmp_path / "treaty.json", "north")


# ------------------------------------------------------------------------------ three bazaars, a key for each pair


@pytest.fixture
def opened(tmp_path: Path) -> dict[str, Abroad]:
    """South offers to north and to east, which join it."""
    here = Place("127.0.0.1", "127.0.0.1")
    runs = {name: tmp_path / name for name in ("south", "north", "east")}
    for run in runs.values():
        run.mkdir()
    offering = with_pace("fast", name="south", partners="north,east")
    found = {"south": Abroad("embassy@south", here, runs["south"], offering, (), lambda: None)}
    for name in ("north", "east"):
        file = load(runs["south"] / treaty_file(name))
        found[name] = Abroad(embassy_of(name), here, runs[name], with_pace("fast", name=name), (file,), lambda: None)
    return found


def test_what_comes_with_the_key_of_a_pair_is_of_that_partner(opened: dict[str, Abroad]) -> None:
    heard: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    opened["south"].listen(lambda embassy, data: heard.put((embassy, data)))
    for name in ("north", "east"):
        with contextlib.closing(opened[name].connect("embassy@south")) as sender:
            sender.deliver(f"of {name}".encode())
            assert heard.get(timeout=60) == (embassy_of(name), f"of {name}".encode())
    for name in ("north", "east"):
        opened[name].listen(lambda embassy, data: heard.put((embassy, data)))
        with contextlib.closing(opened["south"].connect(embassy_of(name))) as sender:
            sender.deliver(f"to {name}".encode())
            assert heard.get(timeout=60) == ("embassy@south", f"to {name}".encode())


def test_a_partner_reaches_no_other_one_and_cannot_enter_another_pair(
    opened: dict[str, Abroad], tmp_path: Path
) -> None:
    with pytest.raises(Unreachable, match="no treaty with embassy@east"):
        opened["north"].connect("embassy@east")
    of_east, of_north = (load(tmp_path / "south" / treaty_file(name)) for name in ("east", "north"))
    with_the_wrong_key = msgspec.structs.replace(of_north, key=of_east.key)
    with pytest.raises(Unreachable):
        with_the_wrong_key.directory.lookup("embassy@south")
    with pytest.raises(Unreachable):
        of_east.directory.lookup("embassy@north")
    with pytest.raises(Unreachable):
        Sender(of_north.directory.lookup("embassy@south"), of_east.key.encode())


@pytest.mark.parametrize(("speaks", "refused"), [("embassy@north", 0), ("embassy@east", 1), ("buyer0", 1)])
def test_nobody_speaks_in_the_name_of_a_third_bazaar(speaks: str, refused: int) -> None:
    plan = draw_plan(with_pace("fast", name="south", partners="north,east"))
    actor = Embassy(plan)
    endpoint = Endpoint(actor, {WAREHOUSE, *plan.members}, FIRST_LIFE, 0.5)
    for other in ("embassy@north", "embassy@east"):  # both are known
        begins = encode(a_delivery(other, actor.name, Letter(1, Heartbeat())))
        assert endpoint.take_from_abroad(a_turn(), begins, other) == 0
    order = BuyAbroad(f"buyer0@{speaks.partition('@')[2] or 'north'}-1", "fish")
    data = encode(a_delivery(speaks, actor.name, Letter(2, order), number=1))
    assert endpoint.take_from_abroad(a_turn(), data, "embassy@north") == refused
    assert actor.idle == bool(refused)  # an order that is taken in has to be answered


@pytest.mark.parametrize("partners", ["south", "north,north", "", "North", "north,"])
def test_each_partner_is_another_bazaar_given_once(partners: str) -> None:
    with pytest.raises(UsageError, match="--partners"):
        with_pace("fast", name="south", partners=partners)
    with pytest.raises(UsageError, match="add --name"):
        with_pace("fast", partners="north")


@pytest.mark.parametrize("name", ["North", "n@s", "", "n-1", "a" * 17])
def test_a_name_is_small_letters_and_digits(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a bazaar"):
        with_pace("fast", name=name)
