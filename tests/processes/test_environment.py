"""The environment that run.sh makes for itself, on machines that are set up for other things.

Each test has a copy of the two files that make it, and asks for one tiny package, `peppercorn`, from a folder: no network.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.needs import need
from tests.processes.market import ROOT
from tests.waiting import wait_until

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
START = """set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/bazaar/setup/environment.sh"
prepare_environment requirements.txt
exec "$PYTHON" -c 'import os, peppercorn; print(peppercorn.TASTE, os.environ["HOME"])'
"""


class Project:
    """A folder with a start that needs peppercorns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        (root / "bazaar" / "setup").mkdir(parents=True)
        for name in ("environment.sh", "installer.py"):
            shutil.copy(ROOT / "bazaar" / "setup" / name, root / "bazaar" / "setup")
        (root / "requirements.txt").write_text("peppercorn==1.0  # hot\nnowhere==9 ; sys_platform == 'atari'\n")
        (root / "start.sh").write_text(START)
        self.shelf = root / "shelf"
        self.shelf.mkdir()
        with zipfile.ZipFile(self.shelf / "peppercorn-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("peppercorn.py", "TASTE = 'hot'\n")
            about = "peppercorn-1.0.dist-info"
            wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: peppercorn\nVersion: 1.0\n")
            wheel.writestr(
                f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(
                f"{about}/RECORD", f"peppercorn.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
            )

    def environment(self, **more: str) -> dict[str, str]:
        """Where the peppercorns are, and no uv, unless `more` has one on PATH."""
        shelf = str(self.shelf)
        ours = {"PIP_FIND_LINKS": shelf, "PIP_NO_INDEX": "1", "UV_FIND_LINKS": shelf, "UV_OFFLINE": "1"}
        return {"PATH": path_without_uv(), "HOME": str(self.root), "BAZAAR_PYTHON": sys.executable, **ours, **more}

    def start(self, *before: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs `start.sh` after the words `before`; an empty value takes a variable away."""
        environment = {name: value for name, value in self.environment(**more).items() if value}
        command = [*before, "bash", str(self.root / "start.sh")]
        return subprocess.run(
            command, env=environment, cwd=self.root, capture_output=True, text=True, timeout=100, check=False
        )


def path_without_uv() -> str:
    return ":".join(folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "uv").exists())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with pip and nothing else; it takes seconds to make, and a moment to copy."""
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([sys.executable, "-I", "-m", "venv", str(folder)], check=True)
    (folder / "made-with").write_text(sys.executable)
    return folder


@pytest.fixture
def bare_project(project: Project, bare: Path) -> Project:
    """A project with such a one."""
    shutil.copytree(bare, project.venv, symlinks=True)
    return project


@pytest.fixture
def open_project() -> Iterator[Project]:
    """One that other users can read, and a Python for it that they can run too."""
    need(os.geteuid() == 0 and shutil.which("setpriv"), "way to become another user", "run as root, with util-linux")
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield Project(root / "project")
    shutil.rmtree(root)


def others_python() -> str:
    for python in ("/usr/bin/python3", "/usr/local/bin/python3"):
        asked = subprocess.run([*NOBODY, python, "-c", "import ensurepip, venv"], capture_output=True, check=False)
        if asked.returncode == 0:
            return python
    pytest.skip("no Python with ensurepip that other users may run")


def is_hot(done: subprocess.CompletedProcess[str]) -> bool:
    return (done.returncode, done.stdout.partition(" ")[0]) == (0, "hot")


def assert_one_line(done: subprocess.CompletedProcess[str], named: str) -> None:
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert named in done.stderr


def test_it_is_made_once_and_then_nothing_is_said(project: Project) -> None:
    first = project.start()
    assert is_hot(first), first.stderr
    assert "MB to fetch" in first.stderr
    assert "installing 1 packages" in first.stderr
    again = project.start()
    assert is_hot(again)
    assert again.stderr == ""


CONFIGURATION = {
    "target": {"PIP_TARGET": "{elsewhere}"},
    "user": {"PIP_USER": "1"},
    "prefix": {"PIP_PREFIX": "{elsewhere}"},
    "root": {"PIP_ROOT": "{elsewhere}"},
    "dry run": {"PIP_DRY_RUN": "1"},
    "hashes": {"PIP_REQUIRE_HASHES": "1"},
    "a file": {"PIP_CONFIG_FILE": "{file}"},
    "another python": {"PIP_PYTHON": "/nonexistent"},
}


@pytest.mark.parametrize("configuration", CONFIGURATION.values(), ids=CONFIGURATION)
def test_what_pip_is_told_for_other_projects(
    configuration: dict[str, str], bare_project: Project, tmp_path: Path
) -> None:
    elsewhere, file = tmp_path / "elsewhere", tmp_path / "pip.conf"
    file.write_text(f"[global]\nconstraint = /nonexistent\n[install]\nuser = true\ntarget = {elsewhere}\n")
    more = {name: value.format(elsewhere=elsewhere, file=file) for name, value in configuration.items()}
    done = bare_project.start(**more)
    assert is_hot(done), done.stderr
    assert not elsewhere.exists()


def test_how_packages_are_reached_is_taken_from_pips_file(bare_project: Project, tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nno-index = true\n[install]\nfind-links =\n  /nonexistent\n  {bare_project.shelf}\n")
    done = bare_project.start(PIP_FIND_LINKS="", PIP_NO_INDEX="", PIP_CONFIG_FILE=str(file))
    assert is_hot(done), done.stderr


def test_what_cannot_be_installed_is_one_more_line_and_no_stamp(bare_project: Project) -> None:
    (bare_project.shelf / "peppercorn-1.0-py3-none-any.whl").unlink()
    done = bare_project.start()
    assert done.returncode == 2
    assert "No matching distribution found for peppercorn==1.0" in done.stderr.splitlines()[-1]
    assert list(bare_project.venv.glob("*.stamp")) == []
    assert bare_project.start().returncode == 2


def test_a_network_that_is_not_there_is_said_as_that(bare_project: Project) -> None:
    done = bare_project.start(PIP_NO_INDEX="", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_FIND_LINKS="", PIP_RETRIES="1")
    assert done.returncode == 2
    assert "is there a network?" in done.stderr.splitlines()[-1]


@pytest.fixture
def uv() -> str:
    """The folder of a real uv."""
    found = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".venv" / "bin"))
    need(found, "uv", "pip install -r tests/requirements.txt")
    return str(Path(str(found)).parent)


@pytest.mark.parametrize("name", ["", "UV_TARGET", "UV_PREFIX", "UV_CONSTRAINT", "UV_PYTHON", "VIRTUAL_ENV"])
def test_uv_makes_it_where_it_is_on_path(name: str, project: Project, uv: str, tmp_path: Path) -> None:
    more = {name: "/nonexistent"} if name else {}
    (project.root / "uv.toml").write_text("[pip]\nrequire-hashes = true\n")
    done = project.start(PATH=f"{path_without_uv()}:{uv}", UV_CACHE_DIR=str(tmp_path / "cache"), **more)
    assert is_hot(done), done.stderr
    assert "uv could not" not in done.stderr
    assert list(project.venv.rglob("peppercorn*.pyc"))
    assert not list(project.venv.rglob("site-packages/pip"))


@pytest.mark.parametrize("does", ["exit 1", "exit 0"], ids=["fails", "installs elsewhere"])
def test_where_uv_does_not_do_it_pip_does(does: str, bare_project: Project, tmp_path: Path) -> None:
    (tmp_path / "uv").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "uv").chmod(0o755)
    done = bare_project.start(PATH=f"{tmp_path}:{path_without_uv()}")
    assert is_hot(done), done.stderr
    assert "now with pip" in done.stderr


def test_ctrl_c_while_it_is_made_leaves_nobody_and_the_next_start_makes_it(project: Project, tmp_path: Path) -> None:
    # exec: a shell blocks signals while it starts a program, so one started in that moment would miss the interrupt.
    (tmp_path / "uv").write_text(
        f"#!/bin/sh\necho $$ >{tmp_path}/pid.new && mv {tmp_path}/pid.new {tmp_path}/pid\nexec sleep 60\n"
    )
    (tmp_path / "uv").chmod(0o755)
    with subprocess.Popen(
        ["bash", str(project.root / "start.sh")],
        env=project.environment(PATH=f"{tmp_path}:{path_without_uv()}"),
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as start:
        wait_until(lambda: (tmp_path / "pid").exists(), 30)
        os.killpg(start.pid, signal.SIGINT)
        try:
            status = start.wait(30)
        except subprocess.TimeoutExpired:
            pytest.fail(subprocess.run(["ps", "-s", str(start.pid), "f"], capture_output=True, text=True).stdout)
    assert status == 130
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    done = project.start()
    assert is_hot(done), done.stderr


def test_a_full_tmp_does_not_matter(project: Project, small_disk: Callable[[int], Path]) -> None:
    tmp = small_disk(1)
    (tmp / "somebody's").write_bytes(bytes(2**20 - 2**14))
    done = project.start(TMPDIR=str(tmp))
    assert is_hot(done), done.stderr


NAMES = ["new\nline", 'it\'s $HOME `ls` "q"', "市场", "-x", "100%s", "[x]*?", "a;b#c", "back\\slash"]


@pytest.mark.parametrize("name", NAMES)
def test_a_project_in_a_folder_by_any_name(name: str, tmp_path: Path) -> None:
    project = Project(tmp_path / name / "project")
    shelf = shutil.copytree(project.shelf, tmp_path / "shelf")  # pip takes no blanks in *its* path
    done = project.start(PIP_FIND_LINKS=str(shelf))
    assert is_hot(done), done.stderr


def test_several_first_starts_at_once(project: Project) -> None:
    command = ["bash", str(project.root / "start.sh")]
    starts = [subprocess.Popen(command, env=project.environment(), stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [start.communicate(timeout=100)[0].partition(" ")[0] for start in starts] == ["hot"] * 3


def test_without_a_path_it_has_the_shells(project: Project) -> None:
    """`env -i`: a Python that is found by its name asks PATH where it is, and cannot make an environment else."""
    found = subprocess.run(["env", "-i", "bash", "-c", "type python3"], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip("no python3 where a shell looks by itself")
    done = project.start(PATH="", HOME="", BAZAAR_PYTHON="python3")
    assert is_hot(done), done.stderr


def test_without_a_home_it_has_the_one_from_the_list_of_users(bare_project: Project) -> None:
    done = bare_project.start(HOME="")
    assert is_hot(done), done.stderr
    assert done.stdout.partition(" ")[2].startswith("/")


def test_a_moved_project_goes_on(bare_project: Project, tmp_path: Path) -> None:
    bare_project.start()
    moved = bare_project.root.rename(tmp_path / "moved so far")
    done = subprocess.run(["bash", moved / "start.sh"], capture_output=True, text=True, check=False)
    assert is_hot(done), done.stderr
    assert done.stderr == ""


def test_a_colon_in_the_path_is_one_line(tmp_path: Path) -> None:
    assert_one_line(Project(tmp_path / "a:b").start(), "colon")


def pythons() -> dict[str, str]:
    """Those of this machine that would do, by version ("3.11")."""
    places = [*Path("/usr/bin").glob("python3.1[0-3]"), *Path("/usr/local/bin").glob("python3.1[0-3]")]
    places += Path.home().glob(".pyenv/versions/3.1[0-3]*/bin/python3")
    found: dict[str, str] = {}
    for place in places:
        asked = subprocess.run(
            [str(place), "-c", "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            found.setdefault(asked.stdout.strip(), str(place))
    return found


def test_when_the_system_has_another_python_it_is_made_anew(project: Project) -> None:
    if len(pythons()) < 2:
        pytest.skip("this machine has one version of Python from 3.10 to 3.13: install another")
    old, new = list(pythons().values())[:2]
    assert is_hot(project.start(BAZAAR_PYTHON=old))
    for name in ("python", "python3"):
        link = project.venv / "bin" / name
        link.unlink()
        link.symlink_to(new)
    done = project.start(BAZAAR_PYTHON=old)
    assert is_hot(done), done.stderr
    assert "Making the Python environment" in done.stderr


def test_a_python_that_was_only_replaced_by_its_like_is_looked_at_and_kept(bare_project: Project) -> None:
    assert is_hot(bare_project.start())
    stamp = bare_project.venv / "requirements.txt.stamp"
    before = stamp.read_text()
    stamp.write_text("that of another file of the same Python")
    done = bare_project.start()
    assert is_hot(done)
    assert (done.stderr, stamp.read_text()) == ("", before)


def test_a_python_without_ssl_or_venv_is_none(project: Project, tmp_path: Path) -> None:
    """It could fetch nothing; the next one on PATH may do."""
    (tmp_path / "python3").write_text(f'#!/bin/sh\ncase "$*" in *ssl*) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    assert_one_line(project.start(BAZAAR_PYTHON=str(tmp_path / "python3")), "venv and ssl")


def test_a_base_python_that_is_gone(project: Project) -> None:
    assert is_hot(project.start())
    for name in ("python", "python3"):
        link = project.venv / "bin" / name
        link.unlink()
        link.symlink_to("/nonexistent/python3")
    assert is_hot(project.start())


def test_another_users_project_that_is_ready_is_used(open_project: Project) -> None:
    python = others_python()
    assert is_hot(open_project.start(BAZAAR_PYTHON=python))
    (open_project.venv / "requirements.txt.stamp").write_text("of another machine")
    done = open_project.start(*NOBODY, BAZAAR_PYTHON=python)
    assert is_hot(done), done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("made", ["not yet", "long ago", "in a folder for all"])
def test_another_users_project_that_is_not_ready_is_one_line(made: str, open_project: Project) -> None:
    if made != "not yet":
        (open_project.venv / "lib").mkdir(parents=True)
        (open_project.venv / "lib" / "old.py").touch()
        (open_project.venv / "half-made").touch()
    if made == "in a folder for all":
        open_project.root.chmod(0o777)
        open_project.venv.chmod(0o777)
    before = sorted(open_project.root.rglob("*"))
    assert_one_line(open_project.start(*NOBODY, BAZAAR_PYTHON=others_python()), "a copy of your own")
    assert sorted(open_project.root.rglob("*")) == before


def examine(project: Project, **more: str) -> subprocess.CompletedProcess[str]:
    """`bash run.sh doctor` there."""
    for name in ("run.sh", "bazaar/setup/doctor.py"):
        shutil.copy(ROOT / name, project.root / name)
    environment = {name: value for name, value in project.environment(**more).items() if value}
    command = ["bash", str(project.root / "run.sh"), "doctor"]
    return subprocess.run(
        command, env=environment, cwd=project.root, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_doctor_comes_before_the_environment_and_makes_nothing(project: Project) -> None:
    wheel = ROOT / "requirements.txt"
    (project.root / "requirements.txt").write_text(wheel.read_text())
    examine(project)
    before = sorted(project.root.rglob("*"))
    done = examine(project)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert ".venv       not there yet" in done.stdout
    assert sorted(project.root.rglob("*")) == before


def test_the_doctor_says_which_python_will_not_do(project: Project) -> None:
    done = examine(project, BAZAAR_PYTHON="/nonexistent/python")
    assert done.returncode == 1
    assert "missing  Python      /nonexistent/python" in done.stdout


def test_the_doctor_without_any_python_is_the_shell(project: Project, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "cat", "cksum", "dirname", "ls"):
        (programs / name).symlink_to(str(shutil.which(name)))
    done = examine(project, PATH=str(programs), BAZAAR_PYTHON="")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("missing  Python")
    assert done.stdout.count("\n") == 1
