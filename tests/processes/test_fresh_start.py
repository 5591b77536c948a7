"""From a clone to a verdict by the README's command, and to tests, on a machine that has Python and nothing else set up.

Like a container: another user, whose HOME is empty, and of the environment PATH alone. How packages are reached is the
machine's: pip's own file in /etc, and what of these variables is set.

The Python version that the tests run on is always tried. Another one is tried where this machine has it; a machine need
not have all, in CI neither, where each version has a run of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import need
from tests.processes.command import processes_of
from tests.processes.market import ROOT
from tests.processes.test_environment import NOBODY, pythons

VERSIONS = ("3.10", "3.11", "3.12", "3.13")
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
REACH = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_TRUSTED_HOST", "HTTPS_PROXY", "https_proxy")
COMMAND = "bash run.sh localhost 8 3"  # the README's first
AS_SOMEBODY = NOBODY if os.geteuid() == 0 and shutil.which("setpriv") else []


@pytest.fixture
def machine() -> Iterator[Path]:
    """A folder that anybody can read, with a clone of what git has of the project here, and an empty home."""
    root = Path(tempfile.mkdtemp(prefix="bazaar-fresh-"))
    root.chmod(0o755)
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    need(listed.returncode == 0, "git repository around the project", "clone it")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (root / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / "clone" / name)
    (root / "home").mkdir()
    if AS_SOMEBODY:
        subprocess.run(["chown", "-R", "65534:65534", str(root / "clone"), str(root / "home")], check=True)
    yield root
    shutil.rmtree(root)


def readable(python: str, folder: Path) -> dict[str, str]:
    """What says which Python: this one; or, where it is in somebody's home, a copy that the other user can run."""
    if subprocess.run([*AS_SOMEBODY, python, "-c", ""], capture_output=True, check=False).returncode == 0:
        return {"BAZAAR_PYTHON": python}
    asked = "import sys; print(sys.base_prefix, 'python%d.%d' % sys.version_info[:2])"
    prefix, name = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    for kind in ("bin", "lib"):
        (folder / kind).mkdir(parents=True)
    shutil.copy(Path(prefix, "bin", name), folder / "bin")
    for library in Path(prefix, "lib").glob(f"lib{name}*.so*"):
        shutil.copy(library, folder / "lib")
    left_out = shutil.ignore_patterns("site-packages", "test", "config-*")
    shutil.copytree(Path(prefix, "lib", name), folder / "lib" / name, ignore=left_out)
    return {"BAZAAR_PYTHON": str(folder / "bin" / name), "LD_LIBRARY_PATH": str(folder / "lib")}


@pytest.mark.timeout(300)  # a slow registry, a busy machine
@pytest.mark.parametrize("version", VERSIONS)
def test_from_a_clone_to_a_verdict(version: str, machine: Path) -> None:
    assert f"    {COMMAND} " in (ROOT / "README.md").read_text()
    here = {HERE: sys.executable, **pythons()}
    if version not in here:
        pytest.skip(f"this machine has no Python {version} with ensurepip")
    reach = {name: os.environ[name] for name in REACH if name in os.environ}
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(machine / "home"), **reach}
    environment |= readable(here[version], machine / "python")
    done = subprocess.run(
        [*AS_SOMEBODY, *COMMAND.split(), "--pace", "fast", "--duration", "2"],
        env=environment,
        cwd=machine / "clone",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    need("is there a network?" not in done.stderr, "way to a package registry", "a network, or pip's configuration")
    assert done.returncode == 0, done.stderr
    assert ": held" in done.stdout
    assert json.loads((machine / "clone" / "runs" / "latest" / "summary.json").read_text())["verdict"] == "held"
    made_of = (machine / "clone" / ".venv" / "pyvenv.cfg").read_text()
    assert f"version = {version}." in made_of
    assert processes_of(machine) == {}
    in_its_environment = [
        ".venv/bin/python",
        "-m",
        "pytest",
        "-q",
        "tests/unit",
        "-k",
        "test_topology",
    ]  # no plugins there
    tests = subprocess.run(
        [*AS_SOMEBODY, *in_its_environment], env=environment, cwd=machine / "clone", capture_output=True, check=False
    )
    assert tests.returncode == 0, tests.stdout
