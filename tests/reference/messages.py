"""The page of the messages that processes send to each other."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from bazaar.protocol import admission, messages
from bazaar.protocol.goods import is_embassy, is_seller
from bazaar.protocol.messages import Answer, AnyMessage, Ask
from bazaar.protocol.requests import Reply, Request
from tests.reference.writing import VALUES, fields_of, groups_of, page, sentences_of, table

PARTIES: dict[Any, str] = {
    admission._warehouse: "the warehouse",
    admission._peer: "a peer",
    admission._decider: "a peer, the warehouse",
    admission._client_or_peer: "a peer, an embassy",
    admission._client: "a buyer, an embassy",
    is_embassy: "an embassy",
    admission._buyer: "a buyer",
    is_seller: "a seller",
}
LISTED: dict[type[AnyMessage], dict[str, str]] = {
    Ask: {"requests": "list of [requests](#requests)"},
    Answer: {"replies": "list of [replies](#replies)"},
}


def messages_page() -> str:
    """Every message: who says it to whom, and its fields. Then what stands within some of them."""
    header = ("message", "from", "to", "what it says", "fields")
    parts = []
    for heading, group in groups_of(messages):
        sent = [_row(message) for message in get_args(AnyMessage) if message in group]
        if sent:
            parts.append(f"## {heading.capitalize()}\n\n{table(header, sent)}")
    inner = ("name", "on the wire", "what it says", "fields")
    for heading, about, union in (("Requests", REQUESTS, Request), ("Replies", REPLIES, Reply)):
        rows = [(f"`{one.__name__}`", f"`{_tag(one)}`", sentences_of(one), fields_of(one)) for one in get_args(union)]
        parts.append(f"## {heading}\n\n{about}\n\n{table(inner, rows)}")
    parts.append(f"## Values\n\n{VALUES_ARE}")
    parts += [f"### {value.__name__}\n\n{sentences_of(value)}\n\n{_list(value)}" for value in VALUES]
    return page("Messages", ABOUT, *parts)


def _row(message: type[AnyMessage]) -> tuple[str, ...]:
    says, hears, _ = admission.RULES[message]
    fields = fields_of(message, LISTED.get(message))
    return f"`{message.__name__}`", PARTIES[says], PARTIES[hears], sentences_of(message), fields


def _tag(record: type[msgspec.Struct]) -> str:
    return str(record.__struct_config__.tag)


def _list(value: type[msgspec.Struct]) -> str:
    return "\n".join(f"- {field}" for field in fields_of(value).split("<br>"))


ABOUT = """\
What one process says to another. On the wire a message is a msgpack array: its name, then its fields in the order in which
they stand here; the last ones may be left out where that is said. It travels in a letter, which adds the sender's Lamport
clock, and letters travel in numbered deliveries (`bazaar/protocol/wire.py`), so that each arrives once, and in its order.

A process refuses and counts what does not decode, and what this sender cannot have said to this receiver: the columns
"from" and "to" are checked (`bazaar/protocol/admission.py`), and so are the names within. "A buyer" and "a seller" are the
peers of that name, also while they are traders. An item is `fish`, `salt` or `boar`. `clock` is a Lamport clock."""
REQUESTS = "What a trader asks of the warehouse, many at a time, in an `Ask`."
REPLIES = "What the warehouse replies in an `Answer`: one reply for each request, in their order."
VALUES_ARE = "Records that stand in the fields of messages; they travel as arrays without a name."
