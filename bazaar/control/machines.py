"""The machines of a run: places processes on the workers of a Dask cluster, and starts them there (requirement J1).

The cluster is there already, or is made for this run from machines that are borrowed over SSH.

Dask finds the machines and has an agent (`runtime/agent.py`) started on them. All that the launcher and the agent say to each
other goes over a connection of their own (`runtime/leash.py`), not through Dask. Dask's connections are TLS, always: whoever
can speak to a worker can run programs there.
"""

from __future__ import annotations

import contextlib
import logging
import re
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
from bazaar.control.borrowing import Borrowed
from bazaar.control.hosts_file import read_hosts, spread
from bazaar.control.papers import found_papers, papers_folder, scheduler_at
from bazaar.control.remote import RemoteProcess
from bazaar.protocol.settings import UsageError
from bazaar.runtime import agent
from bazaar.runtime.history import LAUNCHER
from bazaar.runtime.key import AUTHORITY, PAPERS
from bazaar.runtime.leash import Leash, Pulse
from bazaar.runtime.runclock import LAUNCHED_FILE
from bazaar.runtime.tls import papers_in

if TYPE_CHECKING:
    from distributed import Client, Security

CONNECT_S = 10.0
CLEARING_S = 5.0
NEEDED = "--hosts needs the packages of requirements-cluster.txt; `bash run.sh ... --hosts` installs them"


class Machine(NamedTuple):
    """One machine. `worker`: Dask's address of it. `folder`: of this run, on it."""

    host: str
    worker: str
    folder: str


def _identity() -> tuple[str, str, str]:
    """What must be the same on all machines: Python, Dask, the bazaar."""
    from distributed import __version__ as dask

    return f"{sys.version_info[0]}.{sys.version_info[1]}", dask, __version__


class Machines:
    """A cluster, connected. Call `meet` when all `have_come`, then `place`, `prepare`, and `start` for each process.

    Call `close` in any case.
    """

    def __init__(self, where: str, out: Path, ours: str) -> None:
        """`where`: as `--hosts`. `out`: the run's folder. `ours`: where the machines reach this one.

        Raises `UsageError`; nothing is left anywhere then.
        """
        self._hosts = read_hosts(where)
        self._out = out
        self._borrowed: Borrowed | None = None
        self._client: Client | None = None
        self._machines: dict[str, Machine] = {}
        self._length_s = 0.0
        self._pulse = Pulse()
        self.placed: dict[str, str] = {}
        """The address of the machine of each process that is not here."""
        try:
            scheduler, papers = self._hosts.scheduler, papers_folder()
            if scheduler is None:
                self._borrowed = Borrowed(self._hosts, ours, out / "cluster")
                scheduler, papers = self._borrowed.ask()
            self._source = f"--hosts {scheduler}"
            self._client = _connected(scheduler_at(scheduler), self._source, papers)
        except BaseException:
            self.close()
            raise

    def have_come(self) -> bool:
        """Whether all borrowed machines are there. Raises `UsageError` if one will not come."""
        return self._borrowed is None or self._borrowed.have_come(
            str(about["name"]) for about in self._workers().values()
        )

    def meet(self) -> None:
        """Asks the machines who they are. Raises `UsageError`."""
        workers = self._workers()
        self._machines = self._found(workers, f"{self._out.name}-{secrets.token_hex(4)}")
        if self._borrowed is not None:  # the file calls them as `ssh` does
            address = {str(about["name"]): urlsplit(worker).hostname or worker for worker, about in workers.items()}
            peers = {address[word]: names for word, names in self._hosts.machines.items()}
            self._hosts = self._hosts._replace(machines=peers)
        self._compare()

    @property
    def _dask(self) -> Client:
        assert self._client is not None
        return self._client

    def _workers(self) -> Mapping[str, Any]:
        """What Dask knows of each worker, by address."""
        workers: Mapping[str, Any] = self._dask.scheduler_info(n_workers=-1)["workers"]
        return workers

    def _found(self, workers: Mapping[str, Any], folder: str) -> dict[str, Machine]:
        found: dict[str, Machine] = {}
        for worker, about in sorted(workers.items()):
            host = urlsplit(worker).hostname or worker
            if host in found:
                raise UsageError(f"{self._source}: {host} has two workers; one for each machine")
            found[host] = Machine(host, worker, str(Path(about["local_directory"]) / folder))
        for worker in workers:
            _reach(worker)
        if not found:
            raise UsageError(
                f"{self._source}: the scheduler knows no worker; on each machine: `bash run.sh cluster worker HOST:PORT`"
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
        said = self._dask.get_versions()["workers"]
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
            return self._dask.run(function, *arguments, workers=[machine.worker])[machine.worker]
        except (ValueError, KeyError) as error:
            raise ConnectionError(str(error)) from None

    def place(self, names: Sequence[str]) -> Mapping[str, str]:
        """Says which machine each process is to be on. Raises `UsageError`."""
        hosts = sorted(
            self._machines, key=lambda host: [int(part) if part.isdigit() else 0 for part in re.split(r"\D", host)]
        )
        self.placed = spread(names, hosts, self._hosts)
        return self.placed

    def without(self, name: str) -> Mapping[str, str]:
        """Forgets where this process was: it is started here from now on. Says where the others are."""
        del self.placed[name]
        return dict(self.placed)

    def prepare(self, length_s: float) -> None:
        """Gives each machine the files of the run that its processes need. Raises `UsageError`."""
        self._length_s = length_s
        shared = ("bazaar.json", LAUNCHED_FILE, "key", f"{PAPERS}/{AUTHORITY}")
        for machine in (self._machines[host] for host in dict.fromkeys(self.placed.values())):
            own = [f"{PAPERS}/{name}.pem" for name, host in self.placed.items() if host == machine.host]
            files = {name: (self._out / name).read_bytes() for name in (*shared, *own)}
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
        if self._client is not None:
            with contextlib.suppress(
                Exception
            ):  # Dask raises many kinds; the run is over: nothing can be done about any
                self._client.close(timeout=1)
        if self._borrowed is not None:
            self._borrowed.give_back()

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


def _connected(address: str, source: str, papers: Path) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(NEEDED) from None
    authority, own = found_papers(papers)
    logging.getLogger("distributed").setLevel(logging.CRITICAL + 1)  # what happens is said here, in one line
    try:
        return Client(address, timeout=CONNECT_S, security=_security(authority, own), set_as_default=False)
    except (OSError, ValueError) as error:
        if "certificate" in str(error):
            raise UsageError(f"{source}: that cluster has other papers than those in {own.parent}") from None
        raise UsageError(f"{source}: no scheduler answers there within {CONNECT_S:g} s") from None


def _security(authority: Path, own: Path) -> Security:
    from distributed import Security

    return Security(
        require_encryption=True,
        tls_ca_file=str(authority),
        tls_client_cert=str(own),
        tls_client_key=str(own),
    )
