"""A run: starts every process of a bazaar, watches over them, ends them, and has the run judged.

`Bazaar` is a context manager: however its block is left, no process and no port remains. Every process has a folder of its own
(requirement A2), and a session of its own, so that Ctrl-C at the terminal reaches the launcher alone. Every process ends by
itself when its standard input does, so even a launcher that is killed leaves no process behind.

The launcher notices the end of a process within a tenth of a second, whoever has ended it, and notes it in its own history:
`started`, `fell`. The warehouse and MongoDB are started again, and so is a peer that has not begun. A peer that has begun is
not started again. If the name server is killed, or a process gives up by itself, the run is brought to its end and judged. The
event `ended` says that it was brought to its end.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from bazaar.analysis.audit import Report
from bazaar.analysis.judgement import Judgement
from bazaar.analysis.summary import Summary
from bazaar.control import patience
from bazaar.control.crew import Crew
from bazaar.control.furnishing import furnish
from bazaar.control.injector import Injector
from bazaar.control.interrupts import deferred
from bazaar.control.judging import Judging
from bazaar.control.logbook import Logbook
from bazaar.control.machines import Machines
from bazaar.control.mongod import START_PATIENCE_S, Mongod, database_of
from bazaar.control.planning import draw_plan
from bazaar.control.progress import Progress
from bazaar.core.cache import POLICIES
from bazaar.protocol import events
from bazaar.protocol.faults import MONGOD
from bazaar.protocol.goods import CACHE, NAME_SERVER, WAREHOUSE
from bazaar.protocol.plan import check_keepers
from bazaar.protocol.settings import Settings, UsageError
from bazaar.runtime import cache_client, cache_process, run_folder
from bazaar.runtime.address import environment_of
from bazaar.runtime.key import read_key
from bazaar.runtime.process import CANNOT_WRITE, ROOT, Process
from bazaar.runtime.treaty import Treaty

POLL_S = 0.1


class ProcessDied(Exception):
    """Something that the run needs has ended unexpectedly; the text says what, and how."""


class Bazaar:
    """One run. Call `start`, then any of `wait_until` and `finish`, then `collect`."""

    def __init__(
        self,
        settings: Settings,
        out: str | os.PathLike[str],
        mongo_uri: str | None = None,
        watch: Callable[[Bazaar], None] = lambda bazaar: None,
        pictures: bool = True,
        treaties: Sequence[Treaty] = (),
        texts: bool | None = None,
    ) -> None:
        """`mongo_uri`: a MongoDB to use; None: `setup_db.sh` finds or starts one. `watch` is called ten times a second.

        Without `pictures` none are drawn, and unless `texts` is true there are no texts and no report either: all of that
        takes seconds of processor time. The run is judged in any case. `treaties`: of the bazaars that this one joins.
        """
        self.settings = settings
        self.plan = draw_plan(settings)
        self.out = Path(out).absolute()
        self.phase = "starting"
        self._crew = Crew(self.out)
        self.processes = self._crew.members
        self._mongo_uri = mongo_uri
        self.mongod = Mongod(self.out / "mongodb")
        self.injector = Injector(self)
        self._database = database_of(self.out)
        self._watch = watch
        tells = pictures if texts is None else texts
        self._judging = Judging(self.out, tells=tells, draws=pictures, reports=tells)
        self._treaties = treaties
        self._cache_uri = ""  # of the cache server, if the traders share one
        self._lock: int | None = None
        self._logbook: Logbook | None = None
        self._machines: Machines | None = None
        self.lost: dict[str, str] = {}
        """Processes that were lost with their machine, and which machine that was."""
        self._port = ""
        self._begun = self._finishing = self._ends_expected = False
        self.failure: ProcessDied | UsageError | None = None
        """Why the run cannot go on; None again once it was raised."""
        self._crippled = False
        self.progress = Progress(settings, self.processes)

    def __enter__(self) -> Bazaar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_furnished(self) -> bool:
        """Whether the run's folder has what can be shown. Before that, `watch` is called if machines are awaited."""
        return self._logbook is not None

    # ---------------------------------------------------------------------------------------- starting
    def start(self) -> None:
        """Starts everything, and lets trading begin. Raises `ProcessDied`.

        Raises `UsageError` if something cannot be had. All processes have been ended then, and the run's folder was removed.
        """
        made = run_folder.make(self.out)
        try:
            self._start_all()
        except (UsageError, OSError) as error:
            self.close()
            run_folder.unmake(self.out, made)
            if isinstance(error, UsageError):
                raise
            raise run_folder.cannot_write(self.out, error) from None

    def _start_all(self) -> None:
        if self.settings.hosts is not None:
            self.phase = "looking for the machines"
            self._crew.engine = self._machines = Machines(self.settings.hosts, self.out, self.settings.host)
            while not self._machines.have_come():
                self._watch(self)
                time.sleep(POLL_S)
            self._machines.meet()
            self.plan = msgspec.structs.replace(self.plan, placed=self._machines.place(self.plan.names))
            self.injector.check(self.plan.placed)
            if WAREHOUSE in self.plan.placed and self._mongo_uri is None:
                raise UsageError(
                    f"{self.settings.hosts} places the warehouse on {self.plan.placed[WAREHOUSE]}, and the MongoDB that a run "
                    "starts for itself serves this machine alone: name one that all machines reach in BAZAAR_MONGO_URI"
                )
            self.phase = "starting"
        check_keepers(self.plan)
        self._lock = furnish(self.out, self.plan, self._treaties)
        self._logbook = Logbook(self.out, self._disk_full)
        if self._machines is not None:
            self._machines.prepare(self.settings.leash_s)
        owns_mongod = self._mongo_uri is None
        if owns_mongod:
            self._logbook.started(MONGOD)
            self.mongod.start()  # in parallel with the name server
        host, port = self.settings.host, str(self.settings.port)
        secrets = [str(self.out / "key"), *(["tls"] if self.settings.tls else [])]
        self._start(NAME_SERVER, [str(ROOT / "nameserver.py"), host, port, *secrets])
        self._await_ready([NAME_SERVER])
        self._port = str(self.processes[NAME_SERVER].said.port)
        if owns_mongod:
            self.phase = "starting MongoDB"
            self.wait_until(lambda: self.mongod.ready)  # `look` reports if it takes too long
            self._mongo_uri = self.mongod.uri()
        if POLICIES[self.settings.cache].remote:
            self._start_cache_server()
        self.phase = "opening the warehouse"
        self._start_warehouse()
        self._await_ready([WAREHOUSE])
        self.phase = "starting the peers"
        for name in self.plan.names:
            self._start_peer(name)
        self._start_embassy()
        self._await_ready([WAREHOUSE, *self.plan.members])
        self.note(events.Drawn())
        self.phase = "electing the traders"
        self._begun = True
        self._crew.tell("begin")
        self._judging.prepare()

    def _start(self, name: str, arguments: Sequence[str]) -> Process:
        servers = {"BAZAAR_MONGO_URI": self._mongo_uri or ""} if name == WAREHOUSE else {}
        servers |= {cache_client.CACHE_URI: self._cache_uri} if self._cache_uri else {}
        environment = servers if name in self.plan.placed else environment_of(self.settings) | servers
        if self._logbook is not None:
            self._logbook.started(name)
        lock = () if self._lock is None else (self._lock,)
        process = self._crew.start(name, arguments, environment, lock)
        if self._begun:
            process.tell("begin")
        if self._finishing:
            self._tell_to_finish([process])
        return process

    def _start_cache_server(self) -> None:
        """Starts a cache server, unless one is given, which is tried then. Raises `UsageError`."""
        self.phase = "starting the cache server"
        if (given := os.environ.get(cache_client.CACHE_URI)) is not None:
            cache_client.check(given)
            self._cache_uri = given
            return
        cache_process.server_program()
        self._start_cache(port=0)
        self._await_ready([CACHE])
        self._cache_uri = cache_process.uri(read_key(self.out / "key"), self.processes[CACHE].said.port)

    def _start_cache(self, port: int) -> None:
        self._start(CACHE, ["-m", "bazaar.runtime.cache_process", str(port), str(self.out / "key")])

    def _start_warehouse(self) -> None:
        words = ["known"] if self.mongod.ready or WAREHOUSE in self.progress.killed else []
        if self._machines is not None and self._logbook is not None:
            words.append(str(self._logbook.starts[WAREHOUSE]))
        program = ["-m", "database"] if WAREHOUSE in self.plan.placed else [str(ROOT / "database.py")]
        folder = self._crew.folder_for(WAREHOUSE)
        self._start(WAREHOUSE, [*program, folder, self._port, self._database, *words])

    def _start_warehouse_again(self, lost: bool) -> None:
        """Where it was. If its machine is lost, or does not answer, here: all that it must know is in MongoDB."""
        if not lost:
            try:
                self._start_warehouse()
                return
            except UsageError:
                if not self._begun:
                    raise
        if self._machines is not None:
            self.plan = msgspec.structs.replace(self.plan, placed=self._machines.without(WAREHOUSE))
        self._start_warehouse()

    def _start_peer(self, name: str) -> None:
        self._start(name, ["-m", "peers", name, self._crew.folder_for(name), self._port])

    def _start_embassy(self) -> None:
        if self.plan.embassy is not None:
            self._start(self.plan.embassy, ["-m", "peers.embassy", str(self.out), self._port])

    def note(self, event: events.Event) -> None:
        """Writes into the launcher's own history."""
        if self._logbook is not None:
            self._logbook.note(event)

    def _disk_full(self, error: OSError) -> None:
        self._fail(ProcessDied(f"cannot write to {self.out}: {error.strerror}"), cripples=True)

    def _await_ready(self, names: Sequence[str]) -> None:
        def late() -> list[str]:  # a process that was killed meanwhile was replaced
            return [name for name in names if name not in self.processes or not self.processes[name].said.ready]

        if not self.wait_until(lambda: not late(), START_PATIENCE_S):
            raise ProcessDied(f"{', '.join(late())} did not get ready within {START_PATIENCE_S:g} s")

    # ---------------------------------------------------------------------------------------- watching
    def _pump(self) -> None:
        """Reads what the processes write, for a tenth of a second at the most, and handles those that have ended."""
        speaking = self._crew.speaking(POLL_S)
        with deferred():  # Ctrl-C interrupts only the waiting above
            for process in self._crew.ended(speaking):
                if not self._ends_expected:
                    self._fell(process, process.status())
            self.progress.look()
            self._look_after_mongod()
            self.injector.act()
            self._watch(self)

    def _look_after_mongod(self) -> None:
        if self._ends_expected or self._crippled:
            return
        try:
            for name in self.mongod.look():
                self.note(events.Fell(name))
                self.note(events.Started(name, again=True))
        except UsageError as error:
            self._fail(ProcessDied(str(error)) if self._begun else error, cripples=True)

    @property
    def peers(self) -> list[Process]:
        """The processes of the peers that run."""
        return [self.processes[name] for name in self.plan.names if name in self.processes]

    # ------------------------------------------------------------------------------------------ faults
    def restart(self, name: str) -> None:
        """Starts a killed peer again, in its own folder."""
        try:
            self._start_peer(name)
        except UsageError as error:  # its machine does not answer any more
            self._fail(ProcessDied(str(error)), cripples=False)

    def _fell(self, process: Process, status: int) -> None:
        """Handles a process that has ended. A fault or anybody has killed it (`status` below zero), or it has given up."""
        name = process.name
        how = "was killed" if status < 0 else f"ended by itself with status {status}"
        if process.lost:
            self.lost[name] = self.plan.placed[name]
            how = f"was lost with its machine, {self.lost[name]}"
        self.note(events.Fell(name, how, process.lost))
        self.progress.fell(process)
        self._crew.dismiss(process)
        if name in self.lost and not self._begun:
            self._fail(UsageError(f"{name} {how}, before the bazaar had opened"), cripples=True)
        elif status >= 0:
            words = process.last_words() or ("it cannot write to its folder" if status == CANNOT_WRITE else "")
            refused = status == 2 and not self._begun
            self._fail(UsageError(words) if refused else ProcessDied(f"{name} {how}: {words}"), name == WAREHOUSE)
        elif name == NAME_SERVER:
            self._fail(ProcessDied("the name server was killed; nobody can find anybody any more"), cripples=True)
        elif name == WAREHOUSE:
            self._start_warehouse_again(process.lost)
        elif name == self.plan.embassy:
            self._start_embassy()
        elif name == CACHE:
            self._start_cache(process.said.port)
        elif not self._begun:
            self._start_peer(name)
        elif not self.peers and not self.injector.waiting:
            self._fail(ProcessDied("all peers were killed; there is nobody left to trade"), cripples=True)
        if self._finishing:  # so that no process waits for this one
            self._tell_to_finish(self._market)

    def _fail(self, failure: ProcessDied | UsageError, cripples: bool) -> None:
        """The run cannot go on: `wait_until` raises this. `cripples`: much of the work under way cannot be completed."""
        self.failure = self.failure or failure
        self._crippled = self._crippled or cripples

    # ---------------------------------------------------------------------------------------- waiting
    def wait_until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Watches over the run until `condition` holds (True) or the time is over (False). Raises `ProcessDied`."""
        held = self._watch_until(lambda: self.failure is not None or condition(), timeout_s)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return held

    def _watch_until(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._pump()
        return True

    def trade(self) -> None:
        """Runs the market for as long as the settings say: the time counts from the first answer.

        The market also ends if a process was killed and no order has been answered for a long time since.
        """
        self.wait_until(lambda: self.progress.answered > 0 or self._all_asked() or self.progress.stands_still())
        self.phase = "trading"
        self.injector.begin()
        self.wait_until(lambda: self._all_asked() or self.progress.stands_still(), self.settings.duration_s)
        if self.progress.stands_still():
            gone = ", ".join(sorted(self.progress.gone))
            raise ProcessDied(f"nobody has been answered for a long time; gone are {gone}")

    def _all_asked(self) -> bool:
        return self.settings.requests is not None and all(peer.said.done for peer in self.peers)

    # ------------------------------------------------------------------------------------------ ending
    def exercised(self) -> bool:
        """Whether any order has its answer. Processes that are stopped, or have not reported yet, get time to report."""
        self._wake()
        return self._watch_until(lambda: self.progress.answered > 0, patience.LAST_REPORTS_S)

    def finish(self) -> None:
        """Lets nothing new begin, and brings the work under way to its end, as far as time allows.

        A failure meanwhile is kept in `failure`.
        """
        if not self._begun:
            return
        self.phase = "finishing"
        self.note(events.Closing())
        self.injector.end()
        self._wake()
        self._finishing = True
        self._tell_to_finish(self._market)
        end_s = time.monotonic() + patience.finishing_s(self.settings)
        crippled_s = time.monotonic() + patience.CRIPPLED_S

        def over() -> bool:
            late = time.monotonic() > (crippled_s if self._crippled else end_s)
            return late or all(process.idle for process in self._market)

        self._watch_until(over, None)

    @property
    def _market(self) -> list[Process]:
        return [process for name, process in self.processes.items() if name not in (NAME_SERVER, CACHE)]

    def _tell_to_finish(self, processes: Iterable[Process]) -> None:
        for process in processes:
            process.tell(" ".join(["finish", *sorted(self.progress.gone)]))

    def _stop_all(self) -> None:
        self._ends_expected = True
        self._wake()
        # The peers end first, then the processes that they need, so that the peers' last deliveries still arrive.
        for names in (self.plan.members, (WAREHOUSE,), (CACHE,), (NAME_SERVER,)):
            self._crew.stop(names)

    def close(self) -> None:
        """Ends every process; those that do not obey are killed."""
        self.phase = "ending"
        self._stop_all()
        self._judging.close()
        self._crew.close()
        self.mongod.stop()
        if self._machines is not None:
            self._machines.close()
            self._machines = None
        if self._logbook is not None:
            self._logbook.end()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _wake(self) -> None:
        """Continues every process that is stopped, which would otherwise not hear that the run ends.

        A fault, or somebody at another terminal, may have stopped it.
        """
        self._crew.wake()
        if (pid := self.mongod.pid) is not None:
            self.mongod.signal(pid, signal.SIGCONT)

    # -------------------------------------------------------------------------------------- collecting
    def judgement(self) -> Judgement:
        """Stops all processes, and has the run judged, narrated and drawn from its folder. Raises `ProcessDied`."""
        self.phase = "judging"
        self._stop_all()
        if self._logbook is not None:
            self._logbook.end()
        try:
            return self._judging.run(self._show)
        except UsageError as error:
            raise ProcessDied(str(error)) from None

    def collect(self) -> tuple[Summary, Report]:
        """The figures and the verdict of `judgement`. Raises `ProcessDied`, also if a process died while the run finished."""
        judgement = self.judgement()
        if self.failure is not None:
            raise self.failure
        return judgement.summary, judgement.report

    def _show(self, share: float) -> None:
        self.phase = f"judging ({share:.0%})"
        with deferred():
            self._watch(self)
