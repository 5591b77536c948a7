"""The machines of a run: places processes on the workers of a Dask cluster, and starts them there (requirement J1).

Dask finds the machines and has an agent (`runtime/agent.py`) started on them. All that the launcher and the agent say to each
other goes over a connection of their own (`runtime/leash.py`), not through Dask. Dask's connections are TLS, always: whoever
can speak to a worker can run programs there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import reprlib
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from bazaar import __version__
from bazaar.control.authority import write_papers
from bazaar.control.hosts_file import read_hosts, spread
from bazaar.control.remote import RemoteProcess
from bazaar.protocol.settings import UsageError
from bazaar.runtime import agent
from bazaar.runtime.address import joined
from bazaar.runtime.history import LAUNCHER
from bazaar.runtime.key import AUTHORITY, PAPERS
from bazaar.runtime.leash import Leash, Pulse
from bazaar.runtime.process import ROOT
from bazaar.runtime.runclock import LAUNCHED_FILE
from bazaar.runtime.tls import papers_in

if TYPE_CHECKING:
    from distributed import Client, Security

FOLDER = "BAZAAR_CLUSTER"  # an environment variable: where the papers of the cluster are
MACHINE = "machine"  # the name on the certificate that all machines of a cluster share
CONNECT_S = 10.0
CLEARING_S = 5.0
NEEDED = "--hosts needs the packages of requirements-cluster.txt; `bash run.sh ... --hosts` installs them"


class Machine(NamedTuple):
    """One machine. `worker`: Dask's address of it. `folder`: of this run, on it."""

    host: str
    worker: str
    folder: str


def papers_folder() -> Path:
    """Where this machine has the papers of its cluster."""
    return Path(os.environ.get(FOLDER) or ROOT / "cluster").absolute()


def make_papers(folder: Path) -> None:
    """Makes the papers of a new cluster: the certificates that let machines in. Raises `UsageError`."""
    try:
        write_papers(folder, [MACHINE], ["localhost"])
    except FileExistsError:
        raise UsageError(f"{folder} is there already; remove it to make a new cluster") from None
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None


def found_papers() -> tuple[Path, Path]:
    """The authority's certificate, and the machine's. Raises `UsageError`."""
    folder = papers_folder()
    found = folder / AUTHORITY, folder / f"{MACHINE}.pem"
    if not all(os.access(path, os.R_OK) for path in found):
        raise UsageError(
            f"this machine has no papers of a cluster in {folder}: make them with `bash run.sh cluster papers` on one "
            f"machine, and copy that folder to all; or name another folder in {FOLDER}"
        )
    return found


def scheduler_at(where: str) -> str:
    """The address of the scheduler, as Dask writes it. Raises `UsageError`."""
    parts = urlsplit(where)
    if parts.scheme == "tcp":
        raise UsageError(
            f"--hosts {where}: without TLS strangers could run programs on every machine; give dask://HOST:PORT"
        )
    with contextlib.suppress(ValueError):
        if parts.scheme in ("dask", "tls") and parts.hostname and parts.port and parts.path in ("", "/"):
            return f"tls://{joined(parts.hostname, parts.port)}"
    raise UsageError(f"--hosts {reprlib.repr(where)[1:-1]} is no dask://HOST:PORT, the address of a Dask scheduler")


def _identity() -> tuple[str, str, str]:
    """What must be the same on all machines: Python, Dask, the bazaar."""
    from distributed import __version__ as dask

    return f"{sys.version_info[0]}.{sys.version_info[1]}", dask, __version__


class Machines:
    """A cluster that is there, connected. Call `place`, `prepare`, then `start` for each process; `close` at the end."""

    def __init__(self, where: str, run: str) -> None:
        """`where`: as `--hosts`. `run`: the name of the run's folder. Raises `UsageError`; no machine has anything then."""
        self._hosts = read_hosts(where)
        where = self._hosts.scheduler
        self._client = _connected(scheduler_at(where), where)
        self._machines: dict[str, Machine] = {}
        self._length_s = 0.0
        self._pulse = Pulse()
        self._out = Path()
        self.placed: dict[str, str] = {}
        """The address of the machine of each process that is not here."""
        try:
            self._machines = self._found(where, f"{run}-{secrets.token_hex(4)}")
            self._compare()
        except BaseException:
            self.close()
            raise

    def _found(self, where: str, folder: str) -> dict[str, Machine]:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        found: dict[str, Machine] = {}
        for worker, about in sorted(workers.items()):
            host = urlsplit(worker).hostname or worker
            if host in found:
                raise UsageError(f"--hosts {where}: {host} has two workers; start one on each machine")
            found[host] = Machine(host, worker, str(Path(about["local_directory"]) / folder))
        for worker in workers:
            _reach(worker)
        if not found:
            raise UsageError(
                f"--hosts {where}: the scheduler knows no worker; on each machine: `bash run.sh cluster worker HOST:PORT`"
            )
        return found

    def _compare(self) -> None:
        """Refuses another Python, Dask or bazaar. Dask itself says which Python it is, before ours has to understand it."""

        def identity() -> Any:  # Dask sends a function of a function as it is: that machine need not have this module
            try:
                from distributed import __version__ as dask

                from bazaar import __version__ as bazaar
            except ImportError as error:
                return str(error)
            return dask, bazaar

        ours = _identity()
        said = self._client.get_versions()["workers"]
        for machine in self._machines.values():
            python = ".".join(said[machine.worker]["host"]["python"].split(".")[:2])
            theirs = (python, ours[1], ours[2]) if python != ours[0] else (python, *self._on(machine, identity))
            if theirs != ours:
                raise UsageError(
                    f"{machine.host} has Python, Dask, bazaar {', '.join(map(str, theirs))}, and here are "
                    f"{', '.join(ours)}: all machines need the same"
                )

    def _on(self, machine: Machine, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function on the machine. Raises what it raises; `OSError` if the machine is not there."""
        try:
            return self._client.run(function, *arguments, workers=[machine.worker])[machine.worker]
        except (ValueError, KeyError) as error:
            raise ConnectionError(str(error)) from None

    def place(self, names: Sequence[str]) -> Mapping[str, str]:
        """Says which machine each process is to be on. Raises `UsageError`."""
        hosts = sorted(
            self._machines, key=lambda host: [int(part) if part.isdigit() else 0 for part in re.split(r"\D", host)]
        )
        self.placed = spread(names, hosts, self._hosts)
        return self.placed

    def prepare(self, out: Path, length_s: float) -> None:
        """Gives each machine the files of the run in `out` that its processes need. Raises `UsageError`."""
        self._out, self._length_s = out, length_s
        shared = ("bazaar.json", LAUNCHED_FILE, "key", f"{PAPERS}/{AUTHORITY}")
        for machine in (self._machines[host] for host in dict.fromkeys(self.placed.values())):
            own = [f"{PAPERS}/{name}.pem" for name, host in self.placed.items() if host == machine.host]
            files = {name: (out / name).read_bytes() for name in (*shared, *own)}
            try:
                self._on(machine, agent.prepare, machine.folder, files)
            except OSError as error:
                raise UsageError(
                    f"{machine.host} cannot write to {machine.folder}: {error.strerror or error}"
                ) from None

    def folder_of(self, name: str) -> str:
        """The run's folder on the machine of this process."""
        return self._machines[self.placed[name]].folder

    def start(self, name: str, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> RemoteProcess:
        """Starts a Python program there, of which `folder` gets the files. Raises `UsageError`."""
        machine = self._machines[self.placed[name]]
        job = agent.Job(name, machine.folder, arguments, environment, machine.host, self._length_s)
        try:
            port = self._on(machine, agent.start, msgspec.msgpack.encode(job))
            connected = socket.create_connection((machine.host, port), timeout=CONNECT_S)
            secured = papers_in(self._out, LAUNCHER).connect(connected, name)
        except OSError as error:
            raise UsageError(f"cannot start {name} on {machine.host}: {error.strerror or error}") from None
        leash = Leash(secured, self._length_s)
        self._pulse.add(leash)
        return RemoteProcess(name, folder, leash)

    def close(self) -> None:
        """Removes the run's folders on all machines that can be reached, and leaves the cluster."""
        self._pulse.close()
        clearing = threading.Thread(target=self._clear, daemon=True)  # a machine that is cut off does not answer
        clearing.start()
        clearing.join(CLEARING_S)
        with contextlib.suppress(
            Exception
        ):  # Dask raises many kinds; the run is over, and nothing can be done about any
            self._client.close(timeout=1)

    def _clear(self) -> None:
        for machine in self._machines.values():
            with contextlib.suppress(Exception):  # its folder stays there, and the others are still to be cleared
                self._on(machine, agent.remove, machine.folder)


def _reach(worker: str) -> None:
    """Tries whether the machine of this worker can be reached: Dask would wait for minutes. Raises `UsageError`."""
    parts = urlsplit(worker)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=CONNECT_S).close()
    except OSError as error:
        raise UsageError(
            f"{parts.hostname} cannot be reached at port {parts.port} ({error.strerror or error}), and the scheduler counts "
            "on its worker: open the firewall, or end that worker"
        ) from None


def _connected(address: str, where: str) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(NEEDED) from None
    authority, own = found_papers()
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)  # what happens is said here, in one line
    try:
        return Client(address, timeout=CONNECT_S, security=_security(authority, own), set_as_default=False)
    except (OSError, ValueError) as error:
        if "certificate" in str(error):
            raise UsageError(f"--hosts {where}: that cluster has other papers than those in {own.parent}") from None
        raise UsageError(f"--hosts {where}: no scheduler answers there within {CONNECT_S:g} s") from None


def _security(authority: Path, own: Path) -> Security:
    from distributed import Security

    return Security(
        require_encryption=True,
        tls_ca_file=str(authority),
        tls_client_cert=str(own),
        tls_client_key=str(own),
    )
