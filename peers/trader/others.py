"""A trader's messages to the other traders: whose goods are on sale, and the counts in its cache after its own sales."""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.core.turn import Turn
from bazaar.protocol import events
from bazaar.protocol.goods import Lot
from bazaar.protocol.messages import CacheUpdate, Registered
from peers.trader.beliefs import counts_of


class Others:
    """The other traders, and the sellers whose deposits came in here."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sellers: list[str] = []

    def are(self, turn: Turn, names: tuple[str, ...]) -> None:
        """Sets who the other traders are. All of them are told of all sellers, as some traders may be new."""
        self._names = names
        self._announce(turn, self._sellers)

    def on_sale(self, turn: Turn, seller: str) -> None:
        """This seller's goods came in here."""
        self._sellers.append(seller)
        self._announce(turn, [seller])

    def _announce(self, turn: Turn, sellers: Iterable[str]) -> None:
        for name in self._names:
            for seller in sellers:
                turn.send(name, Registered(seller))

    def push(self, turn: Turn, news: tuple[Lot, ...]) -> None:
        """Tells them these counts, if there are any."""
        if news and self._names:
            lots = counts_of(news)
            for name in self._names:
                turn.note(events.Pushed(name, lots))
                turn.send(name, CacheUpdate(news))
