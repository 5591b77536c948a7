"""The live page: the page of a run, served while the run goes on (`--serve`) or looked at later (`bash run.sh view`).

The server reads what is written down, in a process of its own with a low priority. So it can neither slow, change nor end a
run. `server.py` speaks HTTP, `show.py` has what all viewers share, `wishes.py` asks the launcher for faults.
"""
