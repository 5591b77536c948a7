"""`orders.csv` counts what the summary counts, which reads the same run in another way."""

from __future__ import annotations

import csv
import io
from collections import Counter

import pytest

from bazaar.analysis.order_table import table_of
from bazaar.analysis.stories import Run
from bazaar.analysis.summary import percentile, summarize
from bazaar.protocol.entries import Denial, Sale
from tests.simulation import run


@pytest.mark.parametrize("seed", range(40))
def test_the_table_counts_what_the_summary_counts(seed: int) -> None:
    _, evidence, report = run("any", seed)
    summary = summarize(evidence, report, 0.0)
    told = Run(evidence.plan, evidence.entries, evidence.histories)
    rows = list(csv.DictReader(io.StringIO(b"".join(table_of(told)).decode())))
    outcomes = Counter(row["outcome"] for row in rows)
    requests = summary.requests
    assert len(rows) == requests.asked == sum(outcomes.values())
    assert outcomes["purchased"] == requests.purchased
    assert outcomes["unavailable"] == requests.unavailable
    assert outcomes["oversold"] == requests.oversold
    assert outcomes["unanswered"] == requests.unanswered
    assert sum(row["undersold"] == "true" for row in rows) == requests.undersold
    assert sum(int(row["units"]) for row in rows if row["decision"] == "sold") == summary.goods_shipped
    prices = sum(int(row["price_cents"]) for row in rows if row["price_cents"])
    sales = [entry for entry in evidence.entries if isinstance(entry, Sale)]
    assert prices == sum(part.price_cents * part.units for sale in sales for part in sale.parts)
    assert sum(row["decision"] in ("unavailable", "oversold") for row in rows) == sum(
        isinstance(entry, Denial) for entry in evidence.entries
    )
    waits = sorted(float(row["wait_ms"]) for row in rows if row["wait_ms"])
    assert percentile(waits, 50) == pytest.approx(summary.latency_ms.p50, abs=0.01)
