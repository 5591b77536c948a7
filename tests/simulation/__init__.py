"""The simulator: bazaars on virtual time, with all of a world's chances drawn from one seed.

The same seed gives the same history, byte for byte, and a failing one is replayed by

    python -m tests.simulation --seed N --tell

which prints every sentence of the run and each violation. `--seeds 20000` runs the seeds from `--seed` on, on all
processors.

    driver.py   processes, their lives, clocks and turns        network.py   what becomes of a delivery
    world.py    a run, and all that can be done to it           disk.py      the journals
    draw.py     which settings, network and machines            faults.py    what is done to a world
    trial.py    worlds run and judged, by kind
"""

from tests.simulation.draw import draw_any_world, draw_world
from tests.simulation.faults import draw_any_faults, draw_faults
from tests.simulation.trial import KINDS, history_bytes, judged, replay_command, run, simulate, simulate_faults
from tests.simulation.world import World

__all__ = [
    "KINDS", "World", "draw_any_faults", "draw_any_world", "draw_faults", "draw_world", "history_bytes", "judged",
    "replay_command", "run", "simulate", "simulate_faults",
]  # fmt: skip
