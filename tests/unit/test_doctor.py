from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bazaar.setup import doctor
from bazaar.setup.doctor import Finding

ROOT = Path(__file__).resolve().parents[2]


def found(findings: list[Finding], thing: str) -> Finding:
    return next(finding for finding in findings if finding.thing == thing)


def test_every_finding_is_one_line_with_a_mark() -> None:
    findings = list(doctor.examine(ROOT, ready=True, fit=True))
    assert {finding.mark for finding in findings} <= {"ok", "mind", "missing"}
    assert all(finding.text and "\n" not in finding.text for finding in findings)
    things = [finding.thing for finding in findings]
    for thing in (
        "Python",
        ".venv",
        "MongoDB",
        "localhost",
        "IPv6",
        "locale",
        "open files",
        "processes",
        "disk",
        "memory",
        "clock",
        "tools",
    ):
        assert things.count(thing) == 1


def as_somebody(find: Callable[[], Finding]) -> Finding:
    """What is found by who is not the administrator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        return find()


LACKS: dict[str, tuple[Callable[[], Finding], str, str]] = {
    "no python": (lambda: doctor.python(fit=False), "missing", "BAZAAR_PYTHON"),
    "a colon": (lambda: doctor.environment(Path("/a:b"), ready=True), "missing", "move or rename"),
    "few files": (lambda: doctor.files((64, 64)), "missing", "ulimit -n"),
    "few processes": (lambda: as_somebody(lambda: doctor.processes(100)), "mind", "ask for fewer"),
    "no room": (lambda: doctor.folder(Path("/"), "runs", 10**9), "missing", "make room"),
    "little memory": (lambda: doctor.memory(300), "mind", "ask for fewer"),
    "memory unknown": (lambda: doctor.memory(0), "mind", "does not say"),
    "an old clock": (lambda: doctor.clock(0.0), "mind", "set it"),
}


@pytest.mark.parametrize(("finding", "mark", "advice"), LACKS.values(), ids=LACKS)
def test_what_is_lacking_is_said_with_what_to_do(finding: Callable[[], Finding], mark: str, advice: str) -> None:
    assert finding().mark == mark
    assert advice in finding().text


def test_a_soft_limit_is_no_hindrance_and_no_limit_neither() -> None:
    assert doctor.files((64, 4096)).mark == "ok"
    assert doctor.files((64, resource.RLIM_INFINITY)).mark == "ok"


def test_an_environment_that_is_not_there_yet_is_no_hindrance(tmp_path: Path) -> None:
    assert doctor.environment(tmp_path, ready=False).mark == "ok"


def test_mongodb_by_a_uri_is_there_only_if_somebody_answers(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        there = list(doctor.mongods(tmp_path, True, f"mongodb://me:secret@127.0.0.1:{port}/?tls=true"))
    away = list(doctor.mongods(tmp_path, True, f"mongodb://me:secret@127.0.0.1:{port}/"))
    assert [finding.mark for finding in there + away] == ["ok", "missing"]
    assert f"127.0.0.1:{port}" in away[0].text
    assert "secret" not in there[0].text + away[0].text


def test_mongodb_by_no_way_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.txt").write_text("fiftyone-db==1 ; sys_platform == 'atari'\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = doctor.mongods(tmp_path, False, None)
    assert finding.mark == "missing"
    assert all(way in finding.text for way in ("BAZAAR_MONGO_URI", "PATH", "Docker"))
    (tmp_path / "requirements.txt").write_text(f"fiftyone-db==1 ; sys_platform == '{sys.platform}'\n")
    (finding,) = doctor.mongods(tmp_path, False, None)
    assert finding.mark == "ok"


def test_it_needs_no_package_and_its_status_says_whether_a_run_can_start() -> None:
    command = [sys.executable, "-I", "-S", str(ROOT / "bazaar" / "setup" / "doctor.py"), str(ROOT)]
    sound = subprocess.run([*command, "ready", "fit"], capture_output=True, text=True, check=False)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.splitlines()[-1].startswith("A run can start")
    lacking = subprocess.run([*command, "not", "not"], capture_output=True, text=True, check=False)
    assert lacking.returncode == 1
    assert "1 thing(s) to do" in lacking.stdout


@pytest.mark.parametrize(
    ("system", "machine", "there"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", True),
        ("darwin", "arm64", True),
        ("darwin", "x86_64", True),
        ("win32", "AMD64", True),
        ("linux", "riscv64", False),
    ],
)
def test_which_machines_get_mongodb_with_the_packages(
    system: str, machine: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert doctor.brings_a_wheel(ROOT) == there
