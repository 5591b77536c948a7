"""What all viewers of a run share: the page, the course of the run, and the stream of what is new.

A viewer is sent the whole state of the charts each time, and of the single events only the new ones. So nothing has to be kept
for a slow viewer: it is sent the newest state when it has taken the one before, and is told how many it missed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from bazaar.analysis.judgement import launch_of
from bazaar.protocol.plan import Plan
from bazaar.runtime.history import histories_of
from bazaar.views.feed import LOOK_EVERY_S, Feed
from bazaar.views.page import page
from bazaar.views.report import NOTHING_YET, REPORT_FILE, Had, content, explainer, outcome, scene, state
from bazaar.views.stories import stories

MOST_VIEWERS, MOST_OF_AN_ADDRESS = 20, 5
"""A further viewer ends the oldest stream, whose browser comes back after a moment. A browser has six connections for one
server. If streams took all of them, the page of a seventh window would never load."""
STILL_HERE_S = 10.0
PAUSE_FOR = 3
"""The length of a pause from the page, in multiples of `suspect_after_s`: long enough for a trader to lose its seat."""


class _Viewer:
    """One open stream."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.dismissed = False
        self.version = 0
        self.had = NOTHING_YET
        """What it has been sent."""


class Show:
    """A run that goes on; with `over`, one that is over."""

    def __init__(self, run: Path, plan: Plan, acts: bool = False, over: bool = False) -> None:
        """`acts`: whether the page has buttons for faults. Raises `OSError` or `msgspec.DecodeError`."""
        self._run, self._plan = run, plan
        self._changed = threading.Condition()
        self._feed = None if over else Feed(run, plan)
        self._over = over
        self._version = 1
        self._encoded: dict[tuple[int, ...], bytes] = {}  # of this version
        self._viewers: list[_Viewer] = []
        self._telling = threading.Lock()  # a story reads all histories: one at a time
        suspect_s = plan.settings.suspect_after_s
        live = {"acts": acts, "suspect_s": suspect_s, "pause_s": PAUSE_FOR * suspect_s, "folder": str(run)}
        data: Mapping[str, Any] = {"scene": scene(plan)} if not over else {**content(run, plan), **outcome(run)}
        self.page = page({**data, "live": live}).encode()
        """The page, as HTML."""
        self._report = page(data).encode() if over else b""

    def follow(self) -> None:
        """Reads what is new, again and again, until the run is over."""
        assert self._feed is not None
        while not self._over:
            with self._changed:
                if self._feed.look():
                    self._renew()
            time.sleep(LOOK_EVERY_S)

    def end(self, patience_s: float) -> None:
        """The run is over, and judged if it can be. Lets the viewers take that, at most for so long."""
        with self._changed:
            if self._feed is not None:
                self._feed.look()
            self._over = True
            self._renew()
            self._changed.wait_for(lambda: not self._viewers, patience_s)

    def _renew(self) -> None:
        self._version += 1
        self._encoded.clear()
        self._changed.notify_all()

    # ------------------------------------------------------------------------------------------- the stream
    def news(self, address: str) -> Generator[bytes, None, None]:
        """What a viewer at this address is sent, as JSON, each piece when it is time; empty if there was nothing for long."""
        viewer = _Viewer(address)
        self._admit(viewer)
        try:
            while not self._dismissed(viewer):
                yield self._next(viewer)
        finally:
            with self._changed:
                self._viewers.remove(viewer)
                self._changed.notify_all()

    def _admit(self, viewer: _Viewer) -> None:
        with self._changed:
            for others, most in (
                ([other for other in self._viewers if other.address == viewer.address], MOST_OF_AN_ADDRESS),
                (self._viewers, MOST_VIEWERS),
            ):
                staying = [other for other in others if not other.dismissed]
                if len(staying) >= most:
                    staying[0].dismissed = True
            self._viewers.append(viewer)
            self._changed.notify_all()

    def _dismissed(self, viewer: _Viewer) -> bool:
        with self._changed:
            return viewer.dismissed or (self._over and viewer.version == self._version)

    def _next(self, viewer: _Viewer) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: viewer.dismissed or viewer.version != self._version, STILL_HERE_S)
            if viewer.dismissed or viewer.version == self._version:
                return b""
            missed = self._version - viewer.version - 1 if viewer.version else 0
            piece = self._piece(viewer.had, missed)
            viewer.version = self._version
            if self._feed is not None:
                viewer.had = Had.all_of(self._feed.course)
            return piece

    def _piece(self, had: Had, missed: int) -> bytes:
        """The newest state, without what was sent before. It is made once for all who have the same."""
        key = (*had, missed)
        if key not in self._encoded:
            data: dict[str, Any] = {"over": self._over, "missed": missed}
            if self._feed is not None:
                data |= {"state": state(self._feed.course, had), "blind": self._feed.blind}
            if self._over:
                report = self.report()  # all of it: the server may be gone in a moment
                data |= {**outcome(self._run), "report": report.decode() if report is not None else None}
            self._encoded[key] = msgspec.json.encode(data)
        return self._encoded[key]

    # -------------------------------------------------------------------------------------- on demand
    def story(self, order: str) -> bytes | None:
        """The story of an order, as JSON; None if no history mentions it. A run that is over has explanations, too."""
        histories = histories_of(self._run, self._plan.members)
        with self._telling:
            explain = explainer(self._run, self._plan, histories) if self._over else lambda order: []
            found = stories(histories, {order: []}, launch_of(self._run, histories), explain)
        return msgspec.json.encode(found[0]) if found else None

    def report(self) -> bytes | None:
        """The report of a run that is over, as HTML; None if there is none."""
        path = self._run / REPORT_FILE
        if not self._over:
            return None
        return path.read_bytes() if path.exists() else self._report or None
