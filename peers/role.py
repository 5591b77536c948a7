"""The base of all roles. A role is a part that a peer plays, with the messages that it handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.goods import ITEMS, Item


def one_of_the_items(said: Any) -> Item:
    """The item of this name. Raises `ValueError` if the bazaar does not sell it."""
    for item in ITEMS:
        if said == item:
            return item
    raise ValueError(f"item must be one of {', '.join(ITEMS)}, not {said!r}")


class Role:
    """A part that a peer plays. A message goes to the first of a peer's roles that handles it."""

    handles: ClassVar[dict[type, Callable[[Any, Turn, str, Any], None]]] = {}
    answered: int = 0
    """How many of this role's orders have their answer."""

    @property
    def deadline(self) -> float:
        """When `tick` wants to be called at the latest, in the time of `Turn.now`."""
        return NEVER

    @property
    def done(self) -> bool:
        """Whether the role has no further order to place, and all of its own are answered."""
        return True

    @property
    def idle(self) -> bool:
        """Whether the role waits for nothing and owes nothing."""
        return True

    def finish(self, turn: Turn) -> None:
        """Begin nothing new."""

    def tick(self, turn: Turn) -> None:
        """Do what is due at `turn.now`."""


class Trading(Role):
    """A role that depends on who trades."""

    retired: bool = False
    """Whether the peer of this civil role is a trader. The role then finishes what it has begun, and begins nothing new."""

    def traders_changed(self, turn: Turn, traders: tuple[str, ...]) -> None:
        """`traders` hold the seats now. It is empty while traders are being elected. Called at each change."""
