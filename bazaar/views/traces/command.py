"""`bash run.sh trace --to shiviz|perfetto [RUN]` (requirement I6): writes a space-time trace of a run that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bazaar.analysis.causality import Line, NotOrdered, sends_of
from bazaar.analysis.judgement import launch_of, run_in
from bazaar.analysis.stories import Run, names_like
from bazaar.control.options import Parser
from bazaar.control.spelling import did_you_mean
from bazaar.protocol.settings import UsageError
from bazaar.runtime import run_folder
from bazaar.runtime.history import HistoryFile
from bazaar.runtime.run_folder import in_one_piece
from bazaar.views.traces import perfetto, shiviz
from bazaar.views.traces.choosing import ELECTION, TAKE_OVER, Choice, Wanted, by_default, choose

FILES = {"shiviz": "trace.shiviz.txt", "perfetto": "trace.perfetto.json"}
"""By tool: the file that is written into the run's folder, unless another one is given."""
EACH = 5_000  # events, after which the progress is told

Look = Callable[[float], None]


class Request(NamedTuple):
    """What the user asks for."""

    tool: str
    wanted: Wanted | None
    """None if nothing was chosen."""
    run: Path | None
    """None for the newest run."""
    out: Path | None


def parse(arguments: Sequence[str]) -> Request:
    """Parses the arguments. Raises `UsageError`."""
    parser = Parser(
        prog="bash run.sh trace",
        description="Writes a space-time trace of a run: a log for ShiViz of at most 2,000 points, or all of it for Perfetto.",
    )
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="a run's folder (default runs/latest)")
    parser.add_argument("--to", choices=list(FILES), required=True, help="the tool that is to open it")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: RUN/trace.shiviz.txt, RUN/trace.perfetto.json"
    )
    choice = parser.add_argument_group("what to choose for ShiViz; more than one of them: all that any of them names")
    choice.add_argument("--order", action="append", default=[], metavar="ORDER", help="an order; repeatable")
    choice.add_argument("--election", action="store_true", help="the elections")
    choice.add_argument("--takeover", action="store_true", help="faults, deposals, and how queues were taken over")
    choice.add_argument(
        "--from", dest="begin", type=float, metavar="S", help="only from S seconds after the opening on"
    )
    choice.add_argument("--until", type=float, metavar="S", help="only until S seconds after the opening")
    said = parser.read(arguments)
    kinds = ELECTION * said["election"] + TAKE_OVER * said["takeover"]
    stretch = (said["begin"], said["until"])
    wanted = None
    if said["order"] or kinds or stretch != (None, None):
        begin_s, until_s = (default if s is None else s for s, default in zip(stretch, Wanted()[2:], strict=True))
        wanted = Wanted(tuple(said["order"]), kinds, begin_s, until_s)
    if wanted is not None and said["to"] == "perfetto":
        raise UsageError(
            "Perfetto opens a whole run; --order, --election, --takeover, --from and --until are for ShiViz"
        )
    return Request(said["to"], wanted, said["run"], said["out"])


def trace(request: Request, run: Path, look: Look) -> str:
    """Writes the trace; returns what to tell the user. `look` is called now and then with the share that is done.

    Raises `UsageError`, in one line, if the run does not exist, still goes on, or cannot be traced.
    """
    about = run_in(run)
    if run_folder.is_going_on(run):
        raise UsageError(f"{run} is a run that is still going on; stop it (Ctrl-C), then it can be traced")
    file = request.out if request.out is not None else run / FILES[request.tool]
    try:
        with in_one_piece(file) as draft:
            words = (_for_shiviz if request.tool == "shiviz" else _for_perfetto)(request, run, about, draft, look)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"a history of {run} cannot be read ({error}); `bash run.sh judge {run}` says where") from None
    except NotOrdered as error:
        raise UsageError(f"{run} cannot be traced: {error}; `bash run.sh judge {run}` says more") from None
    except OSError as error:
        raise UsageError(f"the trace could not be written: {file}: {error.strerror}") from None
    return f"{file}: {words}"


def _for_shiviz(request: Request, run: Path, about: Run, draft: Path, look: Look) -> str:
    for order in request.wanted.orders if request.wanted is not None else ():
        if not any(about.about(order).values()):
            raise UsageError(f"{run} has no order {order!r}{did_you_mean(order, names_like(about, order))}")
    choice = choose(about.histories, request.wanted, about.opening) if request.wanted is not None else by_default(about)
    if not choice.points:
        raise UsageError(f"{run} has no event to draw: {choice.wanted}")
    watched = _Watched.all(about.histories, look, 2)
    sends = sends_of(watched.values())
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in shiviz.log(choice, watched, sends, about.opening))
    return _described(choice)


def _described(choice: Choice) -> str:
    messages = len(choice.points) - choice.events
    text = f"{choice.wanted}: {choice.events} events and the sending of {messages} messages"
    if choice.left_out:
        text += (
            f"; it ends {choice.until_s:.3f} s after the opening: {choice.left_out} events more do not fit into ShiViz"
        )
    return text


def _for_perfetto(request: Request, run: Path, about: Run, draft: Path, look: Look) -> str:
    watched = _Watched.all(about.histories, look, 2)
    sends = sends_of(watched.values())
    messages = sum(map(len, sends.values()))
    with draft.open("wb") as file:
        perfetto.write(file, watched, sends, launch_of(run, about.histories), about.name)
    return f"the whole run, {messages} messages; open it at https://ui.perfetto.dev"


class _Watched:
    """A history that tells, while it is read, how much of all histories has been read."""

    def __init__(self, history: Iterable[Line], tell: Callable[[int], None]) -> None:
        self._history = history
        self._tell = tell

    def __iter__(self) -> Iterator[Line]:
        """Raises `msgspec.DecodeError`."""
        for number, line in enumerate(self._history, 1):
            if number % EACH == 0:
                self._tell(EACH)
            yield line

    @staticmethod
    def all(histories: Mapping[str, Iterable[Line]], look: Look, times: int) -> dict[str, Iterable[Line]]:
        """All histories. Each will be read so many `times`."""
        total = times * sum(history.length() for history in histories.values() if isinstance(history, HistoryFile))
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            look(min(1.0, done / max(1, total)))

        return {name: _Watched(history, tell) for name, history in histories.items()}
