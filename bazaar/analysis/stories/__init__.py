"""The stories of orders: what happened to one, and why.

explaining.py   the story of an order       oversold.py    why a promise was not kept
picking.py      which order to tell of      knowledge.py   what the traders knew of a lot, and when
story.py        what a story is             waiting.py     where an order's time went
reading.py      a run, for whoever explains
"""

from bazaar.analysis.stories.explaining import explain, names_like
from bazaar.analysis.stories.picking import PICKS, pick
from bazaar.analysis.stories.reading import Run
from bazaar.analysis.stories.story import WORDS, Cause, Moment, Outcome, Story

__all__ = ["PICKS", "WORDS", "Cause", "Moment", "Outcome", "Run", "Story", "explain", "names_like", "pick"]
