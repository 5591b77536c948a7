#!/usr/bin/env bash
# Opens the bazaar:  bash run.sh [host] [peers] [traders] [options]      (--help lists the options)
# Looks at the machine:  bash run.sh doctor
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # started by `sh run.sh`
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/bazaar/setup/environment.sh"

if ! pwd -P >/dev/null 2>&1; then
    echo "bazaar: the working folder is not there any more; change to one that is" >&2
    exit 2
fi
if [[ ${1:-} == doctor ]]; then
    examine_machine
    exit
fi
requirements=requirements.txt
for word in "$@"; do [[ $word != --tls ]] || requirements=requirements-tls.txt; done
for word in "$@"; do [[ $word != --hosts && $word != --hosts=* ]] || requirements=requirements-cluster.txt; done
[[ " $* " != *" --cache shared "* && " $* " != *" --cache=shared "* ]] || requirements=requirements-cache.txt
[[ ${1:-} != cluster ]] || requirements=requirements-cluster.txt
prepare_environment $requirements
exec "$PYTHON" "$ROOT/create_bazaar.py" "$@"  # in the caller's folder: a path in --out is relative to it
