"""setup_db.sh with real servers and real signals: every test has a folder, a port and processes of its own.

Where a test must decide which of the four ways to a MongoDB exist, it runs a copy of the script in a folder
without .venv, and a PATH that holds nothing but the programs the script needs.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern

from tests.contract.replica_set import find_mongod
from tests.waiting import wait_until

Owner = subprocess.Popen[bytes]
Finished = subprocess.CompletedProcess[str]

ROOT = Path(__file__).resolve().parents[2]
SETUP_DB = ROOT / "setup_db.sh"
TOOLS = "bash cat chmod cksum cut dirname flock grep id ls mkdir mv od ps rm sed sleep tail touch tr wc"


MONGOD = find_mongod()
pytestmark = pytest.mark.skipif(MONGOD is None, reason="no mongod on this machine")


def setup_db(*arguments: object, script: Path = SETUP_DB, **environment: str) -> Finished:
    """Run the script to its end. The timeout also catches a server that keeps the script's output open."""
    return subprocess.run(
        ["bash", str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment() | environment,
    )


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "BAZAAR_MONGO_URI"}


def start(*arguments: object, **options: Any) -> str:
    """Start, check that the answer is one line and nothing else, and return it: the URI."""
    done = setup_db(*arguments, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


def refused(*arguments: object, **options: Any) -> str:
    """Run it in a way that it must refuse: 2, no output, and a line that says why, which is returned."""
    done = setup_db(*arguments, **options)
    assert done.returncode == 2
    assert done.stdout == ""
    return done.stderr


def processes_of(folder: Path) -> list[str]:
    """Command lines of the live processes that name `folder`: servers, guards, and calls of the script."""
    listing = subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True, check=True)
    return [line for line in listing.stdout.splitlines() if str(folder) in line]


def server_pid(folder: Path) -> int:
    return int((folder / "mongod.pid").read_text())


def listen_at(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None


def write(uri: str, number: int) -> None:
    with MongoClient[dict[str, int]](uri, serverSelectionTimeoutMS=5000) as client:
        safe = WriteConcern("majority", j=True)
        client["tests"].get_collection("acknowledged", write_concern=safe).insert_one({"_id": number})


def read(uri: str) -> list[int]:
    with MongoClient[dict[str, int]](uri, serverSelectionTimeoutMS=5000) as client:
        return sorted(document["_id"] for document in client["tests"]["acknowledged"].find())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A name for a database's folder, with a blank in it; what was started there is stopped."""
    folder = tmp_path / "the data"
    yield folder
    if folder.exists():
        setup_db("stop", folder)
    assert processes_of(tmp_path) == []


@pytest.fixture
def owner() -> Iterator[Owner]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


class Machine:
    """A copy of the script on what looks to it like a machine without any MongoDB; programs can be added."""

    def __init__(self, root: Path) -> None:
        self.script = root / "repository" / "setup_db.sh"
        self.programs = root / "bin"
        self.programs.mkdir()
        for tool in filter(shutil.which, TOOLS.split()):
            (self.programs / tool).symlink_to(str(shutil.which(tool)))
        (root / "repository" / "bazaar" / "setup").mkdir(parents=True)
        shutil.copy(SETUP_DB, self.script)
        # It has the Python packages, but not in a .venv of its own, where the script would find the wheel.
        (root / "repository" / "bazaar" / "setup" / "environment.sh").write_text(
            f"ROOT='{self.script.parent}'\nprepare_environment() {{ PYTHON='{sys.executable}'; }}\n"
        )

    def add(self, program: str, text: str) -> None:
        file = self.programs / program
        file.write_text(f"#!{shutil.which('bash')}\n{text}\n")
        file.chmod(0o755)

    def run(self, how: Callable[..., str], *arguments: object, **environment: str) -> str:
        return how(*arguments, script=self.script, PATH=str(self.programs), **environment)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- the life of a database


def test_the_uri_accepts_a_majority_write(folder: Path) -> None:
    uri = start(folder)
    assert re.fullmatch(
        r"mongodb://bazaar:[0-9a-f]{64}@127\.0\.0\.1:\d+/\?replicaSet=bazaar&directConnection=true", uri
    )
    write(uri, 1)
    assert read(uri) == [1]


def test_called_again_it_prints_the_same_uri_and_starts_nothing(folder: Path) -> None:
    uri, pid = start(folder), server_pid(folder)
    assert start(folder) == uri
    assert server_pid(folder) == pid
    assert len(processes_of(folder)) == 1


def test_after_kill_9_the_uri_and_every_acknowledged_write_come_back(folder: Path) -> None:
    uri = start(folder)
    for number in range(3):
        write(uri, number)
        os.kill(server_pid(folder), signal.SIGKILL)
        assert start(folder) == uri
        assert read(uri) == list(range(number + 1))


def test_stop_leaves_no_process_and_keeps_the_data(folder: Path) -> None:
    uri = start(folder)
    write(uri, 7)
    assert setup_db("stop", folder).returncode == 0
    assert processes_of(folder) == []
    assert start(folder) == uri
    assert read(uri) == [7]


def test_stop_ends_a_paused_server_too(folder: Path) -> None:
    start(folder)
    os.kill(server_pid(folder), signal.SIGSTOP)
    assert setup_db("stop", folder).returncode == 0
    assert processes_of(folder) == []


def test_stop_where_nothing_runs_is_no_error(folder: Path) -> None:
    assert setup_db("stop", folder).returncode == 0
    assert not folder.exists()


def test_two_folders_do_not_meet(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "the data 2"  # its name begins with the first one's: a sloppy match would find both
    first, second = start(folder), start(other)
    write(first, 1)
    write(second, 2)
    assert (read(first), read(second)) == ([1], [2])
    assert setup_db("stop", folder).returncode == 0
    assert read(second) == [2]
    assert setup_db("stop", other).returncode == 0


def test_two_calls_at_once_start_one_server(folder: Path) -> None:
    command = ["bash", str(SETUP_DB), str(folder)]
    calls = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) for _ in range(3)]
    uris = {call.communicate(timeout=60)[0] for call in calls}
    assert len(uris) == 1
    assert uris.pop().startswith("mongodb://")
    assert len(processes_of(folder)) == 1


# --- its owner


def test_when_its_owner_is_killed_server_and_folder_go(folder: Path, owner: Owner) -> None:
    start(folder, owner.pid)
    assert len(processes_of(folder)) == 2  # the server and its guard
    owner.kill()
    owner.wait()
    wait_until(lambda: not folder.exists())
    wait_until(lambda: not processes_of(folder))


def test_a_server_that_was_started_again_is_still_guarded(folder: Path, owner: Owner) -> None:
    start(folder, owner.pid)
    os.kill(server_pid(folder), signal.SIGKILL)
    start(folder)
    start(folder, owner.pid)
    owner.kill()
    owner.wait()
    wait_until(lambda: not folder.exists())
    wait_until(lambda: not processes_of(folder))


def test_the_owner_ends_while_its_server_is_paused(folder: Path, owner: Owner) -> None:
    start(folder, owner.pid)
    os.kill(server_pid(folder), signal.SIGSTOP)
    owner.kill()
    owner.wait()
    wait_until(lambda: not folder.exists())
    wait_until(lambda: not processes_of(folder))


def test_stop_ends_the_guard_too_and_leaves_the_folder(folder: Path, owner: Owner) -> None:
    start(folder, owner.pid)
    assert setup_db("stop", folder).returncode == 0
    assert processes_of(folder) == []
    owner.kill()
    owner.wait()
    assert folder.exists()


def test_an_owner_that_is_not_there_is_refused(folder: Path, owner: Owner) -> None:
    owner.kill()
    owner.wait()
    for nobody in (owner.pid, "self", "-1", "x"):
        assert "not a running process" in refused(folder, nobody)
    assert not folder.exists()


# --- the four ways to a server


def test_a_uri_in_the_environment_is_printed_and_nothing_is_started(machine: Machine, folder: Path) -> None:
    uri = "mongodb://elsewhere.example:27017/"
    assert machine.run(start, folder, BAZAAR_MONGO_URI=uri) == uri
    assert not folder.exists()


def test_a_mongod_on_path_comes_before_the_wheels(folder: Path, tmp_path: Path, machine: Machine) -> None:
    machine.add("mongod", f'echo called >"{tmp_path}/called"; exec "{MONGOD}" "$@"')
    uri = start(folder, PATH=f"{machine.programs}:{os.environ['PATH']}")
    write(uri, 1)
    assert (tmp_path / "called").exists()


def test_the_wheels_needs_no_executable_bit(folder: Path, machine: Machine) -> None:
    wheel = machine.script.parent / ".venv/lib/python3.10/site-packages/fiftyone/db/bin/mongod"
    wheel.parent.mkdir(parents=True)
    wheel.write_text(f'#!{shutil.which("bash")}\nexec "{MONGOD}" "$@"\n')
    wheel.chmod(0o644)
    write(machine.run(start, folder), 1)


def test_docker_runs_it_when_there_is_nothing_else(folder: Path, tmp_path: Path, machine: Machine) -> None:
    # A stand-in for the engine: it keeps the arguments and, for `run`, starts a server as the image would.
    machine.add(
        "docker",
        f"""
        echo "$@" >>"{tmp_path}/calls"
        [[ $1 == run ]] || exit 0
        while [[ $1 != mongo:* ]]; do
            if [[ $1 == --volume ]]; then data=${{2%:/data/db}}; fi
            if [[ $1 == --publish ]]; then [[ $2 == 127.0.0.1:* ]] || exit 1; fi
            shift
        done
        shift 2  # the image, and --bind_ip_all, which is right only within a container
        exec "{MONGOD}" --dbpath "$data" --bind_ip 127.0.0.1 --nounixsocket "${{@/#\\/data\\/db/$data}}"
        """,
    )
    uri = machine.run(start, folder)
    write(uri, 1)
    os.kill(server_pid(folder), signal.SIGKILL)
    assert machine.run(start, folder) == uri
    assert read(uri) == [1]
    setup_db("stop", folder, script=machine.script, PATH=str(machine.programs))
    calls = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls == ["info", "image", "run", "rm", "info", "image", "run", "rm"]


@pytest.mark.parametrize("docker", ["exit 1", "exec sleep 600", None], ids=["fails", "hangs", "missing"])
def test_with_no_way_at_all_it_names_all_four(folder: Path, machine: Machine, docker: str | None) -> None:
    if docker:
        machine.add("docker", docker)
    message = machine.run(refused, folder)
    assert message.count("\n") == 1
    for way in ("BAZAAR_MONGO_URI", "mongod on PATH", "wheel", "Docker"):
        assert way in message
    assert processes_of(folder) == []


def pulling(*lines: str) -> str:
    """A Docker whose image comes in such a way, and that then runs nothing."""
    return f"""
        case $1 in
            info) exit 0 ;;
            image) exit 1 ;;
            pull) {"; ".join(lines)} ;;
            *) echo "no server in this test"; exit 1 ;;
        esac"""


def test_an_image_that_takes_long_is_waited_for_and_told_of(folder: Path, machine: Machine) -> None:
    layers = [
        f"echo '{layer}: Downloading [==>    ]  {done}MB/250MB'; sleep 0.6"
        for layer, done in (("0123456789ab", 1.5), ("0123456789ab", 84), ("ba9876543210", 20), ("ba9876543210", 50))
    ]
    machine.script.write_text(machine.script.read_text().replace("S = 60", "S = 2").replace("S = 5", "S = 1"))
    machine.add("docker", pulling(*layers))
    message = machine.run(refused, folder)
    assert "Fetching Docker's image mongo:6.0: 2 of 250 MB" in message
    assert "Fetching Docker's image mongo:6.0: 104 of 500 MB" in message
    assert "has brought nothing" not in message
    assert "no server in this test" in message


def test_an_image_that_does_not_come_is_told(folder: Path, machine: Machine) -> None:
    machine.add("docker", pulling("echo 'toomanyrequests: You have reached your limit'", "exit 1"))
    message = machine.run(refused, folder)
    assert "docker pull mongo:6.0 failed: toomanyrequests: You have reached your limit" in message
    machine.script.write_text(machine.script.read_text().replace("STALLED_S = 60", "STALLED_S = 1"))
    machine.add("docker", pulling("exec sleep 600"))
    assert "has brought nothing for 1 s; is there a network?" in machine.run(refused, folder)


# --- when it cannot be done


def test_too_few_open_files_are_told_with_what_to_do(folder: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limited = ["bash", "-c", f'ulimit -Sn 64; ulimit -Hn "$1"; exec bash "{SETUP_DB}" "{folder}"', "bash"]
    for least, status, said in ((hard, 0, ""), (64, 2, "only 64 are allowed here; say ulimit -n")):
        done = subprocess.run(
            [*limited, str(least)], capture_output=True, text=True, timeout=60, env=clean_environment()
        )
        assert (done.returncode, done.stderr.count("\n")) == (status, bool(said))
        assert said in done.stderr
        setup_db("stop", folder)


def test_a_mongod_that_cannot_run_is_told_with_its_last_words(folder: Path, machine: Machine) -> None:
    machine.add("mongod", 'echo "mongod: error while loading shared libraries: libcurl.so.4" >&2; exit 127')
    message = machine.run(refused, folder)
    assert message.count("\n") == 1
    assert "did not start" in message
    assert "libcurl.so.4" in message
    assert processes_of(folder) == []


def test_of_a_servers_json_the_errors_are_told(folder: Path, machine: Machine) -> None:
    greeting = '{"s":"I","msg":"Hello"}'
    error = '{"s":"E","msg":"create","attr":{"error":11,"message":{"error_str":"no more threads"}}}'
    machine.add("mongod", f"echo '{greeting}'; echo '{error}'; exit 14")
    assert "create: no more threads" in machine.run(refused, folder)


def test_a_mongod_that_crashes_takes_its_guard_along(folder: Path, machine: Machine, owner: Owner) -> None:
    machine.add("mongod", 'echo "no space left on device"; kill -ABRT $$')
    message = machine.run(refused, folder, owner.pid)
    assert message.count("\n") == 1
    assert "no space left on device" in message
    assert processes_of(folder) == []


def test_a_new_database_whose_port_was_just_taken_gets_another(folder: Path, machine: Machine, tmp_path: Path) -> None:
    machine.add(
        "mongod",
        f'[[ -e "{tmp_path}/tried" ]] || {{ >"{tmp_path}/tried"; echo "Address already in use"; exit 48; }}\n'
        f'exec "{MONGOD}" "$@"',
    )
    write(machine.run(start, folder), 1)


def test_an_old_database_whose_port_is_taken_says_so(folder: Path) -> None:
    uri = start(folder)
    os.kill(server_pid(folder), signal.SIGKILL)
    port = int((folder / "mongod.port").read_text())
    wait_until(lambda: not processes_of(folder))
    with wait_until(lambda: listen_at(port)):  # the dying server takes its time to let go of it
        message = refused(folder)
    assert message.count("\n") == 1
    assert f"port {port}" in message
    assert "Address already in use" in message
    assert processes_of(folder) == []
    assert start(folder) == uri


def test_a_server_that_ends_while_another_program_on_its_port_is_asked_in_vain_is_noticed_at_once(
    folder: Path, machine: Machine, tmp_path: Path
) -> None:
    """The other takes connections, and says nothing. Of four servers each was waited for until the driver gave up."""
    machine.add("mongod", f'echo >>"{tmp_path}/tries"; sleep 0.5; echo "Address already in use"; exit 48')
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        folder.mkdir()
        (folder / "mongod.log").touch()  # by this the folder is known as one of ours
        (folder / "mongod.port").write_text(f"{port}\n")
        message = machine.run(refused, folder)
    assert "Address already in use" in message
    assert (tmp_path / "tries").read_text().count("\n") == 4
    assert processes_of(folder) == []


def test_another_server_on_the_port_is_not_taken_for_ours(folder: Path, tmp_path: Path) -> None:
    start(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mongod.log").touch()
    shutil.copy(folder / "mongod.port", other)
    assert "Address already in use" in refused(other)
    assert len(processes_of(tmp_path)) == 1


def test_ctrl_c_while_it_starts(folder: Path, machine: Machine, owner: Owner) -> None:
    machine.add("mongod", "exec sleep 600")
    call = subprocess.Popen(
        ["bash", str(machine.script), str(folder), str(owner.pid)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment() | {"PATH": str(machine.programs)},
        start_new_session=True,  # a group of its own, as a shell at a terminal would give it
    )
    wait_until(lambda: (folder / "mongod.pid").exists())
    os.killpg(call.pid, signal.SIGINT)
    output, _ = call.communicate(timeout=30)
    assert (call.returncode, output) == (130, b"")
    assert processes_of(folder) == []


def test_nobody_is_left_to_take_the_uri(folder: Path) -> None:
    call = subprocess.Popen(
        ["bash", str(SETUP_DB), str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    )
    assert call.stdout
    assert call.stderr
    call.stdout.close()
    call.stderr.close()
    assert call.wait(timeout=60) != 0
    assert processes_of(folder) == []


def test_a_folder_with_other_files_is_left_alone(folder: Path, owner: Owner) -> None:
    folder.mkdir()
    (folder / "thesis.txt").touch()
    assert "other files" in refused(folder, owner.pid)
    assert [file.name for file in folder.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file").count("\n") == 1
    assert refused(tmp_path / "file" / "below").count("\n") == 1


@pytest.mark.parametrize("arguments", [["--frobnicate"], ["a", "b", "c"], ["stop", "a", "b"]])
def test_wrong_usage_is_one_line(arguments: list[str]) -> None:
    assert refused(*arguments).count("\n") == 1


def test_help_names_every_way() -> None:
    done = setup_db("--help")
    assert done.returncode == 0
    for word in ("BAZAAR_MONGO_URI", "PATH", ".venv", "Docker", "OWNER_PID", "stop"):
        assert word in done.stdout
