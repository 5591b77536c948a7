"""Reads along on the wire (Linux, as root)."""

from __future__ import annotations

import socket
import struct
import threading

ALL = 3  # ETH_P_ALL: also what leaves, and what a bridge takes


class Tap:
    """Reads along on an interface: the TCP payloads from and to some ports, or all."""

    def __init__(self, interface: str = "lo") -> None:
        self.read = bytearray()
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))  # type: ignore[attr-defined, unused-ignore]
        self._wire.bind((interface, 0))
        self._wire.settimeout(0.1)
        self._ports: frozenset[int] = frozenset()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def begin(self, ports: frozenset[int] = frozenset()) -> None:
        """Without ports: all."""
        self._ports = ports
        self._thread.start()

    def _listen(self) -> None:
        while not self._ends.is_set():
            try:
                frame = self._wire.recv(65536 + 64)
            except TimeoutError:
                continue
            segment = frame[14 + 4 * (frame[14] & 15) :]
            if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
                continue
            if not self._ports or self._ports.intersection(struct.unpack_from("!HH", segment)):
                self.read += segment[4 * (segment[12] >> 4) :]

    def close(self) -> None:
        self._ends.set()
        self._thread.join(10)
        self._wire.close()
