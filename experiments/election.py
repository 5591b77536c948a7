"""The cost of an election: three traders of 5 to 60 peers, one round each or all in one, compared with the theory of Bully.

In the theory (Garcia-Molina 1982) every peer from the starter up calls all peers above it, each of these answers, and the
winner tells all others. For m peers from the starter up, that makes m(m-1)/2 calls, as many oks, and n-1 times "won". The
histories note every call, ok and won on arrival. The winners' claims to the warehouse (one each) and its answers are not
counted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bazaar.protocol import events
from bazaar.protocol.settings import ElectionMode, with_pace
from experiments.framework.command import alone
from experiments.framework.experiment import START_S, Failed, Run
from experiments.framework.plots import picture
from experiments.framework.rows import Cell, Row, groups, kinds, markdown, middle, number_text, spread, values

PEERS = (5, 10, 20, 40, 60)
TRADERS = 3
MODES: tuple[ElectionMode, ...] = ("rounds", "simultaneous")  # Bully's; the election along a tree has another theory
REQUESTS = 20  # without answered orders the verdict would not be "held"
PATIENCE_S = 30.0  # a peer to which fifty-nine others connect is slow, not dead
FIRST_STARTER = 2  # peer2 starts the first round, peer0 starts each further round

# The text of its page, and the columns of its CSV.
NAME = "election"
TITLE = "The price of an election"
QUESTION = f"How many messages and how long does it take to elect {TRADERS} traders, in rounds or at once?"
LABELS = ("peers", "election")
VALUES = ("calls", "oks", "wons", "messages", "rounds_started", "elected_ms", "known_ms")
SEEDS = "0-2"


def cells(seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Every number of peers, with both ways to elect."""
    return [
        Cell(
            {"peers": str(peers), "election": mode},
            seed,
            with_pace(
                "fast",
                peers=peers,
                traders=TRADERS,
                election=mode,
                requests=REQUESTS,
                election_timeout_s=PATIENCE_S,
                suspect_after_s=PATIENCE_S,
                seed=seed,
            ),
            START_S + peers / 4,
        )
        for peers in (PEERS[:3:2] if quick else PEERS)
        for mode in MODES
        for seed in seeds
    ]


def theory(peers: int, traders: int, mode: str) -> int:
    """The number of messages that Bully takes if no peer is slow and no peer dies."""
    voters = [peers - FIRST_STARTER, *(peers - elected for elected in range(1, traders))]
    rounds = voters if mode == "rounds" else voters[:1]
    return sum(m * (m - 1) for m in rounds) + traders * (peers - 1)


def measure(run: Run) -> Mapping[str, float]:
    """The time from the start of the first election to the last victory, and to the time when every peer knew it."""
    elected, known = run.told(events.Elected), run.told(events.Recognized)
    if len(elected) != TRADERS:
        raise Failed(f"{len(elected)} traders were elected instead of {TRADERS}")
    calls, oks, wons = len(run.told(events.Called)), len(run.told(events.HeardOk)), len(known)
    started = run.told(events.ElectionStarted)
    return {
        "calls": calls,
        "oks": oks,
        "wons": wons,
        "messages": calls + oks + wons,
        "rounds_started": len(started),
        "elected_ms": 1000 * (elected[-1].at - started[0].at),
        "known_ms": 1000 * (known[-1].at - started[0].at),
    }


def _theory(row: Row) -> int:
    return theory(int(row.labels["peers"]), row.settings.traders, row.labels["election"])


def table(rows: Sequence[Row]) -> str:
    """One line for each number of peers and way to elect."""
    names = ("messages", "calls", "oks", "wons", "elected_ms", "known_ms")
    lines = []
    for (peers, mode), some in groups(rows, "peers", "election"):
        numbers = [spread(values(some, name)) for name in names]
        lines.append([peers, mode, f"{_theory(some[0]):,}", *numbers])
    header = [
        "peers",
        "election",
        "messages in theory",
        "messages",
        "calls",
        "oks",
        "won",
        "elected after, ms",
        "known after, ms",
    ]
    return markdown(header, lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Plots messages and time against peers."""
    ticks = {float(peers): peers for peers in kinds(rows, "peers")}
    with picture(path, panels=2) as (left, right):
        for (mode,), some in groups(rows, "election"):
            by_peers = [(float(peers), part) for (peers,), part in groups(some, "peers")]
            left.theory(f"theory, {mode}", {peers: float(_theory(part[0])) for peers, part in by_peers})
            left.line(mode, {peers: values(part, "messages") for peers, part in by_peers})
            right.line(mode, {peers: values(part, "known_ms") for peers, part in by_peers})
        left.name("peers", "messages", f"electing {TRADERS} traders")
        right.name("peers", "ms until everybody knows", "from the first call")
        for panel in (left, right):
            panel.logarithmic("x", ticks)
        left.logarithmic("y", {10.0**power: f"{10**power:,}" for power in range(1, 5)})
        right.from_zero()


def story(rows: Sequence[Row]) -> str:
    """The result in sentences."""
    share = [100 * row.values["messages"] / _theory(row) for row in rows]
    said = []
    for (mode,), some in groups(rows, "election"):
        few, many = (kinds(some, "peers")[place] for place in (0, -1))
        said.append(
            f"`{mode}` takes {spread(values(some, 'messages', peers=few))} messages and "
            f"{spread(values(some, 'known_ms', peers=few))} ms with {few} peers, "
            f"{spread(values(some, 'messages', peers=many))} and {spread(values(some, 'known_ms', peers=many))} ms "
            f"with {many}"
        )
    most = kinds(rows, "peers")[-1]
    modes = {mode: middle(rows, "messages", peers=most, election=mode) for mode in MODES}
    times = {mode: middle(rows, "known_ms", peers=most, election=mode) for mode in MODES}
    return (
        f"{'; '.join(said)}. That is {spread(share, ' %')} of the theory's messages. Electing {TRADERS} in one round "
        f"takes {number_text(100 * modes['simultaneous'] / modes['rounds'])} % of the messages of {TRADERS} rounds with "
        f"{most} peers, and {number_text(100 * times['simultaneous'] / times['rounds'])} % of the time."
    )


REASONS = (
    "A call that comes in when its round is decided is answered with the outcome instead of an ok, and who knows "
    "the outcome calls nobody any more; that takes messages off the theory's. In theory the messages grow with "
    "the square of the peers, because each candidate calls all above it: the starter is the lowest or nearly so, "
    "which is Bully's worst case. Started by the highest it would be one call for each peer. The time is that of "
    "the messages: all peers share the machine's cores, and no peer waits for silence as long as nobody is dead. "
    "A dead candidate would cost the rounds a timeout each, the single round only one."
)


if __name__ == "__main__":
    sys.exit(alone(__file__))
