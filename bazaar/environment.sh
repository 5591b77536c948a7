# shellcheck shell=bash
# The bazaar's own Python environment, .venv: made once, repaired when it is half-made or out of date.
# Sourced by run.sh, setup_db.sh, tests/run.sh and .ci/run. It sets ROOT, the folder of the repository, and has
#
#   prepare_environment FILE    sees to it that .venv holds what FILE asks for; sets PYTHON to its interpreter
#
# FILE is relative to ROOT and is, or includes, requirements.txt. BAZAAR_PYTHON names the interpreter to make the
# environment with (default: a Python 3.10 to 3.13 on PATH). Ends the caller with 2 if it cannot be done. Callers
# have set pipefail.
#
# Rules. A finished environment costs milliseconds: one stamp is compared, no Python starts. Stamps go before
# anything is changed and come back when all of it is done, so there is never a stamp on a broken environment.
# Whatever pip was doing when it was killed is not to be trusted: `half-made` is there, and all starts anew.

ROOT=$(CDPATH="" cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)

prepare_environment() {
    PYTHON=$ROOT/.venv/bin/python
    _is_ready "$1" && return
    (
        trap 'exit 130' INT  # pip meets Ctrl-C with an exit status of its own
        if command -v flock >/dev/null && ! flock -n 9; then
            _say "Waiting for another start, which is making the Python environment ..."
            flock 9
        fi
        _is_ready "$1" || _make_ready "$1"
    ) 9<"${BASH_SOURCE[0]}" || exit
}

_say() { echo "$*" >&2; }

_wanted() { cat "$ROOT/requirements.txt" "$ROOT/$1" | cksum; }

_stamp() { echo "$ROOT/.venv/${1//\//-}.stamp"; }

_has_interpreter() {  # ... and the one asked for, if one was
    [[ -x $PYTHON ]] && [[ -z ${BAZAAR_PYTHON:-} || $BAZAAR_PYTHON == "$(cat "$ROOT/.venv/made-with" 2>/dev/null)" ]]
}

_is_ready() { _has_interpreter && [[ $(cat "$(_stamp "$1")" 2>/dev/null) == "$(_wanted "$1")" ]]; }

_make_ready() {
    local venv=$ROOT/.venv log=$ROOT/.venv/pip.log file base
    if _has_interpreter && [[ ! -e $venv/half-made ]]; then
        _say "Bringing the Python environment in .venv up to date with $1 ..."
        touch "$venv/half-made"
    else
        base=$(_find_python) || return 2
        _say "Making the Python environment in .venv (once, about half a minute) ..."
        rm -f "$PYTHON"  # first: a removal that is cut short leaves nothing that looks like an environment
        rm -rf "$venv"
        {
            mkdir "$venv" && touch "$venv/half-made" &&
                _logged "$base" -I -m venv --without-pip "$venv" && _logged "$PYTHON" -I -m ensurepip
        } || {
            _say "$base could not make an environment in $venv; what it said is in $log"
            return 2
        }
        echo "${BAZAAR_PYTHON:-}" >"$venv/made-with"
    fi
    rm -f "$venv"/*.stamp
    _logged "$PYTHON" -I -m pip install --quiet --no-input --disable-pip-version-check -r "$ROOT/$1" || {
        (($? > 128)) || rm "$venv/half-made"  # unless it was killed, nothing is broken
        _say "pip could not install $1 (is there a network?); what it said is in $log"
        return 2
    }
    for file in requirements.txt "$1"; do _wanted "$file" >"$(_stamp "$file")"; done
    rm "$venv/half-made"
}

# Runs a command with its output in the log. The pipe is there for Ctrl-C: it ends when the last process that the
# command has started does, and only then do we.
_logged() { "$@" 2>&1 | (trap '' INT && exec cat >"$ROOT/.venv/pip.log"); }

_find_python() {
    local python
    if [[ -n ${BAZAAR_PYTHON:-} ]]; then
        set -- "$BAZAAR_PYTHON"
    else
        set -- python3 python3.13 python3.12 python3.11 python3.10
    fi
    for python; do  # it must run: a version manager's stand-in may be on PATH for a Python that is not there
        "$python" -I -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
            2>/dev/null && echo "$python" && return
    done
    _say "No Python 3.10 to 3.13 with its venv module here (looked for: $*)." \
        "Install one (Debian: python3 and python3-venv) or set BAZAAR_PYTHON to its path."
    return 2
}
