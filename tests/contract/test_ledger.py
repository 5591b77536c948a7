"""What every ledger keeps to, in memory as in MongoDB."""

from __future__ import annotations

import pytest

from bazaar.protocol.entries import AdoptEntry, AnyEntry, Appoint, Denial, DeposeEntry
from bazaar.runtime.mongo import Damaged, Replaced
from tests.builders import a_deposit_entry, a_lot, a_sale, an_order
from tests.contract.conftest import Connect

ENTRIES: list[AnyEntry] = [
    Appoint(0, "buyer7", 0),
    a_deposit_entry(1, a_lot(count=2)),
    a_sale(2, an_order("buyer0-0"), a_lot(), cached=True),
    Denial(3, "buyer0-1", "buyer0", "boar", "unavailable", 9, "buyer7"),
    Appoint(4, "seller6", 1),
    DeposeEntry(5, "buyer7", 0, 0, "seller6"),
    AdoptEntry(6, "buyer7", 0, "seller6"),
]


def sales(first: int, count: int) -> list[AnyEntry]:
    return [a_sale(position, an_order(f"buyer0-{position}"), a_lot()) for position in range(first, first + count)]


def test_a_new_ledger_is_empty(connect: Connect) -> None:
    assert list(connect().entries()) == []


def test_every_kind_of_entry_is_read_back_as_it_was_written(connect: Connect) -> None:
    ledger = connect()
    ledger.write(ENTRIES)
    assert list(ledger.entries()) == ENTRIES
    assert list(connect().entries()) == ENTRIES


def test_batches_are_read_back_in_their_order(connect: Connect) -> None:
    ledger = connect()
    ledger.write(sales(0, 3))
    ledger.write([])
    ledger.write(sales(3, 20))
    assert list(ledger.entries()) == sales(0, 23)


def test_a_second_writer_at_the_same_position_was_replaced(connect: Connect) -> None:
    first, second = connect(), connect()
    first.write(ENTRIES[:2])
    with pytest.raises(Replaced):
        second.write([a_deposit_entry(1, a_lot("seller2-d0"))])
    assert list(first.entries()) == ENTRIES[:2]


def test_a_paused_writer_that_wakes_up_adds_nothing_behind_its_successor(connect: Connect) -> None:
    paused, successor = connect(), connect()
    paused.write(ENTRIES[:1])
    successor.write(ENTRIES[1:3])
    with pytest.raises(Replaced):
        paused.write([a_deposit_entry(1, a_lot("seller2-d0")), a_deposit_entry(2, a_lot("seller2-d1"))])
    with pytest.raises(Replaced):
        paused.write([a_deposit_entry(2, a_lot("seller2-d1")), a_deposit_entry(3, a_lot("seller2-d2"))])
    assert list(successor.entries()) == ENTRIES[:3]


def test_an_order_is_decided_once_whatever_the_position(connect: Connect) -> None:
    ledger = connect()
    ledger.write(ENTRIES)
    end = len(ENTRIES)
    for decided in (a_sale(end, an_order("buyer0-0"), a_lot()), a_sale(end, an_order("buyer0-1", "boar"), a_lot())):
        with pytest.raises(Replaced):
            ledger.write([decided])
    assert list(ledger.entries()) == ENTRIES


def test_entries_that_decide_no_order_do_not_count_as_the_same_one(connect: Connect) -> None:
    ledger = connect()
    entries = [
        Appoint(0, "buyer7", 0),
        Appoint(1, "seller6", 1),
        a_deposit_entry(2, a_lot()),
        a_deposit_entry(3, a_lot()),
    ]
    falls = [DeposeEntry(4 + seat, peer, seat, seat, peer) for seat, peer in enumerate(("buyer7", "seller6"))]
    adoptions = [AdoptEntry(6 + seat, peer, seat, "buyer5") for seat, peer in enumerate(("buyer7", "seller6"))]
    ledger.write([*entries, *falls, *adoptions])
    assert len(list(ledger.entries())) == 8


def test_the_answer_to_an_order_is_found_by_its_name(connect: Connect) -> None:
    ledger = connect()
    ledger.write(ENTRIES)
    assert ledger.entry_of("buyer0-0") == ENTRIES[2]
    assert connect().entry_of("buyer0-1") == ENTRIES[3]
    with pytest.raises(LookupError):
        ledger.entry_of("buyer0-2")


@pytest.mark.parametrize("missing", [0, 2])
def test_a_gap_is_found(connect: Connect, missing: int) -> None:
    ledger = connect()
    ledger.write([entry for entry in ENTRIES if entry.position != missing])
    with pytest.raises(Damaged, match=f"the ledger has no entry {missing}"):
        list(ledger.entries())


def test_the_mirror_shows_what_is_left(connect: Connect) -> None:
    ledger = connect()
    assert ledger.mirrored() == {}
    ledger.mirror({})
    ledger.mirror({("seller1", "salt"): (3, 800), ("seller1", "fish"): (2, 500)})
    ledger.mirror({("seller1", "salt"): (0, 700)})
    assert connect().mirrored() == {("seller1", "salt"): 0, ("seller1", "fish"): 2}
