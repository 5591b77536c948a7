"""What the faults of a run cost: when each fault was detected, and when the market had recovered from it.

A fault's time reaches from the moment of its injection to the next fault on the same name, or to the moment when somebody
ends the process by hand. A death or a sale after that has another cause. The victim decides
which process has to notice: the other traders notice a trader's death, and the launcher notices the end of any other
process. Nobody notices a pause that ends before the process was missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from bazaar.core.turn import NEVER
from bazaar.protocol import events
from bazaar.protocol.events import Event
from bazaar.protocol.faults import MONGOD
from bazaar.protocol.goods import WAREHOUSE, is_seller
from bazaar.runtime.history import Recorded, by_time, only

RARE: tuple[type[Event], ...] = (
    *(events.Fault, events.Fell, events.Started, events.Joined, events.Connected),
    *(events.Elected, events.TraderDied, events.HeardDeath, events.SteppedDown),
)

Histories = Mapping[str, Iterable[Recorded[Event]]]


class Fault(msgspec.Struct):
    """One fault. Times are in seconds since the epoch (in the simulator: since the start); None means never."""

    what: str
    kind: str
    names: tuple[str, ...]
    at: float
    for_s: float
    """How long the fault lasts by itself; 0 for an instantaneous one."""
    hit_trader: bool
    """Whether one of `names` held a trader's seat at that time."""
    until: float = NEVER
    """When the next fault on the same name was done."""
    noticed_at: float | None = None
    recovered_at: float | None = None

    def told(self, since: float) -> dict[str, Any]:
        """The fault as `summary.json` has it: `at_s` counts from `since`, the other times from the fault."""
        noticed, recovered = (
            None if at is None else round(at - self.at, 3) for at in (self.noticed_at, self.recovered_at)
        )
        return {"what": self.what, "at_s": round(self.at - since, 3), "detected_s": noticed, "recovered_s": recovered}


class _Wish(msgspec.Struct):
    """A condition for recovery: the first event of one of these kinds at or after `after` ends the fault."""

    fault: Fault
    kinds: tuple[type[Event], ...]
    after: float


def faults_of(histories: Histories) -> list[Fault]:
    """The faults of a run in the order of their time, each with its aftermath."""
    if not any(True for _ in only(histories.get("launcher", ()), events.Fault)):
        return []  # the search for their cost would read all histories
    faults: list[Fault] = []
    traders: dict[str, None] = {}
    seated: set[str] = set()
    for line in by_time(only(history, *RARE) for history in histories.values()):
        match line.event:
            case events.Elected():
                traders[line.process] = None
                seated.add(line.process)
            case events.TraderDied(peer):
                seated.discard(peer)
            case events.SteppedDown():
                seated.discard(line.process)
            case events.Fault() as done:
                _add(faults, line.at, done, seated)
            case events.Fell(name):
                _end(faults, (name,), line.at, besides="kill")
        for fault in faults:
            if fault.noticed_at is None and fault.at <= line.at < fault.until and _notices(line, fault):
                fault.noticed_at = line.at
    _find_recoveries(faults, histories, traders)
    return faults


def _add(faults: list[Fault], at: float, done: events.Fault, seated: set[str]) -> None:
    """Adds the fault. `resume` is none of its own: it makes the pause shorter."""
    names = done.names or (done.name,)
    if done.fault_kind == "resume":
        for fault in faults:
            if fault.kind == "pause" and fault.names == names:
                fault.for_s = min(fault.for_s, round(at - fault.at, 3))
        return
    _end(faults, names, at)
    is_trader = not seated.isdisjoint(names)
    faults.append(Fault(done.fault, done.fault_kind, names, at, done.for_s, is_trader))


def _end(faults: Iterable[Fault], names: Collection[str], at: float, besides: str = "") -> None:
    """Ends the time of the earlier faults on these names, except of the faults of the kind `besides`."""
    for fault in faults:
        if fault.until == NEVER and fault.kind != besides and not set(names).isdisjoint(fault.names):
            fault.until = at


def _notices(line: Recorded[Event], fault: Fault) -> bool:
    """Whether this event shows that somebody noticed the fault."""
    match line.event:
        case events.Started(name):
            return fault.kind == "restart" and name in fault.names
        case events.Joined() | events.Connected():  # MongoDB and the warehouse do not join anything
            return fault.kind == "restart" and line.process in fault.names
        case events.TraderDied(peer):
            return fault.kind != "restart" and peer in fault.names
        case events.HeardDeath(peer):
            return fault.kind == "resign" and peer in fault.names
        case events.Fell(name):
            return fault.kind == "kill" and name in fault.names and not fault.hit_trader
    return False


# -------------------------------------------------------------------------------------- recovery
def _find_recoveries(faults: list[Fault], histories: Histories, traders: Collection[str]) -> None:
    """Sets `recovered_at`. Each history is read once, and only until all wishes for it are fulfilled."""
    wishes: defaultdict[str, list[_Wish]] = defaultdict(list)
    for fault in faults:
        for process, wish in _wishes(fault, traders):
            wishes[process].append(wish)
    for process, wanted in wishes.items():
        kinds = {kind for wish in wanted for kind in wish.kinds}
        for line in only(histories.get(process, ()), *kinds):
            found = [wish for wish in wanted if line.at >= wish.after and type(line.event) in wish.kinds]
            for wish in found:
                wanted.remove(wish)
                fault = wish.fault
                if line.at < min(fault.until, fault.recovered_at or NEVER):
                    fault.recovered_at = line.at
            if not wanted:
                break


def _wishes(fault: Fault, traders: Collection[str]) -> Iterator[tuple[str, _Wish]]:
    """The events, by process, of which the first shows that the market recovered. `traders`: all peers ever elected."""
    over = fault.at + fault.for_s if fault.for_s else fault.noticed_at
    for name in fault.names:
        if fault.hit_trader and fault.kind != "restart" and fault.noticed_at is not None:
            for other in traders:  # a survivor sells
                if other not in fault.names:
                    yield other, _Wish(fault, (events.Traded,), fault.noticed_at)
        elif over is None:
            continue
        elif name not in (WAREHOUSE, MONGOD):  # the victim itself goes on
            as_seller, as_buyer = (events.Sold, events.Registered), (events.Purchased, events.FoundUnavailable)
            own = as_seller if is_seller(name) else as_buyer
            yield name, _Wish(fault, (events.Traded, *own), over)
        else:  # the warehouse, MongoDB: goods go out again
            yield WAREHOUSE, _Wish(fault, (events.Shipped,), over)
