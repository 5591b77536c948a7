# shellcheck shell=bash
# The bazaar's own Python environment, .venv. It is made once, and repaired when it is half-made or out of date.
# Sourced by run.sh, setup_db.sh, tests/run.sh and .ci/run. This file sets ROOT, the folder of the repository, and defines
#
#   prepare_environment FILE    makes sure that .venv holds what FILE asks for; sets PYTHON to its interpreter
#
# FILE is relative to ROOT and is, or includes, requirements.txt. BAZAAR_PYTHON names the interpreter to make the
# environment with (default: a Python 3.10 to 3.13 on PATH). If this fails, the caller is ended with status 2. Callers
# have set pipefail.
#
# Rules. Checking a finished environment takes milliseconds: one stamp is compared, and no Python starts. The stamps are
# removed before anything is changed, and written again when everything is done and was checked. So a broken environment
# never has a stamp. If pip is killed, the file `half-made` remains, and the environment is made anew: it cannot be trusted.
# The caller's PYTHON* variables are meant for other Pythons. They are unset, except those that say where byte code goes.

ROOT=$(CDPATH="" cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
for _name in "${!PYTHON@}"; do
    case $_name in PYTHONDONTWRITEBYTECODE | PYTHONPYCACHEPREFIX) ;; *) unset "$_name" ;; esac
done
export PATH  # if it was not set, the shell has a default PATH, but programs would have none
[[ -n ${HOME:-} ]] || { unset HOME && export HOME=~; }  # from the user database

prepare_environment() {
    PYTHON=$ROOT/.venv/bin/python
    if [[ $ROOT == *:* ]]; then
        _say "The project's path, $ROOT, has a colon, with which no Python environment works: move or rename the folder."
        exit 2
    fi
    _is_ready "$1" && return
    (
        trap 'exit 130' INT  # after Ctrl-C, pip has an exit status of its own
        if command -v flock >/dev/null && ! flock -n 9; then
            _say "Waiting for another start, which is making the Python environment ..."
            flock 9
        fi
        _is_ready "$1" || _make_ready "$1"
    ) 9<"${BASH_SOURCE[0]}" || exit
}

# Says what the machine has for a run and what it lacks. Returns 1 if a run cannot start. Makes and changes nothing.
examine_machine() {
    local python ready=not fit=fit
    PYTHON=$ROOT/.venv/bin/python
    ! _is_ready requirements.txt || ready=ready
    if ! python=$(_find_python 2>/dev/null); then
        fit=not
        for python in "${BAZAAR_PYTHON:-python3}" python3 python ""; do
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null && break
        done
    fi
    if [[ -z $python ]]; then
        echo "missing  Python      none here: install 3.10 to 3.13 (Debian: python3 and python3-venv), or set BAZAAR_PYTHON"
        return 1
    fi
    "$python" -I "$ROOT/bazaar/setup/doctor.py" "$ROOT" "$ready" "$fit"
}

_say() { echo "$*" >&2; }

# The content of a stamp: a checksum of the requirements and the Python (its inode: a system upgrade brings another one).
_wanted() { { cat "$ROOT/requirements.txt" "$ROOT/$1" && cd "$ROOT/.venv/bin" && ls -Li python; } 2>/dev/null | cksum; }

_stamp() { echo "$ROOT/.venv/${1//\//-}.stamp"; }

_has_interpreter() {  # ... and it is the one that BAZAAR_PYTHON names, if that is set
    [[ -x $PYTHON ]] && [[ -z ${BAZAAR_PYTHON:-} || $BAZAAR_PYTHON == "$(cat "$ROOT/.venv/made-with" 2>/dev/null)" ]]
}

_is_ready() { _has_interpreter && [[ $(cat "$(_stamp "$1")" 2>/dev/null) == "$(_wanted "$1")" ]]; }

_make_ready() {
    local venv=$ROOT/.venv missing=all file
    if _has_interpreter && [[ ! -e $venv/half-made ]]; then
        _installer check "$1" 2>/dev/null && missing=nothing
        (($? == 3)) && missing=some  # any other status: it is no environment for this Python
    fi
    [[ $missing == nothing && ! -w $venv ]] && return  # somebody else owns it, and it is complete
    if [[ ! -w $ROOT ]] || [[ -e $venv && $EUID != 0 && ! -O $venv ]]; then
        _say "The Python environment of $ROOT is not ready, and you may not write there:" \
            "let its owner run it once, or work in a copy of your own."
        return 2
    fi
    case $missing in
        all) _make_anew "$venv" || return ;;
        some) _say "Bringing the Python environment in .venv up to date with $1 ..." && touch "$venv/half-made" ;;
    esac
    rm -f "$venv"/*.stamp
    [[ $missing == nothing ]] || _installer install "$1" || {
        (($? > 128)) || rm "$venv/half-made"  # an installer that was not killed has broken nothing
        return 2
    }
    for file in requirements.txt "$1"; do _wanted "$file" >"$(_stamp "$file")"; done
    rm -f "$venv/half-made"
}

_make_anew() {  # makes the environment $1, without packages
    local base
    base=$(_find_python) || return 2
    rm -f "$1/bin/python" 2>/dev/null  # first, so that an interrupted removal leaves nothing that looks like an environment
    rm -rf "$1" 2>/dev/null || {
        _say "Cannot remove $1, in which not all is yours; remove it, or work in a copy of your own."
        return 2
    }
    _say "Making the Python environment in .venv, once: some 90 MB to fetch, 400 MB on the disk ..."
    { mkdir "$1" && touch "$1/half-made" && _logged "$base" -I -m venv --without-pip "$1"; } || {
        _say "$base could not make an environment in $1; what it said is in $1/pip.log"
        return 2
    }
    echo "${BAZAAR_PYTHON:-}" >"$1/made-with"
}

_installer() { "$PYTHON" -I "$ROOT/bazaar/setup/installer.py" "$1" "$ROOT/.venv" "$ROOT/$2"; }

# Runs a command with its output in the log. The pipe is there for Ctrl-C: it is closed when the last process that the
# command has started ends, and this function waits for that.
_logged() { "$@" 2>&1 | (trap '' INT && exec cat >"$ROOT/.venv/pip.log"); }

_find_python() {
    local python check
    check='import ssl, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.implementation.name != "cpython")'
    command -v uv >/dev/null || check="import ensurepip; $check"  # it provides pip
    if [[ -n ${BAZAAR_PYTHON:-} ]]; then
        set -- "$BAZAAR_PYTHON"
    else
        set -- python3 python3.13 python3.12 python3.11 python3.10
    fi
    for python; do  # it must run: PATH may have a version manager's stub for a Python that is not installed
        "$python" -I -c "$check" 2>/dev/null && echo "$python" && return
    done
    _say "No Python 3.10 to 3.13 with its modules venv and ssl here (looked for: $*)." \
        "Install one (Debian: python3 and python3-venv) or set BAZAAR_PYTHON to its path."
    return 2
}
