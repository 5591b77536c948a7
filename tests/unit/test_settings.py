from __future__ import annotations

from typing import Any, get_args

import pytest

from bazaar.protocol.settings import PACES, Pace, Settings, UsageError, check, with_pace

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"peers": 2}, "at least 3 peers"),
    ({"peers": -1}, "at least 3 peers"),
    ({"traders": 0}, "1 to 6 traders"),
    ({"traders": 7}, "1 to 6 traders"),
    ({"peers": 3, "traders": 2}, "3 peers can have 1 to 1 traders"),
    ({"buyers": 4, "sellers": 5}, "make 9, not 8 peers"),
    ({"buyers": 4, "sellers": 3}, "make 7, not 8 peers"),
    ({"buyers": 8}, "--buyers can be 1 to 7"),
    ({"buyers": 0}, "--buyers can be 1 to 7"),
    ({"sellers": 8}, "--sellers can be 1 to 7"),
    ({"sellers": 0}, "--sellers can be 1 to 7"),
    ({"buyers": 8, "sellers": 0}, "--buyers can be 1 to 7"),
    ({"window": 0}, "--window must be at least 1"),
    *(({"units": units}, "--units must be a number") for units in ("0", "5-1", "1-", "-3", "x", "1001", "1-2-3", "")),
    ({"restock_count": 0}, "--restock-count must be at least 1"),
    ({"requests": 0}, "--requests must be at least 1"),
    ({"duration_s": 0.0}, "--duration must be a number of seconds above 0"),
    ({"duration_s": -3.0}, "--duration must be"),
    ({"duration_s": float("nan")}, "--duration must be"),
    ({"duration_s": float("inf")}, "--duration must be"),
    ({"restock_every_s": 0.0}, "--restock-every must be"),
    ({"restock_every_s": 1e300}, "--restock-every must be"),
    ({"duration_s": 1_000_001.0}, "--duration must be"),
    ({"restock_count": 10**19}, "--restock-count must be at least 1 and at most 1000000000"),
    ({"restock_count": 2**63}, "--restock-count must be"),
    ({"window": 10**20}, "--window must be at least 1 and at most 10000"),
    ({"requests": 2**64}, "--requests must be at least 1 and at most 1000000000"),
    ({"peers": 10**9}, "peers must be at least 3 and at most 1000"),
    ({"seed": 2**63}, "--seed must be"),
    ({"seed": -(2**63) - 1}, "--seed must be"),
    ({"host": ""}, "is no host"),
    ({"host": "a..b"}, "is no host"),
    ({"host": "a b"}, "is no host"),
    ({"host": "a\nb"}, "is no host"),
    ({"host": "a\0b"}, "is no host"),
    ({"host": "me@there"}, "is no host"),
    ({"host": "x" * 5000}, "is no host"),
    ({"host": "ü" * 70}, "is no host"),
    ({"host": "::1::"}, "is no host"),
    ({"host": "[::1]"}, "is no host"),
    ({"heartbeat_s": 0.0}, "heartbeat_s must be a number of seconds above 0 and at most 1000000"),
    ({"suspect_after_s": -1.0}, "suspect_after_s must be a number of seconds above 0 and at most 1000000"),
    (
        {"election_timeout_s": float("nan")},
        "election_timeout_s must be a number of seconds above 0 and at most 1000000",
    ),
    ({"answer_timeout_s": float("inf")}, "answer_timeout_s must be a number of seconds above 0 and at most 1000000"),
    ({"lease_s": 0.0}, "lease_s must be a number of seconds above 0 and at most 1000000"),
    ({"think_s": -0.1}, "think_s must be a number of seconds at least 0 and at most 1000000"),
    ({"opening_delay_s": float("inf")}, "opening_delay_s must be a number of seconds at least 0 and at most 1000000"),
    ({"heartbeat_s": 3.0, "suspect_after_s": 5.0}, "heartbeat_s can be at most half of suspect_after_s, 2.5"),
    ({"suspect_after_s": 1.0}, "heartbeat_s can be at most half of suspect_after_s, 0.5"),
    ({"election": "tree"}, "--election tree goes along the edges of the graph; add --routing neighbours"),
    ({"pull_every": -1}, "pull_every must be at least 0"),
    ({"port": -1}, "port must be at least 0 and at most 65535"),
    ({"port": 65536}, "port must be at least 0 and at most 65535"),
]


@pytest.mark.parametrize(("values", "complaint"), WRONG)
def test_what_makes_no_sense_is_said_in_one_line_with_what_to_do(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_pace("demo", **values)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"peers": 3, "traders": 1},
        {"traders": 6},
        {"buyers": 1},
        {"sellers": 7},
        {"buyers": 3, "sellers": 5},
        {"window": 1, "restock_count": 1, "requests": 1, "duration_s": 0.001},
        {"port": 65535},
        {"window": 10_000, "restock_count": 10**9, "requests": 10**9, "duration_s": 1e6, "restock_every_s": 1e6},
        {"seed": 2**63 - 1},
        {"seed": -(2**63)},
        {"host": "::1"},
        {"host": "fe80::1%eth0"},
        {"host": "localhost."},
        {"host": "my_laptop-2.example"},
        {"host": "märkte.example"},
        {"heartbeat_s": 2.5, "suspect_after_s": 5.0},
        {"think_s": 0.0, "election_delay_s": 0.0, "opening_delay_s": 0.0, "pull_every": 0},
    ],
)
def test_what_is_just_possible_is_accepted(values: dict[str, Any]) -> None:
    check(with_pace("demo", **values))


def test_the_defaults_are_those_of_the_command_line() -> None:
    settings = Settings()
    assert (settings.host, settings.peers, settings.traders) == ("localhost", 8, 3)
    assert (settings.cache, settings.pace, settings.window, settings.pull_every) == ("weak", "demo", 1, 5)
    assert with_pace("demo") == settings


@pytest.mark.parametrize("pace", get_args(Pace))
def test_every_pace_is_possible(pace: Pace) -> None:
    assert with_pace(pace).pace == pace
    assert set(PACES) == set(get_args(Pace))


def test_the_labs_waiting_times_are_the_seeds() -> None:
    lab = with_pace("lab")
    assert (lab.restock_every_s, lab.restock_count, lab.election_timeout_s) == (50.0, 10, 5.0)


def test_fast_waits_for_nothing() -> None:
    fast = with_pace("fast")
    waits = ("election_delay_s", "reelection_delay_s", "registration_delay_s", "opening_delay_s", "think_s")
    assert [getattr(fast, wait) for wait in waits] == [0.0] * 5


def test_what_is_given_overrides_the_pace_and_none_is_not_given() -> None:
    settings = with_pace("lab", restock_every_s=7.0, window=None)
    assert (settings.restock_every_s, settings.window) == (7.0, 1)
