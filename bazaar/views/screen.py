"""A text file whose writer never blocks: the text goes into a bounded buffer, and a thread carries it to the reader.

The reader of a run's output may stop reading (`| less`, Ctrl-S), leave (`| head`), or be a full disk. None of that may
disturb the run: it goes on, and at the end it reports how many lines could not be shown.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from typing import TextIO

MOST_CHARACTERS = 1_000_000
CHUNK = 65_536


class Screen(io.TextIOBase):
    """The buffered front of `stream`. None: there is no stream, as after `>&-`."""

    def __init__(self, stream: TextIO | None, most: int = MOST_CHARACTERS) -> None:
        self._stream = stream
        self._most = most
        self._waiting = ""
        self._writing = ""  # the text that the thread is writing
        self._changed = threading.Condition()
        self._carrier: threading.Thread | None = None
        self._lost = 0  # lines
        self._reason = "" if stream is not None else "there is no output"

    @property
    def encoding(self) -> str:  # type: ignore[override] # rich asks which boxes it can draw
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the reader is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream. Raises `OSError` if it has none."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Always true."""
        return True

    def write(self, text: str) -> int:
        """Buffers the text, or drops it if the reader is gone or too far behind."""
        with self._changed:
            if self._reason or len(self._waiting) + len(text) > self._most:
                self._lost += text.count("\n")
                return len(text)
            self._waiting += text
            if self._carrier is None:
                self._carrier = threading.Thread(target=self._carry, name="screen", daemon=True)
                self._carrier.start()
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Does nothing: the thread writes all the time."""

    def unshown(self, patience_s: float) -> str:
        """Waits at most `patience_s` for the reader. Returns how many lines it did not get, and why; empty if it got all."""
        deadline = time.monotonic() + patience_s
        with self._changed:
            while (self._waiting or self._writing) and not self._reason and time.monotonic() < deadline:
                self._changed.wait(max(0.0, deadline - time.monotonic()))
            left = self._lost + (self._waiting + self._writing).count("\n")
            reason = self._reason or "nobody was reading"
        return f"{left} lines could not be shown ({reason})" if left else ""

    def _carry(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                self._writing, self._waiting = self._waiting[:CHUNK], self._waiting[CHUNK:]
            try:
                self._hand_over(self._writing)
            except (OSError, ValueError) as error:
                with self._changed:
                    self._reason = getattr(error, "strerror", None) or str(error)
                    self._changed.notify_all()
                    return
            with self._changed:
                self._writing = ""
                self._changed.notify_all()

    def _hand_over(self, text: str) -> None:
        assert self._stream is not None
        try:
            descriptor = self._stream.fileno()
        except io.UnsupportedOperation:  # not a file
            self._stream.write(text)
            self._stream.flush()
            return
        data = text.encode(self.encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except BlockingIOError:
                select.select([], [descriptor], [])
