"""`bash run.sh cluster papers|scheduler|worker`: what makes this machine one of a cluster on which `--hosts` places processes.

    papers                 makes the certificates of a new cluster; their folder is copied to all machines
    scheduler ADDRESS      runs Dask's scheduler at this address of this machine, until Ctrl-C
    worker HOST:PORT       runs Dask's worker here, for the scheduler at HOST:PORT, until Ctrl-C
    lend                   runs one of these for a run that has started it over SSH (lending.py)

Dask's dashboards stay closed: they listen on loopback, at a port that the system chooses.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from bazaar.control.papers import found_papers, make_papers, papers_folder, scheduler_at
from bazaar.protocol.settings import UsageError, check_host
from bazaar.runtime.address import towards
from bazaar.runtime.process import ROOT

PORT = 8786
PATIENCE = "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP"  # a worker whose link is cut for longer ends; Dask's own is 30 s
USAGE = "usage: bash run.sh cluster papers | scheduler ADDRESS[:PORT] | worker HOST[:PORT] [DIR [NAME]]"


def command(arguments: list[str]) -> str:
    """Does what the words say. Returns what is to be said; `scheduler` and `worker` do not return. Raises `UsageError`."""
    match arguments:
        case ["papers"]:
            make_papers(papers_folder())
            return (
                f"{papers_folder()} lets machines into the cluster for 30 days: copy it to each, show it to nobody else"
            )
        case ["scheduler", where]:
            _become("dask_scheduler", "--host", _address(where), "--dashboard-address", "127.0.0.1:0")
        case ["lend"]:
            from bazaar.control.lending import lend

            sys.exit(lend())
        case ["worker", where, *more] if len(more) <= 2:
            scheduler = _address(where)
            host = towards(scheduler_host(scheduler))
            host = f"[{host}]" if ":" in host else host  # as Dask wants an address of IPv6
            folder, name = more[0] if more else str(Path.cwd()), more[1:]
            _become(
                "dask_worker", scheduler, "--host", host, "--local-directory", folder, *(["--name", *name] if name else []),
                "--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--dashboard-address", "127.0.0.1:0",
            )  # fmt: skip
    raise UsageError(USAGE)


def _address(where: str) -> str:
    """`tls://HOST:PORT`."""
    where = where.rpartition("//")[2]
    if ":" not in where.rpartition("]")[2]:
        where = f"{where}:{PORT}"
    return scheduler_at(f"dask://{where}")


def scheduler_host(address: str) -> str:
    """The host in `tls://HOST:PORT`."""
    host = address.removeprefix("tls://").rpartition(":")[0].strip("[]")
    check_host(host, "cluster")
    return host


def _become(program: str, *arguments: str) -> NoReturn:
    authority, own = map(str, found_papers(papers_folder()))
    tls = ("--tls-ca-file", authority, "--tls-cert", own, "--tls-key", own)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.setdefault(PATIENCE, "5 minutes")
    words = [sys.executable, "-m", f"distributed.cli.{program}", *arguments, *tls]
    os.execv(sys.executable, words)
