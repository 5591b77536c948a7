"""The process around an actor, on the loopback with real Pyro4: its sockets, files, threads and words."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import pytest

from bazaar.core.channel import Channel
from bazaar.core.turn import NEVER, Turn
from bazaar.protocol.events import Absent, Born, Event, Fell
from bazaar.protocol.goods import WAREHOUSE, Seat
from bazaar.protocol.journal_lines import Queued, Recovered
from bazaar.protocol.messages import WhoTrades
from bazaar.protocol.wire import Letter, decode, encode
from bazaar.runtime import host as host_module
from bazaar.runtime.history import History, HistoryFile
from bazaar.runtime.host import Host
from bazaar.runtime.journal import Journal
from bazaar.runtime.naming import Directory, NameServer
from bazaar.runtime.process import CANNOT_WRITE, ROOT, Status
from bazaar.runtime.runclock import RunClock
from bazaar.runtime.transport import Mailbox, Sender
from tests.builders import HERE, a_delivery, an_order
from tests.unit.conftest import serving
from tests.unit.test_endpoint import Puppet
from tests.waiting import wait_until

KEY = b"the key of this run"
ME, PARTNER = "buyer7", "buyer0"
FELL = Fell(PARTNER)
KNOWN = (WAREHOUSE, PARTNER, "seller1", ME)
SEAT = Seat("seller1", 4)
LONG_S = 1_000.0


class Notebook(Puppet):
    """Writes down, in `happened`, what it was told; the same list may be the store's."""

    def __init__(self) -> None:
        super().__init__(ME)
        self.happened: list[object] = []

    def begin(self, turn: Turn) -> None:
        self.happened.append("begin")

    def finish(self, turn: Turn) -> None:
        self.happened.append("finish")

    def resign(self, turn: Turn) -> None:
        self.happened.append("resign")

    def inherit(self, turn: Turn, seat: Seat, found: Recovered) -> None:
        self.happened.append(("inherited", seat, found))


class Notes:
    """A store."""

    def __init__(self, happened: list[object]) -> None:
        self.happened = happened

    def write(self, records: Sequence[Any], /) -> None:
        self.happened.append(("written", *records))

    def close(self) -> None:
        self.happened.append("closed")


class Partner:
    """Another process, as the host sees it: a mailbox and, when it has something to say, a connection back."""

    def __init__(self, directory: Directory, name: str = PARTNER, life: int = 1, answers: bool = True) -> None:
        self.received: list[Letter] = []
        self.beginnings = 0
        """How many deliveries began with the first letter."""
        self.channel = Channel(name, ME, life, repeat_after_s=LONG_S)
        self._says: deque[bytes] = deque()
        self._answers = answers
        self._directory = directory
        self._listens = True
        self._mailbox = Mailbox(HERE, name, KEY, lambda: None)
        directory.register(name, self._mailbox.uri)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def says(self, *data: bytes) -> None:
        self._says += data
        self._mailbox.wake()

    def _live(self) -> None:
        sender: Sender | None = None
        while self._listens:
            for data, _ in self._mailbox.wait(None):
                delivery = decode(data)
                self.beginnings += bool(delivery.letters) and delivery.number == 0
                self.received += self.channel.accept(delivery, 0.0)
            while self._answers and (answer := self.channel.delivery(LONG_S)) is not None:
                self._says.append(encode(answer))
            while self._says:
                sender = sender or Sender(self._directory.lookup(ME), KEY)
                sender.deliver(self._says.popleft())
        if sender is not None:
            sender.close()
        self._mailbox.close()

    def close(self) -> None:
        self._listens = False
        self._mailbox.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()


class Stage:
    """A host in a thread of its own, its launcher's end of the pipes, and partners."""

    def __init__(self, folder: Path, directory: Directory, launcher: TextIO) -> None:
        self.folder = folder
        self.directory = directory
        self.actor = Notebook()
        self.happened = self.actor.happened
        self.host = Host(
            self.actor, Notes(self.happened), History(folder, ME), RunClock(0.0, 0.0), HERE, directory, KEY, KNOWN,
            journal_of=self._journal_of,
        )  # fmt: skip
        self._launcher = launcher
        self.statuses: list[Status] = []
        """What it has told the launcher."""
        self.thread = threading.Thread(target=self.host.run, daemon=True)

    def _journal_of(self, seat: Seat) -> Recovered:
        self.happened.append(("read", seat))
        return Recovered((Queued(an_order()),))

    def tell(self, word: str) -> None:
        print(word, file=self._launcher, flush=True)

    def does(self, *acts: Callable[[Turn], object]) -> None:
        """Has this done in one turn; it is performed when this returns."""
        self.host.visits.visit(lambda turn: [act(turn) for act in acts])

    def said(self, **values: Any) -> bool:
        """Whether its last word is this."""
        last = self.statuses[-1] if self.statuses else Status()
        return all(getattr(last, name) == value for name, value in values.items())

    def noted(self) -> list[Event]:
        return [line.event for line in HistoryFile(self.folder)]


@pytest.fixture
def directory() -> Iterator[Directory]:
    with serving(NameServer(HERE, 0, KEY, lambda: None)) as server:
        yield Directory("localhost", server.port, KEY)


@pytest.fixture
def stage(tmp_path: Path, directory: Directory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    inside, outside = os.pipe()
    with os.fdopen(inside) as stdin, os.fdopen(outside, "w") as launcher:
        monkeypatch.setattr(sys, "stdin", stdin)
        stage = Stage(tmp_path, directory, launcher)
        monkeypatch.setattr(Status, "say", lambda status: stage.statuses.append(status))
        stage.thread.start()
        yield stage
        stage.tell("stop")
        stage.thread.join(10)
    assert not stage.thread.is_alive()


@pytest.fixture
def partners(directory: Directory) -> Iterator[Callable[..., Partner]]:
    with ExitStack() as stack:

        def a_partner(**values: Any) -> Partner:
            partner = Partner(directory, **values)
            stack.callback(partner.close)
            return partner

        yield a_partner


def asks(turn: Turn) -> None:
    turn.send(PARTNER, WhoTrades())


# ------------------------------------------------------------------------------------------------- sockets
def test_what_comes_in_is_received_and_acknowledged_though_there_is_nothing_to_send(
    stage: Stage, partners: Callable[..., Partner]
) -> None:
    partner = partners()
    for clock in (1, 2):
        partner.channel.put(Letter(clock, WhoTrades()))
    partner.says()
    wait_until(lambda: not partner.channel.owes)
    assert [(source, letter.clock) for source, letter in stage.actor.received] == [(PARTNER, 1), (PARTNER, 2)]


def test_what_is_for_somebody_who_is_not_there_yet_arrives_when_it_is(
    stage: Stage, partners: Callable[..., Partner]
) -> None:
    stage.does(asks)
    stage.does(asks)
    partner = partners()
    assert len(wait_until(lambda: partner.received if len(partner.received) == 2 else None)) == 2


def test_what_is_for_somebody_behind_a_cut_arrives_afterwards(stage: Stage, partners: Callable[..., Partner]) -> None:
    other, partner = partners(name="seller1"), partners()
    stage.does(asks)
    wait_until(lambda: partner.received)
    began_at = time.monotonic()
    stage.tell(f"cut 1.5 {PARTNER}")
    wait_until(lambda: stage.host._cut)
    stage.does(asks, lambda turn: turn.send("seller1", WhoTrades()))
    wait_until(lambda: other.received)
    wait_until(lambda: len(partner.received) == 2)
    assert time.monotonic() >= began_at + 1.5


def test_whoever_waits_for_a_name_holds_up_nobody_else(stage: Stage, partners: Callable[..., Partner]) -> None:
    stage.does(lambda turn: turn.send("seller1", WhoTrades()))
    partner = partners()
    stage.does(asks)
    wait_until(lambda: partner.received)


def test_when_the_other_side_ends_the_connection_what_it_had_not_taken_comes_to_its_next_life(
    stage: Stage, partners: Callable[..., Partner], directory: Directory
) -> None:
    former = Partner(directory, answers=False)
    stage.does(asks)
    wait_until(lambda: former.received)
    former.close()
    partner = partners(life=2)
    assert wait_until(lambda: partner.received) == former.received


def test_a_silent_connection_is_made_anew(
    stage: Stage, partners: Callable[..., Partner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.host._endpoint, "_repeat_after_s", 0.2)
    partner = partners(answers=False)
    stage.does(asks)
    wait_until(lambda: partner.beginnings >= 3)
    assert len(partner.received) == 1


def test_what_is_no_delivery_is_counted_and_the_next_one_taken(stage: Stage, partners: Callable[..., Partner]) -> None:
    partner = partners()
    partner.says(b"rubbish", encode(a_delivery(PARTNER, ME, Letter(1, WhoTrades()))))
    wait_until(lambda: stage.actor.received)
    wait_until(lambda: stage.said(refused=1))


# --------------------------------------------------------------------------------------------------- files
def test_a_life_is_in_its_history_before_anybody_can_find_it(tmp_path: Path) -> None:
    found: list[list[Event]] = []

    class Looking:
        """A directory that looks at the history of who registers."""

        def register(self, name: str, uri: str) -> None:
            found.append([line.event for line in HistoryFile(tmp_path)])

    directory: Any = Looking()
    for _ in range(2):
        history = History(tmp_path, ME)
        host = Host(Notebook(), Notes([]), history, RunClock(0.0, 0.0), HERE, directory, KEY, KNOWN)
        host._mailbox.close()
        history.close()
    assert found == [[Born(1)], [Born(1), Born(2)]]


def test_what_the_turn_keeps_and_notes_is_there_when_it_is_performed(stage: Stage) -> None:
    stage.does(lambda turn: turn.keep("sold"), lambda turn: turn.note(FELL))
    assert stage.happened == [("written", "sold")]
    assert stage.noted() == [Born(1), FELL]


def test_a_journal_is_read_before_its_own_is_begun_and_handed_over_in_a_later_turn(stage: Stage) -> None:
    stage.does(lambda turn: turn.keep("opened"), lambda turn: turn.read(SEAT))
    found = Recovered((Queued(an_order()),))
    wait_until(lambda: len(stage.happened) == 3)
    assert stage.happened == [("read", SEAT), ("written", "opened"), ("inherited", SEAT, found)]


# ------------------------------------------------------------------------------------------------- its loop
def test_it_wakes_up_when_its_actor_wants_to_and_not_before(stage: Stage) -> None:
    ticks: list[float] = []

    def tick(turn: Turn) -> None:
        ticks.append(turn.now)
        if turn.now >= stage.actor.deadline:
            stage.actor.deadline = NEVER

    stage.actor.when_all_is_received = tick
    due = time.monotonic() + 0.3
    stage.does(lambda turn: setattr(stage.actor, "deadline", due))
    wait_until(lambda: stage.actor.deadline == NEVER)
    assert ticks[-1] >= due
    assert len(ticks) <= 5  # it slept
    stage.does()  # and sleeps, until somebody at the door wakes it
    assert len(ticks) <= 6


def test_it_does_what_the_launcher_says_and_tells_what_has_changed(stage: Stage) -> None:
    wait_until(lambda: stage.said(ready=True, idle=False))
    stage.tell("begin")
    stage.tell("resign")
    stage.tell("finish")
    wait_until(lambda: stage.said(idle=True, finishes=1))
    assert stage.happened == ["begin", "resign", "finish"]
    stage.does(lambda turn: setattr(stage.actor, "answered", 7))
    wait_until(lambda: stage.said(answered=7))
    stage.tell("stop")
    stage.thread.join(10)
    assert stage.happened[-1] == "closed"


def test_it_is_not_idle_while_somebody_who_will_come_back_has_to_take_something(stage: Stage) -> None:
    stage.does(asks)
    stage.tell("finish")
    wait_until(lambda: stage.said(finishes=1))
    assert not stage.statuses[-1].idle
    stage.tell(f"finish {PARTNER}")
    wait_until(lambda: stage.said(finishes=2, idle=True))


# --------------------------------------------------------------------------------- a process of its own
def main() -> int:
    """A puppet's process: FOLDER PORT ACT, where the act is done when it begins."""
    folder, port, act = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

    class Acting(Notebook):
        def begin(self, turn: Turn) -> None:
            if act == "stand still":
                self.when_all_is_received = lambda turn: setattr(self, "deadline", turn.now + 0.1)
                turn.note(FELL)
                return
            turn.send(PARTNER, WhoTrades())
            turn.note(FELL)
            if act == "keep":
                turn.keep(Queued(an_order()))
            size = (folder / "history.jsonl").stat().st_size if act == "note" else 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    os.chdir(folder)
    journal = Journal(folder)
    journal._file = os.open("queue-4.jsonl", os.O_WRONLY | os.O_CREAT)
    directory = Directory("localhost", port, KEY)
    host = Host(Acting(), journal, History(folder, ME), RunClock(0.0, 0.0), HERE, directory, KEY, KNOWN)
    host.run()
    return 0


Started = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def started(tmp_path: Path, directory: Directory) -> Iterator[Started]:
    with ExitStack() as stack:

        def start(act: str) -> subprocess.Popen[str]:
            code = "from bazaar.runtime import process; from tests.unit.test_host import main; process.run(main)"
            popen = subprocess.Popen(
                [sys.executable, "-c", code, tmp_path, directory._where.rpartition(":")[2], act],
                cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            stack.callback(popen.kill)
            assert popen.stdin is not None
            popen.stdin.write("begin\n")
            popen.stdin.flush()
            return popen

        yield start


@pytest.mark.parametrize("act", ["keep", "note"])
def test_where_nothing_can_be_written_it_ends_with_one_line_and_a_status_and_has_sent_nothing(
    act: str, started: Started, partners: Callable[..., Partner], tmp_path: Path
) -> None:
    partner = partners()
    _, complained = (popen := started(act)).communicate(timeout=20)
    assert (popen.returncode, complained) == (CANNOT_WRITE, f"cannot write to {tmp_path}: File too large\n")
    assert partner.received == []


def test_it_notes_that_the_machine_did_not_let_it_run(started: Started, tmp_path: Path) -> None:
    popen = started("stand still")
    wait_until(lambda: list(HistoryFile(tmp_path).only(Fell)))
    popen.send_signal(signal.SIGSTOP)
    threading.Event().wait(host_module.ABSENT_S + 0.5)
    popen.send_signal(signal.SIGCONT)
    absent = wait_until(lambda: list(HistoryFile(tmp_path).only(Absent)))
    assert absent[0].event.for_s > host_module.ABSENT_S
    popen.communicate("stop\n", timeout=20)
    assert popen.returncode == 0
