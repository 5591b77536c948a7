"""docs/how-to/pyro4.md, block by block, against a real run: whoever does what it says sees what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from bazaar.control.launcher import Bazaar
from bazaar.protocol import events
from bazaar.protocol.goods import NAME_SERVER
from bazaar.runtime.history import only
from create_bazaar import parse
from tests.processes.market import PATIENCE_S, ROOT, left_behind

PAGE = (ROOT / "docs" / "how-to" / "pyro4.md").read_text()
AFTERWARDS = "## Its story in the run's files"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Runs the lines of a block, each of which must succeed, and find something if it looks for it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_session_of_the_page(tmp_path: Path, mongo_uri: str) -> None:
    during, after = PAGE.split(AFTERWARDS)
    command, *looks = blocks(during, "bash")
    settings = parse(shlex.split(command.replace("localhost:9090", "localhost"))[2:]).settings
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(tmp_path / "run")
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    session = tmp_path / "session.txt"
    session.write_text("\n".join(blocks(during, "pycon")))
    doctest = f"{sys.executable} -m doctest -o ELLIPSIS -o NORMALIZE_WHITESPACE {session}"
    with Bazaar(settings, tmp_path / "run", mongo_uri, pictures=False) as bazaar:
        bazaar.start()
        assert bazaar.wait_until(lambda: bazaar.progress.answered > 5, PATIENCE_S)
        port = str(bazaar.processes[NAME_SERVER].said.port)
        environment = {**os.environ, "PYRO_NS_PORT": port}
        listed = "".join(shell(look, tmp_path, environment) for look in looks)
        assert {line.split(" ")[0] for line in listed.splitlines() if "-->" in line} == {
            name + kind for name in (*bazaar.plan.names, "warehouse") for kind in ("", ".mailbox")
        }
        shell(doctest, tmp_path, environment)
        bazaar.finish()
        run = left_behind(bazaar.plan, bazaar.out, *bazaar.collect())
    run.assert_held()
    assert [line.event.item for line in only(run.history("buyer1"), events.Ordered) if line.event.by_hand] == ["fish"]
    (story,) = blocks(after, "bash")
    told = shell(story, tmp_path, environment)
    assert all(word in told for word in ("ordered", "shipped", "sold", "purchased", "offered"))
    assert bazaar.processes  # and none of them had anything to complain about
    for name in bazaar.processes:
        assert (bazaar.out / name / "stderr.txt").read_text() == ""
