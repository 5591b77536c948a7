"""The stories of orders: what happened to an order, and why.

explaining.py   the story of an order       oversold.py    why a promise was not kept
picking.py      the choice of an order      knowledge.py   what the traders knew of a lot, and when
story.py        the type of a story         waiting.py     where an order's time went
abroad.py       what crossed to another bazaar
reading.py      a run, as the other modules read it
"""

from bazaar.analysis.stories.abroad import AT_THE_BUYER, word_of
from bazaar.analysis.stories.explaining import explain, names_like
from bazaar.analysis.stories.picking import PICKS, pick
from bazaar.analysis.stories.reading import Run
from bazaar.analysis.stories.story import WORDS, Cause, Moment, Outcome, Story

__all__ = [
    "AT_THE_BUYER",
    "PICKS",
    "WORDS",
    "Cause",
    "Moment",
    "Outcome",
    "Run",
    "Story",
    "explain",
    "names_like",
    "pick",
    "word_of",
]
