"""The command line of the bazaar (requirement H): reads the options, runs a bazaar, and prints the summary.

`bash run.sh --help` shows the options. The first word can be a verb instead of a host: `VERBS`. What only a verb needs is
imported by that verb, as most calls start a run, and a user waits for it.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import reprlib
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bazaar import __version__
from bazaar.analysis.judgement import plan_of
from bazaar.control import interrupts
from bazaar.control.judging import Judging
from bazaar.control.launcher import Bazaar, ProcessDied
from bazaar.control.live_page import Address, LivePage
from bazaar.control.options import Parser, add_options, take_settings
from bazaar.control.planning import draw_plan
from bazaar.protocol.faults import FORM, Fault, parse_faults
from bazaar.protocol.settings import Settings, UsageError, with_pace
from bazaar.runtime import run_folder
from bazaar.runtime.treaty import Treaty, join
from bazaar.setup.doctor import files_needed
from bazaar.views.terminal import Terminal
from bazaar.views.texts import UNFINISHED

HELD, VIOLATED, WRONG_USAGE, NOTHING_EXERCISED = 0, 1, 2, 3
STATUS = {"held": HELD, "violated": VIOLATED, "unknown": NOTHING_EXERCISED}
RUNS = Path("runs")
PRIVATE = 0o077  # only the user can read the run's files, whatever the shell's umask


class Asked(NamedTuple):
    """What the user wants."""

    settings: Settings
    out: Path
    """The run's folder."""
    faults: list[Fault]
    quiet: bool
    pictures: bool
    serve: str | None
    """Where the live page is to be; None: nowhere."""
    treaties: list[Treaty]


def parse(arguments: list[str]) -> Asked:
    """Parses the arguments. Raises `UsageError`."""
    parser = Parser(
        prog="bash run.sh",
        description="A peer-to-peer market: peers elect traders, trade fish, salt and boar, and are judged at the end.",
    )
    parser.add_argument(
        "host",
        nargs="?",
        type=_split_host,
        help="the machine of the name server, this one; HOST:PORT or [ADDRESS]:PORT fixes its port (default localhost)",
    )
    add_options(parser)
    parser.add_argument("--fault", action="append", default=[], metavar="F", help=f"repeatable: {FORM}")
    parser.add_argument(
        "--federate",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="repeatable: trade with the bazaar NAME; FILE is what its run wrote for this one (--partners)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the run's files go (default runs/<time>-seed<X>)"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but the verdict, in one line, and errors")
    parser.add_argument(
        "--no-pictures",
        dest="pictures",
        action="store_false",
        help="draw none, which takes seconds of processor time; `judge` draws them later",
    )
    parser.add_argument(
        "--serve",
        nargs="?",
        const="0",
        metavar="PORT",
        help="a page that shows the run live in a browser, with buttons for faults: PORT or ADDRESS:PORT "
        "(default: a free port, on loopback)",
    )
    parser.add_argument("--version", action="version", version=f"bazaar {__version__}")
    options = parser.read(arguments)
    out: Path | None = options.pop("out")
    faults: list[str] = options.pop("fault")
    federate: list[str] = options.pop("federate")
    quiet: bool = options.pop("quiet")
    pictures: bool = options.pop("pictures")
    serve: str | None = options.pop("serve")
    options["host"], options["port"] = options["host"] or (None, None)
    given = {"seed": random.SystemRandom().randrange(10_000), **take_settings(options)}
    settings = with_pace(**given)
    out = _from_here(out or RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{settings.seed}")
    planned = parse_faults(faults, draw_plan(settings))
    return Asked(settings, out, planned, quiet, pictures, serve, _treaties(federate, settings.name))


def _treaties(federate: list[str], own: str | None) -> list[Treaty]:
    treaties: dict[str, Treaty] = {}
    for text in federate:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError(
                f"--federate {reprlib.repr(text)}: give NAME=FILE, such as south=runs/south/treaty-north.json"
            )
        if name in treaties:
            raise UsageError(f"--federate {text}: {name} is given already; give it once")
        treaties[name] = join(name, _from_here(Path(path)), own)
    return list(treaties.values())


def _from_here(path: Path) -> Path:
    try:
        return Path.cwd() / path
    except FileNotFoundError:
        raise UsageError("the working folder is not there any more; change to one that is") from None


def _split_host(text: str) -> tuple[str, int | None]:
    """The host and its port, if it is given one: HOST, HOST:PORT, an IPv6 address, or one in brackets with a port."""
    if text.isdecimal():
        raise UsageError(f"the host comes first: bash run.sh localhost {reprlib.repr(text)[1:-1]} ...")
    if text.count(":") > 1 and not text.startswith("["):
        return text, None
    match = re.fullmatch(r"(?:\[(.+:.*)]|([^:\[\]]+))(?::([0-9]{1,5}))?", text)
    if match is None:
        raise UsageError(
            f"{reprlib.repr(text)} is no HOST or HOST:PORT, such as localhost, localhost:9090, ::1 or [::1]:9090"
        )
    return match[1] or match[2], int(match[3]) if match[3] else None


def _allow_files(needed: int) -> None:
    """Lets every process of the run have so many files open. Raises `UsageError` where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < needed:
        raise UsageError(
            f"a process may have no more than {hard} files open, and this run needs {needed}: ulimit -n {needed}"
        )
    if resource.RLIM_INFINITY != soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main(arguments: list[str]) -> int:
    """Runs a bazaar, or does what the verb says; returns the exit status of requirement H."""
    os.umask(PRIVATE)  # of all processes of the run: they inherit it
    terminal = Terminal()
    interrupts.heed()
    try:
        verb = VERBS.get(arguments[0]) if arguments else None
        return verb(arguments[1:], terminal) if verb is not None else open_bazaar(arguments, terminal)
    except UsageError as error:
        terminal.complain(str(error))
        return WRONG_USAGE
    except ProcessDied as error:
        terminal.complain(str(error))
        return VIOLATED
    except KeyboardInterrupt:
        terminal.complain("stopped; there is nothing to judge")
        return NOTHING_EXERCISED
    finally:
        terminal.close()


def open_bazaar(arguments: list[str], terminal: Terminal) -> int:
    """Runs a bazaar and judges it."""
    asked = parse(arguments)
    terminal.quiet = asked.quiet
    _allow_files(files_needed(asked.settings.peers))
    with contextlib.ExitStack() as stack:
        live = None
        if asked.serve is not None:
            live = stack.enter_context(LivePage(Address(asked.serve, "--serve"), terminal.complain))
            terminal.say(f"The live page: {live.url}")

        def watch(bazaar: Bazaar) -> None:
            if not bazaar.is_furnished:
                if not terminal.quiet:
                    terminal.at_work(bazaar.phase, 0.0)
                return
            terminal.show(bazaar)
            if live is not None:
                live.look(bazaar)

        uri = os.environ.get("BAZAAR_MONGO_URI", "").strip() or None
        bazaar = stack.enter_context(
            Bazaar(asked.settings, asked.out, uri, watch, asked.pictures, asked.treaties, texts=True)
        )
        bazaar.injector.schedule(asked.faults)
        return run(bazaar, terminal)


def run(bazaar: Bazaar, terminal: Terminal) -> int:
    """Starts the bazaar, lets it trade, ends it and judges it. However the run ends, its files are judged."""
    died = None
    try:
        bazaar.start()
        _point_latest_at(bazaar.out)
        bazaar.trade()
    except ProcessDied as error:
        died = error
    except KeyboardInterrupt:
        if not bazaar.exercised():
            raise
    with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C: the run is judged as it is
        bazaar.finish()
    try:
        judgement = bazaar.judgement()
    except KeyboardInterrupt:
        terminal.complain(f"stopped while the run was judged; `bash run.sh judge {bazaar.out}` does it")
        return NOTHING_EXERCISED
    terminal.conclude(bazaar.out, judgement)
    if failure := died or bazaar.failure:
        terminal.complain(str(failure))
        return VIOLATED
    return STATUS[judgement.report.verdict]


def _run_of(verb: str, arguments: list[str]) -> Path:
    """The run's folder that a verb was given. Raises `UsageError`, also if the folder is not a run's."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        raise UsageError(f"usage: bash run.sh {verb} [RUN]; RUN is a run's folder (default runs/latest)")
    out = _from_here(Path(arguments[0]) if arguments else RUNS / "latest")
    plan_of(out)
    return out


def judge(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh judge [RUN]`: judges a run's folder again, and makes the texts and pictures that are missing.

    With several runs, of bazaars that traded with each other: judges each, and then what they bought of each other.
    """
    if len(arguments) < 2 or any(argument.startswith("-") for argument in arguments):
        return _judge_alone(_run_of("judge", arguments), terminal)
    from bazaar.analysis.judgement import judged_together
    from bazaar.views.together import told_together

    runs = [_run_of("judge", [argument]) for argument in arguments]
    together = judged_together(runs)
    statuses = [_judge_alone(run, terminal) for run in runs]
    for sentence in told_together(together):
        terminal.say(sentence)
    statuses.append(STATUS[together.verdict])
    return VIOLATED if VIOLATED in statuses else max(statuses)


def _judge_alone(out: Path, terminal: Terminal) -> int:
    if run_folder.is_going_on(out):
        raise UsageError(f"{out} is a run that is still going on; stop it (Ctrl-C), it is judged then")
    tells = not (out / "output.txt").exists() or (out / UNFINISHED).exists()
    draws = not (out / "timeline.png").exists()
    judging = Judging(out, tells, draws)
    try:
        judgement = judging.run(lambda share: terminal.judging(out, share))
    finally:
        judging.close()
    terminal.conclude(out, judgement)
    return STATUS[judgement.report.verdict]


def explain(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh explain ORDER [RUN]`: tells the story of one order."""
    from bazaar.views import explaining

    question = explaining.parse(arguments)
    terminal.say(explaining.explained(question, _from_here(question.run or RUNS / "latest")))
    return HELD


def report(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh report [RUN]`: makes the page `report.html` of a run that is over, and says where it is."""
    from bazaar.views.report import make_report

    out = _run_of("report", arguments)
    terminal.say(f"{make_report(out)}")
    return HELD


def trace(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh trace --to shiviz|perfetto [RUN]`: writes a space-time trace, and says what is in it."""
    from bazaar.views.traces import command as tracing

    request = tracing.parse(arguments)
    run = _from_here(request.run or RUNS / "latest")
    terminal.say(tracing.trace(request, run, lambda share: terminal.at_work("tracing", share)))
    return HELD


def view(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh view [RUN]`: shows a run in a browser, also one that goes on, until Ctrl-C."""
    from bazaar.views.live import viewing

    wanted = viewing.parse(arguments)
    out = _from_here(wanted.run or RUNS / "latest")
    with contextlib.suppress(KeyboardInterrupt):
        viewing.serve(out, wanted.port, lambda url: terminal.say(f"{out} is shown until Ctrl-C at {url}"))
    return HELD


def cluster(arguments: list[str], terminal: Terminal) -> int:
    """`bash run.sh cluster papers|scheduler|worker`: makes this machine one of those that `--hosts` uses."""
    from bazaar.control.cluster import command

    terminal.say(command(arguments))
    return HELD


VERBS: dict[str, Callable[[list[str], Terminal], int]] = {
    "judge": judge,
    "explain": explain,
    "report": report,
    "trace": trace,
    "view": view,
    "cluster": cluster,
}
"""What the first word can be instead of a host."""


def _point_latest_at(out: Path) -> None:
    """Points `runs/latest` at this run, if it is one of `runs/`."""
    if out.parent == RUNS.absolute():
        link = RUNS / f".latest-{os.getpid()}"
        link.symlink_to(out.name)
        link.replace(RUNS / "latest")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
