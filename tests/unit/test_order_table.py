"""`orders.csv`: one row for each order, plain columns."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from bazaar.analysis.audit import Evidence
from bazaar.analysis.judgement import judged
from bazaar.analysis.order_table import COLUMNS, ORDERS_FILE, table_of
from bazaar.analysis.stories import Run
from bazaar.protocol.entries import Denial
from bazaar.runtime.history import Recorded
from tests.builders import a_line, a_sale, an_order, leave_behind
from tests.trial import ENTRIES, NAMES, SECOND, TRADER, a_market, changed


def table(evidence: Evidence, **histories: list[Recorded[Any]]) -> list[dict[str, str]]:
    run = Run(evidence.plan, evidence.entries, {**evidence.histories, **histories})
    return list(csv.DictReader(io.StringIO(b"".join(table_of(run)).decode())))


def test_an_order_is_one_row_of_plain_values() -> None:
    sold = table(a_market())[1]
    assert sold == {
        "order": "buyer0-1",
        "buyer": "buyer0",
        "item": "salt",
        "trader": TRADER,
        "by_hand": "false",
        "clock": "40",
        "placed_s": "0.39",  # the first event of all is at 0.01 s
        "answered_s": "0.47",
        "wait_ms": "80.0",
        "outcome": "purchased",
        "repeats": "0",
        "abroad": "",
        "abroad_seller": "",
        "abroad_cents": "",
        "abroad_ms": "",
        "decision": "sold",
        "entry": "4",
        "decided_by": TRADER,
        "seller": "seller1",
        "deposit": "seller1-d0",
        "price_cents": "800",
        "promised": "true",
        "undersold": "false",
        "units": "1",
    }
    assert tuple(sold) == COLUMNS


def test_refused_orders_have_no_seller() -> None:
    rows = table(a_market())
    assert [(row["outcome"], row["decision"], row["promised"], row["undersold"]) for row in rows[2:]] == [
        ("unavailable", "unavailable", "false", "false"),
        ("oversold", "oversold", "true", "true"),  # seller2-d0 has a unit, promised was one of seller1-d0
    ]
    assert {row["seller"] + row["deposit"] + row["price_cents"] for row in rows[2:]} == {""}


def test_what_is_sold_is_not_in_stock_any_more() -> None:
    more = a_sale(6, an_order("buyer0-9"), SECOND, TRADER)
    last = Denial(7, "buyer0-3", "buyer0", "salt", "oversold", 81, TRADER)
    rows = table(changed(a_market(), entries=[*ENTRIES[:6], more, last]))
    assert [row["undersold"] for row in rows if row["order"] == "buyer0-3"] == ["false"]


def test_the_wait_ends_with_the_first_answer_and_the_outcome_is_the_last() -> None:
    row = table(a_market())[3]
    assert (row["wait_ms"], row["outcome"]) == ("80.0", "oversold")  # purchased after 80 ms, revoked after 100


def test_an_order_without_answer_and_one_without_decision() -> None:
    lines = [
        a_line(0.5, "buyer3", 1, "ordered", {"order": "buyer3-0", "trader": TRADER}),
        a_line(1.5, "buyer3", 2, "repeated", {"order": "buyer3-0", "trader": "seller2"}),
        a_line(2.5, "buyer3", 3, "repeated", {"order": "buyer3-0", "trader": TRADER}),
    ]
    row = next(row for row in table(a_market(), buyer3=lines) if row["order"] == "buyer3-0")
    assert (row["trader"], row["repeats"], row["outcome"], row["answered_s"]) == (TRADER, "2", "unanswered", "")
    assert row["decision"] == row["entry"] == row["undersold"] == ""


def test_what_only_the_ledger_knows_has_a_row_too() -> None:
    rows = table(a_market(), buyer0=[])
    assert [(row["order"], row["buyer"], row["outcome"], row["decision"]) for row in rows] == [
        ("buyer0-0", "", "", "sold"),
        ("buyer0-1", "", "", "sold"),
        ("buyer0-2", "", "", "unavailable"),
        ("buyer0-3", "", "", "oversold"),
    ]


@pytest.mark.parametrize("damage", [b"", b'{"what":"nonsense"}\n'])
def test_it_is_written_when_a_run_is_judged(damage: bytes, tmp_path: Path) -> None:
    market = a_market()
    everybody = {name: market.histories.get(name, []) for name in ("launcher", "warehouse", *NAMES)}
    leave_behind(tmp_path, market.plan, market.entries, everybody)
    with (tmp_path / "buyer0" / "history.jsonl").open("ab") as file:
        file.write(damage)
    judgement = judged(tmp_path)
    assert judgement.unmade == ()
    text = (tmp_path / ORDERS_FILE).read_bytes()
    assert text.count(b"\n") == 1 + judgement.summary.requests.asked == 5
    (tmp_path / ORDERS_FILE).unlink()
    judged(tmp_path)
    assert (tmp_path / ORDERS_FILE).read_bytes() == text
