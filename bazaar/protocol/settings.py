"""All settings of a run, in one frozen record. The paces are presets of its waiting times.

A setting is declared once, as a field of `Settings` with its bounds, its docstring and its command-line option, if it has
one. All times are in seconds. `check` refuses values that make no sense, alone or together. Its message is one line that
says what to do.
"""

from __future__ import annotations

import ipaddress
import re
import reprlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bazaar.protocol.declaration import Option, declarations
from bazaar.protocol.goods import MOST_ORDERED
from bazaar.protocol.workload import is_in_file, workload

ElectionMode = Literal["rounds", "simultaneous", "tree"]
Routing = Literal["direct", "neighbours"]
Pace = Literal["lab", "demo", "fast"]

LEAST_PEERS = 3  # a trader, a buyer, a seller
MOST_PEERS = 1000  # each is a process, and connects to all others
MOST_OUTSTANDING = 10_000
MOST_GOODS = 10**9  # in a deposit: sums over a run stay far below 2^63
MOST_ORDERS = 10**9
LONGEST_S = 1_000_000  # some 11 days; the operating system limits a single wait to 2^31 ms

Seconds = Annotated[float, Meta(gt=0, le=LONGEST_S)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=LONGEST_S)]


class UsageError(Exception):
    """The person at the terminal asked for something impossible. The text says what to do instead."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One run. The defaults are the command line's (requirement H) at the pace `demo`."""

    host: str = "localhost"
    """The name or address of this machine, under which all processes find the name server."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """The name server's port; 0 lets the operating system choose."""
    listen: Annotated[str | None, Option("--listen", "ADDRESS", "the name server's")] = None
    """The address of this machine on which its processes listen; 0.0.0.0 or :: for all."""
    announce: Annotated[str | None, Option("--announce", "ADDRESS", "where it listens")] = None
    """The address under which others reach the processes of this machine, such as the outer one of a NAT."""
    tls: Annotated[bool, Option("--tls")] = False
    """Whether the processes speak TLS, each with a certificate of its name; needs `requirements-tls.txt`."""
    hosts: Annotated[str | None, Option("--hosts", "FILE|dask://HOST:PORT")] = None
    """The machines on which the peers are placed, with `tls`: a file that names them and who is to be where, or the scheduler
    of a Dask cluster. Without it all are here. Needs `requirements-cluster.txt`."""
    keeper: Annotated[bool, Option("--keeper")] = False
    """Whether a trader's journal is kept by a peer on another machine, so that its queue can be taken over when its machine is
    lost; needs `hosts` with two machines or more."""
    leash_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """A peer on another machine ends when it has heard nothing of the launcher for so long."""
    peers: Annotated[int, Meta(ge=LEAST_PEERS, le=MOST_PEERS), Option("peers")] = 8
    """How many peers there are."""
    traders: Annotated[int, Meta(ge=1, le=MOST_PEERS - 2), Option("traders")] = 3
    """How many traders they elect; a buyer and a seller must remain."""
    traders_max: Annotated[Annotated[int, Meta(ge=1, le=MOST_PEERS - 2)] | None, Option("--traders-max", "M")] = None
    """Traders by load: up to so many, if orders wait too long; without it the number does not follow the load."""
    scale_up_after_ms: Annotated[
        Annotated[float, Meta(gt=0, le=LONGEST_S * 1000)] | None, Option("--scale-up-after", "MS")
    ] = None
    """Traders by load: a further trader is elected when orders wait so long, in milliseconds."""
    scale_down_after_s: Annotated[Seconds | None, Option("--scale-down-after", "S")] = None
    """Traders by load: the youngest one resigns when orders have waited for less than a quarter of `scale_up_after_ms` for so
    long. It is also the least time between two changes."""
    load: Annotated[str | None, Option("--load", "WORD")] = None
    """A workload that changes: `step:FACTOR@START+FOR`, `wave:FACTOR/PERIOD`, or `trace:FILE` with a second and the factor
    from then on in each line. Buyers think less by the factor, each time for a random time with that mean. The seconds
    count from a buyer's first answer."""
    cache: Annotated[str, Option("--cache")] = "weak"
    """The policy of the traders' caches: how consistent they are."""
    pace: Annotated[Pace, Option("--pace")] = "demo"
    """Waiting times: `lab` = those of the lab document, `demo` = readable by a person, `fast` = none."""
    election: Annotated[ElectionMode, Option("--election")] = "rounds"
    """One trader in each round of the Bully election (as in the lab document, `rounds`), or all of them in one
    (`simultaneous`), or one in each round along the edges of the graph (`tree`, with `--routing neighbours`)."""
    routing: Annotated[Routing, Option("--routing")] = "direct"
    """Who has connections to whom: `direct` = everybody to everybody (as the lab's program), `neighbours` = each peer to its
    neighbours in the graph only (as the lab's problem statement says); what is for others is relayed along the edges."""
    graph: Annotated[str | None, Option("--graph", "FILE")] = None
    """A file with the graph, in place of a drawn one: a line a peer, with its number and those of its neighbours."""
    duration_s: Annotated[Seconds | None, Option("--duration", "S")] = None
    """Stop after so many seconds of trading."""
    requests: Annotated[Annotated[int, Meta(ge=1, le=MOST_ORDERS)] | None, Option("--requests", "N")] = None
    """Stop after so many answered orders, of all buyers together; without this and a duration, run until Ctrl-C."""
    window: Annotated[int, Meta(ge=1, le=MOST_OUTSTANDING), Option("--window", "W")] = 1
    """Orders that a buyer keeps outstanding."""
    buyers: Annotated[Annotated[int, Meta(ge=1, le=MOST_PEERS - 1)] | None, Option("--buyers", "B")] = None
    """Exactly so many buyers, instead of a random number; traders are elected from among buyers and sellers."""
    sellers: Annotated[Annotated[int, Meta(ge=1, le=MOST_PEERS - 1)] | None, Option("--sellers", "S")] = None
    """Exactly so many sellers."""
    units: Annotated[str, Option("--units", "N|A-B")] = "1"
    """Units of the good in one order, or the range from which a buyer draws them; all or nothing."""
    name: Annotated[str | None, Option("--name", "NAME")] = None
    """The name of this bazaar, under which it trades with others."""
    partners: Annotated[str | None, Option("--partners", "NAMES")] = None
    """The bazaars that may join this one, with commas between the names. For each it writes a file for `--federate`, such as
    `treaty-north.json`."""
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1), Option("--seed", "X", "drawn")] = 0
    """Same seed: same graph, roles, goods, prices and choices."""

    restock_count: Annotated[int, Meta(ge=1, le=MOST_GOODS), Option("--restock-count", "N_g")] = 10
    """Goods in a deposit."""
    restock_every_s: Annotated[Seconds, Option("--restock-every", "T_g")] = 20.0
    """Seconds between two deposits of a seller, each of an item other than its last."""
    pull_every: Annotated[int, Meta(ge=0, le=MOST_ORDERS)] = 5
    """Weak cache: a trader reads the stock anew after this many served orders; 0 for never."""
    push: bool = True
    """Weak cache: a trader tells the other traders the count after each sale."""
    lease_s: Seconds = 10.0
    """Escrow: how long after its last answered question to the warehouse a trader may sell what it was granted."""

    election_delay_s: SecondsOrNone = 0.5
    """From the moment that all processes are ready to the first election."""
    reelection_delay_s: SecondsOrNone = 0.5
    """From the end of one round of the election to the next."""
    registration_delay_s: SecondsOrNone = 0.0
    """From the last election to a seller's first deposit."""
    opening_delay_s: SecondsOrNone = 0.5
    """From the last election to the first order that a trader serves."""
    think_s: SecondsOrNone = 0.5
    """A buyer's pause between an answer and its next order."""

    election_timeout_s: Seconds = 5.0
    """A candidate that hears neither `ok` nor `won` for so long has won."""
    heartbeat_s: Seconds = 1.0
    """The interval between two heartbeats of a trader to the other traders; at most half of `suspect_after_s`."""
    suspect_after_s: Seconds = 5.0
    """A trader that is silent for so long is taken for dead."""
    answer_timeout_s: Seconds = 10.0
    """An order, a deposit or a question that is unanswered for so long is repeated under the same name."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The bazaars to which this one offers a treaty."""
        return tuple(self.partners.split(",")) if self.partners is not None else ()

    @property
    def fewest_and_most_units(self) -> tuple[int, int]:
        """The range of the units in one order."""
        fewest, _, most = self.units.partition("-")
        return int(fewest), int(most or fewest)


PACES: dict[str, dict[str, float]] = {
    # The original's own waits, as the time stamps of its logs show them.
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


def with_pace(pace: Pace = "demo", **values: Any) -> Settings:
    """Settings at this pace; `values` (None counts as not given) override the preset. Raises `UsageError`."""
    given = {name: value for name, value in values.items() if value is not None}
    if "hosts" in given:
        given.setdefault("tls", True)  # on the way between machines others may listen
    settings = Settings(**{"pace": pace, **PACES[pace], **given})
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raises `UsageError` where values make no sense, alone or together."""
    s = settings
    check_host(s.host, "")
    for option, address in (("--listen", s.listen), ("--announce", s.announce)):
        if address is not None:
            check_host(address, option)
    _check_roles(s)
    _check_units(s.units)
    _check_name(s)
    if s.load is not None and not is_in_file(s.load):
        try:
            workload(s.load)
        except ValueError as error:
            raise UsageError(str(error)) from None
    for declaration in declarations(Settings).values():
        if complaint := declaration.complaint(getattr(s, declaration.name)):
            raise UsageError(complaint)
    if s.hosts is not None and not s.tls:
        raise UsageError("--hosts needs TLS, since others may listen between machines; leave out tls=false")
    if s.election == "tree" and s.routing == "direct":
        raise UsageError("--election tree goes along the edges of the graph; add --routing neighbours")
    _check_scaling(s)
    if s.heartbeat_s > s.suspect_after_s / 2:
        raise UsageError(
            f"heartbeat_s can be at most half of suspect_after_s, {s.suspect_after_s / 2:g}, else a heartbeat that is late "
            f"is taken for a death; you asked for {s.heartbeat_s:g}"
        )


def check_host(host: str, option: str) -> None:
    """Refuses a host that is neither an address nor a possible name, so that no look-up of it is tried. Raises `UsageError`.

    `option`: which one gave it; empty: it is the name server's.
    """
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
        elif not re.fullmatch(r"[\w.-]+", host.encode("idna").decode()):
            raise ValueError(host)
    except ValueError:
        if option:
            complaint = (
                f"{option}: {reprlib.repr(host)} is no address; give it without port and brackets, as 10.0.0.2 or ::1"
            )
        else:
            complaint = (
                f"{reprlib.repr(host)} is no host; give the name or address of this machine, such as localhost or ::1"
            )
        raise UsageError(complaint) from None


def _check_units(units: str) -> None:
    match = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", units)
    if match is None or not 1 <= int(match[1]) <= int(match[2] or match[1]) <= MOST_ORDERED:
        raise UsageError(
            f"--units must be a number, such as 3, or a range, such as 1-5, from 1 to {MOST_ORDERED}; "
            f"you asked for {reprlib.repr(units)}"
        )


def _check_name(s: Settings) -> None:
    if s.name is None:
        if s.partners is not None:
            raise UsageError("--partners: this bazaar needs a name of its own to trade with others; add --name")
        return
    for partner in s.offered:
        check_bazaar("--partners", partner)
        if partner == s.name or s.offered.count(partner) > 1:
            raise UsageError(f"--partners {s.partners}: give each other bazaar once; this one is {s.name}")
    check_bazaar("--name", s.name)
    if s.routing != "direct":
        raise UsageError("--name needs --routing direct: an embassy is nobody's neighbour")
    if s.tls:
        raise UsageError("--name does not go with --tls: another bazaar has no certificate of this run")


def check_bazaar(option: str, name: str) -> None:
    """Refuses what cannot be the name of a bazaar. Raises `UsageError`."""
    if not re.fullmatch("[a-z][a-z0-9]{0,15}", name):
        raise UsageError(
            f"{option}: {reprlib.repr(name)} is no name of a bazaar; give up to 16 small letters and digits, such as north"
        )


def _check_scaling(s: Settings) -> None:
    """Refuses numbers and thresholds of traders by load that cannot work."""
    given = (s.traders_max, s.scale_up_after_ms, s.scale_down_after_s)
    if given == (None, None, None):
        return
    if s.traders_max is None or s.scale_up_after_ms is None or s.scale_down_after_s is None:
        raise UsageError(
            "traders by load need all of --traders-max, --scale-up-after and --scale-down-after; give the others, too"
        )
    if not s.traders <= s.traders_max <= s.peers - 2:
        raise UsageError(
            f"--traders-max can be {s.traders} (the traders at first) to {s.peers - 2} with {s.peers} peers; "
            f"you asked for {s.traders_max}"
        )
    if s.scale_down_after_s < 2 * s.heartbeat_s:
        raise UsageError(
            f"--scale-down-after must be at least two heartbeats, {2 * s.heartbeat_s:g} s, because waiting times are "
            f"reported with them; you asked for {s.scale_down_after_s:g}"
        )


def _check_roles(s: Settings) -> None:
    """Refuses numbers of peers, traders, buyers and sellers that do not fit together."""
    if s.peers < LEAST_PEERS:
        raise UsageError(
            f"a bazaar needs at least {LEAST_PEERS} peers (a trader, a buyer, a seller); you asked for {s.peers}"
        )
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
