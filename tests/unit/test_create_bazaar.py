from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import create_bazaar
from bazaar.control.launcher import Bazaar, ProcessDied
from bazaar.control.options import DECLARED, text_of
from bazaar.control.planning import draw_plan
from bazaar.protocol.declaration import docstrings
from bazaar.protocol.faults import Fault
from bazaar.protocol.settings import Settings, UsageError, with_pace
from bazaar.runtime.process import ROOT
from bazaar.views.terminal import Terminal
from create_bazaar import NOTHING_EXERCISED, VIOLATED, WRONG_USAGE, Asked, main, parse


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes that were started; none is."""
    names: list[str] = []

    def start(bazaar: Bazaar) -> None:
        names.append(str(bazaar.out))
        raise AssertionError("this test starts nothing")

    monkeypatch.setattr(Bazaar, "start", start)
    return names


def settings_of(*arguments: str) -> Settings:
    return parse(list(arguments)).settings


# ------------------------------------------------------------------------------------------ the options
def test_without_options_it_is_localhost_8_3_weak_at_the_pace_of_a_demonstration() -> None:
    settings = settings_of()
    assert settings == with_pace("demo", seed=settings.seed)
    assert (settings.host, settings.port, settings.peers, settings.traders) == ("localhost", 0, 8, 3)
    assert (settings.cache, settings.requests, settings.duration_s, settings.window) == ("weak", None, None, 1)


def test_host_peers_and_traders_come_first_in_this_order() -> None:
    settings = settings_of("192.0.2.7", "12", "4")
    assert (settings.host, settings.peers, settings.traders) == ("192.0.2.7", 12, 4)


OPTIONS: list[tuple[str, str, str, Any]] = [
    ("--cache", "none", "cache", "none"),
    ("--pace", "lab", "pace", "lab"),
    ("--duration", "2.5", "duration_s", 2.5),
    ("--requests", "40", "requests", 40),
    ("--window", "6", "window", 6),
    ("--buyers", "5", "buyers", 5),
    ("--sellers", "2", "sellers", 2),
    ("--restock-count", "3", "restock_count", 3),
    ("--restock-every", "7", "restock_every_s", 7.0),
    ("--seed", "99", "seed", 99),
]


@pytest.mark.parametrize(("option", "text", "field", "value"), OPTIONS)
def test_every_option_is_heeded(option: str, text: str, field: str, value: object) -> None:
    assert getattr(settings_of(option, text), field) == value
    assert getattr(settings_of(f"{option}={text}", "localhost", "8"), field) == value


def test_an_option_overrides_the_pace() -> None:
    assert settings_of("--pace", "lab").restock_every_s == 50.0
    assert settings_of("--pace", "lab", "--restock-every", "7").restock_every_s == 7.0


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:9090", "localhost", 9090),
        ("::1", "::1", 0),
        ("[::1]", "::1", 0),
        ("[::1]:9091", "::1", 9091),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1),
    ],
)
def test_a_host_may_fix_the_name_servers_port(text: str, host: str, port: int) -> None:
    settings = settings_of(text)
    assert (settings.host, settings.port) == (host, port)


def test_without_a_seed_one_is_drawn_and_is_in_the_runs_name() -> None:
    drawn = {parse([]).settings.seed for _ in range(10)}
    assert len(drawn) > 1
    asked = parse([])
    assert asked.out.name.endswith(f"-seed{asked.settings.seed}")
    assert asked.out.parent == Path("runs").absolute()
    assert asked == Asked(asked.settings, asked.out, [], quiet=False, pictures=True, serve=None, treaties=[])
    assert parse(["--quiet"]).quiet
    assert not parse(["--no-pictures"]).pictures


def test_the_folder_may_be_given_and_refers_to_where_one_is() -> None:
    assert parse(["--out", "mine"]).out == Path("mine").absolute()


def test_faults_are_repeatable_and_belong_to_the_runs_own_plan() -> None:
    faults = parse(["localhost", "8", "3", "--fault", "pause:trader1@5+2", "--fault", "kill:warehouse@1"]).faults
    assert [str(fault) for fault in faults] == ["kill:warehouse@1", "pause:trader1@5+2"]
    name = draw_plan(settings_of("--seed", "4")).names[5]
    assert parse(["--seed", "4", "--fault", f"kill:{name}@2"]).faults == [Fault("kill", name, 2.0)]


def test_help_names_every_option_and_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--fault", "--out", *(option for option, *_ in OPTIONS)))


def test_set_reaches_every_setting(tmp_path: Path) -> None:
    ring = tmp_path / "ring.txt"
    ring.write_text("".join(f"{peer} {(peer + 1) % 9} {(peer - 1) % 9}\n" for peer in range(9)))
    every = with_pace(
        "fast", host="::1", port=9090, listen="::", announce="there", tls=True, hosts="dask://a:1", leash_s=7, peers=9,
        traders=2, cache="escrow", election="simultaneous", duration_s=2.5, requests=40, window=3, buyers=5, sellers=4,
        units="2-4", seed=-7, restock_count=4, restock_every_s=3.5, pull_every=0, push=False, lease_s=0.5,
        election_delay_s=0.1, reelection_delay_s=0.2, registration_delay_s=0.3, opening_delay_s=0.4, think_s=0.6,
        election_timeout_s=0.7, heartbeat_s=0.8, suspect_after_s=1.9, answer_timeout_s=2.0, routing="neighbours",
        graph=str(ring), keeper=True, traders_max=3, scale_up_after_ms=50.5, scale_down_after_s=2.5, load="step:5@1+2",
    )  # fmt: skip
    values = msgspec.structs.asdict(every)
    default = msgspec.structs.asdict(Settings())
    assert [name for name in values if values[name] == default[name]] == [
        "name",
        "partners",
    ]  # it goes with neither TLS nor a graph
    assert settings_of("--set=name=north").name == settings_of("--name", "north").name == "north"
    assert settings_of(*(f"--set={name}={text_of(value)}" for name, value in values.items())) == every


def test_set_overrides_the_pace_and_goes_with_options_of_other_settings() -> None:
    settings = settings_of("--set", "think_s=0.25", "--pace", "lab", "--window", "2", "--set", "push=FALSE")
    assert (settings.think_s, settings.pace, settings.window, settings.push) == (0.25, "lab", 2, False)
    assert settings.opening_delay_s == 35.0
    assert settings_of("--set", "pace=lab", "--set", "seed=1") == with_pace("lab", seed=1)


def test_every_setting_is_in_the_help_by_its_option_or_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = capsys.readouterr().out
    words = " ".join(said.split())
    for name, meaning in docstrings(Settings).items():
        option = DECLARED[name].option
        assert (f" {option.name} " if option is not None else f" {name}: ") in words, name
        assert meaning.rstrip(".") in words, name
    assert max(map(len, said.splitlines())) <= 80


def test_version_is_that_of_the_newest_part_of_the_changelog(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert capsys.readouterr().out == f"bazaar {newest[1]}\n"


# -------------------------------------------------------------------------------------- what is refused
WRONG: list[tuple[list[str], str]] = [
    (["localhost", "many"], "peers: invalid int value: 'many'"),
    (["localhost", "8", "3.5"], "traders: invalid int value"),
    (["localhost", "8", "3", "4"], "unrecognized arguments: 4"),
    (["--frobnicate"], "unrecognized arguments: --frobnicate"),
    (["--dur", "3"], "unrecognized arguments: --dur"),
    (["--cache", "redis"], "--cache can be none, weak, escrow, shared; you asked for 'redis'"),
    (["--pace", "slow"], "invalid choice: 'slow'"),
    (["--requests"], "--requests: expected one argument"),
    (["--seed", "x"], "--seed: invalid int value"),
    (["8", "3"], "the host comes first: bash run.sh localhost 8"),
    (["[::1"], "is no HOST or HOST:PORT"),
    (["--listen", "127.0.0.1:9090"], "--listen: '127.0.0.1:9090' is no address; give it without port and brackets"),
    (["--listen", "[::1]"], "--listen: '[::1]' is no address"),
    (["--announce", "a..b"], "--announce: 'a..b' is no address"),
    (["--set", "announce="], "--set announce=: give NAME=VALUE"),
    (["::1]:80"], "is no host"),
    (["[localhost]:80"], "is no HOST or HOST:PORT"),
    (["[::1]:port"], "is no HOST or HOST:PORT"),
    (["localhost:" + "9" * 5000], "is no HOST or HOST:PORT"),
    (["localhost:٣"], "is no HOST or HOST:PORT"),
    ([""], "is no HOST or HOST:PORT"),
    (["a..b"], "is no host"),
    (["localhost", "9" * 5000], "peers: invalid int value"),
    (["--seed", "9" * 4000], "--seed must be"),
    (["--fault", "random:9999999999"], "--fault random:9999999999: give"),
    (["--fault", "kill:buyer1@" + "9" * 400], "give kill:NAME@AT"),
    (["localhost:port"], "is no HOST or HOST:PORT"),
    (["localhost:"], "is no HOST or HOST:PORT"),
    ([":9090"], "is no HOST or HOST:PORT"),
    ([""], "is no HOST or HOST:PORT"),
    (["localhost:70000"], "port must be at least 0 and at most 65535"),
    (["localhost", "2", "1"], "at least 3 peers"),
    (["localhost", "8", "7"], "1 to 6 traders"),
    (["--buyers", "9"], "--buyers can be 1 to 7"),
    (["--duration", "nan"], "--duration must be"),
    (["--fault", "kill:nobody@5"], "--fault kill:nobody@5: there is no nobody"),
    (["localhost", "8", "2", "--fault", "kill:trader2@5"], "there will be 2 traders, trader0 to trader1"),
    (["--fault", "kill:trader0@9", "--duration", "9"], "the run is over after 9 s"),
    (["--fault", "pause:trader0@5"], "a pause, and only a pause, has a length"),
    (["--fault"], "--fault: expected one argument"),
    (["--windw", "3"], "unrecognized arguments: --windw (did you mean --window?)"),
    (["localhost", "--windw", "many"], "unrecognized arguments: --windw (did you mean --window?)"),
    (["-window", "3"], "(did you mean --window?)"),
    (["--Requests=3"], "unrecognized arguments: --Requests=3 (did you mean --requests?)"),
    (["--pull-every", "3"], "unrecognized arguments: --pull-every (did you mean --set pull_every=VALUE?)"),
    (["--pace", "fats"], "choose from lab, demo, fast (did you mean fast?)"),
    (["--cache", "weka"], "you asked for 'weka' (did you mean weak?)"),
    (["--election", "round"], "(did you mean rounds?)"),
    (["8", "3", "localhost"], "the host comes first: bash run.sh localhost 8"),
    (["--window", "٣"], "--window: invalid int value: '٣'; give a whole number"),
    (["--set"], "--set: expected one argument"),
    (["--set", "window"], "--set window: give NAME=VALUE, such as window=1"),
    (["localhost", "8", "3", "--set", "window", "3"], "--set window: give NAME=VALUE, such as window=1"),
    (["--set", "window="], "--set window=: give NAME=VALUE, such as window=1"),
    (["--set", "requests"], "--set requests: give NAME=VALUE, such as requests=10"),
    (["--set", ""], "give NAME=VALUE, such as window=3"),
    (["--set", "=3"], "--set =3: give NAME=VALUE, such as window=3"),
    (["--set", "heartbet_s=1"], "--set heartbet_s=1: there is no such setting (did you mean heartbeat_s?)"),
    (["--set", "duration=1"], "there is no such setting (did you mean duration_s?)"),
    (["--set", "wind\now=1"], "--set wind\\now=1: there is no such setting"),
    (["--set", "x" * 5000 + "=1"], " ...: there is no such setting; --help lists them"),
    (["--set", "window=1", "--set", "window=1"], "--set window=1: window is 1 already; give it once"),
    (["--window", "3", "--set", "window=4"], "--set window=4: window is 3 already; give it once"),
    (["--set", "window=4", "--window", "3"], "--set window=4: window is 3 already; give it once"),
    (["--set", "pace=fast", "--pace", "lab"], "--set pace=fast: pace is lab already; give it once"),
    (["localhost", "9", "--set", "peers=8"], "--set peers=8: peers is 9 already; give it once"),
    (["::1", "--set", "host=localhost"], "--set host=localhost: host is ::1 already; give it once"),
    (["localhost:1", "--set", "port=2"], "--set port=2: port is 1 already; give it once"),
    (["--requests", "3", "--set", "requests=none"], "--set requests=none: requests is 3 already; give it once"),
    (["--set", "window=many"], "--set window=many: invalid int value: 'many'; give a whole number"),
    (["--set", "window=1e9"], "--set window=1e9: invalid int value: '1e9'"),
    (["--set", "window=" + "9" * 5000], "invalid int value"),
    (["--set", "window=" + "9" * 100], "--window must be at least 1 and at most 10000; you asked for 9999"),
    (["--set", "window=none"], "invalid int value: 'none'"),
    (["--set", "window=٣"], "invalid int value: '٣'"),
    (["--set", "think_s=٣"], "invalid float value: '٣'; give a number"),
    (["--set", "think_s=soon"], "invalid float value: 'soon'; give a number"),
    (["--set", "think_s=nan"], "think_s must be a number of seconds at least 0 and at most 1000000; you asked for nan"),
    (["--set", "think_s=inf"], "think_s must be"),
    (["--set", "think_s=1e9"], "think_s must be"),
    (["--set", "think_s=-1"], "think_s must be"),
    (["--set", "lease_s=0"], "lease_s must be a number of seconds above 0"),
    (["--set", "push=maybe"], "invalid bool value: 'maybe'; give true or false"),
    (
        ["--set", "pace=fats"],
        "--set pace=fats: invalid choice: 'fats'; choose from lab, demo, fast (did you mean fast?)",
    ),
    (["--set", "cache=weka"], "--cache can be none, weak, escrow, shared; you asked for 'weka' (did you mean weak?)"),
    (["--set", "host=a=b"], "'a=b' is no host"),
    (["--set", "heartbeat_s=3"], "heartbeat_s can be at most half of suspect_after_s"),
]


@pytest.mark.parametrize(("arguments", "complaint"), WRONG)
def test_wrong_usage_is_one_line_and_status_2_and_starts_nothing(
    arguments: list[str], complaint: str, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        parse(arguments)
    assert complaint in str(caught.value)
    assert main(arguments) == WRONG_USAGE == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert complaint in said.err
    assert started == []


@pytest.mark.parametrize("given", ["localhost", "65536", "٣", "1:2:3", "", "9" * 5000])
def test_the_live_page_needs_a_port(given: str, started: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["localhost", "8", "3", "--serve", given]) == WRONG_USAGE
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "give it a PORT or ADDRESS:PORT" in said.err
    assert started == []


def test_a_port_that_is_taken_is_refused_before_anything_is_started(
    started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--serve", str(port)]) == WRONG_USAGE
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"cannot listen at 127.0.0.1:{port} (Address already in use); give another, or none" in said.err
    assert started == []


def test_the_live_page_is_announced_and_its_port_is_free_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bazaar, "start", ending_with(KeyboardInterrupt()))
    assert main(["--serve", "--out", str(tmp_path / "run")]) == NOTHING_EXERCISED
    said = capsys.readouterr()
    url = re.match(r"The live page: http://127\.0\.0\.1:(\d+)/[\w-]{24}/\n", said.out)
    assert url is not None, said
    socket.create_server(("127.0.0.1", int(url[1]))).close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Somebody's folder with things in it."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("precious")
    return tmp_path / "thesis"


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_was(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(out)]) == WRONG_USAGE
    assert "is not empty; give another folder to --out" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == ["chapter1.txt"]


def test_a_folder_that_is_refused_keeps_a_database_that_is_in_it(out: Path) -> None:
    """It may be that of another run, which goes on; or somebody's data."""
    (out / "mongodb").mkdir()
    (out / "mongodb" / "collection.wt").write_text("precious")
    assert main(["--out", str(out)]) == WRONG_USAGE
    assert (out / "mongodb" / "collection.wt").exists()


@pytest.mark.parametrize("name", ["chapter1.txt", "chapter1.txt/below"])
def test_a_folder_that_cannot_be_is_refused(name: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(out / name)]) == WRONG_USAGE
    assert capsys.readouterr().err.count("\n") == 1
    assert (out / "chapter1.txt").read_text() == "precious"


# ---------------------------------------------------------------------------------- runs that go wrong
def ending_with(error: BaseException) -> Callable[[Bazaar], None]:
    def start(bazaar: Bazaar) -> None:
        raise error

    return start


def test_ctrl_c_before_any_order_was_answered_says_so_and_is_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bazaar, "start", ending_with(KeyboardInterrupt()))
    assert main(["--out", str(tmp_path / "run")]) == NOTHING_EXERCISED == 3
    assert "stopped" in capsys.readouterr().err


def test_a_process_that_dies_before_the_warehouse_is_there_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Bazaar, "start", ending_with(ProcessDied("nameserver ended with status 1: no room")))
    monkeypatch.setattr(Bazaar, "judgement", lambda bazaar: SimpleNamespace(report=SimpleNamespace(verdict="unknown")))
    monkeypatch.setattr(Terminal, "conclude", lambda *_: None)
    assert main(["--out", str(tmp_path / "run")]) == VIOLATED == 1
    assert "nameserver ended with status 1: no room" in capsys.readouterr().err


def test_a_process_that_dies_while_the_run_finishes_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Dying(Bazaar):
        def start(self) -> None:
            self.out.mkdir()

        def trade(self) -> None:
            pass

        def finish(self) -> None:
            self.failure = ProcessDied("buyer0 ended with status 1: a bug")

        def judgement(self) -> Any:
            return SimpleNamespace(report=SimpleNamespace(verdict="held"))

    bazaar = Dying(with_pace("fast"), tmp_path / "run")
    shown: list[object] = []
    monkeypatch.setattr(Terminal, "conclude", lambda *parts: shown.append(parts))
    terminal = Terminal()
    with bazaar:
        assert create_bazaar.run(bazaar, terminal) == VIOLATED
    terminal.close()
    assert len(shown) == 1  # it was judged
    assert "buyer0 ended with status 1: a bug" in capsys.readouterr().err


def test_a_kill_is_like_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bazaar, "start", lambda bazaar: signal.raise_signal(signal.SIGTERM))
    assert main(["--out", str(tmp_path / "run")]) == NOTHING_EXERCISED


# -------------------------------------------------------------------------------------------- runs/latest
def test_latest_points_at_the_newest_run_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        create_bazaar._point_latest_at(tmp_path / "runs" / name)
        assert (tmp_path / "runs" / "latest").resolve().name == name
    create_bazaar._point_latest_at(tmp_path / "elsewhere")
    assert sorted(file.name for file in (tmp_path / "runs").iterdir()) == ["first", "latest", "second"]
