#!/usr/bin/env bash
# Runs the tests:  bash tests/run.sh [pytest's options and paths, from the repository's folder]
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/../bazaar/environment.sh"

prepare_environment tests/requirements.txt
cd "$ROOT"
exec "$PYTHON" -m pytest "$@"
