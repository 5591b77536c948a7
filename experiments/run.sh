#!/usr/bin/env bash
# Runs the experiments, and writes RESULTS.md:  bash experiments/run.sh [NAME ...] [options]      (--help lists them)
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../bazaar/setup/environment.sh"

prepare_environment requirements-cache.txt  # for --cache shared
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}  # from the caller's folder, to which a path in --out refers
exec "$PYTHON" -m experiments "$@"
