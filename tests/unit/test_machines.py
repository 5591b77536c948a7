"""Placing on machines, the agent and the leash, with a stand-in for Dask that runs everything here."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bazaar.control import cluster, machines
from bazaar.control.authority import write_papers
from bazaar.control.crew import Crew
from bazaar.control.hosts_file import read_hosts, spread
from bazaar.control.machines import Machines
from bazaar.control.papers import FOLDER, scheduler_at
from bazaar.control.planning import draw_plan
from bazaar.control.remote import RemoteProcess
from bazaar.protocol.plan import load, save
from bazaar.protocol.settings import UsageError, with_pace
from bazaar.runtime import agent
from bazaar.runtime.history import HISTORY_FILE, LAUNCHER
from bazaar.runtime.key import PAPERS, make_key
from bazaar.runtime.leash import Alive, Hold, Leash, Piece, Said, Slow
from bazaar.runtime.process import Process
from bazaar.runtime.runclock import clock_of, start_clock
from bazaar.runtime.tls import papers_in
from tests.needs import need
from tests.waiting import wait_until

NAME = "buyer1"
WHERE = "dask://127.0.0.1:8786"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PATIENCE_S = 20.0


class Dask:
    """Stands in for a client of Dask with these workers; what they are asked to run, runs here."""

    def __init__(self, folder: Path, hosts: tuple[str, ...], python: str = PYTHON, release: str = "") -> None:
        self.workers = {
            f"tls://{host}:{number}": {"local_directory": str(folder / host)} for number, host in enumerate(hosts)
        }
        self.python = python
        self.release = release
        self.closed = False

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1
        return {"workers": self.workers}

    def get_versions(self) -> dict[str, Any]:
        return {"workers": {worker: {"host": {"python": f"{self.python}.1.final.0"}} for worker in self.workers}}

    def run(self, function: Callable[..., Any], *arguments: Any, workers: list[str]) -> dict[str, Any]:
        (worker,) = workers
        if worker not in self.workers:
            raise ValueError(f"no worker {worker}")
        said = function(*arguments)
        return {worker: (said[0], self.release) if self.release and function.__name__ == "identity" else said}

    def close(self, timeout: float) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _libraries() -> None:
    need(importlib.util.find_spec("distributed"), "Dask distributed", "pip install -r requirements-cluster.txt")


Joins = Callable[..., tuple[Machines, Dask]]


@pytest.fixture
def join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Joins:
    """Connects to a cluster of these hosts."""

    def join(*hosts: str, **about: str) -> tuple[Machines, Dask]:
        dask = Dask(tmp_path / "disks", hosts, **about)
        monkeypatch.setattr(machines, "_connected", lambda address, source, papers: dask)
        monkeypatch.setattr(machines, "_reach", lambda worker: None)
        found = Machines(WHERE, tmp_path / "run", "127.0.0.1")
        assert found.have_come()
        found.meet()
        return found, dask

    return join


# --------------------------------------------------------------------------------------------- the cluster
@pytest.mark.parametrize("where", ["dask://a:1", "tls://a:1", "dask://a:1/"])
def test_dask_and_tls_are_the_same(where: str) -> None:
    assert scheduler_at(where) == "tls://a:1"


def test_an_address_of_ipv6_keeps_its_brackets() -> None:
    assert scheduler_at("dask://[::1]:8786") == "tls://[::1]:8786"


def test_a_worker_at_an_address_of_ipv6_has_brackets_as_dask_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr(cluster, "_become", lambda *words: became.append(words))
    for scheduler in ("[::1]:1", "127.0.0.1:1"):
        with pytest.raises(UsageError):  # it has not become another program
            cluster.command(["worker", scheduler, "folder"])
    assert [words[words.index("--host") + 1] for words in became] == ["[::1]", "127.0.0.1"]


@pytest.mark.parametrize(
    "where", ["a:1", "dask://a", "dask://:1", "dask://a:x", "dask://a:1/b", "http://a:1", "", "hosts"]
)
def test_anything_else_is_refused(where: str) -> None:
    with pytest.raises(UsageError, match="no dask://HOST:PORT"):
        scheduler_at(where)


def test_a_cluster_without_tls_is_refused() -> None:
    with pytest.raises(UsageError, match="without TLS strangers could run programs"):
        scheduler_at("tcp://127.0.0.1:8786")


def test_a_machine_without_papers_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(UsageError, match=r"make them with `bash run\.sh cluster papers`"):
        Machines(WHERE, Path("run"), "127.0.0.1")


def test_without_dask_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"needs the packages of requirements-cluster\.txt"):
        Machines(WHERE, Path("run"), "127.0.0.1")


@pytest.mark.parametrize(
    ("hosts", "about", "said"),
    [
        ((), {}, "the scheduler knows no worker"),
        (("10.0.0.1", "10.0.0.2", "10.0.0.1"), {}, "10.0.0.1 has two workers"),
        (("10.0.0.1",), {"python": "3.9"}, "10.0.0.1 has Python, Dask, bazaar 3.9, "),
        (("10.0.0.1",), {"release": "0.0.1"}, r"10.0.0.1 has Python, Dask, bazaar .* 0.0.1, and here are"),
    ],
)
def test_a_cluster_that_does_not_do_is_refused(
    hosts: tuple[str, ...], about: dict[str, str], said: str, join: Joins
) -> None:
    with pytest.raises(UsageError, match=said):
        join(*hosts, **about)


def test_peers_are_spread_and_the_highest_are_apart(join: Joins) -> None:
    cluster, _ = join("10.0.0.1", "10.0.0.10", "10.0.0.2")
    placed = cluster.place([f"buyer{index}" for index in range(7)])
    assert [placed[f"buyer{index}"] for index in range(4)] == ["10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.1"]
    assert len({placed[f"buyer{index}"] for index in (4, 5, 6)}) == 3


def a_file(tmp_path: Path, text: str) -> str:
    (tmp_path / "hosts").write_text(text)
    return str(tmp_path / "hosts")


NAMES = ("buyer0", "buyer1", "seller2", "seller3")
THREE = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_a_file_says_who_is_where(tmp_path: Path) -> None:
    hosts = read_hosts(a_file(tmp_path, f"# mine\n\n{WHERE}\n10.0.0.3 buyer1 3  # two\n10.0.0.1\n"))
    assert hosts.scheduler == WHERE
    placed = {"buyer1": "10.0.0.3", "seller3": "10.0.0.3", "buyer0": "10.0.0.1", "seller2": "10.0.0.3"}
    assert spread(NAMES, THREE, hosts) == placed  # nobody is on 10.0.0.2, which it does not name


def test_the_warehouse_is_elsewhere_only_if_the_file_says_so(tmp_path: Path) -> None:
    there = spread(NAMES, THREE, read_hosts(a_file(tmp_path, f"{WHERE}\n10.0.0.2 warehouse buyer0\n10.0.0.3\n")))
    assert there["warehouse"] == "10.0.0.2"
    assert "warehouse" not in spread(NAMES, THREE, read_hosts(WHERE))


def test_machines_without_a_scheduler_are_borrowed(tmp_path: Path) -> None:
    hosts = read_hosts(a_file(tmp_path, "ann@10.0.0.3 buyer1\n10.0.0.1:~/market\n"))
    assert (hosts.scheduler, dict(hosts.machines)) == (None, {"ann@10.0.0.3": ["buyer1"], "10.0.0.1:~/market": []})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no machine: write one into each line"),
        (f"{WHERE} 10.0.0.1\n", "line 1 of .* has more than the address of a Dask scheduler"),
        (f"10.0.0.1\n{WHERE}\n", f"line 2 of .* begins with {WHERE}, which is no machine"),
        ("10.0.0.1\n-oProxyCommand=x\n", "line 2 of .* begins with -oProxyCommand=x, which is no machine"),
        (f"{WHERE}\n10.0.0.1\n10.0.0.1 buyer1\n", "line 3 of .* has 10.0.0.1 a second time"),
        (f"{WHERE}\n10.0.0.9\n", "names 10.0.0.9, and the workers are on 10.0.0.1, 10.0.0.2, 10.0.0.3"),
        (f"{WHERE}\n10.0.0.1 buyer7\n", "places buyer7, and there is no such peer: they are buyer0, "),
        (f"{WHERE}\n10.0.0.1 4\n", "places 4, and there is no such peer"),
        (f"{WHERE}\n10.0.0.1 buyer1\n10.0.0.2 1\n", "places buyer1 twice"),
        (f"{WHERE}\n10.0.0.1 warehouse\n10.0.0.2 warehouse\n", "places warehouse twice"),
        (f"{WHERE}\n10.0.0.1 name-server\n", "besides them only the warehouse can be placed"),
    ],
)
def test_a_file_that_does_not_do_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        spread(NAMES, THREE, read_hosts(a_file(tmp_path, text)))


def test_a_plan_names_the_machines_only_if_there_are_some(tmp_path: Path) -> None:
    plan = draw_plan(with_pace("fast"))
    save(plan, tmp_path / "bazaar.json")
    assert "placed" not in (tmp_path / "bazaar.json").read_text()
    save(msgspec.structs.replace(plan, placed={NAME: "10.0.0.1"}), tmp_path / "bazaar.json")
    assert load(tmp_path / "bazaar.json").placed == {NAME: "10.0.0.1"}


def test_hosts_imply_tls() -> None:
    assert with_pace("fast", hosts=WHERE).tls
    with pytest.raises(UsageError, match="leave out tls=false"):
        with_pace("fast", hosts=WHERE, tls=False)
    assert not with_pace("fast").tls


# ------------------------------------------------------------------------------------------- one process
FLOOD_BYTES = 50_000_000
PROGRAM = """
import os, sys
history = open("history.jsonl", "ab", buffering=0)
for line in sys.stdin:
    match line.split():
        case ["finish", *_]: print('{"idle": true, "finishes": 1}', flush=True)
        case ["write", what]: history.write(what.encode() + b"\\n")
        case ["begin", what]: history.write(what.encode())
        case ["pid"]: history.write(str(os.getpid()).encode() + b"\\n")
        case ["flood"]: history.write((b"." * 999 + b"\\n") * 50_000)
        case ["stop"]: break
        case ["fail"]: print("it is broken", file=sys.stderr); sys.exit(3)
open("queue-0.jsonl", "wb").write(b"a journal\\n")
"""


@pytest.fixture
def run(tmp_path: Path, join: Joins) -> Iterator[tuple[Crew, Machines, Dask]]:
    """A run of one peer on one other machine."""
    out = tmp_path / "run"
    out.mkdir()
    cluster, dask = join("127.0.0.1")
    plan = msgspec.structs.replace(draw_plan(with_pace("fast")), placed=cluster.place([NAME]))
    save(plan, out / "bazaar.json")
    make_key(out / "key")
    write_papers(out / PAPERS, [NAME, LAUNCHER, "buyer2"], ["localhost"])
    start_clock(out)
    cluster.prepare(1.0)
    crew = Crew(out)
    crew.engine = cluster
    yield crew, cluster, dask
    crew.stop([NAME])
    crew.close()
    cluster.close()
    assert dask.closed
    assert not Path(cluster.folder_of(NAME)).exists()


def started(crew: Crew) -> Process:
    process = crew.start(NAME, ["-c", PROGRAM], {}, ())
    assert isinstance(process, RemoteProcess)
    return process


def attended(crew: Crew, condition: Callable[[], bool]) -> None:
    """Attends to the process, as the launcher does, until the condition holds."""

    def look() -> bool:
        list(crew.ended(crew.speaking(0.01)))
        return condition()

    wait_until(look, PATIENCE_S)


def heard_end(crew: Crew) -> Process:
    return wait_until(lambda: next(crew.ended(crew.speaking(0.01)), None), PATIENCE_S)


def test_the_machine_has_the_papers_of_its_own_processes_alone(run: tuple[Crew, Machines, Dask]) -> None:
    there = Path(run[0].folder_for(NAME))
    assert {path.name for path in (there / PAPERS).iterdir()} == {"authority.pem", f"{NAME}.pem"}
    assert (there / "key").stat().st_mode & 0o77 == 0
    assert clock_of(there) == clock_of(run[0]._run)


def test_words_go_there_and_what_it_writes_comes_here(run: tuple[Crew, Machines, Dask], tmp_path: Path) -> None:
    crew, here = run[0], tmp_path / "run" / NAME
    process = started(crew)
    process.tell("write one")
    attended(crew, lambda: (here / HISTORY_FILE).exists() and (here / HISTORY_FILE).read_text() == "one\n")
    process.tell("finish")
    attended(crew, lambda: process.idle)
    process.tell("begin half-a-line")
    process.tell("stop")
    ended = heard_end(crew)
    assert (ended.status(), ended.lost) == (0, False)
    assert (here / HISTORY_FILE).read_text() == "one\n"  # a line comes whole or not at all
    assert (here / "queue-0.jsonl").read_text() == "a journal\n"


def test_how_it_ended_and_its_last_words_come_here(run: tuple[Crew, Machines, Dask]) -> None:
    crew = run[0]
    started(crew).tell("fail")
    ended = heard_end(crew)
    assert (ended.status(), ended.lost, ended.last_words()) == (3, False, "it is broken")


def test_a_signal_reaches_it_and_its_next_life_appends(run: tuple[Crew, Machines, Dask], tmp_path: Path) -> None:
    crew, history = run[0], tmp_path / "run" / NAME / HISTORY_FILE
    process = started(crew)
    process.tell("write one")
    attended(crew, lambda: history.exists() and history.read_text() == "one\n")
    process.signal(signal.SIGKILL)
    ended = heard_end(crew)
    assert (ended.status(), ended.lost) == (-signal.SIGKILL, False)
    crew.dismiss(ended)
    started(crew).tell("write two")
    attended(crew, lambda: history.read_text() == "one\ntwo\n")


def test_it_ends_when_the_launcher_is_silent_for_longer_than_the_leash(run: tuple[Crew, Machines, Dask]) -> None:
    crew = run[0]
    process = started(crew)
    journal = Path(crew.folder_for(NAME)) / NAME / "queue-0.jsonl"
    attended(crew, lambda: process.stdout is not None)
    run[1]._pulse.close()  # nobody says any more that the launcher is alive
    wait_until(journal.exists, PATIENCE_S)
    assert heard_end(crew).lost


def after_some_leashes() -> threading.Event:
    over = threading.Event()
    threading.Timer(4.0, over.set).start()  # more than it takes to count a silent process as lost
    return over


def test_it_lives_on_while_the_launcher_shows_that_it_is_alive(run: tuple[Crew, Machines, Dask]) -> None:
    crew = run[0]
    process = started(crew)
    attended(crew, after_some_leashes().is_set)
    process.tell("finish")
    attended(crew, lambda: process.idle)


def test_it_lives_on_while_the_launcher_is_busy_with_something_else(
    run: tuple[Crew, Machines, Dask], tmp_path: Path
) -> None:
    """Also if it has much to send meanwhile, and has no room for it; and nobody takes it for lost."""
    crew, history = run[0], tmp_path / "run" / NAME / HISTORY_FILE
    process = started(crew)
    process.tell("flood")
    assert after_some_leashes().wait(PATIENCE_S)
    process.tell("finish")
    attended(crew, lambda: process.idle and history.stat().st_size == FLOOD_BYTES)
    assert not process.overdue


@pytest.mark.parametrize("inwards", [True, False], ids=["nothing comes there", "nothing comes from there"])
def test_a_leash_that_is_cut_for_long_ends_the_process(inwards: bool, run: tuple[Crew, Machines, Dask]) -> None:
    crew = run[0]
    process = started(crew)
    assert isinstance(process, RemoteProcess)
    process.suffer(Hold(inwards, 1000.0))
    ended = heard_end(crew)
    assert ended.lost
    crew.dismiss(ended)
    agents = f"agent of {NAME}"  # it ends when its process has ended
    wait_until(lambda: all(thread.name != agents for thread in threading.enumerate()), PATIENCE_S)


def test_a_leash_that_is_cut_for_a_moment_holds(run: tuple[Crew, Machines, Dask]) -> None:
    crew = run[0]
    process = started(crew)
    assert isinstance(process, RemoteProcess)
    began_at = time.monotonic()
    process.suffer(Hold(inwards=False, for_s=0.4))
    process.tell("finish")
    attended(crew, lambda: process.idle)
    assert time.monotonic() >= began_at + 0.4


def test_a_slow_process_is_mostly_stopped_until_a_signal_comes(
    run: tuple[Crew, Machines, Dask], tmp_path: Path
) -> None:
    crew, history = run[0], tmp_path / "run" / NAME / HISTORY_FILE
    process = started(crew)
    assert isinstance(process, RemoteProcess)
    process.tell("pid")
    attended(crew, lambda: history.exists() and history.stat().st_size > 0)
    state = Path(f"/proc/{int(history.read_text())}/stat")
    process.suffer(Slow(1000.0))
    attended(crew, lambda: state.read_text().rpartition(") ")[2][0] == "T")
    process.tell("write slowly")
    attended(crew, lambda: "slowly" in history.read_text())
    process.signal(signal.SIGCONT)
    process.tell("finish")
    attended(crew, lambda: process.idle)
    assert state.read_text().rpartition(") ")[2][0] != "T"


def test_a_machine_that_is_gone_cannot_start_anything(run: tuple[Crew, Machines, Dask]) -> None:
    run[2].workers.clear()
    with pytest.raises(UsageError, match=f"cannot start {NAME} on 127.0.0.1"):
        started(run[0])
    agent.remove(run[0].folder_for(NAME))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, join: Joins, run: tuple[Crew, Machines, Dask]) -> None:
    (tmp_path / "disks" / "127.0.0.2").write_text("a file in its place")
    cluster, _ = join("127.0.0.2")
    cluster.place([NAME])
    with pytest.raises(UsageError, match=r"127\.0\.0\.2 cannot write to .*: Not a directory"):
        cluster.prepare(1.0)


def is_closed(connected: socket.socket) -> bool:
    """Whether the other side has closed it, in whatever way."""
    try:
        return not connected.recv(1)
    except ConnectionError:
        return True


def test_only_the_launcher_may_hold_a_leash(run: tuple[Crew, Machines, Dask], tmp_path: Path) -> None:
    there = run[0].folder_for(NAME)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found: list[Any] = []
        papers = papers_in(Path(there), NAME)
        waiting = threading.Thread(
            target=lambda: found.append(agent._launcher_at(listening, papers, time.monotonic() + PATIENCE_S))
        )
        waiting.start()
        other = papers_in(tmp_path / "run", "buyer2").connect(socket.create_connection(("127.0.0.1", port)), NAME)
        other.settimeout(PATIENCE_S)
        with closing(other):
            assert is_closed(other)
        launcher = papers_in(tmp_path / "run", LAUNCHER).connect(socket.create_connection(("127.0.0.1", port)), NAME)
        waiting.join(PATIENCE_S)
        with closing(launcher), found[0]:
            assert found[0] is not None


def test_a_file_that_leads_out_of_the_folder_is_not_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    write_papers(out / PAPERS, [NAME, LAUNCHER], ["localhost"])
    ours, theirs = socket.socketpair()
    found: list[Any] = []
    admitting = threading.Thread(target=lambda: found.append(papers_in(out, NAME).admit(theirs, LAUNCHER)))
    admitting.start()
    process = RemoteProcess(NAME, out / NAME, Leash(papers_in(out, LAUNCHER).connect(ours, NAME), 5.0))
    admitting.join()
    agents = Leash(found[0], 5.0)
    for name in ("../key", "/etc/x", "..", ".", ""):
        agents.send(Piece(name, b"mine"))
    agents.send(Piece("fine.txt", b"mine"))
    agents.send(Piece("ledger.jsonl", b"mine"))  # only the warehouse's goes into the run's folder
    agents.send(Alive())
    agents.send(Said(b'{"done": true}\n'))
    wait_until(lambda: process.hear() and process.said.done, PATIENCE_S)
    assert sorted(path.name for path in (out / NAME).iterdir()) == ["fine.txt", "ledger.jsonl", "stderr.txt"]
    assert not (out / "key").exists()
    assert not (out / "ledger.jsonl").exists()
    agents.sock.close()
    wait_until(lambda: not process.hear(), PATIENCE_S)
    assert (process.lost, process.status()) == (True, -signal.SIGKILL)
    process.end(0.0)
