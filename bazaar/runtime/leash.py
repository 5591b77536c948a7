"""The leash of a process on another machine: one connection between the launcher and the agent that started the process.

Over it go the launcher's words, signals and the end one way; the status lines, what is appended to files, and how the process
ended the other way. Both sides say that they are alive several times within the length of the leash. It is TLS with the run's
own papers: the agent shows the certificate of its process, the launcher its own, and each checks the other's name.

A busy machine must not look like one that is gone. So whoever has waited reads what has arrived before it counts the silence.
The launcher says in a thread of its own that it is alive (`Pulse`), whatever else it is doing.
"""

from __future__ import annotations

import contextlib
import select
import ssl
import struct
import threading
import time

import msgspec

BEATS = 4  # signs of life within the length of a leash
LOOK_EVERY_S = 0.1  # whether it is time for one
READ_AT_ONCE = 65_536
MOST_READS = 64  # in one go, so that nobody else waits long
WRITTEN_AT_ONCE = 16_384  # a record of TLS
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


class Hold(Frame, frozen=True):
    """A fault, to the agent: for so long nothing passes on the leash, to the agent (`inwards`) or from it."""

    inwards: bool
    for_s: float


class Slow(Frame, frozen=True):
    """A fault, to the agent: the process runs a tenth of the time, for so long or until a signal comes for it."""

    for_s: float


class Die(Frame, frozen=True):
    """A fault, to the agent: everything that was started on this machine is to end at once, the agent, too."""


class Over(Frame, frozen=True):
    """To the process: its standard input ends."""


class Said(Frame, frozen=True):
    """Of the process: what it wrote on its standard output."""

    data: bytes


class Piece(Frame, frozen=True):
    """Of the process: what is appended to a file in its folder, or to the ledger's. `begins`: the file begins anew."""

    file: str
    data: bytes
    begins: bool = False


class Ended(Frame, frozen=True):
    """Of the process: it has ended, with this status as `Popen.returncode`. Everything of it was sent before."""

    status: int


AnyFrame = Alive | Word | Signal | Hold | Slow | Die | Over | Said | Piece | Ended
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)


class Leash:
    """One end of the connection. Every method raises `OSError` once the other end is gone, or says what nobody says."""

    def __init__(self, sock: ssl.SSLSocket, length_s: float) -> None:
        sock.settimeout(0.0)
        self.sock = sock
        self.length_s = length_s
        self._heard_at = self._spoke_at = time.monotonic()
        self._data = bytearray()
        self._broken: OSError | None = None
        self._one_at_a_time = threading.RLock()  # OpenSSL allows one call at a time

    def send(self, frame: AnyFrame) -> None:
        """Sends a frame. Waits for room as long as the other end shows that it is alive, and reads meanwhile."""
        data = _encoder.encode(frame)
        left = memoryview(_length.pack(len(data)) + data)
        with self._one_at_a_time:
            while left:
                try:
                    left = left[self.sock.send(left[:WRITTEN_AT_ONCE]) :]
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    self._wait_for_room()
            self._spoke_at = time.monotonic()

    def _wait_for_room(self) -> None:
        self._await(select.POLLIN | select.POLLOUT, self.length_s / BEATS)
        self._take_in()
        if self._broken is not None:
            raise self._broken
        if self.silent_s > self.length_s:
            raise TimeoutError("the other end is silent")

    def beat(self) -> None:
        """Says that this end is alive, if it is time for that and there is room."""
        with self._one_at_a_time:
            due = time.monotonic() > self._spoke_at + self.length_s / BEATS
            if due and self._broken is None and self._await(select.POLLOUT, 0.0):
                self.send(Alive())

    def wait(self, patience_s: float) -> None:
        """Waits until something arrives, at most so long."""
        self._await(select.POLLIN, patience_s)

    def _await(self, what: int, patience_s: float) -> bool:
        poll = select.poll()  # unlike `select`, it takes any number of open files
        poll.register(self.sock, what)
        return bool(poll.poll(patience_s * 1000))

    def receive(self) -> list[AnyFrame]:
        """What has arrived; never waits. What came before the connection broke is read first."""
        with self._one_at_a_time:
            self._take_in()
            frames = self._frames()
            if not frames and self._broken is not None:
                raise self._broken
            return frames

    def _take_in(self) -> None:
        try:
            for _ in range(MOST_READS if self._broken is None else 0):
                data = self.sock.recv(READ_AT_ONCE)
                if not data:
                    raise ConnectionResetError("the other end is gone")
                self._data += data
                self._heard_at = time.monotonic()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._broken = error

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
        return frames

    @property
    def silent_s(self) -> float:
        """How long the other end has said nothing, as far as it was read."""
        return time.monotonic() - self._heard_at

    def close(self) -> None:
        """Ends the connection."""
        with self._one_at_a_time:
            self._broken = self._broken or ConnectionAbortedError("this end is closed")
            self.sock.close()


class Pulse:
    """A thread that says at these leashes that this process is alive, until `close`."""

    def __init__(self) -> None:
        self._leashes: list[Leash] = []
        self._over = threading.Event()
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def add(self, leash: Leash) -> None:
        """Says it at this one, too, until it is closed or its other end is gone."""
        self._leashes.append(leash)

    def _beat(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            for leash in self._leashes:
                with contextlib.suppress(OSError):  # whoever reads it finds out
                    leash.beat()

    def close(self) -> None:
        """Says nothing any more."""
        self._over.set()
