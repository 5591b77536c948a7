"""`python -m experiments` runs all experiments, then the report. `bash experiments/run.sh` first prepares the environment."""

import sys

from experiments.framework.command import main
from experiments.report import EXPERIMENTS, rebuild

sys.exit(main(EXPERIMENTS, sys.argv[1:], rebuild))
