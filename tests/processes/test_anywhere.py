"""Whole runs where things are set up for something else: by the environment, the host, the limits, the folders."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.needs import need
from tests.processes.command import environment, processes_of
from tests.processes.market import ROOT
from tests.processes.test_command_line import FAST

Finished = subprocess.CompletedProcess[str]


def start(cwd: Path, uri: str | None, *arguments: str, before: str = "", **more: str) -> Finished:
    """`bash run.sh`, after the shell commands `before`."""
    command = f'{before}\nexec bash "$0" "$@"'
    return subprocess.run(
        ["bash", "-c", command, str(ROOT / "run.sh"), *arguments],
        env={**environment(uri), **more},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def assert_held(done: Finished, out: Path) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert json.loads((out / "summary.json").read_text())["verdict"] == "held"
    assert processes_of(out) == {}


FOREIGN = {
    "another host": {"PYRO_HOST": "192.0.2.1", "PYRO_NS_HOST": "192.0.2.1", "PYRO_NS_PORT": "1", "PYRO_NS_BCPORT": "1"},
    "behind a router": {"PYRO_NATHOST": "192.0.2.1", "PYRO_NATPORT": "99"},
    "encrypted": {"PYRO_SSL": "true", "PYRO_SSL_SERVERCERT": "/nonexistent"},
    "a log": {"PYRO_LOGLEVEL": "DEBUG", "PYRO_LOGFILE": "{here}/pyro.log"},
    "no such level": {"PYRO_LOGLEVEL": "LOUD"},
    "no number": {"PYRO_COMMTIMEOUT": "soon", "PYRO_THREADPOOL_SIZE": "many"},
    "other bytes": {"PYRO_SERIALIZER": "pickle", "PYRO_SERIALIZERS_ACCEPTED": "pickle", "PYRO_COMPRESSION": "1"},
    "python's paths": {"PYTHONPATH": "{here}/foreign", "PYTHONHOME": "/nonexistent", "PYTHONSAFEPATH": "1"},
    "python's ways": {"PYTHONWARNINGS": "error", "PYTHONHASHSEED": "odd", "PYTHONINSPECT": "1", "PYTHONUTF8": "2"},
    "libraries": {
        "MPLCONFIGDIR": "/proc/x",
        "MATPLOTLIBRC": "/nonexistent",
        "OMP_NUM_THREADS": "0",
        "OPENSSL_CONF": "/x",
    },
    "ways out": {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "SSL_CERT_FILE": "/nonexistent",
        "SSLKEYLOGFILE": "/nonexistent/x",
    },
    "places": {"TMPDIR": "/nonexistent", "HOME": "/proc", "XDG_CACHE_HOME": "/proc", "PYTHONPYCACHEPREFIX": "/proc"},
    "words": {"LC_ALL": "C", "LANG": "xx_YY", "TZ": "Nowhere/Else", "PYTHONIOENCODING": "ascii"},
    "screens": {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "0", "LINES": "0"},
}


@pytest.mark.parametrize("more", FOREIGN.values(), ids=FOREIGN)
def test_what_is_meant_for_other_programs_changes_nothing(more: dict[str, str], tmp_path: Path, mongo_uri: str) -> None:
    (tmp_path / "foreign").mkdir()
    for name in ("bazaar", "msgspec", "Pyro4", "selectors"):
        (tmp_path / "foreign" / f"{name}.py").write_text("raise SystemExit('this is not it')\n")
    out = tmp_path / "run"
    more = {name: value.format(here=tmp_path) for name, value in more.items()}
    done = start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, "--out", str(out), **more)
    assert_held(done, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "run"]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("port", [False, True])
def test_it_listens_on_ipv6(port: bool, tmp_path: Path, mongo_uri: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        host = f"[::1]:{server.getsockname()[1]}" if port else "::1"
    out = tmp_path / "run"
    assert_held(start(tmp_path, mongo_uri, host, "4", "1", *FAST, "--out", str(out)), out)


def test_a_machine_on_which_nobody_can_connect_is_said(tmp_path: Path, mongo_uri: str) -> None:
    """One can listen at localhost here all the same."""
    alone = (
        subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    )
    need(alone and alone.returncode == 0, "network of its own to be without", "run as root, with util-linux")
    out = ("--out", str(tmp_path / "run"))
    done = start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, *out, before='exec unshare -n bash "$0" "$@"')
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nobody can connect to localhost" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_largest_numbers_that_are_let_in_fit(tmp_path: Path, mongo_uri: str) -> None:
    out = tmp_path / "run"
    largest = (
        "--restock-count",
        "1000000000",
        "--window",
        "10000",
        "--seed",
        str(2**63 - 1),
        "--restock-every",
        "1000000",
    )
    done = start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, *largest, "--out", str(out))
    assert_held(done, out)


@pytest.mark.parametrize("verb", ["", "judge", "doctor"])
def test_a_working_folder_that_was_deleted_is_said(verb: str, tmp_path: Path, mongo_uri: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    arguments = [verb] if verb else ["localhost", "4", "1", *FAST, "--out", str(tmp_path / "run")]
    done = start(gone, mongo_uri, *arguments, before="rmdir ../gone")
    assert (done.returncode, done.stdout) == (2, "")
    assert "working folder is not there any more" in done.stderr.splitlines()[-1]
    assert all("getcwd" in line for line in done.stderr.splitlines()[:-1])  # by the shell, before it is ours
    assert list(tmp_path.iterdir()) == []


def test_no_home_no_locale_nothing_but_path(tmp_path: Path) -> None:
    out = tmp_path / "run"
    only = ["env", "-i", f"PATH={os.environ['PATH']}", "bash", str(ROOT / "run.sh")]
    done = subprocess.run(
        [*only, "localhost", "4", "1", *FAST, "--out", str(out)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert_held(done, out)


@pytest.mark.parametrize("uri", ["", " "])
def test_a_uri_that_is_set_and_empty_is_none(uri: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert_held(start(tmp_path, uri, "localhost", "4", "1", *FAST, "--out", str(out)), out)


def test_too_few_open_files_are_one_line(tmp_path: Path, mongo_uri: str) -> None:
    done = start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, before="ulimit -n 64")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "ulimit -n 256" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_open_files_that_may_be_raised_is(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = start(tmp_path, None, "localhost", "8", "3", *FAST, "--out", str(out), before="ulimit -S -n 64")
    assert_held(done, out)


@pytest.mark.parametrize(
    "name", ["two words", "two\nlines", "市场" * 8, "базар-эксперимент-" * 3, "$HOME", "a'b\"c", "-x"]
)
def test_a_folder_by_any_name(name: str, tmp_path: Path, mongo_uri: str) -> None:
    assert_held(start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, f"--out={name}"), tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 300, "市" * 100, "/dev/null/x", "/proc/x"])
def test_a_folder_that_cannot_be(name: str, tmp_path: Path, mongo_uri: str) -> None:
    done = start(tmp_path, mongo_uri, "localhost", "4", "1", *FAST, f"--out={name}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--out" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["run.sh", "setup_db.sh"])
def test_whoever_types_sh_gets_bash(script: str) -> None:
    done = subprocess.run(["sh", str(ROOT / script), "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
