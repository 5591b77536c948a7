"""What unit tests share. Properties are searched for a second or so each, and without a deadline: the machine may be busy."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import settings

from bazaar import interrupts
from bazaar.rpc import NameServer

settings.register_profile("unit", deadline=None, max_examples=60, database=None)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A `main` makes a kill look like Ctrl-C; the process that runs the tests must not keep that."""
    before = {number: signal.getsignal(number) for number in interrupts.NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def serving(server: NameServer) -> Iterator[NameServer]:
    """In a thread of its own; it has ended, and its port is free, afterwards."""
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.close()
    thread.join(10)
    assert not thread.is_alive()
