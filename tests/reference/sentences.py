"""The page of the sentences that a run says."""

from __future__ import annotations

from bazaar.protocol.goods import WAREHOUSE
from bazaar.views.narration import SENTENCES, VARIANTS, Told
from tests.reference.writing import page, table


def sentences_page() -> str:
    """What is said of which event."""
    rows = [(*_when(told), "<br>".join(f"`{sentence}`" for sentence in said)) for told, said in SENTENCES.items()]
    return page("Sentences", ABOUT, table(("event", "if", "sentences"), rows))


def _when(told: Told) -> tuple[str, str]:
    if not isinstance(told, tuple):
        return f"`{told.kind}`", ""
    event, value = told
    if VARIANTS[event] not in event.__struct_fields__:  # a property: who notes it
        return f"`{event.kind}`", "the warehouse notes it" if value == WAREHOUSE else f"a {value} notes it"
    return f"`{event.kind}`", f"`{VARIANTS[event]}` is `{str(value).lower() if isinstance(value, bool) else value}`"


ABOUT = """\
`output.txt` tells a run in these sentences, and so do the screen, `trader0.txt` … and `warehouse.txt`. Before each of them
stands the time: `YYYY-MM-DD HH:MM:SS.ffffff : `. [An event](events.md) that is not here is not told.

A word in braces is replaced. Most are facts of the event, by the same name. The others are:

- `{me}`: the process that noted the event, `buyer7`; `{Me}`: the name of its seat, `Trader0`, if it was elected before
- `{label[trader]}`, `{Label[peer]}`, `{Label[to]}`: the name of the seat of the peer in that fact, `trader0` or `Trader0`
- `{count}`: how many `traders` there are
- `{item}`: in an order for several units with their number, `salt x3`
- `{sellers}`: `seller`, and the `others`, if the units are of several: `seller1 and seller3`
- `{dollars}`: `earned`, in dollars
- `{seconds}`: `for_s`, without needless zeros
- `{cache}`: the lots in the trader's cache, `[{"seller_id": "seller1", "count": 7, "price": 9, "item": "boar"}]`, and
  `and N more` after 40 of them; not on the screen, and at most ten times a second for each trader
- `{how}`: "was killed", if the event does not say how"""
