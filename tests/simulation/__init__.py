"""The simulator: bazaars on virtual time, with all random choices of a world drawn from one seed.

The same seed gives the same history, byte for byte. A failing seed is replayed by

    python -m tests.simulation --seed N --tell

which prints every sentence of the run and each violation. `--seeds 20000` runs 20000 seeds, beginning with `--seed`, on all
processors.

    driver.py   processes, their lives, clocks and turns        network.py   delays and losses of deliveries
    world.py    a run, and the faults it can suffer             disk.py      the journals
    draw.py     random settings, networks and machines          faults.py    random faults
    trial.py    runs and judges worlds, by kind
"""

from tests.simulation.draw import draw_any_world, draw_world
from tests.simulation.faults import draw_any_faults, draw_faults
from tests.simulation.trial import KINDS, history_bytes, judged, replay_command, run, simulate, simulate_faults
from tests.simulation.world import World

__all__ = [
    "KINDS", "World", "draw_any_faults", "draw_any_world", "draw_faults", "draw_world", "history_bytes", "judged",
    "replay_command", "run", "simulate", "simulate_faults",
]  # fmt: skip
