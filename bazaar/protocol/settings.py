"""Everything that a run can be told, in one frozen record; the paces are presets of its waiting times.

All times are seconds. Relations between values are checked in one place, `check`, which says in one line what to do.
"""

from __future__ import annotations

import ipaddress
import re
import reprlib
from typing import Any, Literal

import msgspec

ElectionMode = Literal["rounds", "simultaneous"]
Pace = Literal["lab", "demo", "fast"]


class UsageError(Exception):
    """What the person at the terminal asked for cannot be done; the text says what to do instead."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run. The defaults are the command line's (SPEC H) at the pace `demo`."""

    host: str = "localhost"
    port: int = 0
    """The name server's port; 0 lets the operating system choose."""
    peers: int = 8
    traders: int = 3
    cache: str = "weak"
    """The name of a policy in `bazaar/core/cache.py`. Whether there is such a one is found out when the plan is drawn."""
    pace: Pace = "demo"
    election: ElectionMode = "rounds"
    """One trader in each round of the Bully election (the seed's), or all of them in one."""
    duration_s: float | None = None
    requests: int | None = None
    """Orders that the buyers place between them; None: no end."""
    window: int = 1
    """Orders that a buyer keeps outstanding."""
    buyers: int | None = None
    sellers: int | None = None
    seed: int = 0

    restock_count: int = 10
    restock_every_s: float = 20.0
    pull_every: int = 5
    """Weak cache: reload it after this many served orders; 0 for never."""
    push: bool = True
    """Weak cache: tell the other traders the count after each sale."""
    lease_s: float = 10.0
    """Escrow: for so long after its last answered question to the warehouse a trader sells what it was granted."""

    election_delay_s: float = 0.5
    """From the moment that everybody is there to the first election."""
    reelection_delay_s: float = 0.5
    registration_delay_s: float = 0.0
    """From the last election to a seller's first deposit."""
    opening_delay_s: float = 0.5
    """From the last election to the first order that a trader serves."""
    think_s: float = 0.5
    """A buyer's pause between an answer and its next order."""

    election_timeout_s: float = 5.0
    """Hearing neither `ok` nor `won` for so long, a candidate has won (SPEC B2)."""
    heartbeat_s: float = 1.0
    """A trader's heartbeats to the other traders."""
    suspect_after_s: float = 5.0
    """A trader that is silent for so long is dead (SPEC E1)."""
    answer_timeout_s: float = 10.0
    """An order, a deposit or a question that is unanswered for so long is repeated under the same name."""


PACES: dict[str, dict[str, float]] = {
    # The seed's own waits, as the time stamps of its logs show them.
    "lab": {
        "restock_every_s": 50.0,
        "election_delay_s": 4.0,
        "reelection_delay_s": 10.0,
        "registration_delay_s": 25.0,
        "opening_delay_s": 35.0,
        "think_s": 10.0,
        "answer_timeout_s": 60.0,
    },
    "demo": {},
    "fast": {
        "restock_every_s": 5.0,
        "election_delay_s": 0.0,
        "reelection_delay_s": 0.0,
        "opening_delay_s": 0.0,
        "think_s": 0.0,
        "election_timeout_s": 2.0,
        "heartbeat_s": 0.5,
        "suspect_after_s": 2.0,
        "answer_timeout_s": 5.0,
    },
}


def with_pace(pace: Pace, **values: Any) -> Settings:
    """Settings at this pace; `values` (None counts as not given) override the preset. Raises `UsageError`."""
    given = {name: value for name, value in values.items() if value is not None}
    settings = Settings(**{"pace": pace, **PACES[pace], **given})
    check(settings)
    return settings


MOST_PEERS = 1000  # each is a process, and connects to all others
MOST_OUTSTANDING = 10_000
MOST_GOODS = 10**9  # in a deposit: whatever is summed over a run stays far below 2^63
MOST_ORDERS = 10**9
LONGEST_S = 1_000_000  # some 11 days; what the system waits for in one piece is bounded by 2^31 ms


def check(settings: Settings) -> None:
    """Raises `UsageError` where values make no sense, alone or together."""
    s = settings
    _check_host(s.host)
    if s.peers < 3:
        raise UsageError(f"a bazaar needs at least 3 peers (a trader, a buyer, a seller); you asked for {s.peers}")
    if s.peers > MOST_PEERS:
        raise UsageError(f"a bazaar can have up to {MOST_PEERS} peers; you asked for {s.peers}")
    if not 1 <= s.traders <= s.peers - 2:
        raise UsageError(
            f"{s.peers} peers can have 1 to {s.peers - 2} traders (a buyer and a seller must remain); "
            f"you asked for {s.traders}"
        )
    if s.buyers is not None and s.sellers is not None and s.buyers + s.sellers != s.peers:
        raise UsageError(
            f"--buyers {s.buyers} and --sellers {s.sellers} make {s.buyers + s.sellers}, not {s.peers} peers; "
            "give numbers that add up (traders are elected from among them), or only one of the two"
        )
    for option, count in (("--buyers", s.buyers), ("--sellers", s.sellers)):
        if count is not None and not 1 <= count <= s.peers - 1:
            raise UsageError(f"{option} can be 1 to {s.peers - 1} with {s.peers} peers; you asked for {count}")
    for option, number, most in (
        ("--window", s.window, MOST_OUTSTANDING),
        ("--restock-count", s.restock_count, MOST_GOODS),
        ("--requests", s.requests, MOST_ORDERS),
    ):
        if number is not None and not 1 <= number <= most:
            raise UsageError(f"{option} must be at least 1 and at most {most}; you asked for {number}")
    for option, time_s in (("--duration", s.duration_s), ("--restock-every", s.restock_every_s)):
        if time_s is not None and not 0 < time_s <= LONGEST_S:
            raise UsageError(
                f"{option} must be a number of seconds above 0 and at most {LONGEST_S}; you asked for {time_s}"
            )
    if not -(2**63) <= s.seed < 2**63:
        raise UsageError("--seed must be a whole number of at most 63 bits, such as 7")
    _check_times(s)
    if not 0 <= s.port <= 65535:
        raise UsageError(f"a port is 0 to 65535; you asked for {s.port}")


def _check_host(host: str) -> None:
    """Whether it is an address, or can be a name: what nobody can look up is not even tried."""
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not re.fullmatch(r"[\w.-]+", host.encode("idna").decode()):
            raise ValueError(host)
    except ValueError:
        raise UsageError(
            f"{reprlib.repr(host)} is no host; give the name or address of this machine, such as localhost or ::1"
        ) from None


def _check_times(s: Settings) -> None:
    """The waiting times, each alone and those that depend on each other."""
    for names, least in ((MAY_BE_NOTHING, "0 or more"), (MUST_BE_SOMETHING, "above 0")):
        for name in names:
            time_s = getattr(s, name)
            if not 0 <= time_s <= LONGEST_S or (names is MUST_BE_SOMETHING and not time_s):
                raise UsageError(f"{name} must be a number of seconds, {least}; you asked for {time_s}")
    if s.heartbeat_s > s.suspect_after_s / 2:
        raise UsageError(
            f"heartbeat_s can be at most half of suspect_after_s, {s.suspect_after_s / 2:g}, else a heartbeat that is late "
            f"is taken for a death; you asked for {s.heartbeat_s:g}"
        )
    if s.pull_every < 0:
        raise UsageError(f"pull_every must be at least 0, which is never; you asked for {s.pull_every}")


MAY_BE_NOTHING = ("election_delay_s", "reelection_delay_s", "registration_delay_s", "opening_delay_s", "think_s")
MUST_BE_SOMETHING = ("lease_s", "election_timeout_s", "heartbeat_s", "suspect_after_s", "answer_timeout_s")
