"""Draws a run: `python -m bazaar.views.pictures RUN_FOLDER` draws `network.png`, and `timeline.png` when it reads a line.

A program of its own because its libraries take longer to import than the whole bazaar to start: the launcher has them
imported while the peers already trade, and says with a line when all histories are there. Standard input ends with the
launcher, and with it this process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bazaar.protocol.plan import load
from bazaar.runtime import process


def main() -> int:
    """Draws both pictures into the run's folder, the second one if it is asked for."""
    from bazaar.views import (  # slow: by now it ends with its launcher, even if somebody stops it meanwhile
        timeline,
        topology,
    )

    folder = Path(sys.argv[1])
    topology.draw(load(folder / "bazaar.json"), folder / "network.png")
    if sys.stdin.readline():
        timeline.draw(folder)
    return 0


if __name__ == "__main__":
    process.run(main)
