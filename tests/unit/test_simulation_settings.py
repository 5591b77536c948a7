"""The settings as `python -m tests.simulation` is told them."""

from __future__ import annotations

import functools
import random
import shlex

import msgspec
import pytest

from bazaar.analysis.audit import Report
from bazaar.control.options import take_settings
from tests.simulation import __main__ as simulation
from tests.simulation import replay_command
from tests.simulation.__main__ import WRONG_USAGE, _parser, main
from tests.simulation.draw import draw_settings


def test_a_setting_that_was_set_is_that_of_every_world(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "--brisk --seed 7 --tell --set cache=none --set push=false --set requests=3 --set pace=demo --set think_s=0.25"
    )
    assert main(arguments.split()) == 0
    told = capsys.readouterr().out
    for value in ("cache='none'", "push=False", "requests=3", "pace='demo'", "think_s=0.25"):
        assert value in told
    assert "of 1 seeds 1 held" in told


def test_bazaars_that_trade_with_each_other_are_judged_and_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--federated", "--seed", "100", "--tell", "--set", "requests=5"]) == 0
    told = capsys.readouterr().out
    assert "north Settings(" in told
    assert "east Settings(" in told
    assert "embassy@north has met the bazaar east" in told
    assert "of 1 seeds 1 " in told


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"unknown": ["a could not read the queue of b: gone"], "missed": ["kill"]}, "a queue could not be read"),
        ({"unknown": ["the history of a is not there"], "missed": ["kill"]}, "a part of the evidence is missing"),
        ({"missed": ["resign:a: it had no seat"]}, "a fault could not be done"),
        ({}, "there was nothing to judge"),
    ],
)
def test_a_verdict_that_is_unknown_is_counted_with_its_reason(
    told: dict[str, list[str]], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulation, "_report", functools.partial(_an_unknown_one, told))
    assert main(["--seeds", "2"]) == 0
    assert f"unknown: 2 because {why}\n" in capsys.readouterr().out


def _an_unknown_one(told: dict[str, list[str]], *_: object) -> Report:
    return Report("unknown", {}, {}, {}, **told)


def test_the_command_of_a_replay_says_every_setting_as_it_is_read() -> None:
    for seed in range(20):
        settings = msgspec.structs.asdict(draw_settings(random.Random(seed), seed, 9, {}))
        assert settings.pop("seed") == seed  # the world's own
        command = shlex.split(replay_command(seed, **settings))
        read = take_settings(_parser().read(command[command.index("tests.simulation") + 1 :]))
        assert read == settings


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--set cache=weka", "--cache can be none, weak, escrow, shared; you asked for 'weka' (did you mean weak?)"),
        ("--set cahce=weak", "--set cahce=weak: there is no such setting (did you mean cache?)"),
        ("--set window", "give NAME=VALUE, such as window=1"),
        ("--set peers=9 --set traders=8", "9 peers can have 1 to 7 traders"),
        ("--set window=1 --set window=2", "window is 1 already"),
        ("--sed 3", "unrecognized arguments: --sed"),
        ("--seeds 0", "--seeds must be at least 1; you asked for 0"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == WRONG_USAGE == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert complaint in said.err
