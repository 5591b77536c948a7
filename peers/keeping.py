"""A peer's part in keeping journals on other machines (`--keeper`).

It keeps the journals of traders elsewhere. As a trader it has its own kept. As an heir it reads the journal of a former tenure
from the keeper that the ledger names. With a keeper no trader writes a journal of its own, as nobody would read it: a trader
that is started again gives up its tenure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, get_args

from bazaar.core.copying import Copying, follows
from bazaar.core.keeper import Keeper
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import WAREHOUSE, Bench, Copy, Seat
from bazaar.protocol.journal_lines import JournalLine, KeeperRecord, Recovered
from bazaar.protocol.messages import Fetch, Fetched, Keep, KeeperIs, Kept, WhoTrades
from bazaar.protocol.settings import Settings
from peers.role import Role
from peers.trader import Trader

LINES = get_args(JournalLine)


class Reading:
    """One journal that is being fetched."""

    def __init__(self, copy: Copy, give_up_at: float) -> None:
        self.copy = copy
        self.lines: list[JournalLine] = []
        self.again_at = NEVER
        self.give_up_at = give_up_at


class Keeping(Role):
    """The role of every peer, as long as it lives."""

    def __init__(
        self, keepers: Sequence[str], settings: Settings, bench: Callable[[], Bench], records: Iterable[KeeperRecord]
    ) -> None:
        """`keepers`: the peers on other machines. `bench`: who trades, as this peer knows it. `records`: see `Keeper`."""
        self._keepers = keepers
        self._settings = settings
        self._bench = bench
        self._keeper = Keeper(records)
        self._copying: Copying | None = None
        self._reading: dict[Seat, Reading] = {}
        self._found: dict[Seat, Recovered] = {}  # journals that the trader gets at the end of this turn

    @property
    def deadline(self) -> float:
        if self._found:
            return 0.0
        times = [min(reading.again_at, reading.give_up_at) for reading in self._reading.values()]
        return min([NEVER if self._copying is None else self._copying.deadline, *times])

    # ------------------------------------------------------------------------------------- as a trader
    def take_seat(self, seat: Seat) -> None:
        """A tenure begins."""
        self._copying = Copying(seat, self._keepers, self._settings.suspect_after_s)

    def leave_seat(self, turn: Turn) -> None:
        """A tenure ends. What was held follows from lines that the heir may not have read, and is never sent."""
        _taken_out(turn)
        turn.withhold(follows)
        self._copying = None
        self._reading.clear()
        self._found.clear()

    def trading_begins(self) -> None:
        """All traders are there."""
        if self._copying is not None:
            self._copying.begin()

    def end_turn(self, turn: Turn, copies: Mapping[Seat, Copy | None]) -> None:
        """All else in this turn is done: reads what the trader wants to read, and has copied what it has written.

        `copies`: where the journals of former tenures are.
        """
        self._read(turn, copies)
        lines = _taken_out(turn)
        if self._copying is not None:
            self._copying.end_turn(turn, lines)

    # --------------------------------------------------------------------------------------- as an heir
    def hand_over(self, turn: Turn, trader: Trader) -> None:
        """Gives the trader the journals that are here by now."""
        found, self._found = self._found, {}
        for seat, recovered in found.items():
            trader.inherit(turn, seat, recovered)

    def _read(self, turn: Turn, copies: Mapping[Seat, Copy | None]) -> None:
        reads, turn.reads = turn.reads, []
        for seat in reads:
            copy = copies.get(seat)
            if copy is None:  # no keeper was named, so nothing had left that tenure
                self._found[seat] = Recovered(())
            else:
                self._reading[seat] = Reading(copy, turn.now + self._settings.suspect_after_s)
                self._fetch(turn, self._reading[seat])
        for seat, reading in [*self._reading.items()]:
            if turn.now >= reading.give_up_at:
                del self._reading[seat]
                self._found[seat] = Recovered(None, (f"its keeper {reading.copy.keeper} does not answer",))
            elif turn.now >= reading.again_at:
                self._fetch(turn, reading)

    def _fetch(self, turn: Turn, reading: Reading) -> None:
        turn.send(reading.copy.keeper, Fetch(reading.copy, len(reading.lines)))
        reading.again_at = turn.now + self._settings.heartbeat_s

    def on_fetched(self, turn: Turn, source: str, body: Fetched) -> None:
        seat = body.copy.seat
        reading = self._reading.get(seat)
        if reading is None or reading.copy != body.copy or body.first != len(reading.lines):
            return  # a second answer, as the question was repeated
        reading.lines += body.lines
        if body.total is None:
            del self._reading[seat]
            self._found[seat] = Recovered(None, (f"its keeper {source} has no copy",))
        elif len(reading.lines) >= body.total:
            del self._reading[seat]
            self._found[seat] = Recovered(reading.lines)
        else:
            reading.give_up_at = turn.now + self._settings.suspect_after_s
            self._fetch(turn, reading)

    # --------------------------------------------------------------------------------- the messages
    def on_keep(self, turn: Turn, source: str, body: Keep) -> None:
        self._keeper.keep(turn, source, body)

    def on_fetch(self, turn: Turn, source: str, body: Fetch) -> None:
        """Answers a trader, if that tenure is over. A peer that does not know so asks, and is asked again."""
        bench = self._bench()
        if body.copy.seat in bench.seats or bench.seat_of(source) is None:
            turn.send(WAREHOUSE, WhoTrades())
        else:
            self._keeper.fetch(turn, source, body)

    def on_kept(self, turn: Turn, source: str, body: Kept) -> None:
        if self._copying is not None:
            self._copying.kept(turn.now, body)

    def on_keeper_is(self, turn: Turn, source: str, body: KeeperIs) -> None:
        if self._copying is not None:
            self._copying.named(body)

    handles: ClassVar[Any] = {
        Keep: on_keep,
        Fetch: on_fetch,
        Fetched: on_fetched,
        Kept: on_kept,
        KeeperIs: on_keeper_is,
    }


def _taken_out(turn: Turn) -> list[JournalLine]:
    """Takes the lines of the journal out of what this turn keeps."""
    lines = [record for record in turn.kept if isinstance(record, LINES)]
    turn.kept = [record for record in turn.kept if not isinstance(record, LINES)]
    return lines
