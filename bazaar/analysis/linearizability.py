"""The second judge: are the answers to buyers and sellers linearizable, with one stock of each item? It reads no ledger.

A seller's deposit and a buyer's order are operations on the stock of an item, which has a counter for each seller. Each
operation takes effect atomically at some point between its call and its answer. A deposit adds its units. An order that is
answered `purchased` finds a unit of the seller and takes it. An order that is answered `found_unavailable` finds no unit of
any seller. An operation without an answer may or may not have taken effect. If no sequence of effects explains all
answers, the answers are not linearizable (Herlihy & Wing, "Linearizability", TOPLAS 12(3), 1990). Only the first answer to
an operation counts: a buyer believed a sale even if it was taken back later.

The search is that of Wing & Gong ("Testing and Verifying Concurrent Objects", JPDC 17, 1993), just in time as in Lowe
("Testing for Linearizability", CCPE 29(4), 2017): an operation is put into the sequence when its own answer, or that of
another operation, requires it. Counters leave few alternatives. Each buyer of a seller takes one unit, so the search lets
the buyer with the earliest answer go first. To take a unit earlier than necessary helps only the buyers that were told
that there is none.

Time is the Lamport clock of the clients' own events. Wall clocks may step, and may differ from machine to machine. An
answer precedes a call if its clock is lower; with equal clocks the two operations overlap. This is sound: a decision
between a call and its answer has a clock between theirs, and the events that the decision depends on have lower clocks.
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
    10_000_000  # of an item: some seconds. Answers that can be explained take some ten steps for each operation.
)

Stock = frozenset[tuple[str, int]]  # the sellers that have units, with their counts
Configuration = tuple[Stock, frozenset[int]]
"""A possible stock, and the operations that have taken effect but have no answer yet."""


class Operation(msgspec.Struct):
    """An order or a deposit, as its client saw it."""

    name: str
    item: str
    called: int
    """The client's Lamport clock at the call."""
    effect: int = -1
    """Units added to the stock. -1 requires a unit and takes it; 0 requires an empty stock."""
    seller: str = ""
    """The seller whose stock it changes. Empty for an order without an answer, or with the answer `found_unavailable`."""
    answered: float = NEVER


class Finding(NamedTuple):
    """The result for one item. `explained` is None if the search gave up.

    The story tells why it gave up, or which answer is impossible.
    """

    explained: bool | None
    story: str = ""


class Clients:
    """Collects the operations. Each lasts from its first call to its first answer, even if it was repeated."""

    def __init__(self, most_operations: int = MOST_OPERATIONS) -> None:
        self._most = most_operations
        self._operations: dict[str, Operation] = {}

    def ordered(self, order: str, item: str, clock: int) -> None:
        """A buyer placed an order."""
        self._call(Operation(order, item, clock))

    def offered(self, deposit: str, item: str, count: int, clock: int) -> None:
        """A seller offered a deposit. The name of the deposit begins with the seller's."""
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
        """A buyer was told that no unit is left."""
        if (operation := self._answer(order, clock)) is not None:
            operation.effect = 0

    def _call(self, operation: Operation) -> None:
        if len(self._operations) <= self._most:
            self._operations.setdefault(operation.name, operation)

    def _answer(self, name: str, clock: int) -> Operation | None:
        operation = self._operations.get(name)
        if operation is None or operation.answered != NEVER:
            return None
        operation.answered = max(clock, operation.called)  # another check judges a clock that went back
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
    """Whether an initially empty stock explains these operations on one item; if not, the first answer that it does not."""
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
    """All possible configurations after each call and answer.

    As soon as the stock is empty, all pending operations that require an empty stock take effect.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.steps = 0
        self._operations = operations
        self._configurations: set[Configuration] = {(frozenset(), frozenset())}
        self._pending: defaultdict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        """The pending operations, by seller and sign of the effect, in the order of their answers."""

    def call(self, number: int) -> None:
        insort(self._alike(number), (self._operations[number].answered, number))
        self._configurations = {self._settled(*configuration) for configuration in self._configurations}

    def answer(self, number: int) -> bool:
        """Takes in an answer. Returns False if the answer is impossible."""
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
        """The ways to let this operation take effect now."""
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
        """The deposit takes effect at once, or after other operations found the stock empty."""
        seller, count = deposit.seller, deposit.effect
        yield _changed(stock, seller, count), done
        if stock and self._left("", 0, done):
            yield from ((_changed(empty, seller, count), others) for empty, others in self._emptied(stock, done))

    def _emptied(self, stock: Stock, done: frozenset[int]) -> Iterator[Configuration]:
        """Pending buyers take the whole stock, if they are enough. Unanswered buyers may have bought from any seller."""
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
        """The pending operations that have not taken effect yet."""
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
    """The answer that no sequence explains, with some counts. The counts alone are not always a proof."""
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
