"""What unit tests share. Properties are searched for a second or so each, and without a deadline: the machine may be busy."""

import importlib.util
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any

import pytest

from bazaar.control import interrupts
from bazaar.runtime.naming import NameServer


class _NoHypothesis(MetaPathFinder):
    """Whoever imports it is skipped, and says why, instead of ending the collection of all the others."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "hypothesis":
            pytest.skip("needs hypothesis: pip install -r requirements.txt", allow_module_level=True)


if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("unit", deadline=None, max_examples=60, database=None)
    settings.load_profile("unit")
else:
    sys.meta_path.insert(0, _NoHypothesis())


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
