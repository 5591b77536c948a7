"""Draws a run: `python -m bazaar.views.pictures RUN_FOLDER` draws `network.png`, and both pictures when it reads a line.

This is a program of its own because its libraries take longer to import than the whole bazaar takes to start. It imports
them while the peers already trade. The launcher writes the line when all histories are complete. If the launcher ends,
standard input ends, and then this process ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bazaar.analysis.judgement import run_in
from bazaar.protocol.plan import load
from bazaar.runtime import process


def main() -> int:
    """Draws the graph into the run's folder; on request the graph as it became, and the run over time."""
    from bazaar.views import (  # a slow import: by now this process ends with its launcher, even if it is stopped meanwhile
        healing,
        timeline,
        topology,
    )

    folder = Path(sys.argv[1])
    plan = load(folder / "bazaar.json")
    topology.draw(plan, folder / "network.png")
    if sys.stdin.readline():
        run = run_in(folder)
        shown = healing.moments(plan, run.histories, run.opening) if plan.settings.routing == "neighbours" else []
        if len(shown) > 1:
            healing.draw(plan, shown, folder / "network.png")
        else:
            topology.draw(plan, folder / "network.png", topology.standing(folder, plan))
        timeline.draw(folder)
    return 0


if __name__ == "__main__":
    process.run(main)
