"""The second judge: can what buyers and sellers were told have come from one stock of each item? It knows no ledger.

A seller's deposit and a buyer's order are operations on the stock of an item, a counter for each seller. Each has its
effect, at once and as a whole, somewhere between the call and the answer: a deposit adds its units, an order that is
answered `purchased` takes one of the seller's and finds one there, an order that is answered `found_unavailable` finds
none of anybody's. What has no answer may have had its effect or not. If no sequence of effects explains all answers,
somebody was told what cannot be (Herlihy & Wing, "Linearizability", TOPLAS 12(3), 1990). Only the first answer counts: what
is taken back later was sold to somebody who believed it.

The search is that of Wing & Gong ("Testing and Verifying Concurrent Objects", JPDC 17, 1993), just in time as in Lowe
("Testing for Linearizability", CCPE 29(4), 2017): an operation is put into the sequence when its own answer, or that of
another, needs it there. Counters leave little to try. The buyers of a seller take one unit each, so the one whose answer
comes first goes first; and to take earlier than need be helps only those who were told that there is none.

Time is the Lamport clock of the clients' own events, not a clock on a wall, which may step, or differ from machine to
machine: an answer precedes a call if its clock is lower, and on equal clocks they overlap. That is sound: whatever is
decided between a call and its answer has a clock between theirs, and what a decision rests on has a lower one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

NEVER = float("inf")
MOST_OPERATIONS = 200_000  # of a run: tens of megabytes
MOST_STEPS = (
    10_000_000  # of an item: some seconds. What can be explained takes some ten steps for each order and deposit.
)

Stock = frozenset[tuple[str, int]]  # of those sellers who have any
Configuration = tuple[Stock, frozenset[int]]
"""What may be in stock by now, and which operations without an answer so far have had their effect."""


class Operation(msgspec.Struct):
    """An order or a deposit, as its client saw it."""

    name: str
    item: str
    called: int
    """By the client's Lamport clock."""
    effect: int = -1
    """Units added to the stock; -1 takes one and needs one, 0 needs that there is none."""
    seller: str = ""
    """Whose stock it changes: empty for an order that is not answered, or with `found_unavailable`."""
    answered: float = NEVER


class Finding(NamedTuple):
    """Of one item. `explained` is None if that was not found out; the story tells why, or which answer cannot be."""

    explained: bool | None
    story: str = ""


class Clients:
    """Collects the operations, from the first call of each to its first answer: also of one that is asked again."""

    def __init__(self, most_operations: int = MOST_OPERATIONS) -> None:
        self._most = most_operations
        self._operations: dict[str, Operation] = {}

    def ordered(self, order: str, item: str, clock: int) -> None:
        """A buyer has called."""
        self._call(Operation(order, item, clock))

    def offered(self, deposit: str, item: str, count: int, clock: int) -> None:
        """A seller has called; the deposit is named after it."""
        if count > 0:
            self._call(Operation(deposit, item, clock, count, deposit.rpartition("-")[0]))

    def registered(self, deposit: str, clock: int) -> None:
        """A seller was told that its goods are on sale."""
        self._answer(deposit, clock)

    def purchased(self, order: str, seller: str, clock: int) -> None:
        """A buyer was told that it has bought one unit of this seller."""
        if (operation := self._answer(order, clock)) is not None:
            operation.seller = seller

    def found_unavailable(self, order: str, clock: int) -> None:
        """A buyer was told that there is none."""
        if (operation := self._answer(order, clock)) is not None:
            operation.effect = 0

    def _call(self, operation: Operation) -> None:
        if len(self._operations) <= self._most:
            self._operations.setdefault(operation.name, operation)

    def _answer(self, name: str, clock: int) -> Operation | None:
        operation = self._operations.get(name)
        if operation is None or operation.answered != NEVER:
            return None
        operation.answered = max(clock, operation.called)  # a clock that went back is somebody else's to judge
        return operation

    def find(self) -> dict[str, Finding]:
        """Judges each item."""
        by_item: defaultdict[str, list[Operation]] = defaultdict(list)
        for operation in self._operations.values():
            by_item[operation.item].append(operation)
        if len(self._operations) > self._most:
            return dict.fromkeys(
                by_item, Finding(None, f"more than {self._most} orders and deposits are too many to try")
            )
        return {item: explain(operations) for item, operations in sorted(by_item.items())}


def explain(operations: Sequence[Operation], most_steps: int = MOST_STEPS) -> Finding:
    """Whether a stock that is empty at first explains these operations on one item; if not, the first answer it does not."""
    search = _Search(operations)
    for _, is_answer, number in _events(operations):
        if not is_answer:
            search.call(number)
        elif not search.answer(number):
            return Finding(False, _story(operations, operations[number]))
        if search.steps > most_steps:
            return Finding(None, f"not found out in {most_steps} steps, for {len(operations)} orders and deposits")
    return Finding(True)


def _events(operations: Sequence[Operation]) -> list[tuple[float, bool, int]]:
    calls = [(operation.called, False, number) for number, operation in enumerate(operations)]
    answers = [(operation.answered, True, number) for number, operation in enumerate(operations)]
    return sorted(calls + [answer for answer in answers if answer[0] != NEVER])


class _Search:
    """All that may be in stock after each call and answer. Where there is nothing, those who are to find nothing do."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.steps = 0
        self._operations = operations
        self._configurations: set[Configuration] = {(frozenset(), frozenset())}
        self._pending: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        """By seller and sign of the effect: called and not yet answered, in the order of their answers."""

    def call(self, number: int) -> None:
        insort(self._alike(number), (self._operations[number].answered, number))
        self._configurations = {self._settled(*configuration) for configuration in self._configurations}

    def answer(self, number: int) -> bool:
        """False if this answer cannot be."""
        following: set[Configuration] = set()
        for stock, done in self._configurations:
            ways = [(stock, done)] if number in done else self._ways(number, stock, done)
            following.update((left, others - {number}) for left, others in ways)
            self.steps += 1 + len(done)
        alike = self._alike(number)
        del alike[bisect_left(alike, (self._operations[number].answered, number))]
        self._configurations = following
        return bool(following)

    def _ways(self, number: int, stock: Stock, done: frozenset[int]) -> Iterator[Configuration]:
        """The ways to let this operation have its effect now."""
        operation = self._operations[number]
        seller = operation.seller
        if operation.effect == 0:
            yield from self._emptied(stock, done)
        elif operation.effect > 0:
            yield from self._deposited(operation, stock, done)
        elif any(name == seller for name, _ in stock):
            yield self._settled(_changed(stock, seller, -1), done)
        else:
            for deposit in self._left(seller, +1, done):
                for increased, others in self._deposited(self._operations[deposit], stock, done | {deposit}):
                    yield self._settled(_changed(increased, seller, -1), others)

    def _deposited(self, deposit: Operation, stock: Stock, done: frozenset[int]) -> Iterator[Configuration]:
        """At once, or after others have found that there is nothing."""
        seller, count = deposit.seller, deposit.effect
        yield _changed(stock, seller, count), done
        if stock and self._left("", 0, done):
            yield from ((_changed(empty, seller, count), others) for empty, others in self._emptied(stock, done))

    def _emptied(self, stock: Stock, done: frozenset[int]) -> Iterator[Configuration]:
        """Buyers take what there is, if there are so many; those without an answer may have bought anything."""
        anybody = self._left("", -1, done)
        taking: set[int] = set()
        for seller, count in stock:
            buyers = self._left(seller, -1, done)[:count]
            taking.update(buyers)
            missing = count - len(buyers)
            if missing > len(anybody):
                return
            taking.update(anybody[:missing])
            anybody = anybody[missing:]
        yield self._settled(frozenset(), done | taking)

    def _settled(self, stock: Stock, done: frozenset[int]) -> Configuration:
        return stock, done if stock else done.union(self._left("", 0, done))

    def _left(self, seller: str, sign: int, done: frozenset[int]) -> list[int]:
        """Those that are pending and have not had their effect."""
        pending = self._pending[seller, sign]
        self.steps += len(pending)
        return [number for _, number in pending if number not in done]

    def _alike(self, number: int) -> list[tuple[float, int]]:
        operation = self._operations[number]
        return self._pending[operation.seller, (operation.effect > 0) - (operation.effect < 0)]


def _changed(stock: Stock, seller: str, by: int) -> Stock:
    counts = dict(stock)
    counts[seller] = counts.get(seller, 0) + by
    return frozenset((name, count) for name, count in counts.items() if count)


def _story(operations: Sequence[Operation], told: Operation) -> str:
    """The answer that no sequence explains, beside what can be counted: it is not always a proof by itself."""
    bought, sellers = told.effect < 0, told.seller or "all sellers"
    others = [other for other in operations if other is not told and (not bought or told.seller == other.seller)]
    offered = sum(other.effect for other in others if other.effect > 0 and other.called < told.answered)
    registered = sum(other.effect for other in others if other.effect > 0 and other.answered < told.called)
    sold = sum(other.effect < 0 for other in others if other.answered < told.answered)
    asked = sum(other.effect < 0 for other in others if other.called < told.answered)
    what = f"that it has bought {told.item} of {told.seller}" if bought else f"that there is no {told.item}"
    return (
        f"{told.name}, called at clock {told.called}, was told {what} at {told.answered}, which no sequence of deposits and "
        f"purchases explains: {sellers} had offered {offered} by then ({registered} registered before the call); others "
        f"had been told that they bought {sold}, and can have bought {asked} at most"
    )
