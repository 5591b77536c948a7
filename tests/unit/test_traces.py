"""`bash run.sh trace`: what ShiViz and Perfetto are given to read."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from bazaar.runtime import run_folder
from bazaar.views.traces.choosing import MOST_POINTS, TAKE_OVER, Wanted, choose
from create_bazaar import HELD, WRONG_USAGE, main
from tests.builders import a_line, leave_behind
from tests.trial import NAMES, TRADER, a_market, histories

MESSAGES = 11
"""In the histories of `tests.trial`: four orders, four first answers, a revocation, and two sales that the seller is told."""
Said = pytest.CaptureFixture[str]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The run's folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    everybody = {name: histories().get(name, []) for name in ("launcher", "warehouse", *NAMES)}
    return leave_behind(folder, a_market().plan, a_market().entries, everybody)


def points_of(log: str) -> list[dict[str, str]]:
    """The points of a log for ShiViz, found as ShiViz finds them."""
    parser, delimiter, points = log.split("\n", 2)
    assert delimiter == ""
    found = list(re.finditer(parser.replace("(?<", "(?P<"), points))
    assert sum(len(match[0]) + 1 for match in found) == len(points)  # there is nothing else
    return [match.groupdict() for match in found]


def shiviz(out: Path, *arguments: str) -> list[dict[str, str]]:
    assert main(["trace", "--to", "shiviz", str(out), *arguments]) == HELD
    return points_of((out / "trace.shiviz.txt").read_text())


def perfetto(out: Path) -> list[dict[str, Any]]:
    assert main(["trace", "--to", "perfetto", str(out)]) == HELD
    events: list[dict[str, Any]] = json.loads((out / "trace.perfetto.json").read_bytes())["traceEvents"]
    return events


def test_shiviz_gets_clocks_that_begin_at_1_and_rise_by_1(out: Path) -> None:
    points = shiviz(out)
    own: Counter[str] = Counter()
    for point in points:
        clock = json.loads(point["clock"])
        own[point["host"]] += 1
        assert clock[point["host"]] == own[point["host"]]
        assert all(0 < count <= own[host] for host, count in clock.items())  # it knows of nothing that has not happened
    assert len(points) == sum(map(len, histories().values())) + MESSAGES
    assert sum(point["event"].startswith("sends to ") for point in points) == MESSAGES


def test_of_an_order_there_is_what_was_said_of_it(out: Path, capsys: Said) -> None:
    points = shiviz(out, "--order", "buyer0-2")
    assert [(point["host"], point["event"].partition(" order=")[0], point["lamport"]) for point in points] == [
        ("buyer0", "ordered", "60"),
        ("buyer0", f"sends to {TRADER}", "61"),
        (TRADER, "queued", "63"),
        (TRADER, "taken", "64"),
        (TRADER, "unavailable", "65"),
        (TRADER, "sends to buyer0", "66"),
        ("buyer0", "found_unavailable", "68"),
    ]
    assert json.loads(points[-1]["clock"]) == {"buyer0": 3, TRADER: 4}
    assert "order buyer0-2: 5 events and the sending of 2 messages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--election"], {"elected"}),
        (["--takeover", "--order", "buyer0-2", "--from", "0.6", "--until", "0.64"], {"ordered", "sends", "queued", "taken"}),
        (["--until", "0.02"], {"joined", "elected"}),
    ],
)  # fmt: skip
def test_what_was_chosen_is_drawn_and_nothing_else(arguments: list[str], kinds: set[str], tmp_path: Path) -> None:
    lines = {**histories(), TRADER: [a_line(0.0, TRADER, 0, "opened"), *histories()[TRADER]]}
    folder = leave_behind(tmp_path, a_market().plan, a_market().entries, lines)
    expected = kinds | {"opened"} if "--order" not in arguments else kinds
    assert {point["event"].partition(" ")[0] for point in shiviz(folder, *arguments)} == expected


def test_the_earliest_are_kept_if_too_many_are_wanted() -> None:
    lines = [a_line(float(n), "buyer0", 10 * n, "informed", source="seller1", sent=10 * n - 5) for n in range(1, 3001)]
    first = choose({"buyer0": lines}, Wanted(until_s=2500.0), 0.0)
    assert len(first.points) == MOST_POINTS
    assert (first.events, first.left_out, first.until_s) == (1000, 1500, 1000.0)
    assert first.points["seller1", 9_995] == "buyer0"


def test_an_event_that_is_wanted_twice_is_one() -> None:
    inherited = a_line(2.0, TRADER, 9, "inherited", {"order": "buyer0-3"})
    lines = [a_line(1.0, TRADER, 8, "queued", {"order": "buyer0-3"}), inherited]
    choice = choose({TRADER: lines}, Wanted(("buyer0-3",), TAKE_OVER), 0.0)
    assert (choice.points, choice.events) == ({(TRADER, 8): "", (TRADER, 9): ""}, 2)


def test_a_long_run_is_shown_by_its_elections_take_overs_and_orders(tmp_path: Path, capsys: Said) -> None:
    lines = histories()
    lines["buyer3"] = [a_line(float(n), "buyer3", n, "seller_loop") for n in range(3000)]
    folder = leave_behind(tmp_path, a_market().plan, a_market().entries, lines)
    points = shiviz(folder)
    assert {"elected", "revoked"} <= {point["event"].partition(" ")[0] for point in points}
    assert "buyer3" not in {point["host"] for point in points}
    assert "order buyer0-3" in capsys.readouterr().out  # which is over-sold


def slices(events: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """By track, its slices in order of time."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["pid"] == event["tid"]
            found[event["tid"]].append(event)
    return {track: sorted(each, key=lambda event: event["ts"]) for track, each in found.items()}


def test_perfetto_gets_every_event_as_a_slice_that_meets_no_other(out: Path) -> None:
    events = perfetto(out)
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert list(names.values()) == ["launcher", "warehouse", *NAMES[:-1], f"trader0 ({TRADER})"]
    tracks = slices(events)
    assert {
        names[track].partition("(")[2].rstrip(")") or names[track]: len(each) for track, each in tracks.items()
    } == {name: len(history) for name, history in histories().items()}
    for each in tracks.values():
        assert all(event["dur"] > 0 and event["ts"] == int(event["ts"]) for event in each)
        for one, other in itertools.pairwise(each):
            assert one["ts"] + one["dur"] <= other["ts"]


def test_events_of_one_moment_are_kept_apart_in_their_order(tmp_path: Path) -> None:
    lines = [a_line(5.0, "buyer0", clock, "seller_loop") for clock in (7, 8, 9)]
    folder = leave_behind(tmp_path, a_market().plan, (), {"buyer0": [*lines, a_line(5.5, "buyer0", 10, "seller_loop")]})
    (track,) = slices(perfetto(folder)).values()
    assert [event["args"]["lamport"] for event in track] == [7, 8, 9, 10]
    assert [(event["ts"], event["dur"]) for event in track] == [(1, 1), (2, 1), (3, 1000), (500_000, 1000)]


def test_perfetto_gets_every_message_as_an_arrow_between_two_slices(out: Path) -> None:
    events = perfetto(out)
    tracks = slices(events)

    def inside(end: dict[str, Any]) -> dict[str, Any]:
        around = [each for each in tracks[end["tid"]] if each["ts"] < end["ts"] < each["ts"] + each["dur"]]
        assert len(around) == 1
        return around[0]

    begins = {event["id"]: event for event in events if event["ph"] == "s"}
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    assert len(begins) == sum(event["ph"] == "s" for event in events) == MESSAGES
    assert begins.keys() == ends.keys()
    assert all(event["bp"] == "e" for event in ends.values())
    ways = Counter((inside(begins[number])["name"], inside(ends[number])["name"]) for number in begins)
    assert ways["ordered", "queued"] == 4
    assert ways["taken", "revoked"] == 1  # the sender noted nothing when it sent that
    assert ways["traded", "sold"] == 2


def test_perfetto_gets_every_order_as_a_span_to_its_first_answer(out: Path) -> None:
    spans = [(event["ph"], event["id"], round(event["ts"])) for event in perfetto(out) if event["ph"] in ("b", "e")]
    assert ("b", "buyer0-3", 790_000) in spans  # the first event of all is at 0.01 s
    assert ("e", "buyer0-3", 870_000) in spans
    assert len(spans) == 8


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{out}"], "the following arguments are required: --to"),
        (["--to", "shivis", "{out}"], "invalid choice: 'shivis'"),
        (["--to", "shiviz", "{out}", "--order", "buyer0-11"], "no order 'buyer0-11' (did you mean buyer0-1?)"),
        (["--to", "shiviz", "{out}", "--from", "5", "--until", "3"], "has no event to draw: everything from 5 s until 3 s"),
        (["--to", "shiviz", "{out}", "--takover"], "(did you mean --takeover?)"),
        (["--to", "perfetto", "{out}", "--election"], "Perfetto opens a whole run"),
        (["--to", "shiviz", "{out}/buyer0"], "is no run's folder"),
        (["--to", "shiviz", "{out}", "--out", "{out}/no/file"], "could not be written: {out}/no/file: No such file"),
    ],
)  # fmt: skip
def test_wrong_usage_is_a_line_and_status_2(arguments: list[str], complaint: str, out: Path, capsys: Said) -> None:
    before = sorted(out.rglob("*"))
    assert main(["trace", *(each.replace("{out}", str(out)) for each in arguments)]) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert complaint.replace("{out}", str(out)) in complained
    assert sorted(out.rglob("*")) == before


def test_a_run_that_goes_on_is_not_traced(out: Path, capsys: Said) -> None:
    lock = run_folder.lock(out)
    assert lock is not None
    assert main(["trace", "--to", "perfetto", str(out)]) == WRONG_USAGE
    assert "still going on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"what":"nonsense"}\n', "a history of {out} cannot be read"),
        (b'{"what":"informed","at":9.0,"process":"buyer0","clock":3}\n', "the clock of buyer0 goes from 90 to 3"),
    ],
)
def test_what_is_damaged_is_told(line: bytes, complaint: str, out: Path, capsys: Said) -> None:
    with (out / "buyer0" / "history.jsonl").open("ab") as file:
        file.write(line)
    assert main(["trace", "--to", "shiviz", str(out)]) == WRONG_USAGE
    complained = capsys.readouterr().err
    assert complained.count("\n") == 1
    assert complaint.replace("{out}", str(out)) in complained
    assert f"`bash run.sh judge {out}` says" in complained
    assert not (out / "trace.shiviz.txt").exists()


def test_a_line_that_a_kill_cut_short_is_left_out(out: Path) -> None:
    whole = shiviz(out)
    with (out / "buyer0" / "history.jsonl").open("ab") as file:
        file.write(b'{"what":"infor')
    assert shiviz(out) == whole
