"""Orders that cross from one bazaar to another: the names of one order, what became of it abroad, and its sentences.

In the run of the buyer's bazaar an order has two names: `buyer0-17`, and `buyer0@north-17` once it went abroad. In the run of
the bazaar that is asked it has only the latter, and the embassy there is its client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from bazaar.analysis.stories.reading import Line, Run
from bazaar.protocol import events
from bazaar.protocol.goods import buyer_of, home_of, name_abroad, name_at_home

Word = Literal["bought", "unavailable", "unknown"]
WORDS_ABROAD: dict[type[events.OfOrder], Word] = {
    events.AskedAbroad: "unknown",  # as long as nothing more is noted
    events.UnknownAbroad: "unknown",
    events.UnavailableAbroad: "unavailable",
    events.BoughtAbroad: "bought",
}
"""What the events at a buyer say of its order abroad; the last one counts."""
AT_THE_BUYER = tuple(WORDS_ABROAD)


def names_of(run: Run, order_id: str) -> tuple[str, ...]:
    """The names of this order in this run. The first is the one in this run's ledger."""
    bazaar = run.plan.settings.name
    if bazaar is None or home_of(buyer_of(order_id)) not in ("", bazaar):
        return (order_id,)
    at_home = name_at_home(order_id)
    return at_home, name_abroad(at_home, bazaar)


def word_of(lines: Iterable[Line]) -> Word | None:
    """What the buyer knew last of its order abroad; None if it did not go abroad. `lines` are in order of time."""
    word: Word | None = None
    for line in lines:
        event = line.event
        if isinstance(event, AT_THE_BUYER) and not (word and isinstance(event, events.AskedAbroad)):
            word = WORDS_ABROAD[type(event)]
    return word


def told(run: Run, event: events.Event, me: str) -> str:
    """The sentence for an event of an order that crosses; empty for any other."""
    match event:
        case events.AskedAbroad(order_id):
            return f"{me} asks for it abroad, as {order_id}"
        case events.SentAbroad(bazaar=bazaar):
            return f"{me} sends it to {bazaar}"
        case events.BoughtAbroad(seller=seller, others=others, price_cents=cents):
            return f"{me} is told: bought abroad from {' and '.join((seller, *others))}, for {cents / 100:g} $"
        case events.UnavailableAbroad():
            return f"{me} is told: unavailable abroad, too"
        case events.UnknownAbroad():
            return f"{me} waits no longer for an answer from abroad"
        case events.OrderedFor(order_id, trader=trader):
            return f"{me} orders it from {run.name(trader)}, for {home_of(buyer_of(order_id))}"
        case events.AnsweredFor(order_id, seller=seller, others=others):
            what = f"purchased from {' and '.join((seller, *others))}" if seller else "unavailable"
            return f"{me} answers {home_of(buyer_of(order_id))}: {what}"
    return ""


def why_abroad(names: Sequence[str], own: Sequence[Line]) -> list[str]:
    """In sentences, where the rest of the story is, if the order crossed."""
    if buyer_of(names[0]) != buyer_of(names[0]).partition("@")[0]:
        home = home_of(buyer_of(names[0]))
        return [f"It is an order of {home}: what its buyer was told is in the run of {home}."]
    word = word_of(own)
    if word is None:
        return []
    asked = dict.fromkeys(line.event.bazaar for line in own if isinstance(line.event, events.SentAbroad))
    where = f"the embassy sent it to {' and then to '.join(asked)}" if asked else "no other bazaar was known"
    said = [f"Its own ledger had refused it, so it went abroad as {names[1]}; {where}."]
    if word == "unknown":
        said.append("It may have been bought all the same: `bash run.sh judge` of all these runs together tells.")
    elif asked:
        said.append(
            f"How it was decided there, `bash run.sh explain {names[1]}` tells of the run of {list(asked)[-1]}."
        )
    return said
