"""What crosses the wire: letters, numbered, in deliveries.

Messages travel as msgpack arrays that begin with the message's name; what does not decode, or decodes with a field too
many, is refused with `MalformedMessage` before any of it is believed.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bazaar.protocol.goods import MANY, Name, Number, Record
from bazaar.protocol.messages import AnyMessage


class MalformedMessage(Exception):
    """Bytes that are no delivery of ours: rubbish, truncated, of another version, or with a field too many."""


class Letter(Record, frozen=True):
    """One message with the sender's clock at its sending."""

    clock: Number
    body: AnyMessage


class Delivery(Record, frozen=True):
    """Consecutive letters of one sender to one receiver, and how much of the other's letters has arrived.

    `life` tells two lives of a process apart.
    """

    source: Name
    target: Name
    life: Number
    number: Number
    """That of the first letter; they are numbered 0, 1, 2, … in each life."""
    acked: Number
    """The number of the first letter that the receiver was not heard to have taken."""
    of: Number
    """The receiver's life of which `taken` speaks; -1: of none."""
    taken: Number
    """How many of the receiver's letters the sender has taken."""
    letters: Annotated[tuple[Letter, ...], MANY]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delivery)


def encode(delivery: Delivery) -> bytes:
    """A delivery as msgpack."""
    return _encoder.encode(delivery)


def decode(data: bytes) -> Delivery:
    """The delivery in these bytes. Raises `MalformedMessage` if they hold anything else."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error)) from error
