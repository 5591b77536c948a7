"""The time of a run in pieces: few, however long it is, and nothing of it gets lost."""

from __future__ import annotations

from collections import Counter

import pytest

from bazaar.views.pieces import FINEST_S, MOST_PIECES, MOST_STRETCHES, Pieces, bucket, carried, quantile


@pytest.mark.parametrize("seconds", [1, 19, 21, 3_600, 1_000_000])
def test_however_long_a_run_is_there_are_few_pieces_and_each_sale_is_in_one(seconds: int) -> None:
    pieces = Pieces()
    for number in range(1000):
        pieces.at(seconds * number / 1000).shipped += 1
    assert len(pieces) <= MOST_PIECES
    each_s, drawn = pieces.drawn()
    assert len(drawn["shipped"]) <= MOST_STRETCHES
    assert sum(drawn["shipped"]) == 1000
    assert each_s * len(drawn["shipped"]) >= seconds * 0.999


def test_what_was_last_is_what_counts_of_queue_and_stock() -> None:
    pieces = Pieces()
    pieces.at(0.0).queue["buyer7"] = 3
    pieces.at(FINEST_S).queue["buyer7"] = 5
    pieces.at(FINEST_S).stock["fish"] = 9
    pieces.at(FINEST_S * MOST_PIECES).shipped += 1  # each two pieces become one
    assert pieces.each_s == 2 * FINEST_S
    assert pieces.at(0.0).queue == {"buyer7": 5}
    assert pieces.at(0.0).stock == {"fish": 9}


def test_where_nothing_changes_it_is_as_before() -> None:
    assert carried([None, 3, None, None, 0, None]) == [0, 3, 3, 3, 0, 0]


def test_quantiles_are_within_a_fortieth_of_the_truth() -> None:
    waits = Counter(bucket(milliseconds / 1000) for milliseconds in range(1, 1001))
    assert quantile(waits, 0.50) == pytest.approx(500, rel=0.026)
    assert quantile(waits, 0.99) == pytest.approx(990, rel=0.026)
    assert quantile(Counter(), 0.5) is None


def test_of_few_goods_the_stretches_are_long() -> None:
    pieces = Pieces()
    for second in range(20):
        pieces.at(float(second)).shipped += 1
    each_s, drawn = pieces.drawn()
    assert each_s > 1.5
    assert max(drawn["shipped"]) <= 3
