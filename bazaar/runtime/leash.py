"""The leash of a process on another machine: one connection between the launcher and the agent that started the process.

Over it go the launcher's words, signals and the end one way; the status lines, what is appended to files, and how the process
ended the other way. Both sides say that they are alive several times within the length of the leash. It is TLS with the run's
own papers: the agent shows the certificate of its process, the launcher its own, and each checks the other's name.
"""

from __future__ import annotations

import ssl
import struct
import time

import msgspec

BEATS = 4  # signs of life within the length of a leash
READ_AT_ONCE = 65_536
MOST_READS = 64  # in one go, so that nobody else waits long
LONGEST_FRAME = 1 << 20
PIECE_BYTES = 1 << 18

_length = struct.Struct("!I")


class Frame(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """One thing that is said over the leash."""


class Alive(Frame, frozen=True):
    """A sign of life, of either side."""


class Word(Frame, frozen=True):
    """To the process: a line for its standard input."""

    data: bytes


class Signal(Frame, frozen=True):
    """To the process: a signal."""

    number: int


class Over(Frame, frozen=True):
    """To the process: its standard input ends."""


class Said(Frame, frozen=True):
    """Of the process: what it wrote on its standard output."""

    data: bytes


class Piece(Frame, frozen=True):
    """Of the process: what is appended to a file in its folder. `begins`: the file begins anew."""

    file: str
    data: bytes
    begins: bool = False


class Ended(Frame, frozen=True):
    """Of the process: it has ended, with this status as `Popen.returncode`. Everything of it was sent before."""

    status: int


AnyFrame = Alive | Word | Signal | Over | Said | Piece | Ended
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)


class Leash:
    """One end of the connection. Every method raises `OSError` once the other end is gone, or says what nobody says."""

    def __init__(self, sock: ssl.SSLSocket, length_s: float) -> None:
        self.sock = sock
        self.length_s = length_s
        self.heard_at = self._spoke_at = time.monotonic()
        self._data = bytearray()
        self._broken: OSError | None = None

    def send(self, frame: AnyFrame) -> None:
        """Sends a frame. Waits for room, at most for the length of the leash."""
        data = _encoder.encode(frame)
        self.sock.settimeout(self.length_s)
        self.sock.sendall(_length.pack(len(data)) + data)
        self._spoke_at = time.monotonic()

    def beat(self) -> None:
        """Says that this end is alive, if it is time for that."""
        if time.monotonic() > self._spoke_at + self.length_s / BEATS:
            self.send(Alive())

    def receive(self) -> list[AnyFrame]:
        """What has arrived; never waits."""
        if self._broken is not None:
            raise self._broken
        self.sock.settimeout(0.0)
        try:
            for _ in range(MOST_READS):
                data = self.sock.recv(READ_AT_ONCE)
                if not data:
                    raise ConnectionResetError("the other end is gone")
                self._data += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._broken = error  # what came before is read first
        return self._frames()

    def _frames(self) -> list[AnyFrame]:
        frames: list[AnyFrame] = []
        begin = 0
        while len(self._data) >= begin + _length.size:
            (length,) = _length.unpack_from(self._data, begin)
            if length > LONGEST_FRAME:
                raise ConnectionAbortedError("a frame is too long")
            if len(self._data) < begin + _length.size + length:
                break
            begin += _length.size
            try:
                frames.append(_decoder.decode(self._data[begin : begin + length]))
            except msgspec.MsgspecError as error:
                raise ConnectionAbortedError(str(error)) from None
            begin += length
        del self._data[:begin]
        if frames:
            self.heard_at = time.monotonic()
        return frames

    @property
    def silent_s(self) -> float:
        """How long the other end has said nothing."""
        return time.monotonic() - self.heard_at
