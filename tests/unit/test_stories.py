"""What the experiments say in words: numbers and comparisons are computed from the rows; what people think stands apart."""

from __future__ import annotations

import ast
import inspect
import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import ModuleType

import pytest

from experiments import benchmark, failover, throughput
from experiments.framework.experiment import OUT, Experiment
from experiments.framework.rows import Row, trend
from experiments.framework.sweep import table_of
from experiments.report import EXPERIMENTS
from tests.unit.test_experiments import some_rows

EACH = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.NAME)
WORLDS = 60
DIGITS = re.compile(r"(?<![A-Za-z0-9])\d")  # p50 and Pyro4 are names

FAST = {"series": "fast", "traders": "3"}
COMPARISONS = re.compile(
    r"\b(falls|rises|halves?|faster|slower|grows|opposite|less|fewer|more|because|better|worse|cannot|never|explains?)\b"
)


def measured(experiment: Experiment) -> list[Row]:
    """Its rows; any, as long as nothing is measured yet."""
    return table_of(experiment, OUT).rows or some_rows(experiment)


def other_worlds(experiment: Experiment, rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The same rows in worlds in which each cache, each number of traders ... is better or worse than it was found to be."""
    rng = random.Random(experiment.NAME)
    for _ in range(WORLDS):
        factors: defaultdict[tuple[str, str, str], float] = defaultdict(lambda: 10 ** rng.uniform(-1, 1))
        yield [
            row._replace(
                values={
                    name: value * math.prod(factors[name, label, row.labels[label]] for label in experiment.LABELS)
                    for name, value in row.values.items()
                }
            )
            for row in rows
        ]


def sentences(text: str) -> set[str]:
    return set(re.split(r"(?<=[.;:]) |\n", text))


@EACH
def test_no_sentence_compares_anything_whatever_the_rows_are(experiment: Experiment) -> None:
    rows = measured(experiment)
    anyway = sentences(experiment.story(rows))
    for others in other_worlds(experiment, rows):
        anyway &= sentences(experiment.story(others))
    assert not [sentence for sentence in anyway if COMPARISONS.search(sentence)]


def prose(module: ModuleType) -> Iterator[str]:
    """The words that stand in the code of a story, and of whatever of its own module it calls."""
    functions = {
        node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.FunctionDef)
    }
    waiting, seen = ["story"], set()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in seen:
            seen.add(name)
            body = functions[name].body
            for node in (node for statement in body for node in ast.walk(statement)):
                if isinstance(node, ast.Name):
                    waiting.append(node.id)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                    yield node.value


@EACH
def test_every_number_in_words_is_computed(experiment: Experiment) -> None:
    said = list(prose(sys.modules[experiment.cells.__module__]))
    assert said
    assert not [words for words in (*said, experiment.REASONS) if DIGITS.search(words)]


def put(rows: Sequence[Row], name: str, value: float, **labels: str) -> list[Row]:
    """The rows with one value in all of those with these labels."""
    return [
        row._replace(values={**row.values, name: value}) if labels.items() <= row.labels.items() else row
        for row in rows
    ]


@pytest.mark.parametrize(
    ("experiment", "claim", "name", "labels", "bearing", "other"),
    [
        (throughput, "its gain of a cache is not reproduced", "trading_s", {"series": "lab", "cache": "none"}, 60, 160),
        (
            throughput,
            "its gain of more traders is not reproduced",
            "trading_s",
            {"series": "lab", "traders": "3"},
            60,
            30,
        ),
        (throughput, "For `weak` that is the opposite of", "shipped_per_s", {**FAST, "cache": "weak"}, 100, 9000),
        (throughput, "with `escrow` it falls", "shipped_per_s", {**FAST, "cache": "escrow"}, 100, 9000),
        (throughput, "with `escrow` it rises", "shipped_per_s", {**FAST, "cache": "escrow"}, 9000, 100),
        (throughput, "and asked again", "p99_ms", {"series": "lab"}, 60_500, 500),
        (failover, "It does not halve", "after_per_s", {"think_s": "0.25"}, 27, 13),
        (failover, "It halves", "after_per_s", {"think_s": "0.25"}, 13, 27),
        (failover, "its loss is not reproduced", "after_per_s", {"think_s": "10"}, 0.7, 0.4),
        (benchmark, "less time than a bare call", "shipped_per_s", {"window": "64"}, 10**6, 1),
    ],
)
def test_a_claim_is_made_as_long_as_the_rows_bear_it(
    experiment: Experiment, claim: str, name: str, labels: dict[str, str], bearing: float, other: float
) -> None:
    rows = measured(experiment)
    if name == "trading_s":
        rows = put(rows, name, 60, series="lab")
    assert claim in experiment.story(put(rows, name, bearing, **labels))
    assert claim not in experiment.story(put(rows, name, other, **labels))


@pytest.mark.parametrize(
    ("after", "said"),
    [([1.0, 2.9], "falls"), ([5.1, 7.0], "rises"), ([1.0, 3.0], "stays within the spread of the seeds")],
)
def test_a_trend_is_one_beyond_the_spread(after: list[float], said: str) -> None:
    assert trend([3.0, 5.0], after) == said
