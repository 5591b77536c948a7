"""Routing along the edges of the graph: peers have connections to their at most three neighbours only (requirement K1).

linkstate.py   who misses whom, as far as this process knows: a set of reports that is flooded
overlay.py     the graph that follows from the plan and the reports; it heals
link.py        what waits to cross one edge
router.py      one process's part: it says hello to its neighbours, floods reports, relays deliveries
"""
