#!/usr/bin/env bash
# Runs the tests:  bash tests/run.sh [pytest's options and paths, from the repository's folder]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # started by `sh tests/run.sh`
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../bazaar/setup/environment.sh"

prepare_environment tests/requirements.txt
cd "$ROOT"
# Tests start some thousands of processes. Where Python is not to write bytecode, each would compile all modules anew.
"$PYTHON" -m compileall -q bazaar peers tests ./*.py
# Most tests of processes spend their time waiting, so more workers than cores are faster. A group shares one worker.
exec "$PYTHON" -m pytest -n 3 --dist loadgroup --timeout 300 "$@"
