"""Admission: which process may send which message to which. A message that no honest process sends is refused and counted.

A letter that reaches this check bears the key's signature, and each of its fields is within its range (`messages.py`). This
module checks whether this sender can have sent this message to this receiver. `RULES` has one row per message. A row also
checks that the names inside the message belong together. The check does not stop a holder of the key who speaks in another's
name. It does stop such a holder from crashing a process with a message.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from bazaar.protocol.goods import (
    DEAREST,
    WAREHOUSE,
    Bench,
    Copy,
    Lot,
    Order,
    buyer_of,
    embassy_of,
    home_of,
    is_embassy,
    is_seller,
)
from bazaar.protocol.journal_lines import Closed, JournalLine, Opened, Promised, Queued
from bazaar.protocol.messages import (
    Answer,
    AnyMessage,
    Ask,
    AskAgain,
    BenchIs,
    BoughtAbroad,
    Buy,
    BuyAbroad,
    CacheUpdate,
    Call,
    Chosen,
    Claim,
    Depose,
    Deposed,
    Deposit,
    Deposited,
    Echo,
    Election,
    EndEpoch,
    EpochLost,
    Fetch,
    Fetched,
    Freed,
    Heartbeat,
    Keep,
    KeeperIs,
    Kept,
    MarketOpen,
    NameKeeper,
    Ok,
    OutOfStock,
    Oversold,
    Purchased,
    Recall,
    Registered,
    Reopened,
    Resize,
    Sold,
    TakeOver,
    TraderDead,
    Unavailable,
    UnavailableAbroad,
    WhoTrades,
    Won,
)
from bazaar.protocol.requests import (
    Adopt,
    Adopted,
    Denied,
    EpochEnded,
    Heeded,
    Reply,
    Request,
    Scarce,
    Shelves,
    Ship,
    Shipped,
    Stock,
    Stocked,
)
from bazaar.protocol.wire import Letter

FURTHEST_AHEAD = 2**40  # of the receiver's Lamport clock: 100,000 events a second for four months


class Parties(NamedTuple):
    """Sender and receiver of one letter. `peers`: all processes that may send, except the warehouse."""

    source: str
    target: str
    peers: frozenset[str]


Kind = Callable[[str], bool]


def _warehouse(name: str) -> bool:
    return name == WAREHOUSE


def _peer(name: str) -> bool:
    return name != WAREHOUSE and not is_embassy(name)


def _decider(name: str) -> bool:
    return not is_embassy(name)


def _client_or_peer(name: str) -> bool:
    return name != WAREHOUSE


def _buyer(name: str) -> bool:
    return _peer(name) and not is_seller(name)


def _client(name: str) -> bool:
    """Who orders from traders: a buyer, or the embassy for the buyers of another bazaar."""
    return _buyer(name) or is_embassy(name)


# -------------------------------------------------------------------- the names in a message must belong together
def _nothing_more(body: Any, parties: Parties) -> bool:
    return True


def _bench(bench: Bench, peers: Collection[str]) -> bool:
    seats = bench.traders
    return len(set(seats)) == len(seats) and all(name in peers for name in seats)


def _lots(lots: Iterable[Lot], peers: Collection[str]) -> bool:
    return all(lot.seller in peers and is_seller(lot.seller) and _is_of(lot.deposit_id, lot.seller) for lot in lots)


def _is_of(name: str, owner: str) -> bool:
    """Whether an order or a deposit is named after `owner`: `buyer0-7`, `seller1-d7`."""
    return buyer_of(name) == owner


def _is_by(order_id: str, client: str) -> bool:
    """Whether `client` orders under this name in its own market: a buyer under its own, an embassy for a buyer abroad."""
    return _is_from_abroad(order_id, client) if is_embassy(client) else _is_of(order_id, client)


def _is_from_abroad(order_id: str, embassy: str) -> bool:
    home = home_of(buyer_of(order_id))
    return bool(home) and embassy_of(home) != embassy


def _goes_abroad(order_id: str, sooner: str, later: str) -> bool:
    """Whether the way of this order leads from `sooner` to `later`: its buyer, the embassy there, another embassy."""
    buyer, _, home = buyer_of(order_id).partition("@")
    if not home or is_seller(buyer):
        return False
    return (buyer, embassy_of(home)) == (sooner, later) or (embassy_of(home) == sooner != later and is_embassy(later))


def _order(order: Order, peers: Collection[str]) -> bool:
    return order.buyer in peers and _client(order.buyer) and _is_by(order.order_id, order.buyer)


def _copy(copy: Copy, peers: Collection[str]) -> bool:
    return copy.seat.peer in peers and copy.keeper in peers and copy.keeper != copy.seat.peer


def _lines(lines: Iterable[JournalLine], peers: Collection[str]) -> bool:
    return all(_line(line, peers) for line in lines)


def _line(line: JournalLine, peers: Collection[str]) -> bool:
    match line:
        case Queued(order):
            return _order(order, peers)
        case Promised(order, lot):
            return _order(order, peers) and _lots([lot], peers) and lot.item == order.item
        case Closed():
            return True
        case Opened():
            return False


def _request(request: Request, peers: Collection[str]) -> bool:
    match request:
        case Ship(order):
            return _order(order, peers)
        case Stock(lot):
            return _lots([lot], peers)
        case Adopt(seat):
            return seat.peer in peers
        case _:
            return True


def _reply(reply: Reply, peers: Collection[str]) -> bool:
    match reply:
        case Shipped(parts=parts):
            return _lots([part.lot for part in parts], peers)
        case Shelves(items, lots):
            return _lots(lots, peers) and all(lot.item in items for lot in lots)
        case _:
            return True


RULES: dict[type[AnyMessage], tuple[Kind, Kind, Callable[[Any, Parties], bool]]] = {
    # message: who may send it, who may receive it, and what else must hold
    Election: (_peer, _peer, _nothing_more),
    Ok: (_peer, _peer, _nothing_more),
    Call: (_peer, _peer, lambda body, of: body.wave.starter in of.peers),
    Echo: (_peer, _peer, lambda body, of: body.wave.starter in of.peers and of.peers.issuperset(body.highest)),
    Chosen: (_peer, _peer, _nothing_more),
    Won: (
        _peer,
        _peer,
        lambda body, of: _bench(body.bench, of.peers) and (body.peer is None or body.peer in body.bench.traders),
    ),
    WhoTrades: (_client_or_peer, _decider, _nothing_more),
    Claim: (_peer, _warehouse, _nothing_more),
    BenchIs: (
        _decider,
        _client_or_peer,
        lambda body, of: _bench(body.bench, of.peers),
    ),
    Resize: (_peer, _warehouse, _nothing_more),
    Heartbeat: (
        _client_or_peer,
        _client_or_peer,
        lambda body, of: is_embassy(of.source) == is_embassy(of.target),
    ),
    Depose: (_peer, _warehouse, lambda body, of: body.seat.peer in of.peers),
    Deposed: (_warehouse, _peer, lambda body, of: body.seat.peer in of.peers and _bench(body.bench, of.peers)),
    TraderDead: (_peer, _peer, lambda body, of: body.peer in of.peers and _bench(body.bench, of.peers)),
    TakeOver: (
        _warehouse,
        _peer,
        lambda body, of: (
            body.seat.peer in of.peers
            and (body.copy is None or (body.copy.seat == body.seat and _copy(body.copy, of.peers)))
        ),
    ),
    Keep: (
        _peer,
        _peer,
        lambda body, of: (
            (body.copy.seat.peer, body.copy.keeper) == (of.source, of.target)
            and _copy(body.copy, of.peers)
            and _lines(body.lines, of.peers)
        ),
    ),
    Kept: (
        _peer,
        _peer,
        lambda body, of: (body.copy.keeper, body.copy.seat.peer) == (of.source, of.target),
    ),
    NameKeeper: (
        _peer,
        _warehouse,
        lambda body, of: body.copy.seat.peer == of.source and _copy(body.copy, of.peers),
    ),
    KeeperIs: (
        _warehouse,
        _peer,
        lambda body, of: body.copy.seat.peer == of.target and _copy(body.copy, of.peers),
    ),
    Fetch: (_peer, _peer, lambda body, of: body.copy.keeper == of.target and _copy(body.copy, of.peers)),
    Fetched: (
        _peer,
        _peer,
        lambda body, of: body.copy.keeper == of.source and _copy(body.copy, of.peers) and _lines(body.lines, of.peers),
    ),
    Recall: (_warehouse, _peer, _nothing_more),
    EndEpoch: (_warehouse, _peer, _nothing_more),
    EpochLost: (_peer, _warehouse, _nothing_more),
    Freed: (_warehouse, _peer, _nothing_more),
    Reopened: (_warehouse, _peer, _nothing_more),
    AskAgain: (_peer, _buyer, lambda body, of: _is_of(body.order_id, of.target)),
    Deposit: (is_seller, _peer, lambda body, of: _is_of(body.deposit_id, of.source)),
    Deposited: (_peer, is_seller, lambda body, of: _is_of(body.deposit_id, of.target)),
    Registered: (_peer, _peer, lambda body, of: body.seller in of.peers and is_seller(body.seller)),
    Buy: (_client, _peer, lambda body, of: _is_by(body.order_id, of.source)),
    MarketOpen: (_peer, _buyer, _nothing_more),
    Purchased: (
        _peer,
        _client,
        lambda body, of: (
            _is_by(body.order_id, of.target)
            and body.price_cents <= body.units * DEAREST
            and all(seller in of.peers and is_seller(seller) for seller in (body.seller, *body.others))
        ),
    ),
    Unavailable: (_peer, _client, lambda body, of: _is_by(body.order_id, of.target)),
    Oversold: (_peer, _buyer, lambda body, of: _is_of(body.order_id, of.target)),
    Sold: (
        _peer,
        is_seller,
        lambda body, of: (
            body.buyer in of.peers
            and _client(body.buyer)
            and _is_by(body.order_id, body.buyer)
            and body.price_cents <= body.units * DEAREST
        ),
    ),
    OutOfStock: (_peer, is_seller, _nothing_more),
    CacheUpdate: (_peer, _peer, lambda body, of: _lots(body.lots, of.peers)),
    Ask: (_peer, _warehouse, lambda body, of: all(_request(request, of.peers) for request in body.requests)),
    Answer: (_warehouse, _peer, lambda body, of: all(_reply(reply, of.peers) for reply in body.replies)),
    BuyAbroad: (_client, is_embassy, lambda body, of: _goes_abroad(body.order_id, of.source, of.target)),
    BoughtAbroad: (
        is_embassy,
        _client,
        lambda body, of: (
            _goes_abroad(body.order_id, of.target, of.source)
            and body.price_cents <= body.units * DEAREST
            and all(home_of(seller) and is_seller(seller) for seller in (body.seller, *body.others))
        ),
    ),
    UnavailableAbroad: (is_embassy, _client, lambda body, of: _goes_abroad(body.order_id, of.target, of.source)),
}


def admits(source: str, target: str, letter: Letter, clock: int, peers: frozenset[str]) -> bool:
    """Whether `source` can have sent this letter to `target`. `clock`: the Lamport clock of `target`."""
    says, hears, names_fit = RULES[type(letter.body)]
    return (
        letter.clock <= clock + FURTHEST_AHEAD
        and says(source)
        and hears(target)
        and names_fit(letter.body, Parties(source, target, peers))
    )


def fits(requests: tuple[Request, ...], replies: tuple[Reply, ...]) -> bool:
    """Whether these can be the replies to those requests."""
    return len(requests) == len(replies) and all(map(_replies_to, requests, replies))


def _replies_to(request: Request, reply: Reply) -> bool:
    match request, reply:
        case Ship(order), Shipped(parts=parts):
            return all(part.lot.item == order.item for part in parts) and order.units == sum(
                part.units for part in parts
            )
        case Ship(_, deposit_id), Scarce():
            return deposit_id is None
        case Stock(lot), Stocked(deposit_id):
            return lot.deposit_id == deposit_id
        case (Ship(), Denied()) | (Adopt(), Adopted()) | (EpochEnded(), Heeded()):
            return True
        case _, Shelves(items):
            return items == getattr(request, "items", (getattr(request, "item", None),))
        case _:
            return False
