"""Ctrl-C, and what stands for it: it comes between two things, never in the middle of one that has to be whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_in_one_piece = False
_came = False


def heed() -> None:
    """From now on each of them raises `KeyboardInterrupt` in the main thread.

    Whoever started this process deaf to one of them (`nohup`; a script, in the background) meant it: it stays deaf.
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
    """What is done in this block is done to its end; an interrupt that came meanwhile is raised then.

    Python raises between any two instructions, in a library's code too: a line half read is lost, and a console that is
    left in the middle of a line prints nothing any more. The block should not wait. An exception of its own goes first.
    """
    global _in_one_piece, _came
    _in_one_piece = True
    try:
        yield
    finally:
        _in_one_piece = False
    if _came:
        _came = False
        raise KeyboardInterrupt
