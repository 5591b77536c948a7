"""Judging a run: goods, money, orders, seats and clocks are accounted for, from the ledger and the histories alone.

The judge is independent: it shares no code and no number with what it judges (`tests/unit/test_audit.py` walks its
imports). What it demands is from the requirements; the stock is counted again here. It excuses nobody by name and nothing
for a whole run. Every violation is told as a short story, once; a verdict says what it exercised, and where something
cannot be known it is "unknown", with the reason. It reads each line once, and holds a few numbers of each order.

    launcher's history   what was done to whom, who is there at the end
    ledger               books.py: the stock, the seats and the decisions, counted again
    histories            buyers.py, sellers.py, traders.py, deposals.py: what everybody did and was told, held against it
                         clients.py: what buyers and sellers were told, held against nothing but itself
"""

from bazaar.analysis.audit.evidence import Evidence
from bazaar.analysis.audit.findings import CHECKS, MOST_STORIES, Report
from bazaar.analysis.audit.judging import NoRun, judge, judge_run

__all__ = ["CHECKS", "MOST_STORIES", "Evidence", "NoRun", "Report", "judge", "judge_run"]
