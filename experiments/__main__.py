"""`python -m experiments` runs them all, then the report; `bash experiments/run.sh` prepares the environment before."""

import sys

from experiments.framework.command import main
from experiments.report import EXPERIMENTS, rebuild

sys.exit(main(EXPERIMENTS, sys.argv[1:], rebuild))
