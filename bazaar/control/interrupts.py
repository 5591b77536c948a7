"""Ctrl-C, and the signals like it. They interrupt between two steps, never within a step that has to be completed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_in_one_piece = False
_came = False


def heed() -> None:
    """From now on each of `NUMBERS` raises `KeyboardInterrupt` in the main thread.

    A signal that was ignored when this process started stays ignored (`nohup`; a script, in the background): that was
    intended.
    """
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    global _came
    if not _in_one_piece:
        raise KeyboardInterrupt
    _came = True


@contextmanager
def deferred() -> Iterator[None]:
    """This block is executed to its end; an interrupt that came meanwhile is raised then.

    Python raises between any two instructions, also within a library's code. A line that is half read would be lost, and a
    console that is interrupted in the middle of a line prints nothing any more. The block should not wait. An exception of its
    own goes first.
    """
    global _in_one_piece, _came
    within_another = _in_one_piece
    _in_one_piece = True
    try:
        yield
    finally:
        _in_one_piece = within_another
    if _came and not within_another:
        _came = False
        raise KeyboardInterrupt
