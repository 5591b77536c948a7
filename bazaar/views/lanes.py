"""The traders of a run over time: who held which seat from when to when, who died or was paused, who took over whose queue."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bazaar.views.course import Change


class Lane(msgspec.Struct):
    """One peer that was a trader. All times are in seconds since the launch."""

    peer: str
    seats: list[tuple[float, float, str]] = []
    """When a tenure began and ended, and the seat: `trader0`. It ends with the peer's death, too."""
    deaths: list[float] = []
    pauses: list[tuple[float, float]] = []
    took_over: list[tuple[float, str]] = []
    """When it had read the queue of a former tenure, and whose."""


def lanes(changes: Iterable[Change], end: float) -> list[Lane]:
    """The lanes, by the first tenure of each peer. `changes` are in order of time. `end`: when the run ends."""
    found: dict[str, Lane] = {}
    seated: dict[str, tuple[float, str]] = {}

    def unseat(peer: str, at: float) -> None:
        if peer in seated:
            begin, seat = seated.pop(peer)
            found[peer].seats.append((begin, at, seat))

    for change in changes:
        now, peer = change.now, change.who
        if now.startswith("trader"):
            found.setdefault(peer, Lane(peer))
            unseat(peer, change.t)
            seated[peer] = change.t, now
        elif peer not in found:
            continue
        elif now == "peer":
            unseat(peer, change.t)
        elif now == "took over":
            found[peer].took_over.append((change.t, change.of or ""))
        elif now == "resized":
            continue  # of the market, not of the trader that asked for it
        else:  # dead, up, or paused: a pause that still lasted is over
            pauses = found[peer].pauses
            pauses[-1:] = [(begin, min(until, change.t)) for begin, until in pauses[-1:]]
            if now == "paused":
                pauses.append((change.t, min(end, change.until if change.until is not None else end)))
            elif now == "dead":
                unseat(peer, change.t)
                found[peer].deaths.append(change.t)
    for peer in list(seated):
        unseat(peer, end)
    return list(found.values())
