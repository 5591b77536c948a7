"""TLS around the connections of a run, and what a process knows by it: with whom it speaks (requirement J5).

A run has a certificate authority of its own, which ends with the launcher's start (`control/authority.py`). Each process has a
certificate with its name. Both sides show theirs, and trust this authority alone. The name is the certificate's, whatever the
address is: what counts is who somebody is, not where.

The names are compared in three places. A delivery must come from the process that it names as its source. A connection must
have led to the process that was looked up. A process enters no name but its own at the name server.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from bazaar.protocol.settings import UsageError
from bazaar.runtime.acceptor import READ_AT_ONCE, SEND_TIMEOUT_S, Connection
from bazaar.runtime.key import AUTHORITY, PAPERS


class Papers:
    """The certificate of one process, and those whom it believes."""

    def __init__(self, folder: Path, name: str) -> None:
        """`folder` has the authority's certificate, and one of this name with its key. Raises `OSError`, `ssl.SSLError`."""
        self._server = self._context(ssl.PROTOCOL_TLS_SERVER, folder, name)
        self._client = self._context(ssl.PROTOCOL_TLS_CLIENT, folder, name)

    @staticmethod
    def _context(protocol: int, folder: Path, name: str) -> ssl.SSLContext:
        """Not Pyro4's own context, which also trusts all authorities of the system."""
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the name of the process is checked instead
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / AUTHORITY)
        context.load_cert_chain(folder / f"{name}.pem")
        return context

    def accept(self, accepted: socket.socket) -> TlsConnection:
        """The connection of somebody who is still a stranger."""
        return TlsConnection(
            self._server.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False), threading.Lock()
        )

    def connect(self, connected: socket.socket, name: str) -> ssl.SSLSocket:
        """Speaks TLS with the process of this name. Raises `OSError`, also if somebody else is there."""
        secured = self._client.wrap_socket(connected)
        there = _name_on(secured)
        if there != name:
            secured.close()
            raise ConnectionRefusedError(f"looked for {name}, and found {there}")
        return secured

    def admit(self, accepted: socket.socket, name: str) -> ssl.SSLSocket:
        """The connection of somebody who must be the process of this name. Waits for the handshake. Raises `OSError`."""
        secured = self._server.wrap_socket(accepted, server_side=True)
        there = _name_on(secured)
        if there != name:
            secured.close()
            raise ConnectionRefusedError(f"waited for {name}, and {there} came")
        return secured


def papers_in(run_folder: Path, name: str) -> Papers:
    """Those of this process of the run. Raises `UsageError`."""
    try:
        return Papers(run_folder / PAPERS, name)
    except OSError as error:  # also if what is in the files is no certificate
        raise UsageError(
            f"this run speaks TLS, and {name} has no papers: {run_folder / PAPERS}/{name}.pem and {AUTHORITY} are needed "
            f"({error.strerror or error})"
        ) from None


class TlsConnection(Connection):
    """Reads what has arrived, and never waits. The handshake is part of what arrives."""

    sock: ssl.SSLSocket

    def __init__(self, connected: ssl.SSLSocket, one_at_a_time: threading.Lock) -> None:
        """At a door another thread sends the answers; OpenSSL allows one call at a time."""
        super().__init__(connected)
        self._one_at_a_time = one_at_a_time

    def take_in(self) -> None:
        """See `Connection`. Raises `OSError` also for a certificate that does not count."""
        with self._one_at_a_time, contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.sock.settimeout(0.0)
            try:
                if self.name is None:
                    self.sock.do_handshake()
                    self.name = _name_on(self.sock)
                # A record, 16 kB at most: of what OpenSSL has decrypted nothing is left, which would make no socket ready.
                data = self.sock.recv(READ_AT_ONCE)
                if not data:
                    raise ConnectionResetError
                self.data += data
            finally:
                self.sock.settimeout(SEND_TIMEOUT_S)

    def send(self, data: bytes) -> None:
        with self._one_at_a_time:
            super().send(data)

    def beside(self) -> Connection:
        return TlsConnection(self.sock, self._one_at_a_time)


def _name_on(secured: ssl.SSLSocket) -> str:
    """The name in the other side's certificate, which was checked in the handshake."""
    subject: Any = (secured.getpeercert() or {}).get("subject", ())
    return next((value for part in subject for key, value in part if key == "commonName"), "")
