from __future__ import annotations

import pytest

from bazaar.control.spelling import did_you_mean

KNOWN = ("--window", "--requests", "heartbeat_s", "weak", "none")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--windw", "--window"),
        ("--WINDOW", "--window"),
        ("--request", "--requests"),
        ("heartbeat", "heartbeat_s"),
        ("heart-beat-s", "heartbeat_s"),
        ("weka", "weak"),
    ],
)
def test_a_word_with_a_slip_is_known_again(word: str, meant: str) -> None:
    assert did_you_mean(word, KNOWN) == f" (did you mean {meant}?)"


@pytest.mark.parametrize("word", ["", "--turbo", "redis", "x" * 5000])
def test_nothing_is_guessed_for_a_word_that_is_like_none(word: str) -> None:
    assert did_you_mean(word, KNOWN) == ""
