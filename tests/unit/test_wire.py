from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bazaar.protocol.entries import AnyEntry, document_to_entry, entry_to_document
from bazaar.protocol.journal_lines import JournalLine
from bazaar.protocol.messages import Buy, Won
from bazaar.protocol.wire import Delivery, Letter, MalformedMessage, decode, encode
from tests.builders import a_bench, a_delivery, a_deposit_entry, a_lot


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a record's type, by its declaration: a new message is covered without a word here."""
    return _any(msgspec.inspect.type_info(kind))


def _any(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.StructType(cls, fields):
            return st.builds(cls, *[_any(field.type) for field in fields])
        case msgspec.inspect.UnionType(types):
            return st.one_of([_any(one) for one in types])
        case msgspec.inspect.VarTupleType(item):
            return st.lists(_any(item), max_size=3).map(tuple)
        case msgspec.inspect.LiteralType(values):
            return st.sampled_from(values)
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(-(2**63) if least is None else int(least), 2**64 - 1 if most is None else int(most))
        case msgspec.inspect.StrType(min_length=least):
            return st.text(min_size=least or 0, max_size=5)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"{info}: say here how to make one")


DELIVERIES: st.SearchStrategy[Delivery] = any_of(Delivery)
A_DELIVERY = a_delivery("buyer0", "buyer7", Letter(5, Buy("buyer0-0", "salt", False)))


def refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(data)


def with_body(*body: object) -> bytes:
    """A delivery whose only letter says this."""
    return msgspec.msgpack.encode(["buyer0", "buyer7", 1, 0, 0, -1, 0, [[5, [*body]]]])


@settings(max_examples=200)
@given(DELIVERIES)
def test_every_message_arrives_as_it_was_sent(delivery: Delivery) -> None:
    assert decode(encode(delivery)) == delivery


@given(any_of(AnyEntry))
def test_every_entry_is_read_from_a_document_as_it_was_written(entry: AnyEntry) -> None:
    assert document_to_entry(entry_to_document(entry)) == entry


@given(any_of(JournalLine))
def test_every_line_of_a_journal_is_read_as_it_was_written(line: JournalLine) -> None:
    assert msgspec.json.decode(msgspec.json.encode(line), type=JournalLine) == line


def test_an_entrys_position_is_the_documents_id() -> None:
    document = entry_to_document(a_deposit_entry(4, a_lot()))
    assert document["_id"] == 4
    assert document["kind"] == "deposit"
    assert "position" not in document


@pytest.mark.parametrize("change", [{"kind": "theft"}, {"count": "3"}, {"extra": 1}, {"item": "gold"}])
def test_a_document_of_another_shape_is_no_entry(change: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        document_to_entry({**entry_to_document(a_deposit_entry(4, a_lot())), **change})


# -------------------------------------------------------------------------------- what is no delivery
@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_rubbish_is_refused(data: bytes) -> None:
    refused(data)


@given(DELIVERIES, st.data())
def test_a_delivery_that_was_cut_short_is_refused(delivery: Delivery, data: st.DataObject) -> None:
    whole = encode(delivery)
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(DELIVERIES, st.binary(min_size=1, max_size=5))
def test_a_delivery_with_something_behind_it_is_refused(delivery: Delivery, more: bytes) -> None:
    refused(encode(delivery) + more)


@settings(max_examples=200)
@given(DELIVERIES, st.data())
def test_a_delivery_with_a_changed_byte_is_a_delivery_or_refused(delivery: Delivery, data: st.DataObject) -> None:
    changed = bytearray(encode(delivery))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedMessage):
        assert isinstance(decode(bytes(changed)), Delivery)


@pytest.mark.parametrize(
    "body",
    [
        ("Buy", "buyer0-0", "salt", False, "a field too many"),
        ("Buy", "buyer0-0", "salt"),
        ("Buy", "buyer0-0", "gold", False),
        ("Buy", "buyer0-0", "salt", 0),
        ("Buy", 7, "salt", False),
        ("Buy", None, "salt", False),
        ("Steal", "buyer0-0", "salt", False),
        (),
        (3,),
        ("Won", "buyer7", 0),
        ("Won", [["buyer7"], 1, 0]),
        ("Won", [[[7, 0]], 1, 0]),
        ("Won", [[["buyer7", 0, 0]], 1, 0]),
        ("Won", [[["buyer7", 0]], 1, 0, 0, 0]),
        ("Depose", ["buyer7"]),
        ("Deposed", ["buyer7", 0]),
        ("TakeOver", None),
        ("Ask", 1, [["adopt", "buyer7"]]),
        ("Ask", 1, [["ship", ["buyer0-0", "buyer0", "salt", 1], "lot", "more"]]),
        ("Ask", 1.5, []),
        ("Ask", 2**63, [["lend"]]),
    ],
)
def test_a_message_of_another_shape_is_refused(body: tuple[object, ...]) -> None:
    refused(with_body(*body))


def test_the_shape_that_the_refused_ones_differ_from_is_right() -> None:
    assert decode(with_body("Buy", "buyer0-0", "salt", False)) == A_DELIVERY
    (letter,) = decode(with_body("Won", [[["buyer7", 0], None], 1, 4, 4])).letters
    assert letter.body == Won(a_bench("buyer7", None, vacant=1, position=4))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x91" * 5000,  # deeper than anybody digs
        b"\xa1\xff",  # no UTF-8
        b"\x98\xa1\xff\xa1a\x01\x00\x00\xff\x00\x90",  # no UTF-8 in a name
        b"\xd6\xff\x00\x00\x00\x00",  # a time
        b"\xc7\x01\x05\x00",  # an extension
        msgspec.msgpack.encode({"source": "buyer0"}),
        encode(A_DELIVERY)[:-8] + b"\xcf" + b"\xff" * 8,
    ],
)
def test_hand_made_rubbish_is_refused(data: bytes) -> None:
    refused(data)
