"""When a trader opens: the first ones as soon as every seller has goods on sale, later ones at once."""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol import events
from bazaar.protocol.goods import is_seller
from bazaar.protocol.settings import Settings


class Opening:
    """The sellers whose goods a trader waits for, and how long it waits."""

    def __init__(self, names: Iterable[str], settings: Settings, further: bool) -> None:
        """`further`: this is not one of the first traders of all, so the market is open already."""
        self._missing = set() if further else {name for name in names if is_seller(name)}
        self._delay_s = 0.0 if further else settings.opening_delay_s
        self._patience_s = settings.registration_delay_s + settings.answer_timeout_s
        self._at = self._by = NEVER
        self._awaits_sellers = False
        self.done = False

    def at_once(self) -> None:
        """The tenure goes on after a restart: nobody is waited for."""
        self._missing.clear()
        self._delay_s = 0.0

    def traders_are(self, turn: Turn, traders: Iterable[str]) -> None:
        """Waits for no goods of traders, as they sell nothing of their own. The waiting time begins with the first call."""
        self._missing.difference_update(traders)
        if self._at == NEVER:
            self._at = turn.now + self._delay_s
            self._by = self._at + self._patience_s
            if self._delay_s:
                turn.note(events.WarmingUp(self._delay_s))

    def on_sale(self, seller: str) -> None:
        """This seller has goods on sale."""
        self._missing.discard(seller)

    def due(self, now: float) -> bool:
        """Whether the trader opens now. It opens only once."""
        self._awaits_sellers = now >= self._at and bool(self._missing)
        if self.done or now < (self._by if self._missing else self._at):
            return False
        self.done = True
        return True

    @property
    def deadline(self) -> float:
        """When `due` is to be asked again, if nothing happens before."""
        if self.done:
            return NEVER
        return self._by if self._awaits_sellers else self._at
