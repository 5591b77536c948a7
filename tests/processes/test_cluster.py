"""A cluster whose machines cannot be used is refused in one line; strangers get nowhere; who taps the wire reads nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from bazaar.control.papers import FOLDER
from bazaar.runtime.key import AUTHORITY
from tests.processes.command import run
from tests.processes.machines import COMMAND, Cluster
from tests.processes.market import PATIENCE_S
from tests.processes.namespaces import ip
from tests.processes.tap import Tap
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("hosts"), pytest.mark.timeout(600)]  # its fixture is made once
PLAIN = b"who taps the wire reads this"


def refused(cluster: Cluster, folder: Path) -> str:
    """The one line with which a run is refused."""
    words = (cluster.ours, "--hosts", cluster.where, "--out", folder / "run")
    status, output, complaint = run(folder, None, *words, **cluster.environment)
    assert (status, output, complaint.count("\n")) == (2, "", 1), complaint
    assert not (folder / "run").exists()
    return complaint


def test_a_machine_that_cannot_be_reached_is_named(cluster: Cluster, tmp_path: Path) -> None:
    victim, before = cluster.machines[1], cluster.seen()
    assert ip("link", "set", victim.link, "down")
    try:
        assert f"{victim.address} cannot be reached" in refused(cluster, tmp_path)
    finally:
        assert ip("link", "set", victim.link, "up")
    assert cluster.seen() == before


def test_a_folder_that_cannot_be_written_is_named(cluster: Cluster, tmp_path: Path) -> None:
    victim = cluster.machines[1]
    (scratch,) = (path for path in victim.disk.glob("dask-scratch-space/worker-*") if path.is_dir())
    aside = scratch.rename(victim.disk / "aside")
    scratch.touch()  # even root makes no folder in a file
    try:
        complaint = refused(cluster, tmp_path)
    finally:
        scratch.unlink()
        aside.rename(scratch)
    assert f"{victim.address} cannot write to {scratch}" in complaint


# ----------------------------------------------------------------------------------------------- strangers
def places(cluster: Cluster) -> list[tuple[str, int]]:
    """Where the scheduler and the workers listen to others."""
    found = [(cluster.ours, 8786)]
    for machine in cluster.machines:
        for port in machine.ports:
            host, _, number = port.rpartition(":")
            if host == machine.address:
                found.append((host, int(number)))
    assert len(found) == 1 + len(cluster.machines)
    return found


def hears(place: tuple[str, int], papers: Path | None) -> bytes:
    """What is said to somebody with these papers; nothing, if he is sent away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if papers is not None:
        context.load_cert_chain(papers)
    try:
        with socket.create_connection(place, PATIENCE_S) as plain, context.wrap_socket(plain) as secured:
            return secured.recv(100)
    except OSError:
        return b""


def test_only_who_has_papers_of_the_cluster_is_spoken_to(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "papers"
    subprocess.run(
        [*COMMAND, "papers"], env={**cluster.environment, FOLDER: str(other)}, check=True, capture_output=True
    )
    ours = Path(cluster.environment[FOLDER])
    assert (other / AUTHORITY).read_bytes() != (ours / AUTHORITY).read_bytes()
    for place in places(cluster):
        assert hears(place, None) == b""
        assert hears(place, other / "machine.pem") == b""
        with socket.create_connection(place, PATIENCE_S) as plain:
            plain.sendall(PLAIN)
            plain.settimeout(PATIENCE_S)
            assert b"dask" not in answer(plain)
        assert hears(place, ours / "machine.pem") != b""


def answer(plain: socket.socket) -> bytes:
    try:
        return plain.recv(1000)
    except ConnectionError:
        return b""


def test_who_taps_the_wire_reads_nothing(cluster: Cluster, tmp_path: Path, mongo_uri: str) -> None:
    """Neither what Dask says, nor the leashes, nor the market. That the tap can read is seen by what is said in plain text."""
    out, tap = tmp_path / "run", Tap(cluster.machines[1].link)
    with closing(tap):
        tap.begin()
        read = what_is_read(tap, cluster, out, mongo_uri)
    key = (out / "key").read_bytes().strip()
    for word in (b"buyer", b"seller", b"trader", b"deliver", b"Purchased", b"identity", b"distributed", b"bazaar", key):
        assert word not in read


def what_is_read(tap: Tap, cluster: Cluster, out: Path, mongo_uri: str) -> bytes:
    """All that passes while there is a run."""
    words = (cluster.ours, 6, 2, "--hosts", cluster.where, "--pace", "fast", "--quiet", "--requests", 50, "--out", out)
    status, said, complaint = run(out.parent, mongo_uri, *words, **cluster.environment)
    assert (status, complaint) == (0, ""), said
    with socket.create_connection(places(cluster)[2], PATIENCE_S) as plain:
        plain.sendall(PLAIN)
        wait_until(lambda: PLAIN in tap.read, PATIENCE_S)
    assert len(tap.read) > 100_000
    return bytes(tap.read)
