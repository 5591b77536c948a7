"""The wire format: numbered letters, packed into deliveries.

Messages travel as msgpack arrays that begin with the message's name. Bytes that do not decode, or that have a field too
many, are refused with `MalformedMessage` before any of their contents is used.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bazaar.protocol.goods import MANY, Name, Number, Record
from bazaar.protocol.messages import AnyMessage


class MalformedMessage(Exception):
    """Bytes that are no delivery of ours: rubbish, truncated, of another version, or with a field too many."""


class Letter(Record, frozen=True):
    """One message with the sender's Lamport clock when it was sent."""

    clock: Number
    body: AnyMessage


class Delivery(Record, frozen=True):
    """Consecutive letters from one sender to one receiver, and an acknowledgement of the receiver's letters.

    `life` tells two lives of the sender apart.
    """

    source: Name
    target: Name
    life: Number
    number: Number
    """The number of the first letter. Letters are numbered 0, 1, 2, … in each life."""
    acked: Number
    """The number of the first letter that the receiver has not acknowledged."""
    of: Number
    """The life of the receiver to which `taken` refers; -1: none."""
    taken: Number
    """How many of the receiver's letters the sender has taken."""
    letters: Annotated[tuple[Letter, ...], MANY]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delivery)


def encode(delivery: Delivery | Record) -> bytes:
    """A delivery, or a bundle of frames (`frames.py`), as msgpack."""
    return _encoder.encode(delivery)


def decode(data: bytes) -> Delivery:
    """The delivery in these bytes. Raises `MalformedMessage` if they hold anything else."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error)) from error
