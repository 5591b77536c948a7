"""`python -m experiments` runs them all, then the report; `bash experiments/run.sh` prepares the environment before."""

import sys

from experiments.report import EXPERIMENTS, rebuild
from experiments.sweep import main

sys.exit(main(EXPERIMENTS, sys.argv[1:], rebuild))
