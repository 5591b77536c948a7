"""The papers of a cluster of machines: the certificates with which its scheduler, workers and clients speak to each other."""

from __future__ import annotations

import contextlib
import os
import reprlib
from pathlib import Path
from urllib.parse import urlsplit

from bazaar.control.authority import write_papers
from bazaar.protocol.settings import UsageError
from bazaar.runtime.address import joined
from bazaar.runtime.key import AUTHORITY
from bazaar.runtime.process import ROOT

FOLDER = "BAZAAR_CLUSTER"  # an environment variable: where the papers of the cluster are
MACHINE = "machine"  # the name on the certificate that all machines of a cluster share


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


def found_papers(folder: Path) -> tuple[Path, Path]:
    """The authority's certificate, and the machine's. Raises `UsageError`."""
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
