"""Judges a run: accounts for goods, money, orders, seats and clocks, from the ledger and the histories alone.

The judge is independent: it shares no code and no constant with the market that it judges (`tests/unit/test_audit.py`
checks its imports). Its demands come from the requirements, and it recounts the stock itself. It excuses nobody by name,
and it excuses nothing for a whole run. It reports every violation once, as a short story. A verdict says what the run
exercised. Where something cannot be known the verdict is "unknown", with the reason. The judge reads each line once, and
holds a few numbers of each order.

    launcher's history   which faults hit whom, and which processes are alive at the end
    ledger               books.py: the stock, the seats and the decisions, recounted
    histories            buyers.py, sellers.py, traders.py, deposals.py: what each process did and was told, compared
                         with the ledger
                         clients.py: what buyers and sellers were told, checked for consistency without the ledger
"""

from bazaar.analysis.audit.evidence import Evidence
from bazaar.analysis.audit.findings import CHECKS, MOST_STORIES, Report
from bazaar.analysis.audit.judging import NoRun, judge, judge_run

__all__ = ["CHECKS", "MOST_STORIES", "Evidence", "NoRun", "Report", "judge", "judge_run"]
