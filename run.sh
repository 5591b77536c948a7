#!/usr/bin/env bash
# Opens the bazaar:  bash run.sh [host] [peers] [traders] [options]      (--help lists the options)
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/bazaar/environment.sh"

prepare_environment requirements.txt
exec "$PYTHON" "$ROOT/create_bazaar.py" "$@"  # from the caller's folder, to which a path in --out refers
