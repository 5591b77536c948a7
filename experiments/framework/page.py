"""The page of one experiment: title, question, table, picture and result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from experiments.framework.experiment import Experiment
from experiments.framework.grid import again
from experiments.framework.rows import Missing, Row


def publish(experiment: Experiment, rows: Sequence[Row], out: Path) -> None:
    """Draws the picture, and writes the page and the JSON rows of one experiment; does nothing if there are no rows."""
    if rows:
        results = out / "results"
        experiment.plot(rows, results / f"{experiment.NAME}.png")
        (results / f"{experiment.NAME}.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")
        (results / f"{experiment.NAME}.md").write_text(f"# {section(experiment, rows, Path())}", encoding="utf-8")


def section(experiment: Experiment, rows: Sequence[Row], pictures: Path) -> str:
    """Title, question, table, picture and result; `pictures`: the pictures' folder, relative to the page."""
    try:
        story = experiment.story(rows)
    except Missing as missing:
        story = f"(What came out can be told when there are rows with {missing}.)"
    seeds = ", ".join(map(str, sorted({row.seed for row in rows})))
    days = " to ".join(dict.fromkeys((min(row.measured for row in rows), max(row.measured for row in rows))))
    machines = " and ".join(sorted({row.machine for row in rows}))
    return f"""{experiment.TITLE}

{experiment.QUESTION}

{experiment.table(rows)}

![{experiment.TITLE}]({pictures / experiment.NAME}.png)

{story}

*Why it may be so; from how the bazaar is made, not from these rows:* {experiment.REASONS}

{len(rows)} run(s), all held; seeds {seeds}; measured {days} on {machines}. Any one of them again:
`{again(experiment, rows[-1])}`
"""
