"""Frames: what neighbours say to each other when the peers speak along the graph's edges only (`--routing neighbours`).

A bundle carries frames over one edge. A relayed frame carries a delivery (`wire.py`) of two processes that need not be
neighbours. The relays do not look into it, so channels stay end to end. The other frames keep the graph itself: they tell
that a neighbour is alive, and who misses whom.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bazaar.protocol.goods import MANY, Count, Name, Number, Record
from bazaar.protocol.wire import MalformedMessage


class Report(Record, frozen=True):
    """What one process says about another: whether it hears it. Or it says of itself that it is alive: then `of` is `by`."""

    by: Name
    life: Number
    """The reporter's life. A report of an earlier life does not count any more."""
    of: Name
    of_life: Number
    """The life of the other that is spoken of. A report about an earlier life does not count any more."""
    count: Annotated[int, Meta(ge=1, le=2**62)]
    """1 for the first report about this life, and so on. With an odd number the reporter misses the other; with an even
    number it hears it again. Of itself: how often it has contradicted that it is missed."""
    heard: Count = 0
    """How often the other had contradicted in this life, as far as the reporter knew."""


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Something that one neighbour says to another."""


class Hello(Frame, frozen=True):
    """I am alive."""

    life: Number
    digest: Count
    """Of all reports that the sender knows. If the receiver's differs, the receiver sends its own reports."""


class News(Frame, frozen=True):
    """Reports that the receiver may not know yet."""

    reports: Annotated[tuple[Report, ...], MANY]


class Relay(Frame, frozen=True):
    """A delivery on its way from `source` to `target`."""

    source: Name
    target: Name
    hops: Count
    """How many further edges it may cross."""
    data: bytes


class Busy(Frame, frozen=True):
    """To `target`, from a relay whose queue is full: a delivery of yours to `about` was dropped. Wait, and send it again."""

    target: Name
    hops: Count
    about: Name


AnyFrame = Hello | News | Relay | Busy


class Bundle(Record, frozen=True):
    """The frames that one neighbour sends to another at one time."""

    source: Name
    frames: Annotated[tuple[AnyFrame, ...], MANY]


_decoder = msgspec.msgpack.Decoder(Bundle)


def decode_bundle(data: bytes) -> Bundle:
    """The bundle in these bytes. Raises `MalformedMessage` if they hold anything else."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error)) from error
